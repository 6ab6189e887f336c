"""One sentence of a reply: its text, its audio, and which words lie where in it.

Synthesis does not say when each word begins.  So a place in the audio is turned into a place in the
text by proportion, counting only packets in which somebody speaks, and a word counts as heard when
more than half of it was.

Pure.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence

# Seconds of audio in a packet.
PACKET = 0.02

# dB below a segment's loudest packet: quieter than this is a pause.
PAUSE_DEPTH = 30.0

# Seconds.  How far back a pause in the speech is looked for, and how far back speech ever goes
# when it is resumed.
LOOK_BACK = 0.6
FURTHEST_BACK = 1.0

# Seconds by which a word may begin before the place that proportion gives it.
UNSURE = 0.2

# Characters of text per second of speech, as long as nothing better is known.
SPEAKING_RATE = 15.0

# One word; in scripts that are written without spaces, one character.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f]|[^\s\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f]+"
)


class Segment:
    """The text and the packets of one sentence; made by ``Playout.add_segment``.

    Attributes:
        text: the sentence.
        first: the index in the reply of its first packet.
        count: how many packets it has so far.
        complete: whether all of it has come.
        cut: whether its audio broke off, and holds a part of the text only.
        returned: whether its mark has come back.
    """

    def __init__(self, reply: object, index: int, text: str, first: int) -> None:
        self.reply = reply
        self.index = index
        self.text = text
        self.first = first
        self.count = 0
        self.complete = False
        self.cut = False
        self.returned = False
        self._packets: list[bytes] = []
        # As many as packets, or empty when they are not known.
        self._levels = array("f")

    @property
    def end(self) -> int:
        """The index in the reply behind its last packet."""
        return self.first + self.count

    def add(self, packets: Iterable[bytes], levels: Sequence[float]) -> None:
        """Append packets and how loud each is, in dBFS."""
        self._packets.extend(packets)
        known = len(self._levels) == self.count
        self.count = len(self._packets)
        if known and len(levels) == self.count - len(self._levels):
            self._levels.extend(levels)

    def packets(self, start: int, count: int) -> list[bytes]:
        """Get ``count`` packets from index ``start`` of the reply on."""
        return self._packets[start - self.first : start - self.first + count]

    def loudest(self, start: int, end: int) -> float | None:
        """Get how loud the packets from one index of the reply to before another are, at most.

        In dBFS; ``None`` if that is not known, or the segment has none of them.
        """
        levels = self._levels[max(0, start - self.first) : max(0, end - self.first)]
        return max(levels, default=None)

    def forget_audio(self) -> None:
        """Let go of packets that will never be sent again; where they lay stays known."""
        self._packets = []

    def heard_text(self, place: float, rate: float) -> str:
        """Get the words that were heard when ``place`` packets of the segment were played.

        Args:
            place: packets, from the segment's start.
            rate: characters per second, for a segment whose audio is not complete.
        """
        if self.complete and not self.cut and place >= self.count:
            return self.text
        reached = self._fraction(place, rate) * len(self.text)
        end = 0
        for word in _WORD.finditer(self.text):
            if (word.start() + word.end()) / 2 > reached:
                break
            end = word.end()
        return self.text[:end]

    def word_start(self, place: int, rate: float) -> int:
        """Get the packet, counted from the segment's start, at which to say a word again.

        The last pause before ``place`` if there is one near; else, with levels, the quietest moment
        near, which lies between two syllables; else the word's start by proportion.
        """
        place = min(place, self.count)
        if len(self._levels) >= place > 0:
            return self._quiet_before(place, self._word_under_way(place, rate))
        reached = self._fraction(place, rate) * len(self.text)
        start = max(
            (w.start() for w in _WORD.finditer(self.text) if w.start() <= reached), default=0
        )
        back = int(start / max(1, len(self.text)) * self._expected(rate))
        return max(0, min(place, back), place - round(FURTHEST_BACK / PACKET))

    def _word_under_way(self, place: int, rate: float) -> int:
        """Tell by proportion where the word begins that lies at ``place``; 0 without a text."""
        reached = self._fraction(place, rate) * len(self.text)
        start = max(
            (w.start() for w in _WORD.finditer(self.text) if w.start() <= reached), default=0
        )
        floor = self._floor()
        total = sum(level >= floor for level in self._levels)
        spoken = start / max(1, len(self.text)) * (total if self.complete else self._expected(rate))
        for index, level in enumerate(self._levels):
            if spoken <= 0:
                return index
            spoken -= level >= floor
        return place

    def _quiet_before(self, place: int, word: int) -> int:
        earliest = max(0, place - round(LOOK_BACK / PACKET), word - round(UNSURE / PACKET))
        if earliest == 0:
            # The start of the sentence is a pause as good as any.
            quietest = 0
        else:
            quietest = min(range(earliest, place), key=self._levels.__getitem__) + 1
        floor = self._floor()
        for index in range(place, earliest, -1):
            if self._levels[index - 1] < floor:
                return index
        return quietest

    def _floor(self) -> float:
        return max(self._levels) - PAUSE_DEPTH

    def _expected(self, rate: float) -> float:
        """Tell how many packets the segment has, or probably will have."""
        if self.complete and not self.cut:
            return self.count
        return max(self.count, len(self.text) / rate / PACKET)

    def _fraction(self, place: float, rate: float) -> float:
        """Tell which part of the text was spoken in the first ``place`` packets."""
        played = min(int(place), self.count)
        if not self.count:
            return 0.0
        if not self._levels:
            return min(1.0, place / self._expected(rate))
        floor = self._floor()
        spoken = [level >= floor for level in self._levels]
        silent = spoken.count(False)
        return min(1.0, sum(spoken[:played]) / max(1.0, self._expected(rate) - silent))
