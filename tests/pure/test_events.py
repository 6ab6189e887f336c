"""Webhooks: whose they are, and what they say."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import EventError, SignatureError
from bridge.events import (
    EVENT_TYPES,
    CallHangup,
    CallInitiated,
    Cost,
    DtmfReceived,
    Payload,
    RecordingSaved,
    Streaming,
    Transcription,
    load_public_key,
    parse_event,
    verify_signature,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
NOW = 1_790_000_000.0
BODY = b'{"data": {"id": "e1", "event_type": "call.initiated"}}'


def sign(body: bytes = BODY, timestamp: str = str(int(NOW))) -> str:
    """Sign as Telnyx does."""
    return base64.b64encode(KEY.sign(timestamp.encode() + b"|" + body)).decode()


# -- signatures -----------------------------------------------------------------------------------


def test_a_webhook_of_telnyx_is_accepted() -> None:
    """The signature holds over the timestamp as received, a bar and the raw body."""
    verify_signature(PUBLIC_KEY, sign(), str(int(NOW)), BODY, now=NOW)


@pytest.mark.parametrize("seconds", [-300, -1, 0, 299, 300])
def test_a_webhook_may_be_five_minutes_off(seconds: int) -> None:
    """Either way: clocks differ and deliveries are repeated."""
    verify_signature(PUBLIC_KEY, sign(), str(int(NOW)), BODY, now=NOW + seconds)


@pytest.mark.parametrize(
    ("seconds", "says"), [(301, "301 s old"), (-301, "301 s in the future"), (86400, "old")]
)
def test_a_stale_webhook_is_refused(seconds: int, says: str) -> None:
    """A replay is told from a delivery by its age."""
    with pytest.raises(SignatureError, match=says):
        verify_signature(PUBLIC_KEY, sign(), str(int(NOW)), BODY, now=NOW + seconds)


@pytest.mark.parametrize(
    ("signature", "timestamp", "says"),
    [
        (None, "now", "not signed"),
        ("signature", None, "not signed"),
        ("", "", "not signed"),
        ("signature", "soon", "not a number"),
        ("signature", "1e9", "not a number"),
        ("signature", "-5", "not a number"),
        ("signature", "١٧٩٠٠٠٠٠٠٠", "not a number"),
        ("signature", "9" * 5000, "not a number"),
        ("no base64", "now", "not base64"),
        ("c2hvcnQ=", "now", "wrong length"),
    ],
)
def test_a_malformed_header_is_refused(
    signature: str | None, timestamp: str | None, says: str
) -> None:
    """Whatever comes, it is a refusal and never another exception."""
    signature = sign() if signature == "signature" else signature
    timestamp = str(int(NOW)) if timestamp == "now" else timestamp
    with pytest.raises(SignatureError, match=says):
        verify_signature(PUBLIC_KEY, signature, timestamp, BODY, now=NOW)


@pytest.mark.parametrize(
    "change",
    [
        lambda: (sign(), str(int(NOW)), BODY + b" "),
        lambda: (sign(), str(int(NOW) + 1), BODY),
        lambda: (sign(), "0" + str(int(NOW)), BODY),
        lambda: (sign(b"other"), str(int(NOW)), BODY),
        lambda: (base64.b64encode(bytes(64)).decode(), str(int(NOW)), BODY),
    ],
)
def test_what_was_changed_is_refused(change: Callable[[], tuple[str, str, bytes]]) -> None:
    """Body, timestamp and signature belong together to the byte."""
    signature, timestamp, body = change()
    with pytest.raises(SignatureError, match="does not hold"):
        verify_signature(PUBLIC_KEY, signature, timestamp, body, now=NOW)


def test_another_accounts_webhook_is_refused() -> None:
    """The key is the account's own."""
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    with pytest.raises(SignatureError, match="does not hold"):
        verify_signature(base64.b64encode(other).decode(), sign(), str(int(NOW)), BODY, now=NOW)


def test_a_key_may_be_pasted_with_line_breaks() -> None:
    """Only what it means counts."""
    load_public_key(f" {PUBLIC_KEY[:20]}\n{PUBLIC_KEY[20:]}\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("-----BEGIN PUBLIC KEY-----\nMCow", "PEM"),
        ("%%%", "not base64"),
        ("", "holds 0"),
        (base64.b64encode(bytes(44)).decode(), "holds 44"),
    ],
)
def test_a_key_that_is_none_says_what_it_looks_like(text: str, says: str) -> None:
    """PEM and DER are what people paste by mistake."""
    with pytest.raises(ValueError, match=says):
        load_public_key(text)


