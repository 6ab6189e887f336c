"""A phone call is a function.

::

    from bridge import Call


    def answer(call: Call) -> None:
        call.say("Thanks for calling Corner Pizza. What would you like?")
        for turn in call.turns():
            call.say(think(turn.text))

The names below are looked up at first use: importing the package opens nothing and loads no server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.call import Call, Reply
    from bridge.errors import CallEnded
    from bridge.turns import Turn

__all__ = ["Call", "CallEnded", "Turn", "Reply"]

_HOMES = {
    "Call": "bridge.call",
    "CallEnded": "bridge.errors",
    "Turn": "bridge.turns",
    "Reply": "bridge.call",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'bridge' has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
