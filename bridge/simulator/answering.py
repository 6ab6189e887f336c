"""The app in the process of a test: it answers the simulator's calls with an agent function.

Everything is as in a deployment, but for the web server, which is the one that comes with Flask.

Threads: one that accepts, one per request, and those of the app; all are joined at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from bridge.app import create_app
from bridge.call import Call, CallInfo, Reply
from bridge.decisions import Turn
from bridge.observer import CallObserver, TurnLatency
from bridge.settings import Settings
from bridge.simulator.simulator import Simulator
from telnyx_media.sync.threads import ThreadGroup

__all__ = ["Answering"]


class Answering(CallObserver):
    """An app that answers, as a ``with`` block.

    Attributes:
        url: its address.
        heard: what the agent understood, turn by turn.
        said: what the callers heard of each of the agent's replies.
        errors: what the agent function raised.
    """

    def __init__(
        self,
        simulator: Simulator,
        agent: Callable[[Call], object],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            simulator: whose calls are answered.
            agent: called once per call.
            variables: further settings, ``{"BRIDGE_CODEC": "PCMA"}``.
        """
        self.heard: list[str] = []
        self.said: list[str] = []
        self.errors: list[BaseException] = []
        self._simulator = simulator
        self._agent = agent
        self._variables = dict(variables or {})
        self._stack = ExitStack()
        self.url = ""

    def on_turn(self, info: CallInfo, turn: Turn, latency: TurnLatency) -> None:
        """Keep what was understood."""
        self.heard.append(turn.text or turn.digits)

    def on_reply(self, info: CallInfo, reply: Reply, latency: TurnLatency) -> None:
        """Keep what was heard."""
        self.said.append(reply.heard)

    def on_agent_error(self, info: CallInfo, error: BaseException) -> None:
        """Keep what the agent raised."""
        self.errors.append(error)

    def __enter__(self) -> Answering:
        # The port has to be known to make the app, and the app to serve the port.
        app: list[Any] = []
        server = make_server(
            "127.0.0.1",
            0,
            lambda environ, start: app[0](environ, start),
            threaded=True,
            request_handler=_QuietHandler,
        )
        server.daemon_threads = False  # type: ignore[attr-defined]  # joined by server_close()
        server.block_on_close = True  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{server.server_port}"
        environ = {**self._simulator.environ, "PUBLIC_URL": self.url, **self._variables}
        with ExitStack() as stack:
            stack.callback(server.server_close)
            made = create_app(Settings.from_environ(environ), agent=self._agent, observers=[self])
            app.append(made)
            group = ThreadGroup("web")
            group.spawn("serve", server.serve_forever, 0.02)
            stack.callback(group.join)
            stack.callback(server.shutdown)
            stack.callback(made.extensions["bridge"].close)
            self._stack = stack.pop_all()
        self._simulator.webhook_url = f"{self.url}/telnyx/webhook"
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End its calls and join its threads."""
        self._stack.close()


class _QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Keep quiet: the app has a log of its own."""
