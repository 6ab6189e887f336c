"""One stream of audio on its way to transcripts.

Threads of a session:

    ``stt-recv``    connects, receives, hands transcripts over, connects again when that is needed
    ``stt-send``    one per connection; sends the audio
    any other       sends, finalizes, finishes, closes

Rules of this module:

1. A close that was not asked for is a loss, whatever its code; audio since the last final is sent
   again on the next connection, and what was transcribed twice is delivered once.
2. A refusal (authentication, validation) is never tried again; the next engine of the list is.
3. Every wait has an end, and ``close`` returns within a tenth of a second in any state.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from telnyx_media.errors import (
    ConnectionLost,
    DeadlineExceeded,
    ServiceError,
    SessionEnded,
    TelnyxMediaError,
)
from telnyx_media.pcm import wav_header
from telnyx_media.ring import AudioRing
from telnyx_media.sync.connection import Connection, PeerClosed
from telnyx_media.sync.mutewatch import Mute, MuteWatch
from telnyx_media.sync.placement import Placement
from telnyx_media.sync.threads import BoundedQueue, Deadline, QueueClosed, ThreadGroup
from telnyx_media.sync.uplink import Feed, Uplink
from telnyx_media.sync.wireformat import check_audio, make_converter
from telnyx_media.transcripts import ServerError, Transcript, parse_message

if TYPE_CHECKING:
    from telnyx_media.sync.stt import SpeechToText

logger = logging.getLogger(__name__)

# Transcripts that may wait for whoever iterates; hours of speech.
RESULTS = 10_000

# How long after CloseStream and the last message a server that stays open is taken to be done, in
# seconds.
QUIET_AFTER_FINAL = 0.5
QUIET_WITHOUT_FINAL = 1.0

# How much longer that takes for each second of speech that no final has certainly covered.
QUIET_PER_SECOND = 0.5

# A connection that lived so long counts as a success, in seconds.
HEALTHY_AFTER = 30.0

# How much more patience a connection is given that spoke and brought no final with new words: a
# service may lose the same utterance for ever.
FRUITLESS = 2

# How often in a row a mute connection is replaced before its silence is believed.
SUSPICIONS = 2

# What `close` waits for its threads; they need a few milliseconds.
CLOSE_SECONDS = 0.08


class SttSession:
    """One stream of audio and its transcripts, over as many connections as it takes.

    Use it as a ``with`` block, or call :meth:`close`.

    Attributes:
        reconnects: how many connections replaced another.
        connections: how many were tried.
        error: why the session was given up, or ``None``.
    """

    def __init__(
        self,
        service: SpeechToText,
        *,
        sample_rate: int,
        encoding: str,
        on_transcript: Callable[[Transcript], None] | None,
        on_error: Callable[[Exception], None] | None,
        on_end: Callable[[Exception | None], None] | None,
        tag: str,
        on_connect: Callable[[Connection], None] | None = None,
        on_loss: Callable[[TelnyxMediaError], bool] | None = None,
        direct: bool = False,
    ) -> None:
        """Start to connect; made by :meth:`SpeechToText.open`."""
        wire = check_audio(sample_rate, encoding)
        self.reconnects = 0
        self.connections = 0
        self.error: Exception | None = None
        self._service = service
        self._sample_rate = sample_rate
        self._encoding = wire
        self._on_transcript = on_transcript
        self._on_error = on_error
        self._on_end = on_end
        self._on_connect = on_connect
        self._on_loss = on_loss
        self._direct = direct
        self._tag = tag
        self._plan = 0
        self._options = service.plan(0, sample_rate=sample_rate, encoding=wire)
        ring = AudioRing(encoding=wire, sample_rate=sample_rate, limit=service.buffer_seconds)
        self._uplink = Uplink(ring, grace=self._options.grace)
        self._placement = Placement(self._uplink)
        # Set once the stop is asked for, whoever asks.
        self._closing = threading.Event()
        # Guards _connection and _renewal, so that a close between two connections is not lost.
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        # The service to go on with, from the next connection on.
        self._renewal: SpeechToText | None = None
        self._results: BoundedQueue[Transcript] = BoundedQueue(RESULTS)
        # What `finish` waits for: the times of messages, and the end.
        self._progress = threading.Condition()
        self._last_message = 0.0
        self._final_after_close = False
        self._asked_again = False
        # Whether the present connection has brought a final with new words in it.
        self._got_on = False
        self._answered = False
        self._ended = False
        # Of the receive thread, which must not wait for itself.
        self._own_ident = 0
        self._group = ThreadGroup(tag)
        self._group.spawn("stt-recv", self._run)

    # -- any thread ------------------------------------------------------------------------------

    @property
    def dropped(self) -> float:
        """Seconds of audio that were lost because no connection took them in time."""
        return self._uplink.dropped

    @property
    def audio_seconds(self) -> float:
        """Seconds of audio that were sent to the session."""
        return self._uplink.pushed

    @property
    def sent_seconds(self) -> float:
        """Seconds of audio that were sent at least once."""
        uplink = self._uplink
        return max(0.0, uplink.ring.seconds(uplink.sent) - uplink.dropped)

    @property
    def engine(self) -> str:
        """The engine in use."""
        return self._options.engine

    def send(self, audio: bytes) -> None:
        """Send audio in the session's encoding; never waits.

        Raises:
            SessionEnded: the session was finished or closed.
            TelnyxMediaError: it was given up; why.
        """
        if not self._uplink.push(audio):
            raise self.error or SessionEnded("the transcription session has ended")

    def finalize(self) -> None:
        """Ask for a final of what was sent so far, where the engine can be asked; never waits."""
        self._uplink.finalize()

    def renew(self, service: SpeechToText) -> None:
        """Go on with the options of ``service``; returns at once.

        Options are fixed for the life of a socket, so the present one is given up, and audio since
        the last final is sent again on the next.
        """
        with self._lock:
            self._renewal = service
            connection = self._connection
        if connection is not None:
            connection.cancel()

    def finish(self, timeout: float = 3.0) -> bool:
        """End the stream: wait for the last transcripts, at most ``timeout`` seconds, and close.

        Transcripts that nobody has taken yet can still be iterated afterwards.

        Returns:
            Whether everything that was sent has been answered: the service closed properly, or
            went quiet after its last final. False when the time ran out first.

        Raises:
            TelnyxMediaError: the session was given up; why.
        """
        self.end()
        answered = self.wait_answered(timeout)
        self.close()
        if self.error is not None:
            raise self.error
        return answered

    def end(self) -> None:
        """Say that no more audio comes; never waits."""
        self._uplink.finish()

    def wait_answered(self, timeout: float | None) -> bool:
        """Wait behind :meth:`end` until everything was answered, or the session has ended.

        Returns:
            Whether everything was, as for :meth:`finish`; the session is not closed.
        """
        deadline = Deadline(timeout)
        nothing = self.audio_seconds == 0
        with self._progress:
            while not (self._ended or nothing or deadline.expired):
                left = self._quiet_left()
                if left is not None and left <= 0:
                    self._answered = True
                    break
                waits = [w for w in (deadline.remaining(), left) if w is not None]
                self._progress.wait(min(waits) if waits else None)
            if self._final_after_close and self._quiet_for() >= QUIET_AFTER_FINAL:
                # The time ran out while we only waited to make sure.
                self._answered = True
        return self._answered or nothing

    def __iter__(self) -> Iterator[Transcript]:
        """Iterate over the transcripts; blocks for each, ends when the session does.

        Raises:
            TelnyxMediaError: the session was given up.
        """
        while True:
            try:
                yield self._results.take()
            except QueueClosed:
                break
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """Ask the session to end; returns at once, from any thread, may be called twice."""
        self._closing.set()
        with self._lock:
            connection = self._connection
        if connection is not None:
            connection.cancel()
        self._uplink.close()
        self._results.close()

    def close(self) -> None:
        """End the session within a tenth of a second, whatever it is doing; may be called twice."""
        self.stop()
        if threading.get_ident() != self._own_ident:
            with self._progress:
                self._progress.wait_for(lambda: self._ended, CLOSE_SECONDS)

    def __enter__(self) -> SttSession:
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

    # -- stt-recv --------------------------------------------------------------------------------

    def _run(self) -> None:
        self._own_ident = threading.get_ident()
        try:
            self._serve()
        except SessionEnded:
            pass
        except Exception as error:  # noqa: BLE001 - the top of a thread; raised where one iterates
            self._give_up(error)
        finally:
            self._uplink.close()
            self._results.close()
            with self._progress:
                self._ended = True
                self._progress.notify_all()
            if self._on_end is not None:
                self._on_end(self.error)

    def _serve(self) -> None:
        failures = suspicions = fruitless = 0
        while not self._closing.is_set():
            connection = self._new_connection()
            self._got_on = False
            began = time.monotonic()
            reason: TelnyxMediaError
            try:
                feed = self._connect(connection)
                self._receive(connection, feed, suspicious=suspicions < SUSPICIONS)
                self._answered = True
                break
            except PeerClosed as closed:
                raised = closed.to_error()
                reason = raised if isinstance(raised, TelnyxMediaError) else closed
            except (ConnectionLost, ServiceError) as error:
                reason = error
            except SessionEnded:
                if self._closing.is_set() or self._renewal is None:
                    raise
                self.reconnects += 1
                continue
            finally:
                self._drop(connection)
            lasted = time.monotonic() - began > HEALTHY_AFTER
            if connection.messages or lasted:
                failures = suspicions = 0
            fruitless = 0 if self._got_on or lasted else fruitless + 1
            suspicions += isinstance(reason, Mute)
            most = self._service.retry.attempts
            failures = self._after(reason, most if fruitless >= FRUITLESS * most else failures + 1)
            if not failures:
                # Another engine.
                fruitless = 0

    def _after(self, reason: TelnyxMediaError, failures: int) -> int:
        # Wait for the next attempt, or move on to the next engine, or raise; gets the new count.
        if self._closing.is_set():
            raise SessionEnded("the session was closed")
        spent = not reason.retryable or failures >= self._service.retry.attempts
        if self._on_loss is not None:
            spent = self._on_loss(reason)
        if spent:
            hopeless = isinstance(reason, ServiceError) and reason.http_status == 401
            if hopeless or self._plan + 1 >= len(self._service.plans):
                raise reason
            self._plan += 1
            self._options = self._service.plan(
                self._plan, sample_rate=self._sample_rate, encoding=self._encoding
            )
            logger.warning(
                "transcription engine given up, going on with %s: %s", self.engine, reason
            )
            failures = 0
        delay = self._service.retry.delay(failures) if failures and not self._on_loss else 0.0
        logger.info("transcription connection lost, next in %.2f s: %s", delay, reason)
        if self._closing.wait(delay):
            raise SessionEnded("the session was closed")
        self.reconnects += 1
        return failures

    def _new_connection(self) -> Connection:
        with self._lock:
            if self._renewal is not None:
                self._service, self._renewal = self._renewal, None
                self._plan = 0
                self._options = self._service.plan(
                    0, sample_rate=self._sample_rate, encoding=self._encoding
                )
            connection = self._service.connection(self._options, self._tag)
            self._connection = connection
        # A stop that came before this line found no connection to cancel.
        if self._closing.is_set():
            connection.cancel()
        self.connections += 1
        return connection

    def _connect(self, connection: Connection) -> Feed:
        connection.connect()
        if self._on_connect is not None:
            self._on_connect(connection)
        options = self._options
        feed = self._uplink.attach(
            convert=make_converter(self._encoding, self._sample_rate, options),
            preamble=wav_header(options.sample_rate) if options.input_format == "wav" else b"",
            controls=options.engine_info.controls,
        )
        if self.connections > 1:
            self._placement.begin_again()
        if self._direct:
            feed.direct = connection.send_now
        connection.start(feed)
        return feed

    def _drop(self, connection: Connection) -> None:
        connection.close()
        with self._lock:
            self._connection = None
        self._placement.end_connection()
        self._final_after_close = False

    def _receive(self, connection: Connection, feed: Feed, *, suspicious: bool) -> None:
        # Returns when the service has ended the session properly.
        watch = MuteWatch(self._service.reply_timeout, self._options) if suspicious else None
        while True:
            try:
                data = connection.receive(watch.tick if watch is not None else None)
            except PeerClosed as closed:
                if feed.close_sent and closed.code in (1000, 1005) and self._is_answered(feed):
                    return
                raise
            except DeadlineExceeded:
                raise
            except TimeoutError:
                assert watch is not None
                with self._uplink.changed:
                    watch.look(feed, self._uplink.ring)
                continue
            for message in parse_message(data):
                if isinstance(message, ServerError):
                    raise connection.reported(message)
                self._take(message, feed)
            if watch is not None:
                watch.answered(feed.position)
            with self._progress:
                self._last_message = time.monotonic()
                self._progress.notify_all()

    def _is_answered(self, feed: Feed) -> bool:
        # A socket that swallowed speech without a final for it may have been dead: one more is
        # asked before its silence is believed.
        with self._uplink.changed:
            unheard = feed.speech() is not None
        if self._final_after_close or not unheard or self._asked_again:
            return True
        if self._on_loss is None and self._service.retry.attempts <= 1:
            # Nothing is ever tried again.
            return True
        self._asked_again = True
        return False

    def _take(self, transcript: Transcript, feed: Feed) -> None:
        if feed.close_sent and transcript.is_final:
            self._final_after_close = True
        news = self._placement.take(transcript, feed)
        if news is None:
            return
        self._got_on |= news.is_final and bool(news.text)
        if self._on_transcript is not None:
            self._on_transcript(news)
        else:
            self._results.push(news)

    def _give_up(self, error: Exception) -> None:
        if self._closing.is_set() and not isinstance(error, ServiceError):
            return
        self.error = error
        logger.warning("transcription given up: %s", error)
        if self._on_error is not None:
            self._on_error(error)

    # -- helpers ---------------------------------------------------------------------------------

    def _quiet_for(self) -> float:
        feed = self._uplink.feed
        closed_at = feed.close_sent_at if feed is not None else 0.0
        return time.monotonic() - max(self._last_message, closed_at)

    def _quiet_left(self) -> float | None:
        # Seconds until a server that has gone quiet counts as done; None while it cannot.
        connection = self._connection
        feed = self._uplink.feed
        if connection is None or feed is None or not feed.close_sent:
            return None
        with self._uplink.changed:
            spoken = self._uplink.ring.speech_seconds(feed.position)
        if spoken and not self._final_after_close:
            return None
        quiet = QUIET_AFTER_FINAL if self._final_after_close else QUIET_WITHOUT_FINAL
        quiet += QUIET_PER_SECOND * spoken
        return quiet - self._quiet_for()
