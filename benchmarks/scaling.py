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

from benchmarks.agent import COLUMNS, climb, tell
from benchmarks.apps import App
from benchmarks.report import Page, versions

REPEAT = 1
PROCESSES = (1, 2, 4)
LEVELS = (1, 25, 50, 75, 100, 125, 150)


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


def page() -> Page:
    """Get the page without figures."""
    return Page(
        "scaling", "Processes that share the port", __doc__ or "", COLUMNS, base="1 process",
        groups="calls", versions=versions("gunicorn", "redis"),
    )  # fmt: skip


def run(page: Page, quick: bool) -> None:
    """Measure once."""
    for count in PROCESSES[:2] if quick else PROCESSES:
        name = f"{count} process" + "es" * (count > 1)
        levels = (1, 10) if quick else LEVELS
        with redis() as url:
            told = {"REDIS_URL": url, "WEB_CONCURRENCY": str(count)}
            climb(App("bridge", max(levels), told), levels, 5 if quick else 8, page, name)
    tell(page)
