"""How many calls one core holds with everything on: hearing, turn taking, speaking.

Recognition, reply and synthesis are answered at once by the far end, so what is measured is what
the framework adds.  The callers take turns with the agent: half a sentence of a human voice, the
agent's answer, a pause, and so on.  Calls are added until answers come later than for one call
alone, or the agent's voice has gaps.
"""

from __future__ import annotations

from typing import Any

from benchmarks.apps import PEERS, App, Running
from benchmarks.farend.calls import percentile
from benchmarks.report import Column, Page, Panel, versions

# Calls at once, by server; what is held is known to a step.
LEVELS = {
    "bridge": (1, 50, 75, 100, 125, 150, 175, 200, 225, 250, 300),
    "pipecat": (1, 5, 10, 15, 20),
}
QUICK = {"bridge": (1, 10), "pipecat": (1, 5)}
# Seconds by which an answer may be later than for one call alone.
TOLERANCE = 0.030

REPEAT = 2
COLUMNS = [
    Column("reply_p50_ms", "speech to reply p50 ms", 0, ratio=True),
    Column("reply_p95_ms", "p95 ms", 0),
    Column("later_ms", "p50 beyond one call's ms", 0),
    Column("gaps", "gaps", 0),
    Column("unanswered", "unanswered", 0),
    Column("core_percent", "core %", 0),
    Column("core_percent_per_call", "core % a call", 2, ratio=True),
    Column("memory_mb", "RSS MB", 0),
    Column("late_p99_ms", "far end late p99 ms", 1),
]


def figures(result: dict[str, Any], alone: float | None = None) -> dict[str, Any]:
    """Get what stands in the table of what the far end has seen.

    Args:
        result: of :meth:`Running.measure`.
        alone: the median for one call, in milliseconds; ``None`` if this is it.
    """
    replies = [1000 * reply for reply in result["replies"]]
    middle, slow = percentile(replies, 50), percentile(replies, 95)
    first = alone if alone is not None else middle
    return {
        "calls": result["calls"], "lost": result["lost"], "turns": len(replies),
        "reply_p50_ms": middle, "reply_p95_ms": slow,
        "later_ms": None if middle is None or first is None else middle - first,
        "gaps": result["gaps"], "unanswered": result["unanswered"],
        "core_percent": 100 * result["cpu"],
        "core_percent_per_call": 100 * result["cpu"] / max(1, result["calls"]),
        "memory_mb": result["memory"] / 1e6, "late_p99_ms": result["late_p99_ms"],
        "far_core_percent": 100 * result["far_cpu"], "load": result["load"],
    }  # fmt: skip


def holds(run: dict[str, Any], wanted: int) -> bool:
    """Tell whether so many calls were held as one is."""
    good = run["calls"] >= wanted and not (run["lost"] or run["unanswered"] or run["gaps"])
    return good and run["later_ms"] is not None and run["later_ms"] <= 1000 * TOLERANCE


def climb(app: App, levels: tuple[int, ...], seconds: float, page: Page, name: str) -> None:
    """Add calls until they are not held."""
    alone = None
    with Running(app) as running:
        for level in levels:
            have = running.hold(level)
            # One call says little in so many seconds.
            result = running.measure(seconds if level > 1 else 2 * seconds)
            run = figures(result, alone)
            alone = run["reply_p50_ms"] if alone is None else alone
            run["held"] = float(have >= level and holds(run, level))
            page.row(name, level).runs.append(run)
            print(name, level, {k: v if v is None else round(v, 1) for k, v in run.items()},
                  flush=True)  # fmt: skip
            if not run["held"]:
                break


def page() -> Page:
    """Get the page without figures."""
    return Page(
        "agent", "Whole agent: calls on one core", __doc__ or "", COLUMNS, base="bridge",
        groups="calls", versions=versions("websocket-client", "gunicorn")
        | versions("pipecat-ai", python=PEERS),
    )  # fmt: skip


def run(page: Page, quick: bool) -> None:
    """Measure both servers once."""
    for name, levels in (QUICK if quick else LEVELS).items():
        with page.if_there(name):
            climb(App(name, max(levels) + 1), levels, 5 if quick else 12, page, name)
    tell(page)


def tell(page: Page) -> None:
    """Say below the table how many calls each server held, and draw."""
    page.notes = [note for note in page.notes if "at the floor" not in note]
    for name in dict.fromkeys(row.name for row in page.rows):
        runs = [(int(row.group), run["held"]) for row in page.rows if row.name == name
                for run in row.runs]  # fmt: skip
        bad = min((calls for calls, held in runs if not held), default=10**6)
        sure = max((calls for calls, held in runs if held and calls < bad), default=0)
        best = max((calls for calls, held in runs if held), default=0)
        page.note(
            f"{name}: {sure} calls held at the floor on one core in every repetition, {best} in "
            f"the best (median reply within {1000 * TOLERANCE:.0f} ms of one call's, no gap, "
            "nobody unanswered)."
        )
    page.panels = [
        Panel.of("end of speech to first audio", "calls", "ms, median", "reply_p50_ms", page.rows),
        Panel.of("CPU", "calls", "% of a core", "core_percent", page.rows),
    ]
