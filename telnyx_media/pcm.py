"""Work on plain audio: resample it, cut it into packets, measure it, and read and write WAV.

Plain audio ("PCM") is 16-bit little-endian samples in ``bytes``, one channel unless said otherwise.

The resampler is FFmpeg's by way of PyAV: it holds back 2 ms and keeps aliases more than 90 dB down,
where ``audioop.ratecv`` has no filter at all and folds every sibilant of a 24 kHz voice into the
telephone's band.

Pure, but for :func:`read_wav` and :func:`write_wav`, which read and write a file.  Objects here
belong to one stream; calls on one object must not overlap.
"""

from __future__ import annotations

import math
import os
import struct
import sys
from typing import BinaryIO, Union

import av
import msgspec

from telnyx_media._audioop import audioop
from telnyx_media.errors import ConfigurationError, ProtocolError, UnsupportedCodec

__all__ = [
    "Packetizer",
    "Resampler",
    "SILENCE_DBFS",
    "WavHeader",
    "level",
    "mono",
    "parse_wav_header",
    "read_wav",
    "rms",
    "seconds",
    "silence",
    "stereo",
    "swap_bytes",
    "wav_header",
    "write_wav",
]

# Below the smallest 16-bit sample; what the level of digital silence is given as.
SILENCE_DBFS = -96.0

# A WAV header is 44 bytes plus optional chunks; one longer than this is something else.
_MAX_HEADER = 1 << 20

# What a streaming writer puts where the length belongs, since it does not know it yet.
_UNKNOWN_LENGTHS = frozenset({0, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFF - 36, 0xFFFFFFFF - 36})

_WAV_PCM, _WAV_FLOAT, _WAV_ALAW, _WAV_ULAW, _WAV_EXTENSIBLE = 1, 3, 6, 7, 0xFFFE

_Path = Union[str, "os.PathLike[str]"]


def seconds(pcm: bytes, sample_rate: int) -> float:
    """Get the length of ``pcm`` in seconds."""
    return len(pcm) / (2 * sample_rate)


def silence(length: float, sample_rate: int) -> bytes:
    """Make ``length`` seconds of digital silence."""
    return bytes(2 * round(length * sample_rate))


def rms(pcm: bytes) -> int:
    """Get the root mean square of the samples, 0 to 32767; an odd last byte is ignored."""
    return audioop.rms(pcm if not len(pcm) & 1 else pcm[:-1], 2)


def level(pcm: bytes) -> float:
    """Get the level in dBFS: 0 for a full-scale square wave, :data:`SILENCE_DBFS` for silence."""
    value = rms(pcm)
    return 20 * math.log10(value / 32768) if value else SILENCE_DBFS


