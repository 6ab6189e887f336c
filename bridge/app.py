"""The application: everything of one process, wired.

Threads: making the application starts none, so a server may load it before it forks; the parts
start theirs when they have something to do, and :meth:`Bridge.close` joins them all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from flask import Blueprint, Flask, Response

from bridge import dashboard, listenin, logs, media, webhooks
from bridge.agents import load_agent
from bridge.books import Books
from bridge.call import Call
from bridge.callcontrol import CallControl
from bridge.decisions import Detector
from bridge.errors import BridgeError, SettingsError
from bridge.gate import Gate, guard
from bridge.observer import CallObserver
from bridge.pacer import Pacer
from bridge.placing import place
from bridge.reader import Reader
from bridge.registry import MemoryRegistry, Registry
from bridge.settings import TO_TAKE_CALLS, Settings
from bridge.switchboard import Switchboard
from bridge.worker import Screen
from bridge.workpool import WorkPool
from telnyx_media.errors import ConfigurationError
from telnyx_media.vad import VoiceRound

if TYPE_CHECKING:
    from bridge.fleet.fleet import Fleet

logger = logging.getLogger(__name__)


class Bridge:
    """What one process needs to hold calls; ``app.extensions["bridge"]``.

    Attributes:
        settings: the environment.
        control: sends the commands.
        registry: the facts shared with other processes.
        pacer: sends outbound audio.
        reader: reads the media sockets.
        voices: tells speech from all else on all calls.
        pool: does the work of webhooks.
        switchboard: the calls.
        books: what is kept of them: records, metrics, traces.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        agent: Callable[[Call], object] | None = None,
        registry: Registry | None = None,
        observers: Sequence[CallObserver] = (),
    ) -> None:
        """Wire the parts; nothing is started.

        Args:
            settings: the environment.
            agent: called once per call; ``BRIDGE_AGENT`` if ``None``.
            registry: the facts shared with other processes; in memory if ``None``.
            observers: told what happens on every call.

        Raises:
            SettingsError: what taking calls needs is not set.
            AgentError: the agent cannot be loaded.
        """
        settings.require(*TO_TAKE_CALLS)
        self.settings = settings
        self._draining = False
        agent = load_agent(settings.agent) if agent is None else agent
        self.control = CallControl.from_settings(settings)
        self.fleet = _fleet(settings, self._room) if registry is None else None
        if self.fleet is not None:
            registry = self.fleet.registry
            # First of all: what another process may need is written down before it is told.
            observers = (self.fleet.chronicle, *observers)
        self.registry: Registry = (
            MemoryRegistry(grace=settings.grace_seconds) if registry is None else registry
        )
        self.pacer = Pacer()
        self.voices = VoiceRound()
        self.reader = Reader(after=self.voices.judge)
        self.pool = WorkPool()
        self.books = Books(settings)
        self.switchboard = Switchboard(
            settings,
            self.control,
            registry=self.registry,
            pacer=self.pacer,
            agent=agent,
            observers=(*observers, *self.books.observers),
            elsewhere=self.fleet,
            screen=_screen(settings),
            detector=_detector(settings),
            make_detector=self.voices.detector,
        )
        fleet = self.fleet
        self.books.watch(
            self.switchboard,
            self.pacer,
            self.pool,
            lambda: 0 if fleet is None else fleet.chronicle.waiting,
        )
        if self.fleet is not None:
            self.fleet.attach(
                self.switchboard,
                self.pool.submit,
                self._serve_handed,
            )

    def _serve_handed(self, token: str, environ: Mapping[str, Any]) -> None:
        """Serve a connection that another process of this machine has taken."""
        _, slash, key = token.partition("/")
        if slash:
            listenin.serve_handed(self.switchboard.listeners, key, environ)
        else:
            media.serve_handed(self.switchboard, self.reader, token, environ)

    def _room(self) -> int:
        """Tell the other processes how many calls this one takes."""
        return 0 if self._draining else self.settings.max_calls

    def start(self) -> None:
        """Join the other processes, if there may be any; returns at once, may be called again.

        Not done by making the application: a server may do that before it forks.
        """
        if self.fleet is not None:
            self.fleet.start()

    @property
    def draining(self) -> bool:
        """Whether the process is on its way out and takes no new calls."""
        return self._draining

    def drain(
        self,
        timeout: float | None = None,
        stop_accepting: Callable[[], object] = lambda: None,
    ) -> bool:
        """Take no new calls and wait for the live ones; blocks until they have ended.

        Webhooks and media sockets of the live calls are still served.

        Args:
            timeout: seconds after which the calls that are left are handed over to another process,
                or hung up if there is none; ``BRIDGE_DRAIN_SECONDS`` if ``None``.
            stop_accepting: called before that: it makes the server take no new connections.

        Returns:
            Whether all calls are gone.
        """
        self._draining = True
        seconds = self.settings.drain_seconds if timeout is None else timeout
        return self.switchboard.drain(seconds, stop_accepting)

    def close(self) -> None:
        """End every call at once and join every thread; may be called twice."""
        self._draining = True
        self.pool.close()
        self.switchboard.close()
        if self.fleet is not None:
            self.fleet.close()
        self.reader.close()
        self.pacer.close()
        self.control.close()
        self.books.close()


