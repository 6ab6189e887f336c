"""What the database does not take goes into a file, until it does.

A database is away for minutes during its own upgrade, and the process that waits for it may be
killed meanwhile.  So what waits is put into a file in ``BRIDGE_HOME`` as soon as a write has
failed, and taken back from there by whoever reaches the database first: this process, or, when it
is gone, another one that has the same directory.

Threads: any.  Blocks on the disk, and on another process that is at the same file.

Rules of this module:

1. A file is read, appended to and removed under its lock (``flock``), and only while it still has
   its name.
2. A file is removed when all of it was written; writing twice does no harm (``store``).
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["Entry", "Spool"]

logger = logging.getLogger(__name__)


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """One thing to be written: a call's fields, or something that belongs to a call.

    Attributes:
        kind: what it is, for the writer.
        call_id: the call's ``call_leg_id``.
        fields: columns and their values.
    """

    kind: str
    call_id: str
    fields: dict[str, Any]


class Spool:
    """The files of one directory; this process appends to one of its own."""

    def __init__(self, directory: Path) -> None:
        """Prepare; nothing is opened or made.

        Args:
            directory: ``BRIDGE_HOME``.
        """
        self.directory = directory

    @property
    def file(self) -> Path:
        """The file that this process appends to."""
        return self.directory / f"records-{os.getpid()}.kept"

    def keep(self, entries: Iterable[Entry]) -> None:
        """Append entries to this process's file.

        Raises:
            OSError: the disk is full, or not ours to write.
        """
        data = b"".join(_framed(entry) for entry in entries)
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            # People's words: for the owner's eyes only.
            handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(handle, "ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file.fileno()).st_nlink == 0:
                    continue  # it was taken back between our opening and our locking
                before = os.fstat(file.fileno()).st_size
                try:
                    file.write(data)
                    file.flush()
                except OSError:
                    # Half an entry would hide those that are appended behind it.
                    os.ftruncate(file.fileno(), before)
                    raise
                return

    def take_back(self, write: Callable[[Entry], object]) -> int:
        """Write the entries of all files, oldest file first; the number of entries.

        A file that another process is at is left to it.  What ``write`` raises ends this, and the
        file stays for the next time.
        """
        count = 0
        for path in sorted(self.directory.glob("records-*.kept"), key=_age):
            with _locked(path) as data:
                if data is None:
                    continue
                for entry in _entries(data):
                    write(entry)
                    count += 1
                path.unlink()
        return count

    def waiting(self) -> bool:
        """Whether there are files, of any process."""
        return any(self.directory.glob("records-*.kept"))


@contextmanager
def _locked(path: Path) -> Iterator[bytes | None]:
    """Lock a file and read it; ``None`` if it is gone or somebody else's now."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file.read() if os.fstat(file.fileno()).st_nlink else None


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _framed(entry: Entry) -> bytes:
    try:
        packed = msgspec.msgpack.encode(entry)
    except (TypeError, ValueError, OverflowError) as error:
        # No database would take it either.
        logger.error("dropped a call record (%s): %s", entry.kind, type(error).__name__)
        return b""
    return len(packed).to_bytes(4, "big") + packed


def _entries(data: bytes) -> Iterator[Entry]:
    start = 0
    while len(data) - start >= 4:
        end = start + 4 + int.from_bytes(data[start : start + 4], "big")
        if len(data) < end:
            break  # the process was killed while it wrote this one
        try:
            yield msgspec.msgpack.decode(data[start + 4 : end], type=Entry)
        except msgspec.DecodeError:
            logger.warning("an entry of call records that was kept cannot be read")
        start = end
