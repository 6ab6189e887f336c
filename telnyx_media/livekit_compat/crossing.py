"""The one way from a session's threads into an event loop.

A hop into a loop costs, and a loop may be gone when a thread has something to say.  So what threads
bring is put into a queue, the loop is called once for all that came since it last looked, and a
loop that has ended is left alone.

Threads: :meth:`Crossing.put` is for any thread; :meth:`Crossing.take` for the loop's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Crossing(Generic[T]):
    """A queue from any thread into the loop that made it."""

    def __init__(self) -> None:
        """Belong to the running loop."""
        self._loop = asyncio.get_running_loop()
        # Appending and taking from the ends of a deque is atomic.
        self._items: deque[T] = deque()
        # Whether the loop was called and has not looked yet.  Set after an item was put, cleared
        # before the items are looked at: so an item is seen, or the loop is called for it.
        self._called = False
        self._waiter: asyncio.Future[None] | None = None

    def put(self, item: T) -> None:
        """Bring ``item``; never waits, from any thread."""
        self._items.append(item)
        if self._called:
            return
        self._called = True
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            # The loop has been closed; nobody is left who would want it.
            self._items.clear()

    async def take(self) -> T:
        """Get the next item, waiting for it."""
        while not self._items:
            self._called = False
            if self._items:
                break
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._items.popleft()

    def take_now(self) -> T | None:
        """Get the next item, or ``None`` if none is there."""
        return self._items.popleft() if self._items else None

    def give_back(self, item: T) -> None:
        """Put back what was taken last."""
        self._items.appendleft(item)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
