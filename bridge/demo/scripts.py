"""What is played: the callers' scripts, the agents they talk to, and what must come of it.

Pure.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.agents.frontdesk import Booking
from bridge.errors import BridgeError

Steps = tuple[Mapping[str, Any], ...]

RECORDINGS = Path(__file__).parent.parent.parent / "tests" / "data" / "voices"
# Short readings; the pauses inside each are shorter than the endpointing delay.
RECORDED = (
    "austen-0870.wav",
    "austen-0880.wav",
    "austen-0890.wav",
    "austen-0920.wav",
    "austen-0930.wav",
)


@dataclass(frozen=True)
class Script:
    """One call.

    Attributes:
        name: as it is chosen on the command line.
        title: what happens, in one line.
        agent: the agent function that answers, ``module:callable``.
        caller: the simulated caller's steps.
        booking: what must have been understood and confirmed, but for the day; ``None`` if the call
            is no booking.
        barge_in: whether the caller breaks in on the agent.
        references: for played recordings, what is said in them.
    """

    name: str
    title: str
    agent: str
    caller: Steps
    booking: Booking | None = None
    barge_in: bool = False
    references: tuple[str, ...] = field(default=())


def booking_script() -> Script:
    """Book a table, from greeting to goodbye."""
    return Script(
        name="booking",
        title="a table is booked, from greeting to goodbye",
        agent="bridge.agents.receptionist:answer",
        caller=(
            {"say": "I would like a table for four tomorrow at half past seven."},
            {"say": "The name is Miller."},
            {"say": "Yes, that is right."},
            {"say": "No, thank you. Goodbye."},
        ),
        booking=Booking(party=4, time=dt.time(19, 30), name="Miller"),
    )


def barge_in_script() -> Script:
    """Break in on the agent with a correction."""
    return Script(
        name="barge-in",
        title="the caller breaks in on the agent with a correction",
        agent="bridge.agents.receptionist:answer",
        caller=(
            {"say": "Good evening. A table for four tomorrow at half past seven, name is Miller."},
            {"say": "No, five people please.", "when": {"agent_speaking": 2.5}},
            {"say": "Yes, that is right."},
            {"say": "No, thank you. Goodbye."},
        ),
        booking=Booking(party=5, time=dt.time(19, 30), name="Miller"),
        barge_in=True,
    )


def recordings_script() -> Script:
    """Play recordings of real people to an agent that says back what it heard.

    Raises:
        BridgeError: the recordings are not there, because this is no checkout of the repository.
    """
    try:
        texts = json.loads((RECORDINGS / "transcripts.json").read_text())
    except OSError:
        raise BridgeError(
            f"the recordings are part of the repository and not installed with it: no {RECORDINGS}"
        ) from None
    return Script(
        name="recordings",
        title="recordings of real people are said back by the agent",
        agent="bridge.agents.echo:answer",
        caller=(
            *({"play": str(RECORDINGS / name)} for name in RECORDED),
            {"hangup": True},
        ),
        references=tuple(texts[name] for name in RECORDED),
    )


SCRIPTS = {
    "booking": booking_script,
    "barge-in": barge_in_script,
    "recordings": recordings_script,
}
