"""What a call costs in memory and threads: from none to 200, back to none, and once more.

Memory is that of all processes of the server, resident; threads those of the one that holds the
calls.  The callers take turns with the agent all the time.
"""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.apps import PEERS, App, Running
from benchmarks.report import Column, Page, Panel, versions
from bridge.loadtest.usage import usage

LEVELS = {"bridge": (0, 50, 100, 150, 200, 0, 200, 0), "pipecat": (0, 5, 10, 15, 0, 15, 0)}
QUICK = {"bridge": (0, 10, 0), "pipecat": (0, 3, 0)}
# Seconds for which calls are held before memory is looked at: two turns and more; and after them.
HELD, OVER = 10.0, 8.0
REPEAT = 2
COLUMNS = [
    Column("memory_mb", "RSS MB", 0),
    Column("mb_per_call", "MB a further call", 2),
    Column("threads", "threads", 0),
    Column("threads_per_call", "threads a call", 1),
]


def threads(pids: list[int]) -> int:
    """Count the threads of processes."""
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)


def page() -> Page:
    """Get the page without figures."""
    return Page(
        "memory", "Memory and threads per call", __doc__ or "", COLUMNS, groups="calls",
        versions=versions("gunicorn") | versions("pipecat-ai", python=PEERS),
    )  # fmt: skip


def run(page: Page, quick: bool) -> None:
    """Measure once."""
    for name, levels in (QUICK if quick else LEVELS).items():
        with page.if_there(name), Running(App(name, max(levels) + 1)) as running:
            _walk(page, name, levels, running, 3.0 if quick else HELD)
    rising = [row for row in page.rows if row.group.isdigit()]
    page.panels = [
        Panel.of("memory", "calls", "MB", "memory_mb", rising),
        Panel.of("threads", "calls", "threads", "threads", rising),
    ]


def _walk(page: Page, name: str, levels: tuple[int, ...], running: Running, held: float) -> None:
    seen: dict[int, int] = {}
    before: tuple[int, float, int] | None = None
    for level in levels:
        # The first calls pay for what all share, which is no cost of a call.
        calls = running.hold(level) if level else int(running.far.do("end")["calls"])
        time.sleep(held if level else OVER if before else 1.0)
        used = usage(running.app.pid)
        assert used is not None
        now = calls, used.memory / 1e6, threads(running.app.workers)
        further = calls - before[0] if before else 0
        seen[level] = seen.get(level, 0) + 1
        group = str(level) + (" again" if seen[level] == 2 else " at last" * (seen[level] > 2))
        grown = before is not None and further > 0 and before[0] > 0
        found = {
            "memory_mb": now[1], "threads": now[2],
            "mb_per_call": (now[1] - before[1]) / further if grown and before else None,
            "threads_per_call": (now[2] - before[2]) / further if grown and before else None,
        }  # fmt: skip
        page.row(name, group).runs.append(found)
        print(name, group, calls, found)
        before = now
