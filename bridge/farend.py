"""How much of what was sent has been played at the far end.

Telnyx tells of its progress only by returning a mark once all audio before it was played, and
returns every mark at once when its queue is cleared.  So there is a clock: when the far queue will
run dry, and which packet is being played at any moment.  Marks bound what the clock may claim.

Pure: ``now`` is an argument, in seconds.

Rules of this module:

1. A gap in the audio (a reply synthesised slower than it plays) stops the clock for as long.
2. What a mark has proved stays heard.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from bridge.segments import PACKET, Segment

__all__ = ["INSTANT", "FarEnd", "SentMark"]

# Seconds.  Sums of floats that mean the same moment differ by less.
INSTANT = 1e-6

# Seconds by which a mark may come back before the clock says that its audio was played.  One that
# comes sooner was not returned by playing, and proves nothing.
EARLY = 0.25

# Seconds by which a stream's end may be known too late, beyond what its marks tell; and the most
# that is taken off for both: a mark may also be late because we were.
UNSURE = 0.04
LONGEST = 0.5


class SentMark(NamedTuple):
    """A mark that has not come back."""

    name: str
    segment: Segment
    position: int
    # When the clock says that it is reached.
    at: float


class Run:
    """Packets that the far end plays without a gap, beginning at ``start``."""

    __slots__ = ("count", "first", "start")

    def __init__(self, start: float, first: int) -> None:
        self.start = start
        self.first = first
        self.count = 0

    @property
    def end(self) -> float:
        """When the last of them has been played."""
        return self.start + self.count * PACKET

    def packet_at(self, at: float) -> float:
        """Get the packet, counted in the reply, that is reached at a time within the run."""
        return self.first + min((at - self.start) / PACKET, self.count)


class FarEnd:
    """The far end's queue, by the clock.

    Attributes:
        dry_at: when there will be nothing left to play.
        floor: packets of the reply that the caller has heard for certain.
        runs: what was sent of the reply since it began or went on.
        marks: that are to come back.
    """

    def __init__(self, grace: float) -> None:
        """Begin with an empty queue.

        Args:
            grace: seconds beyond its time after which a mark counts as lost.
        """
        self.grace = grace
        self.dry_at = float("-inf")
        # Half the shortest delay of a mark, once there was one; how much of that delay lies before
        # the caller's ear cannot be known.
        self._delay: float | None = None
        # How late the last mark was: the way there and back, and where the far end has stalled.
        self._late = 0.0
        self.restart(0)

    def restart(self, floor: float) -> None:
        """Forget what was sent: nothing behind ``floor`` has been."""
        self.floor = floor
        self.runs: list[Run] = []
        self.marks: deque[SentMark] = deque()

    def send(self, first: int, count: int, now: float) -> None:
        """Take note that packets of the reply were sent, beginning with ``first``."""
        start = max(now, self.dry_at)
        if not self.runs or self.runs[-1].end < start - INSTANT:
            self.runs.append(Run(start, first))
        run = self.runs[-1]
        run.count += count
        self.dry_at = run.end

    def fill(self, seconds: float, now: float) -> None:
        """Take note that so much of something else was sent, in place of silence."""
        self.dry_at = max(now, self.dry_at) + seconds

    def mark(self, name: str, segment: Segment, now: float) -> None:
        """Take note of a mark that was sent behind a segment."""
        self.marks.append(SentMark(name, segment, segment.end, max(now, self.dry_at)))

    def returned(self, name: str, now: float) -> SentMark | None:
        """Take note of a mark that came back; ``None`` if it proves nothing."""
        if not any(mark.name == name for mark in self.marks):
            return None
        # They come back in order, so those before it were lost.
        while (mark := self.marks.popleft()).name != name:
            pass
        if now < mark.at - EARLY:
            return None
        self.floor = max(self.floor, mark.position)
        self._late = max(0.0, now - mark.at)
        delay = self._late / 2
        self._delay = delay if self._delay is None else min(self._delay, delay)
        return mark

    def played(self, now: float) -> float:
        """Tell how many packets of the reply were played, as the clock says and the marks allow."""
        played = self.floor
        at_the_ear = now - (self._delay or 0.0)
        for run in reversed(self.runs):
            if at_the_ear >= run.start:
                played = run.packet_at(at_the_ear)
                break
        for mark in self.marks:
            # A mark that is long overdue was lost, and bounds nothing.
            if now < mark.at + self.grace:
                played = min(played, mark.position)
                break
        return max(played, self.floor)

    def played_at_least(self, now: float) -> float:
        """Tell how many packets were played when the stream was lost whose end we saw at ``now``.

        What was sent last was on its way there, and the last sign of the stream on its way here, so
        all of a mark's delay lies between the two, where :meth:`played` takes off half of it.
        """
        unsure = max(0.0, self._late - (self._delay or 0.0)) + UNSURE
        return self.played(now - min(unsure, LONGEST))

    def latest(self, now: float, ahead: float) -> int:
        """Get the last packet that may be played within ``ahead`` seconds, whatever the marks say.

        There has to be something that was sent.
        """
        soon = now + ahead
        run = next((run for run in reversed(self.runs) if soon >= run.start), self.runs[0])
        return int(run.packet_at(soon))
