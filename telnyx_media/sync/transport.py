"""A TCP or TLS socket that can be woken from any thread and is bounded in time as a whole.

Two facts made this module necessary.  A blocked ``recv`` of ``websocket-client`` is ended neither
by its ``close`` nor by its ``shutdown``; shutting the socket under it down is what ends it, in
about a millisecond, with TLS too.  And its timeouts count each step anew: a peer that drips one
byte a second holds a handshake open for ever.

Threads: one receives, one sends, any may call :meth:`Transport.wake`.

Rules of this module:

1. Every wait ends by its deadline or by ``wake``.
2. OpenSSL's state is touched under one lock, and nobody waits for the network while holding it.
3. The file descriptor is given up once, and never while another thread may still use its number.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from telnyx_media.sync.threads import Deadline

# What one system call may bring; far more than a speech message.
READ_SIZE = 65536

# What a non-blocking connect answers when it is on its way, here and on Windows.
IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY)

# poll() needs no descriptor of its own, unlike epoll; Windows has only select().
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


class Transport:
    """One connected socket: ``recv`` and ``send`` with deadlines, ``wake`` from anywhere.

    It has the methods ``websocket-client`` asks of a socket.  ``recv`` is buffered, so that a frame
    costs one system call and not three.

    Attributes:
        read_timeout: limit of one ``recv`` in seconds, ``None`` for no limit.
        write_timeout: limit of one ``send``.
        last_read: when bytes last came, on the monotonic clock.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        """Take over a socket that may not be connected yet.

        Args:
            sock: will be closed by :meth:`close`.
            deadline: for everything until :meth:`settimeout` is first called.
        """
        sock.setblocking(False)
        self._sock = sock
        # Serialises what touches OpenSSL, which is not safe for two threads; also guards the
        # descriptor against being closed (and its number used anew) under a ``wake``.
        self._lock = threading.Lock()
        self._closed = False
        self._woken = False
        self._buffer = bytearray()
        # What was begun to be sent without waiting, and has to go out before anything else.
        self._rest = b""
        self._deadline: Deadline | None = deadline
        self.read_timeout: float | None = None
        self.write_timeout: float | None = None
        self.last_read = time.monotonic()

    # -- what websocket-client calls -------------------------------------------------------------

    def gettimeout(self) -> float | None:
        """Get the limit of one ``recv`` in seconds."""
        return self.read_timeout

    def settimeout(self, timeout: float | None) -> None:
        """Set the limit of each following ``recv`` and ``send`` in seconds."""
        self.read_timeout = self.write_timeout = timeout

    def fileno(self) -> int:
        """Get the descriptor's number, -1 after ``close``."""
        return self._sock.fileno()

    def recv(self, size: int) -> bytes:
        """Get up to ``size`` bytes; ``b""`` at the end of the stream or after ``wake``.

        Raises:
            TimeoutError: nothing came in time.
            OSError: the connection broke.
        """
        if not self._buffer:
            data = self._wait(self._try_recv, self._limit(self.read_timeout))
            if not data:
                return b""
            self.last_read = time.monotonic()
            self._buffer += data
        chunk = bytes(self._buffer[:size])
        del self._buffer[:size]
        return chunk

    def send(self, data: bytes) -> int:
        """Send some of ``data`` and get how much.

        Raises:
            TimeoutError: the peer took nothing in time.
            OSError: the connection broke.
        """
        self.flush()
        view = memoryview(data)[:READ_SIZE]
        sent: int = self._wait(lambda: self._sock.send(view), self._limit(self.write_timeout))
        return sent

    def send_all(self, data: bytes) -> None:
        """Send all of ``data``.

        Raises:
            TimeoutError: the peer took nothing in time.
            OSError: the connection broke.
        """
        sent = self.send(data)
        while sent < len(data):
            sent += self.send(data[sent:])

    def offer(self, data: bytes) -> bool:
        """Send ``data`` if the kernel takes all of it at once; never wait, never raise."""
        with self._lock:
            if self._woken or self._closed or self._rest:
                return False
            try:
                return self._sock.send(data) == len(data)
            except (OSError, ValueError):
                return False

    def send_now(self, data: bytes) -> bool | None:
        """Send ``data`` without waiting.

        Returns:
            Whether it was sent; ``None`` if a part of it was, and the rest is for :meth:`flush`,
            which has to come before anything else and may wait.
        """
        with self._lock:
            if self._woken or self._closed or self._rest:
                return False
            try:
                sent = self._sock.send(data)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                # OpenSSL has begun with it, and wants the same again.
                sent = 0
            except (OSError, ValueError):
                # Full, or broken, as whoever waits will find out.
                return False
            self._rest = data[sent:]
            return None if self._rest else True

    def flush(self) -> None:
        """Send what :meth:`send_now` could not.

        Raises:
            TimeoutError: the peer took nothing in time.
            OSError: the connection broke.
        """
        while self._rest:
            limit = self._limit(self.write_timeout)
            sent: int = self._wait(lambda: self._sock.send(self._rest), limit)
            self._rest = self._rest[sent:]

    def shutdown(self, how: int = socket.SHUT_RDWR) -> None:
        """End both directions, as :meth:`wake` does."""
        self.wake()

    def close(self) -> None:
        """Give the descriptor up; may be called twice. Nobody may be in ``recv`` or ``send``."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._shutdown()
            self._sock.close()

    # -- the rest --------------------------------------------------------------------------------

    def wake(self) -> None:
        """End every wait on this socket; never blocks, from any thread, may be called twice."""
        self._woken = True
        with self._lock:
            if not self._closed:
                self._shutdown()

    def end_deadline(self) -> None:
        """Let go of the deadline of the connect; from here each call has a timeout of its own."""
        self._deadline = None

    def connect(self, sockaddr: Any) -> None:
        """Connect, bounded by the deadline, woken by ``wake``."""
        error = self._sock.connect_ex(sockaddr)
        if error and error not in IN_PROGRESS:
            raise OSError(error, os.strerror(error))
        if error:
            self._poll(selectors.EVENT_WRITE, self._limit(None))
            error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
        self._check_woken()

    def start_tls(self, context: ssl.SSLContext, hostname: str) -> None:
        """Do the TLS handshake, bounded by the deadline, woken by ``wake``."""
        with self._lock:
            self._check_woken()
            if self._buffer:
                raise OSError("bytes came before the TLS handshake")
            # Wrapping detaches the plain socket; from here the descriptor belongs to the wrapper.
            wrapped = context.wrap_socket(
                self._sock, server_hostname=hostname, do_handshake_on_connect=False
            )
            self._sock = wrapped
        self._wait(wrapped.do_handshake, self._limit(None))

    def _limit(self, timeout: float | None) -> Deadline:
        return self._deadline if self._deadline is not None else Deadline(timeout)

    def _try_recv(self) -> bytes:
        try:
            return self._sock.recv(READ_SIZE)
        except ssl.SSLZeroReturnError:
            return b""

    def _wait(self, attempt: Callable[[], Any], deadline: Deadline) -> Any:
        # The socket never blocks, so the lock is held for as long as a system call takes.  With a
        # blocking socket one thread's read would keep the other from writing.
        while True:
            with self._lock:
                self._check_woken()
                try:
                    return attempt()
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as want:
                    reading = isinstance(want, ssl.SSLWantReadError)
                except BlockingIOError:
                    reading = attempt == self._try_recv
            self._poll(selectors.EVENT_READ if reading else selectors.EVENT_WRITE, deadline)

    def _poll(self, event: int, deadline: Deadline) -> None:
        fd = self._sock.fileno()
        if fd < 0:
            raise OSError("the socket is closed")
        with _Selector() as selector:
            selector.register(fd, event)
            if not selector.select(deadline.remaining()) and deadline.expired:
                raise TimeoutError("the peer was silent for too long")

    def _check_woken(self) -> None:
        if self._woken:
            raise OSError("the connection was given up")

    def _shutdown(self) -> None:
        # The base class's method: SSLSocket.shutdown would drop the TLS state first, under the
        # feet of the thread that is reading, which would then read ciphertext.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