def mono(pcm: bytes, channels: int) -> bytes:
    """Mix interleaved ``pcm`` of that many channels down to one, all with equal weight."""
    if channels == 1:
        return pcm
    if channels == 2:
        return audioop.tomono(pcm, 2, 0.5, 0.5)
    samples = memoryview(pcm[: len(pcm) - len(pcm) % (2 * channels)]).cast("h")
    mixed = bytes(len(samples) // channels * 2)
    for channel in range(channels):
        quiet = audioop.mul(samples[channel::channels].tobytes(), 2, 1 / channels)
        mixed = audioop.add(mixed, quiet, 2)
    return mixed


def stereo(left: bytes, right: bytes) -> bytes:
    """Interleave two channels; the shorter is filled up with silence."""
    size = max(len(left), len(right))
    return audioop.add(
        audioop.tostereo(left.ljust(size, b"\0"), 2, 1, 0),
        audioop.tostereo(right.ljust(size, b"\0"), 2, 0, 1),
        2,
    )


def swap_bytes(pcm: bytes) -> bytes:
    """Turn little-endian samples into big-endian ones, or back."""
    return audioop.byteswap(pcm, 2)


class Resampler:
    """Change the sample rate of a stream; an identity when the rates are equal."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        """Begin a stream.

        Args:
            from_rate: of what is fed, in hertz.
            to_rate: of what comes out, in hertz.

        Raises:
            ConfigurationError: a rate is no positive number.
        """
        if from_rate <= 0 or to_rate <= 0:
            raise ConfigurationError(f"sample rates must be positive: {from_rate}, {to_rate}")
        self.from_rate = from_rate
        self.to_rate = to_rate
        # A chunk may end in the middle of a sample.
        self._odd = b""
        self._av: av.AudioResampler | None = None

    def feed(self, pcm: bytes) -> bytes:
        """Take samples in, cut anywhere, and return what is ready; the last 2 ms are held back."""
        if self._odd or len(pcm) & 1:
            pcm = self._odd + pcm
            end = len(pcm) & ~1
            pcm, self._odd = pcm[:end], pcm[end:]
        if self.from_rate == self.to_rate or not pcm:
            return pcm
        if self._av is None:
            self._av = av.AudioResampler(format="s16", layout="mono", rate=self.to_rate)
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.sample_rate = self.from_rate
        frame.planes[0].update(pcm)
        return _joined(self._av.resample(frame))

    def flush(self) -> bytes:
        """Return what was held back; what is fed afterwards is a new stream."""
        self._odd = b""
        if self._av is None:
            return b""
        rest = _joined(self._av.resample(None))
        self._av = None
        return rest


def _joined(frames: list[av.AudioFrame]) -> bytes:
    """Get the samples of 16-bit mono frames."""
    if len(frames) == 1:
        return bytes(frames[0].planes[0])[: frames[0].samples * 2]
    return b"".join(bytes(f.planes[0])[: f.samples * 2] for f in frames)


class Packetizer:
    """Cut a stream of bytes into packets of one size."""

    def __init__(self, packet_bytes: int) -> None:
        """Begin a stream.

        Args:
            packet_bytes: length of each packet.
        """
        if packet_bytes <= 0:
            raise ConfigurationError(f"packet_bytes must be positive: {packet_bytes}")
        self.packet_bytes = packet_bytes
        self._rest = b""

    def __len__(self) -> int:
        """Get the number of bytes held back."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes in, cut anywhere, and return the packets that are complete."""
        data = self._rest + data if self._rest else data
        size = self.packet_bytes
        end = len(data) - len(data) % size
        self._rest = data[end:]
        return [data[i : i + size] for i in range(0, end, size)]

    def flush(self, pad: bytes | None = None) -> list[bytes]:
        """Return the last packet, or nothing if the stream ended at the end of one.

        Args:
            pad: bytes to fill the packet up with, repeated as needed (a codec's silence);
                ``None`` leaves it short.
        """
        rest, self._rest = self._rest, b""
        if not rest:
            return []
        missing = self.packet_bytes - len(rest)
        if pad:
            rest += (pad * (missing // len(pad) + 1))[:missing]
        return [rest]


class WavHeader(msgspec.Struct, frozen=True):
    """What the head of a WAV file says.

    Attributes:
        encoding: ``L16`` (of ``bits``), ``FLOAT``, ``PCMU`` or ``PCMA``.
        sample_rate: hertz.
        channels: number of channels.
        bits: per sample and channel.
        data_offset: where the audio begins, in bytes from the head.
        data_bytes: length of the audio; ``None`` when the writer did not know it.
    """

    encoding: str
    sample_rate: int
    channels: int
    bits: int
    data_offset: int
    data_bytes: int | None


_ENCODINGS = {_WAV_PCM: "L16", _WAV_FLOAT: "FLOAT", _WAV_ALAW: "PCMA", _WAV_ULAW: "PCMU"}


def wav_header(sample_rate: int, channels: int = 1, data_bytes: int | None = None) -> bytes:
    """Make the 44 bytes before 16-bit audio.

    Args:
        sample_rate: hertz.
        channels: number of channels.
        data_bytes: length of the audio; ``None`` declares the longest that a reader with signed
            numbers accepts, for audio that is still to come.
    """
    size = 0x7FFFFFFF - 36 if data_bytes is None else data_bytes
    block = 2 * channels
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + size,
        b"WAVE",
        b"fmt ",
        16,
        _WAV_PCM,
        channels,
        sample_rate,
        sample_rate * block,
        block,
        16,
        b"data",
        size,
    )


def parse_wav_header(data: bytes) -> WavHeader | None:
    """Read the head of a WAV file.

    Returns:
        What it says, or ``None`` while ``data`` is too short to tell.

    Raises:
        ProtocolError: this is no WAV file.
        UnsupportedCodec: its audio is of a kind that cannot be read here.
    """
    if data[:4] != b"RIFF"[: len(data[:4])] or data[8:12] != b"WAVE"[: len(data[8:12])]:
        raise ProtocolError("not a WAV file")
    at, form = 12, None
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        body = at + 8
        if name == b"data":
            if form is None:
                raise ProtocolError("WAV file: its data comes before its format")
            encoding, rate, channels, bits = form
            known = None if size in _UNKNOWN_LENGTHS else size
            return WavHeader(encoding, rate, channels, bits, body, known)
        if name == b"fmt ":
            if len(data) < body + size:
                return None
            form = _wav_format(data[body : body + size])
        at = body + size + (size & 1)
        if at > _MAX_HEADER:
            raise ProtocolError("WAV file: no data within the first megabyte")
    return None


def _wav_format(body: bytes) -> tuple[str, int, int, int]:
    if len(body) < 16:
        raise ProtocolError("WAV file: its format chunk is too short")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _WAV_EXTENSIBLE and len(body) >= 26:
        tag = struct.unpack_from("<H", body, 24)[0]
    encoding = _ENCODINGS.get(tag)
    widths = {"L16": (8, 16, 24, 32), "FLOAT": (32,), "PCMU": (8,), "PCMA": (8,)}
    if encoding is None or bits not in widths[encoding] or not channels or not rate:
        raise UnsupportedCodec(
            f"WAV file: format {tag} with {bits} bits, {channels} channels at {rate} Hz"
        )
    return encoding, rate, channels, bits


def read_wav(source: _Path | BinaryIO) -> tuple[bytes, int]:
    """Read a WAV file, mixed down to one channel.

    Args:
        source: a path, or a file open for reading bytes.

    Returns:
        The audio as PCM, and its sample rate in hertz.

    Raises:
        OSError: the file cannot be read.
        ProtocolError: it is no WAV file, or is cut off within its head.
        UnsupportedCodec: its audio is of a kind that cannot be read here.
    """
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            data = file.read()
    else:
        data = source.read()
    header = parse_wav_header(data)
    if header is None:
        raise ProtocolError("WAV file: cut off before its data")
    audio = data[header.data_offset :]
    if header.data_bytes is not None:
        audio = audio[: header.data_bytes]
    return mono(_to_pcm16(audio, header), header.channels), header.sample_rate


def _to_pcm16(audio: bytes, header: WavHeader) -> bytes:
    """Turn the audio of a WAV file into 16-bit samples, leaving its channels as they are."""
    width = header.bits // 8
    audio = audio[: len(audio) - len(audio) % (width * header.channels)]
    if header.encoding == "PCMU":
        return audioop.ulaw2lin(audio, 2)
    if header.encoding == "PCMA":
        return audioop.alaw2lin(audio, 2)
    if header.encoding == "FLOAT":
        values = struct.unpack(f"<{len(audio) // 4}f", audio)
        # What is no number equals not even itself.
        scaled = (v * 32768 if v == v else 0.0 for v in values)
        clipped = [round(max(-32768.0, min(32767.0, v))) for v in scaled]
        return struct.pack(f"<{len(clipped)}h", *clipped)
    if width == 1:
        # 8-bit samples are the only unsigned ones.
        return audioop.lin2lin(audioop.bias(audio, 1, -128), 1, 2)
    return audio if width == 2 else audioop.lin2lin(audio, width, 2)


def write_wav(target: _Path | BinaryIO, pcm: bytes, sample_rate: int, channels: int = 1) -> None:
    """Write ``pcm`` as a WAV file.

    Args:
        target: a path, or a file open for writing bytes.
        pcm: 16-bit samples, interleaved if there are several channels.
        sample_rate: hertz.
        channels: number of channels in ``pcm``.

    Raises:
        OSError: the file cannot be written.
    """
    head = wav_header(sample_rate, channels, len(pcm))
    if isinstance(target, (str, os.PathLike)):
        with open(target, "wb") as file:
            file.write(head + pcm)
    else:
        target.write(head + pcm)


# memoryview.cast and audioop read samples in the machine's order.
assert sys.byteorder == "little", "big-endian machines are not supported"
