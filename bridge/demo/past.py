"""A call that was held once, so that its caller can be played to an agent again.

What is left of a call is a recording with the caller left and the agent right, and perhaps what was
said on it.  The caller's side is cut where they were silent for long, and each stretch is played
when the new agent is where the old one was: so long after it stopped, or so long after it began if
the caller broke in on it.  An agent that is faster or slower than the old one is not talked over.

Reads files; else pure.
"""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.demo.scripts import Steps
from bridge.errors import BridgeError
from bridge.records.schema import CallRecord, RecordingRecord
from telnyx_media._audioop import audioop
from telnyx_media.pcm import rms, write_wav

__all__ = ["Past", "Remark", "Stretch", "of_directory", "of_record", "of_wav", "steps", "stretches"]

# Seconds of audio that are looked at for whether there is sound in it.
WINDOW = 0.02

# Level above which a window is sound: above the noise of a quiet line, below a low voice.
QUIET = 200

# Seconds of the caller's silence at which their side is cut: longer than a pause for thought in a
# sentence.  And what is kept before and behind each stretch.
SILENCE = 1.0
MARGIN = 0.2

# Seconds for which a simulated caller listens until the agent has stopped for sure.
PAUSE = 0.3

# Seconds of sound that are a stretch at least; a click is none.
SHORTEST = 0.1


@dataclass(frozen=True)
class Remark:
    """What one of the two said.

    Attributes:
        speaker: ``"caller"`` or ``"agent"``.
        text: the words; of the agent's, what was heard of them.
        at: when, in seconds from the beginning of the recording.
    """

    speaker: str
    text: str
    at: float


@dataclass(frozen=True)
class Past:
    """A call that was held once.

    Attributes:
        name: what it is called in what is printed.
        caller: the caller's side, PCM.
        agent: the agent's side, as long.
        rate: of both, in hertz.
        remarks: what was said, as far as that is known.
        keys: how many keys were pressed, which no record has.
    """

    name: str
    caller: bytes
    agent: bytes
    rate: int
    remarks: tuple[Remark, ...] = ()
    keys: int = 0


@dataclass(frozen=True)
class Stretch:
    """A stretch of the caller's speech.

    Attributes:
        start: where it begins in the recording, seconds.
        end: where it ends.
        agent: seconds for which the agent had been speaking then; ``None`` if it was silent.
        gap: seconds since the agent, or before it the caller, had stopped.
    """

    start: float
    end: float
    agent: float | None
    gap: float


def of_wav(data: bytes, name: str, remarks: Sequence[Remark] = (), keys: int = 0) -> Past:
    """Read a recording.

    Raises:
        BridgeError: it is no WAV file of two channels of 16 bits.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            pcm = file.readframes(file.getnframes())
    except (wave.Error, EOFError):
        raise BridgeError(f"{name} is no WAV file that can be read") from None
    if channels != 2 or width != 2:
        raise BridgeError(f"{name} must have two channels of 16 bits: the caller left")
    left, right = (audioop.tomono(pcm, 2, *sides) for sides in ((1, 0), (0, 1)))
    if rms(left) == 0:
        raise BridgeError(f"nothing is to be heard of the caller in {name}")
    return Past(name, left, right, rate, tuple(remarks), keys)


def of_directory(folder: Path) -> Past:
    """Read what ``bridge demo``, ``simulate`` or ``replay`` has left.

    Raises:
        BridgeError: it has left nothing there.
    """
    try:
        data = (folder / "recording.wav").read_bytes()
        turns = json.loads((folder / "transcript.json").read_text())["turns"]
        remarks = [
            Remark(t["speaker"], t["heard"] if t["speaker"] == "agent" else t["text"], t["start"])
            for t in turns
        ]
    except (OSError, ValueError, KeyError, TypeError):
        raise BridgeError(
            f"{folder} has no recording.wav and transcript.json of a simulated call"
        ) from None
    return of_wav(data, str(folder / "recording.wav"), remarks)


def of_record(record: CallRecord, recording: RecordingRecord, data: bytes) -> Past:
    """Read a call's record and its recording."""
    remarks = [
        Remark(
            remark.speaker,
            remark.heard if remark.speaker == "agent" else remark.text,
            (remark.at - recording.began_at).total_seconds(),
        )
        for remark in record.remarks
        if remark.text
    ]
    keys = sum(remark.digits for remark in record.remarks)
    return of_wav(data, f"the recording of {record.id}", remarks, keys)


def stretches(past: Past) -> list[Stretch]:
    """Find the stretches of the caller's speech, and what the agent did when each began."""
    caller = list(_sounds(past.caller, past.rate))
    agent = list(_sounds(past.agent, past.rate))
    found = []
    for start, end in caller:
        speaking = next((since for since, until in agent if since <= start < until), None)
        before = [until for _, until in (*agent, *caller) if until <= start]
        gap = start - max(before, default=0.0)
        found.append(Stretch(start, end, None if speaking is None else start - speaking, gap))
    return found


def _sounds(pcm: bytes, rate: int) -> Iterator[tuple[float, float]]:
    """Find stretches of sound between silences, as seconds from the beginning."""
    size = 2 * round(rate * WINDOW)
    loud = [at for at in range(0, len(pcm) - size + 1, size) if rms(pcm[at : at + size]) > QUIET]
    start: int | None = None
    for number, at in enumerate(loud):
        start = at if start is None else start
        last = number + 1 == len(loud)
        if last or loud[number + 1] - at > SILENCE * 2 * rate:
            if at + size - start >= SHORTEST * 2 * rate:
                yield start / (2 * rate), (at + size) / (2 * rate)
            start = None


def steps(past: Past, folder: Path, *, exact: bool = False) -> Steps:
    """Make a simulated caller of it, whose recordings are put into ``folder``.

    Args:
        past: the call.
        folder: an existing directory.
        exact: play their side as it was, in one piece, whatever the agent does.
    """
    if exact:
        path = folder / "caller.wav"
        write_wav(str(path), past.caller, past.rate)
        return ({"play": str(path), "when": "now"}, {"hangup": True})
    made: list[dict[str, object]] = []
    for number, stretch in enumerate(stretches(past), 1):
        path = folder / f"caller-{number}.wav"
        first, last = (
            2 * round(past.rate * at) for at in (stretch.start - MARGIN, stretch.end + MARGIN)
        )
        write_wav(str(path), past.caller[max(0, first) : last], past.rate)
        if stretch.agent is not None:
            made.append({"play": str(path), "when": {"agent_speaking": round(stretch.agent, 2)}})
        else:
            gap = round(max(0.0, stretch.gap - PAUSE), 2)
            made.append({"wait": gap, "when": "agent_stops"})
            made.append({"play": str(path), "when": "now"})
    return (*made, {"hangup": True})
