"""Speak the media stream's JSON: text in, typed frames out, and the other way round.

Telnyx sends one JSON text message per event over the media WebSocket, with the numbers inside
written as strings, and takes three kinds in return (Telnyx: media-streaming page and the
stream-call-media AsyncAPI).  A leg gets fifty ``media`` messages a second, so that kind is parsed,
validated and base64-decoded in one pass by msgspec; the rest is written for leniency.

Pure.  How long a message may be is the business of the socket that reads it.

Rules of this module:

1. What Telnyx may send is accepted: numbers as strings or numbers, missing and null values,
   fields and events nobody has heard of.
2. What cannot be understood is a :class:`~telnyx_media.errors.FrameError` which names the part and
   never quotes it: the part may be audio, a digit or a token.
3. The ``repr`` of a frame shows no audio, digit, token or phone number either.
"""

from __future__ import annotations

from typing import Any, ClassVar, Union

import msgspec

from telnyx_media import _framewire as wire

__all__ = [
    "Clear",
    "Connected",
    "Dtmf",
    "Frame",
    "Mark",
    "Media",
    "MediaFormat",
    "Start",
    "Stop",
    "StreamError",
    "encode_clear",
    "encode_frame",
    "encode_mark",
    "encode_media",
    "parse_command",
    "parse_frame",
]


class _Shown(msgspec.Struct, frozen=True):
    """A struct whose ``repr`` tells only the length of what is private."""

    _private: ClassVar[frozenset[str]] = frozenset()

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({fields})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        shown = []
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name in self._private and value is not None:
                value = f"<{len(value)}>"
            shown.append((name, value))
        return shown


class MediaFormat(msgspec.Struct, frozen=True):
    """What the audio from Telnyx is made of; the only authority for decoding it.

    Attributes:
        encoding: name of the codec in capitals: ``PCMU``, ``PCMA``, ``G722``, ``OPUS``, ``AMR-WB``
            or ``L16``.
        sample_rate: hertz, as Telnyx states it (for G722 the clock of 8000, not the 16 kHz of the
            audio).
        channels: 1 for a phone call.
    """

    encoding: str = "PCMU"
    sample_rate: int = 8000
    channels: int = 1


class Connected(_Shown, frozen=True):
    """The first message on the socket.

    Attributes:
        version: of the protocol, ``"1.0.0"``.
        auth_token: the ``stream_auth_token`` given with the command that began the stream, or
            ``None``.
    """

    _private = frozenset({"auth_token"})

    version: str = ""
    auth_token: str | None = None


class Start(_Shown, frozen=True):
    """The stream begins; sent once and before any media.

    Attributes:
        stream_id: Telnyx's id of the stream.
        call_control_id: the address for commands to the leg.
        call_session_id: names the legs that belong together.
        from_number: who calls, as Telnyx gives it; ``""`` if withheld.
        to_number: who is called.
        client_state: our own tag, still in base64, or ``""``.
        custom_parameters: name to value, as given with the command.
        media_format: of the audio from Telnyx.
        sequence_number: of this message in the stream.
    """

    _private = frozenset({"from_number", "to_number", "client_state", "custom_parameters"})

    stream_id: str = ""
    call_control_id: str = ""
    call_session_id: str = ""
    from_number: str = ""
    to_number: str = ""
    client_state: str = ""
    custom_parameters: dict[str, str] = {}
    media_format: MediaFormat = MediaFormat()
    sequence_number: int | None = None


class Media(_Shown, frozen=True, gc=False):
    """Audio, either way.

    Attributes:
        payload: bytes of the codec, without an RTP header, of any length.
        track: ``inbound`` or ``outbound``.
        chunk_number: Telnyx's counter of the stream's audio, for putting it back in order; ``None``
            if it was missing.
        timestamp: Telnyx's, in a unit it does not document.
        sequence_number: of this message in the stream.
        stream_id: Telnyx's id of the stream.
    """

    _private = frozenset({"payload"})

    payload: bytes
    track: str = "inbound"
    chunk_number: int | None = None
    timestamp: int | None = None
    sequence_number: int | None = None
    stream_id: str = ""

    @property
    def order(self) -> int | None:
        """The number to order the audio by: the chunk's, or the message's if that is missing."""
        return self.sequence_number if self.chunk_number is None else self.chunk_number


