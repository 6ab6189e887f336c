"""What the bridge's agents of the benchmarks do: those of the conversation suite, and a bad one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from conversation import agents

if TYPE_CHECKING:
    from bridge import Call

# Callers of these numbers get an agent that waits for something, or computes, and does it badly.
SLEEPER, CRUNCHER = "+12025550113", "+12025550114"
BLOCKED, EVERY = 0.3, 5.0


def block(caller: str) -> None:
    """Keep one's thread for 300 ms: waiting, as for a database, or computing in Python."""
    until = time.monotonic() + BLOCKED
    if caller == SLEEPER:
        time.sleep(BLOCKED)
    while time.monotonic() < until:
        sum(range(1000))


def answer(call: Call) -> None:
    """Talk, or listen, or be a bad neighbour, by the number that is calling."""
    caller = call.info.from_number
    if caller not in (SLEEPER, CRUNCHER):
        agents.answer(call)
        return
    while not call.ended:
        time.sleep(EVERY - BLOCKED)
        block(caller)
