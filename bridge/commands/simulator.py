"""``bridge simulator``: Telnyx on loopback until stopped."""

from __future__ import annotations

import signal
import threading

import click

from bridge.errors import BridgeError


@click.command("simulator")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="any free one",
    help="Port to listen on.",
)
@click.option("--webhook", default="", metavar="URL", help="Where webhooks of calls go.")
@click.option("--number", default=None, help="Phone number that calls go to.")
@click.option("--api-key", default=None, help="Key that clients must send; made up by default.")
def command(host: str, port: int, webhook: str, number: str | None, api_key: str | None) -> None:
    """Run Telnyx on loopback until stopped.

    Prints one NAME=value line for each environment variable that points a program at it, then
    "ready". POST /simulator/calls on its port places a call.
    """
    from bridge.simulator import Simulator
    from bridge.simulator.simulator import OUR_NUMBER

    stop = threading.Event()
    for number_ in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number_, lambda *_: stop.set())
    simulator = Simulator(
        host=host, port=port, webhook_url=webhook, number=number or OUR_NUMBER, api_key=api_key
    )
    try:
        simulator.start()
    except OSError as error:
        raise BridgeError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    try:
        for name, value in simulator.environ.items():
            click.echo(f"{name}={value}")
        click.echo("ready")
        stop.wait()
    finally:
        simulator.stop()
