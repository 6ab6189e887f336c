"""The call on one page: waveforms, turns, latencies and the audio itself, in a single file.

Nothing on the page is fetched, so it can be mailed, and opened without a network.

Pure, but for the encoding of the audio, which computes.
"""

from __future__ import annotations

import array
import base64
import datetime as dt
import io
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import jinja2

from bridge.demo.scripts import Script
from bridge.demo.timeline import PARTS, Figures, Item
from bridge.demo.verdict import Check
from telnyx_media.pcm import stereo, wav_header

# What the parts of a latency are called.
NAMES = {
    "endpoint": "waiting for the end of the turn",
    "agent": "agent thinking",
    "first_text": "first words",
    "first_audio": "synthesis",
    "first_frame": "first frame out",
}

# Strokes of a waveform for each second.
COLUMNS_PER_SECOND = 30

# Seconds between two labels of the time axis.
TICK = 5


@dataclass(frozen=True)
class Recording:
    """Both sides of a call as 16-bit mono PCM on one time line.

    Attributes:
        caller: what the caller said.
        agent: what the caller heard.
        rate: hertz of both.
    """

    caller: bytes
    agent: bytes
    rate: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return max(len(self.caller), len(self.agent)) / 2 / self.rate

    def wav(self) -> bytes:
        """Get it as a stereo WAV file: the caller left, the agent right."""
        size = max(len(self.caller), len(self.agent))
        pcm = stereo(self.caller.ljust(size, b"\0"), self.agent.ljust(size, b"\0"))
        return wav_header(self.rate, 2, len(pcm)) + pcm

    def mp3(self) -> bytes:
        """Get it as a stereo MP3 file, an eighth of the size."""
        out = io.BytesIO()
        with av.open(io.BytesIO(self.wav())) as source, av.open(out, "w", format="mp3") as target:
            stream = target.add_stream("libmp3lame", rate=self.rate)
            for frame in source.decode(audio=0):
                target.mux(stream.encode(frame))
            target.mux(stream.encode(None))
        return out.getvalue()


def waveform(pcm: bytes, rate: int, seconds: float) -> tuple[str, int]:
    """Draw PCM as the data of an SVG path, 100 high, one stroke per column.

    Returns:
        The path data, and the number of columns.
    """
    samples = array.array("h")
    samples.frombytes(pcm[: len(pcm) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    columns = max(1, math.ceil(seconds * COLUMNS_PER_SECOND))
    step = max(1, rate // COLUMNS_PER_SECOND)
    loudest = max(1, max(samples, default=0), -min(samples, default=0))
    strokes = []
    for column in range(columns):
        part = samples[column * step : (column + 1) * step]
        if not part:
            break
        top = 50 - 48 * max(0, max(part)) / loudest
        bottom = 50 - 48 * min(0, min(part)) / loudest
        strokes.append(f"M{column + 0.5} {top:.1f}V{max(bottom, top + 0.5):.1f}")
    return "".join(strokes), columns


def milliseconds(seconds: float) -> str:
    """Write a time as whole milliseconds."""
    return f"{seconds * 1000:.0f} ms"


def make_page(
    script: Script,
    items: Sequence[Item],
    figures: Figures,
    checks: Sequence[Check],
    recording: Recording,
    codec: str,
    when: dt.datetime,
) -> str:
    """Write the page of a call.

    Args:
        script: what was played.
        items: the turns.
        figures: what the call shows.
        checks: what was judged.
        recording: both sides.
        codec: of the leg.
        when: the call began.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    length = recording.seconds
    environment.filters["ms"] = milliseconds
    environment.filters["percent"] = lambda seconds: f"{100 * seconds / max(length, 0.1):.3f}%"
    caller, columns = waveform(recording.caller, recording.rate, length)
    agent, _ = waveform(recording.agent, recording.rate, length)
    return environment.get_template("page.html").render(
        script=script,
        items=items,
        figures=figures,
        checks=checks,
        passed=all(check.passed for check in checks),
        codec=codec,
        rate=recording.rate,
        length=round(length, 2),
        when=f"{when:%d %B %Y, %H:%M}",
        audio=base64.b64encode(recording.mp3()).decode(),
        waves={"caller": caller, "agent": agent},
        columns=columns,
        ticks=range(0, math.ceil(length), TICK),
        parts=PARTS,
        names=NAMES,
        slowest=figures.slowest or 1.0,
    )
