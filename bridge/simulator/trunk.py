"""The far end of a leg when it is a leg of our own: a call from one of our numbers to another.

Each leg's person is then the other leg: what one hears, the other says.

Threads: everything here is called with the carrier's lock held.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.simulator.leg import Leg, Pipe
from bridge.simulator.script import Spoken


class Trunk:
    """Stands where a person would, and is the other leg.

    Attributes:
        spoken: nothing: nobody here has a script.
        script_done: always.
    """

    def __init__(self, leg: Leg, mouth: Pipe, ear: Pipe, on_first_tick: Callable[[], None]) -> None:
        """Make one end.

        Args:
            leg: whose person this is.
            mouth: carries what the other leg heard.
            ear: takes what this leg heard.
            on_first_tick: called when this leg has been answered.
        """
        self.spoken: list[Spoken] = []
        self.script_done = True
        self._silence = bytes(leg.packet_bytes)
        self._mouth = mouth
        self._ear = ear
        self._on_first_tick: Callable[[], None] | None = on_first_tick

    def tick(self, now: float, heard: bytes, playing: bool) -> bytes:
        """Hear one packet and say one."""
        call, self._on_first_tick = self._on_first_tick, None
        if call is not None:
            call()
        self._ear.put(heard)
        return self._mouth.take(len(self._silence)) or self._silence

    def add(self, text: str, pcm: bytes) -> None:
        """Do nothing: the other leg's own person speaks."""


def join_trunk(outbound: Leg, inbound: Leg, on_answer: Callable[[], None]) -> tuple[Trunk, Trunk]:
    """Make both ends.

    Args:
        outbound: the leg that was dialled.
        inbound: the leg it arrives as.
        on_answer: called when the inbound leg has been answered.
    """
    out, back = Pipe(outbound.rate, inbound.rate), Pipe(inbound.rate, outbound.rate)
    return (
        Trunk(outbound, back, out, lambda: None),
        Trunk(inbound, out, back, on_answer),
    )
