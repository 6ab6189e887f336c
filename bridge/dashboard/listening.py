"""Send a recording to a browser's player, which asks for parts of it.

Threads: a request's own; blocks on where the recording is kept.
"""

from __future__ import annotations

import re

from flask import Response, request
from werkzeug.exceptions import NotFound, RequestedRangeNotSatisfiable

from bridge.storage import Storage

__all__ = ["send"]

# One range from a first byte on; another kind is answered with the whole, which is allowed.
_RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{1,15})?")


def send(storage: Storage, location: str) -> Response:
    """Answer with a recording or the part of it that was asked for.

    Raises:
        StorageError: it cannot be read.
        NotFound: it is not there.
        RequestedRangeNotSatisfiable: it is shorter.
    """
    match = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    first = int(match[1]) if match else 0
    last = int(match[2]) if match and match[2] else None
    stored = storage.read(location, first, last)
    if stored is None:
        raise NotFound
    if match and stored.first > stored.last:
        stored.close()
        raise RequestedRangeNotSatisfiable(stored.size)
    answer = Response(
        stored.blocks, 206 if match else 200, mimetype="audio/wav", direct_passthrough=True
    )
    answer.call_on_close(stored.close)
    answer.headers["Accept-Ranges"] = "bytes"
    answer.content_length = max(0, stored.last - stored.first + 1)
    if match:
        answer.headers["Content-Range"] = f"bytes {stored.first}-{stored.last}/{stored.size}"
    return answer