class Dtmf(_Shown, frozen=True):
    """The caller pressed a key; not in order with the audio, nor with other keys.

    Attributes:
        digit: one of ``0`` to ``9``, ``*``, ``#``, ``A`` to ``D``.
        occurred_at: time of the key press, as ISO 8601 text; order keys by it.
        sequence_number: of this message in the stream.
        stream_id: Telnyx's id of the stream.
    """

    _private = frozenset({"digit"})

    digit: str
    occurred_at: str = ""
    sequence_number: int | None = None
    stream_id: str = ""


class Mark(msgspec.Struct, frozen=True):
    """To Telnyx: tell me when the audio before this was played. From Telnyx: it was, or cleared.

    Attributes:
        name: ours, comes back unchanged.
        sequence_number: of this message in the stream.
        stream_id: Telnyx's id of the stream.
    """

    name: str
    sequence_number: int | None = None
    stream_id: str = ""


class Clear(msgspec.Struct, frozen=True):
    """To Telnyx: drop all audio not yet played and return its marks at once."""


class Stop(msgspec.Struct, frozen=True):
    """The stream ended: the caller hung up, or the stream was stopped by command.

    Attributes:
        call_control_id: the address for commands to the leg, or ``""``.
        sequence_number: of this message in the stream.
        stream_id: Telnyx's id of the stream.
    """

    call_control_id: str = ""
    sequence_number: int | None = None
    stream_id: str = ""


class StreamError(msgspec.Struct, frozen=True):
    """Telnyx did not like what we sent; whether the stream goes on is not documented.

    Attributes:
        code: 100002 unknown error, 100003 malformed frame, 100004 invalid media, 100005 rate limit
            reached; 0 if it was no number.
        title: Telnyx's short name of the error.
        detail: Telnyx's sentence about it.
        stream_id: Telnyx's id of the stream.
    """

    code: int = 0
    title: str = ""
    detail: str = ""
    stream_id: str = ""


Frame = Union[Connected, Start, Media, Dtmf, Mark, Clear, Stop, StreamError]  # noqa: UP007 - 3.10


def parse_frame(text: str | bytes) -> Frame | None:
    """Parse one message from Telnyx.

    Returns:
        The frame, or ``None`` for an event that this version does not know.

    Raises:
        FrameError: the message is no JSON object, or a part of it is missing or of a wrong kind.
    """
    try:
        message = wire.from_telnyx.decode(text)
    except wire.FAILURES as error:
        wire.raise_unless_unknown(text, wire.EVENTS_FROM, error)
        return None
    # The one kind that comes fifty times a second for each leg goes first.
    if type(message) is wire.MediaMessage:
        return _media(message)
    return _other(message)


def parse_command(text: str | bytes) -> Media | Mark | Clear | None:
    """Parse one message to Telnyx, as the carrier's side of the socket has to.

    Returns:
        The frame, or ``None`` for an event that this version does not know.

    Raises:
        FrameError: the message is no JSON object, or a part of it is missing or of a wrong kind.
    """
    try:
        message = wire.to_telnyx.decode(text)
    except wire.FAILURES as error:
        wire.raise_unless_unknown(text, wire.EVENTS_TO, error)
        return None
    if type(message) is wire.MediaMessage:
        return _media(message)
    if isinstance(message, wire.MarkMessage):
        return _mark(message)
    return Clear()


def _media(message: wire.MediaMessage) -> Media:
    body = message.media
    track = body.track
    if track != "inbound":
        track = (track or "inbound").lower().removesuffix("_track")
    return Media(
        body.payload,
        track,
        body.chunk,
        body.timestamp,
        message.sequence_number,
        message.stream_id or "",
    )


def _mark(message: wire.MarkMessage) -> Mark:
    return Mark(str(message.mark.name), message.sequence_number, message.stream_id or "")


def _other(message: object) -> Frame:
    if isinstance(message, wire.MarkMessage):
        return _mark(message)
    if isinstance(message, wire.DtmfMessage):
        return Dtmf(
            str(message.dtmf.digit),
            message.occurred_at or "",
            message.sequence_number,
            message.stream_id or "",
        )
    if isinstance(message, wire.StartMessage):
        return _start(message)
    if isinstance(message, wire.StopMessage):
        body = message.stop or wire.StopBody()
        return Stop(body.call_control_id or "", message.sequence_number, message.stream_id or "")
    if isinstance(message, wire.ConnectedMessage):
        inner = message.connected
        version = "" if message.version is None else str(message.version)
        return Connected(version, inner.auth_token if inner else None)
    assert isinstance(message, wire.ErrorMessage)
    return _error(message)


