"""``bridge loadtest``: the real app under two simulated calls."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bridge import cli
from bridge.commands.loadtest import tell
from bridge.loadtest.figures import Measured


@pytest.mark.slow
def test_two_calls_are_measured_and_a_capacity_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step has answers in time and its price, and the end names what to set."""
    monkeypatch.setenv("BRIDGE_AGENT", "bridge.agents.echo:answer")
    monkeypatch.setenv("LOG_LEVEL", "warning")
    out = tmp_path / "figures.json"
    # How late answers are is the machine's business here.
    arguments = ["loadtest", "--calls", "2", "--seconds", "6", "--tolerance", "10000"]
    status = cli.run([*arguments, "--out", str(out)])
    printed = capsys.readouterr()
    steps = json.loads(out.read_text())
    assert [step["calls"] for step in steps][:1] == [1]
    assert steps[0]["failed"] == 0
    assert steps[0]["replies"]
    assert all(wait > 0 for wait in steps[0]["replies"])
    # Gaps may be this machine's doing; then the line says so.
    if status == 0:
        assert "BRIDGE_MAX_CALLS=" in printed.out
        assert "BRIDGE_THREADS=64" in printed.out
    else:
        assert "not one call is held well" in printed.err


def test_an_agent_that_is_not_there_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app does not start, and the reason is its own."""
    monkeypatch.setenv("LOG_LEVEL", "warning")
    assert cli.run(["loadtest", "--calls", "1", "--agent", "nothing.there:answer"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("bridge: the app did not start: ")
    assert "nothing" in printed


def test_the_end_says_when_the_simulator_was_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    """A step that failed while the simulator was late itself is no verdict on the app."""
    good = Measured(2, [0.5], 0, 0, 0, 0.1, 10**8, 0.001, 0.1)
    tell([good, replace(good, calls=4, gaps=1)], 2)
    assert "late itself" not in capsys.readouterr().out
    tell([good, replace(good, calls=4, gaps=1, lateness=0.05)], 2)
    printed = capsys.readouterr().out
    assert "2 calls were held well, 4 not." in printed
    assert "late itself" in printed
    assert "BRIDGE_MAX_CALLS=2" in printed
