"""Recognise words that come a second time because their audio was sent a second time.

After a reconnect the ring is sent again, and with it perhaps audio whose words were delivered
already: a final does not say what it covers.  :class:`Overlap` remembers the delivered words whose
audio is still in the ring, and takes them off the transcripts that follow a reconnect.

Pure.

Rules of this module:

1. Without a reconnect nothing is ever taken off: a caller who says "no, no" has said it twice.
2. Words are compared without case and punctuation, and a recogniser that hears a word differently
   the second time is forgiven one in four.
"""

from __future__ import annotations

import math
import re
from difflib import SequenceMatcher

# Words a second that nobody exceeds: how many words may be in so much audio.
FASTEST = 5.0

# How many of the compared words must agree.
AGREEMENT = 0.75

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def words_of(text: str) -> list[str]:
    """Get the words of ``text`` for comparison."""
    return [word.lower().replace("\u2019", "'") for word in _WORD.findall(text)]


class Overlap:
    """The delivered words that may come again."""

    def __init__(self) -> None:
        """Begin with none."""
        # Delivered words whose audio may still be in the ring, and those of them that the present
        # connection has not repeated yet.  A word that was repeated stays among the first: its
        # audio may be sent a third time.
        self._kept: list[str] = []
        self._due: list[str] = []

    def delivered(self, text: str, *, left: float) -> None:
        """Note a final.

        Args:
            text: what of it went to the user; ``""`` if all of it was a repetition.
            left: seconds of speech that were sent at some time and are still in the ring; with 0
                everything delivered so far is out of it.
        """
        self._kept += words_of(text)
        if left > 0:
            self._kept = self._kept[-(math.ceil(left * FASTEST) + 1) :]
        else:
            self._kept.clear()
            self._due.clear()

    def arm(self) -> None:
        """Note that the ring is being sent again, from its start."""
        self._due = list(self._kept)

    def rest(self) -> None:
        """Note that everything sent again has been heard; the ring may be sent again later."""
        self._due.clear()

    def new_in(self, text: str, *, is_final: bool) -> str:
        """Get ``text`` from its first new word on; ``""`` if all of it was delivered before.

        Args:
            text: of a transcript that came after a reconnect.
            is_final: whether the words matched are used up; interims may repeat them.
        """
        heard = words_of(text)
        if not self._due or not heard:
            return text
        count, used = self._match(heard)
        if count == 0:
            return text
        if is_final:
            # A final that goes on beyond the delivered words is the last that may repeat any.
            self._due = self._due[used:] if count == len(heard) else []
        if count == len(heard):
            return ""
        return text[list(_WORD.finditer(text))[count].start() :]

    def _match(self, heard: list[str]) -> tuple[int, int]:
        # How many words of `heard` were delivered, and how many delivered words that uses up.
        matcher = SequenceMatcher(None, self._due, heard, autojunk=False)
        matched = 0
        best = (0, 0)
        for block in matcher.get_matching_blocks():
            matched += block.size
            end, used = block.b + block.size, block.a + block.size
            if block.size == 0 or matched < AGREEMENT * end:
                continue
            whole = len(heard) - end <= len(heard) // 4 and matched >= AGREEMENT * len(heard)
            if whole:
                best = (len(heard), used)
            elif len(self._due) - used <= (1 if end > 1 else 0):
                # The delivered words end here, and these go on. (Perhaps the last one was torn.)
                best = (end, len(self._due))
        return best
