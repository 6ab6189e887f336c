"""What a caller went through, from what the simulator heard and the agents wrote down.

Pure, but for reading the agents' notes.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.simulator import SimulatedCall
from telnyx_media.pcm import rms
from tests.chaos.speech import understand

# Seconds of audio looked at for whether there is sound in it.
WINDOW = 0.02

# Level below which a window is silence.
QUIET = 100


@dataclass(frozen=True)
class Outcome:
    """One call.

    Attributes:
        ended: whether it came to its proper end: the agent had counted to the end and hung up.
        silence: the longest silence at the caller's ear, in seconds.
        unheard: numbers that the caller never understood.
        unknown: keys that the caller pressed and the last agent knew nothing of.
        duplicates: seconds for which two agents held the call.
        agents: how many held it, one after another.
        silent_at: seconds from the call's begin to that silence.
    """

    ended: bool
    silence: float
    unheard: int
    unknown: int
    duplicates: float
    agents: int
    silent_at: float


def measure(
    call: SimulatedCall,
    notes: Sequence[dict[str, Any]],
    keys: str,
    killed: Mapping[int, float],
    count: int,
) -> Outcome:
    """Measure one call.

    Args:
        call: as the simulator saw it.
        notes: what the agents wrote down about it.
        keys: what the caller pressed.
        killed: when processes were killed, by process.
        count: to what the agent counts.
    """
    pcm, rate = call.heard, call.sample_rate
    understood = set(understand(pcm, rate))
    silence, at = longest_silence(pcm, rate)
    last = max((note for note in notes), key=lambda note: float(note["at"]), default=None)
    known = "" if last is None else str(last["keys"])
    return Outcome(
        ended=bool(last) and last is not None and last["what"] == "complete" and call.ended,
        silence=silence,
        unheard=sum(number not in understood for number in range(1, count + 1)),
        unknown=_missing(keys, known),
        duplicates=_overlap(notes, killed),
        agents=sum(note["what"] == "begun" for note in notes),
        silent_at=at,
    )


def read_notes(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Read what the agents wrote down, by leg."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in folder.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            note = json.loads(line)
            found[note["leg"]].append(note)
    for notes in found.values():
        notes.sort(key=lambda note: float(note["at"]))
    return found


def longest_silence(pcm: bytes, rate: int) -> tuple[float, float]:
    """Get the longest silence between two sounds, and where it began; in seconds."""
    size = 2 * round(rate * WINDOW)
    loud = [at for at in range(0, len(pcm) - size + 1, size) if rms(pcm[at : at + size]) > QUIET]
    gaps = [(b - a - size, a) for a, b in itertools.pairwise(loud)]
    longest, at = max(gaps, default=(0, 0))
    return max(0, longest) / (2 * rate), at / (2 * rate)


def _missing(pressed: str, known: str) -> int:
    """Count the keys that are not known; each was pressed once."""
    return len(set(pressed) - set(known))


def _overlap(notes: Sequence[dict[str, Any]], killed: Mapping[int, float]) -> float:
    """Add up the seconds for which more than one agent held the call."""
    spans = []
    for number, note in enumerate(notes):
        if note["what"] != "begun":
            continue
        process = note["process"]
        ends = [
            float(other["at"])
            for other in notes[number + 1 :]
            if other["process"] == process and other["what"] != "begun"
        ]
        spans.append((float(note["at"]), min([*ends, killed.get(process, float("inf"))])))
    spans.sort()
    return sum(max(0.0, a[1] - b[0]) for a, b in itertools.pairwise(spans))