# -- events ---------------------------------------------------------------------------------------


def envelope(event_type: str, payload: object, **data: object) -> bytes:
    """Make a webhook's body."""
    return json.dumps(
        {
            "data": {
                "record_type": "event",
                "event_type": event_type,
                "id": "event-1",
                "occurred_at": "2026-10-01T09:30:00.123456Z",
                "payload": payload,
                **data,
            },
            "meta": {"attempt": 2, "delivered_to": "https://bridge.example/telnyx"},
        }
    ).encode()


COMMON = {
    "call_control_id": "v3:abc/+=",
    "connection_id": "7267",
    "call_leg_id": "leg",
    "call_session_id": "session",
    "client_state": None,
    "from": "+15550100001",
    "to": "+15550100002",
}


def test_an_inbound_call() -> None:
    """Everything the first event of a call says is there under its name."""
    event = parse_event(
        envelope(
            "call.initiated",
            {
                **COMMON,
                "direction": "incoming",
                "state": "parked",
                "caller_id_name": "A Caller",
                "offered_codecs": "PCMU,PCMA",
                "shaken_stir_validated": True,
                "start_time": "2026-10-01T09:29:59Z",
                "tags": ["a"],
                "custom_headers": [{"name": "X-Room", "value": "7"}],
                "sip_headers": None,
            },
        )
    )
    assert (event.id, event.event_type, event.attempt) == ("event-1", "call.initiated", 2)
    assert event.known
    assert event.occurred_at == datetime(2026, 10, 1, 9, 30, 0, 123456, tzinfo=timezone.utc)
    payload = event.payload
    assert isinstance(payload, CallInitiated)
    assert event.call_control_id == payload.call_control_id == "v3:abc/+="
    assert (payload.from_number, payload.to_number) == ("+15550100001", "+15550100002")
    assert (payload.direction, payload.state, payload.client_state) == ("incoming", "parked", "")
    assert [(h.name, h.value) for h in payload.custom_headers] == [("X-Room", "7")]
    assert payload.sip_headers == ()
    assert payload.shaken_stir_validated is True
    assert payload.start_time is not None
    assert event.raw["caller_id_name"] == "A Caller"


def test_a_hang_up() -> None:
    """Cause, source and quality; nulls at any level of the quality are nothing."""
    event = parse_event(
        envelope(
            "call.hangup",
            {
                **COMMON,
                "hangup_cause": "normal_clearing",
                "hangup_source": "caller",
                "sip_hangup_cause": "200",
                "call_quality_stats": {"inbound": {"mos": "4.50", "packet_count": None}},
            },
        )
    )
    payload = event.payload
    assert isinstance(payload, CallHangup)
    assert (payload.hangup_cause, payload.hangup_source) == ("normal_clearing", "caller")
    assert payload.call_quality_stats == {"inbound": {"mos": "4.50"}}


def test_streaming_events_have_no_call_prefix() -> None:
    """The failed one says why."""
    event = parse_event(
        envelope(
            "streaming.failed",
            {
                "call_control_id": "v3:abc",
                "failure_reason": "connection_failed",
                "stream_id": "s1",
                "stream_params": {"stream_url": "wss://x/telnyx/media/t", "track": None},
            },
        )
    )
    payload = event.payload
    assert isinstance(payload, Streaming)
    assert payload.failure_reason == "connection_failed"
    assert payload.stream_params.stream_url.endswith("/t")


def test_a_recording_has_no_call_control_id() -> None:
    """It is found by its leg."""
    event = parse_event(
        envelope(
            "call.recording.saved",
            {
                "call_leg_id": "leg",
                "channels": "dual",
                "recording_started_at": "2026-10-01T09:30:00Z",
                "recording_urls": {"wav": "https://storage.example/x.wav"},
                "public_recording_urls": {},
            },
        )
    )
    payload = event.payload
    assert isinstance(payload, RecordingSaved)
    assert (event.call_control_id, payload.call_leg_id) == ("", "leg")
    assert payload.recording_urls.wav.endswith("x.wav")
    assert payload.recording_urls.mp3 == ""


