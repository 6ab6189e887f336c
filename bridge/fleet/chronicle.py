"""Keep what is said on each call where another process can read it.

A process that is killed says nothing any more, so what its agents and callers have said has to be
in Redis as it is said: each remark when it is complete, and the reply that is being spoken with
what has been heard of it.

Threads: ``chronicle``, one per process, writes; any other only puts entries, and never waits.

Rules of this module:

1. An entry is put once and written once; what cannot be written because Redis is away is dropped,
   and the whole history is written again when it is back.
2. Entries of one leg are written in the order in which they were put.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import msgspec

from bridge.arrivals import Press
from bridge.call import CallInfo, Remark
from bridge.fleet.estates import KEYS, OPEN, PENDING, STATE, Parts
from bridge.inheritance import encode_info, encode_remark
from bridge.observer import CallObserver, CallSummary
from bridge.registry import RegistryAway
from telnyx_media.sync.threads import BoundedQueue, QueueClosed, ThreadGroup

__all__ = ["Chronicle"]

logger = logging.getLogger(__name__)

# Entries that may wait while Redis answers slowly; then the oldest are dropped.
LIMIT = 4096

Write = Callable[[str, Parts], None]


class Chronicle(CallObserver):
    """Writes the histories of a process's calls; the owner calls :meth:`close`."""

    def __init__(self, write: Write) -> None:
        """Prepare; nothing is started.

        Args:
            write: writes parts of a leg's history, see ``RedisRegistry.write``.
        """
        self._write = write
        self._group = ThreadGroup("bridge")
        self._entries: BoundedQueue[tuple[str, tuple[str, str] | threading.Event]] = BoundedQueue(
            LIMIT
        )
        # Guards what follows.
        self._lock = threading.Lock()
        self._kept: dict[str, dict[str, str]] = {}
        self._started = False

    # -- what calls' threads do -------------------------------------------------------------------

    def on_media(self, info: CallInfo) -> None:
        """Note that the agent begins to talk, if it had not."""
        self._put(info, "talking", encode_info(info))

    def on_saying(self, info: CallInfo, remark: Remark) -> None:
        """Note what is being said, and what was heard of it so far."""
        self._put(info, OPEN, encode_remark(remark))

    def on_hearing(self, info: CallInfo, remark: Remark) -> None:
        """Note what the caller has said of a turn that is not over."""
        said = remark.text or remark.digits
        self._put(info, PENDING, encode_remark(remark) if said else "")

    def on_remark(self, info: CallInfo, number: int, remark: Remark) -> None:
        """Note what was said."""
        self._put(info, str(number), encode_remark(remark))
        if remark.speaker == "agent":
            self._put(info, OPEN, "")

    def on_key(self, info: CallInfo, keys: Sequence[Press]) -> None:
        """Note which keys were heard, so that none is heard again."""
        self._keep(info, KEYS, msgspec.json.encode(list(keys)).decode())

    def on_state(self, info: CallInfo, state: str) -> None:
        """Note what the agent wants to find again."""
        self._keep(info, STATE, state)

    def on_end(self, info: CallInfo, summary: CallSummary) -> None:
        """Forget the leg."""
        with self._lock:
            self._kept.pop(info.call_control_id, None)

    def on_depart(self, info: CallInfo) -> None:
        """Forget the leg; another process keeps its history."""
        with self._lock:
            self._kept.pop(info.call_control_id, None)

    def kept(self, key: str) -> Parts:
        """Get what was noted of a leg beyond its history, to be written again."""
        with self._lock:
            return list(self._kept.get(key, {}).items())

    def _keep(self, info: CallInfo, name: str, text: str) -> None:
        with self._lock:
            self._kept.setdefault(info.call_control_id, {})[name] = text
        self._put(info, name, text)

    def _put(self, info: CallInfo, name: str, text: str) -> None:
        self._push((info.call_control_id, (name, text)))

    def _push(self, entry: tuple[str, tuple[str, str] | threading.Event]) -> None:
        with self._lock:
            if not self._started and not self._entries.closed:
                self._started = True
                self._group.spawn("chronicle", self._run)
        try:
            self._entries.push(entry)
        except QueueClosed:
            return

    # -- the owner --------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many entries are not written yet."""
        return len(self._entries)

    def flush(self, timeout: float) -> bool:
        """Wait until what was put so far is written, or cannot be; whether it is through."""
        through = threading.Event()
        if not self._started:
            return True
        self._push(("", through))
        return through.wait(timeout)

    def close(self) -> None:
        """Write what waits, and end; may be called twice."""
        self._entries.close()
        self._group.stop()
        self._group.join()

    # -- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                entries = self._entries.take_all()
            except QueueClosed:
                return
            parts: dict[str, Parts] = {}
            through = []
            for key, part in entries:
                if isinstance(part, threading.Event):
                    through.append(part)
                else:
                    parts.setdefault(key, []).append(part)
            try:
                for key, found in parts.items():
                    self._write(key, found)
            except RegistryAway as error:
                logger.debug("did not write down a history: %s", error)
            for event in through:
                event.set()
