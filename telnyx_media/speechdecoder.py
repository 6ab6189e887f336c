"""Turn whatever a voice sends into PCM.

What arrives is not always what was asked for: a voice may answer in MP3 to a request for linear16,
in raw PCM to a request for MP3, in WAV, and in several files one behind the other.  So the first
bytes decide, and the request is only believed where they say nothing.

Pure.  One decoder for one socket; calls must not overlap.
"""

from __future__ import annotations

from collections.abc import Callable

from telnyx_media._audioop import audioop
from telnyx_media.errors import ProtocolError, UnsupportedCodec
from telnyx_media.mp3 import Mp3Decoder
from telnyx_media.pcm import Resampler, WavHeader, mono, parse_wav_header

# What voices that send raw audio unasked send (Fish Audio: 24 kHz).
DEFAULT_RAW_RATE = 24000

# How far the head of an MP3 stream is looked for, in bytes; one frame is 1441 at most.
SEARCH = 3000

_HEADER = 4
_BITRATES_V1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BITRATES_V2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def mp3_frame_bytes(data: bytes) -> int | None:
    """Get the length of the MP3 frame (layer III) that begins ``data``; ``None`` if none does."""
    if len(data) < _HEADER or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    bitrate, rate = data[2] >> 4, data[2] >> 2 & 3
    if version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3:
        return None
    kilobits = (_BITRATES_V1 if version == 3 else _BITRATES_V2)[bitrate]
    samples = 144 if version == 3 else 72
    return samples * kilobits * 1000 // _RATES[version][rate] + (data[2] >> 1 & 1)


def sniff(data: bytes, *, raw_expected: bool, whole: bool = False) -> str | None:
    """Tell what audio begins with ``data``: ``"mp3"``, ``"wav"``, ``"ogg"`` or ``"raw"``.

    Args:
        data: the first bytes.
        raw_expected: whether audio without a header was asked for.
        whole: whether no more will come, so that a decision is due.

    Returns:
        The kind, or ``None`` while more is needed.
    """
    for magic, kind in ((b"ID3", "mp3"), (b"RIFF", "wav"), (b"OggS", "ogg")):
        head = data[: len(magic)]
        if head == magic:
            return kind
        if magic.startswith(head) and not whole:
            return None
    if data[:1] == b"\xff" and len(data) < _HEADER and not whole:
        return None
    size = mp3_frame_bytes(data)
    if size is not None:
        second = data[size : size + _HEADER]
        if len(second) == _HEADER:
            # Raw PCM can look like one header by chance, hardly like two in the right distance.
            return "mp3" if mp3_frame_bytes(second) is not None else "raw"
        if not raw_expected:
            return "mp3"
        return "raw" if whole else None
    if raw_expected:
        return "raw"
    for at in range(1, min(len(data), SEARCH) - 2 * _HEADER):
        size = mp3_frame_bytes(data[at : at + _HEADER])
        if size and mp3_frame_bytes(data[at + size : at + size + _HEADER]) is not None:
            return "mp3"
    return "raw"


