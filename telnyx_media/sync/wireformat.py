"""Make what goes over the wire from the audio that a transcription session takes.

Pure.
"""

from __future__ import annotations

from telnyx_media._audioop import audioop
from telnyx_media.pcm import Resampler
from telnyx_media.sync.uplink import Convert
from telnyx_media.transcripts import SttOptions


def make_converter(encoding: str, sample_rate: int, options: SttOptions) -> Convert:
    """Make the conversion from ``encoding`` at ``sample_rate`` for one connection."""
    to_linear: Convert | None = None
    if options.input_format != encoding and encoding == "mulaw":
        to_linear = _from_mulaw
    elif options.input_format != encoding and encoding == "alaw":
        to_linear = _from_alaw
    if options.sample_rate == sample_rate:
        return to_linear or bytes
    resampler = Resampler(sample_rate, options.sample_rate)

    def convert(audio: bytes) -> bytes:
        return resampler.feed(to_linear(audio) if to_linear is not None else audio)

    return convert


def _from_mulaw(audio: bytes) -> bytes:
    return audioop.ulaw2lin(audio, 2)


def _from_alaw(audio: bytes) -> bytes:
    return audioop.alaw2lin(audio, 2)
