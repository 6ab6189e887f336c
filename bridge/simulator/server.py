"""One port for everything: REST, control routes and WebSockets.

Telnyx has one host for REST, speech-to-text and text-to-speech, so the simulator has one port.  The
library behind the WebSockets cannot take a POST with a body and Python's HTTP server cannot speak
WebSocket, so a connection begins as HTTP here and, when it asks for an upgrade, is handed on with
its socket.

Threads: one accepts, and each connection has one of its own, which ends with the connection.
"""

from __future__ import annotations

import contextlib
import json
import logging
import select
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from bridge.simulator.connection import Connection, accept
from bridge.simulator.socket import Handshake, Refusal
from telnyx_media.sync.threads import ThreadGroup

logger = logging.getLogger(__name__)

# A base64 clip of a minute for playback is the largest body a client has reason to send, but for
# the paths that a server names.
MAX_BODY = 16 * 1024 * 1024
# Of a body that is too long, so much is read and dropped, so that the client comes to read why.
_DROPPED = 256 * 1024 * 1024


class BadBody(ValueError):
    """The body cannot be read, or is no JSON object."""


class LongBody(BadBody):
    """The body is too long."""


@dataclass(frozen=True)
class HttpRequest:
    """One HTTP request, read whole.

    Attributes:
        method: ``GET``, ``POST``, ….
        path: the path's segments, each percent-decoded by itself, so that an id may hold a slash.
        query: every value of every parameter.
        headers: by lower-case name.
        body: the raw bytes.
    """

    method: str
    path: tuple[str, ...]
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Get the body as a JSON object; an empty body is an empty object.

        Raises:
            BadBody: it is something else.
        """
        if not self.body.strip():
            return {}
        try:
            value = json.loads(self.body)
        except ValueError:
            raise BadBody("the body is not JSON") from None
        if not isinstance(value, dict):
            raise BadBody("the body is not a JSON object")
        return value

    def get(self, name: str, default: str = "") -> str:
        """Get the first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default


class Sink:
    """Where the body of a streamed answer goes, piece by piece."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, data: bytes) -> None:
        """Send a piece; blocks while the peer does not read.

        Raises:
            OSError: the peer has gone.
        """
        if data:
            self._sock.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def wait(self, seconds: float | None) -> bool:
        """Wait so long, ``None`` for ever; False as soon as the peer has gone."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        if not poll.poll(None if seconds is None else max(0.0, seconds) * 1000):
            return True
        try:
            gone = self._sock.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            gone = True
        if not gone:
            # The next request came early; it is read when this one is answered.
            time.sleep(seconds or 0.0)
        return not gone


