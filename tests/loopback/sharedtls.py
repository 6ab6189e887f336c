"""A TLS socket that one thread may read while another writes.

The WebSocket server of the tests does both at once.  OpenSSL allows one thread at a time, and
Python does not see to that (python/cpython#151508): now and then the process would die of it, in a
test that has nothing to do with TLS.
"""

from __future__ import annotations

import select
import ssl
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["SharedTlsSocket"]

T = TypeVar("T")


class SharedTlsSocket(ssl.SSLSocket):
    """Never waits while it holds OpenSSL's state; a context makes it as its ``sslsocket_class``."""

    # Its limit for one call; the socket below never blocks once the handshake is done.
    _limit: float | None = None
    _shaken = False
    _mutex: threading.Lock

    def __new__(cls, *args: Any, **kwargs: Any) -> SharedTlsSocket:
        """Make one, with a lock."""
        made = super().__new__(cls, *args, **kwargs)
        made._mutex = threading.Lock()
        return made

    def settimeout(self, value: float | None) -> None:
        """Set the limit of each call."""
        self._limit = value
        super().settimeout(0 if self._shaken else value)

    def do_handshake(self, block: bool = False) -> None:
        """Do the handshake, which nothing else runs beside."""
        super().do_handshake(block)
        self._shaken = True
        self.settimeout(self._limit)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Get some bytes, waiting for them."""
        return self._wait(lambda: ssl.SSLSocket.recv(self, buflen, flags))

    def send(self, data: Any, flags: int = 0) -> int:
        """Send some bytes, waiting for room."""
        return self._wait(lambda: ssl.SSLSocket.send(self, data, flags))

    def _wait(self, attempt: Callable[[], T]) -> T:
        while True:
            with self._mutex:
                try:
                    return attempt()
                except ssl.SSLWantReadError:
                    event = select.POLLIN
                except ssl.SSLWantWriteError:
                    event = select.POLLOUT
            poll = select.poll()
            poll.register(self.fileno(), event)
            if not poll.poll(None if self._limit is None else 1000 * self._limit):
                raise TimeoutError("the peer was silent for too long")
