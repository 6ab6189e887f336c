"""The examples: short, and each of them runs against the simulator.

Those of a subject are run by the tests of that subject; here is what belongs to none.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from examples import pizza
from tests.app.phone import phone_line
from tests.loopback import PATIENCE

EXAMPLES = Path(__file__).parents[2] / "examples"

# Complete programs, which show how things fit together.
PROGRAMS = {"livekit_agent.py"}

SOURCES = sorted(EXAMPLES.glob("[a-z]*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.stem))
def test_example_fits_on_a_slide(path: Path) -> None:
    """Each verb is shown in at most 15 lines, and the file says how it is run or what it does."""
    lines = path.read_text().splitlines()

    assert path.name in PROGRAMS or len(lines) <= 15
    assert lines[0].startswith('"""')


def test_an_order_is_taken() -> None:
    """The smallest agent that does something, from greeting to goodbye."""
    with phone_line(pizza.answer, texts=["A large pizza.", "Goodbye."]) as phone:
        call = phone.call(
            {"play": phone.speech, "when": "agent_stops"},
            {"play": phone.speech, "when": "agent_stops"},
        )
        call.wait(12 * PATIENCE)
        said = [reply.text for reply, _ in phone.seen.replies]
        assert phone.seen.summary().reason == "agent"
        assert phone.seen.errors == []
    assert said == [
        "Thanks for calling Corner Pizza. What would you like?",
        "A large pizza. Anything else?",
        "That is 1 things, in twenty minutes. Goodbye.",
    ]
