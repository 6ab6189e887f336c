"""Get the sound that a call plays: a file, an address, a segment of pydub, or one made here.

A file is decoded once per process and kept at the rate of the calls, so that playing it costs a
call nothing.

Threads: any thread may call :func:`load`; it blocks while a file is read or fetched for the first
time.

Rules of this module:

1. What cannot be read is one :class:`~bridge.errors.AudioUnreadable`, whatever was wrong with it.
2. Not more than ``KEPT`` bytes are kept; the sound that was not used for longest goes first.
"""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Protocol, Union
from urllib.parse import urlsplit

import av
import av.error
import numpy
import requests

from bridge.errors import AudioUnreadable
from telnyx_media.pcm import Resampler, mono

__all__ = ["MADE_HERE", "Segment", "Sound", "check_volume", "load"]

# Bytes of decoded sound that a process keeps: an hour at 8 kHz.
KEPT = 64 * 1024 * 1024

# A file at an address: bytes at most, and seconds to connect and between two pieces of it.
LONGEST_FILE = 32 * 1024 * 1024
PATIENCE = 10.0


class Segment(Protocol):
    """What is used of a ``pydub.AudioSegment``."""

    @property
    def raw_data(self) -> bytes:
        """Samples, interleaved."""

    @property
    def frame_rate(self) -> int:
        """Hertz."""

    @property
    def channels(self) -> int:
        """1 or 2."""

    @property
    def sample_width(self) -> int:
        """Bytes per sample."""

    def set_sample_width(self, sample_width: int) -> Segment:
        """Get the same sound with so many bytes per sample."""


Sound = Union[str, "os.PathLike[str]", Segment]
"""A path, an ``http(s)://`` address, the name of a sound made here, or a ``pydub.AudioSegment``."""


def load(sound: Sound, sample_rate: int) -> bytes:
    """Get a sound as 16-bit mono PCM.

    Args:
        sound: what to get.
        sample_rate: of what comes out, in hertz.

    Raises:
        AudioUnreadable: it is not there, or no audio.
    """
    if not isinstance(sound, (str, os.PathLike)):
        return _of_segment(sound, sample_rate)
    name = os.fspath(sound)
    if name in MADE_HERE:
        return _kept((name, sample_rate), lambda: MADE_HERE[name](sample_rate))
    scheme, address, _ = name.partition("://")
    if address and scheme not in ("http", "https"):
        raise AudioUnreadable(f"a file at {scheme}://: only http:// and https:// are read")
    if address:
        return _kept((name, sample_rate), lambda: _decode(_fetch(name), sample_rate, "the file"))
    path = Path(name)
    try:
        stamp = path.stat()
        key = (str(path), sample_rate, stamp.st_mtime_ns, stamp.st_size)
        return _kept(key, lambda: _decode(path.read_bytes(), sample_rate, path.name))
    except FileNotFoundError:
        raise AudioUnreadable(f"{path.name}: no such file") from None
    except OSError as error:
        raise AudioUnreadable(f"{path.name or name!r}: {error.strerror}") from None
    except ValueError:
        raise AudioUnreadable("that is no name of a file") from None


def check_volume(volume: float) -> None:
    """Check how loud a sound is to be.

    Raises:
        ValueError: it is no factor from 0 to 1.
    """
    if isinstance(volume, bool) or not isinstance(volume, (int, float)) or not 0 <= volume <= 1:
        raise ValueError("the volume is a factor from 0 to 1")


# -- what is kept ---------------------------------------------------------------------------------

# Guards _sounds.  A sound that two calls ask for at once may be read twice, which does no harm.
_lock = threading.Lock()
_sounds: OrderedDict[object, bytes] = OrderedDict()


def _kept(key: object, make: _Make) -> bytes:
    with _lock:
        if key in _sounds:
            _sounds.move_to_end(key)
            return _sounds[key]
    pcm = make()
    with _lock:
        _sounds[key] = pcm
        while len(_sounds) > 1 and sum(map(len, _sounds.values())) > KEPT:
            _sounds.popitem(last=False)
    return pcm


class _Make(Protocol):
    def __call__(self) -> bytes: ...


# -- where it comes from --------------------------------------------------------------------------


