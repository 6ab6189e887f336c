"""Webhooks: what they say, and (from :mod:`bridge.signatures`) who sent them.

Telnyx adds events and fields without notice (Telnyx: callback reference), so parsing never fails on
what is missing, null, of another type, or new.

Pure: no clock and no socket.

Rules of this module:

1. Nothing of a body is looked at before its signature holds: :func:`verify_signature` first.
2. A field that is missing, null or of a wrong type has its default; an event type that is not
   known is a plain :class:`Payload`.
3. The ``repr`` of an event shows its id and type only: the rest is somebody's conversation.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from bridge.errors import EventError
from bridge.signatures import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    TOLERANCE,
    load_public_key,
    verify_signature,
)

__all__ = [
    "EVENT_TYPES", "SIGNATURE_HEADER", "TIMESTAMP_HEADER", "TOLERANCE", "CallAnswered",
    "CallBridged", "CallHangup", "CallInitiated", "Conversation", "Cost", "CostPart",
    "DtmfReceived", "Event", "GatherEnded", "Header", "MachineDetection", "Outcome", "Payload",
    "Playback", "Queue", "RecordingError", "RecordingSaved", "RecordingTranscriptionSaved",
    "RecordingUrls", "Refer", "Speak", "StreamParams", "Streaming", "Transcription",
    "TranscriptionData", "load_public_key", "parse_event", "verify_signature",
]  # fmt: skip


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an event, whose ``repr`` shows none of it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Header(_Part, frozen=True, kw_only=True):
    """One SIP header."""

    name: str = ""
    value: str = ""


class Payload(_Part, frozen=True, kw_only=True):
    """What nearly every call event carries, and all that an unknown one is read for.

    Attributes:
        call_control_id: address for commands to the leg; ``""`` in a few events, such as
            ``call.recording.saved``.
        call_leg_id: the leg.
        call_session_id: what related legs have in common.
        connection_id: the Call Control application.
        client_state: the base64 text that was last set on the leg, or ``""``.
        from_number: who calls.
        to_number: who is called.
        state: state of the leg at the event.
        start_time: when the call began.
    """

    call_control_id: str = ""
    call_leg_id: str = ""
    call_session_id: str = ""
    connection_id: str = ""
    client_state: str = ""
    from_number: str = msgspec.field(default="", name="from")
    to_number: str = msgspec.field(default="", name="to")
    state: str = ""
    start_time: datetime | None = None


class CallInitiated(Payload, frozen=True, kw_only=True):
    """``call.initiated``: a leg exists; ``direction`` is ``incoming`` or ``outgoing``."""

    direction: str = ""
    caller_id_name: str = ""
    call_screening_result: str = ""
    connection_codecs: str = ""
    offered_codecs: str = ""
    shaken_stir_attestation: str = ""
    shaken_stir_validated: bool = False
    custom_headers: tuple[Header, ...] = ()
    sip_headers: tuple[Header, ...] = ()
    tags: tuple[str, ...] = ()


class CallAnswered(Payload, frozen=True, kw_only=True):
    """``call.answered``."""

    custom_headers: tuple[Header, ...] = ()
    sip_headers: tuple[Header, ...] = ()
    tags: tuple[str, ...] = ()


class CallBridged(Payload, frozen=True, kw_only=True):
    """``call.bridged``: sent once for each of the two legs."""


class CallHangup(Payload, frozen=True, kw_only=True):
    """``call.hangup``: terminal, whatever arrives later.

    Attributes:
        hangup_cause: ``normal_clearing``, ``user_busy``, ``no_answer`` …
        hangup_source: ``caller``, ``callee`` or ``unknown``.
        sip_hangup_cause: a SIP status as text, or ``unspecified``.
        call_quality_stats: numbers as text, by direction; any level may be missing.
    """

    hangup_cause: str = ""
    hangup_source: str = ""
    sip_hangup_cause: str = ""
    call_quality_stats: dict[str, object] = {}
    custom_headers: tuple[Header, ...] = ()
    sip_headers: tuple[Header, ...] = ()
    tags: tuple[str, ...] = ()


class StreamParams(_Part, frozen=True, kw_only=True):
    """The stream that a failure is about; its URL holds a token and is never logged."""

    stream_url: str = ""
    track: str = ""


class Streaming(Payload, frozen=True, kw_only=True):
    """``streaming.started``, ``streaming.stopped``, ``streaming.failed``.

    ``stream_url`` holds the stream's token and is never logged.
    """

    stream_url: str = ""
    stream_id: str = ""
    stream_type: str = ""
    failure_reason: str = ""
    stream_params: StreamParams = StreamParams()


class DtmfReceived(Payload, frozen=True, kw_only=True):
    """``call.dtmf.received``: one of ``0-9 * # A-D``."""

    digit: str = ""


