"""Sounds that are no words, made here so that they belong to nobody.

A cough is an explosive burst of breath through a throat whose shape gives it resonances, a pause of
a tenth of a second, and a weaker second burst with some voice in it; a door or a dropped pen is a
click that rings; a room is noise that falls off with frequency; "uh-huh" is spoken by a voice, see
:mod:`conversation.clips`.

Pure; the same arguments give the same bytes.
"""

from __future__ import annotations

import numpy as np

RATE = 8000
"""Hertz of everything here."""


def pcm_of(samples: np.ndarray) -> bytes:
    """Turn samples around 0 to 1 into 16-bit PCM, clipping what is too loud."""
    return bytes((np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes())


def samples_of(pcm: bytes) -> np.ndarray:
    """Turn 16-bit PCM into samples."""
    return np.frombuffer(pcm, "<i2").astype(np.float64) / 32768


def at_level(pcm: bytes, dbfs: float) -> bytes:
    """Bring a sound to a level: that of its louder parts, the pauses left out."""
    samples = samples_of(pcm)
    return pcm_of(samples * 10 ** ((dbfs - active_level(pcm)) / 20))


def active_level(pcm: bytes) -> float:
    """Measure how loud a sound is where it is within 25 dB of its loudest 20 ms, in dBFS."""
    samples = samples_of(pcm)
    packets = samples[: len(samples) - len(samples) % 160].reshape(-1, 160)
    power = np.maximum((packets**2).mean(axis=1), 1e-12)
    return float(10 * np.log10(power[power > power.max() * 10**-2.5].mean()))


def cough(seed: int) -> bytes:
    """Make a cough of 0.3 to 0.45 s; another one for each seed."""
    random = np.random.default_rng(seed)
    first = _burst(random, 0.09, random.uniform(0.02, 0.03), voice=0.0)
    gap = np.zeros(round(RATE * random.uniform(0.04, 0.08)))
    second = _burst(random, 0.16, random.uniform(0.05, 0.08), voice=0.25) * 0.4
    return pcm_of(np.concatenate([first, gap, second]) * 0.5)


def _burst(
    random: np.random.Generator, seconds: float, decay: float, *, voice: float
) -> np.ndarray:
    count = round(RATE * seconds)
    time = np.arange(count) / RATE
    source = random.normal(0, 1, count)
    pitch = random.uniform(110, 180)
    source += voice * 8 * np.sign(np.sin(2 * np.pi * pitch * time))
    shaped = sum(
        _resonate(source, hertz * random.uniform(0.9, 1.1), width)
        for hertz, width in ((500, 200), (1400, 300), (2600, 500))
    )
    shaped = shaped / np.abs(shaped).max()
    return np.asarray(shaped * np.exp(-time / decay) * np.minimum(1, time / 0.003))


def _resonate(source: np.ndarray, hertz: float, width: float) -> np.ndarray:
    """Filter with one resonance, in the domain of frequency."""
    spectrum = np.fft.rfft(source)
    frequency = np.fft.rfftfreq(len(source), 1 / RATE)
    gain = 1 / (1 + ((frequency - hertz) / (width / 2)) ** 2)
    return np.fft.irfft(spectrum * np.sqrt(gain), len(source))


def grunt(seed: int) -> bytes:
    """Make a throat being cleared: 0.3 s of voice without a word."""
    random = np.random.default_rng(seed)
    count = round(RATE * 0.3)
    time = np.arange(count) / RATE
    pitch = np.linspace(random.uniform(100, 150), random.uniform(80, 100), count)
    source = np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / RATE)) + random.normal(0, 0.3, count)
    shaped = sum(_resonate(source, hertz, width) for hertz, width in ((550, 120), (1100, 200)))
    shaped = shaped / np.abs(shaped).max()
    return pcm_of(shaped * np.minimum(1, time / 0.02) * np.minimum(1, time[::-1] / 0.08) * 0.5)


def click(seed: int) -> bytes:
    """Make a click that rings for some 40 ms: a pen on a table."""
    random = np.random.default_rng(seed)
    time = np.arange(round(RATE * 0.08)) / RATE
    ring = sum(np.sin(2 * np.pi * random.uniform(400, 3000) * time) for _ in range(4)) / 4
    hit = random.normal(0, 1, len(time)) * np.exp(-time / 0.004)
    return pcm_of(0.6 * (ring * np.exp(-time / 0.012) + hit) / 2)


def knock(seed: int) -> bytes:
    """Make three knocks on wood."""
    random = np.random.default_rng(seed)
    time = np.arange(round(RATE * 0.15)) / RATE
    one = np.sin(2 * np.pi * random.uniform(150, 260) * time) * np.exp(-time / 0.02)
    one += 0.4 * random.normal(0, 1, len(time)) * np.exp(-time / 0.006)
    return pcm_of(np.tile(one, 3) * 0.5)


def breath(seed: int) -> bytes:
    """Make someone breathe out at the receiver: noise that swells and fades within 0.6 s."""
    random = np.random.default_rng(seed)
    count = round(RATE * 0.6)
    noise = _resonate(random.normal(0, 1, count), 900, 1200)
    noise /= np.abs(noise).max()
    return pcm_of(noise * np.hanning(count) * 0.5)


def room(seconds: float, seed: int) -> bytes:
    """Make the noise of a room with people's distance to it: falling off with frequency."""
    random = np.random.default_rng(seed)
    count = round(RATE * seconds)
    spectrum = np.fft.rfft(random.normal(0, 1, count))
    frequency = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 50)
    pink = np.fft.irfft(spectrum / np.sqrt(frequency), count)
    return pcm_of(pink / np.abs(pink).max() * 0.9)
