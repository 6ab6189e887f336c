"""What happens on calls is written down, also when the database is away for a while."""

from __future__ import annotations

import logging
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.call import CallInfo, Remark, Reply
from bridge.decisions import Turn
from bridge.errors import RecordsError
from bridge.events import parse_event
from bridge.observer import CallSummary, Recording, TurnLatency
from bridge.records.deliveries import Deliveries
from bridge.records.spool import Entry, Spool
from bridge.records.store import RecordStore
from bridge.records.writer import RecordWriter
from tests.app.databases import INFO, NOON, postgres, postgres_url, store, url
from tests.loopback import PATIENCE, wait_until
from tests.loopback.postgres import Postgres
from tests.loopback.web import event

__all__ = ["postgres", "postgres_url", "store", "url"]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A directory for what waits."""
    return Spool(tmp_path / "spool")


@pytest.fixture
def writer(url: str, spool: Spool) -> Iterator[RecordWriter]:
    """A writer into an empty database."""
    made = RecordWriter(RecordStore(url), spool, clock=NOON.timestamp, steady=lambda: 100.0)
    yield made
    made.close()


def test_a_call_that_was_refused_is_written_down(writer: RecordWriter, url: str) -> None:
    """Who called, whom, when, and why it was not taken; so that all of a number can be found."""
    writer.on_refuse(INFO, "all lines are busy")
    writer.close()
    store = RecordStore(url)
    (record,) = store.calls(number=INFO.from_number)
    store.close()
    assert (record.to_number, record.reason) == (INFO.to_number, "all lines are busy")


def hold_call(writer: RecordWriter, info: CallInfo = INFO) -> None:
    """Tell of a whole call: a greeting, a turn, keys, an interrupted reply, the end."""
    writer.on_begin(info)
    writer.on_media(replace(info, codec="PCMU", sample_rate=8000))
    writer.on_reply(
        info,
        Reply("Hello there.", "Hello there.", started_at=91.0, ended_at=92.0),
        TurnLatency(first_text=0.01),
    )
    writer.on_turn(
        info,
        Turn(text="A table for two", confidence=0.9, started_at=93.0, ended_at=94.5),
        TurnLatency(endpoint=0.51234567),
    )
    writer.on_turn(info, Turn(digits="4711", started_at=95.0, ended_at=95.0), TurnLatency())
    writer.on_reply(
        info,
        Reply("Booked for tonight.", "Booked", interrupted=True, started_at=96.0, ended_at=97.0),
        TurnLatency(total=0.9),
    )
    writer.on_recording(info, Recording("x.wav", NOON.timestamp() - 9, 8.25))
    writer.on_end(info, CallSummary("caller", "normal_clearing", duration=10.0, turns=2))


def hearing(text: str) -> Remark:
    """What the caller has said of a turn that is not over."""
    return Remark("caller", text, text, interrupted=True)


def test_what_the_caller_says_is_written_while_they_say_it(writer: RecordWriter, url: str) -> None:
    """It grows, becomes the turn, or goes again if it came to nothing."""
    writer.on_begin(INFO)
    store = RecordStore(url)

    def remarks() -> list[tuple[str, bool]]:
        assert writer.flush(PATIENCE)
        record = store.call(INFO.call_leg_id)
        assert record is not None
        return [(remark.text, remark.until is None) for remark in record.remarks]

    try:
        writer.on_hearing(INFO, hearing(""))
        writer.on_hearing(INFO, hearing("A table"))
        assert remarks() == [("A table", True)]
        writer.on_hearing(INFO, hearing("A table for two"))
        assert remarks() == [("A table for two", True)]
        turn = Turn(text="A table for two.", started_at=99.0, ended_at=99.5)
        writer.on_turn(INFO, turn, TurnLatency())
        writer.on_hearing(INFO, hearing(""))
        assert remarks() == [("A table for two.", False)]
        writer.on_hearing(INFO, hearing("Hm"))
        assert remarks() == [("A table for two.", False), ("Hm", True)]
        writer.on_hearing(INFO, hearing(""))
        assert remarks() == [("A table for two.", False)]
        # Keys alone are nothing to read.
        writer.on_hearing(INFO, Remark("caller", "", "", digits="4"))
        assert len(remarks()) == 1
    finally:
        store.close()


def test_a_call_is_written_as_it_went(writer: RecordWriter, url: str) -> None:
    """Words, times, latencies, the recording and the end; of keys only how many."""
    hold_call(writer)
    assert writer.flush(PATIENCE)
    store = RecordStore(url)
    call = store.call("leg-1")
    assert call is not None
    assert (call.from_number, call.to_number) == ("+12025550123", "+12025550199")
    assert (call.codec, call.sample_rate, call.media_at) == ("PCMU", 8000, NOON)
    assert [(r.speaker, r.text, r.heard, r.interrupted, r.digits) for r in call.remarks] == [
        ("agent", "Hello there.", "Hello there.", False, 0),
        ("caller", "A table for two", "A table for two", False, 0),
        ("caller", "", "", False, 4),
        ("agent", "Booked for tonight.", "Booked", True, 0),
    ]
    # The steady clock says 100 at noon.
    times = [((r.at - NOON).total_seconds(), r.until and (r.until - NOON).total_seconds())
             for r in call.remarks]  # fmt: skip
    assert times == [(-9, -8), (-7, -5.5), (-5, -5), (-4, -3)]
    assert call.remarks[1].latencies == {"endpoint": 0.5123}
    assert (call.reason, call.hangup_cause, call.ended_at) == ("caller", "normal_clearing", NOON)
    assert call.counts["turns"] == 2
    assert call.counts["duration"] == 10.0
    recording = call.recordings[0]
    assert (recording.location, recording.seconds) == ("x.wav", 8.25)
    assert (recording.began_at - NOON).total_seconds() == -9
    store.close()


def test_a_reply_is_written_as_it_is_said(writer: RecordWriter, url: str) -> None:
    """One row that grows and has no end yet; what is told of it too late makes no second one."""

    def said() -> list[tuple[str, str, bool]]:
        assert writer.flush(PATIENCE)
        store = RecordStore(url)
        call = store.call("leg-1")
        store.close()
        assert call is not None
        # The clock stands still, so they have no order.
        return sorted((r.text, r.heard, r.until is None) for r in call.remarks)

    writer.on_begin(INFO)
    writer.on_saying(INFO, Remark("agent", "One.", ""))
    assert said() == [("One.", "", True)]
    writer.on_saying(INFO, Remark("agent", "One. Two.", "One."))
    assert said() == [("One. Two.", "One.", True)]
    writer.on_reply(INFO, Reply("One. Two.", "One.", interrupted=True), TurnLatency())
    writer.on_saying(INFO, Remark("agent", "One. Two.", "One."))
    assert said() == [("One. Two.", "One.", False)]
    writer.on_saying(INFO, Remark("agent", "Three.", ""))
    assert said() == [("One. Two.", "One.", False), ("Three.", "", True)]


def test_webhooks_tell_of_end_and_cost(writer: RecordWriter, url: str) -> None:
    """A call whose process is gone still gets its end; a cost is written with its parts."""
    for body in (
        event("call.initiated", "e1", direction="incoming"),
        event("call.hangup", "e2", hangup_cause="user_busy"),
        event(
            "call.cost", "e3", status="success", total_cost="0.0061",
            cost_parts=[
                {"call_part": "sip-trunking", "cost": "0.004", "currency": "USD",
                 "billed_duration_secs": 60},
                {"call_part": "call-control", "cost": "0.0021", "currency": "USD"},
            ],
        ),
    ):  # fmt: skip
        writer.on_event(parse_event(body))
        writer.on_event(parse_event(body))
    assert writer.flush(PATIENCE)
    store = RecordStore(url)
    call = store.call("leg")
    assert call is not None
    assert [e.event_type for e in call.events] == ["call.initiated", "call.hangup", "call.cost"]
    assert call.ended_at is not None
    assert (call.hangup_cause, call.total_cost, call.currency) == ("user_busy", "0.0061", "USD")
    assert [(c.part, c.cost, c.billed_seconds) for c in call.costs] == [
        ("sip-trunking", "0.004", 60), ("call-control", "0.0021", 0),
    ]  # fmt: skip
    store.close()


def test_the_database_is_away_during_a_call(
    postgres: Postgres, postgres_url: str, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    """The call's own thread never waits; when it is back everything is there, once."""
    caplog.set_level(logging.INFO)
    writer = RecordWriter(RecordStore(postgres_url), spool)
    writer.on_begin(INFO)
    assert writer.flush(PATIENCE)
    with postgres.away():
        hold_call(writer)
        wait_until(lambda: spool.file.exists() and not writer.waiting)
        hold_call(writer, replace(INFO, call_leg_id="leg-2"))
        assert not writer.flush(0.0)
    assert writer.flush(PATIENCE * 4)
    writer.close()
    store = RecordStore(postgres_url)
    calls = {call.id: call for call in store.calls()}
    assert set(calls) == {"leg-1", "leg-2"}
    assert all(len(call.remarks) == 4 for call in calls.values())
    assert all(call.reason == "caller" for call in calls.values())
    store.close()
    assert not spool.waiting()
    lines = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("call records wait: ") for line in lines) == 1
    assert "the database of call records is back" in lines
    assert not any("table for two" in line or "5550123" in line for line in lines)


