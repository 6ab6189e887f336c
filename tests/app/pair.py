"""Two bridges that share a Redis, each as if it were a process of its own, and one telephone line.

What a load balancer would decide, a test decides: :attr:`Pair.to` says which of the two the next
webhook or media socket comes to.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from bridge.app import Bridge, create_app
from bridge.call import Call
from bridge.settings import Settings
from bridge.simulator import Simulator
from bridge.simulator.speakers import ToneSpeaker
from bridge.simulator.synthesis import SynthesisService
from bridge.simulator.transcription import TranscriptionService
from tests.app.phone import Watcher, WebServer, scripted
from tests.conftest import binary_or_skip
from tests.loopback import wait_until
from tests.loopback.redis import RedisServer
from tests.loopback.road import Road

# Given the request's environment, which of the two gets it.
Balance = Callable[[Mapping[str, Any]], int]


# In the place of one of the two: nobody, who answers 503.
NOBODY = -1


def _nobody(environ: Mapping[str, Any], start: Any) -> list[bytes]:
    start("503 Service Unavailable", [("Content-Length", "0")])
    return []


class Pair:
    """What a test holds.

    Attributes:
        simulator: Telnyx.
        redis: what the two share.
        roads: the way of each to it.
        bridges: the two.
        seen: what was seen on the calls of each.
        url: the address of both.
        to: says which one a request comes to; the first, to begin with.
    """

    def __init__(
        self, simulator: Simulator, redis: RedisServer, roads: list[Road], server: WebServer
    ) -> None:
        self.simulator = simulator
        self.redis = redis
        self.roads = roads
        self.bridges: list[Bridge] = []
        self.seen: list[Watcher] = []
        self.url = server.url
        self.to: Balance = lambda environ: 0
        self._apps: list[Any] = []
        server.app = self._balance

    def add(self, environ: dict[str, str], agent: Callable[[Call], object]) -> None:
        """Start one of them."""
        watcher = Watcher()
        app = create_app(Settings.from_environ(environ), agent=agent, observers=[watcher])
        app.testing = True
        self._apps.append(app)
        self.bridges.append(app.extensions["bridge"])
        self.seen.append(watcher)
        self.bridges[-1].start()

    def _balance(self, environ: Mapping[str, Any], start: Any) -> Any:
        number = self.to(environ)
        return (_nobody if number == NOBODY else self._apps[number])(environ, start)

    def webhooks_to(self, number: int) -> None:
        """Have webhooks come to this one, media sockets to the other."""
        self.to = lambda environ: (
            number if environ["PATH_INFO"].endswith("/webhook") else 1 - number
        )

    def both_to(self, number: int) -> None:
        """Have everything come to this one."""
        self.to = lambda environ: number

    def wait_joined(self) -> None:
        """Wait until both know of each other."""
        fleets = [bridge.fleet for bridge in self.bridges if bridge.fleet is not None]
        wait_until(lambda: all(fleet.joined and fleet.others() == 1 for fleet in fleets))


@contextmanager
def pair(*agents: Callable[[Call], object], **variables: str) -> Iterator[Pair]:
    """Have two bridges and a line.

    Args:
        *agents: of the first and of the second; one is everybody's.
        **variables: further environment variables.
    """
    binary = binary_or_skip("redis-server", shutil.which("redis-server"))
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(binary))
        roads = [stack.enter_context(Road(redis.port)) for _ in range(2)]
        simulator = stack.enter_context(
            Simulator(
                transcription=TranscriptionService(
                    listen=lambda listening: scripted(listening, ())
                ),
                synthesis=SynthesisService(make_speaker=ToneSpeaker),
            )
        )
        server = WebServer()
        found = Pair(simulator, redis, roads, server)
        folder = stack.enter_context(TemporaryDirectory())
        stack.enter_context(server)
        for number, road in enumerate(roads):
            environ = {
                **simulator.environ,
                "PUBLIC_URL": server.url,
                "REDIS_URL": f"redis://127.0.0.1:{road.port}/0",
                "BRIDGE_HOME": f"{folder}/{number}",
                "BRIDGE_FROM_NUMBER": simulator.number,
                "BRIDGE_CONNECTION_ID": simulator.connection_id,
                **variables,
            }
            found.add(environ, agents[number % len(agents)])
            stack.callback(found.bridges[-1].close)
        simulator.webhook_url = f"{server.url}/telnyx/webhook"
        found.wait_joined()
        yield found
