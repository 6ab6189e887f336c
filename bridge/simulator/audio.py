"""Get the audio that a caller or a prompt plays: from a file, from bytes, or made here.

Threads: reading a file or decoding blocks; nothing here is called on the carrier's clock.
"""

from __future__ import annotations

import io
import math
import os
import struct
from pathlib import Path

import av
import av.error

from telnyx_media.pcm import Resampler


class AudioError(ValueError):
    """A file that is missing, or holds no audio that can be decoded."""


def read_audio(source: str | os.PathLike[str] | bytes, sample_rate: int) -> bytes:
    """Decode an audio file of any common format to PCM16 mono.

    Args:
        source: its path, or its bytes.
        sample_rate: hertz of what comes out.

    Raises:
        AudioError: it cannot be read.
    """
    name = "audio" if isinstance(source, bytes) else Path(source).name
    resampler = av.AudioResampler(format="s16", layout="mono", rate=sample_rate)
    pieces: list[bytes] = []
    try:
        file = io.BytesIO(source if isinstance(source, bytes) else Path(source).read_bytes())
        with av.open(file) as container:
            for frame in container.decode(audio=0):
                pieces += [_samples(f) for f in resampler.resample(frame)]
            pieces += [_samples(f) for f in resampler.resample(None)]
    except FileNotFoundError:
        raise AudioError(f"{name}: no such file") from None
    except (av.error.FFmpegError, OSError, IndexError, ValueError) as error:
        raise AudioError(f"{name}: no audio: {type(error).__name__}") from None
    return b"".join(pieces)


def _samples(frame: av.AudioFrame) -> bytes:
    return bytes(frame.planes[0])[: frame.samples * 2]


def resample(pcm: bytes, from_rate: int, to_rate: int) -> bytes:
    """Change the rate of a whole clip."""
    resampler = Resampler(from_rate, to_rate)
    return resampler.feed(pcm) + resampler.flush()


def tone(frequency: float, seconds: float, sample_rate: int, level: float = 0.3) -> bytes:
    """Make a sine tone; a voicemail's beep is one of 1000 Hz for 0.4 s."""
    step = 2 * math.pi * frequency / sample_rate
    count = round(seconds * sample_rate)
    samples = (round(32767 * level * math.sin(step * i)) for i in range(count))
    return struct.pack(f"<{count}h", *samples)
