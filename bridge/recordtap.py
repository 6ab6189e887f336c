"""Turn a call's recording on, off, and blind for a while.

Threads: the taps on the media socket's thread and the pacer's; the switches on the agent's; none
blocks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bridge.errors import BridgeError
from bridge.recorder import CallRecorder

__all__ = ["RecordTap"]


class Taker(Protocol):
    """What is told of a call's sound: a recorder, or somebody who listens."""

    def inbound(self, pcm: bytes, sample_rate: int) -> None:
        """Take what the caller said."""

    def outbound(self, payload: bytes) -> None:
        """Take what was sent of the agent's voice."""

    def cleared(self) -> None:
        """Take back what was sent and not played."""

    def close(self) -> None:
        """Learn that there is no more."""


class RecordTap:
    """Stands between a call and its recorder."""

    def __init__(self, make: Callable[[int], CallRecorder] | None, *, on: bool) -> None:
        """Begin.

        Args:
            make: makes the recorder of the call's first, second … recording; ``None`` if nothing
                can be recorded.
            on: whether to record from the start.
        """
        self._make = make
        self._count = 0
        self._recorder: CallRecorder | None = None
        self._blind_for: frozenset[str] = frozenset()
        # Replaced, never changed: the taps look without a lock.
        self._ears: tuple[Taker, ...] = ()
        self._lock = threading.Lock()
        self.path: Path | None = None
        self._closed = False
        if on and make is not None:
            self.start()

    # -- the agent's thread -----------------------------------------------------------------------

    def start(self) -> None:
        """Record, or go on after a pause; behind one that was stopped a new one begins.

        Raises:
            BridgeError: there is no place for recordings.
        """
        if self._make is None:
            raise BridgeError("BRIDGE_RECORDINGS is not set: there is no place for a recording")
        if self._recorder is None:
            self._count += 1
            self._recorder = self._make(self._count)
        self.see("pause")

    def stop(self) -> None:
        """Complete the recording."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            self.path = recorder.path or self.path
            recorder.close()

    def blind(self, reason: str) -> None:
        """Leave out what follows, silence in its place, until :meth:`see`."""
        self._blind_for |= {reason}

    def see(self, reason: str) -> None:
        """Record again, unless there is another reason not to."""
        self._blind_for -= {reason}

    def close(self) -> None:
        """End for good; may be called twice."""
        self._make = None
        self.stop()
        with self._lock:
            ears, self._ears = self._ears, ()
            self._closed = True
        for ear in ears:
            ear.close()

    # -- whoever listens --------------------------------------------------------------------------

    def join(self, ear: Taker) -> None:
        """Have somebody hear the call, too; closed at once if it is over."""
        with self._lock:
            over = self._closed
            if not over:
                self._ears = (*self._ears, ear)
        if over:
            ear.close()

    def leave(self, ear: Taker) -> None:
        """Have them hear no more."""
        with self._lock:
            self._ears = tuple(other for other in self._ears if other is not ear)
        ear.close()

    # -- the taps ---------------------------------------------------------------------------------

    def inbound(self, pcm: bytes, sample_rate: int) -> None:
        """Take what the caller said."""
        for recorder in self._all():
            recorder.inbound(bytes(len(pcm)) if self._blind_for else pcm, sample_rate)

    def outbound(self, payload: bytes) -> None:
        """Take what was sent of the agent's voice; the recorder fills what is missing."""
        if not self._blind_for:
            for recorder in self._all():
                recorder.outbound(payload)

    def cleared(self) -> None:
        """Take back what was sent and not played."""
        for recorder in self._all():
            recorder.cleared()

    def _all(self) -> tuple[Taker, ...]:
        recorder = self._recorder
        return self._ears if recorder is None else (recorder, *self._ears)
