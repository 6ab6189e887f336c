"""Calls on a server of several processes, and what is done to them meanwhile.

Threads: the simulator's; what a fault does runs on the caller's.
"""

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge.simulator import SimulatedCall, Simulator
from tests.chaos.agent import COUNT
from tests.chaos.measure import Outcome, measure, read_notes
from tests.chaos.server import Fleet
from tests.chaos.speechserver import speech_server
from tests.loopback.postgres import Postgres
from tests.loopback.redis import RedisServer

__all__ = ["FAULTS", "Scene", "scene"]

# Seconds that the calls of one scene may take in all.
LIMIT = 150.0

# Keys that each caller presses, one every two seconds.
KEYS = "1234567890"


class Scene:
    """A server, its services and the calls on it.

    Attributes:
        simulator: Telnyx.
        fleet: the server.
        redis: its Redis.
        postgres: its database, if it is a server.
        calls: the calls, when they have been placed.
    """

    def __init__(
        self,
        simulator: Simulator,
        fleet: Fleet,
        redis: RedisServer,
        postgres: Postgres | None,
        notes: Path,
    ) -> None:
        self.simulator = simulator
        self.fleet = fleet
        self.redis = redis
        self.postgres = postgres
        self.calls: list[SimulatedCall] = []
        self._notes = notes
        self._killed: dict[int, float] = {}
        self._keys = KEYS
        self._random = random.Random(7)

    def place(self, count: int, keys: str = KEYS, *, settle: bool = True) -> None:
        """Place calls, a few per second, and wait until each is spoken to.

        Args:
            count: how many.
            keys: what each caller presses, one key every two seconds.
            settle: whether to wait.
        """
        self._keys = keys
        steps: list[dict[str, object]] = [{"wait": 1.0}]
        for key in keys:
            steps += [{"dtmf": key}, {"wait": 1.6}]
        for _ in range(count):
            self.calls.append(self.simulator.place_call(caller=steps))
            time.sleep(0.2)
        for call in self.calls if settle else ():
            call.wait_for(lambda c: c.media or c.ended, 30)

    def pass_time(self, seconds: float) -> None:
        """Let the calls go on."""
        time.sleep(seconds)

    def kill_worker(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill one of the workers, or tell it to stop."""
        pid = self._random.choice(self.fleet.workers())
        if number == signal.SIGKILL:
            self._killed[pid] = time.monotonic()
        self.fleet.kill(pid, number)

    def cut_media(self, share: float = 0.5) -> None:
        """Lose the media sockets of some of the calls."""
        for call in self.calls:
            if self._random.random() < share:
                call.cut_media()

    def wait_accepting(self) -> None:
        """Wait until every worker takes calls, as far as asking often can tell."""
        answers = 0
        while answers < 10:
            answers = answers + 1 if self.fleet.is_ready() else 0

    def finish(self, count: int = COUNT) -> list[Outcome]:
        """Wait for the end of all calls, and measure them.

        Args:
            count: to what the agents count, ``CHAOS_COUNT``.
        """
        limit = time.monotonic() + LIMIT
        for call in self.calls:
            try:
                call.wait(max(0.1, limit - time.monotonic()))
            except TimeoutError:
                call.hang_up()
        time.sleep(0.5)
        notes = read_notes(self._notes)
        return [
            measure(call, notes.get(call.id, []), self._keys, self._killed, count)
            for call in self.calls
        ]


@contextmanager
def scene(
    *,
    redis_server: str,
    initdb: str | None,
    workers: int = 4,
    drain: float = 3.0,
    **variables: str,
) -> Iterator[Scene]:
    """Have a server of several processes, ready for calls.

    Args:
        redis_server: the program.
        initdb: Postgres's program of that name; SQLite is used if ``None``.
        workers: processes.
        drain: ``BRIDGE_DRAIN_SECONDS``.
        **variables: further environment variables.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bridge-chaos-")))
        notes = folder / "notes"
        notes.mkdir()
        redis = stack.enter_context(RedisServer(redis_server))
        postgres = stack.enter_context(Postgres(initdb)) if initdb is not None else None
        simulator = stack.enter_context(Simulator())
        speech = stack.enter_context(speech_server(simulator.api_key))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environ = {
            **simulator.environ,
            **speech,
            "PORT": str(port),
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "REDIS_URL": redis.url,
            "BRIDGE_AGENT": "tests.chaos.agent:answer",
            "BRIDGE_DRAIN_SECONDS": str(drain),
            "CHAOS_NOTES": str(notes),
            **variables,
        }
        if postgres is not None:
            environ["DATABASE_URL"] = postgres.url
        fleet = stack.enter_context(Fleet(folder, workers, **environ))
        fleet.wait_ready()
        simulator.webhook_url = f"{fleet.url}/telnyx/webhook"
        yield Scene(simulator, fleet, redis, postgres, notes)


# -- what is done to the calls --------------------------------------------------------------------


def _nothing(stage: Scene) -> None:
    """Do nothing."""


def _kill(stage: Scene) -> None:
    """Kill a worker, and another one when there are four again."""
    stage.kill_worker()
    stage.pass_time(6)
    stage.kill_worker()


def _kill_as_calls_come(stage: Scene) -> None:
    """Kill workers that have just taken webhooks of new calls, one when the other is back."""
    for _ in range(2):
        stage.place(4, settle=False)
        stage.kill_worker()
        stage.pass_time(6)
    stage.place(2)


def _terminate(stage: Scene) -> None:
    """Tell a worker to stop; it hands over when its time is over."""
    stage.kill_worker(signal.SIGTERM)
    stage.pass_time(6)
    stage.kill_worker(signal.SIGTERM)


def _redis(stage: Scene) -> None:
    """Kill Redis, and start it again with nothing in it."""
    with stage.redis.away():
        stage.pass_time(5)


def _redis_then_kill(stage: Scene) -> None:
    """Kill Redis, start it empty, and kill a worker when all have found their way back."""
    with stage.redis.away():
        stage.pass_time(3)
    stage.pass_time(6)
    stage.kill_worker()


def _database(stage: Scene) -> None:
    """Stop the database for a while."""
    if stage.postgres is not None:
        with stage.postgres.away():
            stage.pass_time(5)


def _media(stage: Scene) -> None:
    """Cut media sockets, twice."""
    stage.cut_media()
    stage.pass_time(5)
    stage.cut_media()


def _webhooks(stage: Scene) -> None:
    """Have webhooks come twice, late and in any order."""
    _unsettle(stage)


def _unsettle(stage: Scene) -> None:
    faults = stage.simulator.faults
    faults.duplicate_webhooks = True
    faults.delay_webhooks = 0.2
    faults.shuffle_webhooks = 0.5


def _everything(stage: Scene) -> None:
    """Do all of it."""
    _unsettle(stage)
    stage.cut_media(0.3)
    stage.pass_time(2)
    stage.kill_worker()
    stage.pass_time(4)
    with stage.redis.away():
        stage.pass_time(2)
    stage.pass_time(5)
    stage.kill_worker(signal.SIGTERM)
    _database(stage)


FAULTS: dict[str, Callable[[Scene], None]] = {
    "none": _nothing,
    "worker killed (SIGKILL), twice": _kill,
    "workers killed as calls come in": _kill_as_calls_come,
    "worker stopped (SIGTERM), twice": _terminate,
    "media sockets cut, twice": _media,
    "webhooks twice, late, shuffled": _webhooks,
    "Redis away for 5 s, then empty": _redis,
    "Redis emptied, then a worker killed": _redis_then_kill,
    "database away for 5 s": _database,
    "all of these": _everything,
}
"""What can be done to the calls, by how it is called in the table."""
