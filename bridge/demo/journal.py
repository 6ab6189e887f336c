"""What the app tells about its call, line by line in a file.

The app runs in a process of its own.  An observer there appends one JSON object per thing that
happened, and the demo reads the file as it grows.  Times are of the monotonic clock, which the
processes of one machine share.

The file holds what was said: it is the demo's own call, and nothing but the demo writes one.

Threads: :class:`JournalObserver` is called by the app's threads; :class:`JournalReader` by one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bridge.call import CallInfo, Reply, Turn
from bridge.observer import CallObserver, CallSummary, TurnLatency

Entry = Mapping[str, Any]


class JournalObserver(CallObserver):
    """Writes what happens on calls into a file."""

    def __init__(self, path: Path) -> None:
        """Append to ``path``."""
        self._path = path
        # Guards the file: one line is written at a time.
        self._lock = threading.Lock()

    def on_media(self, info: CallInfo) -> None:
        """Note the codec."""
        self._write("media", codec=info.codec, sample_rate=info.sample_rate)

    def on_turn(self, info: CallInfo, turn: Turn, latency: TurnLatency) -> None:
        """Note what the caller said."""
        self._write("turn", text=turn.text, digits=turn.digits, latency=asdict(latency))

    def on_reply(self, info: CallInfo, reply: Reply, latency: TurnLatency) -> None:
        """Note what the agent said."""
        self._write(
            "reply",
            text=reply.text,
            heard=reply.heard,
            interrupted=reply.interrupted,
            latency=asdict(latency),
        )

    def on_barge_in(self, info: CallInfo, delay: float) -> None:
        """Note that the caller broke in."""
        self._write("barge-in", delay=delay)

    def on_agent_error(self, info: CallInfo, error: BaseException) -> None:
        """Note that the agent failed."""
        self._write("agent-error", error=f"{type(error).__name__}: {error}")

    def on_end(self, info: CallInfo, summary: CallSummary) -> None:
        """Note how the call ended."""
        self._write("end", summary=asdict(summary))

    def _write(self, what: str, **details: Any) -> None:
        line = json.dumps({"at": time.monotonic(), "what": what, **details})
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


class JournalReader:
    """Reads a journal as it grows."""

    def __init__(self, path: Path) -> None:
        """Begin at the first line; the file need not be there yet."""
        self._path = path
        self._position = 0
        self.entries: list[Entry] = []

    def read(self) -> list[Entry]:
        """Get the entries that have come since the last time; do not wait for any."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except FileNotFoundError:
            return []
        # A line that is still being written is left for the next time.
        whole = data[: data.rfind(b"\n") + 1]
        self._position += len(whole)
        new: list[Entry] = [json.loads(line) for line in whole.splitlines()]
        self.entries.extend(new)
        return new
