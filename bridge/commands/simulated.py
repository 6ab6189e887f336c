"""What the commands that hold a simulated call have in common: options, and the call."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from bridge.demo.play import Outcome, play
from bridge.demo.screen import Screen
from bridge.demo.scripts import Script
from bridge.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., object])

agent_option = click.option(
    "--agent",
    metavar="MODULE:CALLABLE",
    help="The agent that answers.  [default: BRIDGE_AGENT]",
)


def codec_option(default: str | None = None) -> Callable[[_Command], _Command]:
    """Make ``--codec``; with no default it is that of the settings."""
    return click.option(
        "--codec",
        type=click.Choice(["PCMU", "PCMA", "G722", "OPUS", "L16"], case_sensitive=False),
        default=default,
        show_default=default is not None,
        help="Codec of the leg; L16 is 16 kHz." + ("" if default else "  [default: BRIDGE_CODEC]"),
    )


def out_option(default: str) -> Callable[[_Command], _Command]:
    """Make ``--out``, the directory that a call leaves."""
    return click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(default),
        show_default=True,
        help="Directory for recording, transcript and page.",
    )


def call_own_agent(script: Script, codec: str | None, out: Path, settings: Settings) -> Outcome:
    """Call the user's agent with the BRIDGE_ settings of the environment, and show what it came to.

    Blocks until the call has ended.

    Args:
        script: what the caller does, and which agent answers.
        codec: of the leg; the settings' if it is ``None``.
        out: the directory for what the call leaves.
        settings: of the environment.

    Raises:
        BridgeError: the call could not be held.
    """
    codec = (codec or settings.codec).upper()
    variables = {name: value for name, value in os.environ.items() if name.startswith("BRIDGE_")}
    variables |= {"BRIDGE_AGENT": script.agent, "BRIDGE_CODEC": codec}
    screen = Screen()
    outcome = play(script, codec, out, screen, variables)
    screen.summary(outcome.figures, outcome.checks, outcome.files)
    return outcome


def require_words(outcome: Outcome, out: Path) -> None:
    """End the command with an error if the agent never spoke.

    Raises:
        ClickException: it said nothing.
    """
    if not any(item.speaker == "agent" for item in outcome.items):
        raise click.ClickException(f"the agent said nothing; see {out}/app.log")
