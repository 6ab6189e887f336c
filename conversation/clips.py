"""What the callers of the suite say: audio files, made once into a folder.

Voices: a reader of LibriVox and a president, recorded and in the public domain (see
``tests/data/voices/PROVENANCE.md``), and three synthetic ones.  Each clip begins with its first
sound, so that when its sound begins is when it is played.

Blocks: synthesis takes some seconds in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bridge.simulator.audio import resample
from bridge.simulator.offline.voices import CALLER_VOICES, CallerVoice
from conversation import sounds
from conversation.sounds import RATE, samples_of
from telnyx_media.pcm import read_wav, silence, write_wav

VOICES = Path(__file__).parent.parent / "tests" / "data" / "voices"

INTERRUPTIONS = (
    "Stop, please.",
    "No, wait a moment.",
    "Actually, I want a table for six.",
    "Excuse me, can I ask something?",
    "What about eight o'clock?",
    "Sorry, could you repeat that?",
    "Let me talk to a person.",
    "I would rather come on Friday.",
)

BACKCHANNELS = ("Uh huh.", "Okay.", "Right.", "Yeah.", "I see.", "Mm hmm.")

COMPLETE = (
    "I would like to book a table for four people.",
    "What time do you open tomorrow?",
    "My name is Susan Miller.",
    "Can you cancel my order?",
    "That would be great, thank you.",
    "No, thanks.",
    "I need to change my appointment to Friday.",
    "How much does it cost?",
)

HESITATIONS = (
    ("I would like a table for", "four people, please."),
    ("My number is five five five", "zero one two three four five six."),
    ("I want to, um,", "change my appointment."),
    ("Can you tell me", "what time you open?"),
    ("It was on Monday and", "then again on Friday."),
    ("I would like the pizza with", "extra cheese and olives."),
    ("I was wondering if", "you deliver to my street."),
    ("I need to be there by", "ten in the morning."),
)

# Seconds for which a caller stops in the middle of a phrase.
PAUSES = (0.5, 0.7, 1.0)

# Sentences that were read to their end, and one with the pauses that its speaker made.
READ = ("austen-0870.wav", "austen-0890.wav", "austen-0930.wav")
ORATED = "jfk.wav"


@dataclass(frozen=True)
class Clip:
    """Something that a caller does to be heard.

    Attributes:
        name: what and by whom.
        path: the audio.
        seconds: how long it is.
        pauses: where its speaker stops and goes on, in seconds from its beginning.
    """

    name: str
    path: Path
    seconds: float
    pauses: tuple[tuple[float, float], ...] = ()


class Wardrobe:
    """Makes the clips of one run."""

    def __init__(self, folder: Path) -> None:
        """Choose where they are kept."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._voices = {name: CallerVoice(name) for name in CALLER_VOICES}

    def close(self) -> None:
        """End the voices' processes."""
        for voice in self._voices.values():
            voice.close()

    def _keep(self, name: str, pcm: bytes, level: float, parts: list[float] = []) -> Clip:  # noqa: B006
        path = self._folder / f"{name.replace(' ', '-')}.wav"
        write_wav(path, sounds.at_level(pcm, level), RATE)
        edges = list(zip(parts[::2], parts[1::2], strict=True))
        return Clip(name, path, len(pcm) / 2 / RATE, tuple(edges))

    def _speak(self, voice: str, text: str) -> bytes:
        speech = self._voices[voice].speak(text)
        return trimmed(resample(speech.pcm, speech.sample_rate, RATE))

    def interruptions(self, level: float) -> Iterator[Clip]:
        """Make callers who want the floor, at a level in dBFS."""
        for number, text in enumerate(INTERRUPTIONS):
            voice = CALLER_VOICES[number % len(CALLER_VOICES)]
            yield self._keep(
                f"interruption {number} {voice} {level:g}", self._speak(voice, text), level
            )
        for name in ("austen-0870.wav", "austen-0890.wav", "jfk.wav"):
            pcm = trimmed(read_wav(VOICES / name)[0])[: 2 * round(2.2 * RATE)]
            yield self._keep(f"interruption {name[:-4]} {level:g}", pcm, level)

    def backchannels(self, level: float) -> Iterator[Clip]:
        """Make listeners who do not want it."""
        for number, text in enumerate(BACKCHANNELS):
            voice = CALLER_VOICES[number % len(CALLER_VOICES)]
            yield self._keep(
                f"backchannel {number} {voice} {level:g}", self._speak(voice, text), level
            )

    def noises(self, level: float) -> Iterator[Clip]:
        """Make coughs, grunts, and what falls off a table."""
        for kind in (sounds.cough, sounds.grunt, sounds.click, sounds.knock, sounds.breath):
            for seed in (1, 2):
                name = f"{kind.__name__} {seed} {level:g}"
                yield self._keep(name, trimmed(kind(seed)), level)

    def complete(self, level: float) -> Iterator[Clip]:
        """Make phrases that are complete."""
        for number, text in enumerate(COMPLETE):
            for voice in CALLER_VOICES:
                yield self._keep(f"complete {number} {voice}", self._speak(voice, text), level)
        for name in READ:
            yield self._keep(f"complete {name[:-4]}", trimmed(read_wav(VOICES / name)[0]), level)

    def hesitations(self, level: float) -> Iterator[Clip]:
        """Make phrases whose speaker stops in the middle."""
        for number, (before, after) in enumerate(HESITATIONS):
            for turn, voice in enumerate(CALLER_VOICES):
                pause = PAUSES[(number + turn) % len(PAUSES)]
                first, second = self._speak(voice, before), self._speak(voice, after)
                start = len(first) / 2 / RATE
                pcm = first + silence(pause, RATE) + second
                name = f"hesitation {number} {voice} {pause:g}s"
                yield self._keep(name, pcm, level, [start, start + pause])
        pcm = trimmed(read_wav(VOICES / ORATED)[0])
        yield self._keep(f"hesitation {ORATED[:-4]}", pcm, level, pauses_in(pcm))
        for index, name in enumerate(READ):
            pcm = trimmed(read_wav(VOICES / name)[0])
            middle = quietest(pcm)
            pause = PAUSES[index % len(PAUSES)]
            start = middle / RATE
            pcm = pcm[: 2 * middle] + silence(pause, RATE) + pcm[2 * middle :]
            yield self._keep(
                f"hesitation {name[:-4]} {pause:g}s", pcm, level, [start, start + pause]
            )


