"""Limits that hold for several processes together, with a real Redis between them."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.dashboard.access import FROM_ALL, FROM_ONE, WINDOW, Attempts
from bridge.fleet.limits import Limits
from bridge.fleet.store import FleetStore, namespace
from bridge.gate import BURST, Gate
from telnyx_media.sync.threads import ThreadGroup
from tests.app.dashboards import PASSWORD, Visitor
from tests.app.test_app import ENVIRON
from tests.app.test_gunicorn import Gunicorn
from tests.conftest import binary_or_skip
from tests.loopback import wait_until
from tests.loopback.http import ScriptedHttp
from tests.loopback.redis import RedisServer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """One Redis for all tests here."""
    with RedisServer(binary_or_skip("redis-server", shutil.which("redis-server"))) as found:
        yield found


@pytest.fixture
def processes(server: RedisServer, request: pytest.FixtureRequest) -> Iterator[list[Limits]]:
    """Three processes that count together."""
    stores = [FleetStore(server.url, namespace(request.node.name), timeout=5.0) for _ in range(3)]
    yield [Limits(store) for store in stores]
    for store in stores:
        store.close()


def test_wrong_passwords_count_in_all_processes(processes: list[Limits]) -> None:
    """Whichever process is asked: five from one address, and that address waits."""
    attempts = [Attempts(limits) for limits in processes]
    for n in range(FROM_ONE):
        assert attempts[n % 3].take("a", now=100.0) == 0
    for each in attempts:
        assert 0 < each.take("a", now=100.0) <= WINDOW
        assert each.take("b", now=100.0) == 0


def test_wrong_passwords_of_many_addresses_count_in_all_processes(processes: list[Limits]) -> None:
    """A botnet is one guesser, too; the right password of somebody is none of its tries."""
    attempts = [Attempts(limits) for limits in processes]
    for n in range(FROM_ALL):
        assert attempts[n % 2].take("owner", now=100.0) == 0
        attempts[n % 2].give_back("owner")
        assert attempts[n % 3].take(f"a{n}", now=100.0) == 0
    for each in attempts:
        assert each.take("owner", now=100.0) > 0


def test_tries_at_the_same_time_are_not_more_than_one_after_another(
    processes: list[Limits],
) -> None:
    """A try is taken before the password is looked at, in one step."""
    attempts = [Attempts(limits) for limits in processes]
    together, looked_at = threading.Barrier(12), []

    def guess(n: int) -> None:
        together.wait()
        if attempts[n % 3].take("a", now=100.0) == 0:
            looked_at.append(n)

    with ThreadGroup("guessers") as group:
        for n in range(12):
            group.spawn("guess", guess, n)
    assert len(looked_at) == FROM_ONE


def test_tries_are_forgotten(server: RedisServer, processes: list[Limits]) -> None:
    """After the window there are new ones, and nothing is left in Redis."""
    for limits in processes:
        assert limits.take("a", from_one=3, from_all=9, window=0.2) == 0
    assert 0 < processes[0].take("a", from_one=3, from_all=9, window=0.2) <= 0.2
    wait_until(lambda: processes[0].take("a", from_one=3, from_all=9, window=0.2) == 0)


def test_refusals_count_in_all_processes(processes: list[Limits]) -> None:
    """A process that was not asked before shuts with the first refusal of its own."""
    gates = [Gate(count=limits.refuse) for limits in processes]
    # A few are forgiven meanwhile.
    refusals = iter(lambda: any(gate.refuse("a") for gate in gates[:2]), True)
    assert BURST / 2 - 1 <= len(list(refusals)) < BURST
    assert not gates[2].is_shut("a")
    gates[2].refuse("a")
    assert gates[2].refuse("a") or gates[2].is_shut("a")
    gates[2].refuse("b")
    assert not gates[2].is_shut("b")


def test_refusals_are_forgiven_in_all_processes(processes: list[Limits]) -> None:
    """At the same rate, and by one clock."""
    levels = [limits.refuse("a", burst=2, rate=0.001) for limits in processes]
    assert levels == pytest.approx([1, 2, 3], abs=0.5)
    wait_until(lambda: processes[0].refuse("a", burst=2, rate=1e6) == 1)


def test_without_redis_each_process_counts_for_itself() -> None:
    """And nobody is let in, or kept out, for want of it."""
    with RedisServer(binary_or_skip("redis-server", shutil.which("redis-server"))) as redis:
        store = FleetStore(redis.url, namespace("away"))
        limits = Limits(store)
        attempts, gate = Attempts(limits), Gate(burst=2, per_minute=0.01, count=limits.refuse)
        assert attempts.take("a", now=100.0) == 0
        with redis.away():
            assert [attempts.take("a", now=100.0) == 0 for _ in range(FROM_ONE)] == [
                *[True] * (FROM_ONE - 1),
                False,
            ]
            attempts.give_back("a")
            assert attempts.take("a", now=100.0) == 0
            shut = [gate.refuse("a") for _ in range(3)]
        assert sum(shut) == 1
        assert gate.is_shut("a")
        store.close()


@pytest.mark.slow
def test_two_workers_lock_out_together(tmp_path: Path, server: RedisServer) -> None:
    """Under the real server: the sixth wrong password is not looked at, whoever gets it."""
    with (
        ScriptedHttp() as telnyx,
        Gunicorn(
            tmp_path / "output", "--workers", "2", **ENVIRON, TELNYX_API_URL=telnyx.url,
            BRIDGE_DASHBOARD_PASSWORD=PASSWORD, REDIS_URL=server.url,
        ) as gunicorn,
    ):  # fmt: skip
        gunicorn.wait_ready()
        statuses = []
        for _ in range(FROM_ONE + 3):
            # A connection of its own, so that either worker may get it.
            with Visitor(gunicorn.url) as visitor:
                statuses.append(visitor.sign_in("wrong", Connection="close").status_code)
        assert statuses == [403] * FROM_ONE + [429] * 3
        workers = set(re.findall(r"Booting worker with pid: (\d+)", gunicorn.output))
        assert len(workers) == 2
        assert "Traceback" not in gunicorn.output
        assert gunicorn.get("/healthz") == 200
