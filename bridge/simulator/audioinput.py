"""Decode the audio that a client sends to be transcribed.

Pure.  An object belongs to one stream; calls on it must not overlap.
"""

from __future__ import annotations

import math
import struct

from telnyx_media._audioop import audioop
from telnyx_media.errors import TelnyxMediaError
from telnyx_media.mp3 import Mp3Decoder
from telnyx_media.pcm import mono, parse_wav_header

# What MP3 is brought to; the recogniser wants no more.
_MP3_RATE = 16000


class AudioUnreadable(Exception):
    """The audio is not what the query said it is."""


class AudioInput:
    """Turns the bytes of one stream into 16-bit mono PCM.

    Attributes:
        sample_rate: hertz of the PCM; 0 until the head of a WAV file has come.
    """

    def __init__(self, input_format: str, sample_rate: int) -> None:
        """Begin a stream.

        Args:
            input_format: ``linear16``, ``linear32`` (32-bit float), ``mulaw``, ``alaw``, ``wav`` or
                ``mp3``.
            sample_rate: hertz; ignored for formats that carry it.
        """
        self._format = input_format
        self.sample_rate = sample_rate
        self._rest = b""
        self._channels = 1
        self._head_read = input_format != "wav"
        self._mp3: Mp3Decoder | None = None
        if input_format == "mp3":
            self._mp3 = Mp3Decoder(_MP3_RATE)
            self.sample_rate = _MP3_RATE

    def feed(self, data: bytes) -> bytes:
        """Take bytes, cut anywhere, and get the PCM that is complete.

        Raises:
            AudioUnreadable: the bytes are of another format.
        """
        if self._mp3 is not None:
            return self._mp3.feed(data)
        data = self._rest + data
        if not self._head_read:
            data = self._read_head(data)
        width = {"linear16": 2, "linear32": 4}.get(self._format, 1) * self._channels
        end = len(data) - len(data) % width if self._head_read else 0
        data, self._rest = data[:end], data[end:]
        return mono(self._decode(data), self._channels) if data else b""

    def _decode(self, data: bytes) -> bytes:
        if self._format == "mulaw":
            return audioop.ulaw2lin(data, 2)
        if self._format == "alaw":
            return audioop.alaw2lin(data, 2)
        if self._format == "linear32":
            values = struct.unpack(f"<{len(data) // 4}f", data)
            whole = [
                max(-32768, min(32767, round(v * 32768))) if math.isfinite(v) else 0 for v in values
            ]
            return struct.pack(f"<{len(whole)}h", *whole)
        return data

    def _read_head(self, data: bytes) -> bytes:
        """Read the head of a WAV file if it is all there, and get what is behind it."""
        try:
            head = parse_wav_header(data)
        except TelnyxMediaError as error:
            raise AudioUnreadable(str(error)) from error
        if head is None:
            return data
        names = {("L16", 16): "linear16", ("FLOAT", 32): "linear32"}
        names |= {("PCMU", 8): "mulaw", ("PCMA", 8): "alaw"}
        name = names.get((head.encoding, head.bits))
        if name is None:
            raise AudioUnreadable(f"WAV of {head.bits} bits")
        self._format, self._head_read = name, True
        self.sample_rate, self._channels = head.sample_rate, head.channels
        return data[head.data_offset :]
