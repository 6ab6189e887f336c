"""What the processes agree on: events, tokens, legs."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from bridge.call import CallInfo
from bridge.registry import (
    EVENT_LIMIT,
    EVENT_MEMORY,
    RECONNECT_GRACE,
    TOKEN_LIFETIME,
    Claim,
    MemoryRegistry,
)

LEG = CallInfo(call_control_id="v3:one", call_leg_id="leg-one")


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> MemoryRegistry:
    """A registry with one live leg."""
    made = MemoryRegistry(clock=clock)
    assert made.begin(LEG)
    return made


def test_an_event_is_new_once(registry: MemoryRegistry, clock: Clock) -> None:
    """A repeated event id is known for ten minutes, then new again."""
    assert not registry.seen_event("a")
    assert registry.seen_event("a")
    assert not registry.seen_event("b")
    clock.now += EVENT_MEMORY - 1
    assert registry.seen_event("a")
    clock.now += EVENT_MEMORY + 1
    assert not registry.seen_event("a")


def test_event_ids_are_bounded() -> None:
    """However many events come, not more than the limit are remembered."""
    registry = MemoryRegistry(clock=lambda: 0.0)
    for number in range(EVENT_LIMIT + 10):
        registry.seen_event(str(number))
    assert len(registry._events._seen) == EVENT_LIMIT
    assert not registry.seen_event("0")
    assert registry.seen_event(str(EVENT_LIMIT + 9))


def test_a_leg_is_found_by_both_ids(registry: MemoryRegistry) -> None:
    """A live leg is found by its control id and by its leg id; an ended one by neither."""
    assert registry.find("v3:one") is LEG
    assert registry.find("leg-one") is LEG
    assert registry.count() == 1
    assert registry.end("leg-one")
    assert registry.find("v3:one") is None
    assert registry.find("leg-one") is None
    assert registry.count() == 0


def test_a_leg_begins_and_ends_once(registry: MemoryRegistry) -> None:
    """A live leg does not begin again, an ended one neither, and it ends once."""
    assert not registry.begin(LEG)
    assert registry.end("v3:one")
    assert not registry.end("v3:one")
    assert not registry.begin(LEG)
    assert registry.has_ended("v3:one")


def test_a_leg_that_ended_before_it_began_does_not_begin() -> None:
    """A hang-up delivered ahead of its call.initiated keeps the leg from beginning."""
    registry = MemoryRegistry()
    assert not registry.end("v3:early")
    assert not registry.begin(dataclasses.replace(LEG, call_control_id="v3:early"))


def test_a_token_is_for_one_socket(registry: MemoryRegistry) -> None:
    """A token is refused while its socket lives and after its stream stopped."""
    token = registry.mint("v3:one")
    assert registry.claim(token) == Claim("v3:one")
    assert registry.claim(token) == "in use"
    registry.release(token, lost=False)
    assert registry.claim(token) == "unknown"


def test_tokens_differ_and_strangers_are_refused(registry: MemoryRegistry) -> None:
    """No two tokens are alike, and one that was never made is unknown."""
    tokens = {registry.mint("v3:one") for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43
    assert registry.claim("stranger") == "unknown"
    assert registry.claim("") == "unknown"


def test_a_token_not_used_in_time_expires(registry: MemoryRegistry, clock: Clock) -> None:
    """A token is refused when its lifetime is over."""
    token = registry.mint("v3:one")
    clock.now += TOKEN_LIFETIME + 1
    assert registry.claim(token) == "expired"


def test_a_lost_socket_may_come_back_once(registry: MemoryRegistry, clock: Clock) -> None:
    """After a loss without stop the token is accepted once more within grace, and only once."""
    token = registry.mint("v3:one")
    registry.claim(token)
    registry.release(token, lost=True)
    clock.now += RECONNECT_GRACE - 0.1
    assert registry.claim(token) == Claim("v3:one", again=True)
    assert registry.claim(token) == "in use"
    registry.release(token, lost=True)
    assert registry.claim(token) == "unknown"


def test_the_grace_period_ends(registry: MemoryRegistry, clock: Clock) -> None:
    """A socket that comes back too late is refused."""
    token = registry.mint("v3:one")
    registry.claim(token)
    registry.release(token, lost=True)
    clock.now += RECONNECT_GRACE + 0.1
    assert registry.claim(token) == "expired"


def test_the_end_of_a_leg_takes_its_tokens(registry: MemoryRegistry) -> None:
    """Neither a fresh token nor a lost one opens a stream of a leg that has ended."""
    fresh, lost = registry.mint("v3:one"), registry.mint("v3:one")
    registry.claim(lost)
    registry.release(lost, lost=True)
    registry.end("v3:one")
    assert registry.claim(fresh) == "unknown"
    assert registry.claim(lost) == "unknown"
    assert registry.claim(registry.mint("v3:one")) == "ended"


def test_of_many_sockets_one_gets_the_token(registry: MemoryRegistry) -> None:
    """Threads that claim one token at once get one claim between them."""
    token = registry.mint("v3:one")
    start = threading.Barrier(8)
    results: list[object] = []

    def claim() -> None:
        start.wait()
        results.append(registry.claim(token))

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) == sorted([str(Claim("v3:one")), *["in use"] * 7])
