"""What the webhooks say: the payload of each event.

Telnyx: callback pages and the event types of its Python SDK; an event carries the fields of its
type and no others.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.simulator.webhooks import timestamp

if TYPE_CHECKING:
    from bridge.simulator.leg import Leg
    from bridge.simulator.recordings import Recording
    from bridge.simulator.stream import MediaStream

CAUSES = {
    "normal_clearing": "200",
    "originator_cancel": "487",
    "call_rejected": "603",
    "user_busy": "486",
    "no_answer": "480",
    "timeout": "408",
    "time_limit": "200",
    "not_found": "404",
    "unspecified": "480",
}
"""What ``call.hangup`` calls a cause, and the SIP status that goes with it."""

# Events whose payload has no ``from`` and ``to``; that of a recording lacks even the
# ``call_control_id`` (Telnyx: callback pages and the types of its Python SDK).
_WITHOUT_NUMBERS = (
    "streaming.",
    "call.playback.",
    "call.speak.",
    "call.recording.",
    "call.enqueued",
    "call.dequeued",
)

# What a second of a call costs in the reports of this carrier.
_RATE = 0.0001


def payload(leg: Leg, event_type: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Get an event's payload: the fields common to its kind, and its own."""
    common = leg.common()
    if event_type.startswith(_WITHOUT_NUMBERS):
        del common["from"], common["to"]
    if event_type.startswith("call.recording."):
        del common["call_control_id"]
    return common | fields


def initiated(leg: Leg) -> dict[str, Any]:
    """Get the fields of ``call.initiated``."""
    incoming = leg.direction == "incoming"
    return {
        "direction": leg.direction,
        "state": "parked" if incoming else "bridging",
        "start_time": leg.start_time,
        "tags": [],
        "caller_id_name": leg.caller_name or leg.from_number,
        "call_screening_result": "",
        "connection_codecs": "PCMU,PCMA,G722,OPUS",
        "offered_codecs": leg.codec,
        "shaken_stir_attestation": "A" if incoming else "",
        "shaken_stir_validated": incoming,
        **_headers(leg),
    }


def answered(leg: Leg) -> dict[str, Any]:
    """Get the fields of ``call.answered``."""
    return {"state": "answered", "start_time": leg.start_time, "tags": [], **_headers(leg)}


def hangup(leg: Leg, sip: str | None) -> dict[str, Any]:
    """Get the fields of ``call.hangup``.

    Args:
        leg: the leg, ended.
        sip: the SIP status, if not the one that goes with the cause.
    """
    packets = str(leg.ticks)
    # "unspecified" is usual for an inbound call that ended well.
    known = leg.direction == "outgoing" or leg.hangup_cause != "normal_clearing"
    return {
        "state": "hangup",
        "start_time": leg.start_time,
        "hangup_cause": leg.hangup_cause,
        "hangup_source": leg.hangup_source,
        "sip_hangup_cause": (sip or CAUSES[leg.hangup_cause]) if known else "unspecified",
        "call_quality_stats": {
            "inbound": {
                "jitter_max_variance": "0.00",
                "jitter_packet_count": "0",
                "mos": "4.50",
                "packet_count": packets,
                "skip_packet_count": "0",
            },
            "outbound": {"packet_count": packets, "skip_packet_count": "0"},
        },
        "tags": [],
        **_headers(leg),
    }


def cost(leg: Leg) -> dict[str, Any]:
    """Get the fields of ``call.cost``."""
    lasted = leg.ended_at - leg.answered_at if leg.answered_at and leg.ended_at else 0.0
    billed = int(lasted) + 1 if lasted else 0
    part = {
        "call_part": "call-control",
        "cost": f"{billed * _RATE:.4f}",
        "currency": "USD",
        "rate": f"{60 * _RATE:.4f}",
        "billed_duration_secs": billed,
    }
    return {
        "status": "success",
        "total_cost": part["cost"],
        "billed_duration_secs": billed,
        "billing_group_id": None,
        "cost_parts": [part],
        "occurred_at": timestamp(),
    }


def stream_failed(stream: MediaStream, reason: str) -> dict[str, Any]:
    """Get the fields of ``streaming.failed``."""
    return {
        "failure_reason": reason,
        "stream_id": stream.stream_id,
        "stream_params": {"stream_url": stream.options.url, "track": stream.options.track},
        "stream_type": "websocket",
    }


def recording_saved(recording: Recording, url: str) -> dict[str, Any]:
    """Get the fields of ``call.recording.saved``; ``url`` lacks the ending of the file's name."""
    return {
        "channels": recording.channels,
        "recording_started_at": recording.started_at,
        "recording_ended_at": recording.ended_at,
        "recording_urls": {recording.format: f"{url}.{recording.format}"},
        "public_recording_urls": {},
    }


def _headers(leg: Leg) -> dict[str, Any]:
    return {"custom_headers": leg.custom_headers, "sip_headers": leg.sip_headers}