def _start(message: wire.StartMessage) -> Start:
    body = message.start
    given = body.media_format or wire.FormatBody()
    encoding = (given.encoding or "PCMU").strip().upper()
    # L16 is offered at 16 kHz only; all the others have a clock of 8000.
    rate = given.sample_rate or (16000 if encoding == "L16" else 8000)
    return Start(
        stream_id=message.stream_id or "",
        call_control_id=body.call_control_id or "",
        call_session_id=body.call_session_id or "",
        from_number=body.from_number or "",
        to_number=body.to_number or "",
        client_state=body.client_state or "",
        custom_parameters=_parameters(body.custom_parameters),
        media_format=MediaFormat(encoding, rate, given.channels or 1),
        sequence_number=message.sequence_number,
    )


def _parameters(given: object) -> dict[str, str]:
    """Read custom parameters: an object in this message, a list of pairs in the command."""
    if isinstance(given, list):
        pairs = [(i.get("name"), i.get("value")) for i in given if isinstance(i, dict)]
        given = {name: value for name, value in pairs if name is not None}
    if not isinstance(given, dict):
        return {}
    return {
        str(name): value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in given.items()
    }


def _error(message: wire.ErrorMessage) -> StreamError:
    body = message.payload or wire.ErrorBody()
    try:
        code = int(body.code or 0)
    except ValueError:
        code = 0
    return StreamError(code, body.title or "", body.detail or "", message.stream_id or "")


def encode_media(payload: bytes) -> str:
    """Write the ``media`` message to Telnyx that plays ``payload``, bytes of the codec."""
    # msgspec makes a base64 string of bytes, faster than binascii does.
    return '{"event":"media","media":{"payload":' + wire.encoder.encode(payload).decode() + "}}"


def encode_mark(name: str) -> str:
    """Write the ``mark`` message to Telnyx that comes back when the audio before it was played."""
    return wire.encoder.encode({"event": "mark", "mark": {"name": name}}).decode()


def encode_clear() -> str:
    """Write the ``clear`` message to Telnyx, which drops all audio not yet played."""
    return '{"event":"clear"}'


def encode_frame(frame: Frame) -> str:
    """Write a message as Telnyx would send it, numbers as strings.

    ``Clear`` goes only to Telnyx and is written as it is sent there.
    """
    if isinstance(frame, Media):
        return _encode_media_frame(frame)
    body: dict[str, object]
    if isinstance(frame, Mark):
        body = {"event": "mark", "mark": {"name": frame.name}}
    elif isinstance(frame, Dtmf):
        body = {"event": "dtmf", "dtmf": {"digit": frame.digit}}
        if frame.occurred_at:
            body["occurred_at"] = frame.occurred_at
    elif isinstance(frame, Start):
        body = {"event": "start", "start": _start_body(frame)}
    elif isinstance(frame, Stop):
        body = {"event": "stop", "stop": {"call_control_id": frame.call_control_id}}
    elif isinstance(frame, StreamError):
        error = {"code": frame.code, "title": frame.title, "detail": frame.detail}
        body = {"event": "error", "payload": error}
    elif isinstance(frame, Connected):
        body = {"event": "connected", "version": frame.version}
        if frame.auth_token is not None:
            body["connected"] = {"x-telnyx-streaming-auth-token": frame.auth_token}
    else:
        return encode_clear()
    body["sequence_number"] = _text(getattr(frame, "sequence_number", None))
    body["stream_id"] = getattr(frame, "stream_id", None) or None
    return wire.encoder.encode(_given(body)).decode()


def _encode_media_frame(frame: Media) -> str:
    number, chunk, timestamp = frame.sequence_number, frame.chunk_number, frame.timestamp
    body = wire.MediaBodyOut(
        frame.payload,
        frame.track,
        None if chunk is None else str(chunk),
        None if timestamp is None else str(timestamp),
    )
    message = wire.MediaMessageOut(
        body, None if number is None else str(number), frame.stream_id or None
    )
    return wire.encoder.encode(message).decode()


def _start_body(frame: Start) -> dict[str, object]:
    given = frame.media_format
    return {
        "call_control_id": frame.call_control_id,
        "call_session_id": frame.call_session_id,
        "from": frame.from_number,
        "to": frame.to_number,
        "tags": [],
        "client_state": frame.client_state,
        "custom_parameters": frame.custom_parameters,
        "media_format": {
            "encoding": given.encoding,
            "sample_rate": given.sample_rate,
            "channels": given.channels,
        },
    }


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
