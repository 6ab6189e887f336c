"""How the parts have done: figures from the call records of the last day, and the states of now.

Records are the same whichever process is asked; the states are those of this machine.

Pure, but for the reading of the metrics' text.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from bridge.dashboard.views import BAD_ENDINGS, ENDINGS, PARTS, milliseconds
from bridge.records.schema import CallRecord

__all__ = ["Check", "Ending", "Health", "Stage", "states", "sum_up"]

# A pause between two people is a fifth of a second; from two on they ask whether anybody is there.
SLOW = 2.0

# Share of packets that may be lost before it is heard.
LOSS = 0.01


@dataclass(frozen=True)
class Check:
    """One part and how it has done; ``good`` is ``None`` when there is nothing to judge."""

    part: str
    good: bool | None
    figure: str
    detail: str


@dataclass(frozen=True)
class Stage:
    """How long one stage of a reply took, in seconds."""

    name: str
    median: float
    slow: float
    count: int


@dataclass(frozen=True)
class Ending:
    """How often calls ended so."""

    why: str
    calls: int
    bad: bool
    share: float


@dataclass(frozen=True)
class Health:
    """How calls have gone.

    Attributes:
        calls: how many.
        checks: the parts.
        stages: where the time to a reply went.
        endings: why calls ended, the most frequent first.
    """

    calls: int
    checks: tuple[Check, ...]
    stages: tuple[Stage, ...]
    endings: tuple[Ending, ...]


def sum_up(records: Sequence[CallRecord]) -> Health:
    """Sum up calls that are over."""
    latencies: dict[str, list[float]] = {name: [] for name in (*PARTS, "total")}
    for record in records:
        for remark in record.remarks:
            for name, value in (remark.latencies or {}).items():
                if name in latencies and (name == "endpoint") == (remark.speaker == "caller"):
                    latencies[name].append(value)
    stages = tuple(
        Stage(name, statistics.median(values), _slow(values), len(values))
        for name, values in latencies.items()
        if values
    )
    reasons = Counter(record.reason or record.hangup_cause or "lost" for record in records)
    endings = tuple(
        Ending(
            ENDINGS.get(why, why.replace("_", " ")), n, why in BAD_ENDINGS, 100 * n / len(records)
        )
        for why, n in reasons.most_common()
    )
    return Health(len(records), tuple(_checks(records, latencies, reasons)), stages, endings)


def _checks(
    records: Sequence[CallRecord], latencies: dict[str, list[float]], reasons: Counter[str]
) -> list[Check]:
    def total(name: str) -> float:
        return sum((record.counts or {}).get(name, 0) for record in records)

    if not records:
        return []
    replies = latencies["total"]
    reply = statistics.median(replies) if replies else None
    voice = latencies["first_audio"]
    packets, lost = total("packets"), total("lost_packets")
    loss = lost / packets if packets else 0.0
    reconnects, deaf = total("stt_reconnects"), total("stt_dropped")
    again = sum(max(0, int((r.counts or {}).get("streams", 1)) - 1) for r in records)
    failed = reasons["agent failed"]
    refused = reasons["command refused"] + reasons["media lost"] + reasons["codec"]
    return [
        Check(
            "Replies",
            None if reply is None else reply < SLOW,
            "none" if reply is None else milliseconds(reply),
            "median, from the caller's last word to the agent's first",
        ),
        Check(
            "Recogniser",
            not (reconnects or deaf),
            f"{reconnects:.0f} reconnected" if reconnects else "steady",
            f"{deaf:.1f} s of speech did not reach it" if deaf else "all speech reached it",
        ),
        Check(
            "Voice",
            None if not voice else statistics.median(voice) < SLOW,
            milliseconds(statistics.median(voice)) if voice else "silent",
            "median, from text to its first sound",
        ),
        Check(
            "Line",
            loss < LOSS and not again,
            f"{100 * loss:.2f} % lost",
            f"of {packets:,.0f} packets; {again} streams had to be opened again",
        ),
        Check(
            "Telnyx",
            not refused,
            f"{refused} failed" if refused else "steady",
            "calls that ended by a refused command or lost audio",
        ),
        Check(
            "Agent",
            not failed,
            f"{failed} failed" if failed else "steady",
            "calls in which the agent raised an error",
        ),
    ]


def _slow(values: Sequence[float]) -> float:
    """Get the value that one in twenty exceeds."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def states(text: str) -> dict[str, float]:
    """Read states and totals out of the metrics, added up over what they are labelled with."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        if family.type in ("gauge", "counter", "unknown"):
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    name = sample.name.removeprefix("bridge_").removesuffix("_total")
                    found[name] = found.get(name, 0.0) + sample.value
    return found
