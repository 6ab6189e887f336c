"""``bridge calls``: the calls that were held, and what was said on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

import click

from bridge.errors import RecordsError
from bridge.records.document import document
from bridge.records.schema import CallRecord, RemarkRecord
from bridge.records.store import RecordStore
from bridge.redaction import mask_number
from bridge.settings import Settings

# Stages of a reply's latency as they are told, in the order in which they pass.
STAGES = {
    "endpoint": "turn",
    "agent": "agent",
    "first_text": "text",
    "first_audio": "voice",
    "first_frame": "sent",
}


@click.command("calls")
@click.argument("call_id", required=False)
@click.option("--number", help="Only calls from or to this number, as Telnyx writes it: +1…")
@click.option("--live", is_flag=True, help="Only calls that are held now.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--numbers", is_flag=True, help="Show telephone numbers in full.")
@click.option("--export", is_flag=True, help="All data of all calls, one JSON object per line.")
def command(
    call_id: str | None, number: str | None, live: bool, limit: int, numbers: bool, export: bool
) -> None:
    """List the latest calls, or show one with all that was said.

    CALL_ID may be the beginning of an id.
    """
    settings = Settings.from_environ()
    store = RecordStore.of(settings.database_url, settings.home)
    try:
        if call_id is not None:
            record = find(store, call_id)
            click.echo(_line(record) if export else "\n".join(_whole(record, numbers)))
        elif export:
            for record in store.every_call(number=number, live=True if live else None):
                click.echo(_line(record))
        else:
            found = store.calls(
                limit=limit, number=number, live=True if live else None, whole=False
            )
            click.echo("\n".join(_table(found, numbers)) if found else "no calls")
    finally:
        store.close()


def find(store: RecordStore, call_id: str) -> CallRecord:
    """Get a call by its id or the beginning of it; raises RecordsError if that is no one call."""
    record = store.call(call_id)
    if record is not None:
        return record
    ids = store.ids(beginning=call_id, limit=2)
    if len(ids) > 1:
        raise RecordsError("several calls begin with that id")
    found = store.call(ids[0]) if ids else None
    if found is None:
        raise RecordsError("there is no such call")
    return found


def _line(record: CallRecord) -> str:
    return json.dumps(document(record), ensure_ascii=False)


def _table(records: list[CallRecord], numbers: bool) -> Iterator[str]:
    rows = [("BEGAN", "LENGTH", "FROM", "TO", "TURNS", "ENDED BY", "ID")]
    for record in records:
        began = record.began_at.astimezone()
        rows.append(
            (
                f"{began:%Y-%m-%d %H:%M:%S}",
                _length(record.seconds),
                _number(record.from_number, numbers),
                _number(record.to_number, numbers),
                str(record.counts.get("turns", "")),
                _ending(record),
                record.id,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _whole(record: CallRecord, numbers: bool) -> Iterator[str]:
    began = record.began_at.astimezone()
    yield f"call       {record.id}"
    yield (
        f"from       {_number(record.from_number, numbers)} "
        f"to {_number(record.to_number, numbers)}, {record.direction}"
    )
    yield f"began      {began:%Y-%m-%d %H:%M:%S %z}"
    yield f"length     {_length(record.seconds)}, {_ending(record)}"
    if record.codec:
        yield f"audio      {record.codec} at {record.sample_rate} Hz"
    if record.counts:
        yield "counts     " + ", ".join(f"{k} {v}" for k, v in record.counts.items() if v)
    if record.total_cost:
        yield f"cost       {record.total_cost} {record.currency}".rstrip()
    for recording in record.recordings:
        yield f"recording  {recording.location}, {recording.seconds:.1f} s"
    yield ""
    # Python's sort is stable: an event comes before what was said at the same moment.
    entries = [(event.occurred_at, f"· {event.event_type}") for event in record.events]
    entries += [(remark.at, _said(remark)) for remark in record.remarks]
    for at, text in sorted(entries, key=lambda entry: entry[0]):
        yield f"{_offset(record.began_at, at)}  {text}"


def _said(remark: RemarkRecord) -> str:
    speaker = f"{remark.speaker}:".ljust(7)
    text, heard = _plain(remark.text), _plain(remark.heard)
    if remark.digits:
        return f"{speaker} ({remark.digits} keys)"
    if remark.speaker == "caller" or heard == text:
        words = text
    else:
        unheard = text[len(heard) :] if text.startswith(heard) else ""
        cut = "interrupted" if remark.interrupted else "cut off"
        words = f"{heard} [{cut}{': ' + unheard.strip() if unheard.strip() else ''}]"
    return f"{speaker} {words}{_latency(remark)}"


def _plain(text: str) -> str:
    """Leave out what a terminal would obey rather than show."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _latency(remark: RemarkRecord) -> str:
    total = remark.latencies.get("total")
    if remark.speaker == "caller" or total is None:
        return ""
    parts = ", ".join(
        f"{word} {remark.latencies[name]:.2f}"
        for name, word in STAGES.items()
        if remark.latencies.get(name) is not None
    )
    return f"   ({total:.2f} s after the caller: {parts})"


def _number(number: str, full: bool) -> str:
    return number if full or not number else mask_number(number)


def _ending(record: CallRecord) -> str:
    if record.ended_at is None:
        return "live"
    return record.reason or record.hangup_cause or "unknown"


def _length(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _offset(began: datetime, at: datetime) -> str:
    # Telnyx's clock dates the first events a moment before ours dates the beginning.
    minutes, rest = divmod(max(0.0, (at - began).total_seconds()), 60)
    return f" {int(minutes):3d}:{rest:04.1f}"
