"""``bridge doctor`` and ``bridge setup`` against the simulator and a running app."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.app import Bridge, create_app
from bridge.commands import doctor, setup
from bridge.settings import Settings
from bridge.simulator import Simulator
from tests.loopback.web import serving


@pytest.fixture
def telnyx() -> Iterator[Simulator]:
    """Telnyx on loopback, its webhooks going nowhere yet."""
    with Simulator(webhook_url="http://127.0.0.1:9/elsewhere") as simulator:
        yield simulator


@pytest.fixture
def environ(telnyx: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of an app that points at the simulator."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {
        **telnyx.environ,
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "PORT": str(port),
        "BRIDGE_HOME": str(tmp_path),
        "BRIDGE_AGENT": "bridge.agents.echo:answer",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name in ("REDIS_URL", "DATABASE_URL", "WEB_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)
    return variables


def run_doctor(*arguments: str) -> Result:
    """Run ``bridge doctor``; its exit status is the command's return value."""
    return CliRunner().invoke(doctor.command, arguments, standalone_mode=False)


def run_setup(*arguments: str, input: str | None = None) -> Result:  # noqa: A002
    """Run ``bridge setup``."""
    return CliRunner().invoke(setup.command, arguments, input=input, standalone_mode=False)


def test_what_is_not_set_up_is_named_with_its_remedy(environ: dict[str, str]) -> None:
    """A new account: the application is missing, and nothing answers at the public address."""
    result = run_doctor()

    assert result.return_value == 1
    assert "none sends its webhooks to" in result.output
    assert "run: bridge setup" in result.output
    assert "does not answer as the app does" in result.output
    assert environ["TELNYX_API_KEY"] not in result.output


def test_setup_makes_the_application_and_attaches_the_number(
    environ: dict[str, str], telnyx: Simulator
) -> None:
    """What setup changed is printed, and running it again changes nothing."""
    first = run_setup("--yes")
    second = run_setup("--yes")

    assert "made the application telnyx-bridge" in first.output
    assert "attached" in first.output
    assert "is right already" in second.output
    assert "attached already" in second.output


def test_setup_changes_nothing_when_the_answer_is_no(environ: dict[str, str]) -> None:
    """Each change is asked for first."""
    refused = run_setup(input="n\n")
    again = run_setup("--yes")

    assert "stopped as you said; nothing more was changed" in str(refused.exception)
    assert "made the application" not in refused.output
    assert "made the application" in again.output


def test_setup_names_a_number_that_the_account_lacks(environ: dict[str, str]) -> None:
    """A wrong number is one error, with the number masked."""
    result = run_setup("--yes", "--number", "+15550001234")

    assert "the account has no number" in str(result.exception)
    assert "+15550001234" not in str(result.exception)


def test_an_app_that_is_set_up_is_found_well(environ: dict[str, str]) -> None:
    """With the app running and the account set up, no problem is left."""
    run_setup("--yes")
    app = create_app(Settings.from_environ(environ))
    bridge = app.extensions["bridge"]
    assert isinstance(bridge, Bridge)
    try:
        with serving(app, int(environ["PORT"])):
            result = run_doctor()
    finally:
        bridge.close()

    assert result.return_value == 0, result.output
    assert "upgrades reach the app" in result.output
    assert "it is this account's" in result.output


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TELNYX_API_KEY", "KEY-of-nobody", "Telnyx refuses it"),
        ("BRIDGE_AGENT", "no.such:thing", "set BRIDGE_AGENT to module:function"),
        ("BRIDGE_TTS_VOICE", "Telnyx.NaturalHD.nobody", "does not list Telnyx.NaturalHD.nobody"),
        ("BRIDGE_CODEC", "GSM", "BRIDGE_CODEC"),
        ("REDIS_URL", "redis://127.0.0.1:9/0", "correct the host and port in REDIS_URL"),
        ("TELNYX_API_URL", "http://127.0.0.1:9/v2", "check TELNYX_API_URL and the network"),
        ("DATABASE_URL", "postgres://127.0.0.1:9/none", "correct DATABASE_URL"),
    ],
)
def test_one_thing_wrong(
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    expected: str,
) -> None:
    """Each thing that can be wrong is told in one line, with what to do."""
    monkeypatch.setenv(name, value)

    result = run_doctor()

    assert result.output.count(expected) == 1
    assert result.output.count("no answer") <= 1
    assert result.exception is None


def test_every_variable_is_explained() -> None:
    """``--explain`` lists the whole environment."""
    output = run_doctor("--explain").output

    assert all(name in output for name in Settings.variables().values())