@dataclass
class HttpResponse:
    """What goes back.

    Attributes:
        status: the HTTP status.
        body: the bytes of the body.
        content_type: of the body.
        headers: further ones.
        lost: whether the connection is cut instead of answering, as a network does.
        stream: sends a body of unknown length after the head, instead of ``body``; False from it
            cuts the connection before the body's end.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    stream: Callable[[Sink], bool] | None = None

    @classmethod
    def of_json(cls, value: object, status: int = 200) -> HttpResponse:
        """Make a JSON answer."""
        return cls(status, json.dumps(value).encode())


@dataclass(frozen=True)
class SocketRoute:
    """What serves the WebSockets of one path.

    Attributes:
        check: looks at the handshake and gets a refusal or ``None``.
        serve: runs on the connection's thread until the socket is done with.
    """

    check: Callable[[Handshake], Refusal | None]
    serve: Callable[[Connection], None]


class Server:
    """Listens on one port and hands requests and WebSockets to who serves them.

    Attributes:
        port: the port it listens on.
        errors: what serving a connection raised, which is always a bug of ours.
    """

    def __init__(
        self,
        host: str,
        port: int,
        http: Callable[[HttpRequest], HttpResponse],
        sockets: Mapping[str, SocketRoute],
        limits: Mapping[str, int] | None = None,
    ) -> None:
        """Bind the port; nothing is accepted before :meth:`start`.

        Args:
            host: the address to listen on.
            port: the port, or 0 for any free one.
            http: answers a request, on the connection's thread.
            sockets: path to what serves its WebSockets.
            limits: path to the longest body it takes, in bytes, where not :data:`MAX_BODY`.

        Raises:
            OSError: the port is taken.
        """
        self.http = http
        self.sockets = sockets
        self.limits = dict(limits or {})
        self.errors: list[Exception] = []
        self._listener = socket.create_server((host, port), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._group = ThreadGroup(str(self.port))
        # Written to by stop(), so that the accepting thread wakes.
        self._waker, self._wakened = socket.socketpair()
        # Sockets of live connections. A set's add, discard and copy are atomic.
        self._open: set[socket.socket] = set()

    def start(self) -> None:
        """Begin to accept; returns at once."""
        self._group.spawn("sim-accept", self._accept)

    def stop(self) -> None:
        """Stop accepting, cut every connection and join the threads."""
        self._group.stop()
        self._waker.close()
        for sock in self._open.copy():
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._group.join()
        self._listener.close()
        self._wakened.close()

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Answer a request; a bug of ours is a 500 for the client and kept for the owner."""
        try:
            return self.http(request)
        except Exception as error:
            logger.error("a request failed: %s", type(error).__name__, exc_info=error)
            self.errors.append(error)
            failure = {"code": "10007", "title": "Unexpected error", "detail": "See the log."}
            return HttpResponse.of_json({"errors": [failure]}, 500)

    def _accept(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._wakened, select.POLLIN)
        while not self._group.stopping.is_set():
            poll.poll()
            if self._group.stopping.is_set():
                return
            try:
                sock, _ = self._listener.accept()
            except OSError:  # the peer has gone already, or descriptors have run out
                continue
            self._open.add(sock)
            if self._group.stopping.is_set():
                # stop() may have taken its copy before this one was in it.
                self._open.discard(sock)
                sock.close()
                return
            self._group.spawn("sim-http", self._connection, sock)

    def _connection(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _Conversation(sock, self)
        except OSError:
            # The peer went away in the middle of something, or stop() cut it.
            logger.debug("lost a connection")
        except Exception as error:
            logger.error("a connection failed: %s", type(error).__name__, exc_info=error)
            self.errors.append(error)
        finally:
            self._open.discard(sock)
            sock.close()


class _Conversation(BaseHTTPRequestHandler):
    """The requests of one connection, one after another, and perhaps an upgrade at the end."""

    protocol_version = "HTTP/1.1"
    server_version = "telnyx-simulator"
    sys_version = ""

    def __init__(self, sock: socket.socket, owner: Server) -> None:
        self._owner = owner
        self._upgraded: tuple[SocketRoute, Connection] | None = None
        super().__init__(sock, ("", 0), None)  # type: ignore[arg-type]  # served from the constructor
        if self._upgraded is not None:
            route, connection = self._upgraded
            try:
                route.serve(connection)
            finally:
                connection.finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keep quiet: paths carry ids and tokens."""

    def _serve(self) -> None:
        if self.headers.get("upgrade", "").lower() == "websocket":
            self._upgrade()
            return
        try:
            body = self._body()
        except BadBody as error:
            self.close_connection = True
            status = 413 if isinstance(error, LongBody) else 400
            failure = {"code": "10015", "title": "Bad Request", "detail": f"{error}."}
            self._answer(HttpResponse.of_json({"errors": [failure]}, status))
            return
        parts = urlsplit(self.path)
        segments = tuple(unquote(s) for s in parts.path.strip("/").split("/"))
        query = parse_qs(parts.query, keep_blank_values=True)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._answer(self._owner.respond(HttpRequest(self.command, segments, query, headers, body)))

    # The names by which the base class finds them.
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _body(self) -> bytes:
        path = urlsplit(self.path).path.rstrip("/")
        limit = self._owner.limits.get(path, MAX_BODY)
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return self._chunks(limit)
        text = self.headers.get("content-length") or "0"
        if not text.isdecimal():
            raise BadBody("The Content-Length is no number")
        if int(text) > limit:
            self._drop(min(int(text), _DROPPED))
            raise LongBody("The body is too long")
        return self.rfile.read(int(text))

    def _drop(self, size: int) -> None:
        while size > 0 and (data := self.rfile.read(min(size, 65536))):
            size -= len(data)

    def _chunks(self, limit: int) -> bytes:
        pieces = []
        total = 0
        while size := self._chunk_size():
            total += size
            if total > _DROPPED:
                break
            if total <= limit:
                pieces.append(self.rfile.read(size))
            else:
                self._drop(size)
            self.rfile.readline(4)
        if total > limit:
            raise LongBody("The body is too long")
        while self.rfile.readline(65536).strip():
            pass
        return b"".join(pieces)

    def _chunk_size(self) -> int:
        try:
            return int(self.rfile.readline(64).split(b";")[0], 16)
        except ValueError:
            raise BadBody("The chunked body is malformed") from None

    def _answer(self, response: HttpResponse) -> None:
        if response.lost:
            self.close_connection = True
            return
        try:
            reason = HTTPStatus(response.status).phrase
        except ValueError:
            reason = "Unknown"
        lines = [
            f"HTTP/1.1 {response.status} {reason}",
            f"Date: {self.date_time_string()}",
            f"Content-Type: {response.content_type}",
            "Transfer-Encoding: chunked"
            if response.stream is not None
            else f"Content-Length: {len(response.body)}",
            *(f"{name}: {value}" for name, value in response.headers.items()),
        ]
        if self.close_connection:
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self.connection.sendall(head + (b"" if self.command == "HEAD" else response.body))
        if response.stream is None:
            return
        if response.stream(Sink(self.connection)):
            self.connection.sendall(b"0\r\n\r\n")
        else:
            self.close_connection = True

    def _upgrade(self) -> None:
        self.close_connection = True
        handshake = Handshake.parse(self.path, dict(self.headers.items()))
        route = self._owner.sockets.get(handshake.path.rstrip("/"))
        if route is None:
            self._answer(HttpResponse(404, b"no such socket", "text/plain"))
            return
        refusal = route.check(handshake)
        if refusal is not None:
            self._answer(HttpResponse(refusal.status, refusal.body.encode()))
            return
        lines = [f"{self.command} {self.path} {self.request_version}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        connection = accept(self.connection, head, handshake)
        if connection is not None:
            self._upgraded = (route, connection)
