"""A caller's voice that needs no model: vowels, made by filtering pulses.

It means nothing, but voice detectors take it for speech, so the app has the work that a caller
makes.

Pure.
"""

from __future__ import annotations

import math
from array import array

# Formants of five vowels: hertz and bandwidth.
VOWELS = (
    ((730, 90), (1090, 110), (2440, 170)),
    ((530, 60), (1840, 100), (2480, 120)),
    ((270, 60), (2290, 100), (3010, 120)),
    ((570, 80), (840, 100), (2410, 120)),
    ((300, 60), (870, 100), (2240, 120)),
)
SYLLABLE = 0.18
PEAK = 12000.0


def voice(seconds: float, rate: int = 8000) -> bytes:
    """Make so many seconds of a voice, PCM16 mono."""
    signal = _pulses(round(seconds * rate), rate)
    for number in range(len(VOWELS[0])):
        signal = _resonate(signal, rate, number)
    highest = max(1e-9, *map(abs, signal))
    out = array("h")
    for i, value in enumerate(signal):
        loudness = 0.15 + 0.85 * math.sin(math.pi * ((i / rate) % SYLLABLE) / SYLLABLE)
        out.append(round(PEAK * loudness * value / highest))
    return out.tobytes()


def _pulses(count: int, rate: int) -> list[float]:
    """Make the pulses of a larynx whose pitch falls and rises."""
    signal, phase = [0.0] * count, 0.0
    for i in range(count):
        phase += (120 + 25 * math.sin(2 * math.pi * 1.3 * i / rate)) / rate
        if phase >= 1:
            phase -= 1
            signal[i] = 1.0
    return signal


def _resonate(signal: list[float], rate: int, number: int) -> list[float]:
    """Let one formant of the vowel of each syllable ring."""
    out: list[float] = []
    one = two = 0.0
    for i, value in enumerate(signal):
        vowel = VOWELS[int(i / rate / SYLLABLE) % len(VOWELS)]
        hertz, width = vowel[number]
        radius = math.exp(-math.pi * width / rate)
        turn = 2 * radius * math.cos(2 * math.pi * hertz / rate)
        one, two = value + turn * one - radius * radius * two, one
        out.append(one)
    return out
