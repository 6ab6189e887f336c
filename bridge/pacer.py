"""One thread that sends the next piece of audio of every leg that is speaking.

A thread per leg would wake up ten times a second and call; with many calls those wake-ups, not the
sending, are what fills a core.  So one thread of the process keeps the dues of all speaking legs
and pumps those whose time has come.  A leg that is silent is not known here and costs nothing.

Threads: one, ``pacer``, started by the first :meth:`Pacer.wake`.  It calls the pumps; any other
thread wakes, removes and closes.

Rules of this module:

1. Dues are points on the monotonic clock, given by the leg from its own playout clock, so an early
   or late wake-up never adds up.
2. A pump never blocks; one that raises ends its own leg's speaking and no other's.
3. Dues are met on a grid of ``TICK``: legs whose dues fall together share one wake-up, and a due
   is met at most one tick late.  A leg that was woken is pumped at once, or with the next tick
   where several legs speak.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Protocol

from telnyx_media.sync.threads import ThreadGroup

logger = logging.getLogger(__name__)

# Seconds.  At most 200 wake-ups a second however many legs speak; far below the lead of the audio.
TICK = 0.005

# What wake() writes into the table: due at once.
AT_ONCE = -math.inf

# Legs that are woken less often than there are ticks.
FEW = 4


class Paced(Protocol):
    """What a leg shows to the pacer; compared by identity."""

    def pump(self, now: float) -> float | None:
        """Send what is due at ``now`` and say when the next piece is due.

        Called on the pacer's thread; must not block.

        Returns:
            The next due on the monotonic clock, or ``None`` to fall silent until the next wake.
        """

    def fail(self, error: Exception) -> None:
        """Take note that :meth:`pump` raised; the leg speaks no more.

        Called on the pacer's thread; must not block.
        """


class Pacer:
    """Pump the speaking legs of a process, each when its next piece of audio is due.

    Use it as a ``with`` block, or call :meth:`close`.

    Attributes:
        pumps: how many pumps were called.
        worst_lateness: seconds by which the latest of them missed its due.
    """

    def __init__(self, *, tick: float = TICK, clock: Callable[[], float] = time.monotonic) -> None:
        """Make a pacer; no thread is started before the first :meth:`wake`.

        Args:
            tick: the grid of the wake-ups, in seconds.
            clock: the clock of the dues.
        """
        self.pumps = 0
        self.worst_lateness = 0.0
        self._lateness = 0.0
        self._tick = tick
        self._clock = clock
        self._group = ThreadGroup("bridge")
        # Guards what follows.
        self._lock = threading.Lock()
        self._due: dict[Paced, float] = {}
        # The same by time: who was woken, and the dues, earliest first, each with a number that
        # settles ties.  An entry whose due is not the leg's any more means nothing.
        self._woken: list[Paced] = []
        self._order: list[tuple[float, int, Paced]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        # A bell, not a critical section: held while nothing has happened, released by whoever
        # wants the thread awake.  A wait on it costs a tenth of one on a condition.
        self._bell = threading.Lock()
        self._bell.acquire()

    # Any thread

    def wake(self, leg: Paced) -> None:
        """Have ``leg`` pumped at once; never blocks. A leg that is removed or closed is harmless.

        A wake during the leg's own pump is not lost: the leg is pumped again.
        """
        with self._lock:
            if self._group.stopping.is_set():
                return
            if self._due.get(leg) != AT_ONCE:
                self._due[leg] = AT_ONCE
                self._woken.append(leg)
            if self._thread is None:
                # Not in __init__: a server may load the application before it forks, and a
                # thread does not survive a fork.
                self._thread = self._group.spawn("pacer", self._run)
        self._ring()

    def remove(self, leg: Paced) -> None:
        """Forget ``leg``; returns at once. A pump that is under way may still finish."""
        with self._lock:
            self._due.pop(leg, None)

    def speaking(self) -> int:
        """Count the legs that have a due."""
        return len(self._due)

    def take_lateness(self) -> float:
        """Get the seconds by which a due was missed at most since this was asked last."""
        # A pump in between may be left out; the next ones will tell.
        lateness, self._lateness = self._lateness, 0.0
        return lateness

    def close(self, timeout: float = 5.0) -> None:
        """Stop the thread and wait for it, at most ``timeout`` seconds; may be called twice."""
        self._group.stop()
        self._ring()
        self._group.join(timeout)
        with self._lock:
            self._due.clear()
            self._woken.clear()
            self._order.clear()

    def __enter__(self) -> Pacer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _ring(self) -> None:
        # Refused when it was rung already and not yet heard.
        with contextlib.suppress(RuntimeError):
            self._bell.release()

    # The pacer's own thread

    def _run(self) -> None:
        while not self._group.stopping.is_set():
            began = self._clock()
            for leg, due in self._ready(began):
                self._pump(leg, due)
            self._sleep(began)

    def _ready(self, now: float) -> list[tuple[Paced, float]]:
        """Take those that are due; each is far away meanwhile, not gone.

        So a wake during its pump, or a removal, is seen.
        """
        with self._lock:
            entries = [(AT_ONCE, leg) for leg in self._woken]
            self._woken.clear()
            while self._order and self._order[0][0] <= now:
                due, _, leg = heapq.heappop(self._order)
                entries.append((due, leg))
            ready = []
            for due, leg in entries:
                if self._due.get(leg) == due:
                    self._due[leg] = math.inf
                    ready.append((leg, due))
            return ready

    def _pump(self, leg: Paced, due: float) -> None:
        now = self._clock()
        self.pumps += 1
        if due != AT_ONCE:
            self.worst_lateness = max(self.worst_lateness, now - due)
            self._lateness = max(self._lateness, now - due)
        try:
            again = leg.pump(now)
        except Exception as error:  # noqa: BLE001 - one leg's failure must not silence the others
            self.remove(leg)
            self._fail(leg, error)
            return
        with self._lock:
            if self._due.get(leg) == math.inf:
                if again is None:
                    del self._due[leg]
                elif again != math.inf:
                    self._due[leg] = again
                    heapq.heappush(self._order, (again, next(self._numbers), leg))

    def _fail(self, leg: Paced, error: Exception) -> None:
        try:
            leg.fail(error)
        except Exception:
            logger.exception("a leg could not take note that its pump failed")

    def _sleep(self, began: float) -> None:
        # What is woken meanwhile is met together.
        rest = began + self._tick - self._clock()
        if rest > 0 and len(self._due) > FEW:
            time.sleep(rest)
        with self._lock:
            due = self._order[0][0] if self._order else math.inf
        delay = -1.0
        if due != math.inf:
            # Up to the grid, so that dues which fall together are met together.
            delay = max(0.0, math.ceil(due / self._tick) * self._tick - self._clock())
        self._bell.acquire(timeout=delay)


__all__ = ["Paced", "Pacer", "TICK"]
