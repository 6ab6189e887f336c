"""How well the bridge knows what was heard: its word against Telnyx's ear.

The agent's voice is a tone of 60 ms for each character, each character is a word, and the caller
breaks in at all kinds of places.  What the agent is told was heard, in characters, is compared with
the seconds of tone that the simulator played.

Blocks for as long as the calls take: some 6 s for each interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bridge.simulator import Simulator
from bridge.simulator.listeners import BurstListener, Listening
from bridge.simulator.speakers import ToneSpeaker
from bridge.simulator.synthesis import SynthesisService
from bridge.simulator.transcription import TranscriptionService
from conversation import sounds
from conversation.agents import HEARD_FILE
from conversation.clips import VOICES, trimmed
from conversation.judge import AUDIBLE, PTIME
from conversation.run import Ours
from telnyx_media.pcm import read_wav, write_wav

# Seconds of tone for each character.
CHARACTER = 0.06

INTERRUPTIONS = 8


@dataclass(frozen=True)
class Told:
    """What an agent was told of a reply.

    Attributes:
        count: characters that were heard.
        started_at: when it began to be sent, on the call's time line.
        ended_at: when it was over.
    """

    count: int
    started_at: float
    ended_at: float


def measure(folder: Path, calls: int) -> list[float]:
    """Have callers break in, and get the error of each reply's ``heard``, in seconds.

    Args:
        folder: for the agent's notes and the caller's voice.
        calls: held at the same time, each with several interruptions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    notes, voice = folder / "heard.txt", folder / "voice.wav"
    notes.write_text("")
    pcm = trimmed(read_wav(VOICES / "austen-0870.wav")[0])[: 2 * sounds.RATE]
    write_wav(voice, sounds.at_level(pcm, -18.0), sounds.RATE)
    simulator = Simulator(
        synthesis=SynthesisService(make_speaker=lambda: ToneSpeaker(hertz=1000.0)),
        transcription=TranscriptionService(listen=_listener),
    )
    variables = {
        HEARD_FILE: str(notes), "BRIDGE_AGENT": "conversation.agents:recite",
        "BRIDGE_LANGUAGE": "zh",
    }  # fmt: skip
    errors: list[float] = []
    with simulator, Ours(simulator, folder / "heard.log", variables) as url:
        simulator.webhook_url = url
        placed = [simulator.place_call(caller=_steps(str(voice), n)) for n in range(calls)]
        for call in placed:
            call.wait(180.0)
            errors += compare(_told(notes, call.call_control_id, call.begun_at), call.heard)
    return errors


def _listener(listening: Listening) -> BurstListener:
    return BurstListener(listening, ["停"] * 50)


def _steps(voice: str, number: int) -> Sequence[dict[str, object]]:
    steps: list[dict[str, object]] = []
    for index in range(INTERRUPTIONS):
        speaking = 1.0 + 0.37 * ((index * 3 + number) % 7)
        steps.append({"play": voice, "when": {"agent_speaking": speaking}})
        steps.append({"wait": 2.0})
    return [*steps, {"hangup": True, "when": "now"}]


def _told(notes: Path, call_control_id: str, begun_at: float) -> list[Told]:
    lines = [line.split() for line in notes.read_text().splitlines()]
    return [
        Told(int(count), float(started) - begun_at, float(ended) - begun_at)
        for key, count, started, ended in lines
        if key == call_control_id
    ]


def compare(told: Sequence[Told], heard: bytes) -> list[float]:
    """Compare what was told with the tone that was played meanwhile.

    A reply that was paused for a false alarm and went on is left out: part of it was played twice,
    as it is meant to be.
    """
    errors = []
    for reply in told:
        during = slice(_byte(reply.started_at - 0.1), _byte(reply.ended_at + 0.5))
        played = stretches(heard[during])
        if len(played) == 1:
            errors.append(reply.count * CHARACTER - played[0])
    return errors


def _byte(at: float) -> int:
    return 2 * round(max(0.0, at) * sounds.RATE)


def stretches(heard: bytes, longest_gap: float = 0.15) -> list[float]:
    """Get the length of each stretch of sound, without the gaps that part them."""
    samples = sounds.samples_of(heard)
    packets = samples[: len(samples) - len(samples) % 160].reshape(-1, 160)
    loud = np.flatnonzero((packets**2).mean(axis=1) > AUDIBLE**2)
    if not len(loud):
        return []
    edges = np.flatnonzero(np.diff(loud) > longest_gap / PTIME)
    groups = np.split(loud, edges + 1)
    return [float((group[-1] - group[0] + 1) * PTIME) for group in groups]
