"""The command line: ``bridge demo``, ``bridge serve`` and the others.

Exit status: 0 done, 1 it failed, 2 wrong usage, 130 interrupted from the keyboard.  Whatever a user
can cause is one line on standard error; a traceback is shown only with ``LOG_LEVEL=debug``.

Rules of this module:

1. A command is imported when it is called, never for ``--help`` or for another command.
2. No command prints an error itself; it raises, and :func:`main` says it.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import click

from bridge.errors import BridgeError
from telnyx_media.errors import TelnyxMediaError

# Name of the command: what it does, in one line.  The module is bridge.commands.<name>.
COMMANDS = {
    "calls": "List the calls that were held, or show one.",
    "call": "Call somebody and have an agent talk to them.",
    "db": "Look after the database of call records.",
    "demo": "Hold a whole phone call on this machine, no account needed.",
    "doctor": "Check everything that can be wrong, and say what to do.",
    "loadtest": "Measure how many calls at once the agent holds on this machine.",
    "new": "Write a small project that runs at once.",
    "replay": "Play the caller of an earlier call to the agent again.",
    "serve": "Run the app on this machine.",
    "setup": "Make the Call Control application and attach a number.",
    "simulate": "Call the configured agent with an audio file as the caller.",
    "simulator": "Run Telnyx on loopback until stopped.",
}


def installed_version() -> str:
    """Get the version of this installation."""
    try:
        return version("telnyx-bridge")
    except PackageNotFoundError:
        return "(not installed)"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, or get ``None`` for a name that is none."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"bridge.commands.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(installed_version(), prog_name="bridge")
def bridge() -> None:
    """A phone call is a function: Telnyx numbers answered by blocking Python."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit status.

    Args:
        arguments: words of the command line; those of the process when ``None``.
    """
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: words of the command line; those of the process when ``None``.

    Returns:
        The exit status.
    """
    try:
        status = bridge.main(arguments, prog_name="bridge", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "bridge"
        return complain(f"{error.format_message()} (see {where} --help)", where, status=2)
    except click.ClickException as error:
        return complain(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        # The terminal shows ^C; the shell's prompt wants a line of its own.
        click.echo(err=True)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`bridge ... | head`); Python would complain once more
        # when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (BridgeError, TelnyxMediaError) as error:
        return complain(str(error) or type(error).__name__)
    except ModuleNotFoundError as error:
        return complain(f"{error}; {how_to_install(error.name or '')}")
    except OSError as error:
        return complain(str(error))
    except Exception as error:  # noqa: BLE001 - the top of the program: a bug, told in one line
        return complain(
            f"unexpected {type(error).__name__}: {error} (a traceback: LOG_LEVEL=debug)"
        )
    return status if isinstance(status, int) else 0


# Modules that only an extra brings, and the extra.
EXTRAS = {
    "hibari_tts": "offline",
    "moonshine_voice": "offline",
    "nanotts": "offline",
    "openai": "llm",
    "psycopg": "postgres",
    "redis": "redis",
    "boto3": "s3",
}


def how_to_install(module: str) -> str:
    """Say how to get a module that is not installed."""
    extra = EXTRAS.get(module.partition(".")[0])
    if extra is None:
        return "install this project's requirements"
    return f"install it with: pip install 'telnyx-bridge[{extra}]'"


def complain(message: str, who: str = "bridge", *, status: int = 1) -> int:
    """Put an error on standard error and get the exit status that goes with it."""
    if os.environ.get("LOG_LEVEL", "").strip().lower() == "debug":
        traceback.print_exc()
    click.echo(f"{who}: {message}", err=True)
    return status
