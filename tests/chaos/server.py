"""The application under gunicorn with several worker processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import requests

from tests.loopback import PATIENCE

ROOT = Path(__file__).parents[2]

# Seconds in which all workers have to be there: each imports the application.
START = PATIENCE * 12


class Fleet:
    """A running server; use it as a ``with`` block.

    Attributes:
        url: its address.
    """

    def __init__(self, folder: Path, workers: int, **environ: str) -> None:
        self._output = folder / "server.log"
        self._workers = workers
        self.url = ""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self._output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "wsgi:app"],
                cwd=ROOT,
                env={
                    **kept,
                    "PORT": environ["PORT"],
                    "WEB_CONCURRENCY": str(workers),
                    "BRIDGE_HOME": str(folder),
                    "LOG_FORMAT": "human",
                    **environ,
                },
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.url = f"http://127.0.0.1:{environ['PORT']}"

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text(errors="replace")

    def workers(self) -> list[int]:
        """Get the worker processes that live."""
        booted = re.findall(r"Booting worker with pid: (\d+)", self.output)
        return [pid for pid in map(int, booted) if _alive(pid)]

    def wait_ready(self, workers: int | None = None) -> None:
        """Wait until so many workers, or all, take calls."""
        limit = time.monotonic() + START
        wanted = self._workers if workers is None else workers
        while time.monotonic() < limit:
            assert self.process.poll() is None, self.output
            if len(re.findall(r"joined the fleet", self.output)) >= wanted and self.is_ready():
                return
            time.sleep(0.1)
        raise AssertionError(f"not ready in time:\n{self.output}")

    def is_ready(self) -> bool:
        """Whether a worker says that it takes calls."""
        try:
            answer = requests.get(
                self.url + "/readyz", headers={"Connection": "close"}, timeout=PATIENCE
            )
        except requests.RequestException:
            return False
        return answer.status_code == 200

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a worker a signal."""
        os.kill(pid, number)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
