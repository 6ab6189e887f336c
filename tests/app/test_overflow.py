"""The call that is one too many, and those that do not notice it."""

from __future__ import annotations

import threading

import pytest

from bridge.call import Call
from bridge.simulator import SimulatedCall
from bridge.simulator.callees import Callee
from tests.app.phone import Phone, phone_line
from tests.loopback import PATIENCE, wait_until

OTHER = "+12025550177"

pytestmark = pytest.mark.slow


class Talker:
    """An agent that speaks to each caller, and holds the line until it is told to let go."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.done = threading.Event()

    def __call__(self, call: Call) -> None:
        """Say hello, and wait."""
        self.calls.append(call)
        call.say("Hello.")
        while not self.done.is_set():
            call.listen(0.05)


def commands(call: SimulatedCall) -> list[str]:
    """Name the commands that were sent for a leg."""
    return [command["name"] for command in call.commands]


def first_call(phone: Phone) -> SimulatedCall:
    """Have the only line taken."""
    call = phone.call()
    phone.wait_for_agent_audio(call)
    return call


def test_it_is_busy() -> None:
    """Call N+1 is refused, and call N goes on."""
    agent = Talker()
    with phone_line(agent, BRIDGE_MAX_CALLS="1") as phone:
        first = first_call(phone)
        second = phone.call()
        second.wait(4 * PATIENCE)
        assert second.hangup_cause == "user_busy"
        assert commands(second) == ["reject"]
        assert not first.ended
        agent.done.set()
        first.wait(4 * PATIENCE)
    assert len(agent.calls) == 1


def test_it_hears_a_line() -> None:
    """It is answered, told, and hung up on; no agent is called and no stream opened."""
    agent = Talker()
    line = "All our people are talking. Please call again."
    with phone_line(agent, BRIDGE_MAX_CALLS="1", BRIDGE_OVERFLOW=f"say:{line}") as phone:
        first_call(phone)
        second = phone.call()
        second.wait(4 * PATIENCE)
        assert commands(second) == ["answer", "speak", "hangup"]
        assert second.streams == []
        assert max(second.heard) > 0
        agent.done.set()
    assert len(agent.calls) == 1


def test_it_is_transferred() -> None:
    """Somebody else is called for it; when they hang up, the caller is not left alone."""
    agent = Talker()
    overflow = f"transfer:{OTHER}"
    with phone_line(agent, BRIDGE_MAX_CALLS="1", BRIDGE_OVERFLOW=overflow) as phone:
        phone.simulator.add_callee(OTHER, Callee())
        first_call(phone)
        second = phone.call()
        second.wait_for(lambda call: call.bridged_to, 4 * PATIENCE)
        other = phone.simulator.find_call(second.bridged_to or "")
        assert other is not None
        assert other.to_number == OTHER
        other.hang_up()
        second.wait(4 * PATIENCE)
        assert commands(second)[:2] == ["answer", "transfer"]
        agent.done.set()


def test_it_waits_with_music_until_there_is_room() -> None:
    """The first who waits is the next to be talked to."""
    agent = Talker()
    with phone_line(agent, BRIDGE_MAX_CALLS="1", BRIDGE_OVERFLOW="queue") as phone:
        first = first_call(phone)
        second = phone.call()
        second.wait_for(lambda call: "playback_start" in commands(call), 4 * PATIENCE)
        third = phone.call()
        third.wait_for(lambda call: "playback_start" in commands(call), 4 * PATIENCE)
        assert second.streams == []
        first.hang_up()
        second.wait_for(lambda call: call.media, 4 * PATIENCE)
        assert not third.media
        assert commands(second)[:4] == [
            "answer", "playback_start", "playback_stop", "streaming_start"
        ]  # fmt: skip
        # Who gives up is not waited for.
        third.hang_up()
        third.wait(4 * PATIENCE)
        wait_until(lambda: phone.bridge.registry.count() == 1)
        agent.done.set()
        second.wait(4 * PATIENCE)
    assert len(agent.calls) == 2
    assert not agent.calls[1].resumed


def test_who_waits_when_the_process_stops_is_not_left_in_the_music() -> None:
    """The call is ended."""
    agent = Talker()
    with phone_line(agent, BRIDGE_MAX_CALLS="1", BRIDGE_OVERFLOW="queue") as phone:
        first_call(phone)
        second = phone.call()
        second.wait_for(lambda call: "playback_start" in commands(call), 4 * PATIENCE)
        phone.bridge.drain(0.0)
        second.wait(4 * PATIENCE)
        assert commands(second)[-1] == "hangup"
