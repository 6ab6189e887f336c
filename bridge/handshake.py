"""How a request becomes a WebSocket: its handshake, and the socket that the server hands out.

Neither web server knows WebSockets; both put the socket of a request where it can be found, and go
on using it when the view has returned.

Does not wait.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol
from werkzeug.wrappers import Response

from bridge.errors import BridgeError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["SILENCE", "HandshakeRefused", "SocketTaken", "upgrade"]

# Under which name each web server hands out the socket of a request.
SOCKET_KEYS = ("gunicorn.socket", "werkzeug.socket")

# The protocol's own logger writes down every frame when debugging; this one belongs to no tree and
# writes nothing.
SILENCE = logging.Logger("silence", level=logging.CRITICAL + 1)


# Bytes of the kernel's send buffer, which doubles it.  Left to itself it grows to megabytes of
# audio, and a peer that stopped reading would not be noticed.
SEND_BUFFER = 32 * 1024


class HandshakeRefused(BridgeError):
    """The request does not open a WebSocket.

    Attributes:
        status: HTTP status to answer with.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)


def upgrade(environ: Mapping[str, Any]) -> tuple[socket.socket, bytes]:
    """Accept a WSGI request's WebSocket handshake.

    Returns:
        The request's socket, set up to carry audio, and the answer that is to be sent on it.

    Raises:
        HandshakeRefused: no WebSocket request, or a server that hands out no plain socket.
    """
    sock = _request_socket(environ)
    handshake = ServerProtocol(logger=SILENCE)
    response = handshake.accept(_handshake_request(environ))
    if response.status_code != 101:
        raise HandshakeRefused(response.status_code, response.body.decode().strip())
    handshake.send_response(response)
    _set_up(sock)
    return sock, b"".join(handshake.data_to_send())


class SocketTaken(Response):
    """What a view returns after its request became a WebSocket and has ended: nothing is sent.

    Neither server has a way to be told so; each takes one exception for a peer that has gone.
    """

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        """Leave the server's request cycle without a word to the peer or the log."""
        if "gunicorn.socket" in environ:
            raise StopIteration
        raise ConnectionAbortedError("the request became a WebSocket and has ended")


def _request_socket(environ: Mapping[str, Any]) -> socket.socket:
    for key in SOCKET_KEYS:
        sock = environ.get(key)
        if isinstance(sock, ssl.SSLSocket):
            raise HandshakeRefused(501, "TLS ends at the proxy, not here")
        if isinstance(sock, socket.socket):
            return sock
    raise HandshakeRefused(501, "this web server does not hand out a request's socket")


def _handshake_request(environ: Mapping[str, Any]) -> Request:
    if environ.get("REQUEST_METHOD") != "GET":
        raise HandshakeRefused(405, "a WebSocket is opened by GET")
    if environ.get("SERVER_PROTOCOL") != "HTTP/1.1":
        raise HandshakeRefused(505, "a WebSocket is opened over HTTP/1.1")
    headers = Headers()
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            headers[name[5:].replace("_", "-")] = value
    # The path holds the leg's token; the protocol has no use for it.
    return Request("/", headers)


def _set_up(sock: socket.socket) -> None:
    # Blocking with MSG_DONTWAIT, not non-blocking: the server goes on using the socket after us.
    sock.settimeout(None)
    # Not on a unix socket.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