class SpeechDecoder:
    """Decode the audio of one synthesis socket, cut anywhere, into PCM at one rate.

    Attributes:
        kind: ``"mp3"``, ``"wav"`` or ``"raw"`` once known, else ``None``.
    """

    def __init__(
        self, sample_rate: int, *, asked: str | None = None, asked_rate: int | None = None
    ) -> None:
        """Begin with nothing known.

        Args:
            sample_rate: of the PCM that comes out, in Hz.
            asked: the ``audio_format`` that was asked for.
            asked_rate: the rate that was asked for, for audio without a header.
        """
        self.kind: str | None = None
        self._rate = sample_rate
        self._asked = asked
        self._raw_rate = asked_rate or (8000 if asked in ("mulaw", "alaw") else DEFAULT_RAW_RATE)
        self._head = b""
        self._feed: Callable[[bytes], bytes] | None = None
        self._mp3: Mp3Decoder | None = None
        self._resampler: Resampler | None = None

    def feed(self, data: bytes) -> bytes:
        """Take bytes in and return the PCM that is ready.

        Raises:
            UnsupportedCodec: the audio is of a kind that cannot be decoded here.
        """
        return self._decode(data, whole=False)

    def close(self) -> bytes:
        """Return the last of the PCM."""
        pcm = self._decode(b"", whole=True)
        if self._mp3 is not None:
            pcm += self._mp3.close()
        if self._resampler is not None:
            pcm += self._resampler.flush()
        return pcm

    def _decode(self, data: bytes, *, whole: bool) -> bytes:
        if self._feed is not None:
            return self._feed(data) if data else b""
        self._head += data
        if not self._head:
            return b""
        raw = self._asked in ("linear16", "mulaw", "alaw")
        kind = sniff(self._head, raw_expected=raw, whole=whole)
        if kind is None:
            return b""
        self.kind = kind
        if kind == "mp3":
            self._mp3 = Mp3Decoder(self._rate)
            self._feed = self._mp3.feed
        elif kind == "wav":
            self._feed = _WavReader(self._rate).feed
        elif kind == "raw":
            self._resampler = Resampler(self._raw_rate, self._rate)
            self._feed = self._feed_raw
        else:
            raise UnsupportedCodec("audio_format: the voice answers in Ogg, which is not decoded")
        head, self._head = self._head, b""
        return self._feed(head)

    def _feed_raw(self, data: bytes) -> bytes:
        assert self._resampler is not None
        if self._asked == "mulaw":
            data = audioop.ulaw2lin(data, 2)
        elif self._asked == "alaw":
            data = audioop.alaw2lin(data, 2)
        return self._resampler.feed(data)


class _WavReader:
    """Read WAV files, one behind the other, as they arrive."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._buffer = b""
        self._header: WavHeader | None = None
        self._left: int | None = None
        self._resampler: Resampler | None = None

    def feed(self, data: bytes) -> bytes:
        """Take bytes in and return the PCM that is ready."""
        out: list[bytes] = []
        # A writer that does not know its length puts the next file at the head of a message.
        if self._header is not None and self._left is None and data[:4] == b"RIFF":
            out.append(self._end())
        self._buffer += data
        while self._buffer:
            if self._header is None and not self._begin():
                break
            assert self._header is not None
            audio = self._buffer[: self._left]
            frame = self._header.channels * self._header.bits // 8
            audio = audio[: len(audio) - len(audio) % frame]
            if not audio:
                if self._left is not None and self._left < frame:
                    self._buffer = self._buffer[self._left :]
                    out.append(self._end())
                    continue
                break
            self._buffer = self._buffer[len(audio) :]
            if self._left is not None:
                self._left -= len(audio)
            out.append(self._convert(audio))
            if self._left is not None and self._left < frame:
                self._buffer = self._buffer[self._left :]
                out.append(self._end())
        return b"".join(out)

    def _begin(self) -> bool:
        # What stands between two files, an odd byte or a comment chunk, is skipped.
        at = self._buffer.find(b"RIFF")
        self._buffer = self._buffer[at:] if at >= 0 else self._buffer[-3:]
        if at < 0:
            return False
        try:
            header = parse_wav_header(self._buffer)
        except ProtocolError:
            self._buffer = self._buffer[4:]
            return False
        if header is None:
            return False
        if header.encoding == "FLOAT" or (header.encoding == "L16" and header.bits != 16):
            raise UnsupportedCodec(f"WAV of {header.bits} bits {header.encoding}")
        self._header = header
        self._left = header.data_bytes
        self._buffer = self._buffer[header.data_offset :]
        self._resampler = Resampler(header.sample_rate, self._rate)
        return True

    def _convert(self, audio: bytes) -> bytes:
        assert self._header is not None
        assert self._resampler is not None
        if self._header.encoding == "PCMU":
            audio = audioop.ulaw2lin(audio, 2)
        elif self._header.encoding == "PCMA":
            audio = audioop.alaw2lin(audio, 2)
        return self._resampler.feed(mono(audio, self._header.channels))

    def _end(self) -> bytes:
        rest = self._resampler.flush() if self._resampler is not None else b""
        self._header = self._left = self._resampler = None
        return rest