class GatherEnded(Payload, frozen=True, kw_only=True):
    """``call.gather.ended`` and the gathering by AI."""

    digits: str = ""
    status: str = ""
    gather_id: str = ""


class Playback(Payload, frozen=True, kw_only=True):
    """``call.playback.started`` and ``.ended``; ``status`` is empty in the first."""

    media_url: str = ""
    media_name: str = ""
    overlay: bool = False
    status: str = ""
    status_detail: str = ""


class Speak(Payload, frozen=True, kw_only=True):
    """``call.speak.started`` and ``.ended``; ``status`` is empty in the first."""

    status: str = ""


class MachineDetection(Payload, frozen=True, kw_only=True):
    """All of ``call.machine.…``: ``result`` says who or what answered."""

    result: str = ""


class RecordingUrls(_Part, frozen=True, kw_only=True):
    """Where a recording can be fetched; pre-signed, and valid for ten minutes."""

    wav: str = ""
    mp3: str = ""


class RecordingSaved(Payload, frozen=True, kw_only=True):
    """``call.recording.saved``: has no ``call_control_id``, may come after the hang-up."""

    recording_id: str = ""
    channels: str = ""
    recording_started_at: datetime | None = None
    recording_ended_at: datetime | None = None
    recording_urls: RecordingUrls = RecordingUrls()
    public_recording_urls: RecordingUrls = RecordingUrls()


class RecordingError(Payload, frozen=True, kw_only=True):
    """``call.recording.error``."""

    reason: str = ""


class RecordingTranscriptionSaved(Payload, frozen=True, kw_only=True):
    """``call.recording.transcription.saved``."""

    recording_id: str = ""
    recording_transcription_id: str = ""
    status: str = ""
    transcription_text: str = ""


class TranscriptionData(_Part, frozen=True, kw_only=True):
    """What was said, by Telnyx's own transcription."""

    transcript: str = ""
    is_final: bool = False
    confidence: float | None = None
    transcription_track: str = ""


class Transcription(Payload, frozen=True, kw_only=True):
    """``call.transcription``: Telnyx's own, not that of our speech-to-text session."""

    transcription_data: TranscriptionData = TranscriptionData()


class Refer(Payload, frozen=True, kw_only=True):
    """``call.refer.started``, ``.completed``, ``.failed``."""

    sip_notify_response: int = 0


class Queue(Payload, frozen=True, kw_only=True):
    """``call.enqueued``, ``call.dequeued`` (also ``call.left_queue``)."""

    queue: str = ""
    reason: str = ""


class Conversation(Payload, frozen=True, kw_only=True):
    """``call.conversation.…``: Telnyx's AI assistant and Conversation Relay."""

    conversation_id: str = ""
    reason: str = ""


class CostPart(_Part, frozen=True, kw_only=True):
    """One line of a call's cost; amounts are decimal text."""

    call_part: str = ""
    cost: str = ""
    currency: str = ""
    rate: str = ""
    billed_duration_secs: int = 0


class Cost(Payload, frozen=True, kw_only=True):
    """``call.cost``: comes after the hang-up, if the application asks for it."""

    status: str = ""
    total_cost: str = ""
    billed_duration_secs: int = 0
    billing_group_id: str = ""
    cost_parts: tuple[CostPart, ...] = ()


class Outcome(Payload, frozen=True, kw_only=True):
    """Events of features this bridge does not use: forking, SIPREC, payment, detection, AI."""

    status: str = ""
    result: str = ""
    reason: str = ""


