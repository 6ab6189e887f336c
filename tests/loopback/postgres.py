"""A real Postgres on loopback that can be stopped and started."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import mkdtemp

from tests.loopback import PATIENCE

# As root the server refuses to run; this user comes with its packages.
USER = "postgres"


def find_binary(name: str = "initdb") -> str | None:
    """Find a program of Postgres, which distributions keep out of the path."""
    found = shutil.which(name)
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return found or (str(places[0]) if places else None)


class Postgres:
    """One server with an empty database; use it as a ``with`` block.

    Attributes:
        url: as a host would hand it to an application.
    """

    def __init__(self, initdb: str) -> None:
        self._programs = Path(initdb).parent
        # Not pytest's own directory: another user has to be able to get there.
        self._folder = Path(mkdtemp(prefix="bridge-pg-"))
        self._data = self._folder / "data"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"postgres://bridge:s3cret-of-the-test@127.0.0.1:{self.port}/postgres"
        self._prefix: Sequence[str] = ()
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._prefix = ("runuser", "-u", USER, "--")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._prefix, str(self._programs / program), *arguments],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=PATIENCE * 6,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = (
            f"-c port={self.port} -c listen_addresses=127.0.0.1 -c fsync=off "
            f"-c unix_socket_directories='' -c max_connections=20"
        )
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-l", log, "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop it as a restart does, cutting every connection."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Have it stopped for a while."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def __enter__(self) -> Postgres:
        self._run(
            "initdb", "-D", str(self._data), "-U", "bridge", "-A", "trust", "-E", "UTF8",
            "--no-sync", "--no-instructions",
        )  # fmt: skip
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
