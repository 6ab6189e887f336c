"""A way to a server that can be cut, or fall silent, for one of its clients alone."""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Literal

from telnyx_media.sync.threads import ThreadGroup

Mode = Literal["open", "cut", "silent"]


class Road:
    """Forwards connections to a port of this machine; use it as a ``with`` block.

    Attributes:
        port: where it takes connections.
    """

    def __init__(self, to: int) -> None:
        """Prepare a road to a port."""
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._waker, self._woken = socket.socketpair()
        self._group = ThreadGroup("road")
        self._selector = selectors.DefaultSelector()
        self._mode: Mode = "open"
        # The thread's own: each socket and the one at the other end.
        self._ends: dict[socket.socket, socket.socket] = {}

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Have every connection broken and new ones refused."""
        self._set("cut")
        try:
            yield
        finally:
            self._set("open")

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Have nothing get through, as on a network that drops packets; it comes later."""
        self._set("silent")
        try:
            yield
        finally:
            self._set("open")

    def _set(self, mode: Mode) -> None:
        self._mode = mode
        self._waker.send(b"!")

    def __enter__(self) -> Road:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._group.spawn("road", self._run)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._group.stop()
        self._waker.send(b"!")
        self._group.join()
        for sock in (*self._ends, self._listener, self._waker, self._woken):
            sock.close()
        self._selector.close()

    # -- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._group.stopping.is_set():
            for key, _ in self._selector.select():
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is self._woken:
                    sock.recv(64)
                    self._change()
                elif sock is self._listener:
                    self._accept()
                elif sock in self._ends:
                    self._carry(sock)

    def _change(self) -> None:
        for sock in list(self._ends):
            if self._mode == "cut":
                self._drop(sock)
        for sock in self._ends:
            listening = sock in self._selector.get_map()
            if self._mode == "silent" and listening:
                self._selector.unregister(sock)
            elif self._mode == "open" and not listening:
                self._selector.register(sock, selectors.EVENT_READ)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        if self._mode == "cut":
            near.close()
            return
        try:
            far = socket.create_connection(("127.0.0.1", self._to))
        except OSError:
            near.close()
            return
        self._ends |= {near: far, far: near}
        if self._mode == "open":
            for sock in (near, far):
                self._selector.register(sock, selectors.EVENT_READ)

    def _carry(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(65536)
            if data:
                self._ends[sock].sendall(data)
                return
        except OSError:
            pass
        self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        for end in (sock, self._ends.get(sock)):
            if end is not None and self._ends.pop(end, None) is not None:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(end)
                end.close()
