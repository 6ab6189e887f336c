"""Synthesised prompts, kept so that the same one is synthesised once.

Bounded in memory; on disk too when a directory is given.  The names of the files are hashes; what
the prompts say is in their audio, so the directory deserves the same care as recordings do.

Threads: any.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

# Twenty minutes of 16 kHz speech.
DEFAULT_BYTES = 40_000_000


class SpeechCache:
    """PCM by key; the least recently used goes first.

    Attributes:
        hits: how often something was found.
        misses: how often nothing was.
    """

    def __init__(
        self, max_bytes: int = DEFAULT_BYTES, directory: str | os.PathLike[str] | None = None
    ) -> None:
        """Make an empty cache.

        Args:
            max_bytes: of audio in memory.
            directory: where audio is kept as well; made if it is not there. Nothing is ever
                removed from it here.
        """
        self.hits = 0
        self.misses = 0
        self._max_bytes = max_bytes
        self._directory = None if directory is None else Path(directory)
        # Guards the entries and the sums.
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    @staticmethod
    def key(*parts: object) -> str:
        """Make a key of everything that the audio depends on."""
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def get(self, key: str) -> bytes | None:
        """Get the audio kept under ``key``, or ``None``."""
        with self._lock:
            pcm = self._entries.get(key)
            if pcm is not None:
                self._entries.move_to_end(key)
                self.hits += 1
                return pcm
        pcm = self._read(key)
        with self._lock:
            if pcm is None:
                self.misses += 1
            else:
                self.hits += 1
                self._keep(key, pcm)
        return pcm

    def put(self, key: str, pcm: bytes) -> None:
        """Keep ``pcm`` under ``key``; what does not fit is not kept in memory."""
        with self._lock:
            self._keep(key, pcm)
        if self._directory is not None:
            # A disk that is full or gone costs the cache, not the call.
            with contextlib.suppress(OSError):
                self._write(self._directory, key, pcm)

    def _keep(self, key: str, pcm: bytes) -> None:
        self._bytes -= len(self._entries.pop(key, b""))
        if len(pcm) > self._max_bytes:
            return
        self._entries[key] = pcm
        self._bytes += len(pcm)
        while self._bytes > self._max_bytes:
            _, dropped = self._entries.popitem(last=False)
            self._bytes -= len(dropped)

    def _read(self, key: str) -> bytes | None:
        if self._directory is None:
            return None
        try:
            pcm = (self._directory / f"{key}.pcm").read_bytes()
        except OSError:
            return None
        # Not whole samples: a disk that was full, or a hand that slipped.
        return pcm if pcm and len(pcm) % 2 == 0 else None

    @staticmethod
    def _write(directory: Path, key: str, pcm: bytes) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        # Written aside and moved into place: another process never reads half a prompt.
        handle, name = tempfile.mkstemp(dir=directory, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(pcm)
            os.replace(name, directory / f"{key}.pcm")
        except BaseException:
            os.unlink(name)
            raise
