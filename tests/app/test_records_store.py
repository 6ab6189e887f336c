"""The call records in a database: SQLite, and a real Postgres."""

from __future__ import annotations

import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from bridge.errors import RecordsError
from bridge.records import migration
from bridge.records.database import database_url
from bridge.records.deliveries import Deliveries, delivery_id
from bridge.records.schema import Base, CostRecord, EventRecord, RecordingRecord, RemarkRecord
from bridge.records.store import RecordStore, position
from tests.app.databases import NOON, postgres, postgres_url, store, url
from tests.loopback.postgres import Postgres

__all__ = ["postgres", "postgres_url", "store", "url"]

ROOT = Path(__file__).parents[2]


def later(seconds: float) -> datetime:
    """Get a moment after noon."""
    return NOON + timedelta(seconds=seconds)


# -- migrations ------------------------------------------------------------------------------------


def test_migrations_make_the_tables_that_the_code_knows(url: str) -> None:
    """From an empty database to the newest revision, and nothing is different from the schema."""
    store = RecordStore(url)
    assert migration.current(store.engine) is None
    store.upgrade()
    store.upgrade()
    assert migration.current(store.engine) == migration.head() == "0002"
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    store.close()


def test_every_revision_can_be_taken_back(url: str) -> None:
    """Down to nothing and up again."""
    from alembic import command

    store = RecordStore(url)
    store.upgrade()
    with store.engine.begin() as connection:
        command.downgrade(migration.configuration(connection), "base")
    assert inspect(store.engine).get_table_names() == ["alembic_version"]
    store.upgrade()
    store.save_call("leg-1", direction="inbound")
    assert store.call("leg-1") is not None
    store.close()


def test_a_newer_database_is_left_alone(url: str) -> None:
    """After a release was taken back, the older version goes on with the newer tables."""
    store = RecordStore(url)
    store.upgrade()
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    older = RecordStore(url)
    older.upgrade()
    older.save_call("leg-1", direction="inbound")
    older.close()
    reader = RecordStore(url)
    assert reader.call("leg-1") is not None
    reader.close()


def test_postgres_that_was_not_upgraded_says_what_to_do(postgres_url: str) -> None:
    """Reading does not change a database that several programs share."""
    store = RecordStore(postgres_url)
    with pytest.raises(RecordsError, match="run bridge db upgrade"):
        store.calls()
    store.close()


# -- writing ---------------------------------------------------------------------------------------


def test_everything_of_a_call_is_read_as_it_was_written(store: RecordStore) -> None:
    """In any order of writing; times have their zone, and parts are in order."""
    store.add(RemarkRecord, "leg-1", id="b", speaker="agent", text="Hi.", at=later(3))
    store.add(
        RemarkRecord, "leg-1", id="a", speaker="caller", text="Grüß Gott 👋", heard="Grüß Gott 👋",
        at=later(2), until=later(2.5), latencies={"endpoint": 0.5}, confidence=0.9,
    )  # fmt: skip
    store.add(EventRecord, "leg-1", id="e", event_type="call.answered", occurred_at=later(1))
    store.add(CostRecord, "leg-1", id="e/0", part="sip", cost="0.004", currency="USD")
    store.add(RecordingRecord, "leg-1", id="r", location="x.wav", seconds=2.5, began_at=later(1))
    store.save_call("leg-1", from_number="+12025550123", began_at=NOON, counts={"turns": 1})
    call = store.call("leg-1")
    assert call is not None
    assert (call.began_at, call.ended_at, call.seconds) == (NOON, None, None)
    assert call.began_at.tzinfo is not None
    assert [remark.id for remark in call.remarks] == ["a", "b"]
    assert call.remarks[0].text == "Grüß Gott 👋"
    assert call.remarks[0].latencies == {"endpoint": 0.5}
    assert call.remarks[0].until == later(2.5)
    assert call.counts == {"turns": 1}
    assert [event.event_type for event in call.events] == ["call.answered"]
    assert (call.recordings[0].seconds, call.recordings[0].channels) == (2.5, 2)
    assert [cost.cost for cost in call.costs] == ["0.004"]


