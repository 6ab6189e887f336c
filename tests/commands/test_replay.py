"""``bridge replay``, as it is typed: what it takes, what it refuses, and a whole call."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from bridge import cli
from bridge.records.schema import RecordingRecord
from bridge.records.store import RecordStore
from telnyx_media.pcm import read_wav, stereo, write_wav
from tests.app.databases import NOON

VOICE = Path(__file__).parents[1] / "data" / "voices" / "austen-0880.wav"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ``BRIDGE_HOME``, a directory for recordings, and the working directory."""
    for name in ("DATABASE_URL", "BRIDGE_AGENT", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BRIDGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BRIDGE_RECORDINGS", str(tmp_path / "recordings"))
    (tmp_path / "recordings").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def record(home: Path, *, file: bool) -> Path:
    """Have a record of a call with a recording; the recording's file."""
    path = home / "recordings" / "one.wav"
    pcm, rate = read_wav(str(VOICE))
    pcm = bytes(rate) + pcm + bytes(2 * rate)
    if file:
        write_wav(str(path), stereo(pcm, bytes(len(pcm))), rate, 2)
    store = RecordStore.of(None, home / "home")
    store.upgrade()
    store.save_call("leg-one", began_at=NOON, ended_at=NOON + timedelta(seconds=9))
    store.add(
        RecordingRecord, "leg-one", id="r", location="one.wav", channels=2, seconds=8.0,
        began_at=NOON + timedelta(seconds=1),
    )  # fmt: skip
    store.save_call("leg-two", began_at=NOON)
    store.save_remark(
        "leg-one", id="s", speaker="caller", text="Old words.", heard="Old words.",
        at=NOON + timedelta(seconds=2),
    )  # fmt: skip
    store.close()
    return path


@pytest.mark.parametrize(
    ("call", "status", "why"),
    [
        ("no-such.wav", 2, "there is no file or directory no-such.wav"),
        ("empty", 1, "empty has no recording.wav and transcript.json of a simulated call"),
        ("text.wav", 1, "text.wav is no WAV file that can be read"),
        ("leg-three", 1, "there is no such call"),
        ("leg", 1, "several calls begin with that id"),
        ("leg-two", 1, "that call has no recording"),
        ("leg-one", 1, "the recording of that call is not there any more"),
    ],
)
def test_what_cannot_be_replayed_is_told_in_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], call: str, status: int, why: str
) -> None:
    """Before anything is started."""
    record(home, file=False)
    (home / "empty").mkdir()
    (home / "text.wav").write_text("not audio")
    assert cli.run(["replay", call]) == status
    assert capsys.readouterr().err.strip().startswith(f"bridge{' replay' * (status == 2)}: {why}")


def test_a_replay_does_not_overwrite_what_it_replays(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own directory is no place for what it leaves."""
    record(home, file=True)
    shutil.copy(home / "recordings" / "one.wav", home / "recording.wav")
    (home / "transcript.json").write_text('{"turns": []}')
    assert cli.run(["replay", ".", "--out", "."]) == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_recorded_call_is_held_again(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From its record: the caller's voice is understood, and both conversations are printed."""
    record(home, file=True)
    agent = "bridge.agents.echo:answer"
    assert cli.run(["replay", "leg-one", "--agent", agent, "--out", "again"]) == 0
    told = capsys.readouterr().out
    assert "Old words." in told
    assert (home / "again" / "transcript.json").is_file()
    before, now = told[told.rindex("before") :].split("now", 1)
    assert "agent:" in now
    assert before.strip() == "before"
