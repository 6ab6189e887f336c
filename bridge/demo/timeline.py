"""The call as a table of turns, with the two figures that matter.

Two views of one call are laid over each other: what the simulated network saw (when the caller
spoke, when media frames came, when ``clear`` came) and what the app said about itself (the words).
All that is *measured* is of the first kind, so it is what a telephone network would measure.

Pure.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bridge.demo.journal import Entry

# Seconds of a packet: the last one with sound left the caller that much before its sound was over.
PTIME = 0.02

# Parts of the app's own latency, in the order in which they follow each other.
PARTS = ("endpoint", "agent", "first_text", "first_audio", "first_frame")


@dataclass(frozen=True)
class Speech:
    """A stretch of the caller's speech, in seconds on the call's time line."""

    start: float
    end: float
    script: str = ""


@dataclass(frozen=True)
class Seen:
    """What the simulated network saw of a call.

    Attributes:
        speeches: when the caller spoke.
        frames: for each media frame from the app: when it came, and seconds of audio in it.
        clears: when each ``clear`` came.
        voices: for each synthesis session: when it began, and seconds that the simulated voice took
            to compute its first sound.
    """

    speeches: Sequence[Speech]
    frames: Sequence[tuple[float, float]]
    clears: Sequence[float]
    voices: Sequence[tuple[float, float]] = ()


@dataclass
class Item:
    """One turn of either side.

    Attributes:
        speaker: ``"caller"`` or ``"agent"``.
        text: the words; the caller's as they were recognised.
        start: when it began at the caller's ear or mouth, seconds on the call's time line.
        end: when it ended there.
        heard: the agent's words that were played.
        interrupted: whether the caller broke in on it.
        latency: seconds from the caller's last packet to the first media frame, where it answers.
        chosen: how much of that the app chose to wait, by its setting and the caller's words, where
            silence ended the turn.
        voice: how much of it the simulated voice computed until it had a sound.
        parts: where the app says that this time went.
        script: what the caller was to say.
        stopped_after: seconds from the caller's first sound to ``clear``, where they broke in.
    """

    speaker: str
    text: str
    start: float
    end: float
    heard: str = ""
    interrupted: bool = False
    latency: float | None = None
    chosen: float | None = None
    voice: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    script: str = ""
    stopped_after: float | None = None


@dataclass(frozen=True)
class Figures:
    """What the call shows, in seconds; ``None`` where it did not happen.

    Attributes:
        reply: median of the caller's last packet to the first media frame of the reply.
        chosen: median of the silence that the app chose to wait for the end of each turn.
        voice: median of what the simulated voice took to compute its first sound.
        beyond: median of the first less the other two: what the software adds.
        slowest: the longest of them.
        stopped: the longest time from the caller breaking in to ``clear``.
        replies: how many replies the median is of.
    """

    reply: float | None
    chosen: float | None
    voice: float | None
    beyond: float | None
    slowest: float | None
    stopped: float | None
    replies: int


class Timeline:
    """Lays the two views over each other, as the call goes.

    Attributes:
        items: the turns so far, in order.
    """

    def __init__(self, began_at: float) -> None:
        """Begin with no turn.

        Args:
            began_at: the monotonic clock at the begin of the call's time line.
        """
        self.items: list[Item] = []
        self._began_at = began_at
        self._last_turn_at = 0.0
        self._last_reply_start = self._last_reply_end = -1.0

    def add(self, entries: Iterable[Entry], seen: Seen) -> list[Item]:
        """Take in what the app told, with what was seen so far.

        Returns:
            The turns that are new.
        """
        new: list[Item] = []
        for entry in entries:
            at = entry["at"] - self._began_at
            if entry["what"] == "turn":
                new.append(self._turn(entry, at, seen))
            elif entry["what"] == "reply":
                item = self._reply(entry, at, seen)
                if item is not None:
                    new.append(item)
        self.items.extend(new)
        return new

    def _turn(self, entry: Entry, at: float, seen: Seen) -> Item:
        """Find the stretches of speech that this turn was made of."""
        before, self._last_turn_at = self._last_turn_at, at
        mine = [speech for speech in seen.speeches if speech.start < at and speech.end > before]
        return Item(
            speaker="caller",
            text=entry["text"] or " ".join(entry["digits"]),
            start=max(mine[0].start, before) if mine else at,
            end=min(mine[-1].end, at) if mine else at,
            # Of a clip that made two turns, the words are shown with the first.
            script=" ".join(speech.script for speech in mine if speech.start >= before),
        )

    def _reply(self, entry: Entry, at: float, seen: Seen) -> Item | None:
        """Find the media frames that this reply was made of; ``None`` if it never began."""
        frames = [frame for frame in seen.frames if self._last_reply_end < frame[0] <= at]
        if not frames:
            return None
        start, earlier = frames[0][0], self._last_reply_start
        self._last_reply_start, self._last_reply_end = start, at
        end = played_until(frames)
        clears = [clear for clear in seen.clears if start <= clear <= at]
        item = Item(
            speaker="agent",
            text=entry["text"],
            start=start,
            end=min(end, clears[0]) if clears else end,
            heard=entry["heard"],
            interrupted=entry["interrupted"],
            parts={
                part: entry["latency"][part]
                for part in PARTS
                if entry["latency"].get(part) is not None
            },
        )
        before = [speech for speech in seen.speeches if speech.end <= start]
        if before and before[-1].end > earlier:
            # A second reply in a row answers nobody.
            item.latency = start - (before[-1].end - PTIME)
            item.chosen = entry["latency"].get("chosen")
            computed = [took for began, took in seen.voices if earlier < began <= start]
            item.voice = computed[-1] if computed else 0.0
        if item.interrupted and clears:
            over = [s for s in seen.speeches if start < s.start <= clears[0]]
            if over:
                item.stopped_after = clears[0] - over[0].start
        return item

    def figures(self, *, fading: bool = False) -> Figures:
        """Work out what the call shows.

        Args:
            fading: whether the caller's voice fades out in its room, as recordings do: the app may
                then rightly hear the end before the last packet with sound, and the time from there
                can't be split into its parts.
        """
        replies = [item.latency for item in self.items if item.latency is not None]
        # Of the turns that silence ended; another's wait was the recogniser's choice.
        waited = [
            (item.latency, item.chosen, item.voice)
            for item in self.items
            if item.latency is not None and item.chosen is not None and not fading
        ]
        stops = [item.stopped_after for item in self.items if item.stopped_after is not None]
        return Figures(
            reply=median(replies),
            chosen=median(chosen for _, chosen, _ in waited),
            voice=median(voice for _, _, voice in waited),
            beyond=median(took - chosen - voice for took, chosen, voice in waited),
            slowest=max(replies, default=None),
            stopped=max(stops, default=None),
            replies=len(replies),
        )


def median(values: Iterable[float]) -> float | None:
    """Get the median, if there are values."""
    known = list(values)
    return statistics.median(known) if known else None


def played_until(frames: Sequence[tuple[float, float]]) -> float:
    """Get when the last of these frames is over at the ear; each plays behind the one before."""
    end = 0.0
    for at, seconds in frames:
        end = max(end, at) + seconds
    return end
