"""Whole calls through the real application: what an agent function sees."""

from __future__ import annotations

from bridge.call import Call, Reply
from tests.app.phone import SPEECH, phone_line


def test_a_conversation_from_greeting_to_goodbye() -> None:
    """The agent speaks, hears a turn, answers it, returns; and the caller is hung up on."""
    said: list[Reply] = []
    turns: list[str] = []

    def agent(call: Call) -> None:
        said.append(call.say("Hello there."))
        turn = call.listen()
        assert turn is not None
        turns.append(turn.text)
        said.append(call.say("Goodbye."))

    with phone_line(agent, texts=["a table for two"]) as phone:
        call = phone.call({"play": SPEECH})
        call.wait(20)
        summary = phone.seen.summary()
    assert turns == ["a table for two"]
    assert said == [Reply("Hello there.", "Hello there."), Reply("Goodbye.", "Goodbye.")]
    assert summary.reason == "agent"
    assert (summary.turns, summary.replies, summary.streams) == (1, 2, 1)
    assert summary.abandoned == ()
    assert [command["name"] for command in call.commands] == ["answer", "hangup"]
