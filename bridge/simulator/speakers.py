"""What turns text into audio for the synthesis server: a voice, or a script.

Pure, but for :class:`OfflineSpeaker`, which blocks while it computes.
"""

from __future__ import annotations

import functools
import math
import re
import struct
from collections.abc import Callable, Iterator
from typing import Protocol

from bridge.simulator.numbered import PTIME, numbered_audio


class Speaker(Protocol):
    """Speaks the texts of one session.

    Attributes:
        sample_rate: hertz of the PCM it makes.
    """

    sample_rate: int

    def speak(self, text: str, speed: float) -> Iterator[bytes]:
        """Speak ``text``: PCM of each sentence as it is made.

        Args:
            text: never blank.
            speed: 1 is the usual pace, 2 twice as fast.
        """


MakeSpeaker = Callable[[], Speaker]


# A first clause that is worth speaking by itself, and the rest: the voice computes a sentence as a
# whole, and a caller waits for its first sound.
_FIRST_CLAUSE = re.compile(r"(.{12,60}?[,;:])\s+(.{12,})", re.DOTALL)


class OfflineSpeaker:
    """The embedded voice."""

    def __init__(self) -> None:
        """Begin a session; the first one of a process loads the model, which takes a second.

        Raises:
            OfflineSpeechMissing: a package is missing; the message says what to install.
        """
        from bridge.simulator.offline import voices

        self._synthesizer = voices.Synthesizer()
        self._synthesizer.warm_up()
        self.sample_rate = voices.AGENT_RATE

    def speak(self, text: str, speed: float) -> Iterator[bytes]:
        """Speak ``text``: PCM of its first clause and each sentence as soon as it is computed."""
        parts = _FIRST_CLAUSE.fullmatch(text)
        for part in parts.groups() if parts else (text,):
            yield from self._synthesizer.stream(part, speed=speed)


class ToneSpeaker:
    """Says each character as the same length of a tone, so that text and audio can be compared."""

    def __init__(
        self, *, seconds_per_character: float = 0.06, hertz: float = 440.0, sample_rate: int = 24000
    ) -> None:
        """Begin a session.

        Args:
            seconds_per_character: rounded to whole milliseconds.
            hertz: pitch of the tone.
            sample_rate: of the PCM.
        """
        self.sample_rate = sample_rate
        self.seconds_per_character = round(seconds_per_character, 3)
        self._hertz = hertz

    def speak(self, text: str, speed: float) -> Iterator[bytes]:
        """Make the tone, all at once."""
        length = round(len(text) * self.seconds_per_character / speed * self.sample_rate)
        second = _tone(self._hertz, self.sample_rate)
        yield (second * (2 * length // len(second) + 1))[: 2 * length]


class NumberSpeaker:
    """Says each character as a number of numbered packets, counting on from text to text."""

    def __init__(self, *, packets_per_character: int = 3, sample_rate: int = 8000) -> None:
        """Begin a session.

        Args:
            packets_per_character: of 20 ms each.
            sample_rate: of the PCM; the numbers survive any format but MP3.
        """
        self.sample_rate = sample_rate
        self.seconds_per_character = packets_per_character * PTIME
        self._packets = packets_per_character
        self._next = 0

    def speak(self, text: str, speed: float) -> Iterator[bytes]:
        """Make the packets, all at once; the speed is not obeyed."""
        first, count = self._next, len(text) * self._packets
        self._next += count
        yield numbered_audio(first, count, self.sample_rate)


@functools.lru_cache(maxsize=8)
def _tone(hertz: float, sample_rate: int) -> bytes:
    """Make one second, which whole periods fill if ``hertz`` is whole."""
    step = 2 * math.pi * hertz / sample_rate
    samples = [round(8000 * math.sin(i * step)) for i in range(sample_rate)]
    return struct.pack(f"<{sample_rate}h", *samples)
