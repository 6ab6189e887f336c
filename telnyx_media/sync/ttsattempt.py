"""One socket's worth of synthesis: what was sent on it, and what has come back.

Everything that must not survive a reconnect lives here: the socket, the decoder, the filter for
audio that comes twice, the assignment of audio to segments.  A new attempt starts clean.

Threads: the methods are called by the session's receive thread, except :meth:`say` and
:meth:`end`, which any thread may call while it holds the session's lock.
"""

from __future__ import annotations

import contextlib
import time
from http import HTTPStatus

from telnyx_media.errors import (
    ConnectionLost,
    DeadlineExceeded,
    ServiceError,
    TelnyxMediaError,
)
from telnyx_media.pcm import seconds
from telnyx_media.segments import SegmentTracker
from telnyx_media.speechdecoder import SpeechDecoder
from telnyx_media.sync.connection import PeerClosed
from telnyx_media.sync.keptsocket import Link
from telnyx_media.sync.threads import QueueClosed
from telnyx_media.synthesis import (
    AudioFilter,
    TtsOptions,
    end_frame,
    first_frame,
    parse_reply,
    text_frame,
)

# How long more audio, or the close, is waited for after an isFinal that follows our end frame, in
# seconds: behind the last segment; when segments have had no audio yet; and without any isFinal,
# when the service has named all the text.
GRACE = 0.3
LONG_GRACE = 2.0
NAMED_GRACE = 1.0

# How long a sign of the end is waited for on a socket that is to be kept, in seconds.
KEEP_PATIENCE = 1.0

# A close without an end is no loss when nothing has come for so long, in seconds (Telnyx closes a
# socket that is idle for 20 s).
IDLE = 3.0

# A polite close.
_NORMAL = (1000, 1005)


class Piece:
    """What one message of the service amounts to.  ``closed`` comes before or behind ``pcm``.

    Attributes:
        pcm: decoded audio, perhaps empty.
        index: of the segment, as counted by this attempt, that it belongs to.
        closed: indices of the segments that are complete behind it.
    """

    __slots__ = ("closed", "index", "pcm")

    def __init__(self, pcm: bytes = b"", index: int = 0, closed: range = range(0)) -> None:
        """Make one."""
        self.pcm = pcm
        self.index = index
        self.closed = closed


