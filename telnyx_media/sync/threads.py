"""Threads that are always joined, and the queues between them.

This is the only module that makes a :class:`threading.Thread`.  A thread belongs to a
:class:`ThreadGroup`, a group belongs to one owner, and the owner's ``with`` block does not end
until each thread was joined within one shared :class:`Deadline`.

Threads: ``spawn`` may be called from any thread; ``join`` waits.

Rules of this module:

1. A thread is registered before it starts and named ``<role>/<tag>``, at most 15 characters, which
   is what the system keeps of a name.
2. A stop event is set once and never cleared, so a stop that comes early is not lost.
3. The first exception that leaves a thread is kept and raised in the owner's thread.
4. A queue is bounded, drained by one thread, and closing it wakes everybody who waits on it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

# What Linux keeps of a thread's name, without the terminating zero.
NAME_LENGTH = 15


class Deadline:
    """A point on the monotonic clock that several waits share."""

    def __init__(self, timeout: float | None) -> None:
        """Begin to count.

        Args:
            timeout: seconds from now; ``None`` never expires.
        """
        self._at = None if timeout is None else time.monotonic() + timeout

    def remaining(self) -> float | None:
        """Get the seconds left, never negative; ``None`` if there is no limit."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether nothing is left."""
        return self._at is not None and time.monotonic() >= self._at


class ThreadGroup:
    """The threads of one owner: started here, joined here.

    Use it as a ``with`` block, or call :meth:`stop` and :meth:`join`.

    Attributes:
        stopping: set by :meth:`stop` or by the first exception; never cleared.
        error: the first exception that left a thread, or ``None``.
        abandoned: names of threads that outlived a join's deadline.
    """

    def __init__(
        self,
        tag: str,
        *,
        timeout: float = 5.0,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Make an empty group.

        Args:
            tag: what the threads have in common, the leg's tag for one; ends up in their names.
            timeout: seconds that all joins together may take at the end of the ``with`` block.
            on_error: called once, on the failing thread, with the first exception; it has to wake
                whoever waits for that thread.
        """
        self.tag = tag
        self.stopping = threading.Event()
        self.error: BaseException | None = None
        self.abandoned: list[str] = []
        self._timeout = timeout
        self._on_error = on_error
        # Guards _threads and error.
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def spawn(self, role: str, target: Callable[..., object], *args: object) -> threading.Thread:
        """Start a thread named ``<role>/<tag>``; may be called from any thread.

        Args:
            role: what the thread does, ``"stt-recv"``.
            target: called with ``args`` on the new thread.
            *args: for ``target``.
        """
        name = f"{role}/{self.tag}"[:NAME_LENGTH]
        # Daemon: a thread that outlives its deadline was named in a warning; it must not keep the
        # interpreter from ending.
        thread = threading.Thread(target=self._run, args=(target, args), name=name, daemon=True)
        with self._lock:
            # The finished ones are let go here, so that a group that lives long does not grow.
            self._threads = [t for t in self._threads if t.is_alive() or t.ident is None]
            self._threads.append(thread)
        thread.start()
        return thread

    def _run(self, target: Callable[..., object], args: tuple[object, ...]) -> None:
        try:
            target(*args)
        except BaseException as error:  # noqa: BLE001 - the top of a thread; kept for the owner
            with self._lock:
                first = self.error is None
                if first:
                    self.error = error
            self.stopping.set()
            if first and self._on_error is not None:
                self._on_error(error)

    def stop(self) -> None:
        """Ask the threads to end; return at once. May be called twice and from any thread."""
        self.stopping.set()

    def alive(self) -> list[str]:
        """Name the threads that have not ended."""
        with self._lock:
            return [t.name for t in self._threads if t.is_alive()]

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every thread but the caller's own has ended.

        Args:
            timeout: seconds for all of them together; the group's own when ``None``.

        Returns:
            Whether all have ended. Those that have not are named in a warning and in ``abandoned``.
        """
        deadline = Deadline(self._timeout if timeout is None else timeout)
        with self._lock:
            threads = [t for t in self._threads if t is not threading.current_thread()]
        for thread in threads:
            if thread.ident is not None:
                thread.join(deadline.remaining())
        late = [t.name for t in threads if t.is_alive()]
        if late:
            self.abandoned.extend(late)
            logger.warning("threads did not end in time: %s", ", ".join(late))
        return not late

    def raise_error(self) -> None:
        """Raise the first exception that left a thread, if there was one."""
        if self.error is not None:
            raise self.error

    def __enter__(self) -> ThreadGroup:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, join, and raise what a thread raised, unless the block itself raised."""
        self.stop()
        self.join()
        if exc is None:
            self.raise_error()


class QueueClosed(Exception):
    """The queue was closed, and, for the taker, nothing is left in it."""


class BoundedQueue(Generic[T]):
    """A queue with a limit and an end.

    What happens when it is full is the choice of who puts: :meth:`put` waits, :meth:`offer`
    refuses, :meth:`push` drops the oldest and counts it.
    """

    def __init__(self, limit: int) -> None:
        """Make an empty queue.

        Args:
            limit: how many items may wait.
        """
        self.limit = limit
        self.dropped = 0
        # Guards the items and the closed flag; one condition for both directions, since a queue has
        # one taker and hardly ever a waiting putter.
        self._changed = threading.Condition()
        self._items: deque[T] = deque()
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def put(self, item: T, timeout: float | None = None) -> bool:
        """Append ``item``, waiting while the queue is full.

        Returns:
            False when ``timeout`` seconds went by and the queue is still full.

        Raises:
            QueueClosed: the queue is closed, or was while waiting.
        """
        with self._changed:
            room = self._changed.wait_for(
                lambda: self._closed or len(self._items) < self.limit, timeout
            )
            if self._closed:
                raise QueueClosed
            if room:
                self._items.append(item)
                self._changed.notify_all()
            return room

    def offer(self, item: T) -> bool:
        """Append ``item`` if there is room; never wait.

        Raises:
            QueueClosed: the queue is closed.
        """
        return self.put(item, timeout=0)

    def push(self, item: T) -> bool:
        """Append ``item``, dropping and counting the oldest when full; never wait.

        Returns:
            False if something was dropped.

        Raises:
            QueueClosed: the queue is closed.
        """
        with self._changed:
            if self._closed:
                raise QueueClosed
            full = len(self._items) >= self.limit
            if full:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify_all()
            return not full

    def take(self, timeout: float | None = None) -> T:
        """Remove the first item, waiting for one.

        Raises:
            QueueClosed: the queue is closed and empty.
            TimeoutError: ``timeout`` seconds went by.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or bool(self._items), timeout):
                raise TimeoutError
            if not self._items:
                raise QueueClosed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def take_all(self, timeout: float | None = None) -> list[T]:
        """Remove everything that is there, waiting for at least one item.

        Raises:
            QueueClosed: the queue is closed and empty.
            TimeoutError: ``timeout`` seconds went by.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or bool(self._items), timeout):
                raise TimeoutError
            if not self._items:
                raise QueueClosed
            items = list(self._items)
            self._items.clear()
            self._changed.notify_all()
            return items

    def clear(self) -> int:
        """Drop what is queued and count it."""
        with self._changed:
            count = len(self._items)
            self._items.clear()
            self._changed.notify_all()
            return count

    def close(self, *, drop: bool = False) -> None:
        """End the queue and wake everybody who waits; may be called twice.

        Args:
            drop: whether what is queued is dropped; otherwise the taker still gets it.
        """
        with self._changed:
            self._closed = True
            if drop:
                self._items.clear()
            self._changed.notify_all()
