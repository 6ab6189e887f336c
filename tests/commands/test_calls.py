"""``bridge calls`` and ``bridge db``, as they are typed."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from bridge import cli
from bridge.records import migration
from bridge.records.schema import EventRecord, RecordingRecord, RemarkRecord
from bridge.records.store import RecordStore
from tests.app.databases import NOON, postgres, postgres_url

__all__ = ["postgres", "postgres_url"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ``BRIDGE_HOME`` and nothing else set."""
    for name in ("DATABASE_URL", "BRIDGE_RECORDINGS", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BRIDGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    return tmp_path / "home"


@pytest.fixture
def calls(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two calls, one of them live; the directory of their recordings."""
    folder = home / "recordings"
    folder.mkdir(parents=True)
    (folder / "one.wav").write_bytes(b"RIFF")
    monkeypatch.setenv("BRIDGE_RECORDINGS", str(folder))
    store = RecordStore.of(None, home)
    store.upgrade()
    store.save_call(
        "leg-one", from_number="+12025550123", to_number="+12025550199", began_at=NOON,
        ended_at=NOON + timedelta(seconds=75), reason="caller", codec="PCMU", sample_rate=8000,
        counts={"turns": 2, "lost_packets": 0}, total_cost="0.0061", currency="USD",
    )  # fmt: skip
    store.add(EventRecord, "leg-one", id="e", event_type="call.answered", occurred_at=_at(1))
    store.add(
        RemarkRecord, "leg-one", id="a", speaker="agent", text="Hello there. What can I do?",
        heard="Hello there.", interrupted=True, at=_at(2.5), latencies={"first_audio": 0.2},
    )  # fmt: skip
    store.add(RemarkRecord, "leg-one", id="b", speaker="caller", text="A table\x1b[2J", at=_at(4))
    store.add(
        RemarkRecord, "leg-one", id="c", speaker="agent", text="For how many?",
        heard="For how many?", at=_at(6), latencies={"total": 0.913, "endpoint": 0.5},
    )  # fmt: skip
    store.add(RemarkRecord, "leg-one", id="d", speaker="caller", digits=4, at=_at(9))
    store.add(RecordingRecord, "leg-one", id="r", location="one.wav", seconds=73.25, began_at=NOON)
    store.save_call("leg-two", from_number="+12025550124", began_at=NOON + timedelta(hours=1))
    store.close()
    return folder


def _at(seconds: float) -> object:
    return NOON + timedelta(seconds=seconds)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Type a command; its exit status and what it printed."""
    status = cli.run(words)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


# -- bridge calls ---------------------------------------------------------------------------------


def test_the_table_has_masked_numbers(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest call first; numbers in full only for who asks."""
    status, out, _ = run(capsys, "calls")
    assert status == 0
    head, two, one = out.splitlines()
    assert head.split() == ["BEGAN", "LENGTH", "FROM", "TO", "TURNS", "ENDED", "BY", "ID"]
    assert two.split()[2:] == ["-", "…24", "live", "leg-two"]
    assert one.split()[2:] == ["1:15", "…23", "…99", "2", "caller", "leg-one"]
    assert "5550123" not in out
    assert "+12025550123" in run(capsys, "calls", "--numbers")[1]


def test_calls_can_be_chosen(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By number, by being live, and by how many."""
    assert "leg-one" not in run(capsys, "calls", "--live")[1]
    assert "leg-two" not in run(capsys, "calls", "--number", "+12025550199")[1]
    assert len(run(capsys, "calls", "--limit", "1")[1].splitlines()) == 2
    assert run(capsys, "calls", "--number", "+1") == (0, "no calls\n", "")


def test_one_call_is_told_as_it_went(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Events and words in order of time; keys are counted; nothing that a terminal would obey."""
    status, out, _ = run(capsys, "calls", "leg-o")
    assert status == 0
    facts, timeline = out.split("\n\n")
    assert "from       …23 to …99, inbound" in facts
    assert "length     1:15, caller" in facts
    assert "counts     turns 2\n" in facts
    assert "cost       0.0061 USD" in facts
    assert "recording  one.wav, 73.2 s" in facts
    assert timeline.splitlines() == [
        "   0:01.0  · call.answered",
        "   0:02.5  agent:  Hello there. [interrupted: What can I do?]",
        "   0:04.0  caller: A table [2J",
        "   0:06.0  agent:  For how many?   (0.91 s after the caller: turn 0.50)",
        "   0:09.0  caller: (4 keys)",
    ]


def test_the_export_is_one_object_per_line(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All data of all calls, in full."""
    lines = [json.loads(line) for line in run(capsys, "calls", "--export")[1].splitlines()]
    assert [line["id"] for line in lines] == ["leg-two", "leg-one"]
    assert [remark["speaker"] for remark in lines[1]["remarks"]] == [
        "agent", "caller", "agent", "caller",
    ]  # fmt: skip
    assert lines[1]["from"] == "+12025550123"
    assert lines[1]["began_at"] == "2026-10-01T12:00:00Z"
    assert lines[1]["recordings"][0]["seconds"] == 73.25
    assert json.loads(run(capsys, "calls", "leg-one", "--export")[1])["seconds"] == 75


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["calls", "nobody"], "bridge: there is no such call\n"),
        (["calls", "leg"], "bridge: several calls begin with that id\n"),
        (["db", "forget", "nobody", "-y"], "bridge: there is no such call\n"),
    ],
)
def test_what_is_not_found_is_one_line(
    calls: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    """And the exit status is 1."""
    status, _, err = run(capsys, *words)
    assert (status, err) == (1, line)


def test_no_database_is_no_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first call there is nothing to show."""
    assert run(capsys, "calls") == (0, "no calls\n", "")


# -- bridge db ------------------------------------------------------------------------------------


def test_upgrade_and_current(
    home: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """As the release phase of a host runs it, with the host's spelling of the URL."""
    monkeypatch.setenv("DATABASE_URL", postgres_url.replace("postgresql+psycopg", "postgres"))
    status, _, err = run(capsys, "db", "current")
    assert status == 1
    assert "run bridge db upgrade" in err
    assert run(capsys, "calls")[0] == 1
    assert run(capsys, "db", "upgrade") == (0, f"up to date: revision {migration.head()}\n", "")
    assert run(capsys, "db", "upgrade")[0] == 0
    assert run(capsys, "db", "current")[0] == 0
    assert run(capsys, "calls") == (0, "no calls\n", "")


def test_a_database_that_is_away_is_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the password."""
    monkeypatch.setenv("DATABASE_URL", "postgres://me:pass-word@127.0.0.1:1/none")
    status, out, err = run(capsys, "db", "upgrade")
    assert (status, out) == (1, "")
    assert err.startswith("bridge: the database failed: ")
    assert err.count("\n") == 1
    assert "pass-word" not in err


def test_forgetting_a_call_deletes_its_recording(
    calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Record and file of that call, and of no other."""
    assert run(capsys, "db", "forget", "leg-one", "--yes")[:2] == (
        0, "deleted 1 calls and 1 recordings\n",
    )  # fmt: skip
    assert list(calls.iterdir()) == []
    assert run(capsys, "calls")[1].split()[-1] == "leg-two"


def test_forgetting_a_number(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever called whom."""
    status, out, _ = run(capsys, "db", "forget", "--number", "+12025550199", "-y")
    assert (status, out) == (0, "deleted 1 calls and 1 recordings\n")


def test_nothing_is_deleted_unasked(
    calls: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --yes it is asked, and nobody there means no."""
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(capsys, "db", "purge", "--older-than", "1")[0] == 130
    assert (calls / "one.wav").exists()
    assert run(capsys, "db", "forget")[0] == 2
    assert run(capsys, "db", "forget", "leg-one", "--number", "+1")[0] == 2


def test_purging_takes_old_calls_only(
    calls: Path, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    """Those that ended long enough ago."""
    store = RecordStore.of(None, home)
    long_ago = NOON - timedelta(days=4000)
    store.save_call("old", began_at=long_ago, ended_at=long_ago)
    store.save_call("lost", began_at=long_ago)
    store.close()
    status, out, _ = run(capsys, "db", "purge", "--older-than", "3650", "-y")
    assert (status, out) == (0, "deleted 2 calls and 0 recordings\n")
    assert {"leg-one", "leg-two"} <= set(run(capsys, "calls")[1].split())


def test_a_recording_that_cannot_be_deleted_keeps_its_call(
    calls: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise nobody would know any more that it is there."""
    monkeypatch.delenv("BRIDGE_RECORDINGS")
    status, out, err = run(capsys, "db", "forget", "leg-one", "-y")
    assert status == 1
    assert out == "deleted 0 calls and 0 recordings\n"
    assert "BRIDGE_RECORDINGS" in err
    assert "leg-one" in run(capsys, "calls")[1]
