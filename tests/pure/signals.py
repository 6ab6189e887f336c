"""Sounds made for tests, and how alike two of them are."""

from __future__ import annotations

import math
import random
from array import array


def tone(seconds: float, rate: int, *frequencies: float, amplitude: float = 8000) -> bytes:
    """Make sine tones of these frequencies, all at once."""
    each = amplitude / len(frequencies)
    samples = (
        round(sum(each * math.sin(2 * math.pi * f * i / rate) for f in frequencies))
        for i in range(round(seconds * rate))
    )
    return array("h", samples).tobytes()


def noise(seconds: float, rate: int, rms: float, seed: int = 1) -> bytes:
    """Make white noise of this level."""
    source = random.Random(seed)
    samples = (
        max(-32768, min(32767, round(source.gauss(0, rms)))) for _ in range(round(seconds * rate))
    )
    return array("h", samples).tobytes()


def babble(seconds: float, rate: int, seed: int = 1) -> bytes:
    """Make a sound that never repeats: a tone that wanders in pitch and loudness, with noise."""
    source = random.Random(seed)
    phase = 0.0
    out = array("h")
    for i in range(round(seconds * rate)):
        at = i / rate
        phase += 2 * math.pi * (300 + 500 * abs(math.sin(3 * at + seed))) / rate
        loud = 0.4 + 0.6 * abs(math.sin(7 * at))
        out.append(round(9000 * loud * math.sin(phase) + source.uniform(-200, 200)))
    return out.tobytes()


def snr(reference: bytes, other: bytes) -> float:
    """Get the signal-to-noise ratio in dB of ``other``, cut to the shorter of the two."""
    size = min(len(reference), len(other))
    a, b = array("h", reference[:size]), array("h", other[:size])
    signal = sum(x * x for x in a)
    error = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return 10 * math.log10(max(signal, 1) / max(error, 1))


def aligned_snr(reference: bytes, other: bytes, most: int) -> tuple[float, int]:
    """Get the best ratio over all delays of up to ``most`` samples, and that delay."""
    return max((snr(reference, other[2 * delay :]), delay) for delay in range(most + 1))


def strength(pcm: bytes, rate: int, frequency: float) -> float:
    """Get the amplitude of one frequency in ``pcm``."""
    samples = array("h", pcm)
    turn = 2 * math.pi * frequency / rate
    real = sum(x * math.cos(turn * i) for i, x in enumerate(samples))
    imaginary = sum(x * math.sin(turn * i) for i, x in enumerate(samples))
    return 2 * math.hypot(real, imaginary) / len(samples)
