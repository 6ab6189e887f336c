"""What audio a transcription session takes, and what of it goes over the wire.

Pure.
"""

from __future__ import annotations

from telnyx_media._audioop import audioop
from telnyx_media.errors import ConfigurationError
from telnyx_media.pcm import Resampler
from telnyx_media.sync.uplink import Convert
from telnyx_media.transcripts import SttOptions

ENCODINGS = {
    "linear16": "linear16",
    "l16": "linear16",
    "pcm16": "linear16",
    "mulaw": "mulaw",
    "pcmu": "mulaw",
    "alaw": "alaw",
    "pcma": "alaw",
}
"""Names of the audio that a session takes, in lower case, and Telnyx's word for it."""


def check_audio(sample_rate: int, encoding: str) -> str:
    """Check what kind of audio will be sent; get Telnyx's word for the encoding.

    Raises:
        ConfigurationError: one of both cannot be used.
    """
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, int) or sample_rate <= 0:
        raise ConfigurationError(f"sample_rate: a positive number, not {sample_rate!r}")
    wire = ENCODINGS.get(encoding.lower())
    if wire is None:
        raise ConfigurationError(
            f"encoding: {encoding!r} is not one of {', '.join(sorted(ENCODINGS))}"
        )
    return wire


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