def _powers(pcm: bytes, step: int) -> np.ndarray:
    samples = samples_of(pcm)
    return np.asarray(
        (samples[: len(samples) - len(samples) % step].reshape(-1, step) ** 2).mean(1)
    )


def trimmed(pcm: bytes) -> bytes:
    """Cut the silence, and what breath there is, off both ends."""
    step = 80
    powers = _powers(pcm, step)
    loud = powers > powers.max() * 10**-2.5
    # A click of the lips is no beginning: three of four steps.
    begins = [i for i in range(len(loud) - 3) if loud[i] and loud[i : i + 4].sum() >= 3]
    first = begins[0] if begins else int(np.argmax(loud))
    last = len(loud) - int(np.argmax(loud[::-1]))
    return pcm[2 * step * first : 2 * step * last]


def pauses_in(pcm: bytes, shortest: float = 0.3) -> list[float]:
    """Find where a speaker made pauses: begin, end, begin, end."""
    step = 160
    powers = _powers(pcm, step)
    loud = powers > powers.max() * 10**-2.7
    edges: list[float] = []
    last = 0
    for index in np.flatnonzero(loud):
        if (index - last) * step / RATE >= shortest:
            edges += [(last + 1) * step / RATE, index * step / RATE]
        last = int(index)
    return edges


def quietest(pcm: bytes) -> int:
    """Find the quietest 60 ms in the middle third of a reading: a place between two words."""
    step = 160
    powers = np.convolve(_powers(pcm, step), np.ones(3), "same")
    third = len(powers) // 3
    return int(third + np.argmin(powers[third : 2 * third])) * step
