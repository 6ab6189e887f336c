"""Encode speech the way the synthesis socket sends it.

MP3 comes as a complete file for each sentence, one behind the other on the same socket, each with
an ID3v2 tag and an Info frame at its head, as clients have found on the live service.

Pure.  An object belongs to one socket; calls on it must not overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import av

from telnyx_media._audioop import audioop
from telnyx_media.pcm import Resampler, wav_header

# Seconds of audio to one message; Telnyx publishes no length.
PIECE = 0.2
# The bit rate at which 24 kHz speech was seen to come.
_MP3_BITS = 64000
# LAME's quality: 7 costs half of the default, and telephone speech shows no difference.
_MP3_LEVEL = "7"


class SpeechEncoder(Protocol):
    """Encodes the sentences of one socket."""

    def encode(self, pcm: bytes) -> Iterator[bytes]:
        """Encode one sentence of PCM and give it in pieces, each to be sent as one message."""


def make_encoder(audio_format: str, from_rate: int, to_rate: int) -> SpeechEncoder:
    """Make the encoder of a socket.

    Args:
        audio_format: ``mp3``, ``linear16``, ``wav``, ``mulaw`` or ``alaw``.
        from_rate: of the PCM it will be fed, hertz.
        to_rate: of what comes out, hertz.
    """
    if audio_format == "mp3":
        return _Mp3(from_rate, to_rate)
    return _Plain(audio_format, from_rate, to_rate)


class _Plain:
    def __init__(self, audio_format: str, from_rate: int, to_rate: int) -> None:
        self._format = audio_format
        self._rates = from_rate, to_rate
        # One head for the socket: the length is not known before its end.
        self._head = wav_header(to_rate) if audio_format == "wav" else b""

    def encode(self, pcm: bytes) -> Iterator[bytes]:
        for piece in _pieces(pcm, *self._rates):
            if self._format == "mulaw":
                yield audioop.lin2ulaw(piece, 2)
            elif self._format == "alaw":
                yield audioop.lin2alaw(piece, 2)
            else:
                head, self._head = self._head, b""
                yield head + piece


class _Mp3:
    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._rates = from_rate, to_rate

    def encode(self, pcm: bytes) -> Iterator[bytes]:
        yield from _mp3_file(_pieces(pcm, *self._rates), self._rates[1])


def _mp3_file(pieces: Iterable[bytes], rate: int) -> Iterator[bytes]:
    """Encode PCM as one MP3 file."""
    sink = _Sink()
    # "flush_packets": each MP3 frame leaves as it is made, so pieces end at frame boundaries.
    with av.open(sink, "w", format="mp3", options={"flush_packets": "1"}) as container:
        stream = container.add_stream(
            "libmp3lame", rate=rate, layout="mono", format="s16p",
            options={"compression_level": _MP3_LEVEL},
        )  # fmt: skip
        stream.bit_rate = _MP3_BITS if rate >= 16000 else _MP3_BITS // 2
        for piece in pieces:
            frame = av.AudioFrame(format="s16p", layout="mono", samples=len(piece) // 2)
            frame.sample_rate = rate
            frame.planes[0].update(piece)
            for packet in stream.encode(frame):
                container.mux(packet)
            if data := sink.take():
                yield data
        for packet in stream.encode(None):
            container.mux(packet)
    if data := sink.take():
        yield data


def encode_file(
    audio_format: str, sentences: Iterable[bytes], from_rate: int, to_rate: int
) -> Iterator[bytes]:
    """Encode sentences of PCM, as they come, into one file, and give it in pieces.

    Args:
        audio_format: ``mp3``, ``linear16``, ``wav``, ``mulaw`` or ``alaw``.
        sentences: 16-bit mono PCM.
        from_rate: of it, hertz.
        to_rate: of the file, hertz.
    """
    if audio_format == "mp3":
        pieces = (piece for pcm in sentences for piece in _pieces(pcm, from_rate, to_rate))
        yield from _mp3_file(pieces, to_rate)
        return
    encoder = _Plain(audio_format, from_rate, to_rate)
    for pcm in sentences:
        yield from encoder.encode(pcm)


class _Sink:
    """A file that can only be written to, as a socket can."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data


def _pieces(pcm: bytes, from_rate: int, to_rate: int) -> Iterator[bytes]:
    """Cut PCM into messages, resampled."""
    resampler = Resampler(from_rate, to_rate)
    size = 2 * round(PIECE * from_rate)
    for at in range(0, len(pcm), size):
        piece = resampler.feed(pcm[at : at + size])
        if at + size >= len(pcm):
            piece += resampler.flush()
        if piece:
            yield piece
