"""How many signed webhooks a process takes a second, and how long each waits for its 200.

So many senders bring one webhook after another about calls that are live, each over a connection of
its own as Telnyx does.  Beside them the least that it can cost: Flask, under the same gunicorn,
that checks the signature and does nothing about it.
"""

from __future__ import annotations

from benchmarks.apps import App, Running
from benchmarks.report import Column, Page, Panel, versions
from benchmarks.scaling import redis
from conversation.agents import TALKER

CALLS, AT_ONCE = 5, (1, 8)
REPEAT = 3
COLUMNS = [
    Column("rate", "webhooks/s", 0, ratio=True),
    Column("p50_ms", "p50 to 200, ms", 1),
    Column("p99_ms", "p99 ms", 1),
    Column("refused", "not 200", 0),
    Column("far_core_percent", "far end core %", 0),
]


def page() -> Page:
    """Get the page without figures."""
    return Page(
        "webhooks", "Webhooks", __doc__ or "", COLUMNS, base="bare flask", groups="at once",
        versions=versions("gunicorn", "flask", "redis", "cryptography"),
    )  # fmt: skip


def run(page: Page, quick: bool) -> None:
    """Measure once."""
    for name in ("bare flask", "bridge, memory", "bridge, redis"):
        with redis() as url:
            app = App(name, CALLS, {"REDIS_URL": url} if "redis" in name else {})
            with Running(app) as running:
                if name.startswith("bridge"):
                    running.hold(CALLS, "listen", TALKER)
                else:
                    running.far.do("strangers", count=CALLS)
                for at_once in AT_ONCE:
                    found = running.far.do(
                        "webhooks", seconds=2.0 if quick else 6.0, at_once=at_once
                    )
                    found["far_core_percent"] = 100 * found["far_cpu"]
                    page.row(name, at_once).runs.append(found)
                    print(name, at_once, found)
    slow = [row for row in page.rows if row.group == "8"]
    page.panels = [
        Panel.of("webhooks a second, 8 at once", "", "webhooks/s", "rate", slow),
        Panel.of("p99 to 200, 8 at once", "", "ms", "p99_ms", slow),
    ]
