"""``bridge loadtest --calls N``: how many calls at once this machine holds with an agent."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import cast

import click

from bridge.commands.simulated import agent_option
from bridge.loadtest import load
from bridge.loadtest.figures import (
    OWN_LATENESS,
    Measured,
    capacity,
    levels,
    room,
    threads_for,
    why_bad,
)
from bridge.settings import Settings

HEAD = "calls   CPU    CPU/call  memory   replies p50   p99      gaps   simulator late / CPU"


@click.command()
@click.option(
    "--calls", type=click.IntRange(1, 2000), required=True, help="The most calls at once to try."
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3600),
    default=15.0,
    show_default=True,
    help="How long each step is measured.",
)
@click.option(
    "--speech",
    type=click.Choice(["scripted", "offline"]),
    default="scripted",
    show_default=True,
    help="Speech services that answer at once, or the embedded ones, which really compute.",
)
@agent_option
@click.option(
    "--tolerance",
    type=click.FloatRange(1, 10000),
    default=100.0,
    show_default=True,
    help="Milliseconds that the slowest answers may take longer than one call's alone.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file for the figures, as JSON.",
)
def command(
    calls: int,
    seconds: float,
    speech: str,
    agent: str | None,
    tolerance: float,
    out: Path | None,
) -> None:
    """Measure how many calls at once the configured agent holds on this machine.

    The real app runs in a process of its own, with the BRIDGE_ settings of the environment; this
    one simulates Telnyx, its speech services and the callers, who speak whenever the agent has
    finished. Calls are added in steps until one is bad twice, or there are as many as asked for.
    """
    settings = Settings.from_environ()
    name = agent or settings.agent
    variables = {key: value for key, value in os.environ.items() if key.startswith("BRIDGE_")}
    slack = tolerance / 1000
    done: list[Measured] = []

    def on_step(step: Measured) -> bool:
        if done and done[-1].calls == step.calls:
            # Measured once more: that counts.
            done.pop()
        done.append(step)
        reason = why_bad(step, done[0], slack)
        click.echo(row(step) + (f"   {reason}" if reason else ""))
        return not reason

    click.echo(f"{name}, {settings.codec}, {speech} speech, {seconds:g} s a step")
    click.echo(HEAD)
    with load.running_app(
        name,
        calls,
        speech=cast(load.Speech, speech),
        codec=settings.codec,
        variables=variables,
    ) as running:
        load.run(running, levels(calls), seconds, on_step)
    held = capacity(done, slack)
    if out is not None:
        out.write_text(json.dumps([asdict(step) for step in done], indent=2) + "\n")
    if not held:
        raise click.ClickException(
            f"not one call is held well here: {why_bad(done[0], done[0], slack)}"
        )
    tell(done, held)


def row(step: Measured) -> str:
    """Write a step as a line under :data:`HEAD`."""
    cpu = (
        "    -         -  "
        if step.cpu is None
        else (f"{step.cpu * 100:4.0f} %   {step.cpu * 100 / step.calls:5.2f} % ")
    )
    memory = "   -   " if step.memory is None else f"{step.memory / 1e6:4.0f} MB"
    return (
        f"{step.calls:5d}  {cpu}  {memory}  {_ms(step.p50)}   {_ms(step.p99)}  {step.gaps:5d}"
        f"   {_ms(step.lateness)} / {step.own_cpu * 100:.0f} %"
    )  # fmt: skip


def _ms(seconds: float | None) -> str:
    return "      -   " if seconds is None else f"{seconds * 1000:7.0f} ms"


def tell(steps: list[Measured], held: int) -> None:
    """Say what capacity to set."""
    click.echo()
    if held == steps[-1].calls:
        fits = room(steps[-1])
        more = f"; by its CPU time, a core holds about {fits}" if fits and fits > held else ""
        click.echo(f"All {held} calls were held well{more}.")
    else:
        bad = steps[held_index(steps, held) + 1]
        click.echo(f"{held} calls were held well, {bad.calls} not.")
        if bad.lateness > OWN_LATENESS:
            click.echo(
                "The simulator was late itself: with a core of its own, or on a machine that has "
                "nothing else to do, there may be room for more."
            )
    click.echo("For each process, set:")
    click.echo(f"  BRIDGE_MAX_CALLS={held}")
    click.echo(f"  BRIDGE_THREADS={max(64, threads_for(held))}")


def held_index(steps: list[Measured], held: int) -> int:
    """Get the position of the step with so many calls."""
    return [step.calls for step in steps].index(held)
