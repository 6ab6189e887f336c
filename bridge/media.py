"""The route of the media WebSocket.

Telnyx opens it to the ``stream_url`` that we gave with ``answer`` or ``streaming_start``, and does
not sign the request (Telnyx: media-streaming page).  So the address holds a token that was made for
one leg and is good for one stream, and the first frame has to name that leg.

Threads: the request's own, which becomes the leg's ``leg-recv`` until the socket is closed; the
process's reader reads for all of them.

Rules of this module:

1. A request is refused before it becomes a WebSocket, with one log line that has no token.
2. A token is claimed only for a request that is a WebSocket handshake.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.wrappers import Response as AnyResponse

from bridge.handshake import HandshakeRefused, SocketTaken
from bridge.mediasocket import MediaSocket, SocketClosed
from bridge.reader import Reader
from bridge.registry import Refusal
from bridge.switchboard import Switchboard
from bridge.worker import CallWorker
from telnyx_media.sync.threads import Deadline

logger = logging.getLogger(__name__)

ROUTE = "/telnyx/media/<token>"

# A token that nobody knows, one that was good for another stream, and one of a leg that this
# process, which is full or on its way out, leaves to the others.
STATUS = {"unknown": 404, "expired": 403, "in use": 403, "ended": 403, "elsewhere": 503}

# Seconds that a second request for a stream is held, looking again so often: Telnyx may come back
# before its lost socket was noticed here, or in the process that had it.
COMING_BACK, LOOK_AGAIN = 0.5, 0.05


def make_blueprint(switchboard: Switchboard, reader: Reader) -> Blueprint:
    """Make the ``GET /telnyx/media/<token>`` route."""
    blueprint = Blueprint("media", __name__)

    # The router keeps WebSocket handshakes and plain requests apart: each needs a rule.
    @blueprint.get(ROUTE, websocket=True)
    def media(token: str) -> AnyResponse:
        return serve(switchboard, reader, token, request.environ)

    @blueprint.get(ROUTE)
    def no_media(token: str) -> AnyResponse:
        return _refuse(426, "not a WebSocket request")

    return blueprint


def serve(
    switchboard: Switchboard, reader: Reader, token: str, environ: Mapping[str, Any]
) -> AnyResponse:
    """Serve a request for a media socket on the calling thread until the socket is closed.

    Args:
        switchboard: has the legs.
        reader: reads the socket once the stream has begun.
        token: from the request's path.
        environ: the request, with its socket.

    Returns:
        What to answer with.
    """
    if switchboard.pass_on(token, environ):
        return SocketTaken()
    claimed = _claim(switchboard, token)
    if not isinstance(claimed, CallWorker):
        return _refuse(STATUS[claimed], f"its token is {claimed}")
    lost = True
    try:
        with MediaSocket.accept(environ, reader=reader) as socket:
            lost = claimed.serve(socket)
    except HandshakeRefused as error:
        return _refuse(error.status, str(error))
    except SocketClosed as error:
        logger.debug("a media socket was gone before it opened: %s", error)
    finally:
        switchboard.release(token, lost=lost)
    return SocketTaken()


def _claim(switchboard: Switchboard, token: str) -> CallWorker | Refusal:
    """Claim a token; one that is in use, once its socket is seen to be lost, or not at all."""
    deadline = Deadline(COMING_BACK)
    while True:
        claimed = switchboard.claim(token)
        if claimed != "in use" or deadline.expired:
            return claimed
        time.sleep(LOOK_AGAIN)


def serve_handed(
    switchboard: Switchboard, reader: Reader, token: str, environ: Mapping[str, Any]
) -> None:
    """Serve a request that came to another process and was handed in with its socket."""
    answer = serve(switchboard, reader, token, environ)
    if not isinstance(answer, SocketTaken):
        lines = (f"HTTP/1.1 {answer.status}", "Content-Length: 0", "Connection: close", "", "")
        with contextlib.suppress(OSError):
            environ["gunicorn.socket"].sendall("\r\n".join(lines).encode())


def _refuse(status: int, reason: str) -> Response:
    logger.warning("refused a media socket: %s", reason)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"} if status == 426 else None
    return Response("no\n", status, headers, mimetype="text/plain")
