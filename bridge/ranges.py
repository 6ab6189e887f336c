"""Answer with a recording, or the part of it that was asked for.

A browser's player asks for parts, to jump within a long call; so do programs.  RFC 9110 §14: one
range from a first byte on, or the last so many; any other kind is answered with the whole.

Threads: a request's own; blocks on where the recording is kept.
"""

from __future__ import annotations

import re

from flask import Response, request
from werkzeug.exceptions import NotFound, RequestedRangeNotSatisfiable

from bridge.storage import Storage

__all__ = ["send"]

# ASCII only, and never so long that a number of it takes time to read.
_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")


def send(storage: Storage, location: str) -> Response:
    """Answer the request with a recording or the part of it that its ``Range`` names.

    Raises:
        StorageError: it cannot be read.
        NotFound: it is not there.
        RequestedRangeNotSatisfiable: it is shorter; ``length`` says how long it is.
    """
    first, last, partly = _wanted(storage, location)
    stored = storage.read(location, first, last)
    if stored is None:
        raise NotFound
    if partly and stored.first > stored.last:
        stored.close()
        raise RequestedRangeNotSatisfiable(stored.size)
    answer = Response(
        stored.blocks, 206 if partly else 200, mimetype="audio/wav", direct_passthrough=True
    )
    answer.call_on_close(stored.close)
    answer.headers["Accept-Ranges"] = "bytes"
    answer.headers["Cache-Control"] = "private, no-store"
    answer.content_length = max(0, stored.last - stored.first + 1)
    if partly:
        answer.headers["Content-Range"] = f"bytes {stored.first}-{stored.last}/{stored.size}"
    return answer


def _wanted(storage: Storage, location: str) -> tuple[int, int | None, bool]:
    """Read the ``Range`` header: first byte, last byte, and whether it is to be obeyed."""
    match = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if match is None or not (match[1] or match[2]):
        return 0, None, False
    if match[1]:
        last = int(match[2]) if match[2] else None
        # A last byte before the first one makes the header worth nothing.
        return (
            (0, None, False)
            if last is not None and last < int(match[1])
            else (int(match[1]), last, True)
        )
    whole = storage.read(location)
    if whole is None:
        return 0, None, False
    whole.close()
    return max(0, whole.size - int(match[2])), None, True
