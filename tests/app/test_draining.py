"""A process that stops: what callers hear whom no other process can take."""

from __future__ import annotations

import pytest

from bridge import Call, CallEnded
from tests.app.phone import phone_line
from tests.loopback import PATIENCE

LONG = 6 * PATIENCE


@pytest.mark.parametrize("busy", [False, True])
def test_a_call_that_nobody_can_take_ends_with_a_few_words(busy: bool) -> None:
    """Its agent is unwound, wherever it is, and the record says why the call ended."""
    unwound: list[bool] = []

    def agent(call: Call) -> None:
        try:
            call.say("Good day.")
            while busy:
                call.say("There is much more to be told about this. " * 5)
            call.listen()
        except CallEnded:
            unwound.append(True)
            raise

    with phone_line(agent, BRIDGE_DRAIN_LINE="Bye now.") as phone:
        call = phone.call()
        phone.seen.wait_for(lambda: phone.seen.replies)
        assert phone.bridge.drain(2 * PATIENCE)
        assert phone.seen.summary().reason == "drain"
        last = phone.seen.replies[-1][0]
        call.wait(LONG)
    assert (last.text, last.heard) == ("Bye now.", "Bye now.")
    assert unwound == [True]
    assert [command["name"] for command in call.commands][-1] == "hangup"


def test_no_words_are_said_if_none_are_wanted() -> None:
    """The call ends at once."""

    def agent(call: Call) -> None:
        call.listen()

    with phone_line(agent, BRIDGE_DRAIN_LINE="off") as phone:
        phone.call()
        phone.seen.wait_for(lambda: phone.seen.media)
        assert phone.bridge.drain(1.0)
        assert phone.seen.summary().reason == "drain"
        assert phone.seen.replies == []


def test_a_call_that_ends_by_itself_in_time_hears_nothing_of_it() -> None:
    """Draining waits for it, and no longer."""

    def agent(call: Call) -> None:
        call.say("Good day.")

    with phone_line(agent) as phone:
        phone.call()
        phone.seen.wait_for(lambda: phone.seen.media)
        assert phone.bridge.drain(LONG)
        assert phone.seen.summary().reason == "agent"
        assert [reply.text for reply, _ in phone.seen.replies] == ["Good day."]
