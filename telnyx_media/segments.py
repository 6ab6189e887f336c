"""Tell which text a piece of synthesised audio belongs to.

The wire does not number anything.  Depending on the voice, what is known is a frame that carries
the text behind its audio, a frame that announces the text before it, an ``isFinal`` behind each
text, or nothing but one ``isFinal`` at the very end (Telnyx: messages page; live reports differ).

Pure.
"""

from __future__ import annotations

import re

# How fast voices speak, in letters and digits per second, where nothing better is known.
PACE = 13.0

# A segment is taken to be over when it is so much longer than its text lets one expect.
TOLERANCE = 1.5
SLACK_SECONDS = 1.0

# How much of a segment's text has to be named for it to be complete: services strip markup.
NAMED = 0.85


_NEITHER = re.compile(r"[\W_]+")


def weight(text: str) -> int:
    """Count the letters and digits of ``text``."""
    return len(_NEITHER.sub("", text))


class SegmentTracker:
    """Which segment the next audio belongs to, and which are complete.

    Attributes:
        current: index of the segment that audio belongs to now; the number of segments when all
            are complete.
        certain: whether every boundary so far was named by the service.
    """

    def __init__(self) -> None:
        """Begin without segments."""
        self.current = 0
        self.certain = True
        self._weights: list[int] = []
        self._seconds = 0.0
        self._named = 0
        self._announced = False
        self._boundaries = False

    @property
    def outstanding(self) -> bool:
        """Whether a segment is not complete."""
        return self.current < len(self._weights)

    @property
    def on_last(self) -> bool:
        """Whether no further segment waits behind the current one."""
        return self.current >= len(self._weights) - 1

    @property
    def seconds(self) -> float:
        """Audio of the current segment so far."""
        return self._seconds

    @property
    def plausible(self) -> bool:
        """Whether the audio of the current segment may be all there is for it and the rest."""
        return self._seconds >= 0.5 * sum(self._weights[self.current :]) / PACE

    @property
    def named(self) -> bool:
        """Whether all the text is complete by what the service has named behind its audio."""
        return not self._announced and self.on_last and self.outstanding and self._is_named()

    def add(self, text: str) -> None:
        """Note that ``text`` is being sent."""
        self._weights.append(max(1, weight(text)))

    def audio(self, seconds: float) -> int:
        """Note audio and get the segment it belongs to."""
        if not self._boundaries and not self.on_last and self._overdue():
            self.certain = False
            self._close()
        self._seconds += seconds
        return min(self.current, max(0, len(self._weights) - 1))

    def text(self, text: str, *, keep_last: bool = False) -> int:
        """Note a text named by the service; get how many segments that completes.

        Args:
            text: the text.
            keep_last: whether the last segment stays open, for :meth:`finish` to close.
        """
        if not text.strip() or not self.outstanding:
            return 0
        self._boundaries = True
        if self._seconds == 0 and not self._named:
            self._announced = True
        closed = 0
        if self._announced:
            # The name stands before the audio: what was named before is complete.
            if self._seconds > 0 and self._is_named():
                closed = self._close()
            self._named += weight(text)
            return closed
        self._named += weight(text)
        while self.outstanding and self._is_named() and not (keep_last and self.on_last):
            closed += self._close()
        return closed

    def final(self) -> int:
        """Note an ``isFinal``; get how many segments it completes."""
        if not self.outstanding or self._seconds == 0:
            return 0
        self._boundaries = True
        return self._close()

    def finish(self) -> int:
        """Note that everything has come; get how many segments that completes."""
        closed = len(self._weights) - self.current
        if closed > 1:
            self.certain = False
        self.current = len(self._weights)
        return closed

    def _is_named(self) -> bool:
        return self._named >= NAMED * self._weights[self.current]

    def _overdue(self) -> bool:
        expected = self._weights[self.current] / PACE
        return self._seconds > TOLERANCE * expected + SLACK_SECONDS

    def _close(self) -> int:
        rest = self._named - self._weights[self.current]
        self.current += 1
        self._seconds = 0.0
        # A few letters too many are a difference of spelling, not the next text.
        few = rest <= 2 + (1 - NAMED) * self._named
        is_next = self.outstanding and rest >= NAMED * self._weights[self.current]
        self._named = 0 if few and not is_next else rest
        return 1