def test_what_waits_outlives_the_process(
    postgres: Postgres, postgres_url: str, spool: Spool
) -> None:
    """A process that ends while the database is away leaves a private file to the next one."""
    with postgres.away():
        writer = RecordWriter(RecordStore(postgres_url), spool)
        hold_call(writer)
        writer.close()
        assert stat.S_IMODE(spool.file.stat().st_mode) == 0o600
    following = RecordWriter(RecordStore(postgres_url), spool)
    following.start()
    assert following.flush(PATIENCE * 2)
    following.close()
    assert not spool.waiting()
    store = RecordStore(postgres_url)
    call = store.call("leg-1")
    assert call is not None
    assert len(call.remarks) == 4
    assert call.remarks[0].at.tzinfo is not None
    store.close()


@pytest.mark.slow
def test_a_process_that_is_killed_while_the_database_is_away_loses_nothing(
    postgres: Postgres, postgres_url: str, spool: Spool
) -> None:
    """What it has put into the file is written by another one."""
    code = (
        "import sys, time; from pathlib import Path;"
        "from tests.app import test_records_writer as t;"
        "from bridge.records.store import RecordStore; from bridge.records.writer import *;"
        f"spool = t.Spool(Path({str(spool.directory)!r}));"
        f"w = RecordWriter(RecordStore({postgres_url!r}), spool);"
        "t.hold_call(w)\n"
        "while w.waiting: time.sleep(0.01)\n"
        "print('kept', flush=True); time.sleep(60)"
    )
    with postgres.away():
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline() == b"kept\n"
            os.kill(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
    writer = RecordWriter(RecordStore(postgres_url), spool)
    writer.start()
    assert writer.flush(PATIENCE * 2)
    writer.close()
    store = RecordStore(postgres_url)
    call = store.call("leg-1")
    assert call is not None
    assert len(call.remarks) == 4
    store.close()


def test_a_file_is_taken_back_once(spool: Spool) -> None:
    """Two processes that come at the same time do not both write it; a half entry is no entry."""
    spool.keep([Entry("call", "leg-1", {"reason": "x"}), Entry("call", "leg-2", {})])
    with spool.file.open("ab") as file:
        file.write(b"\0\0\0\x50half")
    seen: list[Entry] = []
    other: list[Entry] = []

    def write(entry: Entry) -> None:
        seen.append(entry)
        Spool(spool.directory).take_back(other.append)

    assert spool.take_back(write) == 2
    assert [entry.call_id for entry in seen] == ["leg-1", "leg-2"]
    assert other == []
    assert not spool.waiting()
    assert spool.take_back(write) == 0


def test_a_file_stays_until_all_of_it_is_written(spool: Spool) -> None:
    """A database that goes away again in the middle costs nothing."""
    spool.keep([Entry("call", f"leg-{n}", {}) for n in range(5)])

    def fail_at_the_third(entry: Entry) -> None:
        if entry.call_id == "leg-2":
            raise RecordsError("away")

    with pytest.raises(RecordsError):
        spool.take_back(fail_at_the_third)
    spool.keep([Entry("call", "leg-9", {})])
    seen: list[Entry] = []
    assert spool.take_back(seen.append) == 6


def test_appending_while_it_is_taken_back_loses_nothing(spool: Spool) -> None:
    """Whoever appends waits for the lock, and then begins a new file."""
    spool.keep([Entry("call", "leg-0", {})])
    seen: list[Entry] = []
    appending = threading.Thread(target=lambda: spool.keep([Entry("call", "leg-1", {})]))

    def write(entry: Entry) -> None:
        if not seen:
            appending.start()
        seen.append(entry)

    spool.take_back(write)
    appending.join(PATIENCE)
    spool.take_back(write)
    assert [entry.call_id for entry in seen] == ["leg-0", "leg-1"]


def test_an_entry_that_is_refused_holds_up_nothing(
    writer: RecordWriter, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is dropped with one line that does not quote it."""
    wrong: Any = object()
    writer.on_turn(INFO, Turn(text="the secret word", confidence=wrong), TurnLatency())
    hold_call(writer)
    assert writer.flush(PATIENCE)
    store = RecordStore(url)
    call = store.call("leg-1")
    assert call is not None
    assert len(call.remarks) == 4
    store.close()
    assert [r.levelname for r in caplog.records if "dropped" in r.getMessage()] == ["ERROR"]
    assert "secret" not in caplog.text


def test_a_disk_and_a_database_that_fail_keep_to_the_bound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Memory is bounded, the call goes on, and one line says that something was dropped."""
    (tmp_path / "file").write_text("in the way")
    nowhere = RecordStore("postgresql+psycopg://bridge@127.0.0.1:1/none")
    writer = RecordWriter(nowhere, Spool(tmp_path / "file"), limit=10)
    for _ in range(30):
        writer.on_begin(INFO)
    assert writer.waiting == 10
    writer.close()
    lines = [record.getMessage() for record in caplog.records]
    assert sum("dropped call records" in line for line in lines) == 1


def test_nothing_is_started_for_nothing(tmp_path: Path, spool: Spool) -> None:
    """No thread, no file and no connection before the first call."""
    before = threading.active_count()
    writer = RecordWriter(RecordStore(f"sqlite:///{tmp_path / 'calls.db'}"), spool)
    assert threading.active_count() == before
    writer.close()
    writer.close()
    writer.on_begin(INFO)
    assert list(tmp_path.iterdir()) == []


def test_tidying_up_is_done_now_and_then(url: str, spool: Spool) -> None:
    """On the records' thread, and again after a while; what it raises ends nothing."""
    done = threading.Event()
    rounds: list[str] = []

    def tidy() -> None:
        rounds.append(threading.current_thread().name)
        if len(rounds) == 1:
            raise RecordsError("away")
        if len(rounds) == 3:
            done.set()

    writer = RecordWriter(RecordStore(url), spool, tidy=tidy, tidy_every=0.01)
    writer.on_begin(INFO)
    assert done.wait(PATIENCE)
    writer.close()
    assert {name.partition("/")[0] for name in rounds} == {"records"}


def test_a_call_that_is_over_is_put_down_for_its_webhook(url: str, spool: Spool) -> None:
    """At once when its process says so, later when only Telnyx did; told to whoever sends it."""
    store = RecordStore(url)
    told = threading.Event()
    writer = RecordWriter(
        store, spool, deliveries=Deliveries(store), on_delivery=told.set, clock=NOON.timestamp
    )
    writer.on_event(parse_event(event("call.hangup", "e2", call_leg_id="leg-1")))
    assert writer.flush(PATIENCE)
    assert told.is_set()
    due = Deliveries(store).next_due()
    assert due is not None
    assert due > NOON
    hold_call(writer)
    assert writer.flush(PATIENCE)
    assert Deliveries(store).next_due() == NOON
    writer.close()
