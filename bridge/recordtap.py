"""Turn a call's recording on, off, and blind for a while.

Threads: the taps on the media socket's thread and the pacer's; the switches on the agent's; none
blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bridge.errors import BridgeError
from bridge.recorder import CallRecorder

__all__ = ["RecordTap"]


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
        self.path: Path | None = None
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

    # -- the taps ---------------------------------------------------------------------------------

    def inbound(self, pcm: bytes, sample_rate: int) -> None:
        """Take what the caller said."""
        recorder = self._recorder
        if recorder is not None:
            recorder.inbound(bytes(len(pcm)) if self._blind_for else pcm, sample_rate)

    def outbound(self, payload: bytes) -> None:
        """Take what was sent of the agent's voice; the recorder fills what is missing."""
        recorder = self._recorder
        if recorder is not None and not self._blind_for:
            recorder.outbound(payload)

    def cleared(self) -> None:
        """Take back what was sent and not played."""
        recorder = self._recorder
        if recorder is not None:
            recorder.cleared()