def _of_segment(segment: Segment, sample_rate: int) -> bytes:
    if not hasattr(segment, "raw_data"):
        raise AudioUnreadable(
            "a sound is a path, an address, a name or a pydub.AudioSegment, "
            f"not a {type(segment).__name__}"
        )
    if segment.sample_width != 2:
        segment = segment.set_sample_width(2)
    return _resample(mono(segment.raw_data, segment.channels), segment.frame_rate, sample_rate)


def _fetch(url: str) -> bytes:
    # Not the address in the message: it may hold a signature that lets anybody in.
    try:
        host = urlsplit(url).hostname or "?"
    except ValueError:
        raise AudioUnreadable("that is no address of a file") from None
    try:
        with requests.get(url, timeout=PATIENCE, stream=True) as answer:
            if answer.status_code != 200:
                raise AudioUnreadable(f"a file at {host}: HTTP {answer.status_code}")
            content = bytearray()
            for piece in answer.iter_content(65536):
                content += piece
                if len(content) > LONGEST_FILE:
                    raise AudioUnreadable(f"a file at {host}: longer than {LONGEST_FILE} bytes")
            return bytes(content)
    except requests.RequestException as error:
        raise AudioUnreadable(f"a file at {host}: {type(error).__name__}") from None


def _decode(content: bytes, sample_rate: int, name: str) -> bytes:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=sample_rate)
    pieces: list[bytes] = []
    try:
        with av.open(io.BytesIO(content)) as container:
            for frame in container.decode(audio=0):
                pieces += [_samples(f) for f in resampler.resample(frame)]
            pieces += [_samples(f) for f in resampler.resample(None)]
    except (av.error.FFmpegError, OSError, IndexError, ValueError) as error:
        raise AudioUnreadable(f"{name}: no audio ({type(error).__name__})") from None
    pcm = b"".join(pieces)
    if not pcm:
        raise AudioUnreadable(f"{name}: no audio")
    return pcm


def _samples(frame: av.AudioFrame) -> bytes:
    return bytes(frame.planes[0])[: frame.samples * 2]


def _resample(pcm: bytes, from_rate: int, to_rate: int) -> bytes:
    resampler = Resampler(from_rate, to_rate)
    return resampler.feed(pcm) + resampler.flush()


# -- made here ------------------------------------------------------------------------------------

# A slow round of four chords, hertz; and how long each sounds, in seconds.
CHORDS = (
    (261.6, 329.6, 392.0, 493.9),
    (220.0, 261.6, 329.6, 392.0),
    (174.6, 220.0, 261.6, 329.6),
    (196.0, 246.9, 293.7, 349.2),
)
CHORD_SECONDS = 2.4


def _music(sample_rate: int) -> bytes:
    """Make music to wait by: broken chords, each note fading away."""
    count = round(CHORD_SECONDS * sample_rate)
    song = numpy.zeros(count * len(CHORDS) + 2 * count)
    time = numpy.arange(2 * count) / sample_rate
    for bar, chord in enumerate(CHORDS):
        for place, pitch in enumerate(chord):
            start = bar * count + place * count // len(chord)
            attack = numpy.minimum(1.0, time / 0.02)
            tone = numpy.sin(2 * numpy.pi * pitch * time)
            tone += 0.3 * numpy.sin(4 * numpy.pi * pitch * time)
            song[start : start + 2 * count] += tone * attack * numpy.exp(-1.6 * time)
    # What rings on beyond the end rings into the beginning: the round has no seam.
    song[: 2 * count] += song[count * len(CHORDS) :]
    return _pcm(song[: count * len(CHORDS)], 0.25)


def _room(sample_rate: int) -> bytes:
    """Make the hum of a room with people far away: noise that swells and sinks, without a seam."""
    count = 8 * sample_rate
    random = numpy.random.default_rng(20)
    spectrum = numpy.fft.rfft(random.standard_normal(count))
    pitch = numpy.fft.rfftfreq(count, 1 / sample_rate)
    spectrum *= (pitch > 120) / numpy.maximum(pitch, 120.0) * numpy.exp(-pitch / 900)
    noise = numpy.fft.irfft(spectrum, count)
    swell = 1.0 + 0.3 * numpy.sin(2 * numpy.pi * numpy.arange(count) / count * 3)
    return _pcm(noise * swell, 0.08)


def _pcm(wave: numpy.ndarray, peak: float) -> bytes:
    scaled = wave / numpy.abs(wave).max() * peak * 32767
    return bytes(scaled.astype("<i2").tobytes())


MADE_HERE = {"music": _music, "room": _room}
"""Sounds that need no file: their names, and what makes them."""
