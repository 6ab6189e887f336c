"""``bridge demo``: a whole phone call on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.commands.simulated import codec_option, out_option
from bridge.demo.play import play
from bridge.demo.screen import Screen
from bridge.demo.scripts import SCRIPTS


@click.command()
@click.option(
    "--script",
    "name",
    type=click.Choice(sorted(SCRIPTS)),
    default="booking",
    show_default=True,
    help="What happens on the call.",
)
@codec_option("PCMU")
@out_option("demo-call")
def command(name: str, codec: str, out: Path) -> None:
    """Hold a whole phone call on this machine, no account needed.

    Telnyx is simulated; the app is the real one. A caller's voice is really recognised, an agent
    answers, its words are really synthesised, and what the caller hears is recognised again to
    judge the call: the exit status is 0 only if it came to what it should.
    """
    screen = Screen()
    outcome = play(SCRIPTS[name](), codec.upper(), out, screen)
    screen.summary(outcome.figures, outcome.checks, outcome.files)
    if not outcome.passed:
        raise click.ClickException(f"the call did not come to what it should; see {out}/app.log")
