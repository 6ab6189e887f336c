"""What a call costs the pacer: no more pumps than there is something due for."""

from __future__ import annotations

from bridge.call import Call, Reply
from tests.app.phone import phone_line
from tests.loopback import PATIENCE


def test_a_reply_costs_a_pump_for_each_chunk_and_few_more() -> None:
    """A pump that asked for the next one itself would be called as often as a core allows."""
    replies: list[Reply] = []

    def agent(call: Call) -> None:
        replies.append(call.say("Twenty characters a."))

    with phone_line(agent) as phone:
        call = phone.call()
        call.wait(4 * PATIENCE)
        pumps = phone.bridge.pacer.pumps
        chunks = len(call.media)
    assert [reply.interrupted for reply in replies] == [False]
    assert chunks >= 10
    assert pumps < 10 * chunks
