"""How often and how fast a connection is tried again.

Pure: waiting is done by whoever asks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """The pauses between attempts (Telnyx: production-patterns page).

    Attributes:
        attempts: how many attempts in a row may fail before one gives up; 1 never tries again.
        delays: seconds before the second, third … attempt; the last one is used for all further.
        jitter: up to so many seconds are added, so that a thousand sessions do not come back at
            once.
    """

    attempts: int = 6
    delays: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 5.0)
    jitter: float = 0.5

    def delay(self, failures: int) -> float:
        """Get the seconds to wait after ``failures`` attempts in a row have failed."""
        if not self.delays:
            return 0.0
        base = self.delays[min(failures, len(self.delays)) - 1]
        # Never more than the delay itself: the first attempt after a loss is the caller's gap.
        return base + random.uniform(0, min(self.jitter, base))
