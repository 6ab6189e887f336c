"""An agent that says back what it heard: the shortest one that shows the whole path."""

from __future__ import annotations

from bridge.call import Call

__all__ = ["answer"]


def answer(call: Call) -> None:
    """Greet, then repeat what the caller says until the call ends."""
    call.say("Hello. I say back what you say.")
    for turn in call.turns():
        call.say(turn.text or " ".join(turn.digits))