class Attempt:
    """One connection, the texts sent on it and the audio received.

    Attributes:
        segments: for each text sent here, the index of the session's segment.
        delivered: seconds of audio that came out of this attempt.
        tracker: assigns audio to texts.
        finished: set when everything has come.
        ended: whether no more text will be sent.
        keep: whether the socket is to carry another reply; given up when the service shows no end
            of its own.
    """

    def __init__(
        self,
        link: Link,
        options: TtsOptions,
        sample_rate: int,
        *,
        reply_timeout: float,
        reused: bool = False,
        keep: bool = False,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            link: to use; connected already if ``reused``.
            options: of the voice.
            sample_rate: of the PCM wanted.
            reply_timeout: seconds without audio, while some is due, after which it is given up.
            reused: whether the link has carried a reply before.
            keep: whether it shall carry another.
        """
        self.link = link
        self.connection = link.connection
        self.reused = reused
        self.keep = keep
        self.segments: list[int] = []
        self.delivered = 0.0
        self.tracker = SegmentTracker()
        self.finished = False
        self.ended = False
        self._voice = options.name
        self._rate = sample_rate
        self._reply_timeout = reply_timeout
        self._filter = AudioFilter()
        self._decoder = SpeechDecoder(
            sample_rate, asked=options.audio_format, asked_rate=options.sample_rate
        )
        self._outgoing = link.outgoing
        self._end_sent = False
        if not reused:
            self._outgoing.push(first_frame(options))
        self._final_at: float | None = None
        self._last_audio = time.monotonic()
        self._last_sent = time.monotonic()

    # -- any thread, with the session's lock held ------------------------------------------------

    def say(self, text: str, segment: int) -> None:
        """Send a text."""
        self.segments.append(segment)
        self.tracker.add(text)
        self._last_sent = time.monotonic()
        self._outgoing.push(text_frame(text))

    def end(self) -> None:
        """Send the end of the speech; may be called twice."""
        if not self.ended:
            self.ended = True
            self._last_sent = time.monotonic()
            if not self.keep:
                self._send_end()

    # -- the session's thread --------------------------------------------------------------------

    def connect(self) -> None:
        """Connect, unless the socket is reused.

        Raises:
            TelnyxMediaError: as :meth:`Connection.connect`.
        """
        if self.reused:
            return
        refusal: ServiceError
        try:
            self.connection.connect()
        except ServiceError as error:
            if error.http_status == HTTPStatus.UNAUTHORIZED or error.retryable:
                raise
            # Which of several voices it was; the answer often does not say.
            refusal = error.about(f"voice {self._voice}")
        else:
            return
        raise refusal

    def start(self) -> None:
        """Begin to send, once connected."""
        if not self.reused:
            self.connection.start(self._outgoing)
        self._last_sent = time.monotonic()

    def receive(self, tick: float | None = None) -> Piece:
        """Wait for the next message that means something.

        Args:
            tick: seconds after which to come back with nothing.

        Raises:
            DeadlineExceeded: the service was silent although speech was due.
            ServiceError: it refused or failed.
            ConnectionLost: the connection ended before the speech did.
            SessionEnded: the session was closed.
        """
        limit = self._limit()
        if tick is not None:
            limit = tick if limit is None else min(limit, tick)
        try:
            data = self.connection.receive(limit)
        except TimeoutError as error:
            if isinstance(error, DeadlineExceeded):
                raise
            return self._on_silence()
        except PeerClosed as closed:
            return self._on_close(closed)
        reply = parse_reply(data)
        if reply is None:
            return Piece()
        if reply.error is not None:
            raise self.connection.reported(reply.error)
        audio = self._filter.take(reply)
        pcm = self._decoder.feed(audio) if audio else b""
        before = self.tracker.current
        if audio:
            self._last_audio = time.monotonic()
            if self._final_at is not None:
                # The service goes on: the isFinal before was that of a single text.
                self._final_at = None
                self.tracker.final()
        index = self._count(pcm)
        if reply.text:
            # The very last segment is closed by the end, behind the last of the audio.
            self.tracker.text(reply.text, keep_last=self.ended)
        if reply.is_final:
            self._on_final()
        return Piece(pcm, index, range(before, self.tracker.current))

    # -- helpers ---------------------------------------------------------------------------------

    def _count(self, pcm: bytes) -> int:
        length = seconds(pcm, self._rate)
        self.delivered += length
        return self.tracker.audio(length)

    def _send_end(self) -> None:
        self._end_sent = True
        with contextlib.suppress(QueueClosed):
            self._outgoing.push(end_frame())

    def _limit(self) -> float | None:
        now = time.monotonic()
        if self.keep and self.ended and not self.tracker.outstanding:
            return 0.0
        if self._final_at is not None:
            grace = GRACE if self.tracker.on_last else LONG_GRACE
            return max(0.0, self._final_at + grace - now)
        if self.ended and self.tracker.named:
            return max(0.0, self._last_audio + NAMED_GRACE - now)
        if not self.tracker.outstanding and not self.ended:
            return None
        if self.keep and self.ended and self.delivered:
            return max(0.0, max(self._last_audio, self._last_sent) + KEEP_PATIENCE - now)
        return max(0.0, max(self._last_audio, self._last_sent) + self._reply_timeout - now)

    def _on_final(self) -> None:
        if self.ended:
            # Perhaps the end of all, perhaps of one text: what follows tells.
            self._final_at = time.monotonic()
        else:
            self.tracker.final()

    def _on_silence(self) -> Piece:
        limit = self._limit()
        if limit is None or limit > 0:
            return Piece()
        if self.keep and self.ended and not self.tracker.outstanding:
            return self._finish()
        if self._final_at is not None:
            if self.tracker.on_last or self.tracker.plausible:
                return self._finish()
            self._final_at = None
            return Piece()
        if self.ended and self.tracker.named:
            return self._finish()
        if self.keep and self.ended and self.delivered:
            # No sign of an end: this service has to be told ours.
            self.keep = False
            self._last_sent = time.monotonic()
            self._send_end()
            return Piece()
        raise DeadlineExceeded(f"the service sent no audio for {self._reply_timeout:g} s")

    def _on_close(self, closed: PeerClosed) -> Piece:
        polite = closed.code in _NORMAL
        if self._final_at is not None and (polite or self.tracker.on_last):
            return self._finish()
        if polite and self.ended and self.delivered and self.tracker.plausible:
            return self._finish()
        idle = time.monotonic() - self._last_audio > IDLE
        if (
            polite
            and not self.ended
            and idle
            and (
                not self.tracker.outstanding or (self.tracker.on_last and self.tracker.seconds > 0)
            )
        ):
            # Nothing was due any more: the service tired of waiting for more text.
            return self._finish()
        error = closed.to_error()
        raise error if isinstance(error, TelnyxMediaError) else closed

    def _finish(self) -> Piece:
        if not self.delivered and self.segments:
            raise ConnectionLost("the service ended the speech without any audio")
        self.finished = True
        pcm = self._decoder.close()
        index = self._count(pcm)
        before = self.tracker.current
        self.tracker.finish()
        return Piece(pcm, index, range(before, self.tracker.current))
