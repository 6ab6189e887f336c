"""How one core serves as many processes as share the port.

``WEB_CONCURRENCY`` processes, what they share in Redis, all on one core (this machine has two, and
the far end needs the other): what more processes cost, and what they win against the one lock that
a Python process has.  A webhook and the media socket of its call land on any of them.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from tempfile import TemporaryDirectory

from benchmarks.agent import COLUMNS, climb
from benchmarks.apps import App
from benchmarks.report import Page, Panel, versions

PROCESSES = (1, 2, 4)
LEVELS = (1, 50, 100, 125, 150, 175, 200, 225, 250)


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """Run a Redis; get its URL."""
    if shutil.which("redis-server") is None:
        raise FileNotFoundError("redis-server is not installed")
    with TemporaryDirectory(prefix="bench-") as folder:
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            port = reserved.getsockname()[1]
        process = subprocess.Popen(
            ["redis-server", "--port", str(port), "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait()


def run(quick: bool, repeat: int = 1) -> Page:
    """Measure; get the page."""
    page = Page(
        "scaling", "Processes that share the port", __doc__ or "", COLUMNS, base="1 process",
        groups="calls", versions=versions("gunicorn", "redis"),
    )  # fmt: skip
    for _ in range(1 if quick else repeat):
        for count in PROCESSES[:2] if quick else PROCESSES:
            name = f"{count} process" + "es" * (count > 1)
            levels = (1, 10) if quick else LEVELS
            with redis() as url:
                told = {"REDIS_URL": url, "WEB_CONCURRENCY": str(count)}
                app = App("bridge", max(levels), told)
                held = climb(app, levels, 5 if quick else 12, page, name)
            page.notes.append(f"{name}: {held} calls held at the floor on the one core.")
    page.panels = [
        Panel.of("end of speech to first audio", "calls", "ms, median", "reply_p50_ms", page.rows),
        Panel.of("CPU", "calls", "% of a core", "core_percent", page.rows),
    ]
    return page
