"""Write down what happens on calls, while it happens.

A call's own threads must not wait for a database, and nothing may be lost while one is away.  So
what observers are told becomes small entries in a queue, and one thread writes them.  What the
database does not take is put into a file at once (:mod:`bridge.records.spool`), and written when
the database is back, or by the next process.

Threads: ``records``, one per process, started by the first entry, does all that touches the
database and the disk.  Any other thread only puts entries, and never waits.

Rules of this module:

1. An entry leaves the queue when it was written, or when it is in the file; it may be written twice
   without harm (``store``).
2. The queue is bounded.  It is full only when neither the database nor the disk takes anything;
   then the newest entries are dropped, with one log line.
3. An entry that can never be written is dropped with a log line, and holds up nothing.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from bridge.errors import RecordsError
from bridge.events import CallHangup, Cost, Event
from bridge.failures import where
from bridge.observer import CallObserver, CallSummary, Recording, TurnLatency
from bridge.records.deliveries import Deliveries
from bridge.records.schema import CostRecord, EventRecord, RecordingRecord
from bridge.records.spool import Entry, Spool
from bridge.records.store import RecordStore
from telnyx_media.sync.threads import Deadline, ThreadGroup

if TYPE_CHECKING:
    from bridge.call import CallInfo, Remark, Reply
    from bridge.turns import Turn

__all__ = ["RecordWriter"]

logger = logging.getLogger(__name__)

# Entries held in memory while neither the database nor the disk takes any.
LIMIT = 20_000

# Entries written in one transaction: what costs is the transaction.
TOGETHER = 50

# Seconds between two rounds of writing, in which entries gather.
REST = 0.1

# Seconds between two rounds of tidying up (retention).
TIDY_EVERY = 3600.0

# Seconds from a call's hang-up to its post-call webhook, if the process that held the call does not
# say that it is over: it may have died.
LOST_AFTER = 60.0

DETAILS: dict[str, type[EventRecord | RecordingRecord | CostRecord]] = {
    "event": EventRecord,
    "recording": RecordingRecord,
    "cost": CostRecord,
}


class RecordWriter(CallObserver):
    """Keeps the records of a process's calls; the owner calls :meth:`close`."""

    def __init__(
        self,
        store: RecordStore,
        spool: Spool,
        *,
        deliveries: Deliveries | None = None,
        on_delivery: Callable[[], object] = lambda: None,
        tidy: Callable[[], object] | None = None,
        tidy_every: float = TIDY_EVERY,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        limit: int = LIMIT,
    ) -> None:
        """Prepare; nothing is opened or started.

        Args:
            store: where the records go.
            spool: where they wait.
            deliveries: where a call that is over is put down for its webhook, if one is sent.
            on_delivery: told that one was put down.
            tidy: called on the thread, every ``tidy_every`` seconds while there are calls.
            tidy_every: seconds.
            clock: the time of day, Unix seconds.
            steady: the clock of the turns' times, in seconds.
            limit: entries to hold in memory.
        """
        self._store = store
        self._spool = spool
        self._deliveries = deliveries
        self._on_delivery = on_delivery
        self._tidy = tidy
        self._tidy_every = tidy_every
        self._tidy_at = 0.0
        self._clock = clock
        self._steady = steady
        self._limit = limit
        self._group = ThreadGroup("bridge")
        # Guards what follows; told of every change of it.
        self._changed = threading.Condition()
        self._entries: deque[Entry] = deque()
        self._writing = False
        # Whether entries of ours are in the file, or may be those of an earlier process.
        self._aside = True
        self._closed = False
        self._started = False
        self._dropped = 0
        # The reply that each call is in the middle of: its id, and when it began.  And the text of
        # the last one, of which a thread may still tell after it was over.
        self._said_now: dict[str, tuple[str, datetime]] = {}
        self._said_last: dict[str, str] = {}
        # The caller's turn that is not over, likewise.
        self._heard_now: dict[str, tuple[str, datetime]] = {}
        # The thread's own: whether the tables are known to be there.
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

    def on_refuse(self, info: CallInfo, why: str) -> None:
        """Write down whose call was not taken, and why; its webhooks tell when it ended."""
        self.on_begin(info)
        self._put_call(info, reason=why)

    def on_media(self, info: CallInfo) -> None:
        """Write down that audio flows, and how it is encoded."""
        self._put_call(info, codec=info.codec, sample_rate=info.sample_rate, media_at=self._now())

    def on_hearing(self, info: CallInfo, remark: Remark) -> None:
        """Write down what the caller is saying, so far; or that it came to nothing."""
        key = _call_id(info)
        with self._changed:
            known = self._heard_now.get(key)
            if not remark.text:
                self._heard_now.pop(key, None)
            elif known is None:
                known = self._heard_now[key] = (str(uuid.uuid4()), self._now())
        if known is None:
            return
        remark_id, at = known
        if remark.text:
            self._put(
                "remark",
                key,
                id=remark_id,
                speaker="caller",
                text=remark.text,
                heard=remark.text,
                at=at,
            )
        else:
            self._put("unsaid", key, id=remark_id)

    def on_turn(self, info: CallInfo, turn: Turn, latency: TurnLatency) -> None:
        """Write down what the caller said."""
        key = _call_id(info)
        with self._changed:
            remark_id, _ = self._heard_now.pop(key, (str(uuid.uuid4()), None))
        self._put(
            "remark",
            key,
            id=remark_id,
            speaker="caller",
            text=turn.text,
            heard=turn.text,
            digits=len(turn.digits),
            confidence=turn.confidence,
            at=self._moment(turn.started_at),
            until=self._moment(turn.ended_at),
            latencies=_known(latency),
        )

    def on_saying(self, info: CallInfo, remark: Remark) -> None:
        """Write down what the agent is saying, so far as it is; it has no ``until`` yet."""
        key = _call_id(info)
        with self._changed:
            if key not in self._said_now:
                if self._said_last.get(key, "\0").startswith(remark.text):
                    return
                self._said_now[key] = (str(uuid.uuid4()), self._now())
            reply_id, at = self._said_now[key]
        self._put(
            "remark", key, id=reply_id, speaker="agent", text=remark.text, heard=remark.heard, at=at
        )

    def on_reply(self, info: CallInfo, reply: Reply, latency: TurnLatency) -> None:
        """Write down what the agent said and what was heard of it."""
        key = _call_id(info)
        with self._changed:
            reply_id, _ = self._said_now.pop(key, (str(uuid.uuid4()), None))
            self._said_last[key] = reply.text
        self._put(
            "remark",
            key,
            id=reply_id,
            speaker="agent",
            text=reply.text,
            heard=reply.heard,
            interrupted=reply.interrupted,
            at=self._moment(reply.started_at),
            until=self._moment(reply.ended_at),
            latencies=_known(latency),
        )

    def on_recording(self, info: CallInfo, recording: Recording) -> None:
        """Write down where a leg's recording is."""
        self._put(
            "recording",
            _call_id(info),
            id=str(uuid.uuid5(uuid.NAMESPACE_URL, recording.location)),
            location=recording.location,
            channels=recording.channels,
            seconds=recording.seconds,
            began_at=datetime.fromtimestamp(recording.began_at, timezone.utc),
        )

    def on_depart(self, info: CallInfo) -> None:
        """Forget what a leg was in the middle of that goes on elsewhere."""
        self._forget(_call_id(info))

    def _forget(self, key: str) -> None:
        with self._changed:
            self._said_now.pop(key, None)
            self._said_last.pop(key, None)
            self._heard_now.pop(key, None)

    def on_end(self, info: CallInfo, summary: CallSummary) -> None:
        """Write down how a leg ended."""
        self._forget(_call_id(info))
        counts = {
            name: round(value, 3) if isinstance(value, float) else value
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
        self._put_delivery(_call_id(info), self._now())

    def on_event(self, event: Event) -> None:
        """Write down that a webhook event came, and what it says of a call's end and cost."""
        payload = event.payload
        call_id = payload.call_leg_id or payload.call_control_id
        if not call_id:
            return
        occurred_at = event.occurred_at or self._now()
        self._put(
            "event", call_id, id=event.id, event_type=event.event_type, occurred_at=occurred_at
        )
        if isinstance(payload, CallHangup):
            # Whoever held the call says more, unless its process is gone.
            self._put("call", call_id, ended_at=occurred_at, hangup_cause=payload.hangup_cause)
            self._put_delivery(call_id, self._now() + timedelta(seconds=LOST_AFTER))
        if isinstance(payload, Cost) and payload.total_cost:
            self._put_costs(call_id, event.id, payload)

    def _put_costs(self, call_id: str, event_id: str, cost: Cost) -> None:
        currency = cost.cost_parts[0].currency if cost.cost_parts else ""
        self._put("call", call_id, total_cost=cost.total_cost, currency=currency)
        for place, part in enumerate(cost.cost_parts):
            self._put(
                "cost",
                call_id,
                id=f"{event_id}/{place}",
                part=part.call_part,
                cost=part.cost,
                currency=part.currency,
                billed_seconds=part.billed_duration_secs,
            )

    def _put_call(self, info: CallInfo, **fields: object) -> None:
        self._put("call", _call_id(info), **fields)

    def _put_delivery(self, call_id: str, due_at: datetime) -> None:
        if self._deliveries is not None:
            self._put("delivery", call_id, due_at=due_at)

    def _put(self, kind: str, call_id: str, **fields: object) -> None:
        entry = Entry(kind, call_id, fields)
        with self._changed:
            full = len(self._entries) >= self._limit
            if self._closed or full:
                self._dropped += 1
                if self._dropped == 1:
                    logger.error("dropped call records: %s", "too many wait" if full else "closed")
                return
            self._entries.append(entry)
            self._start()
            self._changed.notify_all()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), timezone.utc)

    def _moment(self, steady: float) -> datetime:
        """Turn a time of the steady clock into the time of day."""
        ago = self._steady() - steady if steady else 0.0
        return datetime.fromtimestamp(self._clock() - ago, timezone.utc)

    # What the owner does.

    def start(self) -> None:
        """Begin now rather than with the first entry: take back what earlier processes left."""
        with self._changed:
            self._start()

    def _start(self) -> None:
        # The lock is held.  Not in __init__: a server may load the application before it forks.
        if not self._started and not self._closed:
            self._started = True
            self._group.spawn("records", self._run)

    def flush(self, timeout: float) -> bool:
        """Wait until all that was put so far is in the database, at most ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._entries or self._writing or self._aside),
                Deadline(timeout).remaining(),
            )

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, or put it into the file; may be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._group.stop()
        self._group.join(timeout)
        # Nothing is left, unless the database has hung for all that time.
        self._set_aside()
        self._store.close()

    @property
    def waiting(self) -> int:
        """How many entries are in memory and not written yet."""
        return len(self._entries)

    # What the thread does.

    def _run(self) -> None:
        failures = 0
        while self._await_work(failures):
            try:
                self._write_all()
            except RecordsError as error:
                failures += 1
                if failures == 1:
                    logger.error("call records wait: %s", error)
                self._set_aside()
                # Waits out the pause, or the end.
                self._group.stopping.wait(_pause(failures))
            else:
                if failures:
                    logger.info("the database of call records is back")
                failures = 0
            finally:
                with self._changed:
                    self._writing = False
                    self._changed.notify_all()
            self._group.stopping.wait(REST)

    def _await_work(self, failures: int) -> bool:
        """Wait until there is something to do; False at the end."""
        with self._changed:
            while not (self._closed or self._entries or self._aside or failures):
                due = self._tidy_at - time.monotonic() if self._tidy is not None else None
                if due is not None and due <= 0:
                    break
                self._changed.wait(due)
            self._writing = not self._closed or bool(self._entries and not failures)
            return self._writing

    def _write_all(self) -> None:
        """Write what waits, oldest first; raises RecordsError with the rest still waiting."""
        if not self._ready:
            self._store.upgrade()
            self._ready = True
        if self._aside:
            self._take_back()
        while self._entries:
            self._write_some()
        if self._tidy is not None and time.monotonic() >= self._tidy_at and not self._closed:
            self._tidy_at = time.monotonic() + self._tidy_every
            self._tidy()

    def _write_some(self) -> None:
        """Write the oldest: in one transaction, or one by one if any of them makes trouble."""
        with self._changed:
            some = list(itertools.islice(self._entries, TOGETHER))
        # Whoever is told of a delivery looks for it at once.
        some = list(itertools.takewhile(lambda entry: entry.kind != "delivery", some))
        if len(some) > 1:
            try:
                with self._store.together():
                    for entry in _last_said(some):
                        self._save(entry)
            except Exception as error:
                if isinstance(error, RecordsError) and not error.lasting:
                    raise
            else:
                self._remove(some)
                return
        entry = self._entries[0]
        self._write(entry)
        self._remove([entry])

    def _remove(self, entries: list[Entry]) -> None:
        """Take from the queue what is safe now."""
        with self._changed:
            for entry in entries:
                # close() may have done so, when it has waited for the thread in vain.
                if self._entries and self._entries[0] is entry:
                    self._entries.popleft()
            self._changed.notify_all()

    def _write(self, entry: Entry) -> None:
        """Write one entry, or drop it for good; raises RecordsError to try again."""
        try:
            self._save(entry)
        except RecordsError as error:
            if not error.lasting:
                raise
            # Trying again would fail for ever and hold up everything behind it.
            logger.error("dropped a call record (%s): %s", entry.kind, error)
        except Exception as error:  # noqa: BLE001 - one bad entry must not end the records
            logger.error("dropped a call record (%s): %s", entry.kind, where(error))

    def _save(self, entry: Entry) -> None:
        if entry.kind == "call":
            self._store.save_call(entry.call_id, **entry.fields)
        elif entry.kind == "delivery":
            if self._deliveries is not None:
                self._deliveries.want(entry.call_id, **entry.fields)
                self._on_delivery()
        elif entry.kind == "remark":
            self._store.save_remark(entry.call_id, **entry.fields)
        elif entry.kind == "unsaid":
            self._store.drop_remark(str(entry.fields["id"]))
        else:
            self._store.add(DETAILS[entry.kind], entry.call_id, **entry.fields)

    def _take_back(self) -> None:
        count = 0
        try:
            count = self._spool.take_back(self._write)
        except OSError as error:
            logger.error("could not take back call records that were kept: %s", error.strerror)
        self._aside = False
        if count:
            logger.info("took back %d entries of call records", count)

    def _set_aside(self) -> None:
        """Put what waits into the file, for as long as the database is away."""
        with self._changed:
            entries = list(self._entries)
        if not entries:
            return
        try:
            self._spool.keep(entries)
        except OSError as error:
            logger.error("call records wait in memory: %s", error.strerror)
            return
        self._remove(entries)
        self._aside = True


def _last_said(entries: list[Entry]) -> Iterator[Entry]:
    """Leave out of entries how a remark was while it grew, if it has grown on among them."""
    last = {entry.fields["id"]: entry for entry in entries if entry.kind == "remark"}
    for entry in entries:
        if entry.kind != "remark" or "until" in entry.fields or last[entry.fields["id"]] is entry:
            yield entry


def _pause(failures: int) -> float:
    return float(min(0.2 * 2.0 ** min(failures, 10), 5.0))


def _call_id(info: CallInfo) -> str:
    return info.call_leg_id or info.call_control_id


def _known(latency: TurnLatency) -> dict[str, float]:
    return {
        name: round(value, 4)
        for name, value in dataclasses.asdict(latency).items()
        if value is not None
    }
