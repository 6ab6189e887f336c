"""Whether what the line brings back while the agent speaks is the agent itself.

A speakerphone returns the agent's voice some 10 to 30 dB quieter, a handset returns nothing that
could be measured, and both carry callers who are 15 dB quieter than the agent.  No fixed margin
tells an echo from a quiet caller, so the line's own echo return is learnt: how loud the line is,
beside what is being played, at the moments that are loud.  A caller who speaks meanwhile is a small
part of those moments, and an echo is nearly all of them.

Pure: ``now`` is an argument.

Rules of this module:

1. Until enough of the agent has been heard on a call, a voice ``margin`` below it is its echo.
2. A line that returns nothing is not guarded at all.
3. Steady noise is no echo.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

# Seconds for which what was played may still come back after it has ended.
LINGERS = 0.4

# Seconds of speech of the agent before its echo is looked for: a far line returns it so late.
RETURNS_AFTER = 0.2

# Windows of the line by which its echo return is judged: 4 s of the agent's speech, of which half a
# second is enough to begin with.
MEMORY = 128
ENOUGH = 16

# Part of the windows that are quieter than the echo return: what is left are the loud ones, more
# than a caller's attempts to break in.
QUANTILE = 0.8

# Of windows that are louder than the echo so far, every second counts: mostly they are a caller,
# whom a reply that asks for much speech lets go on.
LOUDER_COUNTS = 2

# dB above the echo return that an echo hardly ever reaches.
HEADROOM = 8.0

# dB beside the agent.  A line that returns less than the first is without echo; a caller is never
# asked to be louder than the second.
NOTHING = -38.0
MOST_ASKED = 0.0

# dBFS.  What is played below this has no echo that could be measured.
LOUD_ENOUGH = -45.0

# dB above the line's noise from which a window is more than noise, and how fast the estimate of the
# noise rises, per second.
ABOVE_NOISE = 6.0
NOISE_RISE = 3.0

# Seconds for which a window that is no echo speaks for those after it: speech is not even.
HOLD = 0.1


class EchoGuard:
    """Learns the echo of one line and tells it from the caller."""

    def __init__(self, margin: float) -> None:
        """Begin with nothing known.

        Args:
            margin: dB below the agent at which a voice is its echo, until more is known.
        """
        self._margin = margin
        self._noise = math.inf
        self._noise_at = 0.0
        # What was last played, since when without a break, and when it was.
        self._playing = 0.0
        self._playing_from = 0.0
        self._playing_at = float("-inf")
        # Echo returns in dB, in the order of time and of size.
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []
        self._caller_until = float("-inf")
        self._louder = 0

    @property
    def echo_return(self) -> float | None:
        """How loud the line returns the agent, in dB beside it; ``None`` while that is unknown."""
        if len(self._sorted) < ENOUGH:
            return None
        return self._sorted[int(QUANTILE * len(self._sorted))]

    @property
    def returns(self) -> bool:
        """Whether the line is known to return the agent's voice."""
        returned = self.echo_return
        return returned is not None and returned >= NOTHING

    def is_echo(self, level: float, playing: float | None, now: float, *, learn: bool) -> bool:
        """Take in one window of the line, and tell whether it holds no more than echo.

        Args:
            level: of the window, dBFS.
            playing: how loud the agent is at the caller's ear, dBFS; ``None`` while it is silent.
            now: when the window ended.
            learn: whether nothing speaks against the window's being an echo, if it is loud.
        """
        silent = playing is None and now - self._playing_at > LINGERS
        self._follow_noise(level, now, silent=silent)
        if silent:
            return False
        if playing is not None:
            if now - self._playing_at > LINGERS:
                self._playing_from = now
            self._playing, self._playing_at = playing, now
        louder = level >= self._playing + self._limit()
        if louder:
            self._caller_until = now + HOLD
        self._louder += louder
        counts = not louder or self._louder % LOUDER_COUNTS == 0
        loud_enough = playing is not None and playing >= LOUD_ENOUGH
        if learn and counts and loud_enough and now - self._playing_from >= RETURNS_AFTER:
            self._learn(self._without_noise(level) - self._playing)
        return now > self._caller_until

    def _limit(self) -> float:
        """Tell from which level beside the agent's a window is the caller's."""
        returned = self.echo_return
        if returned is None:
            return -self._margin
        return -math.inf if returned < NOTHING else min(returned + HEADROOM, MOST_ASKED)

    def _follow_noise(self, level: float, now: float, *, silent: bool) -> None:
        # While the agent speaks the line may be its echo, and only a lower level is news.
        if self._noise < math.inf:
            rise = NOISE_RISE * max(0.0, now - self._noise_at) if silent else 0.0
            self._noise = min(level, self._noise + rise)
        elif silent:
            self._noise = level
        self._noise_at = now

    def _without_noise(self, level: float) -> float:
        if self._noise == math.inf:
            return level
        if level < self._noise + ABOVE_NOISE:
            return -math.inf
        return level + 10 * math.log10(1 - 10 ** ((self._noise - level) / 10))

    def _learn(self, returned: float) -> None:
        if len(self._recent) >= MEMORY:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(returned)
        insort(self._sorted, returned)