_PAYLOADS: dict[str, type[Payload]] = {
    "call.initiated": CallInitiated,
    "call.answered": CallAnswered,
    "call.bridged": CallBridged,
    "call.hangup": CallHangup,
    "streaming.started": Streaming,
    "streaming.stopped": Streaming,
    "streaming.failed": Streaming,
    "call.dtmf.received": DtmfReceived,
    "call.gather.ended": GatherEnded,
    "call.playback.started": Playback,
    "call.playback.ended": Playback,
    "call.speak.started": Speak,
    "call.speak.ended": Speak,
    "call.machine.detection.ended": MachineDetection,
    "call.machine.greeting.ended": MachineDetection,
    "call.machine.premium.detection.started": MachineDetection,
    "call.machine.premium.detection.ended": MachineDetection,
    "call.machine.premium.greeting.ended": MachineDetection,
    "call.machine.premium.call_screening.detected": MachineDetection,
    "call.recording.saved": RecordingSaved,
    "call.recording.error": RecordingError,
    "call.recording.transcription.saved": RecordingTranscriptionSaved,
    "call.transcription": Transcription,
    "call.refer.started": Refer,
    "call.refer.completed": Refer,
    "call.refer.failed": Refer,
    "call.hold": Payload,
    "call.unhold": Payload,
    "call.enqueued": Queue,
    "call.dequeued": Queue,
    "call.left_queue": Queue,
    "call.fork.started": Outcome,
    "call.fork.stopped": Outcome,
    "siprec.started": Outcome,
    "siprec.stopped": Outcome,
    "siprec.failed": Outcome,
    "call.conversation.created": Conversation,
    "call.conversation.ended": Conversation,
    "call.conversation.start_failed": Conversation,
    "call.conversation_insights.generated": Conversation,
    "call.analyzed": Outcome,
    "call.ai_gather.ended": Outcome,
    "call.ai_gather.partial_results": Outcome,
    "call.ai_gather.message_history_updated": Outcome,
    "call.deepfake_detection.result": Outcome,
    "call.deepfake_detection.error": Outcome,
    "call.payment.progress": Outcome,
    "call.payment.completed": Outcome,
    "call.cost": Cost,
}

# The event types this version knows; any other is acknowledged and ignored.
EVENT_TYPES = frozenset(_PAYLOADS)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook.

    Attributes:
        id: what a delivery is recognised by when it comes again.
        event_type: ``"call.initiated"`` …; may be one this version does not know.
        occurred_at: when it happened; the order of events, which arrive in any.
        payload: the fields of this type of event.
        attempt: which delivery this is, from 1.
        raw: the payload as it came.
    """

    id: str
    event_type: str
    occurred_at: datetime | None
    payload: Payload
    attempt: int = 1
    raw: dict[str, object] = {}

    def __repr__(self) -> str:
        return f"<Event {self.event_type} {self.id}>"

    @property
    def call_control_id(self) -> str:
        """The leg that the event is about, or ``""``."""
        return self.payload.call_control_id

    @property
    def known(self) -> bool:
        """Whether this version has a type for the event."""
        return self.event_type in EVENT_TYPES


def parse_event(body: bytes) -> Event:
    """Read a webhook's body (API version 2).

    Raises:
        EventError: it is not a webhook event at all: no JSON object, or without id or type.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise EventError("the webhook's body is not JSON") from None
    data = _mapping(_mapping(document).get("data"))
    event_id, event_type = data.get("id"), data.get("event_type")
    if not isinstance(event_id, str) or not isinstance(event_type, str) or not event_id:
        raise EventError("the webhook has no data.id and data.event_type (is it API version 2?)")
    raw = _mapping(data.get("payload"))
    attempt = _mapping(_mapping(document).get("meta")).get("attempt")
    return Event(
        id=event_id,
        event_type=event_type,
        occurred_at=_moment(data.get("occurred_at")),
        payload=_read(raw, _PAYLOADS.get(event_type, Payload)),
        attempt=attempt if isinstance(attempt, int) else 1,
        raw=raw,
    )


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _moment(value: object) -> datetime | None:
    try:
        return msgspec.convert(value, datetime | None, strict=False)
    except msgspec.ValidationError:
        return None


def _read(raw: dict[str, object], kind: type[Payload]) -> Payload:
    """Convert the fields that can be converted; the others keep their defaults."""
    fields = _without_nulls(raw)
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError:
        # One field is not what the reference says: find out which by asking for each alone.
        good = {}
        for name, value in fields.items():
            try:
                msgspec.convert({name: value}, kind, strict=False)
            except msgspec.ValidationError:
                continue
            good[name] = value
        return msgspec.convert(good, kind, strict=False)


def _without_nulls(value: dict[str, object]) -> dict[str, object]:
    """Drop nulls at every level: null and missing mean the same."""
    kept: dict[str, object] = {}
    for name, item in value.items():
        if item is None:
            continue
        if isinstance(item, dict):
            item = _without_nulls(item)
        elif isinstance(item, list):
            item = [
                _without_nulls(part) if isinstance(part, dict) else part
                for part in item
                if part is not None
            ]
        kept[name] = item
    return kept
