"""The one thread that everything in the simulated network waits for.

A thread per leg would wake up fifty times a second and leg; this one wakes up for all of them.
What it calls is short and never waits.

Threads: one, ``sim-clock``.  Any thread may schedule.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

from telnyx_media.sync.threads import ThreadGroup

logger = logging.getLogger(__name__)

# Legs begin on a grid of five milliseconds, so that their ticks share wake-ups without all falling
# into one burst.
GRID = 0.005


class Clock:
    """Call things when they are due, on absolute deadlines.

    Attributes:
        errors: what a call raised, which is always a bug of ours.
        worst_lateness: seconds by which the latest call came too late.
    """

    def __init__(self, group: ThreadGroup) -> None:
        """Make a clock; it runs once :meth:`start` was called.

        Args:
            group: the owner of its thread.
        """
        self.errors: list[Exception] = []
        self.worst_lateness = 0.0
        self._group = group
        self._order = itertools.count()
        # Guards _due; woken when something earlier came in, and to stop.
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._stopped = False

    def start(self) -> None:
        """Start the thread."""
        self._group.spawn("sim-clock", self._run)

    def stop(self) -> None:
        """Let the thread end; what is scheduled is forgotten."""
        with self._changed:
            self._stopped = True
            self._due.clear()
            self._changed.notify_all()

    def at(self, due: float, call: Callable[[], object]) -> None:
        """Call something at a point of the monotonic clock; never waits."""
        with self._changed:
            if self._stopped:
                return
            first = not self._due or due < self._due[0][0]
            heapq.heappush(self._due, (due, next(self._order), call))
            if first:
                self._changed.notify_all()

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        """Call something in so many seconds; never waits."""
        self.at(time.monotonic() + seconds, call)

    @staticmethod
    def next_grid(now: float) -> float:
        """Get the next point of the grid on which legs begin."""
        return (now // GRID + 1) * GRID

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopped:
                    now = time.monotonic()
                    if self._due and self._due[0][0] <= now:
                        break
                    self._changed.wait(self._due[0][0] - now if self._due else None)
                if self._stopped:
                    return
                due, _, call = heapq.heappop(self._due)
            self.worst_lateness = max(self.worst_lateness, now - due)
            try:
                call()
            except Exception as error:
                logger.error("the simulated network failed", exc_info=error)
                self.errors.append(error)
