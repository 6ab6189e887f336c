"""One open WebSocket of the simulator, whichever side asked for it.

The protocol is ``websockets``' sans-I/O core; this is the thin shell around a socket.  The
carrier's clock sends on twenty legs in turn and may never wait for one of them, so there are two
ways to send: :meth:`Connection.send` waits until the bytes have left, :meth:`Connection.push` does
not and keeps a bounded backlog.

Threads: one thread receives; any thread sends, pushes, closes or aborts.

Rules of this module:

1. What is written leaves in the order of the calls; one lock guards the protocol and the backlog.
2. Nobody waits while holding that lock.
3. A blocked receive is ended by shutting the socket down, which :meth:`Connection.abort` does.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections import deque
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN, Protocol
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from bridge.simulator.socket import Handshake
from bridge.simulator.tls import ConnectFailed, Tls

# Thirty seconds of L16 at 48 kHz in base64, which is the longest media frame there may be.
MAX_MESSAGE = 4 * 1024 * 1024
# Half a minute of one leg's media: a peer that reads nothing for so long has gone.
MAX_BACKLOG = 512 * 1024
# How long the other side of a close may keep us waiting.
CLOSE_TIMEOUT = 2.0


class Connection:
    """An open WebSocket.

    Attributes:
        handshake: the request that opened it.
        close_code: code of the close frame that came, 1006 if the connection went without one,
            ``None`` while it is open.
        overflowed: whether it was cut because the peer did not read.
    """

    def __init__(
        self,
        sock: socket.socket,
        protocol: Protocol,
        handshake: Handshake,
        tls: Tls | None = None,
    ) -> None:
        self.handshake = handshake
        self.close_code: int | None = None
        self.overflowed = False
        self._sock = sock
        self._tls = tls
        self._protocol = protocol
        # Guards the protocol, the TLS state and _out.
        self._lock = threading.Lock()
        self._out = bytearray()
        # Only the receiving thread touches these two.
        self._messages: deque[str | bytes] = deque()
        self._partial: list[bytes] = []
        self._partial_is_text = False
        self._gone = threading.Event()
        # What came in one piece with the handshake.
        for event in protocol.events_received():
            self._take(event)

    # Receiving: one thread.

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Get the next message; ``None`` once the socket is closed, by whichever side.

        Blocks until a message has come, the socket closes, or ``timeout`` seconds went by.

        Raises:
            TimeoutError: nothing came in time.
        """
        limit = None if timeout is None else time.monotonic() + timeout
        while not self._messages:
            if self._gone.is_set():
                return None
            if limit is not None and not self._readable(limit - time.monotonic()):
                raise TimeoutError
            self._read()
        return self._messages.popleft()

    def _readable(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def _read(self) -> None:
        try:
            data = self._sock.recv(65536)
        except OSError:
            data = b""
        with self._lock:
            if data and self._tls is not None:
                plain = self._tls.decrypt(data)
                if plain is not None:
                    self._protocol.receive_data(plain) if plain else None
                else:
                    data = b""
            elif data:
                self._protocol.receive_data(data)
            if not data:
                self._protocol.receive_eof()
            events = self._protocol.events_received()
            self._collect()
            self._write()
            ended = not data or self._is_closing_done()
        for event in events:
            self._take(event)
        if ended:
            self._end()

    def _is_closing_done(self) -> bool:
        """Whether nothing more is to come; call it with the lock held."""
        protocol = self._protocol
        both = protocol.close_rcvd is not None and protocol.close_sent is not None
        return both or protocol.eof_sent

    def _take(self, event: object) -> None:
        if not isinstance(event, Frame):
            return
        if event.opcode is Opcode.TEXT or event.opcode is Opcode.BINARY:
            self._partial = [bytes(event.data)]
            self._partial_is_text = event.opcode is Opcode.TEXT
        elif event.opcode is Opcode.CONT:
            self._partial.append(bytes(event.data))
        else:
            return
        if event.fin:
            whole = b"".join(self._partial)
            self._partial = []
            self._messages.append(
                whole.decode("utf-8", "replace") if self._partial_is_text else whole
            )

    def _end(self) -> None:
        received = self._protocol.close_rcvd
        self.close_code = received.code if received is not None else 1006
        self._gone.set()
        self._shutdown()
        self._sock.close()

    # Sending: any thread.

    def send(self, message: str | bytes) -> None:
        """Send a message and wait until its bytes have left; do nothing on a closed socket."""
        with self._lock:
            if not self._queue(message):
                return
            self._write()
        while self._out and not self._gone.is_set():
            self._wait_writable(0.5)
            with self._lock:
                self._write()

    def push(self, message: str) -> bool:
        """Send a message without ever waiting; what the peer does not take yet is kept.

        A peer that lets more than ``MAX_BACKLOG`` bytes pile up is cut off.

        Returns:
            False when the socket is closed.
        """
        with self._lock:
            if not self._queue(message):
                return False
            self._write()
            full = len(self._out) > MAX_BACKLOG
        if full:
            self.overflowed = True
            self.abort()
        return not full

    def _queue(self, message: str | bytes) -> bool:
        """Put a message behind what waits; call it with the lock held."""
        if self._gone.is_set() or self._protocol.state is not OPEN:
            return False
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        self._collect()
        return True

    def _collect(self) -> None:
        """Move what the protocol wants written to the backlog; call it with the lock held."""
        for data in self._protocol.data_to_send():
            # An empty piece asks for the end of the stream; _end() does it for both directions.
            if data:
                self._out += self._tls.encrypt(data) if self._tls is not None else data

    def _write(self) -> None:
        """Give the kernel what it takes; call it with the lock held."""
        while self._out:
            try:
                sent = self._sock.send(self._out, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                self._out.clear()
                self._shutdown()
                return
            del self._out[:sent]

    def _wait_writable(self, seconds: float) -> None:
        poll = select.poll()
        try:
            poll.register(self._sock, select.POLLOUT)
        except ValueError:  # closed by the receiving thread
            return
        poll.poll(seconds * 1000)

    # Ending: any thread.

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame, and cut the connection if the peer does not answer it.

        The receiving thread gets ``None`` from :meth:`receive`; if it is the one that closes, it
        reads the peer's answer here. May be called twice.
        """
        with self._lock:
            if self._gone.is_set() or self._protocol.state is not OPEN:
                return
            self._protocol.send_close(code, reason)
            self._collect()
            self._write()

    def finish(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait for the peer's answer; only on the receiving thread."""
        self.close(code, reason)
        limit = time.monotonic() + CLOSE_TIMEOUT
        while not self._gone.is_set():
            if time.monotonic() > limit or not self._readable(limit - time.monotonic()):
                self._end()
                return
            self._read()
            self._messages.clear()

    def abort(self) -> None:
        """Cut the connection without a close frame, as a lost network does."""
        self._shutdown()

    def _shutdown(self) -> None:
        # A socket that is gone already has nothing left to shut down.
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def accept(sock: socket.socket, head: bytes, handshake: Handshake) -> Connection | None:
    """Answer a WebSocket request that was read from ``sock`` and get the open socket.

    Args:
        sock: the connection, in blocking mode.
        head: the request's head as it came, or rebuilt to the same meaning.
        handshake: the same, parsed.

    Returns:
        ``None`` when the request was no proper WebSocket handshake; it was answered with 4xx.
    """
    protocol = ServerProtocol(max_size=MAX_MESSAGE)
    protocol.receive_data(head)
    events = protocol.events_received()
    if events and isinstance(events[0], Request):
        protocol.send_response(protocol.accept(events[0]))
    sock.sendall(b"".join(protocol.data_to_send()))
    if protocol.state is not OPEN:
        return None
    return Connection(sock, protocol, handshake)


def connect(
    url: str,
    *,
    timeout: float,
    headers: dict[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Connection:
    """Open a WebSocket to ``url``; blocks for at most about ``timeout`` seconds.

    Args:
        url: where to; its certificate is verified if it is ``wss``.
        timeout: seconds.
        headers: further ones of the handshake.
        tls: instead of the system's certificate authorities.

    Raises:
        ConnectFailed: it could not be opened; the message never holds the URL, which may carry a
            token.
    """
    limit = time.monotonic() + timeout
    try:
        uri = parse_uri(url)
        sock = socket.create_connection((uri.host, uri.port), timeout)
    except InvalidURI:
        raise ConnectFailed("the stream URL is no WebSocket URL") from None
    except OSError as error:
        raise ConnectFailed(f"could not connect: {error.strerror or 'timed out'}") from None
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secured = None
        if uri.secure:
            secured = Tls(uri.host, tls or ssl.create_default_context())
            secured.handshake(sock)
        protocol = ClientProtocol(uri, max_size=MAX_MESSAGE)
        request = protocol.connect()
        for name, value in (headers or {}).items():
            request.headers[name] = value
        protocol.send_request(request)
        parts = urlsplit(url)
        target = parts.path + ("?" + parts.query if parts.query else "")
        _shake_hands(sock, protocol, secured, limit)
        sock.settimeout(None)
    except (OSError, InvalidHandshake) as error:
        sock.close()
        if isinstance(error, ConnectFailed):
            raise
        if isinstance(error, InvalidStatus):
            raise ConnectFailed(f"refused with HTTP {error.response.status_code}") from None
        raise ConnectFailed(f"no WebSocket: {type(error).__name__}") from None
    return Connection(sock, protocol, Handshake.parse(target, dict(request.headers)), secured)


def _shake_hands(
    sock: socket.socket, protocol: ClientProtocol, tls: Tls | None, limit: float
) -> None:
    for data in protocol.data_to_send():
        sock.sendall(tls.encrypt(data) if tls is not None else data)
    while True:
        sock.settimeout(max(0.01, limit - time.monotonic()))
        data = sock.recv(65536)
        if not data:
            raise InvalidMessage("closed before the answer")
        plain = tls.decrypt(data) if tls is not None else data
        if plain is None:
            raise InvalidMessage("closed before the answer")
        protocol.receive_data(plain)
        if protocol.handshake_exc is not None:
            raise protocol.handshake_exc
        if protocol.state is OPEN:
            # The rest of the events are messages that came behind the response.
            return
