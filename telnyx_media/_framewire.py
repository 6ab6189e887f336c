"""The media stream's messages as they are on the wire, for :mod:`telnyx_media.frames` alone.

One struct per event, and the decoders made of them.  Anything that Telnyx might leave out or send
as null has a default, and a number may come as a string because the decoders are not strict.

Pure.
"""

from __future__ import annotations

from typing import Any, Union

import msgspec

from telnyx_media.errors import FrameError

# What decoding raises on something that is no message of ours.
FAILURES = (msgspec.DecodeError, UnicodeError, RecursionError)


class MediaBody(msgspec.Struct, gc=False):
    payload: bytes
    track: str | None = None
    chunk: int | None = None
    timestamp: int | None = None


class MediaMessage(msgspec.Struct, tag_field="event", tag="media", gc=False):
    media: MediaBody
    sequence_number: int | None = None
    stream_id: str | None = None


# As Telnyx writes it; msgspec makes base64 of bytes.
class MediaBodyOut(msgspec.Struct, omit_defaults=True, gc=False):
    payload: bytes
    track: str
    chunk: str | None = None
    timestamp: str | None = None


class MediaMessageOut(msgspec.Struct, tag_field="event", tag="media", omit_defaults=True, gc=False):
    media: MediaBodyOut
    sequence_number: str | None = None
    stream_id: str | None = None


class ConnectedBody(msgspec.Struct):
    auth_token: str | None = msgspec.field(name="x-telnyx-streaming-auth-token", default=None)


class ConnectedMessage(msgspec.Struct, tag_field="event", tag="connected"):
    version: str | float | None = None
    connected: ConnectedBody | None = None


class FormatBody(msgspec.Struct):
    encoding: str | None = None
    sample_rate: int | None = None
    channels: int | None = None


class StartBody(msgspec.Struct):
    call_control_id: str | None = None
    call_session_id: str | None = None
    from_number: str | None = msgspec.field(name="from", default=None)
    to_number: str | None = msgspec.field(name="to", default=None)
    client_state: str | None = None
    custom_parameters: Any = None
    media_format: FormatBody | None = None


class StartMessage(msgspec.Struct, tag_field="event", tag="start"):
    start: StartBody
    sequence_number: int | None = None
    stream_id: str | None = None


class DtmfBody(msgspec.Struct):
    digit: str | int


class DtmfMessage(msgspec.Struct, tag_field="event", tag="dtmf"):
    dtmf: DtmfBody
    occurred_at: str | None = None
    sequence_number: int | None = None
    stream_id: str | None = None


class MarkBody(msgspec.Struct):
    name: str | int


class MarkMessage(msgspec.Struct, tag_field="event", tag="mark"):
    mark: MarkBody
    sequence_number: int | None = None
    stream_id: str | None = None


class ClearMessage(msgspec.Struct, tag_field="event", tag="clear"):
    pass


class StopBody(msgspec.Struct):
    call_control_id: str | None = None


class StopMessage(msgspec.Struct, tag_field="event", tag="stop"):
    stop: StopBody | None = None
    sequence_number: int | None = None
    stream_id: str | None = None


class ErrorBody(msgspec.Struct):
    code: int | str | None = None
    title: str | None = None
    detail: str | None = None


class ErrorMessage(msgspec.Struct, tag_field="event", tag="error"):
    payload: ErrorBody | None = None
    stream_id: str | None = None


class Envelope(msgspec.Struct):
    event: str


FromTelnyx = Union[  # noqa: UP007 - 3.10
    MediaMessage,
    ConnectedMessage,
    StartMessage,
    DtmfMessage,
    MarkMessage,
    StopMessage,
    ErrorMessage,
]
ToTelnyx = Union[MediaMessage, MarkMessage, ClearMessage]  # noqa: UP007 - 3.10

from_telnyx = msgspec.json.Decoder(FromTelnyx, strict=False)
to_telnyx = msgspec.json.Decoder(ToTelnyx, strict=False)
_envelope = msgspec.json.Decoder(Envelope)
encoder = msgspec.json.Encoder()

EVENTS_FROM = frozenset({"media", "connected", "start", "dtmf", "mark", "stop", "error"})
EVENTS_TO = frozenset({"media", "mark", "clear"})


def raise_unless_unknown(text: str | bytes, known: frozenset[str], error: Exception) -> None:
    """Return for an event nobody has heard of; raise for everything else that failed to parse."""
    try:
        event = _envelope.decode(text).event
    except FAILURES:
        event = None
    if event is not None and event not in known:
        return
    raise FrameError(_explain(error)) from None


def _explain(error: Exception) -> str:
    """Say in one line what is wrong with a message, quoting nothing of it."""
    if isinstance(error, msgspec.ValidationError):
        # "Expected `str`, got `int` - at `$.mark.name`": types and our own field names only.
        what, _, where = str(error).partition(" - at ")
        path = where.strip("`").removeprefix("$").removeprefix(".") or "message"
        return f"media-stream frame: {path}: {what[0].lower()}{what[1:]}"
    if isinstance(error, RecursionError):
        return "media-stream frame: message: nested too deeply"
    if isinstance(error, UnicodeError):
        return "media-stream frame: message: not UTF-8"
    return "media-stream frame: message: not JSON"