def _fleet(settings: Settings, room: Callable[[], int]) -> Fleet | None:
    """Make this process's place among others, if they share a Redis."""
    if settings.redis_url is None:
        return None
    try:
        from bridge.fleet.fleet import Fleet
    except ModuleNotFoundError:
        raise SettingsError(
            "REDIS_URL needs the extra [redis]: pip install 'telnyx-bridge[redis]'"
        ) from None
    return Fleet(settings, room=room)


def create_app(
    settings: Settings | None = None,
    *,
    agent: Callable[[Call], object] | None = None,
    observers: Sequence[CallObserver] = (),
) -> Flask:
    """Make the web application; its :class:`Bridge` is ``app.extensions["bridge"]``.

    Args:
        settings: the environment; the process's own, read now, if ``None``.
        agent: called once per call; ``BRIDGE_AGENT`` if ``None``.
        observers: told what happens on every call.

    Raises:
        SettingsError: variables are missing or wrong; the message lists all of them.
        RecordsError: the database of call records cannot be used.
        AgentError: the agent cannot be loaded.
        ConfigurationError: an option of the speech services is wrong.
    """
    if settings is None:
        settings = Settings.from_environ(require=TO_TAKE_CALLS)
    bridge = Bridge(settings, agent=agent, observers=observers)
    receiver = webhooks.WebhookReceiver(
        settings.telnyx_public_key or "",
        bridge.switchboard.handle,
        bridge.pool,
        # Another process takes what this one leaves, if there is one.
        accept=bridge.fleet.accept if bridge.fleet is not None else lambda event: None,
        takes_calls=lambda: not bridge.draining or bool(bridge.fleet and bridge.fleet.others()),
    )
    app = Flask(__name__, static_folder=None)
    limits = None if bridge.fleet is None else bridge.fleet.limits
    guard(app, Gate() if limits is None else Gate(count=limits.refuse))
    app.extensions["bridge"] = bridge
    app.register_blueprint(webhooks.make_blueprint(receiver))
    app.register_blueprint(media.make_blueprint(bridge.switchboard, bridge.reader))
    app.register_blueprint(_health(bridge))
    board = bridge.switchboard
    for blueprint in bridge.books.blueprints(
        board, bridge.control, dial=lambda body: place(board, body)
    ):
        app.register_blueprint(blueprint)
    pages = dashboard.make_blueprint(
        dashboard.Dashboard(
            settings,
            bridge.books.store,
            bridge.switchboard,
            bridge.control,
            bridge.books.metrics,
            bridge.books.storage,
            together=limits,
        )
    )
    if pages is not None:
        app.register_blueprint(pages)
    return app


def load_app() -> Flask:
    """Make the application for a web server: from the environment, with its logging.

    What is wrong with the environment or the agent ends the process with one line per problem.
    """
    try:
        settings = Settings.from_environ(require=TO_TAKE_CALLS)
        logs.set_up(settings)
        return create_app(settings)
    except (BridgeError, ConfigurationError) as error:
        logs.give_up(error)


def _health(bridge: Bridge) -> Blueprint:
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return Response("alive\n", mimetype="text/plain")

    @blueprint.get("/readyz")
    def readyz() -> Response:
        if bridge.draining:
            return Response("draining\n", 503, mimetype="text/plain")
        if bridge.fleet is not None and not bridge.fleet.joined:
            bridge.start()
            return Response("Redis is away\n", 503, mimetype="text/plain")
        if not bridge.switchboard.accepting:
            return Response("full\n", 503, mimetype="text/plain")
        return Response("ready\n", mimetype="text/plain")

    return blueprint


def _screen(settings: Settings) -> Screen | None:
    if settings.screen is None:
        return None
    return load_agent(settings.screen, "BRIDGE_SCREEN", takes=("info",))


def _detector(settings: Settings) -> Detector | None:
    if settings.turn_detector is None:
        return None
    variable, takes = "BRIDGE_TURN_DETECTOR", ("audio", "text")
    return cast("Detector", load_agent(settings.turn_detector, variable, takes=takes))
