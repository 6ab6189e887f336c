"""The media stream as Telnyx writes and reads it.

This is on purpose not the bridge's own parser: a misreading shared by both ends would show in no
test.  Numbers inside frames are written as strings; the frames are those of Telnyx's
media-streaming page and its stream-call-media AsyncAPI.

Pure.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MALFORMED_FRAME = 100003
INVALID_MEDIA = 100004
RATE_LIMIT_REACHED = 100005
TITLES = {
    MALFORMED_FRAME: "malformed_frame",
    INVALID_MEDIA: "invalid_media",
    RATE_LIMIT_REACHED: "rate_limit_reached",
}


class FrameRefused(ValueError):
    """A frame from the client that Telnyx answers with an ``error`` frame."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class Command:
    """A frame from the client.

    Attributes:
        event: ``media``, ``mark`` or ``clear``.
        payload: the codec's bytes of ``media``.
        name: of ``mark``.
    """

    event: str
    payload: bytes = b""
    name: str = ""


def read(message: str | bytes) -> Command | None:
    """Read a frame from the client.

    Returns:
        The frame, or ``None`` for an event that Telnyx does not know.

    Raises:
        FrameRefused: it is malformed.
    """
    if isinstance(message, bytes):
        raise FrameRefused(MALFORMED_FRAME, "only text frames are accepted")
    try:
        frame = json.loads(message)
    except (ValueError, RecursionError):
        raise FrameRefused(MALFORMED_FRAME, "the frame is not JSON") from None
    event = frame.get("event") if isinstance(frame, dict) else None
    if not isinstance(event, str):
        raise FrameRefused(MALFORMED_FRAME, "the frame has no event")
    if event == "media":
        return Command(event, payload=_payload(frame))
    if event == "mark":
        body = frame.get("mark")
        name = body.get("name") if isinstance(body, dict) else None
        if not isinstance(name, str):
            raise FrameRefused(MALFORMED_FRAME, "the mark has no name")
        return Command(event, name=name)
    return Command(event) if event == "clear" else None


def _payload(frame: Mapping[str, Any]) -> bytes:
    body = frame.get("media")
    payload = body.get("payload") if isinstance(body, dict) else None
    if not isinstance(payload, str):
        raise FrameRefused(MALFORMED_FRAME, "the media frame has no payload")
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise FrameRefused(INVALID_MEDIA, "the payload is not base64") from None


def connected(auth_token: str | None) -> str:
    """Write the first message on the socket."""
    frame: dict[str, Any] = {"event": "connected", "version": "1.0.0"}
    if auth_token is not None:
        frame["connected"] = {"x-telnyx-streaming-auth-token": auth_token}
    return json.dumps(frame)


def start(stream_id: str, sequence: int, body: Mapping[str, Any]) -> str:
    """Write the frame that comes before any media."""
    return json.dumps(
        {
            "event": "start",
            "sequence_number": str(sequence),
            "start": body,
            "stream_id": stream_id,
        }
    )


def media(
    stream_id: str, sequence: int, *, track: str, chunk: int, timestamp: int, payload: bytes
) -> str:
    """Write audio; called fifty times a second for each leg, so without a JSON library."""
    text = binascii.b2a_base64(payload, newline=False).decode("ascii")
    return (
        f'{{"event":"media","sequence_number":"{sequence}","media":{{"track":"{track}",'
        f'"chunk":"{chunk}","timestamp":"{timestamp}","payload":"{text}"}},'
        f'"stream_id":"{stream_id}"}}'
    )


def dtmf(stream_id: str, sequence: int, occurred_at: str, digit: str) -> str:
    """Write a key that was pressed."""
    return json.dumps(
        {
            "event": "dtmf",
            "stream_id": stream_id,
            "occurred_at": occurred_at,
            "sequence_number": str(sequence),
            "dtmf": {"digit": digit},
        }
    )


def mark(stream_id: str, sequence: int, name: str) -> str:
    """Write a mark that comes back."""
    return json.dumps(
        {
            "event": "mark",
            "stream_id": stream_id,
            "sequence_number": str(sequence),
            "mark": {"name": name},
        }
    )


def stop(stream_id: str, sequence: int, user_id: str, call_control_id: str) -> str:
    """Write the end of the stream."""
    return json.dumps(
        {
            "event": "stop",
            "sequence_number": str(sequence),
            "stop": {"user_id": user_id, "call_control_id": call_control_id},
            "stream_id": stream_id,
        }
    )


def error(stream_id: str, code: int, detail: str) -> str:
    """Write what was wrong with a frame of the client."""
    return json.dumps(
        {
            "event": "error",
            "stream_id": stream_id,
            "payload": {"code": code, "title": TITLES[code], "detail": detail},
        }
    )
