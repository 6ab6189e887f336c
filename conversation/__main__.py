"""Run the suite and print its table: ``python -m conversation``."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import click

from bridge.errors import BridgeError
from bridge.simulator.audio import resample
from conversation import heard, table
from conversation.agents import ANSWER, GREETING, TALK
from conversation.calls import make_plans
from conversation.clips import Wardrobe
from conversation.peer import Peer
from conversation.run import Line, Ours, Outcome, Voice, run
from conversation.sounds import RATE
from telnyx_media.sentences import SentenceSplitter


@click.command()
@click.option("--short", is_flag=True, help="A quarter of the calls.")
@click.option("--peer", is_flag=True, help="Also with Pipecat's default agent, see benchmarks.")
@click.option("--only", default="", help="Only calls whose row has this in its name or kind.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("conversation-results"),
    show_default=True,
    help="Folder for the table and the audio of what went wrong.",
)
@click.option("--set", "variables", multiple=True, help="NAME=value for the bridge.")
def main(short: bool, peer: bool, only: str, out: Path, variables: tuple[str, ...]) -> None:
    """Hold calls with real audio through the whole stack, and print how they felt."""
    shutil.rmtree(out / "failures", ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    wardrobe = Wardrobe(out / "clips")
    try:
        plans = make_plans(wardrobe, every=4 if short else 1)
    finally:
        wardrobe.close()
    plans = [plan for plan in plans if only in f"{plan.kind} {plan.row}"]
    opening = _warm_up()
    given = dict(variable.split("=", 1) for variable in variables)
    lines = [Line("bridge", lambda simulator: Ours(simulator, out / "bridge.log", given))]
    if peer:
        lines.append(Line("pipecat", lambda simulator: Peer(simulator, out / "pipecat.log")))
    outcomes: list[Outcome] = []
    # Who has no more time gets the table of the calls that are over.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stopped = False
    try:
        with ExitStack() as stack:
            ready = [stack.enter_context(line) for line in lines]
            for outcome in run(
                ready, plans, opening, out / "failures", lambda text: click.echo(text, err=True)
            ):
                outcomes.append(outcome)
    except KeyboardInterrupt:
        stopped = True
        click.echo("stopped before the last call", err=True)
    except BridgeError as error:
        raise click.ClickException(str(error)) from None
    agents = [line.name for line in lines]
    errors = [] if only or stopped else heard.measure(out, 1 if short else 3)
    text = table.markdown(table.rows(outcomes, agents))
    click.echo(text)
    (out / "table.md").write_text(text + "\n")
    if errors:
        click.echo(table.heard_line(errors))
    for outcome in outcomes:
        if not outcome.finding.good:
            finding = outcome.finding
            click.echo(
                f"{outcome.agent}: {outcome.plan.row}: {finding.name}: {finding.what}", err=True
            )
    click.echo(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; audio: {out}/failures")
    missed = table.misses(outcomes, "bridge")
    for line in missed:
        click.echo(f"missed: {line}")
    sys.exit(1 if missed else 0)


def _warm_up() -> bytes:
    """Speak all that the agents say once; get the opening of the long text."""
    voice = Voice()
    opening = b""
    for text in (TALK, GREETING, ANSWER):
        splitter = SentenceSplitter("en-US")
        for sentence in [*splitter.feed(text), *splitter.flush()]:
            spoken = b"".join(voice.speak(sentence, 1.0))
            opening = opening or resample(spoken, voice.sample_rate, RATE)
    return opening


if __name__ == "__main__":
    main()
