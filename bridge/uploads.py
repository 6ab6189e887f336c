"""Bring complete recordings to where they are kept for good.

Object storage may be away for hours while calls go on.  So a complete recording stays in its file
until it is there, and one that an earlier process left behind is taken along.

Threads: ``upload``, one per process, started by the first recording.  ``add`` never waits.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from pathlib import Path

from bridge.errors import StorageError
from bridge.storage import Storage
from telnyx_media.sync.threads import ThreadGroup

__all__ = ["Uploads"]

logger = logging.getLogger(__name__)

# Seconds from one failure to the next attempt: the first, and the longest.
PAUSE = 1.0
LONGEST_PAUSE = 60.0


class Uploads:
    """The recordings of this process that are on their way."""

    def __init__(self, storage: Storage, *, pause: float = PAUSE) -> None:
        """Prepare; nothing is started.

        Args:
            storage: where they are brought.
            pause: seconds after the first failure; twice as many after each further one.
        """
        self._storage = storage
        self._pause = pause
        self._group = ThreadGroup("bridge")
        # Guards what follows; told of every change of it.
        self._changed = threading.Condition()
        self._files: deque[Path] = deque()
        self._failing = False
        self._started = False
        self._closed = False

    def add(self, file: Path) -> None:
        """Have a complete file brought away; never waits. After ``close`` it stays where it is."""
        with self._changed:
            self._files.append(file)
            if not self._started and not self._closed:
                self._started = True
                self._group.spawn("upload", self._run)
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """How many recordings are not there yet."""
        return len(self._files)

    def close(self, timeout: float = 5.0) -> None:
        """Bring away what waits, if that succeeds in time; the rest stays for the next process."""
        with self._changed:
            self._changed.wait_for(lambda: not self._files or self._failing, timeout)
            self._closed = True
            left = len(self._files)
            self._changed.notify_all()
        if left:
            logger.warning("left %d recordings to be uploaded by the next process", left)
        self._group.stop()
        self._group.join(timeout)

    def _run(self) -> None:
        with self._changed:
            self._files.extendleft(self._left_behind())
        failures = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._files)
                if self._closed:
                    return
                file = self._files[0]
            failures = 0 if self._upload(file, failures) else failures + 1
            with self._changed:
                self._failing = failures > 0
                if not failures:
                    self._files.popleft()
                self._changed.notify_all()
            if failures:
                # Waits out the pause, or the end.
                pause = min(self._pause * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE)
                self._group.stopping.wait(pause)

    def _upload(self, file: Path, failures: int) -> bool:
        try:
            if file.exists():
                self._storage.keep(file)
        except (StorageError, OSError) as error:
            if not failures:
                logger.error("a recording waits for its upload: %s", error)
            # Another process that has the same directory may have been quicker.
            return not file.exists()
        return True

    def _left_behind(self) -> list[Path]:
        known = set(self._files)
        return [file for file in self._storage.directory.glob("*.wav") if file not in known]
