"""A scripted REST API: it answers what the test put down, and keeps what it was asked."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

from telnyx_media.sync.threads import ThreadGroup
from tests.loopback import PATIENCE

# What the server may do instead of answering, after it has read the request.
Fault = Literal["drop", "hang", "break off"]


@dataclass(frozen=True)
class Answer:
    """One answer, or one way of not giving any."""

    status: int = 200
    body: object = field(default_factory=lambda: {"data": {"result": "ok"}})
    headers: dict[str, str] = field(default_factory=dict)
    fault: Fault | None = None


def refusal(status: int, code: str, title: str = "Refused", detail: str = "") -> Answer:
    """Make an answer in the shape of Telnyx's errors."""
    return Answer(status, {"errors": [{"code": code, "title": title, "detail": detail}]})


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    connection: int


class ScriptedHttp:
    """An HTTP server on loopback; use it as a ``with`` block.

    Attributes:
        answers: given in order; when they have run out, ``{"data": {"result": "ok"}}``.
        requests: what came, in order.
        connections: how many were accepted.
    """

    def __init__(self, *answers: Answer) -> None:
        self.answers = deque(answers)
        self.requests: list[Request] = []
        self.connections = 0
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        # Joined when the server is closed.
        self._server.daemon_threads = False
        self._group = ThreadGroup("http")

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self._server.server_port}/v2"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                with peer._lock:
                    peer.connections += 1
                    self.number = peer.connections
                    peer._sockets.append(self.request)
                super().setup()

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                raw = self.rfile.read(length)
                kind = self.headers.get("Content-Type", "")
                # What is no JSON, an upload for one, is kept as it came.
                body = {"content": raw} if kind.startswith("multipart/") else {}
                body = json.loads(raw) if raw and not body else body
                with peer._lock:
                    peer.requests.append(
                        Request(
                            self.command,
                            self.path,
                            {name.lower(): value for name, value in self.headers.items()},
                            body,
                            self.number,
                        )
                    )
                    answer = peer.answers.popleft() if peer.answers else Answer()
                peer._send(self, answer)

            do_POST = do_GET = do_PATCH = answer  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        return Handler

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        content = (
            answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        )
        if answer.fault == "hang":
            assert self.released.wait(PATIENCE * 4), "nobody released the server"
        if answer.fault in ("hang", "drop"):
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        handler.send_response(answer.status)
        binary = isinstance(answer.body, bytes)
        handler.send_header("Content-Type", "audio/mpeg" if binary else "application/json")
        handler.send_header("Content-Length", str(len(content)))
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if answer.fault == "break off":
            handler.wfile.write(content[: len(content) // 2])
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        handler.wfile.write(content)

    def drop_connections(self) -> None:
        """Close every kept connection, as a server does that was restarted."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for sock in sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def __enter__(self) -> ScriptedHttp:
        self._group.spawn("accept", self._server.serve_forever, 0.02)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self.drop_connections()
        self._server.server_close()
        self._group.__exit__(exc_type, exc, traceback)
