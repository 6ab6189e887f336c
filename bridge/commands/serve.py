"""``bridge serve``: the app on this machine."""

from __future__ import annotations

import os
import sys

import click

from bridge.agents import load_agent
from bridge.demo.server import CONFIGURATION
from bridge.settings import TO_TAKE_CALLS, Settings


@click.command()
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port.  [default: PORT, or 8000]")
@click.option("--reload", is_flag=True, help="Start again when the code changes; calls are cut.")
def command(host: str, port: int | None, reload: bool) -> None:
    """Run the app on this machine, as a deployment would.

    Settings come from the environment; all that are missing or wrong are told at once. This process
    becomes gunicorn.
    """
    settings = Settings.from_environ(require=TO_TAKE_CALLS)
    load_agent(settings.agent)
    port = settings.port if port is None else port
    click.echo(f"agent      {settings.agent}")
    click.echo(f"webhooks   {settings.public_url}/telnyx/webhook   (set this at Telnyx)")
    click.echo(f"listening  {host}:{port}   (Ctrl-C ends it)")
    sys.stdout.flush()
    # gunicorn takes the place of this process, so that a signal reaches it and nobody in between.
    os.execv(
        sys.executable,
        [sys.executable, "-m", "gunicorn", "-c", CONFIGURATION, "--bind", f"{host}:{port}",
         *(["--reload"] if reload else []), "bridge.app:load_app()"],
    )  # fmt: skip
