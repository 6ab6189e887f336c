"""Whether what comes back is the agent: levels of windows, on a clock of the test's."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from bridge.echoguard import EchoGuard

WINDOW = 0.032
MARGIN = 12.0

# How loud the agent is, dBFS.
AGENT = -15.0


class Line:
    """A line that returns the agent at so many dB, over noise."""

    def __init__(self, echo: float | None, noise: float = -90.0, seed: int = 1) -> None:
        self.guard = EchoGuard(MARGIN)
        self.now = 10.0
        self._echo = echo
        self._noise = noise
        self._random = random.Random(seed)

    def silence(self, seconds: float) -> Line:
        """Have nobody speak."""
        for _ in self._windows(seconds):
            assert not self.guard.is_echo(self._noise, None, self.now, learn=True)
        return self

    def agent(
        self, seconds: float, caller: float | None = None, *, learn: bool = True
    ) -> list[bool]:
        """Have the agent speak, and perhaps the caller; tell of which windows were echo.

        Who speaks to the agent for more than four windows has stopped it.
        """
        found = []
        for index in self._windows(seconds):
            level = self._noise
            if self._echo is not None:
                # Speech is seldom as loud as its loudest half second.
                level = max(level, AGENT + self._echo - self._random.uniform(0, 10))
            if caller is not None:
                level = max(level, caller - self._random.uniform(0, 6))
            found.append(
                self.guard.is_echo(
                    level, AGENT, self.now, learn=learn and (caller is None or index < 4)
                )
            )
        return found

    def _windows(self, seconds: float) -> Iterator[int]:
        for index in range(round(seconds / WINDOW)):
            self.now += WINDOW
            yield index


@pytest.mark.parametrize("noise", [-90.0, -45.0, -38.0])
def test_quiet_caller_is_heard_on_a_line_without_echo(noise: float) -> None:
    """A second into the greeting a caller 15 dB below the agent is no echo, noise or not."""
    line = Line(None, noise).silence(0.5)
    line.agent(1.0)

    assert not any(line.agent(0.5, caller=-30.0))


@pytest.mark.parametrize("echo", [-10.0, -15.0, -20.0, -30.0])
def test_echo_is_known_once_it_was_heard(echo: float) -> None:
    """What the line returns is learnt within a second and is not the caller from then on."""
    line = Line(echo).silence(0.5)
    line.agent(1.0)

    assert all(line.agent(20.0))


def test_echo_at_first_is_known_by_the_margin() -> None:
    """The first words of a greeting come back as quietly as echoes do."""
    assert all(Line(-20.0).silence(0.2).agent(0.5))
    assert not any(Line(None).silence(0.2).agent(0.3, caller=-20.0))


@pytest.mark.parametrize("caller", [-15.0, -22.0])
def test_caller_is_heard_over_an_echo(caller: float) -> None:
    """Somebody at a speakerphone is louder there than what the speaker returns."""
    line = Line(-20.0).silence(0.5)
    line.agent(3.0)

    assert not any(line.agent(0.5, caller=caller)[3:])


def test_caller_who_breaks_in_again_and_again_is_not_taken_for_an_echo() -> None:
    """Attempts to break in, a cough among them, do not become the line's echo."""
    line = Line(None).silence(0.5)
    for _ in range(10):
        line.agent(2.0)
        assert not any(line.agent(0.3, caller=-28.0))


def test_who_speaks_over_a_reply_that_may_not_be_interrupted_teaches_nothing() -> None:
    """Nobody stops the agent there, so the caller may speak for long."""
    line = Line(None).silence(0.5)
    line.agent(1.0)
    line.agent(5.0, caller=-28.0, learn=False)

    assert not any(line.agent(0.5, caller=-28.0))


def test_echo_that_begins_later_is_learnt() -> None:
    """A caller who switches the speaker on is guarded against after some seconds."""
    line = Line(None).silence(0.5)
    line.agent(5.0)
    line._echo = -15.0
    line.agent(3.0)

    assert all(line.agent(5.0))


def test_echo_outlasts_the_agent() -> None:
    """The last words come back when the agent is silent already, and then nothing does."""
    line = Line(-20.0).silence(0.5)
    line.agent(2.0)
    line.now += 0.2
    assert line.guard.is_echo(AGENT - 20, None, line.now, learn=True)
    line.now += 0.4

    assert not line.guard.is_echo(AGENT - 20, None, line.now, learn=True)


def test_nobody_has_to_be_louder_than_the_agent() -> None:
    """A line that returns nearly everything leaves the rest to the recogniser."""
    line = Line(-2.0).silence(0.5)
    line.agent(2.0)

    assert not line.guard.is_echo(AGENT + 0.5, AGENT, line.now + WINDOW, learn=True)
