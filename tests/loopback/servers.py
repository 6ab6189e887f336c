"""What the loopback peers share: a WebSocket server, a raw TCP server, a certificate."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import itertools
import json
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from telnyx_media.sync.threads import ThreadGroup
from tests.loopback import PATIENCE
from tests.loopback.sharedtls import SharedTlsSocket

KEY = "KEY0123456789-secret"
"""The API key of tests; it must be found nowhere."""


def certificate_pem() -> str:
    """Get the certificate that :func:`certificate` is around, as a CA bundle."""
    return _make_certificate()[0].decode()


@lru_cache(maxsize=1)
def certificate() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a server's and a client's TLS context around one certificate for 127.0.0.1."""
    pem, secret = _make_certificate()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loopback.pem"
        path.write_bytes(pem + secret)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(path)
    server.sslsocket_class = SharedTlsSocket
    client = ssl.create_default_context(cadata=pem.decode())
    return server, client


@lru_cache(maxsize=1)
def _make_certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = cert.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem, secret


class Conversation:
    """One WebSocket connection of a peer: what it was asked, what it heard.

    Attributes:
        number: 0 for the first connection of the server.
        released: set when the test is over.
        query: of the address, in order.
        headers: of the handshake.
        texts: text messages received, decoded from JSON.
        sizes: of the binary messages received.
        audio: the bytes of the binary messages received.
    """

    def __init__(
        self, connection: ServerConnection, number: int, released: threading.Event
    ) -> None:
        """Take over a connection whose handshake is done."""
        assert connection.request is not None
        self.connection = connection
        self.number = number
        self.released = released
        self.query = parse_qsl(urlsplit(connection.request.path).query, keep_blank_values=True)
        self.headers: Headers = connection.request.headers
        self.texts: list[dict[str, object]] = []
        self.sizes: list[int] = []
        self.audio = bytearray()

    @property
    def parameters(self) -> dict[str, str]:
        """The query as a dictionary, the last of a name winning."""
        return dict(self.query)

    def receive(self, timeout: float | None = None) -> str | bytes:
        """Receive a message and note it."""
        message = self.connection.recv(timeout)
        if isinstance(message, str):
            self.texts.append(json.loads(message))
        else:
            self.sizes.append(len(message))
            self.audio += message
        return message

    def receive_raw(self, timeout: float | None = None) -> str | bytes:
        """Receive a message and note nothing."""
        return self.connection.recv(timeout)

    def send(self, message: object) -> None:
        """Send bytes or text as they are, anything else as JSON."""
        if not isinstance(message, (str, bytes)):
            message = json.dumps(message)
        self.connection.send(message)

    def hang(self) -> None:
        """Do nothing until the client is gone."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.receive()

    def vanish(self, *, reset: bool = False) -> None:
        """End the TCP connection without a word."""
        sock = self.connection.socket
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The base class's: the TLS state must not be dropped under the reader's feet.
        with contextlib.suppress(OSError):
            if reset:
                # Closing a duplicate does nothing; the reset goes out when the last one is closed,
                # which is after the reader was woken.
                socket.socket.shutdown(sock, socket.SHUT_RD)
            else:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def raw(self, data: bytes) -> None:
        """Write bytes past the WebSocket protocol."""
        self.connection.socket.sendall(data)


Behaviour = Callable[[Conversation], None]
Answer = Callable[[Request], Response | None]


def status(
    code: int, body: object = None, *, only: frozenset[int] | None = None, request_id: str = ""
) -> Answer:
    """Refuse handshakes with an HTTP status.

    Args:
        code: the status.
        body: sent as JSON.
        only: numbers of the handshakes that are refused, from 0; ``None`` for all.
        request_id: goes into a header.
    """
    count = itertools.count()
    text = b"" if body is None else json.dumps(body).encode()

    def answer(request: Request) -> Response | None:
        number = next(count)
        if only is not None and number not in only:
            return None
        headers = Headers([("Content-Length", str(len(text))), ("Connection", "close")])
        if request_id:
            headers["X-Request-Id"] = request_id
        return Response(code, "Refused", headers, text)

    return answer


class WebSocketPeer:
    """A WebSocket server on 127.0.0.1, port 0, whose connections follow a script.

    The n-th connection follows the n-th behaviour, further ones the last.  What a behaviour raises,
    other than that the client is gone, is raised again when the ``with`` block ends.
    """

    path = "/"

    def __init__(
        self,
        behaviours: Behaviour | Sequence[Behaviour],
        *,
        tls: bool = False,
        answer: Answer | None = None,
        late: bool = False,
    ) -> None:
        """Prepare; ``with`` starts it.

        Args:
            behaviours: of the connections.
            tls: whether to speak TLS with the certificate of these tests.
            answer: decides on the handshake; a response refuses it.
            late: whether connections are refused until :meth:`listen` is called.
        """
        self._behaviours = [behaviours] if callable(behaviours) else list(behaviours)
        self._tls = tls
        self._answer = answer
        self._late = late
        self._sock = socket.socket()
        self.port = 0
        self._errors: list[BaseException] = []
        self._lock = threading.Lock()
        self._running = 0
        self._idle = threading.Condition(self._lock)
        # Set when the test is over: what holds something until then waits for it.
        self.released = threading.Event()
        self.conversations: list[Conversation] = []
        self.handshakes = 0
        self.requests: list[Request] = []
        self._group = ThreadGroup("peer")
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """The address."""
        scheme = "wss" if self._tls else "ws"
        return f"{scheme}://127.0.0.1:{self.port}{self.path}"

    @property
    def client_context(self) -> ssl.SSLContext | None:
        """The TLS context of a client that trusts this peer."""
        return certificate()[1] if self._tls else None

    def __enter__(self) -> WebSocketPeer:
        self._sock.bind(("127.0.0.1", 0))
        # TLS takes the socket over, so the port is noted here.
        self.port = self._sock.getsockname()[1]
        if not self._late:
            self.listen()
        return self

    def listen(self) -> None:
        """Begin to take connections."""
        self._sock.listen(200)
        self._server = serve(
            self._handle,
            sock=self._sock,
            ssl=certificate()[0] if self._tls else None,
            process_request=self._process_request,
            compression=None,
            max_size=None,
            ping_interval=None,
            close_timeout=1,
        )
        self._group.spawn("serve", self._server.serve_forever)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.released.set()
        for conversation in list(self.conversations):
            conversation.vanish()
        if self._server is not None:
            self._server.shutdown()
        self._sock.close()
        self._group.join()
        with self._idle:
            self._idle.wait_for(lambda: not self._running, PATIENCE)
        if exc is None and self._errors:
            raise self._errors[0]

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        with self._lock:
            self.handshakes += 1
            self.requests.append(request)
        return self._answer(request) if self._answer is not None else None

    def _handle(self, connection: ServerConnection) -> None:
        with self._lock:
            self._running += 1
            conversation = Conversation(connection, len(self.conversations), self.released)
            self.conversations.append(conversation)
            behaviour = self._behaviours[min(conversation.number, len(self._behaviours) - 1)]
        try:
            behaviour(conversation)
        except (ConnectionClosed, OSError):
            pass
        except BaseException as error:  # noqa: BLE001 - raised again in the test
            self._errors.append(error)
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()


class RawPeer:
    """A TCP server on 127.0.0.1, port 0, that hands each connection to a function.

    Attributes:
        accepted: how many connections came.
    """

    def __init__(
        self, handle: Callable[[socket.socket], None] | None, *, backlog: int = 50
    ) -> None:
        """Prepare; ``with`` starts it.

        Args:
            handle: gets each connection on a thread of its own; ``None`` never accepts.
            backlog: of the listening socket.
        """
        self.accepted = 0
        self._handle = handle
        self._backlog = backlog
        self._group = ThreadGroup("raw")
        self._listener = socket.socket()
        self._connections: list[socket.socket] = []

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The address."""
        return f"ws://127.0.0.1:{self.port}/"

    def __enter__(self) -> RawPeer:
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(self._backlog)
        if self._handle is not None:
            self._group.spawn("accept", self._accept)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._group.join()
        for connection in self._connections:
            connection.close()
        self._listener.close()
        if exc is None:
            self._group.raise_error()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._connections.append(connection)
            self._group.spawn("raw", self._run, connection)

    def _run(self, connection: socket.socket) -> None:
        assert self._handle is not None
        with contextlib.suppress(OSError):
            self._handle(connection)
