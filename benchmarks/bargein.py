"""How soon the agent is silent when the caller speaks, and how soon it answers when they stop.

The agent reads out a long text; each caller breaks in 1.5 s into it with half a sentence of a human
voice, and the agent begins the text again, and so on.  Times are the callers': from the first
packet of their speech, and from the last.
"""

from __future__ import annotations

from typing import Any

from benchmarks.apps import PEERS, App, Running
from benchmarks.farend.calls import percentile
from benchmarks.report import Column, Page, Panel, versions
from conversation.agents import TALKER

# Milliseconds of silence that end a turn: what each was told to wait.  Pipecat's own model decides
# by default, after the 200 ms of its detector.
ENDPOINT = {"bridge": 500.0, "pipecat": None, "pipecat, 600 ms": 600.0}
TOLD = {"pipecat, 600 ms": {"PEER_ENDPOINT_MS": "600"}}
REPEAT = 2
CALLS = (1, 10)
COLUMNS = [
    Column("clear_p50_ms", "speech to clear p50 ms", 0, ratio=True),
    Column("clear_p90_ms", "p90 ms", 0),
    Column("quiet_p50_ms", "speech to last sound p50 ms", 0),
    Column("residue_ms", "sent after clear, most, ms", 0),
    Column("missed", "not given way", 0),
    Column("reply_p50_ms", "end of speech to audio p50 ms", 0, ratio=True),
    Column("beyond_p50_ms", "beyond the endpoint delay p50 ms", 0),
    Column("beyond_p90_ms", "p90 ms", 0),
    Column("late_p99_ms", "far end late p99 ms", 1),
]


def figures(result: dict[str, Any], endpoint: float | None) -> dict[str, Any]:
    """Get what stands in the table."""
    breaks = result["breaks"]
    clears = [1000 * (b["clear"] - b["spoke"]) for b in breaks if b["clear"] is not None]
    quiet = [1000 * (b["quiet"] - b["spoke"]) for b in breaks if b["quiet"] is not None]
    replies = [1000 * reply for reply in result["replies"]]
    beyond = [] if endpoint is None else [reply - endpoint for reply in replies]
    return {
        "breaks": len(breaks), "clear_p50_ms": percentile(clears, 50),
        "clear_p90_ms": percentile(clears, 90), "quiet_p50_ms": percentile(quiet, 50),
        "residue_ms": 1000 * max((b["residue"] for b in breaks), default=0.0),
        "missed": sum(b["clear"] is None for b in breaks),
        "reply_p50_ms": percentile(replies, 50), "beyond_p50_ms": percentile(beyond, 50),
        "beyond_p90_ms": percentile(beyond, 90), "late_p99_ms": result["late_p99_ms"],
        "load": result["load"],
    }  # fmt: skip


def page() -> Page:
    """Get the page without figures."""
    return Page(
        "bargein", "Barge-in", __doc__ or "", COLUMNS, base="bridge", groups="calls",
        versions=versions("gunicorn") | versions("pipecat-ai", python=PEERS),
    )  # fmt: skip


def run(page: Page, quick: bool) -> None:
    """Measure once."""
    for name, endpoint in ENDPOINT.items():
        with page.if_there(name), Running(App(name, 20, TOLD.get(name, {}))) as running:
            for calls in CALLS:
                running.hold(calls, "break in", TALKER)
                # One call says little in so many seconds.
                seconds = 8.0 if quick else 24.0 if calls == 1 else 20.0
                found = figures(running.measure(seconds), endpoint)
                page.row(name, calls).runs.append(found)
                print(name, calls, found)
    at_ten = [row for row in page.rows if row.group == "10"]
    page.note(
        "The endpoint delay is what the server was told to wait in silence: 500 ms (bridge, its "
        "default), 600 ms; Pipecat's default has none, its model decides."
    )
    page.panels = [
        Panel.of("speech to clear, 10 calls", "", "ms", "clear_p50_ms", at_ten, goal=150.0),
        Panel.of(
            "end of speech to audio beyond the delay, 10 calls", "", "ms", "beyond_p50_ms",
            at_ten, goal=30.0,
        ),
    ]  # fmt: skip
