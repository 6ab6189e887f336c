"""The legs of this process: who is here, who is about to come, who is on the way out.

A leg comes and goes in steps.  Its place is taken before it is made, which may take a moment, so
that calls which come together do not share the last one; and it takes no more events before its
threads have ended.  An event may also be ahead of a leg that comes over from another process.

Threads: any thread may call any method; those called ``wait_…`` block.

Rule of this module: one lock guards all of it, and nobody is called while it is held.
"""

from __future__ import annotations

import threading

from bridge.events import Event
from bridge.worker import MOVED, CallWorker

__all__ = ["Roster"]

# Legs on their way here of which events may be kept.
EARLY = 1000


class Roster:
    """The legs of this process, and how many may be there."""

    def __init__(self, places: int) -> None:
        """Begin with none.

        Args:
            places: legs that there may be at once; those that come over are not refused for it.
        """
        self._places = places
        # Guards what follows.
        self._lock = threading.Lock()
        self._gone = threading.Condition(self._lock)
        self._here: dict[str, CallWorker] = {}
        # Legs that take nothing more, but whose threads may not have ended.
        self._leaving: set[CallWorker] = set()
        # Places that are taken for legs which are being made.
        self._reserved = 0
        # Events of legs that are about to come from another process.
        self._early: dict[str, list[Event]] = {}
        self._shut = False

    # -- room -------------------------------------------------------------------------------------

    @property
    def room(self) -> bool:
        """Whether a leg more may come."""
        with self._lock:
            return self._room()

    def _room(self) -> bool:
        """Whether a leg more may come.  The lock is held."""
        return not self._shut and len(self._here) + self._reserved < self._places

    @property
    def draining(self) -> bool:
        """Whether no leg more may come because the process is on its way out."""
        return self._shut

    def shut(self) -> None:
        """Have no leg come any more."""
        with self._lock:
            self._shut = True

    # -- coming and going -------------------------------------------------------------------------

    def reserve(self) -> bool:
        """Take a place, to be filled by :meth:`fill`; whether there was one."""
        with self._lock:
            room = self._room()
            self._reserved += room
        return room

    def fill(self, worker: CallWorker | None) -> None:
        """Have a leg in a place that was taken for it, or give the place back."""
        with self._lock:
            self._reserved -= 1
            if worker is not None:
                self._here[worker.info.call_control_id] = worker

    def replace(self, worker: CallWorker) -> tuple[CallWorker | None, list[Event]]:
        """Have a leg here that comes over, room or not.

        Returns:
            The worker that had the same leg before, which has left by this, and the events that
            were kept for it.
        """
        key = worker.info.call_control_id
        with self._lock:
            before = self._here.get(key)
            self._here[key] = worker
            if before is not None:
                self._leaving.add(before)
            return before, self._early.pop(key, [])

    def leave(self, worker: CallWorker) -> bool:
        """Have a leg take no more events and sockets; whether it did until now."""
        key = worker.info.call_control_id
        with self._lock:
            current = self._here.get(key) is worker
            if current:
                del self._here[key]
                self._leaving.add(worker)
        return current

    def remove(self, worker: CallWorker) -> None:
        """Forget a leg whose threads have ended."""
        with self._lock:
            self._leaving.discard(worker)
            self._gone.notify_all()

    def wait_gone(self, timeout: float | None) -> bool:
        """Wait until every leg has gone, threads included, for so many seconds at most."""
        with self._lock:
            return self._gone.wait_for(lambda: not (self._here or self._leaving), timeout)

    def wait_left(self, timeout: float) -> bool:
        """Wait until every leg has left, though threads may live, for so many seconds at most."""
        with self._lock:
            return self._gone.wait_for(lambda: not self._here, timeout)

    # -- looking up -------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._here)

    def here(self) -> list[CallWorker]:
        """Get the legs that are here."""
        with self._lock:
            return list(self._here.values())

    def everybody(self) -> list[CallWorker]:
        """Get the legs that are here, and those whose threads have not ended yet."""
        with self._lock:
            return [*self._here.values(), *self._leaving]

    def get(self, call_control_id: str) -> CallWorker | None:
        """Get a leg that is here."""
        with self._lock:
            return self._here.get(call_control_id)

    def find(self, key: str) -> CallWorker | None:
        """Get a leg by either of its ids, also one whose threads have not ended yet."""
        if not key:
            return None
        with self._lock:
            found = self._here.get(key)
            if found is not None:
                return found
            leaving = [worker for worker in self._leaving if worker.reason != MOVED]
            workers = [*self._here.values(), *leaving]
        ids = ((w, (w.info.call_control_id, w.info.call_leg_id)) for w in workers)
        return next((worker for worker, known in ids if key in known), None)

    def relatives(self, call_session_id: str) -> list[CallWorker]:
        """Get the legs of a session."""
        if not call_session_id:
            return []
        return [w for w in self.here() if w.info.call_session_id == call_session_id]

    def keep(self, event: Event) -> CallWorker | None:
        """Keep an event of a leg that is on its way here, unless it has come: then get the leg."""
        key = event.call_control_id
        with self._lock:
            worker = self._here.get(key)
            if worker is None and len(self._early) < EARLY:
                self._early.setdefault(key, []).append(event)
        return worker
