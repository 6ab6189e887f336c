"""Another framework's agent, in an environment of its own, in front of the same simulator."""

from __future__ import annotations

import os
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

from bridge.errors import BridgeError
from bridge.simulator import Simulator

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv-peer" / "bin" / "python"
SCRIPT = ROOT / "benchmarks" / "pipecat_agent.py"


class Peer(AbstractContextManager[str]):
    """Pipecat's default agent: ``benchmarks/pipecat_agent.py``."""

    def __init__(self, simulator: Simulator, log: Path) -> None:
        self._simulator = simulator
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> str:
        if not PYTHON.exists():
            raise BridgeError(f"no {PYTHON}: see benchmarks/README.md for the peers' environment")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(PYTHON), str(SCRIPT)],
                env={**os.environ, **self._simulator.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True,
            )  # fmt: skip
        assert self._process.stdout is not None
        # The first line of its output is its address, once it can be called.
        url = self._process.stdout.readline().strip()
        if not url.startswith("http"):
            self.__exit__()
            raise BridgeError(f"the peer did not start; its log: {self._log}")
        return f"{url}/webhook"

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()