def test_a_cost() -> None:
    """Amounts stay text; the payload's own time does not disturb."""
    event = parse_event(
        envelope(
            "call.cost",
            {
                **COMMON,
                "status": "success",
                "total_cost": "0.0070",
                "billed_duration_secs": 60,
                "occurred_at": "2026-10-01T09:40:00Z",
                "cost_parts": [{"call_part": "sip", "cost": "0.007", "billed_duration_secs": 60}],
            },
        )
    )
    payload = event.payload
    assert isinstance(payload, Cost)
    assert payload.total_cost == "0.0070"
    assert payload.cost_parts[0].billed_duration_secs == 60


def test_a_confidence_may_be_null() -> None:
    """As in Telnyx's own transcription."""
    event = parse_event(
        envelope(
            "call.transcription",
            {**COMMON, "transcription_data": {"transcript": "hello", "confidence": None}},
        )
    )
    payload = event.payload
    assert isinstance(payload, Transcription)
    assert payload.transcription_data.confidence is None


@pytest.mark.parametrize("event_type", sorted(EVENT_TYPES))
@pytest.mark.parametrize("payload", [COMMON, {}, None, [], "text", 5])
def test_every_event_is_read_from_as_little_as_there_is(event_type: str, payload: object) -> None:
    """Missing, null and wrong payloads give defaults."""
    event = parse_event(envelope(event_type, payload))
    assert event.event_type == event_type
    expected = "v3:abc/+=" if payload is COMMON else ""
    assert event.call_control_id == expected


def test_one_wrong_field_costs_only_itself() -> None:
    """What Telnyx changes in one field does not lose the others."""
    event = parse_event(
        envelope(
            "call.initiated",
            {
                **COMMON,
                "direction": "incoming",
                "tags": {"not": "a list"},
                "start_time": "yesterday",
                "custom_headers": [{"name": "X-Room", "value": "7"}, None],
                "shaken_stir_validated": "perhaps",
            },
        )
    )
    payload = event.payload
    assert isinstance(payload, CallInitiated)
    assert payload.direction == "incoming"
    assert payload.from_number == "+15550100001"
    assert (payload.tags, payload.start_time, payload.shaken_stir_validated) == ((), None, False)
    assert payload.custom_headers[0].value == "7"


def test_a_new_type_of_event_is_read_for_the_common_fields() -> None:
    """It is known to be unknown."""
    event = parse_event(envelope("call.levitated", {**COMMON, "height": 3}))
    assert not event.known
    assert type(event.payload) is Payload
    assert event.call_control_id == "v3:abc/+="
    assert event.raw["height"] == 3


def test_numbers_may_come_as_text_and_times_as_nonsense() -> None:
    """What can be converted is; a time that is none is ``None``."""
    event = parse_event(
        envelope("call.refer.completed", {**COMMON, "sip_notify_response": "200"}, occurred_at="?")
    )
    assert getattr(event.payload, "sip_notify_response") == 200  # noqa: B009 - by name of the wire
    assert event.occurred_at is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"data": null}',
        b'{"data": {"id": "", "event_type": "call.hangup"}}',
        b'{"data": {"id": 7, "event_type": "call.hangup"}}',
        b'{"data": {"id": "x"}}',
        b'{"event_type": "call_initiated"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    """One kind of error, whatever the reason."""
    with pytest.raises(EventError):
        parse_event(body)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    sorted({name for kind in (CallInitiated, CallHangup, Streaming, Cost) for name in
            ("from", "to", *kind.__struct_fields__)})
)  # fmt: skip


@given(st.sampled_from(sorted(EVENT_TYPES)), st.dictionaries(FIELDS, JSON, max_size=6))
def test_no_payload_is_too_strange(event_type: str, payload: dict[str, Any]) -> None:
    """Parsing never fails on what is inside a payload."""
    event = parse_event(envelope(event_type, payload))
    assert event.known


def test_no_repr_shows_a_conversation() -> None:
    """Events may be logged by mistake without harm."""
    event = parse_event(envelope("call.dtmf.received", {**COMMON, "digit": "7"}))
    assert isinstance(event.payload, DtmfReceived)
    shown = repr(event) + repr(event.payload)
    assert "555" not in shown
    assert "7" not in shown
    assert "call.dtmf.received" in shown
