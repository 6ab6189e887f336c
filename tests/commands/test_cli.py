"""The command line: exit statuses, one line per error, nothing imported in vain."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import click
import pytest

from bridge import cli
from bridge.errors import BridgeError, SettingsError
from telnyx_media.errors import ConnectionLost


@pytest.fixture
def command_that(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make ``bridge demo`` a command that raises."""

    def install(error: BaseException) -> None:
        @click.command()
        def command() -> None:
            raise error

        def get_command(group: object, ctx: object, name: str) -> click.Command:
            return command

        monkeypatch.setattr(cli.LazyGroup, "get_command", get_command)

    return install


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (BridgeError("the agent is out"), 1, "bridge: the agent is out"),
        (SettingsError("PUBLIC_URL is missing"), 1, "bridge: PUBLIC_URL is missing"),
        (ConnectionLost("nobody there"), 1, "bridge: nobody there"),
        (click.ClickException("no such file"), 1, "bridge: no such file"),
        (OSError(98, "Address already in use"), 1, "bridge: [Errno 98] Address already in use"),
        (ModuleNotFoundError("no nanotts", name="nanotts"), 1,
         "bridge: no nanotts; install it with: pip install 'telnyx-bridge[offline]'"),
        (ValueError("a bug"), 1,
         "bridge: unexpected ValueError: a bug (a traceback: LOG_LEVEL=debug)"),
        (KeyboardInterrupt(), 130, ""),
    ],
)  # fmt: skip
def test_an_error_is_one_line(
    command_that: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: int,
    line: str,
) -> None:
    """Whatever a command raises is one line on standard error and an exit status."""
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    command_that(error)
    assert cli.run(["demo"]) == status
    printed = capsys.readouterr()
    assert printed.err.strip() == line
    assert printed.out == ""


def test_a_traceback_is_there_for_who_asks(
    command_that: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With ``LOG_LEVEL=debug`` the traceback stands above the line."""
    monkeypatch.setenv("LOG_LEVEL", "debug")
    command_that(BridgeError("the agent is out"))
    assert cli.run(["demo"]) == 1
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert printed.endswith("bridge: the agent is out\n")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["--nonsense"],
        ["serve", "--nonsense"],
        ["serve", "too", "many"],
        ["simulator", "--port", "99999"],
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """A word that means nothing is told, with where to read on."""
    assert cli.run(words) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "--help)" in printed


def test_help_lists_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    """``bridge --help`` is answered from the table."""
    assert cli.run(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed and text in printed for name, text in cli.COMMANDS.items())
    code = (
        "import sys; from bridge import cli; cli.run(['--help']); "
        "print(*[m for m in sys.modules if m.startswith('bridge.commands')])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "bridge.commands" not in output.splitlines()[-1]


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_in_the_table_exists(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Each command explains itself."""
    assert cli.run([name, "--help"]) == 0
    assert f"bridge {name}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """``bridge --version`` names the program and its version."""
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bridge, version ")


def test_no_command_at_all_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """``bridge`` alone prints the help and fails."""
    assert cli.run([]) == 2
    assert "Commands:" in capsys.readouterr().err
