"""A voice whose every number can be told apart in what the caller heard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from bridge.simulator.numbered import PTIME, NumberReader, numbered_packet

# Packets of one spoken number, and of the pause behind it.
SPOKEN, PAUSE = 13, 2

# Packets of a number that have to be heard for it to count: a third of it.  The bridge takes a word
# for heard from its middle on, by the length of its text, which is two packets early here.
UNDERSTOOD = 4


class CountingSpeaker:
    """Says each number of a text as 260 ms of audio that spells it."""

    def __init__(self) -> None:
        self.sample_rate = 8000

    def speak(self, text: str, speed: float) -> Iterator[bytes]:
        """Speak the numbers in ``text``; anything else is a short buzz."""
        numbers = [int(number) for number in re.findall(r"\d+", text)]
        for number in numbers or [9999]:
            yield numbered_packet(number, self.sample_rate) * SPOKEN
            yield bytes(round(2 * self.sample_rate * PTIME)) * PAUSE


def understand(pcm: bytes, sample_rate: int) -> list[int]:
    """List the numbers that a caller has understood, in the order in which they were heard."""
    reader = NumberReader(sample_rate)
    found = [(number, len(list(run))) for number, run in groupby(reader.feed(pcm))]
    return [number for number, packets in found if packets >= UNDERSTOOD]
