"""The app in a process of its own: gunicorn, with the configuration that a deployment has.

Blocks: entering waits until the app answers, leaving until it has ended.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import requests

from bridge.errors import BridgeError

CONFIGURATION = "python:bridge.gunicornconf"

# Seconds from the start until it answers; loading the voice detector takes one or two.
STARTUP = 30.0
# Seconds to end, longer than gunicorn's own patience with its worker.
SHUTDOWN = 10.0

# What the caller of the demo may have set for an app of their own.
FOREIGN = ("BRIDGE_", "TELNYX_", "GUNICORN_", "OTEL_", "PROMETHEUS_")
FOREIGN_NAMES = {"PUBLIC_URL", "REDIS_URL", "DATABASE_URL", "PORT", "WEB_CONCURRENCY"}


class AppServer:
    """The app on a free port of this machine, as a ``with`` block.

    Attributes:
        url: its address.
    """

    def __init__(self, application: str, log: Path) -> None:
        """Reserve a port; nothing is started.

        Args:
            application: for gunicorn, ``module:callable``.
            log: the file that takes what the app logs.
        """
        self._application = application
        self._log = log
        # The child inherits the socket, so nobody can take its port in between, and a connection
        # made before the app is up waits for it.
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def start(self, variables: Mapping[str, str]) -> None:
        """Start it and wait until it takes calls.

        Args:
            variables: its settings, beside what the machine sets for every program.

        Raises:
            BridgeError: it did not start; the message says why, or where to read it.
        """
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(FOREIGN) and name not in FOREIGN_NAMES
        }
        number = self._socket.fileno()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", CONFIGURATION,
                 "--bind", f"fd://{number}", self._application],
                env={**inherited, **variables, "PUBLIC_URL": self.url,
                     "NO_PROXY": "127.0.0.1,localhost"},
                pass_fds=[number], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        # From here on only the child holds it: if the child ends, connections fail at once.
        self._socket.close()
        self._wait_until_ready()

    @property
    def pid(self) -> int | None:
        """The process's id while it runs; gunicorn's worker is a child of it."""
        return None if self._process is None else self._process.pid

    def _wait_until_ready(self) -> None:
        session = requests.Session()
        session.trust_env = False
        try:
            with session, session.get(f"{self.url}/readyz", timeout=STARTUP) as answer:
                if answer.ok:
                    return
                reason = f"HTTP {answer.status_code}"
        except requests.RequestException:
            reason = self._last_line() or "it does not answer"
        raise BridgeError(f"the app did not start: {reason} (its log: {self._log})")

    def _last_line(self) -> str:
        """Get the last line of its log that is one of ours."""
        lines = self._log.read_text(errors="replace").splitlines()
        ours = [line for line in lines if line.startswith("bridge:")]
        return (ours or lines or [""])[-1].removeprefix("bridge: ")

    def close(self) -> None:
        """End it as a host would, with SIGTERM; may be called twice."""
        self._socket.close()
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(SHUTDOWN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> AppServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
