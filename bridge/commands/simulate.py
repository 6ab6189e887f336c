"""``bridge simulate call.wav``: the configured agent, called by an audio file."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.commands.simulated import (
    agent_option,
    call_own_agent,
    codec_option,
    out_option,
    require_words,
)
from bridge.demo.scripts import Script
from bridge.settings import Settings


@click.command()
@click.argument("recording", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@agent_option
@codec_option()
@click.option(
    "--at-once", is_flag=True, help="Play it when the call begins, not behind the greeting."
)
@out_option("simulated-call")
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
    require_words(call_own_agent(script, codec, out, settings), out)
