"""Read one media stream of a leg: frames in, and to whom each belongs.

A leg has one stream at a time, but not one for ever: a socket may be lost and come back, or another
be opened in its place, and the newest is the one that counts (Telnyx: media-streaming page).

Threads: the web server's, one request each; :meth:`MediaStream.read` blocks on it until the socket
is closed.  Up to ``start``, which may take a while, frames are read there too; behind it on the
process's reader, where nothing that is done with them may wait.

Rules of this module:

1. A frame that means nothing costs one log line and no more; too many of them cost the stream.
2. Nothing but ``start`` is acted upon until ``start`` has named this token's leg.
3. No log line has a payload, a digit or a token.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NoReturn, Protocol

from bridge.logs import LegLogger
from bridge.mediasocket import SocketClosed
from bridge.streamclock import StreamClock
from telnyx_media.errors import FrameError
from telnyx_media.frames import Dtmf, Frame, Mark, Media, Start, Stop, StreamError, parse_frame

__all__ = ["MediaStream", "StreamSocket"]

# Frames without meaning that one stream may have; a peer that sends more is not Telnyx.
BAD_FRAMES = 50

# Close codes, RFC 6455 §7.4.1.
NORMAL, POLICY, INTERNAL_ERROR = 1000, 1008, 1011


class StreamSocket(Protocol):
    """A media socket as a leg needs it."""

    def receive(self) -> bytes:
        """Wait for the next message; raise ``SocketClosed``."""

    def listen(self, deliver: Callable[[bytes], object]) -> NoReturn:
        """Have each message given to ``deliver``; raise ``SocketClosed``, or what that raises."""

    def send(self, text: str | bytes) -> None:
        """Send one message; never waits."""

    def flush(self) -> int:
        """Try again to send what waits."""

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say goodbye; never waits."""


class StreamOwner(Protocol):
    """The leg that a stream belongs to."""

    def stream_started(self, stream: MediaStream, start: Start) -> bool:
        """Take the stream up; False refuses it."""

    def stream_media(self, media: Media) -> None:
        """Take in the caller's audio."""

    def stream_mark(self, name: str) -> None:
        """Take note of a mark."""

    def stream_digit(self, digit: str, occurred_at: str) -> None:
        """Take in a key, and when it was pressed as Telnyx writes it."""

    def stream_stopped(self, stream: MediaStream) -> None:
        """Take note that Telnyx has ended the stream."""


class MediaStream:
    """One media socket of a leg, while it lasts.

    Attributes:
        socket: where it is sent to.
        started: whether its ``start`` was taken up.
        stopped: whether Telnyx said ``stop``.
        current: whether it is the leg's newest; the leg sets this.
        bad_frames: frames that meant nothing.
        clock: its time line.
    """

    def __init__(self, socket: StreamSocket, owner: StreamOwner, log: LegLogger) -> None:
        """Make a stream that has not begun.

        Args:
            socket: accepted already.
            owner: told of what comes.
            log: the leg's.
        """
        self.socket = socket
        self.started = False
        self.stopped = False
        self.current = False
        self.bad_frames = 0
        self.clock = StreamClock()
        self._owner = owner
        self._log = log

    def read(self) -> SocketClosed:
        """Take in frames until the socket is closed, and tell how it was."""
        try:
            while not self.started:
                self._read_message(self.socket.receive())
            self.socket.listen(self._read_message)
        except SocketClosed as closed:
            return closed

    def _read_message(self, message: bytes) -> None:
        try:
            frame = parse_frame(message)
        except FrameError as error:
            self._note_bad(error)
            return
        if frame is not None:
            self._take(frame)

    def _note_bad(self, error: FrameError) -> None:
        self.bad_frames += 1
        self._log.warning("ignored a media frame: %s", error)
        if self.bad_frames >= BAD_FRAMES:
            self.socket.close(POLICY, "too many malformed frames")

    def _take(self, frame: Frame) -> None:
        # Nearly every frame is audio.
        if isinstance(frame, Media):
            if frame.track == "inbound" and self.started and self.current:
                if frame.chunk_number is not None:
                    self.clock.packet(frame.chunk_number, time.monotonic())
                self._owner.stream_media(frame)
        elif isinstance(frame, Start):
            self._start(frame)
        elif isinstance(frame, StreamError):
            # Whether the socket stays open after it is not documented: the close decides.
            self._log.warning("Telnyx reported a media stream error: code %d", frame.code)
        elif not (self.started and self.current):
            return
        elif isinstance(frame, Mark):
            self._owner.stream_mark(frame.name)
        elif isinstance(frame, Dtmf):
            self._owner.stream_digit(frame.digit, frame.occurred_at)
        elif isinstance(frame, Stop):
            self.stopped = True
            self._owner.stream_stopped(self)

    def _start(self, start: Start) -> None:
        if self.started:
            self._log.warning("ignored a second start frame")
        elif self._owner.stream_started(self, start):
            self.started = True
        else:
            self.socket.close(POLICY, "no stream for this leg")
