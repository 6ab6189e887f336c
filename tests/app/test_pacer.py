"""The pacer with legs that count their pumps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bridge.pacer import Pacer
from tests.loopback import PATIENCE, wait_until


class Leg:
    """A leg that does what it is told when it is pumped."""

    def __init__(self, pump: Callable[[float], float | None] = lambda now: None) -> None:
        self.pumped_at: list[float] = []
        self.threads: set[str] = set()
        self.errors: list[Exception] = []
        self._pump = pump

    def pump(self, now: float) -> float | None:
        """Count, and do what was said."""
        self.threads.add(threading.current_thread().name)
        self.pumped_at.append(now)
        return self._pump(now)

    def fail(self, error: Exception) -> None:
        """Keep what went wrong."""
        self.errors.append(error)


@pytest.fixture
def pacer() -> Iterator[Pacer]:
    """A pacer that is closed at the end."""
    with Pacer() as made:
        yield made


def every(period: float, times: int) -> Callable[[float], float | None]:
    """Be due each ``period`` seconds, so often."""
    left = times

    def pump(now: float) -> float | None:
        nonlocal left
        left -= 1
        return now + period if left > 0 else None

    return pump


def test_no_thread_before_the_first_wake() -> None:
    """A process that serves no call has no pacer thread."""
    with Pacer():
        assert not [t for t in threading.enumerate() if t.name.startswith("pacer")]


def test_woken_leg_is_pumped_until_it_falls_silent(pacer: Pacer) -> None:
    """A leg is pumped at each of its dues, on the pacer's thread, and forgotten when silent."""
    leg = Leg(every(0.01, 5))
    pacer.wake(leg)

    wait_until(lambda: len(leg.pumped_at) == 5 and not pacer.speaking())
    assert leg.threads == {"pacer/bridge"}
    assert pacer.pumps == 5


def test_pump_is_never_early(pacer: Pacer) -> None:
    """A leg is pumped at or after the due that it gave."""
    dues: list[float] = []

    def pump(now: float) -> float | None:
        dues.append(now + 0.007)
        return dues[-1] if len(dues) < 20 else None

    leg = Leg(pump)
    pacer.wake(leg)
    wait_until(lambda: len(leg.pumped_at) == 20)

    assert all(at >= due for at, due in zip(leg.pumped_at[1:], dues, strict=False))


def test_one_failure_silences_one_leg(pacer: Pacer) -> None:
    """A pump that raises is reported to its own leg, and the others go on."""

    def broken(now: float) -> float | None:
        raise ValueError("broken")

    bad, good = Leg(broken), Leg(every(0.005, 10))
    pacer.wake(bad)
    pacer.wake(good)

    wait_until(lambda: len(good.pumped_at) == 10)
    assert len(bad.pumped_at) == 1
    assert [str(error) for error in bad.errors] == ["broken"]


def test_failure_that_cannot_be_reported_is_logged(
    pacer: Pacer, caplog: pytest.LogCaptureFixture
) -> None:
    """A leg that raises even on the report of its failure stops nobody."""

    class Hopeless(Leg):
        def fail(self, error: Exception) -> None:
            raise error

    def broken(now: float) -> float | None:
        raise ValueError("broken")

    pacer.wake(Hopeless(broken))
    good = Leg(every(0.005, 10))
    pacer.wake(good)

    wait_until(lambda: len(good.pumped_at) == 10)
    assert "could not take note" in caplog.text


def test_wake_is_not_lost_during_the_pump(pacer: Pacer) -> None:
    """A leg woken while it is being pumped is pumped once more."""
    pumping, woken = threading.Event(), threading.Event()

    def pump(now: float) -> None:
        if not pumping.is_set():
            pumping.set()
            assert woken.wait(PATIENCE)

    leg = Leg(pump)
    pacer.wake(leg)
    assert pumping.wait(PATIENCE)
    pacer.wake(leg)
    woken.set()

    wait_until(lambda: len(leg.pumped_at) == 2)
    wait_until(lambda: not pacer.speaking())


def test_wake_comes_before_a_far_due(pacer: Pacer) -> None:
    """A wake interrupts the sleep until a due that is far away."""
    leg = Leg(lambda now: now + 1000)
    pacer.wake(leg)
    wait_until(lambda: len(leg.pumped_at) == 1)
    pacer.wake(leg)
    wait_until(lambda: len(leg.pumped_at) == 2)


def test_removed_leg_is_left_alone(pacer: Pacer) -> None:
    """After removal a leg is pumped no more, even if it is removed within its own pump."""
    leg = Leg()

    def pump(now: float) -> float | None:
        pacer.remove(leg)
        return now

    leg._pump = pump
    pacer.wake(leg)
    other = Leg(every(0.005, 10))
    pacer.wake(other)

    wait_until(lambda: len(other.pumped_at) == 10)
    assert len(leg.pumped_at) == 1
    pacer.remove(leg)


def test_close_ends_the_thread_and_is_final() -> None:
    """Closing joins the thread at once, whatever is due, and a later wake does nothing."""
    pacer = Pacer()
    leg = Leg(lambda now: now + 1000)
    pacer.wake(leg)
    wait_until(lambda: leg.pumped_at)
    began = time.monotonic()
    pacer.close()
    pacer.close()

    assert time.monotonic() - began < 1.0
    pacer.wake(leg)
    assert pacer.speaking() == 0
    assert len(leg.pumped_at) == 1


def test_close_from_a_pump_does_not_wait_for_itself() -> None:
    """A leg that ends the process's pacer from its own pump gets away with it."""
    pacer = Pacer()
    leg = Leg()

    def pump(now: float) -> None:
        pacer.close()

    leg._pump = pump
    pacer.wake(leg)
    wait_until(lambda: leg.pumped_at)
    pacer.close()


def test_many_legs_and_wakers(pacer: Pacer) -> None:
    """Legs woken from many threads at once are each pumped as often as they are due."""
    legs = [Leg(every(0.02, 10)) for _ in range(200)]

    def wake(mine: list[Leg]) -> None:
        for leg in mine:
            pacer.wake(leg)

    threads = [threading.Thread(target=wake, args=(legs[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    wait_until(lambda: all(len(leg.pumped_at) == 10 for leg in legs), "200 legs, 10 pumps each")
    assert pacer.pumps == 2000
