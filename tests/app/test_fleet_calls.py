"""Calls on several real processes that share a real Redis, while some of those die.

``make chaos`` does more of it, with more calls, and a table.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator

import pytest

from tests.chaos.measure import Outcome
from tests.chaos.scene import Scene, scene
from tests.conftest import binary_or_skip
from tests.loopback import PATIENCE

pytestmark = pytest.mark.slow

# Seconds: the machine of a test may have other things to do, which `make chaos` tells of.
PATIENT = 15.0


@pytest.fixture
def stage() -> Iterator[Scene]:
    """Two processes, ready for calls."""
    binary = binary_or_skip("redis-server", shutil.which("redis-server"))
    with scene(redis_server=binary, initdb=None, workers=2, drain=1.0, CHAOS_COUNT="30") as found:
        yield found


def assert_whole(outcomes: list[Outcome], count: int) -> None:
    """Check that every call came to its end, whole, and was held by one agent at a time."""
    assert all(outcome.ended for outcome in outcomes), outcomes
    assert all(outcome.unheard == 0 for outcome in outcomes), outcomes
    assert all(outcome.duplicates == 0 for outcome in outcomes), outcomes
    assert all(outcome.silence < PATIENT for outcome in outcomes), outcomes
    assert len(outcomes) == count


def test_a_process_that_is_killed_loses_no_call(stage: Scene) -> None:
    """Kill -9 in the middle of a sentence: others take its calls, each once, history and all."""
    stage.place(3, keys="")
    stage.pass_time(2)
    stage.kill_worker()
    outcomes = stage.finish(count=30)
    assert_whole(outcomes, 3)
    assert "Traceback" not in stage.fleet.output


def test_a_process_that_stops_hands_its_calls_over(stage: Scene) -> None:
    """SIGTERM to one process: its calls go on in another one, and lose no media socket to it."""
    stage.place(3, keys="")
    for pid in stage.fleet.workers()[:1]:
        stage.fleet.kill(pid, signal.SIGTERM)
    outcomes = stage.finish(count=30)
    assert_whole(outcomes, 3)
    assert "Traceback" not in stage.fleet.output


def test_a_lost_media_socket_keeps_its_agent(stage: Scene) -> None:
    """The socket comes back through whichever process, and the agent does not notice."""
    stage.place(3, keys="")
    stage.pass_time(1)
    stage.cut_media(1.0)
    outcomes = stage.finish(count=30)
    assert_whole(outcomes, 3)
    assert [outcome.agents for outcome in outcomes] == [1, 1, 1]


def test_calls_outlive_redis_and_new_ones_are_refused_meanwhile(stage: Scene) -> None:
    """It comes back with nothing in it; then calls begin again."""
    stage.place(2, keys="")
    with stage.redis.away():
        refused = stage.simulator.place_call()
        refused.wait(6 * PATIENCE)
        assert refused.hangup_cause == "user_busy"
    outcomes = stage.finish(count=30)
    assert_whole(outcomes, 2)
    stage.wait_accepting()
    later = stage.simulator.place_call()
    later.wait_for(lambda call: call.media, 6 * PATIENCE)
