"""What nine callers hear of a tenth whose agent blocks for 300 ms every five seconds.

The nine listen to a long text.  The tenth's agent sleeps, as with a database that is waited for; or
computes, in Python, for as long.
"""

from __future__ import annotations

from benchmarks.agents import CRUNCHER, SLEEPER
from benchmarks.apps import PEERS, App, Running
from benchmarks.report import Column, Page, Panel, versions
from conversation.agents import TALKER

KINDS = {"nobody": "", "sleeps": SLEEPER, "computes": CRUNCHER}
REPEAT = 2
COLUMNS = [
    Column("gaps", "gaps in nine calls", 0),
    Column("gap_ms", "silence in them, ms", 0),
    Column("core_percent", "core %", 0),
    Column("late_p99_ms", "far end late p99 ms", 1),
]


def page() -> Page:
    """Get the page without figures."""
    return Page(
        "neighbour", "Impolite neighbour", __doc__ or "", COLUMNS, groups="the tenth",
        versions=versions("gunicorn") | versions("pipecat-ai", python=PEERS),
    )  # fmt: skip


def run(page: Page, quick: bool) -> None:
    """Measure once."""
    for name in ("bridge", "pipecat"):
        for kind, caller in KINDS.items():
            with page.if_there(name), Running(App(name, 20)) as running:
                running.hold(9, "listen", TALKER)
                if caller:
                    running.hold(10, "listen", caller)
                result = running.measure(8.0 if quick else 20.0)
                found = {
                    "gaps": result["gaps"], "gap_ms": 1000 * result["gap_seconds"],
                    "core_percent": 100 * result["cpu"], "late_p99_ms": result["late_p99_ms"],
                    "heard": result["heard_seconds"], "load": result["load"],
                }  # fmt: skip
                page.row(name, kind).runs.append(found)
                print(name, kind, found)
    page.note("20 s each; a gap is a pause of less than 600 ms within a text.")
    bad = [row for row in page.rows if row.group == "sleeps"]
    page.panels = [Panel.of("gaps in nine calls, 20 s", "", "gaps", "gaps", bad)]
