"""The way to a connected socket: name, TCP, a proxy if there is one, TLS.

Bounded as a whole and ended by ``cancel``, name resolution included: a peer that drips one byte a
second must not hold a handshake open for ever.

Threads: one dials, which blocks; one more resolves the name; any may call :meth:`Dialer.cancel`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from base64 import b64encode
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from telnyx_media.errors import ConnectionLost, DeadlineExceeded, SessionEnded
from telnyx_media.sync.threads import Deadline, ThreadGroup
from telnyx_media.sync.transport import Transport

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
        lost = ConnectionLost(f"cannot connect to {where}: {_explain(reason)}")
        # A certificate is as little trusted the next time.
        lost.retryable = not isinstance(reason, ssl.SSLCertVerificationError)
        raise lost

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
