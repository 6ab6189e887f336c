"""The simulator's speech sockets on a port of their own, and clients for them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from bridge.simulator import synthesis, transcription
from bridge.simulator.server import HttpResponse, Server, SocketRoute
from tests.loopback import PATIENCE

KEY = "KEY0123"


@contextlib.contextmanager
def speech_server(
    *,
    stt: transcription.TranscriptionService | None = None,
    tts: synthesis.SynthesisService | None = None,
) -> Iterator[str]:
    """Serve on a free port and give its ``ws://`` address; an error in a handler fails the test."""
    routes = {}
    if stt is not None:
        routes[transcription.PATH] = SocketRoute(stt.check, stt.serve)
    if tts is not None:
        routes[synthesis.PATH] = SocketRoute(tts.check, tts.serve)
    server = Server("127.0.0.1", 0, lambda _: HttpResponse(404), routes)
    server.start()
    try:
        yield f"ws://127.0.0.1:{server.port}"
    finally:
        server.stop()
    if server.errors:
        raise server.errors[0]


def open_socket(url: str, *, key: str | None = KEY, **headers: str) -> ClientConnection:
    """Open a WebSocket with the key that the tests' services want."""
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return connect(
        url, additional_headers=headers, compression=None, proxy=None, open_timeout=PATIENCE
    )


def receive(socket: ClientConnection) -> Any:
    """Get the next message, parsed; ``None`` when the socket is closed."""
    try:
        return json.loads(socket.recv(timeout=PATIENCE))
    except ConnectionClosed:
        return None


def receive_all(socket: ClientConnection) -> list[Any]:
    """Get every message until the socket is closed."""
    messages = []
    while (message := receive(socket)) is not None:
        messages.append(message)
    return messages
