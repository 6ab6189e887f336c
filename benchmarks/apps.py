"""Start an application and the far end, each in a process of its own on a core of its own.

Blocks: entering an application waits until it answers; a command to the far end until it is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bridge.loadtest.figures import threads_for
from bridge.loadtest.usage import usage

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".venv-peer" / "bin" / "python"
STARTUP, ENDING = 90.0, 5.0


def cores() -> list[int]:
    """Get the cores that may be used."""
    return sorted(os.sched_getaffinity(0))


def pinned(core: int) -> list[str]:
    """Get the words that pin a command to one of the cores, where there are two."""
    mine = cores()
    return ["taskset", "-c", str(mine[core])] if len(mine) > 1 else []


def inherited() -> dict[str, str]:
    """Get what a process of ours keeps of the environment."""
    return {k: os.environ[k] for k in ("PATH", "HOME", "LANG") if k in os.environ}


class FarEnd:
    """Telnyx and the callers, on the second core; see :mod:`benchmarks.farend`.

    Attributes:
        environ: what points an application at it.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [*pinned(1), sys.executable, "-m", "benchmarks.farend"],
            cwd=ROOT, env={**inherited(), "PYTHONPATH": str(ROOT)}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.environ: dict[str, str] = self.answer()

    def tell(self, do: str, **command: object) -> None:
        """Give a command and do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **command}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the answer to a command."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the far end has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def do(self, do: str, **command: object) -> dict[str, Any]:
        """Give a command; get its answer."""
        self.tell(do, **command)
        return self.answer()

    def __enter__(self) -> FarEnd:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@dataclass
class App:
    """An application that takes calls.

    Attributes:
        name: for the tables.
        calls: the most that it has to hold.
        environ: what it is told beside where Telnyx is.
        core: whether it is kept on the first core.
    """

    name: str
    calls: int
    environ: Mapping[str, str] = field(default_factory=dict)
    core: bool = True

    def __post_init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="bench-")
        self.log = Path(self._folder.name) / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.webhook = ""

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None
        return self._process.pid

    @property
    def workers(self) -> list[int]:
        """The ids of the processes that hold calls."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(child) for child in children] or [self.pid]

    def start(self, far: FarEnd) -> None:
        """Start it in front of a far end, and wait until it takes calls."""
        python, words, more, url = self._command()
        self._process = subprocess.Popen(
            [*(pinned(0) if self.core else []), python, *words], cwd=ROOT,
            env={**inherited(), "PYTHONPATH": str(ROOT), **more, **far.environ, **self.environ},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if not url else self.log.open("wb"),
            stderr=subprocess.STDOUT if url else self.log.open("wb"),
        )  # fmt: skip
        if url:
            self._await(f"{url}/readyz")
            self.webhook = f"{url}/telnyx/webhook"
        else:
            assert self._process.stdout is not None
            self.webhook = self._process.stdout.readline().decode().strip() + "/webhook"
        if not self.webhook.startswith("http"):
            raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text()[-1500:]}")
        far.do("begin", webhook=self.webhook)

    def _command(self) -> tuple[str, list[str], dict[str, str], str]:
        """Get interpreter, words, settings and, if it is known before, the address."""
        if self.name.startswith("pipecat"):
            if not PEERS.exists():
                raise FileNotFoundError(f"no {PEERS}: see benchmarks/README.md")
            return str(PEERS), [str(ROOT / "benchmarks" / "pipecat_agent.py")], {}, ""
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            port = reserved.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        settings = {
            "PUBLIC_URL": url, "BRIDGE_HOME": self._folder.name, "LOG_LEVEL": "error",
            "BRIDGE_AGENT": "benchmarks.agents:answer", "BRIDGE_MAX_CALLS": str(self.calls),
            "BRIDGE_THREADS": str(max(64, threads_for(self.calls))), "NO_PROXY": "*",
            # The far end's voice sends what it is asked for; the peer asks for the same.
            "BRIDGE_DRAIN_SECONDS": "1", "BRIDGE_TTS_PLAIN": "Telnyx.NaturalHD",
        }  # fmt: skip
        bare = ["-k", "gthread", "--threads", "64", "benchmarks.bare_webhooks:app"]
        words = ["-m", "gunicorn", "--bind", f"127.0.0.1:{port}"]
        words += ["wsgi:app"] if self.name.startswith("bridge") else ["-c", "/dev/null", *bare]
        return sys.executable, words, settings, url

    def _await(self, url: str) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        limit = time.monotonic() + STARTUP
        assert self._process is not None
        while time.monotonic() < limit and self._process.poll() is None:
            try:
                opener.open(url, timeout=5).close()
            except (urllib.error.HTTPError, OSError):
                time.sleep(0.1)
            else:
                return
        raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text()[-1500:]}")

    def stall(self, seconds: float) -> None:
        """Stop what holds the calls for so long."""
        for worker in self.workers:
            os.kill(worker, signal.SIGSTOP)
        time.sleep(seconds)
        for worker in self.workers:
            os.kill(worker, signal.SIGCONT)

    def close(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            workers = children.read_text().split() if children.exists() else []
            process.terminate()
            try:
                process.wait(ENDING)
            except subprocess.TimeoutExpired:
                for worker in workers:
                    # It may have ended meanwhile.
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(worker), signal.SIGKILL)
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self._folder.cleanup()


class Running:
    """An application and its far end, as a ``with`` block.

    Attributes:
        app: the application.
        far: the far end.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    def __enter__(self) -> Running:
        self.far = FarEnd()
        try:
            self.app.start(self.far)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.app.close()
        self.far.__exit__()

    def hold(self, calls: int, plan: str = "talk", caller: str = "+12025550112") -> int:
        """Hold so many calls; get how many there are."""
        return int(self.far.do("calls", count=calls, plan=plan, caller=caller)["calls"])

    def measure(
        self, seconds: float, settle: float = 3.0, stalls: tuple[float, ...] = ()
    ) -> dict[str, Any]:
        """Listen to all calls for so long; get what was heard and what it cost.

        Args:
            seconds: how long.
            settle: seconds before that.
            stalls: seconds into it at which the application is stopped for 300 ms.
        """
        self.far.tell("measure", seconds=seconds, settle=settle)
        self.far.answer()
        before, began = usage(self.app.pid), time.monotonic()
        timers = [threading.Timer(at, self.app.stall, (0.3,)) for at in stalls]
        for timer in timers:
            timer.start()
        result = self.far.answer()
        after, lasted = usage(self.app.pid), time.monotonic() - began
        for timer in timers:
            timer.join()
        if before is not None and after is not None:
            result["cpu"] = (after.cpu - before.cpu) / lasted
            result["memory"] = after.memory
        result["load"] = os.getloadavg()[0]
        return result
