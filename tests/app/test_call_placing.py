"""Calls placed by programs and people: ``POST /api/calls`` and ``bridge call``."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from bridge import cli, logs
from bridge.app import Bridge
from bridge.call import Call
from bridge.simulator import Callee, Simulator
from bridge.simulator.speakers import ToneSpeaker
from bridge.simulator.synthesis import SynthesisService
from bridge.simulator.transcription import TranscriptionService
from tests.app.phone import Phone, phone_line, scripted
from tests.loopback import PATIENCE

LONG = 6 * PATIENCE
NUMBER = "+12025550143"
TOKEN = "a-token-that-is-long-enough"


def hello(call: Call) -> None:
    """Say hello."""
    call.say("Hello.")


def post(phone: Phone, **body: object) -> requests.Response:
    """Ask the app to place a call."""
    return requests.post(
        f"{phone.url}/api/calls",
        json=body,
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=LONG,
    )


@contextmanager
def line(**variables: str) -> Iterator[Phone]:
    """Have a phone line whose app takes requests from programs."""
    with phone_line(hello, BRIDGE_API_TOKEN=TOKEN, **variables) as phone:  # type: ignore[arg-type]
        yield phone


def test_a_program_places_a_call() -> None:
    """The agent of the app talks to whoever answers; the answer has the leg's ids."""
    with line() as phone:
        answer = post(phone, to=NUMBER, timeout=20)
        assert answer.status_code == 201
        call = phone.simulator.find_call(answer.json()["id"])
        assert call is not None
        call.wait(LONG)
        assert [reply.text for reply, _ in phone.seen.replies] == ["Hello."]
        assert call.call_control_id == answer.json()["call_control_id"]


def test_a_refused_dial_is_no_call() -> None:
    """502 when Telnyx will not have it, without the number."""
    with line(BRIDGE_CONNECTION_ID="no-such-application") as phone:
        answer = post(phone, to=NUMBER)
        assert answer.status_code == 502
        assert NUMBER not in answer.text
        assert phone.simulator.calls == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"to": "12025550143"},
        {"to": NUMBER, "from": "nobody"},
        {"to": NUMBER, "timeout": 0},
        {"to": NUMBER, "detect": "yes"},
        {"to": NUMBER, "fields": []},
        {"to": NUMBER, "agent": "os:system"},
    ],
)
def test_what_makes_no_sense_is_refused_without_being_quoted(body: dict[str, object]) -> None:
    """400, nothing is dialled, and no number is in the answer."""
    with line() as phone:
        answer = post(phone, **body)
        assert answer.status_code == 400
        assert "2025550143" not in answer.text
        assert phone.simulator.calls == []


# -- bridge call ----------------------------------------------------------------------------------


@contextmanager
def account(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Simulator]:
    """Have an account for the command line, with this process's environment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with Simulator(
        transcription=TranscriptionService(listen=lambda listening: scripted(listening, ())),
        synthesis=SynthesisService(make_speaker=ToneSpeaker),
    ) as simulator:
        environ = {
            **simulator.environ,
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "PORT": str(port),
            "BRIDGE_HOME": str(home),
        }
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        # This process's log lines are pytest's.
        monkeypatch.setattr(logs, "set_up", lambda settings: None)
        # The application's own webhooks go to an app that runs elsewhere.
        simulator.webhook_url = "http://127.0.0.1:9/telnyx/webhook"
        yield simulator


def test_the_command_line_calls_somebody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The agent talks to them; the numbers in the output are masked, and nothing said is in it."""
    with account(monkeypatch, tmp_path) as simulator:
        simulator.add_callee(NUMBER, Callee(detection=0.2))
        status = cli.run(
            [
                "call",
                NUMBER,
                "--agent",
                "examples.reminder:answer",
                "--detect",
                "--host",
                "127.0.0.1",
            ]
        )
        [call] = simulator.calls
        assert call.ended
    out = capsys.readouterr().out
    assert status == 0
    assert "calling …43 from …00" in out
    assert "call ended: agent" in out
    assert NUMBER not in out
    assert "Pizza" not in out


def test_the_command_line_takes_no_webhook_that_it_cannot_work_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who has called somebody reads nothing of webhooks that come when the call is over."""
    served: list[bool] = []

    def close(bridge: Bridge, close: Callable[[Bridge], None] = Bridge.close) -> None:
        try:
            requests.get(f"{os.environ['PUBLIC_URL']}/healthz", timeout=0.3)
        except requests.RequestException:
            served.append(False)
        else:
            served.append(True)
        close(bridge)

    monkeypatch.setattr(Bridge, "close", close)
    with account(monkeypatch, tmp_path) as simulator:
        simulator.add_callee(NUMBER, Callee("busy", after=0.1))
        cli.run(["call", NUMBER, "--agent", "examples.reminder:answer", "--host", "127.0.0.1"])
    assert served == [False]


def test_the_command_line_says_that_nobody_answered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line and status 1."""
    with account(monkeypatch, tmp_path) as simulator:
        simulator.add_callee(NUMBER, Callee("busy", after=0.1))
        status = cli.run(
            ["call", NUMBER, "--agent", "examples.reminder:answer", "--host", "127.0.0.1"]
        )
    assert status == 1
    assert "nobody answered: user busy" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["12025550143", "+1202", "sip:", "pizza"])
def test_what_is_no_number_is_wrong_usage(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, and nothing is started."""
    assert cli.run(["call", number]) == 2
    assert "a number like" in capsys.readouterr().err
