"""What became of each thing that a caller did, told from what Telnyx sees and the caller hears.

Pure: times and audio of a call in, findings out; the agent is not asked, so that any agent can be
judged.

All times are seconds on the call's time line.  A packet leaves the simulator when its first sample
is due, while a real one is complete only 20 ms later, so every reaction is counted 20 ms longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from conversation.sounds import RATE, samples_of

PTIME = 0.02

# A gap in the agent's audio up to this length is a pause of its speech.
BREATH = 0.35

# Root mean square from which a packet holds the agent's voice: -44 dBFS.
AUDIBLE = 10 ** (-44 / 20)

# Seconds after a caller's sound in which a stop of the agent is its consequence.
CONSEQUENCE = 1.5

Kind = Literal["interruption", "false alarm", "echo", "complete", "hesitation"]


@dataclass(frozen=True)
class Finding:
    """What became of one thing.

    Attributes:
        kind: what it was.
        name: which.
        good: whether it was what a caller would want.
        seconds: how long it took, if it is a time that counts.
        what: in words.
    """

    kind: Kind
    name: str
    good: bool
    seconds: float | None = None
    what: str = ""


class Trace:
    """One call as Telnyx saw it."""

    def __init__(self, heard: bytes, clears: Sequence[float]) -> None:
        """Read it.

        Args:
            heard: what the caller heard, 8 kHz PCM.
            clears: when audio was thrown away.
        """
        self.heard = heard
        self.clears = sorted(clears)
        samples = samples_of(heard)
        packets = samples[: len(samples) - len(samples) % 160].reshape(-1, 160)
        self._loud = np.flatnonzero((packets**2).mean(axis=1) > AUDIBLE**2) * PTIME

    def speaking_at(self, at: float) -> bool:
        """Whether the agent is in the middle of its speech."""
        return bool(((self._loud > at - BREATH) & (self._loud <= at)).any())

    def next_sound(self, after: float) -> float | None:
        """When the agent is heard next."""
        later = self._loud[self._loud >= after]
        return float(later[0]) if len(later) else None

    def next_clear(self, after: float, within: float) -> float | None:
        """When audio was thrown away next."""
        return next((at for at in self.clears if after <= at <= after + within), None)

    def silent_from(self, at: float) -> float | None:
        """When the agent, who speaks at ``at``, is silent for longer than a breath."""
        later = self._loud[self._loud >= at]
        if not len(later):
            return at
        gaps = np.flatnonzero(np.diff(later) > BREATH)
        return float(later[gaps[0]]) + PTIME if len(gaps) else None


def judge_interruption(trace: Trace, name: str, start: float, limit: float = 0.2) -> Finding | None:
    """Judge how soon the agent gave way; ``None`` when it was silent anyway."""
    if not trace.speaking_at(start):
        return None
    cleared = trace.next_clear(start, CONSEQUENCE)
    if cleared is None:
        return Finding("interruption", name, False, None, "did not give way")
    seconds = cleared - start + PTIME
    return Finding("interruption", name, seconds <= limit, seconds, "gave way")


def judge_false_alarm(
    trace: Trace, name: str, start: float, end: float, opening: bytes, limit: float = 0.3
) -> Finding | None:
    """Judge whether the agent went on after a sound that meant nothing.

    Args:
        trace: the call.
        name: of the sound.
        start: its begin.
        end: its end.
        opening: how the agent's text begins; hearing that again is no going on.
        limit: seconds from the sound's end.
    """
    if not trace.speaking_at(start):
        return None
    cleared = trace.next_clear(start, end - start + CONSEQUENCE)
    if cleared is None:
        return Finding("false alarm", name, True, 0.0, "spoke on")
    again = trace.next_sound(max(cleared + 2 * PTIME, end))
    if again is None:
        return Finding("false alarm", name, False, None, "fell silent")
    seconds = again - end + PTIME
    if begins_with(trace.heard, again, opening):
        return Finding("false alarm", name, False, seconds, "began anew")
    return Finding("false alarm", name, seconds <= limit, seconds, "paused and went on")


def judge_complete(trace: Trace, name: str, end: float, limit: float = 4.0) -> Finding:
    """Judge how soon a complete phrase was answered."""
    sound = trace.next_sound(end - PTIME)
    if sound is None or sound - end > limit:
        return Finding("complete", name, False, None, "not answered")
    return Finding("complete", name, True, sound - end + PTIME, "answered")


def judge_hesitation(
    trace: Trace, name: str, start: float, pauses: Sequence[tuple[float, float]], end: float
) -> Finding:
    """Judge whether somebody who thinks in the middle of a phrase was let finish."""
    for begins, _ in pauses:
        sound = trace.next_sound(start + begins)
        if sound is not None and sound < start + end:
            seconds = sound - start - begins + PTIME
            return Finding("hesitation", name, False, seconds, "cut in")
    return Finding("hesitation", name, True, None, "let finish")


def judge_echo(trace: Trace, name: str, begin: float, end: float) -> Finding:
    """Judge whether the agent stopped for its own voice."""
    stops = sum(begin <= at <= end for at in trace.clears)
    return Finding("echo", name, stops == 0, float(stops), f"stopped {stops} times")


def begins_with(heard: bytes, at: float, opening: bytes) -> bool:
    """Whether what is heard from a time on is the opening of a text, by their likeness."""
    pattern = samples_of(opening)[: RATE * 3 // 4]
    place = round(at * RATE)
    window = samples_of(heard)[max(0, place - RATE // 5) : place + len(pattern) + RATE // 5]
    if len(window) < len(pattern):
        return False
    size = 1 << (len(window) + len(pattern)).bit_length()
    product = np.fft.irfft(np.fft.rfft(window, size) * np.conj(np.fft.rfft(pattern, size)), size)
    energy = np.cumsum(np.concatenate([[0.0], window**2]))
    lags = len(window) - len(pattern) + 1
    local = np.sqrt(energy[len(pattern) : len(pattern) + lags] - energy[:lags])
    likeness = product[:lags] / (local * np.sqrt((pattern**2).sum()) + 1e-9)
    return bool(likeness.max() > 0.8)