def test_writing_twice_changes_nothing(store: RecordStore) -> None:
    """Neither the rows nor what they hold."""
    for word in ("first", "second"):
        store.add(RemarkRecord, "leg-1", id="a", speaker="caller", text=word, at=NOON)
        store.add(EventRecord, "leg-1", id="e", event_type="call.answered", occurred_at=NOON)
    call = store.call("leg-1")
    assert call is not None
    assert [remark.text for remark in call.remarks] == ["first"]
    assert len(call.events) == 1


def test_what_was_said_first_of_an_end_stays(store: RecordStore) -> None:
    """A call begins at its earliest, and ends once; what is missing of it may be filled in."""
    store.save_call("leg-1", began_at=later(5), media_at=later(6))
    store.save_call("leg-1", ended_at=later(60), hangup_cause="normal_clearing")
    store.save_call("leg-1", ended_at=later(61), reason="caller", hangup_cause="", counts={"a": 1})
    store.save_call("leg-1", ended_at=later(99), reason="drain", hangup_cause="timeout")
    store.save_call("leg-1", began_at=NOON, media_at=later(70))
    store.save_call("leg-1", began_at=later(80))
    call = store.call("leg-1")
    assert call is not None
    assert (call.began_at, call.media_at, call.ended_at) == (NOON, later(6), later(60))
    assert (call.reason, call.hangup_cause, call.counts) == ("caller", "normal_clearing", {"a": 1})
    assert call.seconds == 60


def test_a_moment_of_another_zone_is_the_same_moment(store: RecordStore) -> None:
    """Times are compared as points in time, not as texts."""
    there = timezone(timedelta(hours=9))
    store.save_call("leg-1", began_at=later(10).astimezone(there))
    store.save_call("leg-1", began_at=NOON.astimezone(there))
    call = store.call("leg-1")
    assert call is not None
    assert call.began_at == NOON


def test_a_text_that_no_database_takes_is_kept_as_far_as_it_can_be(store: RecordStore) -> None:
    """Zero characters, half a surrogate pair, and a number longer than its column."""
    store.add(RemarkRecord, "leg-1", id="a", speaker="caller", text="a\0b\ud800c", at=NOON)
    store.save_call("leg-1", from_number="sip:" + "x" * 400, reason="r" * 200)
    call = store.call("leg-1")
    assert call is not None
    assert call.remarks[0].text == "ab?c"
    assert len(call.from_number) == 256
    assert len(call.reason) == 64


def test_a_value_that_is_refused_says_so_without_the_value(store: RecordStore) -> None:
    """The error is lasting, and holds nothing of the record."""
    with pytest.raises(RecordsError) as caught:
        store.add(RemarkRecord, "leg-1", id="a", speaker=None, text="my secret", at=NOON)
    assert caught.value.lasting
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_two_processes_make_the_tables_and_write_one_call_at_once(url: str) -> None:
    """Nothing is lost, nothing is there twice, and nobody fails."""
    code = (
        "import sys; from datetime import datetime, timezone;"
        "from bridge.records import RecordStore;"
        "from bridge.records.schema import RemarkRecord;"
        f"store = RecordStore({url!r}); who = sys.argv[1];"
        "now = datetime.now(timezone.utc)\n"
        "store.upgrade()\n"
        "for n in range(60):\n"
        "    store.save_call(f'leg-{n % 6}', began_at=now, direction='inbound')\n"
        "    store.add(RemarkRecord, f'leg-{n % 6}', id=f'{who}-{n}', speaker=who, at=now)\n"
        "    store.add(RemarkRecord, f'leg-{n % 6}', id=f'both-{n}', speaker=who, at=now)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, who], cwd=ROOT, stderr=subprocess.PIPE)
        for who in ("one", "two")
    ]
    for process in processes:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error.decode()
    store = RecordStore(url)
    calls = store.calls()
    store.close()
    assert len(calls) == 6
    assert sorted(r.id for c in calls for r in c.remarks) == sorted(
        f"{who}-{n}" for who in ("one", "two", "both") for n in range(60)
    )


