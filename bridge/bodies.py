"""Read a request's body, not for ever.

The web server hands out a body as it comes and waits for it as long as it takes, so that a client
who sends a byte now and then would hold one of our threads for as long as it likes.

Threads: the request's own; blocks for ``seconds`` at most.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any

from flask import Request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge, RequestTimeout

__all__ = ["read_body"]

# Bytes per read.
CHUNK = 16 * 1024

_SOCKETS = ("gunicorn.socket", "werkzeug.socket")


def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """Read a body whole.

    Args:
        request: nothing of it has been read.
        limit: bytes at most.
        seconds: for all of it.

    Raises:
        RequestEntityTooLarge: it is longer.
        RequestTimeout: it did not come in time, or not at all.
    """
    request.max_content_length = limit
    if (request.content_length or 0) > limit:
        raise RequestEntityTooLarge
    sock = _socket_of(request.environ)
    until = time.monotonic() + seconds
    body = bytearray()
    before = None if sock is None else sock.gettimeout()
    try:
        while True:
            left = until - time.monotonic()
            if left <= 0:
                raise RequestTimeout
            if sock is not None:
                sock.settimeout(left)
            chunk = request.stream.read(CHUNK)
            if not chunk:
                return bytes(body)
            body += chunk
            if len(body) > limit:
                raise RequestEntityTooLarge
    except (OSError, ClientDisconnected):
        raise RequestTimeout from None
    finally:
        if sock is not None:
            sock.settimeout(before)


def _socket_of(environ: Mapping[str, Any]) -> socket.socket | None:
    found = next((environ[key] for key in _SOCKETS if key in environ), None)
    return found if isinstance(found, socket.socket) else None
