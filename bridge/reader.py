"""One thread that reads the media sockets of every leg.

A thread per socket is woken fifty times a second and call, and with many calls those wake-ups, and
the hand-overs of Python's lock between them, are what fills a core.  So one thread of the process
waits on all sockets, and rests between two rounds: what comes meanwhile is read in one go.  The
thread that has a socket to read is parked meanwhile, and costs nothing.

Threads: one, ``reader``, started by the first :meth:`Reader.read`; any other reads and closes.

Rules of this module:

1. What is done with a message, and after a round, never waits: all other legs would wait with it.
2. What is raised while one socket is read ends the reading of that one, and is raised where it is
   waited for.
3. With a few sockets there is no rest: it would cost more wake-ups than it saves.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

from bridge.errors import BridgeError
from telnyx_media.sync.threads import ThreadGroup

__all__ = ["Readable", "Reader", "TICK"]

# Seconds from one round to the next: at most 200 wake-ups a second however many sockets there are,
# and a packet, which is 20 ms of audio, waits half as long on average.
TICK = 0.005

# Sockets that bring fewer packets a second than there would be rounds.
FEW = 4

# Seconds after which a peer that does not take what was sent is looked at again.
LOOK_AGAIN = 0.5


class Readable(Protocol):
    """What a socket shows to the reader."""

    def filenos(self) -> tuple[int, int]:
        """Get what to wait on: the socket, and what is readable when it is to be looked at."""

    def take(self) -> list[bytes]:
        """Take in what there is, and go on sending what waits; never wait.

        Raises:
            Exception: nothing more will come.
        """

    @property
    def behind(self) -> bool:
        """Whether something waits to be sent."""


class _Reading:
    """One socket that is read, and where it is waited for its end."""

    def __init__(self, source: Readable, deliver: Callable[[bytes], object]) -> None:
        self.source = source
        self.deliver = deliver
        self.over = threading.Event()
        self.error: Exception | None = None


class Reader:
    """Read the media sockets of a process; use it as a ``with`` block, or call :meth:`close`."""

    def __init__(self, *, tick: float = TICK, after: Callable[[], object] = lambda: None) -> None:
        """Make a reader; no thread is started before the first :meth:`read`.

        Args:
            tick: seconds from one round to the next.
            after: called after each round; never waits, never raises.
        """
        self._tick = tick
        self._after = after
        self._group = ThreadGroup("bridge")
        # Guards what follows.
        self._lock = threading.Lock()
        self._readings: set[_Reading] = set()
        self._selector: selectors.BaseSelector | None = None
        self._bell: socket.socket | None = None
        # The thread's own: the readings for whose peers something waits.
        self._behind: set[_Reading] = set()

    # -- any thread -------------------------------------------------------------------------------

    def read(self, source: Readable, deliver: Callable[[bytes], object]) -> NoReturn:
        """Have each message of ``source`` given to ``deliver``, on the reader's thread.

        Blocks until ``source`` or ``deliver`` raises, which is then raised here.

        Raises:
            BridgeError: the reader was closed.
            Exception: whatever ended it.
        """
        reading = _Reading(source, deliver)
        with self._lock:
            if self._group.stopping.is_set():
                raise BridgeError("the reader is closed")
            selector = self._start()
            self._readings.add(reading)
            for number in source.filenos():
                selector.register(number, selectors.EVENT_READ, reading)
        reading.over.wait()
        assert reading.error is not None
        raise reading.error

    def close(self, timeout: float = 5.0) -> None:
        """End what is being read, stop the thread and wait for it; may be called twice."""
        with self._lock:
            self._group.stop()
            bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()
        self._group.join(timeout)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _start(self) -> selectors.BaseSelector:
        """Start the thread, unless it runs; the lock is held."""
        if self._selector is None:
            # Not in __init__: a server may load the application before it forks.
            selector = self._selector = selectors.DefaultSelector()
            ears, self._bell = socket.socketpair()
            selector.register(ears, selectors.EVENT_READ)
            self._group.spawn("reader", lambda: self._run(ears, selector))
        return self._selector

    # -- the reader's own thread ------------------------------------------------------------------

    def _run(self, ears: socket.socket, selector: selectors.BaseSelector) -> None:
        with contextlib.closing(selector), contextlib.closing(ears):
            try:
                while not self._group.stopping.is_set():
                    self._round(selector)
            finally:
                with self._lock:
                    self._group.stop()
                    readings = list(self._readings)
                for reading in readings:
                    self._end(reading, BridgeError("the reader is closed"), selector)

    def _round(self, selector: selectors.BaseSelector) -> None:
        ready = selector.select(LOOK_AGAIN if self._behind else None)
        began = time.monotonic()
        for key, _ in ready:
            if key.data is not None:
                self._serve(key.data, selector)
        if not ready:
            for reading in list(self._behind):
                self._serve(reading, selector)
        self._after()
        left = began + self._tick - time.monotonic()
        if left > 0 and len(self._readings) > FEW:
            time.sleep(left)

    def _serve(self, reading: _Reading, selector: selectors.BaseSelector) -> None:
        if reading.error is not None:
            # Both of its numbers were ready, and the first had bad news.
            return
        source, deliver = reading.source, reading.deliver
        try:
            for message in source.take():
                deliver(message)
            if source.behind or reading in self._behind:
                self._watch(reading, selector)
        except Exception as error:  # noqa: BLE001 - raised where the end is waited for
            self._end(reading, error, selector)

    def _watch(self, reading: _Reading, selector: selectors.BaseSelector) -> None:
        """Look up when the peer takes what waits for it, and only while something does."""
        behind = reading.source.behind
        (self._behind.add if behind else self._behind.discard)(reading)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if behind else 0)
        selector.modify(reading.source.filenos()[0], events, reading)

    def _end(self, reading: _Reading, error: Exception, selector: selectors.BaseSelector) -> None:
        self._behind.discard(reading)
        with self._lock:
            self._readings.discard(reading)
            for number in reading.source.filenos():
                # A server may have closed it under us.
                with contextlib.suppress(KeyError, ValueError, OSError):
                    selector.unregister(number)
        reading.error = error
        reading.over.set()
