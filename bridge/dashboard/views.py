"""What the pages show of call records.

Pure: records come in, and the time as an argument.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.records.schema import CallRecord, EventRecord, RecordingRecord, RemarkRecord

__all__ = ["PARTS", "Audio", "CallView", "Part", "Said", "clock", "look", "milliseconds"]

# The parts of the time to a reply, as they follow each other, and what they are called.
PARTS = {
    "endpoint": "waiting for the end of the turn",
    "agent": "agent thinking",
    "first_text": "first words",
    "first_audio": "synthesis",
    "first_frame": "first frame out",
}

# Why a call ended, in words for people; what is not here is shown as it is.
ENDINGS = {
    "caller": "caller hung up",
    "agent": "agent hung up",
    "operator": "hung up here",
    "agent failed": "agent failed",
    "media lost": "audio was lost",
    "command refused": "Telnyx refused",
    "drain": "stopped for a deploy",
    "lost": "end not known",
    "too long": "was too long",
    "transferred": "transferred",
}

# Endings that somebody should look at.
BAD_ENDINGS = frozenset(
    {"agent failed", "media lost", "command refused", "codec", "failed", "lost", "drain"}
)

# Seconds after a call's end in which a recording of it may still appear.
SETTLING = 20.0

# Of the picture of a recording, by its length in seconds: its least width, as the stylesheet knows
# it, and the seconds between two labels of its time axis.
SIZES = ((60, 1, 5), (150, 2, 10), (300, 3, 15), (600, 4, 15), (1200, 5, 30), (3600, 6, 60))
LARGEST = (7, 300)


@dataclass(frozen=True)
class Part:
    """One part of a latency bar: where it begins and how wide it is, in percent of the bar."""

    name: str
    seconds: float
    x: float
    width: float


@dataclass(frozen=True)
class Said:
    """Something that was said, or is being said.

    Attributes:
        key: its id.
        speaker: ``"caller"`` or ``"agent"``.
        heard: the words that the other one heard.
        unheard: the rest of them.
        interrupted: whether the caller broke in.
        digits: how many keys were pressed instead.
        at: when it began.
        start: seconds from the beginning of the call.
        length: seconds.
        open: whether it is being said now.
        total: seconds from the caller's last word to its first frame, or ``None``.
        parts: what ``total`` is made of, as a bar.
        bar: width of the bar, in percent of the slowest reply's.
    """

    key: str
    speaker: str
    heard: str
    unheard: str
    interrupted: bool
    digits: int
    at: datetime
    start: float
    length: float
    open: bool
    total: float | None = None
    parts: tuple[Part, ...] = ()
    bar: float = 0.0

    @property
    def text(self) -> str:
        """All of its words."""
        return self.heard + self.unheard


@dataclass(frozen=True)
class Block:
    """A turn in the picture of a recording: place and width in percent, beginning in seconds."""

    said: Said
    x: float
    width: float
    at: float


@dataclass(frozen=True)
class Audio:
    """A recording with what was said in it.

    Attributes:
        id: the recording's.
        seconds: its length.
        size: how wide its picture is at least, from 1 to 7.
        blocks: what was said in it.
        ticks: labels of the time axis: place in percent, and text.
    """

    id: str
    seconds: float
    size: int
    blocks: tuple[Block, ...]
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class CallView:
    """A call as the pages show it.

    Attributes:
        id: the ``call_leg_id``.
        direction: ``"inbound"`` or ``"outbound"``.
        from_number: not masked yet.
        to_number: not masked yet.
        began_at: when it began.
        live: whether it goes on.
        settling: whether it has just ended, so that its recording may be on its way.
        seconds: how long it has been.
        ending: why it ended, in words.
        bad: whether somebody should look at that.
        codec: of its audio.
        said: the conversation.
        reply: seconds to a reply, the median, or ``None``.
        slowest: the same of the slowest one.
        turns: how often the caller spoke.
        barge_ins: how often the caller broke in.
        cost: what Telnyx charged, with its currency, or ``""``.
        events: webhook events: seconds from the beginning, and the type.
        audios: the recordings.
    """

    id: str
    direction: str
    from_number: str
    to_number: str
    began_at: datetime
    live: bool
    settling: bool
    seconds: float
    ending: str
    bad: bool
    codec: str
    said: tuple[Said, ...]
    reply: float | None
    slowest: float | None
    turns: int
    barge_ins: int
    cost: str
    events: tuple[tuple[float, str], ...]
    audios: tuple[Audio, ...]


def look(record: CallRecord, now: datetime) -> CallView:
    """Make of a whole record what a page shows."""
    live = record.ended_at is None
    said = tuple(_conversation(record.remarks, record.began_at, live, now))
    totals = [one.total for one in said if one.total is not None]
    lasted = ((record.ended_at or now) - record.began_at).total_seconds()
    ending = record.reason or record.hangup_cause
    counts: Mapping[str, int | float] = record.counts or {}
    return CallView(
        id=record.id,
        direction=record.direction,
        from_number=record.from_number,
        to_number=record.to_number,
        began_at=record.began_at,
        live=live,
        settling=record.ended_at is not None and (now - record.ended_at).total_seconds() < SETTLING,
        seconds=max(0.0, lasted),
        ending="" if live else ENDINGS.get(ending, ending.replace("_", " ") or "end not known"),
        bad=not live and ending in BAD_ENDINGS,
        codec=f"{record.codec} {record.sample_rate / 1000:g} kHz" if record.codec else "",
        said=said,
        reply=statistics.median(totals) if totals else None,
        slowest=max(totals, default=None),
        turns=sum(one.speaker == "caller" for one in said),
        barge_ins=int(counts.get("barge_ins", sum(one.interrupted for one in said))),
        cost=f"{record.total_cost} {record.currency}".strip() if record.total_cost else "",
        events=tuple(_events(record.events, record.began_at)),
        audios=tuple(_audio(recording, said) for recording in record.recordings),
    )


def _conversation(
    remarks: Sequence[RemarkRecord], began_at: datetime, live: bool, now: datetime
) -> Iterator[Said]:
    slowest = max((r.latencies.get("total", 0.0) for r in remarks if r.latencies), default=0.0)
    for remark in remarks:
        text, heard = remark.text, remark.heard
        if remark.speaker == "caller":
            heard = text
        # What was heard is the beginning of the text; otherwise the two are not told apart.
        unheard = text[len(heard) :] if text.startswith(heard) else ""
        open_ = live and remark.until is None
        until = remark.until or (now if live else remark.at)
        latencies = remark.latencies or {}
        total = latencies.get("total") if remark.speaker == "agent" else None
        yield Said(
            key=remark.id,
            speaker=remark.speaker,
            heard=heard,
            unheard=unheard,
            interrupted=remark.interrupted and not open_,
            digits=remark.digits,
            at=remark.at,
            start=max(0.0, (remark.at - began_at).total_seconds()),
            length=max(0.0, (until - remark.at).total_seconds()),
            open=open_,
            total=total,
            parts=tuple(_parts(latencies)) if total else (),
            bar=100 * total / slowest if total and slowest else 0.0,
        )


def _parts(latencies: Mapping[str, float]) -> Iterator[Part]:
    whole = sum(latencies.get(name, 0.0) for name in PARTS) or 1.0
    x = 0.0
    for name in PARTS:
        if name in latencies:
            width = 100 * max(0.0, latencies[name]) / whole
            yield Part(name, latencies[name], round(x, 2), round(width, 2))
            x += width


def _events(events: Iterable[EventRecord], began_at: datetime) -> Iterator[tuple[float, str]]:
    for event in events:
        yield (event.occurred_at - began_at).total_seconds(), event.event_type


def _audio(recording: RecordingRecord, said: Sequence[Said]) -> Audio:
    seconds = max(recording.seconds, 0.001)
    scale = 100 / seconds
    blocks = []
    for one in said:
        at = (one.at - recording.began_at).total_seconds()
        end = min(seconds, at + one.length)
        start = max(0.0, at)
        if one.text and start < end:
            blocks.append(Block(one, start * scale, (end - start) * scale, start))
    size, every = next((found for limit, *found in SIZES if seconds <= limit), LARGEST)
    # The last ones would reach beyond the picture.
    labelled = range(0, int(0.96 * seconds) + 1, every)
    ticks = tuple((second * scale, clock(second)) for second in labelled)
    return Audio(recording.id, seconds, size, tuple(blocks), ticks)


def clock(seconds: float) -> str:
    """Write a length as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def milliseconds(seconds: float) -> str:
    """Write a latency."""
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
