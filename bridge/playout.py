"""What to send of a reply, when, and how much of it the caller has heard.

Telnyx queues what it is sent and plays it in order; it tells of its progress only by returning a
mark once all audio before it was played, and returns every mark at once when the queue is cleared.
So the playout keeps a clock of its own: when the far queue will run dry, and which packet is being
played at any moment.  Marks behind each sentence bound what the clock may claim.

Pure: ``now`` is an argument, in seconds.  Not safe for threads by itself: whoever takes
:meth:`Playout.due` and sends it must hold one lock over both, and the same lock over
:meth:`Playout.pause` or :meth:`Playout.interrupt` and the ``clear`` that goes with it, or audio
taken before the ``clear`` would be sent behind it.

Rules of this module:

1. The first packets of a reply leave at once; then a chunk leaves when it begins no more than
   ``lead`` seconds ahead of the playout, so a stall of that length is not heard.
2. A chunk is sent short only when the far queue would run dry, or the segment ends.
3. A gap in the audio (a reply synthesised slower than it plays) stops the clock for as long.
4. A mark counts only in the generation that sent it; each ``clear`` begins a new one.
5. Heard is what was played: whole words, never more than the marks allow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bridge.segments import PACKET, SPEAKING_RATE, Segment

if TYPE_CHECKING:
    from bridge.settings import Settings

# Seconds.  Sums of floats that mean the same moment differ by less.
INSTANT = 1e-6

# Seconds by which a mark may come back before the clock says that its audio was played.  One that
# comes sooner was not returned by playing, and proves nothing.
EARLY = 0.25

# Seconds of what was just played that may still come back as echo.
ECHO = 0.5

# Seconds by which the far end may be ahead of our clock, as far as its echo goes.
AHEAD = 0.15

# Packets that are said again before the place where the caller stopped hearing: that place is known
# no better.
MARGIN = 2


class Chunk(NamedTuple):
    """Audio to be sent in one media frame."""

    payload: bytes
    seconds: float


class Mark(NamedTuple):
    """A mark to be sent behind the audio before it."""

    name: str


class Heard(NamedTuple):
    """What the caller has heard of a reply."""

    text: str
    seconds: float


class _SentMark(NamedTuple):
    """A mark that has not come back."""

    name: str
    segment: Segment
    position: int
    # When the clock says that it is reached.
    at: float


class _Run:
    """Packets that the far end plays without a gap, beginning at ``start``."""

    __slots__ = ("count", "first", "start")

    def __init__(self, start: float, first: int) -> None:
        self.start = start
        self.first = first
        self.count = 0

    @property
    def end(self) -> float:
        return self.start + self.count * PACKET


class Playout:
    """The agent's voice on one leg: one reply at a time.

    Attributes:
        joinable: whether packets may be joined in one frame.
    """

    def __init__(
        self,
        *,
        lead: float = 0.3,
        chunk: float = 0.1,
        first: float = 0.04,
        joinable: bool = True,
        grace: float = 1.0,
    ) -> None:
        """Make a playout that is silent.

        Args:
            lead: seconds by which a chunk may begin ahead of the playout.
            chunk: seconds of audio per frame.
            first: seconds of audio that are enough to begin with.
            joinable: whether packets may be joined in one frame; otherwise each is a frame.
            grace: seconds to wait for a mark beyond the time it should have come back.
        """
        self._lead = lead
        self._chunk = max(1, round(chunk / PACKET))
        self._first = max(1, round(first / PACKET))
        self.joinable = joinable
        self._grace = grace
        # The silence before the first reply is generation 0.
        self._generation = -1
        self._dry_at = float("-inf")
        # Half the shortest delay of a mark, once there was one; how much of that delay lies before
        # the caller's ear cannot be known.
        self._delay: float | None = None
        self._rate = SPEAKING_RATE
        self.begin()
        self._over = True

    @classmethod
    def from_settings(cls, settings: Settings, *, joinable: bool = True) -> Playout:
        """Make one by the environment's settings.

        Args:
            settings: lead and chunk are in them.
            joinable: whether packets of the leg's codec may be joined.
        """
        return cls(lead=settings.lead_ms / 1000, chunk=settings.chunk_ms / 1000, joinable=joinable)

    # The reply and its audio

    def begin(self) -> None:
        """Begin a new reply; the one before is forgotten, and audio added to it is dropped."""
        self._generation += 1
        self._reply = object()
        self._segments: list[Segment] = []
        self._count = 0
        self._ended = False
        self._over = False
        self._paused = False
        self._heard = Heard("", 0.0)
        # Sentences that begun() has told of.
        self._told = 0
        self._restart(0, 0)

    def _restart(self, cursor: int, floor: float) -> None:
        """Go on from a packet as if nothing from there on had been sent."""
        self._cursor = cursor
        self._sending = 0
        # Packets that the caller has heard for certain.
        self._floor = floor
        self._runs: list[_Run] = []
        self._marks: deque[_SentMark] = deque()

    def add_segment(self, text: str) -> Segment:
        """Append a sentence to the reply; its audio follows by :meth:`add`, in order of segments.

        Returns:
            What to pass to :meth:`add` and :meth:`end_segment`.
        """
        segment = Segment(self._reply, len(self._segments), text, self._count)
        self._segments.append(segment)
        return segment

    def add(self, segment: Segment, packets: Iterable[bytes], levels: Sequence[float] = ()) -> bool:
        """Append encoded packets of 20 ms to a segment.

        Args:
            segment: the newest that has audio, or a later one, which ends those before.
            packets: each the payload of one packet.
            levels: loudness of each packet in dBFS; lets a resumed reply begin in a pause of the
                speech, and :meth:`level` tell how loud the agent is.

        Returns:
            False when the segment's reply is over and nothing was taken: stop synthesising it.
        """
        if self._over or segment.reply is not self._reply:
            return False
        # Audio that comes late for a sentence that has ended is still to be said.
        while segment.complete and segment.index + 1 < len(self._segments):
            segment = self._segments[segment.index + 1]
        self._complete(segment.index)
        if not segment.count:
            segment.first = self._count
        segment.add(packets, levels)
        self._count = segment.end
        self._sending = min(self._sending, segment.index)
        return True

    def end_segment(self, segment: Segment) -> None:
        """Take note that a segment's audio is complete; its mark may follow."""
        if segment.reply is self._reply:
            self._complete(segment.index + 1)

    def end(self) -> None:
        """Take note that the reply is complete, with all segments that have been added."""
        self._complete(len(self._segments))
        self._ended = True

    def _complete(self, before: int) -> None:
        for segment in self._segments[self._sending : before]:
            if segment.complete:
                continue
            segment.complete = True
            if segment.count and not segment.cut:
                self._rate = len(segment.text) / (segment.count * PACKET) or SPEAKING_RATE
            elif not segment.count:
                segment.first = self._count

    @property
    def buffered(self) -> float:
        """Seconds of audio that wait to be sent."""
        return 0.0 if self._over else (self._count - self._cursor) * PACKET

    # Sending

    def due(self, now: float) -> list[Chunk | Mark]:
        """Take what is to be sent now, in order; empty when nothing is."""
        items: list[Chunk | Mark] = []
        if self._over or self._paused:
            return items
        while self._sending < len(self._segments):
            segment = self._segments[self._sending]
            if self._cursor < segment.end:
                due, count = self._next(segment, now)
                if due > now + INSTANT:
                    break
                items += self._send(segment, count, now)
            elif segment.complete:
                self._sending += 1
                if segment.count and not segment.returned:
                    items.append(self._mark(segment, now))
            else:
                break
        return items

    def next_due(self, now: float) -> float | None:
        """Get the time at which to ask :meth:`due` next; ``None`` until more is added."""
        if self._over or self._paused:
            return None
        for segment in self._segments[self._sending :]:
            if self._cursor < segment.end:
                return self._next(segment, now)[0]
            if not segment.complete:
                return None
            if segment.count and not segment.returned:
                return now
        return None

    def _next(self, segment: Segment, now: float) -> tuple[float, int]:
        """Say when the next packets of a segment are due, and how many."""
        waiting = segment.end - self._cursor
        if self._dry_at <= now:
            return now, min(waiting, self._first)
        if waiting >= self._chunk or segment.complete:
            return self._dry_at - self._lead, min(waiting, self._chunk)
        # Less than a chunk: wait for the rest of it as long as the far end has something to play.
        return self._dry_at - min(self._lead, self._chunk * PACKET), waiting

    def _send(self, segment: Segment, count: int, now: float) -> list[Chunk]:
        packets = segment.packets(self._cursor, count)
        start = max(now, self._dry_at)
        if not self._runs or self._runs[-1].end < start - INSTANT:
            self._runs.append(_Run(start, self._cursor))
        run = self._runs[-1]
        run.count += count
        self._cursor += count
        self._dry_at = run.end
        if self.joinable:
            return [Chunk(b"".join(packets), count * PACKET)]
        return [Chunk(packet, PACKET) for packet in packets]

    def _mark(self, segment: Segment, now: float) -> Mark:
        name = f"{self._generation}.{segment.index}"
        self._marks.append(_SentMark(name, segment, segment.end, max(now, self._dry_at)))
        return Mark(name)

    # The silence between replies

    def fill_due(self, lead: float) -> float:
        """Get the time at which the far end wants filling to have ``lead`` seconds to play."""
        return self._dry_at - lead

    def fill(self, seconds: float, now: float) -> None:
        """Take note that so much of something else was sent, in place of silence."""
        self._dry_at = max(now, self._dry_at) + seconds

    def drop_filling(self, now: float) -> None:
        """Take note that what was sent in place of silence was cleared."""
        self._dry_at = min(self._dry_at, now)

    # Hearing

    def mark_returned(self, name: str, now: float) -> None:
        """Take note of a mark that came back; one of an older generation is ignored."""
        if not any(mark.name == name for mark in self._marks):
            return
        # They come back in order, so those before it were lost.
        while (mark := self._marks.popleft()).name != name:
            pass
        if now < mark.at - EARLY:
            return
        self._floor = max(self._floor, mark.position)
        delay = max(0.0, now - mark.at) / 2
        self._delay = delay if self._delay is None else min(self._delay, delay)
        for segment in self._segments[: mark.segment.index + 1]:
            segment.returned = True
            segment.forget_audio()

    def _played(self, now: float) -> float:
        """Tell how many packets of the reply were played, as the clock says and the marks allow."""
        played = self._floor
        at_the_ear = now - (self._delay or 0.0)
        for run in reversed(self._runs):
            if at_the_ear >= run.start:
                played = run.first + min((at_the_ear - run.start) / PACKET, run.count)
                break
        for mark in self._marks:
            # A mark that is long overdue was lost, and bounds nothing.
            if now < mark.at + self._grace:
                played = min(played, mark.position)
                break
        return max(played, self._floor)

    def position(self, now: float) -> float:
        """Get the seconds of the reply that the caller has heard."""
        if self._over or self._paused:
            return self._heard.seconds
        return self._played(now) * PACKET

    def heard(self, now: float) -> Heard:
        """Get what the caller has heard of the reply so far."""
        if self._over or self._paused:
            return self._heard
        played = self._played(now)
        texts = []
        for segment in self._segments:
            if played <= segment.first:
                break
            texts.append(segment.heard_text(played - segment.first, self._rate))
        return Heard(" ".join(text.strip() for text in texts if text.strip()), played * PACKET)

    def level(self, now: float) -> float | None:
        """Get the loudness in dBFS of what the caller heard within the last half second, if known.

        That is what may come back as echo.
        """
        if not self._runs:
            return None
        # Marks are no bound here: one that is late would hide the sentence behind it, whose echo
        # comes all the same.
        run = next((run for run in reversed(self._runs) if now + AHEAD >= run.start), self._runs[0])
        last = run.first + min(int((now + AHEAD - run.start) / PACKET), run.count)
        first = int(self._played(now)) - round(ECHO / PACKET)
        loudest: float | None = None
        for segment in reversed(self._segments):
            # One whose audio has not come yet ends where it begins: nowhere.
            if segment.count and segment.end < first:
                break
            for index in range(max(first, segment.first), min(last + 1, segment.end)):
                level = segment.level(index)
                if level is not None and (loudest is None or level > loudest):
                    loudest = level
        return loudest

    def begun(self, now: float) -> list[str]:
        """Take the sentences that the caller has begun to hear since the last time, in order."""
        texts = []
        played = self._floor if self._over or self._paused else self._played(now)
        while self._told < len(self._segments):
            segment = self._segments[self._told]
            if not segment.count or played <= segment.first:
                break
            texts.append(segment.text)
            self._told += 1
        return texts

    # Barge-in

    def pause(self, now: float) -> Heard:
        """Stop sending; the caller of this sends ``clear``. Audio may still be added."""
        if not (self._over or self._paused):
            self._heard = self.heard(now)
            played = self._played(now)
            self._generation += 1
            self._dry_at = now
            self._restart(self._again_from(played), played)
            self._paused = True
        return self._heard

    def resume(self, now: float) -> None:
        """Go on after :meth:`pause`, from the start of the word that the caller had heard up to."""
        if self._paused and not self._over:
            self._paused = False
            self._dry_at = max(now, self._dry_at)

    def interrupt(self, now: float) -> Heard:
        """End the reply; the caller of this sends ``clear``. Also ends one that is paused."""
        if not self._over:
            self.pause(now)
            self._paused = False
            self._over = True
            for segment in self._segments:
                segment.forget_audio()
        return self._heard

    def _again_from(self, played: float) -> int:
        """Choose the packet from which to speak again to a caller who heard ``played`` packets."""
        for segment in self._segments:
            if played < segment.end and not segment.returned:
                place = max(0, int(played) - MARGIN - segment.first)
                return segment.first + segment.word_start(place, self._rate)
        return self._count

    # The end

    def finished(self, now: float) -> bool:
        """Tell whether the reply has been heard to its end, or was interrupted."""
        if self._over:
            return True
        by = self.finish_by(now)
        return by is not None and (self._floor >= self._count or now >= by)

    def finish_by(self, now: float) -> float | None:
        """Get when :meth:`finished` turns true at the latest; ``None`` if that is not known yet."""
        if self._over:
            return now
        if not self._ended or self._paused or self.next_due(now) is not None:
            return None
        return self._marks[-1].at + self._grace if self._marks else self._dry_at


__all__ = ["PACKET", "Chunk", "Heard", "Mark", "Playout", "Segment"]
