"""``bridge call +1…``: call somebody and have an agent talk to them.

The call is held by this process, with a server of its own on ``PORT``, which has to be reachable
under ``PUBLIC_URL`` as that of ``bridge serve`` has; its webhooks come here, wherever the
application's go.  To have an app that runs already place a call, ask it: ``POST /api/calls``.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click
from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from bridge import logs
from bridge.account import Account
from bridge.agents import load_agent
from bridge.app import Bridge, create_app
from bridge.call import CallInfo, Reply
from bridge.decisions import Turn
from bridge.errors import BridgeError
from bridge.observer import CallObserver, CallSummary, TurnLatency
from bridge.placing import check_address
from bridge.redaction import mask_number
from bridge.settings import TO_TAKE_CALLS, Settings
from bridge.webhooks import ROUTE
from telnyx_media.sync.threads import ThreadGroup


@click.command("call")
@click.argument("to")
@click.option("--agent", metavar="MODULE:CALLABLE", help="Who talks.  [default: BRIDGE_AGENT]")
@click.option("--from", "from_", metavar="NUMBER", help="Shown to them.  [default: the account's]")
@click.option("--timeout", type=float, default=30.0, show_default=True, help="Seconds of ringing.")
@click.option("--detect", is_flag=True, help="Find out who answers: human, machine, screening.")
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")
def command(
    to: str, agent: str | None, from_: str | None, timeout: float, detect: bool, host: str
) -> None:
    """Call TO, a number like +12025550123, and have an agent talk to whoever answers.

    Needs TELNYX_API_KEY, TELNYX_PUBLIC_KEY, and a PUBLIC_URL that leads to PORT on this machine.
    Ends with the call: status 0 when somebody answered, 1 when nobody did.
    """
    try:
        check_address(to)
        if from_ is not None:
            check_address(from_, "--from")
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    settings = Settings.from_environ(require=TO_TAKE_CALLS)
    if "log_level" not in settings.model_fields_set:
        # How the call goes is told by the screen.
        settings = settings.model_copy(update={"log_level": "warning"})
    logs.set_up(settings)
    function = load_agent(agent or settings.agent, "--agent" if agent else "BRIDGE_AGENT")
    from_, connection_id = _caller(settings, from_)
    screen = Screen()
    app = create_app(settings, agent=function, observers=[screen])
    bridge: Bridge = app.extensions["bridge"]
    with _served(app, bridge, host, settings.port), _until_interrupted(bridge):
        click.echo(f"calling {mask_number(to)} from {mask_number(from_)}")
        worker = bridge.switchboard.dial(
            to,
            from_=from_,
            connection_id=connection_id,
            timeout=timeout,
            detect=detect,
            fields={"webhook_url": f"{settings.public_url}{ROUTE}"},
        )
        screen.await_end(worker.info)
        if not worker.answered:
            cause = worker.hangup_cause or "no answer"
            raise BridgeError(f"nobody answered: {cause.replace('_', ' ')}")


def _caller(settings: Settings, from_: str | None) -> tuple[str, str]:
    """Find the number and the application to call with."""
    from_ = from_ or settings.from_number
    if from_ and settings.connection_id:
        return from_, settings.connection_id
    assert settings.telnyx_api_key is not None
    with Account(settings.telnyx_api_key.get_secret_value(), settings.telnyx_api_url) as account:
        applications = {str(application.get("id")) for application in account.applications()}
        for number in account.numbers():
            connection = str(number.get("connection_id") or "")
            shown = str(number.get("phone_number") or "")
            wanted = settings.connection_id in (None, connection) and from_ in (None, shown)
            if wanted and connection in applications:
                return shown, connection
    raise BridgeError(
        "no number of the account belongs to a Call Control application; make one with: "
        "bridge setup, or set BRIDGE_FROM_NUMBER and BRIDGE_CONNECTION_ID"
    )


class Screen(CallObserver):
    """Shows how the call goes, without a word of what is said."""

    def __init__(self) -> None:
        """Begin with nothing to show."""
        self._changed = threading.Condition()
        self._ended: set[str] = set()

    def await_end(self, info: CallInfo) -> None:
        """Wait until a call is over, everything of it."""
        with self._changed:
            while info.call_control_id not in self._ended:
                # Woken now and then, so that a signal is heard in every Python.
                self._changed.wait(1.0)

    def on_media(self, info: CallInfo) -> None:
        """They have answered."""
        click.echo(f"answered ({info.codec})")

    def on_turn(self, info: CallInfo, turn: Turn, latency: TurnLatency) -> None:
        """They have spoken."""
        click.echo(f"they said something ({len(turn.text.split())} words)")

    def on_reply(self, info: CallInfo, reply: Reply, latency: TurnLatency) -> None:
        """The agent has spoken."""
        cut = ", interrupted" if reply.interrupted else ""
        click.echo(f"the agent said something ({len(reply.heard.split())} words{cut})")

    def on_end(self, info: CallInfo, summary: CallSummary) -> None:
        """The call is over."""
        click.echo(f"call ended: {summary.reason}, {summary.duration:.1f} s")
        with self._changed:
            self._ended.add(info.call_control_id)
            self._changed.notify_all()


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Log nothing of requests but at debug: an address holds a token."""
        logging.getLogger("bridge.commands.call").debug("a request: %s", type)


@contextmanager
def _served(app: Flask, bridge: Bridge, host: str, port: int) -> Iterator[None]:
    """Serve the app on a thread, and end every call and thread at the end."""
    server: BaseWSGIServer = make_server(host, port, app, threaded=True, request_handler=_Quiet)
    # Joined by server_close().
    server.daemon_threads = False  # type: ignore[attr-defined]
    server.block_on_close = True  # type: ignore[attr-defined]
    group = ThreadGroup("call")
    group.spawn("serve", server.serve_forever, 0.05)
    try:
        yield
    finally:
        # First, so that no webhook comes which the bridge would have to refuse.
        server.shutdown()
        bridge.close()
        server.server_close()
        group.join()


@contextmanager
def _until_interrupted(bridge: Bridge) -> Iterator[None]:
    """Hang up, rather than vanish, on SIGTERM; Ctrl-C unwinds by itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hang_up(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, hang_up)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
