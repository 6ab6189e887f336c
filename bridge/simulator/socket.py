"""What a speech WebSocket of the simulator is handed: the handshake, and the open socket.

The transcription and the synthesis server speak through these types and know nothing of the HTTP
server in front of them.  That server reads the request line and the headers into a
:class:`Handshake`, asks the service's ``check`` whether to refuse it, and otherwise runs
``serve`` on the connection's own thread until it returns.

Pure: no socket is opened here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Handshake:
    """The HTTP request that asks for a WebSocket.

    Attributes:
        path: the decoded path, without the query.
        query: every value of every parameter, in the order of the request.
        headers: by lower-case name.
    """

    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]

    @classmethod
    def parse(cls, target: str, headers: Mapping[str, str]) -> Handshake:
        """Read a request target such as ``/v2/text-to-speech/speech?voice=AWS.Polly.Joanna``.

        Args:
            target: path and query as they stand in the request line, still encoded.
            headers: the request's headers, in any case.
        """
        parts = urlsplit(target)
        return cls(
            path=parts.path,
            query=parse_qs(parts.query, keep_blank_values=True),
            headers={name.lower(): value for name, value in headers.items()},
        )

    def get(self, name: str, default: str = "") -> str:
        """Get the first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default


@dataclass(frozen=True)
class Refusal:
    """An HTTP answer instead of the WebSocket.

    Attributes:
        status: 400, 401, 403, ….
        body: JSON text in Telnyx's ``errors`` shape.
    """

    status: int
    body: str

    @classmethod
    def of(cls, status: int, code: str, title: str, detail: str) -> Refusal:
        """Make a refusal with one error in its body."""
        return cls(status, errors_text(code, title, detail))


class SpeechSocket(Protocol):
    """An accepted WebSocket, as a service uses it on the connection's own thread."""

    handshake: Handshake

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Get the next message; ``None`` once the socket is closed, by whichever side.

        Blocks until a message has come, the socket closes, or ``timeout`` seconds went by.

        Raises:
            TimeoutError: nothing came in time.
        """

    def send(self, message: str) -> None:
        """Send a text message; do nothing when the socket is closed."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with a close frame; may be called twice."""

    def abort(self) -> None:
        """Cut the connection without a close frame, as a lost network does."""


def errors_text(code: str, title: str, detail: str, parameter: str | None = None) -> str:
    """Write one error in Telnyx's shape.

    Telnyx: streaming speech-to-text, errors page.
    """
    error: dict[str, object] = {"code": code, "title": title, "detail": detail}
    if parameter is not None:
        error["source"] = {"parameter": parameter}
    return json.dumps({"errors": [error]})


def check_access(handshake: Handshake, api_key: str | None) -> Refusal | None:
    """Refuse what Telnyx's edge refuses before it looks at the query.

    Telnyx: a handshake with an ``Origin`` header is turned away, as reported by a client that
    measured it; a missing or wrong key is a 401.

    Args:
        handshake: the request.
        api_key: the only key that is let in; ``None`` lets in any that is not empty.
    """
    if "origin" in handshake.headers:
        return Refusal.of(403, "10010", "Authorization failed", "Origin is not allowed here")
    scheme, _, key = handshake.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip() or api_key not in (None, key.strip()):
        return Refusal.of(401, "10009", "Authentication failed", "Invalid API key")
    return None
