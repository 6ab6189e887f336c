"""``bridge simulate call.wav``: the configured agent, called by an audio file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from bridge.demo.play import play
from bridge.demo.screen import Screen
from bridge.demo.scripts import Script
from bridge.settings import Settings


@click.command()
@click.argument("recording", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--agent",
    metavar="MODULE:CALLABLE",
    help="The agent that answers.  [default: BRIDGE_AGENT]",
)
@click.option(
    "--codec",
    type=click.Choice(["PCMU", "PCMA", "G722", "OPUS", "L16"], case_sensitive=False),
    help="Codec of the leg; L16 is 16 kHz.  [default: BRIDGE_CODEC]",
)
@click.option(
    "--at-once", is_flag=True, help="Play it when the call begins, not behind the greeting."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("simulated-call"),
    show_default=True,
    help="Directory for recording, transcript and page.",
)
def command(
    recording: Path, agent: str | None, codec: str | None, at_once: bool, out: Path
) -> None:
    """Call the configured agent with an audio file as the caller.

    The agent is called through the real app over simulated Telnyx, with the BRIDGE_ settings of the
    environment. The recording is played, the agent is heard out, and the caller hangs up.
    """
    settings = Settings.from_environ()
    script = Script(
        name="simulate",
        title=f"{recording.name} calls",
        agent=agent or settings.agent,
        caller=(
            {"play": str(recording), "when": "now" if at_once else "agent_stops"},
            {"hangup": True},
        ),
    )
    variables = {name: value for name, value in os.environ.items() if name.startswith("BRIDGE_")}
    codec = (codec or settings.codec).upper()
    variables |= {"BRIDGE_AGENT": script.agent, "BRIDGE_CODEC": codec}
    screen = Screen()
    outcome = play(script, codec, out, screen, variables)
    screen.summary(outcome.figures, outcome.checks, outcome.files)
    if not any(item.speaker == "agent" for item in outcome.items):
        raise click.ClickException(f"the agent said nothing; see {out}/app.log")
