"""Which media streams a leg has, and by when it has to have one.

A leg has one stream that counts.  It may come late, be lost and come back by itself, be superseded
by a newer one, or never come at all (Telnyx: media-streaming page); the leg goes on meanwhile, but
not for ever.

Pure: ``now`` is an argument, in seconds.  Not safe for threads by itself: the leg holds its lock.
"""

from __future__ import annotations

from bridge.stream import MediaStream

__all__ = ["Streams"]

# How often in a row a stream is asked for again, before one has lasted STEADY seconds.
RESTARTS = 1
STEADY = 2.0


class Streams:
    """The media sockets of one leg.

    Attributes:
        current: the stream that counts, if there is one.
        open: every socket that is being read.
        due: when a stream has to be there; ``None`` while one is, or none is expected.
        started: streams that have started so far.
        bad_frames: frames that meant nothing, on sockets that are closed.
    """

    def __init__(self) -> None:
        self.current: MediaStream | None = None
        self.open: set[MediaStream] = set()
        self.due: float | None = None
        self.started = 0
        self.bad_frames = 0
        self._since = 0.0
        self._restarts = 0

    @property
    def since(self) -> float | None:
        """Get when the stream began that counts, if there is one."""
        return None if self.current is None else self._since

    def expect(self, by: float) -> None:
        """Have a stream there by then, unless it was to be there sooner."""
        if self.current is None:
            self.due = by if self.due is None else min(self.due, by)

    def hurry(self, now: float) -> bool:
        """Wait no longer for a stream that will not come; whether one was waited for."""
        waiting = self.current is None and self.due is not None
        if waiting:
            self.due = now
        return waiting

    def start(self, stream: MediaStream, now: float) -> MediaStream | None:
        """Let ``stream`` be the one that counts; get the one that it supersedes."""
        before, self.current = self.current, stream
        if before is not None:
            before.current = False
        stream.current = True
        self.due = None
        self.started += 1
        self._since = now
        return before

    def close(self, stream: MediaStream, now: float) -> bool:
        """Note that a socket is closed; whether it was the one that counts."""
        self.open.discard(stream)
        self.bad_frames += stream.bad_frames
        if self.current is not stream:
            return False
        self.current = None
        if now - self._since >= STEADY:
            self._restarts = 0
        return True

    def restart(self, by: float) -> bool:
        """Count another try to get a stream by then; False when there were enough."""
        if self._restarts >= RESTARTS:
            return False
        self._restarts += 1
        self.due = by
        return True
