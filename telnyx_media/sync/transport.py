"""A TCP or TLS socket that can be woken from any thread and is bounded in time as a whole.

Two facts made this module necessary.  A blocked ``recv`` of ``websocket-client`` is ended neither
by its ``close`` nor by its ``shutdown``; shutting the socket under it down is what ends it, in
about a millisecond, with TLS too.  And its timeouts count each step anew: a peer that drips one
byte a second holds a handshake open for ever.

Threads: one receives, one sends, any may call :meth:`Transport.wake`.

Rules of this module:

1. Every wait ends by its deadline or by ``wake``, name resolution included.
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
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from telnyx_media.errors import ConnectionLost, DeadlineExceeded, SessionEnded
from telnyx_media.sync.threads import Deadline, ThreadGroup

# What one system call may bring; far more than a speech message.
READ_SIZE = 65536

# What a non-blocking connect answers when it is on its way, here and on Windows.
IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY)

# poll() needs no descriptor of its own, unlike epoll; Windows has only select().
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)

# How long data may stay unacknowledged by the peer's kernel before the connection counts as dead,
# in ms: a half-open connection with audio flowing is found out within this time.
UNACKNOWLEDGED_MS = 10_000


@dataclass(frozen=True)
class Address:
    """Where to connect, and through what.

    Attributes:
        host: the service's host.
        port: its port.
        secure: whether TLS is spoken.
        proxy: host and port of an HTTP proxy, or ``None``.
        proxy_login: user and password for it, or ``None``.
    """

    host: str
    port: int
    secure: bool
    proxy: tuple[str, int] | None = None
    proxy_login: tuple[str, str] | None = None


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


class Dialer:
    """One attempt to reach an address; ``cancel`` ends it from any thread within milliseconds."""

    def __init__(self, group: ThreadGroup, role: str) -> None:
        """Prepare an attempt.

        Args:
            group: gets the thread that resolves the name.
            role: for that thread's name.
        """
        self._group = group
        self._role = role
        # Guards _transport and _cancelled, so that a cancel between two addresses is not lost.
        self._lock = threading.Lock()
        self._resolved = threading.Event()
        self._cancelled = False
        self._transport: Transport | None = None

    def cancel(self) -> None:
        """Give the attempt up; never blocks. Also closes the way for a transport made already."""
        with self._lock:
            self._cancelled = True
            transport = self._transport
        self._resolved.set()
        if transport is not None:
            transport.wake()

    def dial(
        self, address: Address, context: ssl.SSLContext | None, deadline: Deadline
    ) -> Transport:
        """Resolve, connect, pass the proxy and do the TLS handshake, all within ``deadline``.

        Raises:
            DeadlineExceeded: it took too long.
            ConnectionLost: it cannot be reached; the message says why.
            SessionEnded: it was cancelled.
        """
        where = f"{address.host}:{address.port}"
        host, port = address.proxy or (address.host, address.port)
        reason: Exception | None = None
        try:
            for family, kind, proto, _, sockaddr in self._resolve(host, port, deadline):
                transport = self._register(socket.socket(family, kind, proto), deadline)
                try:
                    transport.connect(sockaddr)
                    if address.proxy is not None:
                        _tunnel(transport, address)
                    if context is not None:
                        transport.start_tls(context, address.host)
                except (OSError, ValueError) as error:
                    transport.close()
                    reason = error
                    if deadline.expired or self._cancelled:
                        break
                except BaseException:
                    transport.close()
                    raise
                else:
                    return transport
        except socket.gaierror as error:
            reason = error
        except TimeoutError as error:
            reason = error
        if self._cancelled:
            raise SessionEnded("the session was closed while it connected")
        if deadline.expired or isinstance(reason, TimeoutError):
            raise DeadlineExceeded(f"connecting to {where} took too long")
        raise ConnectionLost(f"cannot connect to {where}: {_explain(reason)}")

    def _register(self, sock: socket.socket, deadline: Deadline) -> Transport:
        options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            options.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS))
        for option in options:
            with contextlib.suppress(OSError):
                sock.setsockopt(*option)
        transport = Transport(sock, deadline)
        with self._lock:
            self._transport = transport
            if self._cancelled:
                transport.wake()
        return transport

    def _resolve(self, host: str, port: int, deadline: Deadline) -> list[Any]:
        try:
            ip_address(host)
        except ValueError:
            pass
        else:
            return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        # The system's resolver can neither be bounded nor woken; it gets a thread of its own, and
        # an answer that comes too late is dropped.
        answer: list[Any] = []

        def look_up() -> None:
            try:
                answer.append(
                    socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP)
                )
            except (OSError, UnicodeError) as error:
                answer.append(error)
            self._resolved.set()

        self._group.spawn(self._role, look_up)
        if not self._resolved.wait(deadline.remaining()):
            raise TimeoutError("the name was not resolved in time")
        if self._cancelled or not answer:
            raise TimeoutError("cancelled")
        if isinstance(answer[0], Exception):
            raise socket.gaierror(f"the name {host} cannot be resolved")
        found: list[Any] = answer[0]
        return found


def _tunnel(transport: Transport, address: Address) -> None:
    # An HTTP CONNECT (RFC 9110, 9.3.6) through the proxy.
    target = f"{address.host}:{address.port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if address.proxy_login is not None:
        login = b64encode(":".join(address.proxy_login).encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {login}")
    data = ("\r\n".join(lines) + "\r\n\r\n").encode()
    while data:
        data = data[transport.send(data) :]
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = transport.recv(1)
        head += byte
        if not byte or len(head) > 16384:
            raise OSError("the proxy closed the connection")
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if len(status) < 2 or status[1] != b"200":
        code = status[1][:3].decode("ascii", "replace") if len(status) > 1 else "?"
        raise OSError(f"the proxy answered {code} to CONNECT")


def _explain(reason: Exception | None) -> str:
    if reason is None:
        return "the name has no address"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted ({reason.verify_message})"
    if isinstance(reason, ssl.SSLError):
        return f"TLS failed ({reason.reason or 'connection closed'})"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__
