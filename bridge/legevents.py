"""What webhooks tell of a leg, kept for whoever waits for it.

A command is accepted at once and done later, as a webhook says: whether a transfer came through,
who answered a phone.  Those who asked wait here.

Threads: any; :meth:`LegEvents.wait` blocks, and is woken by :meth:`LegEvents.close`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from bridge.errors import CallEnded
from bridge.events import Event

__all__ = ["LegEvents"]

T = TypeVar("T")

# Events of one leg that are kept; a call has a dozen and one for each key.
LIMIT = 500


class LegEvents:
    """The webhook events of one leg, and of legs that belong to it, as they came."""

    def __init__(self) -> None:
        """Begin with none."""
        # Guards everything below, and is told of every change.
        # An RLock, Condition's own choice: what looks uses the properties while the lock is held.
        self._changed = threading.Condition()
        self._own: deque[Event] = deque(maxlen=LIMIT)
        self._related: deque[Event] = deque(maxlen=LIMIT)
        self._closed = False

    @property
    def all(self) -> tuple[Event, ...]:
        """The leg's own events so far, oldest first."""
        with self._changed:
            return tuple(self._own)

    @property
    def related(self) -> tuple[Event, ...]:
        """Events of legs that belong to this one and are nobody's own."""
        with self._changed:
            return tuple(self._related)

    def add(self, event: Event, *, related: bool = False) -> None:
        """Keep an event and wake those who wait; never blocks."""
        with self._changed:
            (self._related if related else self._own).append(event)
            self._changed.notify_all()

    def poke(self) -> None:
        """Have those who wait look again: something else has changed."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any more: the call is over; may be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait(self, look: Callable[[], T | None], timeout: float | None) -> T | None:
        """Wait until ``look`` finds something, asked whenever something happened.

        Args:
            look: gets what is waited for, or ``None``; must not block or use this object's lock
                but through its properties.
            timeout: seconds; ``None`` waits as long as the call lasts.

        Returns:
            What was found; ``None`` after ``timeout`` seconds.

        Raises:
            CallEnded: the call is over, and nothing was found.
        """
        found: list[T] = []

        def looked() -> bool:
            result = look()
            if result is not None:
                found.append(result)
            return bool(found) or self._closed

        with self._changed:
            self._changed.wait_for(looked, timeout)
            if not found and self._closed:
                raise CallEnded("the call is over")
        return found[0] if found else None

    def find(self, *event_types: str, related: bool = False, after: int = 0) -> Event | None:
        """Get the first event of these types; ``after`` leaves out those before so many."""
        events = self.related if related else self.all
        return next((e for e in events[after:] if e.event_type in event_types), None)
