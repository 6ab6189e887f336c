"""One thread that waits for sockets and for points in time, and notes how late it is itself."""

from __future__ import annotations

import gc
import heapq
import itertools
import select
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
# Sockets looked at between two looks at the clock.
AT_ONCE = 16


class Loop:
    """Calls back when a socket is ready or a time has come.

    Attributes:
        lateness: seconds by which each paced callback was late.
    """

    def __init__(self) -> None:
        self.lateness: list[float] = []
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, bool, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._stopped = False

    def at(self, due: float, call: Callable[[float], None], *, paced: bool = False) -> None:
        """Call ``call(now)`` at a time of the monotonic clock."""
        heapq.heappush(self._timers, (due, next(self._order), paced, call))

    def watch(self, number: int, mask: int, call: Callable[[int], None]) -> None:
        """Call ``call(events)`` when a file is ready; again for another mask."""
        known = number in self._ready
        self._ready[number] = call
        (self._epoll.modify if known else self._epoll.register)(number, mask)

    def forget(self, number: int) -> None:
        """Watch a file no longer."""
        if self._ready.pop(number, None) is not None:
            self._epoll.unregister(number)

    def stop(self) -> None:
        """End :meth:`run`."""
        self._stopped = True

    def run(self) -> None:
        """Serve until stopped."""
        # Nothing here is worth a pause of everything.
        gc.collect()
        gc.freeze()
        gc.disable()
        timers = self._timers
        while not self._stopped:
            now = time.monotonic()
            wait = min(1.0, timers[0][0] - now) if timers else 1.0
            for number, events in self._epoll.poll(max(0.0, wait), AT_ONCE):
                call = self._ready.get(number)
                if call is not None:
                    call(events)
            now = time.monotonic()
            for _ in range(AT_ONCE):
                if not timers or timers[0][0] > now:
                    break
                due, _, paced, called = heapq.heappop(timers)
                if paced:
                    self.lateness.append(now - due)
                called(now)


class Connection(ABC):
    """One socket that never waits."""

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self.loop = loop
        self.sock = sock
        self.closed = False
        self._out = bytearray()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.watch(sock.fileno(), READ, self._on_ready)

    def send(self, data: bytes) -> None:
        """Send, or keep until it can be sent."""
        if self.closed:
            return
        if not self._out:
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()
                return
            if sent == len(data):
                return
            data = data[sent:]
            self.loop.watch(self.sock.fileno(), READ | WRITE, self._on_ready)
        self._out += data

    def _on_ready(self, events: int) -> None:
        if events & WRITE and self._out:
            out, self._out = bytes(self._out), bytearray()
            self.loop.watch(self.sock.fileno(), READ, self._on_ready)
            self.send(out)
        if events & ~WRITE and not self.closed:
            try:
                data = self.sock.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if data:
                self.take(data)
            else:
                self.close()

    def close(self) -> None:
        """Give the socket up; may be called twice."""
        if not self.closed:
            self.closed = True
            self.loop.forget(self.sock.fileno())
            self.sock.close()
            self.ended()

    @abstractmethod
    def take(self, data: bytes) -> None:
        """Take in what came."""

    def ended(self) -> None:  # noqa: B027 - most have nothing to do
        """Be told that the socket is gone."""


# WebSocket frames

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
# A zero key changes nothing, which is allowed and saves time; the server unmasks all the same.
ZERO_KEY = b"\0\0\0\0"


def frame(payload: bytes, kind: int = TEXT, *, masked: bool = False) -> bytes:
    """Make a frame; ``masked`` is a client's."""
    size, bit = len(payload), 0x80 if masked else 0
    if size < 126:
        head = bytes((0x80 | kind, bit | size))
    elif size < 1 << 16:
        head = bytes((0x80 | kind, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | kind, bit | 127)) + size.to_bytes(8, "big")
    return head + (ZERO_KEY if masked else b"") + payload


class Frames:
    """Takes the frames out of a stream of bytes."""

    def __init__(self, rest: bytes = b"") -> None:
        self._rest = rest
        self._parts = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take bytes; get the kinds and payloads that are complete."""
        data = self._rest + data
        at, end, out = 0, len(data), []
        while end - at >= 2:
            first, second, head = data[at], data[at + 1], at + 2
            size = second & 127
            if size >= 126:
                width = 2 if size == 126 else 8
                size, head = int.from_bytes(data[head : head + width], "big"), head + width
            key = b""
            if second & 128:
                key, head = data[head : head + 4], head + 4
            if end < head + size:
                break
            payload = data[head : head + size]
            at = head + size
            if key and key != ZERO_KEY:
                mask = (key * (size // 4 + 1))[:size]
                number = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
                payload = number.to_bytes(size, "big")
            if first & 15 < CLOSE and (self._parts or not first & 128):
                self._parts += payload
                if not first & 128:
                    continue
                payload, self._parts = self._parts, b""
            out.append((first & 15 or TEXT, payload))
        self._rest = data[at:]
        return out
