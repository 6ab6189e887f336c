"""One reply of the agent on its way to speech.

Threads of a session:

    ``tts-recv``    connects, receives, decodes, hands audio over, connects again where that helps
    ``tts-send``    one per connection; sends the texts
    any other       sends texts, finishes, closes

The receive thread may be held up by whoever takes the audio: that is the back-pressure, and it
reaches the service through TCP.

Rules of this module:

1. While nothing of a text was delivered, a failure is tried again, then tried with the next voice;
   after that it is an error that says how much was.
2. Speech cut short is an error, never success.
3. Text without anything to speak costs no connection.
4. Every wait has an end, and ``close`` returns within a tenth of a second in any state.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from telnyx_media.errors import (
    ConfigurationError,
    ServiceError,
    SessionEnded,
    SpeechCutShort,
    TelnyxMediaError,
)
from telnyx_media.pcm import seconds
from telnyx_media.sentences import speakable
from telnyx_media.sync.keptsocket import interrupt
from telnyx_media.sync.threads import BoundedQueue, QueueClosed, ThreadGroup
from telnyx_media.sync.ttsattempt import Attempt, Piece

if TYPE_CHECKING:
    from telnyx_media.sync.connection import Connection
    from telnyx_media.sync.tts import TextToSpeech

logger = logging.getLogger(__name__)

# Pieces of audio that may wait for whoever iterates; then the receive thread waits.
RESULTS = 500

# What `close` waits for its threads; they need a few milliseconds.
CLOSE_SECONDS = 0.08

# How often a receive looks up from the socket where it has to, in seconds.
TICK = 0.03


# Nobody hears so little, in seconds.
RESIDUE_SECONDS = 0.005


class SpeechAudio(msgspec.Struct, frozen=True):
    """Some audio of a reply.

    Attributes:
        pcm: 16-bit little-endian mono at the session's rate; may be empty when ``last``.
        segment: index of the text it belongs to, counted by ``send``; where the service does not
            tell, the best estimate.
        last: whether this completes the segment.
    """

    pcm: bytes
    segment: int
    last: bool = False


class _Segment:
    """One text of the reply."""

    __slots__ = ("cached", "delivered", "parts", "text")

    def __init__(self, text: str, cached: bytes | None) -> None:
        self.text = text
        self.cached = cached
        self.delivered = 0.0
        # What goes to the cache when it is complete.
        self.parts: list[bytes] = []

    @property
    def on_wire(self) -> bool:
        return self.cached is None


class TtsSession:
    """One reply: texts in, audio out, over as many connections as it takes.

    Use it as a ``with`` block, or call :meth:`close`.

    Attributes:
        connections: how many connections were tried.
        delivered: seconds of audio handed over so far.
        error: why the session failed, or ``None``.
        voice: the voice in use.
    """

    def __init__(
        self,
        service: TextToSpeech,
        *,
        sample_rate: int,
        on_audio: Callable[[SpeechAudio], None] | None,
        on_end: Callable[[Exception | None], None] | None,
        tag: str,
        on_connect: Callable[[Connection], None] | None = None,
    ) -> None:
        """Start; made by :meth:`TextToSpeech.open`. Nothing is connected before it is needed."""
        if isinstance(sample_rate, bool) or not isinstance(sample_rate, int) or sample_rate <= 0:
            raise ConfigurationError(f"sample_rate: a positive number, not {sample_rate!r}")
        self.connections = 0
        self.delivered = 0.0
        self.error: Exception | None = None
        self._service = service
        self._rate = sample_rate
        self._on_audio = on_audio
        self._on_end = on_end
        self._on_connect = on_connect
        self._tag = tag
        self._plan = 0
        self._closing = threading.Event()
        # Guards the segments, the flags and the attempt; notified when any of them changes.
        self._changed = threading.Condition()
        self._segments: list[_Segment] = []
        self._next = 0
        self._wanted = False
        self._finished = False
        self._ended = False
        self._attempt: Attempt | None = None
        self._results: BoundedQueue[SpeechAudio] = BoundedQueue(RESULTS)
        # Of the receive thread, which must not wait for itself.
        self._own_ident = 0
        self._group = ThreadGroup(tag)
        self._group.spawn("tts-recv", self._run)

    # -- any thread ------------------------------------------------------------------------------

    @property
    def voice(self) -> str:
        """The voice in use."""
        return self._service.plans[self._plan].name

    def prepare(self) -> None:
        """Connect ahead of need, before the first text is there; never waits."""
        with self._changed:
            self._wanted = True
            self._changed.notify_all()

    def send(self, text: str) -> int:
        """Send a text to be spoken now, a sentence or a clause; never waits.

        Returns:
            The index of its segment.

        Raises:
            SessionEnded: the session was finished or closed.
            TelnyxMediaError: it has failed; why.
        """
        segment = _Segment(text, self._look_up(text))
        with self._changed:
            if self._finished or self._ended or self._closing.is_set():
                raise self.error or SessionEnded("the synthesis session has ended")
            index = len(self._segments)
            self._segments.append(segment)
            if self._attempt is not None and segment.on_wire:
                self._attempt.say(text, index)
            self._changed.notify_all()
        return index

    def finish(self) -> None:
        """Say that no more text comes; returns at once, audio goes on to come."""
        with self._changed:
            self._finished = True
            if self._attempt is not None:
                self._attempt.end()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[SpeechAudio]:
        """Iterate over the audio; blocks for each piece, ends when all has come.

        Raises:
            SpeechCutShort: it failed after some audio.
            TelnyxMediaError: it failed before any.
        """
        while True:
            try:
                yield self._results.take()
            except QueueClosed:
                break
        if self.error is not None:
            raise self.error

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all audio was handed to ``on_audio``, for ``timeout`` seconds at most.

        Returns:
            Whether it was.

        Raises:
            TelnyxMediaError: the session failed, as for the iterator.
        """
        with self._changed:
            ended = self._changed.wait_for(lambda: self._ended, timeout)
        if self.error is not None:
            raise self.error
        return ended

    def stop(self) -> None:
        """Ask the session to end; returns at once, from any thread, may be called twice."""
        self._closing.set()
        with self._changed:
            attempt = self._attempt
            self._changed.notify_all()
        if attempt is not None and attempt.keep and attempt.delivered:
            # The receive thread looks at the flag many times a second while a socket is kept.
            interrupt(attempt.link)
        elif attempt is not None:
            attempt.connection.cancel()
        self._results.close(drop=True)

    def close(self) -> None:
        """End the session within a tenth of a second, whatever it is doing; may be called twice."""
        self.stop()
        if threading.get_ident() != self._own_ident:
            with self._changed:
                self._changed.wait_for(lambda: self._ended, CLOSE_SECONDS)

    def __enter__(self) -> TtsSession:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close, and join the session's threads."""
        self.close()
        self._group.join()

    # -- tts-recv --------------------------------------------------------------------------------

    def _run(self) -> None:
        self._own_ident = threading.get_ident()
        try:
            self._serve()
        except (SessionEnded, QueueClosed):
            pass
        except Exception as error:  # noqa: BLE001 - the top of a thread; raised where one iterates
            if not self._closing.is_set():
                self.error = error
                logger.info("synthesis failed: %s", error)
        finally:
            self._results.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            if self._on_end is not None:
                self._on_end(self.error)

    def _serve(self) -> None:
        failures = 0
        while self._wait_for_work():
            attempt = self._new_attempt()
            try:
                if self._closing.is_set():
                    raise SessionEnded("the session was closed")
                attempt.connect()
                if self._on_connect is not None:
                    self._on_connect(attempt.connection)
                attempt.start()
                self._receive(attempt)
                failures = 0
                continue
            except TelnyxMediaError as error:
                reason = error
            finally:
                with self._changed:
                    self._attempt = None
                self._service.release(attempt, interrupted=self._closing.is_set())
            failures = self._after(reason, attempt, 1 if attempt.delivered else failures + 1)

    def _wait_for_work(self) -> bool:
        # Deliver what needs no connection; get whether one is needed, False when all is done.
        while True:
            self._deliver_local()
            with self._changed:
                if self._closing.is_set():
                    raise SessionEnded("the session was closed")
                if self._next < len(self._segments):
                    if self._segments[self._next].on_wire:
                        return True
                    continue
                if self._finished:
                    return False
                if self._wanted:
                    self._wanted = False
                    return True
                self._changed.wait()

    def _new_attempt(self) -> Attempt:
        attempt = self._service.attempt(self._plan, self._rate, self._tag)
        self.connections += 1
        with self._changed:
            # Under the lock: a text sent from here on goes to this attempt, none goes twice.
            for index in range(self._next, len(self._segments)):
                if self._closing.is_set():
                    # Whoever closes waits for this lock.
                    break
                if self._segments[index].on_wire:
                    attempt.say(self._segments[index].text, index)
            if self._finished:
                attempt.end()
            self._attempt = attempt
        return attempt

    def _receive(self, attempt: Attempt) -> None:
        # Until everything sent on this attempt has come.
        while not attempt.finished:
            self._deliver_local()
            piece = attempt.receive(self._tick(attempt))
            if self._closing.is_set():
                raise SessionEnded("the session was closed")
            self._deliver(attempt, piece)

    def _tick(self, attempt: Attempt) -> float | None:
        # A cached text that comes while nothing is due from the service, or the end of a session
        # whose socket is kept, wakes nobody who waits on the socket; only those look for it.
        cached = self._service.cache is not None and not attempt.tracker.outstanding
        return TICK if cached or attempt.keep else None

    def _deliver(self, attempt: Attempt, piece: Piece) -> None:
        certain = attempt.tracker.certain
        due = attempt.tracker.outstanding or bool(piece.closed)
        if piece.pcm and (due or not _is_residue(piece.pcm, self._rate)):
            index = attempt.segments[piece.index] if attempt.segments else 0
            self._complete(index, certain=certain)
            segment = self._segments[index]
            segment.delivered += seconds(piece.pcm, self._rate)
            if self._service.cache is not None:
                segment.parts.append(piece.pcm)
            # Audio behind the end of a segment is rare, and closes it once more.
            self._hand_over(SpeechAudio(piece.pcm, index, last=index < self._next))
        for closed in piece.closed:
            self._complete(attempt.segments[closed] + 1, certain=certain)

    def _complete(self, end: int, *, certain: bool) -> None:
        # Close the segments before `end`, those that needed no connection with their audio.
        while self._next < end:
            segment = self._segments[self._next]
            self._store(segment, certain=certain)
            self._hand_over(SpeechAudio(segment.cached or b"", self._next, last=True))
            self._next += 1

    def _deliver_local(self) -> None:
        # What is cached or unspeakable, up to the next text that is on its way.
        while True:
            with self._changed:
                if self._next >= len(self._segments):
                    return
                segment = self._segments[self._next]
                if segment.cached is None:
                    return
            self._hand_over(SpeechAudio(segment.cached, self._next, last=True))
            self._next += 1

    def _hand_over(self, audio: SpeechAudio) -> None:
        if self._closing.is_set():
            raise SessionEnded("the session was closed")
        self.delivered += seconds(audio.pcm, self._rate)
        if self._on_audio is not None:
            self._on_audio(audio)
        else:
            self._results.put(audio)

    def _after(self, reason: TelnyxMediaError, attempt: Attempt, failures: int) -> int:
        # Wait for the next attempt, or move on to the next voice, or raise; gets the new count.
        if self._closing.is_set() or isinstance(reason, SessionEnded):
            raise SessionEnded("the session was closed")
        if attempt.delivered and not self._may_resume(attempt):
            raise SpeechCutShort(reason, delivered=self.delivered)
        if not reason.retryable or failures >= self._service.retry.attempts:
            hopeless = isinstance(reason, ServiceError) and reason.http_status == 401
            if hopeless or self._plan + 1 >= len(self._service.plans):
                raise SpeechCutShort(reason, delivered=self.delivered) if self.delivered else reason
            self._plan += 1
            logger.warning("voice given up, going on with %s: %s", self.voice, reason)
            return 0
        delay = self._service.retry.delay(failures)
        logger.info("synthesis failed, next attempt in %.2f s: %s", delay, reason)
        if self._closing.wait(delay):
            raise SessionEnded("the session was closed")
        return failures

    def _may_resume(self, attempt: Attempt) -> bool:
        # Between two texts nothing is lost, if it is known where one ends.
        if not attempt.tracker.certain:
            return False
        return self._next >= len(self._segments) or self._segments[self._next].delivered == 0

    # -- helpers ---------------------------------------------------------------------------------

    def _look_up(self, text: str) -> bytes | None:
        if not speakable(text):
            return b""
        cache = self._service.cache
        return None if cache is None else cache.get(self._service.cache_key(text, self._rate))

    def _store(self, segment: _Segment, *, certain: bool) -> None:
        cache = self._service.cache
        if cache is not None and certain and segment.parts and self._plan == 0:
            cache.put(self._service.cache_key(segment.text, self._rate), b"".join(segment.parts))
        segment.parts.clear()


def _is_residue(pcm: bytes, rate: int) -> bool:
    # What a resampler holds back, when the last segment is complete already.
    return seconds(pcm, rate) < RESIDUE_SECONDS
