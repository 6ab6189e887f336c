"""A call held by a language model with real speech: only what the caller says is scripted."""

from __future__ import annotations

import pytest

from bridge.agents.llm import ChatAgent
from bridge.simulator import Simulator
from bridge.simulator.answering import Answering


@pytest.mark.slow
def test_a_table_is_booked_by_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recognised, understood by the simulated model, booked by a tool, and told by a voice."""
    booked: list[tuple[int, str]] = []

    def book_table(guests: int, day: str) -> str:
        """Book a table."""
        booked.append((guests, day))
        return f"a table for {guests} {day}"

    agent = ChatAgent("You book tables.", greeting="Hello.", tools=[book_table])
    with Simulator(caller_voice="low") as telnyx:
        # As on a machine that has no other settings: the model is found under Telnyx's address.
        for name, value in telnyx.environ.items():
            monkeypatch.setenv(name, value)
        with Answering(telnyx, agent) as app:
            call = telnyx.place_call(
                caller=[{"say": "I would like a table for two tomorrow."}, {"hangup": True}]
            )
            call.wait(90)
    assert app.errors == []
    assert booked == [(2, "tomorrow")]
    assert "a table for 2 tomorrow" in " ".join(app.said)
