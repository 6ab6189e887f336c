"""What to send of a reply, when, and how much of it the caller has heard.

Telnyx queues what it is sent and plays it in order.  How far it is, :mod:`bridge.farend` tells,
with a clock and the marks that are sent behind each sentence.

Pure: ``now`` is an argument, in seconds.  Not safe for threads by itself: whoever takes
:meth:`Playout.due` and sends it must hold one lock over both, and the same lock over
:meth:`Playout.pause` or :meth:`Playout.interrupt` and the ``clear`` that goes with it, or audio
taken before the ``clear`` would be sent behind it.

Rules of this module:

1. The first packets of a reply leave at once; then a chunk leaves when it begins no more than
   ``lead`` seconds ahead of the playout, so a stall of that length is not heard.
2. A chunk is sent short only when the far queue would run dry, or the segment ends.
3. A mark counts only in the generation that sent it; each ``clear`` begins a new one.
4. Heard is what was played: whole words, never more than the marks allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bridge.farend import INSTANT, FarEnd
from bridge.segments import PACKET, SPEAKING_RATE, Segment

if TYPE_CHECKING:
    from bridge.settings import Settings

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
        self._far = FarEnd(grace)
        # The silence before the first reply is generation 0.
        self._generation = -1
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
        self._far.restart(floor)

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
        if self._far.dry_at <= now:
            return now, min(waiting, self._first)
        if waiting >= self._chunk or segment.complete:
            return self._far.dry_at - self._lead, min(waiting, self._chunk)
        # Less than a chunk: wait for the rest of it as long as the far end has something to play.
        return self._far.dry_at - min(self._lead, self._chunk * PACKET), waiting

    def _send(self, segment: Segment, count: int, now: float) -> list[Chunk]:
        packets = segment.packets(self._cursor, count)
        self._far.send(self._cursor, count, now)
        self._cursor += count
        if self.joinable:
            return [Chunk(b"".join(packets), count * PACKET)]
        return [Chunk(packet, PACKET) for packet in packets]

    def _mark(self, segment: Segment, now: float) -> Mark:
        name = f"{self._generation}.{segment.index}"
        self._far.mark(name, segment, now)
        return Mark(name)

    # The silence between replies

    def fill_due(self, lead: float) -> float:
        """Get the time at which the far end wants filling to have ``lead`` seconds to play."""
        return self._far.dry_at - lead

    def fill(self, seconds: float, now: float) -> None:
        """Take note that so much of something else was sent, in place of silence."""
        self._far.fill(seconds, now)

    def drop_filling(self, now: float) -> None:
        """Take note that what was sent in place of silence was cleared."""
        self._far.dry_at = min(self._far.dry_at, now)

    # Hearing

    def mark_returned(self, name: str, now: float) -> None:
        """Take note of a mark that came back; one of an older generation is ignored."""
        mark = self._far.returned(name, now)
        if mark is None:
            return
        for segment in self._segments[: mark.segment.index + 1]:
            segment.returned = True
            segment.forget_audio()

    def position(self, now: float) -> float:
        """Get the seconds of the reply that the caller has heard."""
        if self._over or self._paused:
            return self._heard.seconds
        return self._far.played(now) * PACKET

    def heard(self, now: float) -> Heard:
        """Get what the caller has heard of the reply so far."""
        if self._over or self._paused:
            return self._heard
        return self._heard_of(self._far.played(now))

    def _heard_of(self, played: float) -> Heard:
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
        if not self._far.runs:
            return None
        # Marks are no bound here: one that is late would hide the sentence behind it, whose echo
        # comes all the same.
        last = self._far.latest(now, AHEAD)
        first = int(self._far.played(now)) - round(ECHO / PACKET)
        loudest: float | None = None
        for segment in reversed(self._segments):
            # One whose audio has not come yet ends where it begins: nowhere.
            if segment.count and segment.end < first:
                break
            level = segment.loudest(first, last + 1)
            if level is not None and (loudest is None or level > loudest):
                loudest = level
        return loudest

    def begun(self, now: float) -> list[str]:
        """Take the sentences that the caller has begun to hear since the last time, in order."""
        texts: list[str] = []
        if self._told == len(self._segments):
            return texts
        played = self._far.floor if self._over or self._paused else self._far.played(now)
        while self._told < len(self._segments):
            segment = self._segments[self._told]
            if not segment.count or played <= segment.first:
                break
            texts.append(segment.text)
            self._told += 1
        return texts

    # Barge-in

    def pause(self, now: float, *, lost: bool = False) -> Heard:
        """Stop sending; the caller of this sends ``clear``. Audio may still be added.

        Args:
            now: the time.
            lost: whether the stream has ended, as far as can be known at ``now``: what may not have
                been played by then counts as unheard.  A word said twice is better than one lost.
        """
        if not (self._over or self._paused):
            played = self._far.played_at_least(now) if lost else self._far.played(now)
            self._heard = self._heard_of(played)
            self._generation += 1
            self._far.dry_at = now
            self._restart(self._again_from(played), played)
            self._paused = True
        return self._heard

    def resume(self, now: float) -> None:
        """Go on after :meth:`pause`, from the start of the word that the caller had heard up to."""
        if self._paused and not self._over:
            self._paused = False
            self._far.dry_at = max(now, self._far.dry_at)

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
        return by is not None and (self._far.floor >= self._count or now >= by)

    def finish_by(self, now: float) -> float | None:
        """Get when :meth:`finished` turns true at the latest; ``None`` if that is not known yet."""
        if self._over:
            return now
        if not self._ended or self._paused or self.next_due(now) is not None:
            return None
        return self._far.marks[-1].at + self._far.grace if self._far.marks else self._far.dry_at


__all__ = ["PACKET", "Chunk", "Heard", "Mark", "Playout", "Segment"]
