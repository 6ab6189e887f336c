"""What ten callers hear when the process that speaks to them is stopped for 300 ms.

They listen to a long text; SIGSTOP and SIGCONT, three times, five seconds apart.  What was sent
ahead is what they go on to hear.
"""

from __future__ import annotations

from benchmarks.apps import PEERS, App, Running
from benchmarks.report import Column, Page, Panel, versions
from conversation.agents import TALKER

CALLS, STALLS = 10, (3.0, 8.0, 13.0)
REPEAT = 3
COLUMNS = [
    Column("gaps", "gaps in ten calls", 0),
    Column("gaps_per_stall", "gaps a call and stall", 2),
    Column("gap_ms", "silence in them, ms", 0),
    Column("late_p99_ms", "far end late p99 ms", 1),
]


def page() -> Page:
    """Get the page without figures."""
    return Page(
        "stall", "Stall of 300 ms", __doc__ or "", COLUMNS, groups="stalls",
        versions=versions("gunicorn") | versions("pipecat-ai", python=PEERS),
    )  # fmt: skip


def run(page: Page, quick: bool) -> None:
    """Measure once."""
    for name in ("bridge", "pipecat"):
        with page.if_there(name), Running(App(name, 20)) as running:
            running.hold(CALLS, "listen", TALKER)
            for stalls in ((), STALLS[:1] if quick else STALLS):
                result = running.measure(6.0 if quick else 16.0, stalls=stalls)
                gaps = result["gaps"]
                found = {
                    "gaps": gaps, "gaps_per_stall": gaps / CALLS / len(stalls) if stalls else None,
                    "gap_ms": 1000 * result["gap_seconds"],
                    "late_p99_ms": result["late_p99_ms"], "load": result["load"],
                }  # fmt: skip
                page.row(name, len(stalls)).runs.append(found)
                print(name, len(stalls), found)
    bad = [row for row in page.rows if row.group != "0"]
    page.panels = [Panel.of("gaps a call and stall", "", "gaps", "gaps_per_stall", bad)]
