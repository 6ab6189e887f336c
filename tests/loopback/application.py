"""An application that a Telnyx simulator calls: it takes webhooks and media, and sends commands.

It is written with other libraries than the simulator's and knows nothing of the bridge, so what
passes here passes for a client that is not ours.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import quote

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from telnyx_media.sync.threads import ThreadGroup
from tests.loopback import PATIENCE

# The library logs a peer that went away without a close frame, which is a thing we do on purpose.
logging.getLogger("websockets.server").setLevel(logging.CRITICAL)


class Hook:
    """One webhook as it came."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path = path
        self.headers = headers
        self.body = body
        self.envelope: dict[str, Any] = json.loads(body)
        self.data: dict[str, Any] = self.envelope["data"]
        self.payload: dict[str, Any] = self.data["payload"]
        self.event_type: str = self.data["event_type"]

    def verify(self, public_key: str) -> None:
        """Check the signature.

        Raises:
            InvalidSignature: it does not hold.
        """
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        signed = self.headers["telnyx-timestamp"].encode() + b"|" + self.body
        key.verify(base64.b64decode(self.headers["telnyx-signature-ed25519"]), signed)


class MediaSocket:
    """One media WebSocket that was opened to us."""

    def __init__(self, owner: Application, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.path = connection.request.path
        self.headers = connection.request.headers
        self.frames: list[dict[str, Any]] = []
        self.closed = False
        self.close_code: int | None = None
        self._owner = owner
        self._connection = connection

    def read(self) -> None:
        """Take frames until the socket is closed."""
        try:
            for message in self._connection:
                frame = json.loads(message)
                with self._owner.changed:
                    self.frames.append(frame)
                    self._owner.changed.notify_all()
        except ConnectionClosed:
            pass
        with self._owner.changed:
            self.closed = True
            self.close_code = self._connection.close_code
            self._owner.changed.notify_all()

    def of(self, event: str) -> list[dict[str, Any]]:
        """Get the frames of one kind."""
        with self._owner.changed:
            return [frame for frame in self.frames if frame["event"] == event]

    def wait(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for frames of one kind and get them all."""
        self._owner.wait_for(lambda: len(self.of(event)) >= count, f"{count} {event} frames")
        return self.of(event)

    def wait_closed(self) -> None:
        """Wait until the socket is closed."""
        self._owner.wait_for(lambda: self.closed, "the close of the media socket")

    def send_raw(self, message: str | bytes) -> None:
        """Send a message as it is."""
        self._connection.send(message)

    def send_media(self, payload: bytes) -> None:
        """Send audio."""
        encoded = base64.b64encode(payload).decode()
        self.send_raw(json.dumps({"event": "media", "media": {"payload": encoded}}))

    def send_mark(self, name: str) -> None:
        """Send a mark."""
        self.send_raw(json.dumps({"event": "mark", "mark": {"name": name}}))

    def send_clear(self) -> None:
        """Send a clear."""
        self.send_raw(json.dumps({"event": "clear"}))

    def close(self) -> None:
        """Close properly."""
        self._connection.close()

    def cut(self) -> None:
        """Close without a close frame."""
        self._connection.socket.shutdown(2)


class Application:
    """A webhook server and a media server; use it as a ``with`` block.

    Attributes:
        hooks: every webhook, in the order of coming.
        sockets: every media socket.
        statuses: what webhooks are answered with, one after another; then 200.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.hooks: list[Hook] = []
        self.sockets: list[MediaSocket] = []
        self.statuses: list[int] = []
        self._group = ThreadGroup("app")
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = False
        self._media: Server = serve(self._take_socket, "127.0.0.1", 0)

    @property
    def webhook_url(self) -> str:
        """Where webhooks go."""
        return f"http://127.0.0.1:{self._http.server_port}/hook"

    @property
    def stream_url(self) -> str:
        """Where media sockets are opened."""
        return f"ws://127.0.0.1:{self._media.socket.getsockname()[1]}/media/token"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        application = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with application.changed:
                    application.hooks.append(Hook(self.path, headers, body))
                    status = application.statuses.pop(0) if application.statuses else 200
                    application.changed.notify_all()
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        return Handler

    def _take_socket(self, connection: ServerConnection) -> None:
        socket = MediaSocket(self, connection)
        with self.changed:
            self.sockets.append(socket)
            self.changed.notify_all()
        socket.read()

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something has come."""
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE), f"{what} did not come"

    def of(self, event_type: str, leg: str | None = None) -> list[Hook]:
        """Get the webhooks of one type, of one leg or of all."""
        with self.changed:
            return [
                hook
                for hook in self.hooks
                if hook.event_type == event_type
                and leg in (None, hook.payload.get("call_control_id"))
            ]

    def wait_hook(self, event_type: str, leg: str | None = None, count: int = 1) -> Hook:
        """Wait for a webhook and get the latest one."""
        self.wait_for(lambda: len(self.of(event_type, leg)) >= count, event_type)
        return self.of(event_type, leg)[-1]

    def wait_socket(self, count: int = 1) -> MediaSocket:
        """Wait for a media socket and get the latest one."""
        self.wait_for(lambda: len(self.sockets) >= count, "a media socket")
        return self.sockets[-1]

    def __enter__(self) -> Application:
        self._group.spawn("app-http", self._http.serve_forever, 0.02)
        self._group.spawn("app-media", self._media.serve_forever)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._media.shutdown()
        self._group.__exit__(exc_type, exc, traceback)


class RestClient:
    """Sends commands as any program would.

    Attributes:
        last: the latest answer.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        self.base_url = base_url
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.headers["Authorization"] = f"Bearer {api_key}"

    def request(self, method: str, path: str, body: object = None) -> requests.Response:
        """Send a request."""
        return self._http.request(method, self.base_url + path, json=body, timeout=PATIENCE)

    def act(self, leg: str, action: str, **body: object) -> requests.Response:
        """Send a command to a leg."""
        return self.request("POST", f"/calls/{quote(leg, safe='')}/actions/{action}", body)

    def ok(self, leg: str, action: str, **body: object) -> dict[str, Any]:
        """Send a command to a leg, which has to be accepted, and get the answer's data."""
        response = self.act(leg, action, **body)
        assert response.status_code == 200, response.text
        data = response.json()["data"]
        assert isinstance(data, dict)
        return data

    def close(self) -> None:
        """Close its connections."""
        self._http.close()
