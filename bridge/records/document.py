"""A call record as JSON: for the API, the export and the post-call webhook alike.

Pure.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bridge.records.schema import CallRecord, RemarkRecord

__all__ = ["document", "outline"]


def outline(record: CallRecord) -> dict[str, Any]:
    """Tell what is in a call's own row; times are ISO 8601 in UTC, lengths are seconds."""
    return {
        "id": record.id,
        "call_control_id": record.call_control_id,
        "call_session_id": record.call_session_id,
        "connection_id": record.connection_id,
        "direction": record.direction,
        "from": record.from_number,
        "to": record.to_number,
        "live": record.ended_at is None,
        "began_at": moment(record.began_at),
        "media_at": moment(record.media_at),
        "ended_at": moment(record.ended_at),
        "seconds": record.seconds,
        "reason": record.reason,
        "hangup_cause": record.hangup_cause,
        "codec": record.codec,
        "sample_rate": record.sample_rate,
        "counts": record.counts,
        "total_cost": record.total_cost,
        "currency": record.currency,
    }


def document(record: CallRecord) -> dict[str, Any]:
    """Tell everything of a call."""
    return {
        **outline(record),
        "remarks": [_remark(remark) for remark in record.remarks],
        "events": [
            {
                "id": event.id,
                "event_type": event.event_type,
                "occurred_at": moment(event.occurred_at),
            }
            for event in record.events
        ],
        "recordings": [
            {
                "id": recording.id,
                "location": recording.location,
                "channels": recording.channels,
                "seconds": recording.seconds,
                "began_at": moment(recording.began_at),
            }
            for recording in record.recordings
        ],
        "costs": [
            {
                "part": cost.part,
                "cost": cost.cost,
                "currency": cost.currency,
                "billed_seconds": cost.billed_seconds,
            }
            for cost in record.costs
        ],
    }


def _remark(remark: RemarkRecord) -> dict[str, Any]:
    return {
        "id": remark.id,
        "speaker": remark.speaker,
        "text": remark.text,
        "heard": remark.heard,
        "interrupted": remark.interrupted,
        "digits": remark.digits,
        "confidence": remark.confidence,
        "at": moment(remark.at),
        "until": moment(remark.until),
        "latencies": remark.latencies,
    }


def moment(value: datetime | None) -> str | None:
    """Write a moment down as ISO 8601, in UTC."""
    return None if value is None else value.isoformat().replace("+00:00", "Z")
