"""What becomes of a call whose agent is gone with its process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.call import Call, Remark
from bridge.inheritance import UNNAMED, Inheritance
from bridge.resumption import agent_name
from bridge.simulator import SimulatedCall
from tests.app.phone import Phone, phone_line
from tests.loopback import PATIENCE
from tests.loopback.agents import listener

LINE = "Sorry, we were cut off for a moment."
SAID = (Remark("agent", "What is your name?", "What is your name?"), Remark("caller", "Ada", "Ada"))
OTHER = "+12025550177"


class Seen:
    """What agents have seen of their calls."""

    def __init__(self) -> None:
        self.histories: list[tuple[Remark, ...]] = []


def hand_over(phone: Phone, name: str = "") -> SimulatedCall:
    """Have a call that an earlier process has answered and talked on, and that this one takes."""
    call = phone.simulator.place_call()
    phone.seen.wait_for(lambda: phone.bridge.switchboard.live())
    (worker,) = phone.bridge.switchboard.live()
    call.wait_for(lambda c: c.frames["sent"].get("media", 0) > 10, 4 * PATIENCE)
    inheritance = Inheritance(worker.info, resumed=True, history=SAID, age=12.0, agent=name)
    phone.bridge.switchboard.take_over(inheritance)
    return call


def texts(phone: Phone) -> list[str]:
    """Get what was said to the caller."""
    phone.seen.summary()
    return [reply.text for reply, _ in phone.seen.replies]


def heedful(seen: Seen) -> Callable[[Call], object]:
    """Make an agent that looks at what was."""

    def agent(call: Call) -> None:
        if not call.resumed:
            call.listen()
        seen.histories.append(call.history)
        call.say("Where were we?")

    return agent


def test_an_agent_that_looks_finds_its_own_words() -> None:
    """It gets the whole history, and the caller hears nothing else."""
    seen = Seen()
    with phone_line(heedful(seen)) as phone:
        call = hand_over(phone)
        call.wait(8 * PATIENCE)
        assert texts(phone) == ["Where were we?"]
    assert seen.histories == [SAID]


def test_for_an_agent_that_does_not_look_a_line_is_said() -> None:
    """The caller hears what happened before the greeting begins again."""
    calls: list[Call] = []

    def agent(call: Call) -> None:
        calls.append(call)
        if len(calls) == 1:
            call.listen()
        call.say("Good day.")

    with phone_line(agent) as phone:
        call = hand_over(phone)
        call.wait(8 * PATIENCE)
        assert texts(phone) == [LINE, "Good day."]


def test_the_hook_of_an_agent_is_called_instead() -> None:
    """A function of its own for the second half."""

    def agent(call: Call) -> None:
        call.listen()

    def resume(call: Call) -> None:
        assert call.history == SAID
        call.say("Welcome back.")

    agent.resume = resume  # type: ignore[attr-defined]
    with phone_line(agent) as phone:
        call = hand_over(phone)
        call.wait(8 * PATIENCE)
        assert texts(phone) == ["Welcome back."]


@pytest.mark.parametrize("policy", ["hangup", f"transfer:{OTHER}"])
def test_the_operator_may_choose(policy: str) -> None:
    """The line, and the end, or somebody else."""

    def agent(call: Call) -> None:
        call.listen()

    with phone_line(agent, BRIDGE_RESUME=policy) as phone:
        call = hand_over(phone)
        if policy == "hangup":
            call.wait(8 * PATIENCE)
        else:
            call.wait_for(
                lambda c: "transfer" in [command["name"] for command in c.commands], 8 * PATIENCE
            )
            call.hang_up()
            call.wait(8 * PATIENCE)
        assert texts(phone) == [LINE]


def test_a_call_whose_agent_has_no_name_ends_politely() -> None:
    """It was given to ``dial`` and lived in the process that is gone."""

    def agent(call: Call) -> None:
        call.listen()

    with phone_line(agent) as phone:
        call = hand_over(phone, UNNAMED)
        call.wait(8 * PATIENCE)
        (last,) = texts(phone)
        assert "sorry" in last


def test_an_agent_is_found_by_its_name() -> None:
    """A function of a module has one; a lambda has none."""
    assert agent_name(listener) == "tests.loopback.agents:listener"
    assert agent_name(lambda call: None) == ""