# -- reading ---------------------------------------------------------------------------------------


def test_calls_are_listed_newest_first_and_in_pages(store: RecordStore) -> None:
    """Calls that began at the same moment are neither left out nor shown twice."""
    for n in range(7):
        store.save_call(f"leg-{n}", began_at=later(n // 3))
    pages = []
    after = None
    while page := store.calls(limit=2, after=after, whole=False):
        pages.append([call.id for call in page])
        after = position(page[-1])
    assert pages == [["leg-6", "leg-3"], ["leg-4", "leg-5"], ["leg-0", "leg-1"], ["leg-2"]]
    assert [c.id for c in store.every_call(page=3)] == [i for page in pages for i in page]


def test_calls_are_found_by_number_words_and_state(store: RecordStore) -> None:
    """Either number; words in any case, with the signs that SQL has for itself; live or not."""
    store.save_call("leg-1", began_at=NOON, from_number="+1", to_number="+9")
    store.save_call("leg-2", began_at=later(1), from_number="+9", to_number="+2", ended_at=later(2))
    store.add(RemarkRecord, "leg-2", id="a", speaker="caller", text="100% Pizza", at=NOON)
    assert [c.id for c in store.calls(number="+9")] == ["leg-2", "leg-1"]
    assert [c.id for c in store.calls(number="+1")] == ["leg-1"]
    assert [c.id for c in store.calls(text="0% pizza")] == ["leg-2"]
    assert store.calls(text="_izza") == []
    assert [c.id for c in store.calls(live=True)] == ["leg-1"]
    assert [c.id for c in store.calls(live=False)] == ["leg-2"]
    assert [c.id for c in store.calls(before=later(1))] == ["leg-1"]
    assert store.call("leg-3") is None


def test_a_recording_belongs_to_its_call(store: RecordStore) -> None:
    """It is not found through another call's id."""
    store.add(RecordingRecord, "leg-1", id="r", location="x.wav", began_at=NOON)
    store.save_call("leg-2")
    found = store.recording("leg-1", "r")
    assert found is not None
    assert found.location == "x.wav"
    assert store.recording("leg-2", "r") is None
    assert store.recording("leg-1", "other") is None


# -- what was lost, and what is deleted ------------------------------------------------------------


def test_a_call_whose_end_nobody_told_is_not_live_for_ever(store: RecordStore) -> None:
    """After a day it ended when something was said last."""
    store.save_call("old", began_at=NOON)
    store.add(RemarkRecord, "old", id="a", speaker="agent", at=NOON, until=later(30))
    store.save_call("silent", began_at=NOON)
    store.save_call("young", began_at=later(3600 * 20))
    assert store.finish_lost(later(3600 * 25)) == 2
    calls = {call.id: call for call in store.calls()}
    assert (calls["old"].ended_at, calls["old"].reason) == (later(30), "lost")
    assert calls["silent"].ended_at == NOON
    assert calls["young"].ended_at is None


def test_what_is_erased_is_gone_with_all_its_parts(store: RecordStore) -> None:
    """Of that call, and of no other."""
    for call in ("leg-1", "leg-2"):
        store.save_call(call, began_at=NOON, from_number="+1", ended_at=later(1))
        store.add(RemarkRecord, call, id=f"{call}-a", speaker="caller", text="x", at=NOON)
        store.add(RecordingRecord, call, id=f"{call}-r", location=f"{call}.wav", began_at=NOON)
        Deliveries(store).want(call, NOON)
    assert store.locations("leg-1") == ["leg-1.wav"]
    assert store.erase(["leg-1", "nobody"]) == 1
    assert [call.id for call in store.calls()] == ["leg-2"]
    with store.engine.connect() as connection:
        for table in ("remarks", "recordings", "deliveries"):
            count = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            assert count == 1, table


def test_ids_by_age_count_calls_without_an_end(store: RecordStore) -> None:
    """A row that never got its end grows old all the same."""
    store.save_call("long", began_at=NOON, ended_at=later(100))
    store.save_call("short", began_at=NOON, ended_at=later(10))
    store.save_call("endless", began_at=later(-5))
    assert store.ids(ended_before=later(50)) == ["endless", "short"]
    assert store.ids(ended_before=later(50), limit=1) == ["endless"]
    assert store.ids(number="+1") == []


# -- post-call webhooks that wait ------------------------------------------------------------------


def test_a_webhook_that_is_due_is_taken_by_one(store: RecordStore) -> None:
    """Until the time is over that its taker was given; asking for it again makes no second one."""
    deliveries = Deliveries(store)
    deliveries.want("leg-1", later(60))
    deliveries.want("leg-1", later(90))
    assert deliveries.take(later(59), later(70)) is None
    deliveries.want("leg-1", NOON)
    assert deliveries.next_due() == NOON
    first = deliveries.take(NOON, later(30))
    assert first is not None
    assert (first.id, first.call_id, first.attempt) == (delivery_id("leg-1"), "leg-1", 1)
    assert deliveries.take(later(29), later(60)) is None
    again = deliveries.take(later(30), later(60))
    assert again is not None
    assert (again.id, again.attempt) == (first.id, 2)
    deliveries.settle(again, sent_at=later(31))
    assert deliveries.take(later(1000), later(2000)) is None
    assert deliveries.next_due() is None


# -- the database itself ---------------------------------------------------------------------------


def test_the_file_is_private(tmp_path: Path) -> None:
    """What people said is for the owner's eyes only, also beside the file."""
    store = RecordStore(database_url(None, tmp_path / "home"))
    store.upgrade()
    store.save_call("leg-1")
    files = list((tmp_path / "home").iterdir())
    assert {file.name for file in files} >= {"calls.db"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    store.close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("nonsense", "Could not parse"),
        ("mysql://user:pass-word@host/db", "must be of Postgres or SQLite|No module"),
        ("nosuch://user:pass-word@host/db", "must be of"),
        ("postgresql+nosuch://user:pass-word@host/db", "nosuch"),
    ],
)
def test_a_wrong_url_is_one_line_without_its_password(wrong: str, message: str) -> None:
    """Said before anything is connected to."""
    with pytest.raises(RecordsError, match=message) as caught:
        RecordStore(wrong)
    assert "pass-word" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_that_is_not_there_is_one_line(postgres: Postgres) -> None:
    """It may be tried again, and no password is told."""
    wrong = f"postgresql+psycopg://bridge:pass-word@127.0.0.1:{postgres.port + 1}/none"
    store = RecordStore(wrong)
    with pytest.raises(RecordsError) as caught:
        store.save_call("leg-1")
    assert not caught.value.lasting
    assert "pass-word" not in str(caught.value)
    assert "\n" not in str(caught.value)
    store.close()


def test_what_is_written_together_is_there_all_or_not_at_all(store: RecordStore) -> None:
    """Writes of one block are one transaction, and the next ones are their own again."""

    def write_and_fail() -> None:
        with store.together():
            store.save_call("whole", from_number="+12025550123")
            store.add(EventRecord, "whole", id="e-1", event_type=None, occurred_at=NOON)

    with pytest.raises(RecordsError):
        write_and_fail()
    assert store.call("whole") is None
    with store.together():
        store.save_call("whole", from_number="+12025550123")
        store.save_remark("whole", id="r-1", speaker="agent", text="Hel", heard="", at=NOON)
        store.save_remark("whole", id="r-1", speaker="agent", text="Hello", heard="He", at=NOON)
    store.save_call("whole", to_number="+12025550100")
    record = store.call("whole")
    assert record is not None
    assert (record.from_number, record.to_number) == ("+12025550123", "+12025550100")
    assert [(remark.text, remark.heard) for remark in record.remarks] == [("Hello", "He")]
