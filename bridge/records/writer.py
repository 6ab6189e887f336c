"""Write down what happens on calls, while it happens.

A call's own threads must not wait for a database, and nothing may be lost while one is away.  So
what observers are told becomes small entries in a queue, and one thread writes them, trying again
until each is written.  What is still waiting when the process has to end goes to a file in
``BRIDGE_HOME``, and the next process that starts writes it down.

Threads: ``records``, one per process, does all that touches the database.  Any other thread only
puts entries, and never waits.

Rules of this module:

1. An entry may be written twice without harm (``store``), so it is kept until its write succeeded.
2. The queue is bounded; when it is full the oldest entries go to the file, not away.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.errors import RecordsError
from bridge.events import Cost, Event
from bridge.observer import CallObserver, CallSummary, TurnLatency
from bridge.records.schema import CostRecord, EventRecord, RecordingRecord, RemarkRecord
from bridge.records.store import RecordStore
from telnyx_media.sync.threads import Deadline, ThreadGroup

if TYPE_CHECKING:
    from bridge.call import CallInfo, Reply
    from bridge.turns import Turn

__all__ = ["RecordWriter"]

logger = logging.getLogger(__name__)

# Entries held in memory while the database is away: some hours of a busy process.
LIMIT = 20_000

DETAILS: dict[str, type[EventRecord | RemarkRecord | RecordingRecord | CostRecord]] = {
    "remark": RemarkRecord,
    "event": EventRecord,
    "recording": RecordingRecord,
    "cost": CostRecord,
}


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """One thing to be written: a call's fields, or a detail of a call.

    Attributes:
        kind: ``"call"`` or a key of ``DETAILS``.
        call_id: the call's ``call_leg_id``.
        fields: columns and their values.
    """

    kind: str
    call_id: str
    fields: dict[str, Any]


class RecordWriter(CallObserver):
    """Keeps the records of a process's calls; see :meth:`start` and :meth:`close`."""

    def __init__(
        self,
        store: RecordStore,
        spool: Path,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        limit: int = LIMIT,
    ) -> None:
        """Prepare; nothing is opened or started.

        Args:
            store: where the records go.
            spool: the file for what could not be written before the end; one per process.
            clock: the time of day, Unix seconds.
            steady: the clock of the turns' times, in seconds.
            limit: entries to hold in memory.
        """
        self._store = store
        self._spool = spool
        self._clock = clock
        self._steady = steady
        self._limit = limit
        self._group = ThreadGroup("bridge")
        # Guards _entries, _writing, _closed and _started; told of every change of them.
        self._changed = threading.Condition()
        self._entries: deque[Entry] = deque()
        self._writing = False
        self._closed = False
        self._started = False
        self._ready = False

    # What the calls' threads do.

    def on_begin(self, info: CallInfo) -> None:
        """Write down that a leg began."""
        self._put_call(
            info,
            call_control_id=info.call_control_id,
            call_session_id=info.call_session_id,
            connection_id=info.connection_id,
            direction=info.direction,
            from_number=info.from_number,
            to_number=info.to_number,
            began_at=self._now(),
        )

    def on_media(self, info: CallInfo) -> None:
        """Write down that audio flows, and how it is encoded."""
        self._put_call(info, codec=info.codec, sample_rate=info.sample_rate, media_at=self._now())

    def on_turn(self, info: CallInfo, turn: Turn, latency: TurnLatency) -> None:
        """Write down what the caller said."""
        self._put_remark(
            info,
            speaker="caller",
            text=turn.text,
            heard=turn.text,
            digits=len(turn.digits),
            confidence=turn.confidence,
            at=self._moment(turn.started_at),
            until=self._moment(turn.ended_at),
            latencies=_known(latency),
        )

    def on_reply(self, info: CallInfo, reply: Reply, latency: TurnLatency) -> None:
        """Write down what the agent said and what was heard of it."""
        self._put_remark(
            info,
            speaker="agent",
            text=reply.text,
            heard=reply.heard,
            interrupted=reply.interrupted,
            at=self._moment(reply.started_at),
            until=self._now(),
            latencies=_known(latency),
        )

    def on_end(self, info: CallInfo, summary: CallSummary) -> None:
        """Write down how a leg ended, and where its recording is."""
        counts = {
            name: value
            for name, value in dataclasses.asdict(summary).items()
            if isinstance(value, int | float)
        }
        self._put_call(
            info,
            ended_at=self._now(),
            reason=summary.reason,
            hangup_cause=summary.hangup_cause,
            counts=counts,
        )
        if summary.recording is not None:
            self._put(
                "recording",
                _call_id(info),
                id=str(uuid.uuid4()),
                location=str(summary.recording),
                began_at=self._now(),
            )

    def on_event(self, event: Event) -> None:
        """Write down that a webhook event came, and what Telnyx says a call cost."""
        payload = event.payload
        call_id = payload.call_leg_id or payload.call_control_id
        if not call_id:
            return
        self._put(
            "event",
            call_id,
            id=event.id,
            event_type=event.event_type,
            occurred_at=event.occurred_at or self._now(),
        )
        if isinstance(payload, Cost) and payload.total_cost:
            currency = payload.cost_parts[0].currency if payload.cost_parts else ""
            self._put("call", call_id, total_cost=payload.total_cost, currency=currency)
            for place, part in enumerate(payload.cost_parts):
                self._put(
                    "cost",
                    call_id,
                    id=f"{event.id}/{place}",
                    part=part.call_part,
                    cost=part.cost,
                    currency=part.currency,
                    billed_seconds=part.billed_duration_secs,
                )

    def _put_call(self, info: CallInfo, **fields: object) -> None:
        self._put("call", _call_id(info), **fields)

    def _put_remark(self, info: CallInfo, **fields: object) -> None:
        self._put("remark", _call_id(info), id=str(uuid.uuid4()), **fields)

    def _put(self, kind: str, call_id: str, **fields: object) -> None:
        entry = Entry(kind, call_id, fields)
        with self._changed:
            if self._closed or len(self._entries) >= self._limit:
                self._keep_aside([entry])
                return
            self._entries.append(entry)
            self._changed.notify_all()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), timezone.utc)

    def _moment(self, steady: float) -> datetime:
        """Turn a time of the steady clock into the time of day."""
        ago = self._steady() - steady if steady else 0.0
        return datetime.fromtimestamp(self._clock() - ago, timezone.utc)

    # What the owner does.

    def start(self) -> None:
        """Start the thread; it brings the tables up to date first, when it can."""
        with self._changed:
            if not self._started and not self._closed:
                self._started = True
                self._group.spawn("records", self._run)

    def flush(self, timeout: float) -> bool:
        """Wait until everything put so far is written, at most ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._entries and not self._writing, Deadline(timeout).remaining()
            )

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, keep aside what cannot be written in time; may be called twice."""
        if self._started:
            self.flush(timeout)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._group.stop()
        self._group.join(timeout)
        with self._changed:
            left = list(self._entries)
            self._entries.clear()
        if left:
            logger.warning("kept aside %d entries of call records: the database is away", len(left))
            self._keep_aside(left)
        self._store.close()

    @property
    def waiting(self) -> int:
        """How many entries are not written yet."""
        return len(self._entries)

    # What the thread does.

    def _run(self) -> None:
        failures = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._entries or not self._ready)
                if self._closed:
                    return
                self._writing = True
            try:
                self._write_some()
                if failures:
                    logger.info("the database of call records is back")
                failures = 0
            except RecordsError as error:
                failures += 1
                if failures == 1:
                    logger.error("call records wait: %s", error)
            finally:
                with self._changed:
                    self._writing = False
                    self._changed.notify_all()
            if failures:
                # Waits out the pause, or the end.
                self._group.stopping.wait(_pause(failures))

    def _write_some(self) -> None:
        """Write what waits, oldest first; raises RecordsError with the rest still waiting."""
        if not self._ready:
            self._store.upgrade()
            self._take_back()
            self._ready = True
        while True:
            with self._changed:
                if not self._entries:
                    return
                entry = self._entries[0]
            try:
                self._write(entry)
            except RecordsError as error:
                if not error.lasting:
                    raise
                # Trying again would fail for ever and hold up everything behind it.
                logger.error("dropped an entry of call records: %s", error)
            with self._changed:
                # Nothing else takes entries but close(), after this thread was joined.
                self._entries.popleft()
                self._changed.notify_all()

    def _write(self, entry: Entry) -> None:
        if entry.kind == "call":
            self._store.save_call(entry.call_id, **entry.fields)
        else:
            self._store.add(DETAILS[entry.kind](call_id=entry.call_id, **entry.fields))

    # The file beside the database.

    def _keep_aside(self, entries: list[Entry]) -> None:
        try:
            self._spool.parent.mkdir(parents=True, exist_ok=True)
            # People's words: for the owner's eyes only.
            handle = os.open(self._spool, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(handle, "ab") as file:
                for entry in entries:
                    packed = msgspec.msgpack.encode(entry)
                    file.write(len(packed).to_bytes(4, "big") + packed)
        except OSError as error:
            logger.error("lost %d entries of call records: %s", len(entries), error.strerror)

    def _take_back(self) -> None:
        """Write what earlier processes kept aside, each file by one process only."""
        for file in sorted(self._spool.parent.glob(f"{self._spool.stem.partition('-')[0]}-*.kept")):
            taken = file.with_suffix(f".taken-{os.getpid()}")
            try:
                file.rename(taken)
            except OSError:
                continue  # another process was quicker
            try:
                entries = _unpack(taken.read_bytes())
                for entry in entries:
                    self._write(entry)
            except RecordsError:
                taken.rename(file)
                raise
            taken.unlink()
            logger.info("took back %d entries of call records", len(entries))


def _unpack(data: bytes) -> list[Entry]:
    entries = []
    while len(data) >= 4:
        end = 4 + int.from_bytes(data[:4], "big")
        if len(data) < end:
            break  # the process was killed while it wrote this one
        try:
            entries.append(msgspec.msgpack.decode(data[4:end], type=Entry))
        except msgspec.DecodeError:
            logger.warning("an entry that was kept aside cannot be read")
        data = data[end:]
    return entries


def _pause(failures: int) -> float:
    return min(0.2 * 2.0 ** min(failures, 10), 5.0)


def _call_id(info: CallInfo) -> str:
    return info.call_leg_id or info.call_control_id


def _known(latency: TurnLatency) -> dict[str, float]:
    return {
        name: round(value, 4)
        for name, value in dataclasses.asdict(latency).items()
        if value is not None
    }
