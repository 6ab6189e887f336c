"""Turn the codecs of a phone call into PCM and back.

Telnyx hands a leg's audio over in the codec of its carrier and takes ours in the codec we asked
for, and the two may differ (Telnyx: media-streaming page): one codec object for each direction,
made by :func:`make_codec` from the names that Telnyx uses.

Pure.  A codec belongs to one direction of one stream; calls on one object must not overlap.

Rules of this module:

1. PCM is 16-bit little-endian mono at the codec's own ``sample_rate``.
2. Decoding never raises, whatever the bytes are: what cannot be decoded is silence, and counted.
3. A payload may be cut anywhere for a codec whose packets are ``joinable``, and holds exactly one
   packet for the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol

import av
import av.error

from telnyx_media._audioop import audioop
from telnyx_media.errors import UnsupportedCodec
from telnyx_media.pcm import Packetizer, Resampler

__all__ = [
    "Codec",
    "ENCODINGS",
    "G722",
    "L16",
    "Opus",
    "PCMA",
    "PCMU",
    "PTIME",
    "PacketEncoder",
    "make_codec",
]

# Seconds of audio in a packet; Telnyx documents 20 ms as the least a frame may carry.
PTIME = 0.02

_RATES = range(8000, 48001)
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)

# Bits per second; transparent for wideband speech.
_OPUS_BIT_RATE = 24000


class Codec(Protocol):
    """One direction of one stream in one codec.

    Attributes:
        encoding: Telnyx's name of it.
        sample_rate: of its PCM, in hertz (16000 for G722).
        packet_bytes: bytes of a 20 ms packet; ``None`` if they vary.
        joinable: whether packets may be put one behind the other in one payload.
        damaged: how many payloads could not be decoded.
    """

    encoding: str
    sample_rate: int
    packet_bytes: int | None
    joinable: bool
    damaged: int

    def decode(self, payload: bytes) -> bytes:
        """Turn a payload into PCM; never raises."""
        ...

    def encode(self, pcm: bytes) -> bytes:
        """Turn whole samples of PCM into a payload.

        Feed whole packets of 20 ms: G722 holds a part of one back until it is complete, and OPUS
        takes exactly one packet (a shorter one is filled up with silence).  A
        :class:`PacketEncoder` sees to that.
        """
        ...

    def silence(self, seconds: float = PTIME) -> bytes:
        """Make a payload that sounds like nothing.

        For G722 and OPUS it is what comes next in this object's stream, and OPUS makes one packet
        whatever ``seconds`` says.
        """
        ...


class PCMU:
    """G.711 mu-law."""

    encoding = "PCMU"
    joinable = True

    def __init__(self, sample_rate: int = 8000) -> None:
        self.sample_rate = sample_rate
        self.packet_bytes: int | None = round(sample_rate * PTIME)
        self.damaged = 0

    def decode(self, payload: bytes) -> bytes:
        """Turn a payload into PCM; never raises."""
        return audioop.ulaw2lin(payload, 2)

    def encode(self, pcm: bytes) -> bytes:
        """Turn whole samples of PCM into a payload."""
        return audioop.lin2ulaw(pcm, 2)

    def silence(self, seconds: float = PTIME) -> bytes:
        """Make a payload that sounds like nothing."""
        return b"\xff" * round(seconds * self.sample_rate)


class PCMA:
    """G.711 A-law."""

    encoding = "PCMA"
    joinable = True

    def __init__(self, sample_rate: int = 8000) -> None:
        self.sample_rate = sample_rate
        self.packet_bytes: int | None = round(sample_rate * PTIME)
        self.damaged = 0

    def decode(self, payload: bytes) -> bytes:
        """Turn a payload into PCM; never raises."""
        return audioop.alaw2lin(payload, 2)

    def encode(self, pcm: bytes) -> bytes:
        """Turn whole samples of PCM into a payload."""
        return audioop.lin2alaw(pcm, 2)

    def silence(self, seconds: float = PTIME) -> bytes:
        """Make a payload that sounds like nothing."""
        return b"\xd5" * round(seconds * self.sample_rate)


class L16:
    """Linear 16-bit samples.

    Telnyx does not document their byte order.  Those who report a live call found little-endian;
    RFC 3551 says big-endian; so it is an option.
    """

    encoding = "L16"
    joinable = True

    def __init__(self, sample_rate: int = 16000, *, byte_order: str = "little") -> None:
        self.sample_rate = sample_rate
        self.packet_bytes: int | None = 2 * round(sample_rate * PTIME)
        self.damaged = 0
        self._swap = byte_order == "big"
        # A payload may end in the middle of a sample.
        self._odd = b""

    def decode(self, payload: bytes) -> bytes:
        """Turn a payload into PCM; never raises.

        An odd last byte is kept for the next payload.
        """
        if self._odd or len(payload) & 1:
            payload = self._odd + payload
            end = len(payload) & ~1
            payload, self._odd = payload[:end], payload[end:]
        return audioop.byteswap(payload, 2) if self._swap else payload

    def encode(self, pcm: bytes) -> bytes:
        """Turn whole samples of PCM into a payload."""
        return audioop.byteswap(pcm, 2) if self._swap else pcm

    def silence(self, seconds: float = PTIME) -> bytes:
        """Make a payload that sounds like nothing."""
        return bytes(2 * round(seconds * self.sample_rate))


class G722:
    """G.722 at 64 kbit/s: 16 kHz audio under an RTP clock of 8000."""

    encoding = "G722"
    joinable = True

    def __init__(self) -> None:
        self.sample_rate = 16000
        self.packet_bytes: int | None = 160
        self.damaged = 0

    # One direction needs one of the two.

    @cached_property
    def _decoder(self) -> av.AudioCodecContext:
        return _decoder("g722", self.sample_rate)

    @cached_property
    def _encoder(self) -> av.AudioCodecContext:
        return _encoder("g722", self.sample_rate)

    def decode(self, payload: bytes) -> bytes:
        """Turn a payload into PCM; never raises."""
        if not payload:
            return b""
        try:
            return _decoded(self._decoder, payload)
        except av.error.FFmpegError:
            self.damaged += 1
            return bytes(4 * len(payload))

    def encode(self, pcm: bytes) -> bytes:
        """Turn whole samples of PCM into a payload; a part of a packet is held back."""
        return b"".join(_encoded(self._encoder, pcm))

    def silence(self, seconds: float = PTIME) -> bytes:
        """Make a payload that sounds like nothing and follows what was encoded before."""
        return self.encode(bytes(2 * round(seconds * self.sample_rate)))


class Opus:
    """Opus, one packet of 20 ms in each payload."""

    encoding = "OPUS"
    joinable = False

    def __init__(self, sample_rate: int = 16000) -> None:
        self.sample_rate = sample_rate
        self.packet_bytes: int | None = None
        self.damaged = 0
        self._pcm_bytes = 2 * round(sample_rate * PTIME)
        # FFmpeg's decoder hands out 48 kHz, whatever was encoded.
        self._resampler = Resampler(48000, sample_rate)

    @cached_property
    def _decoder(self) -> av.AudioCodecContext:
        return _decoder("libopus", 48000)

    @cached_property
    def _encoder(self) -> av.AudioCodecContext:
        # Complexity 5 of 10: half the work of 10.
        options = {"application": "voip", "frame_duration": "20", "compression_level": "5"}
        return _encoder("libopus", self.sample_rate, bit_rate=_OPUS_BIT_RATE, options=options)

    def decode(self, payload: bytes) -> bytes:
        """Turn one packet into PCM; a damaged one is 20 ms of silence."""
        if not payload:
            return b""
        try:
            pcm = _decoded(self._decoder, payload)
        except av.error.FFmpegError:
            self.damaged += 1
            pcm = bytes(2 * 960)
        return self._resampler.feed(pcm)

    def encode(self, pcm: bytes) -> bytes:
        """Turn 20 ms of PCM into a packet; less is filled up with silence.

        Raises:
            ValueError: there is more than one packet in ``pcm``.
        """
        if not 0 < len(pcm) <= self._pcm_bytes:
            raise ValueError(f"OPUS takes 20 ms at a time: {self._pcm_bytes} bytes, not {len(pcm)}")
        return b"".join(_encoded(self._encoder, pcm.ljust(self._pcm_bytes, b"\0")))

    def silence(self, seconds: float = PTIME) -> bytes:
        """Make one packet that sounds like nothing and follows what was encoded before."""
        return self.encode(bytes(self._pcm_bytes))


def _decoder(name: str, sample_rate: int) -> av.AudioCodecContext:
    context = av.CodecContext.create(name, "r")
    assert isinstance(context, av.AudioCodecContext)
    context.layout = "mono"
    context.sample_rate = sample_rate
    return context


def _encoder(
    name: str, sample_rate: int, *, bit_rate: int = 0, options: dict[str, str] | None = None
) -> av.AudioCodecContext:
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate = sample_rate
    context.layout = "mono"
    context.format = "s16"
    if bit_rate:
        context.bit_rate = bit_rate
    context.options = options or {}
    context.open()
    return context


def _encoded(context: av.AudioCodecContext, pcm: bytes) -> list[bytes]:
    if not pcm:
        return []
    frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
    frame.sample_rate = context.sample_rate
    frame.planes[0].update(pcm)
    return [bytes(packet) for packet in context.encode(frame)]


def _decoded(context: av.AudioCodecContext, payload: bytes) -> bytes:
    frames = context.decode(av.Packet(payload))
    return b"".join(bytes(frame.planes[0])[: frame.samples * 2] for frame in frames)


class PacketEncoder:
    """Encode a stream of PCM into packets of 20 ms, for every codec alike."""

    def __init__(self, codec: Codec) -> None:
        """Begin a stream.

        Args:
            codec: nobody else may encode with it meanwhile.
        """
        self.codec = codec
        self._packetizer = Packetizer(2 * round(codec.sample_rate * PTIME))

    def feed(self, pcm: bytes) -> list[bytes]:
        """Take PCM in, cut anywhere, and return the packets that are complete."""
        encode = self.codec.encode
        return [encode(piece) for piece in self._packetizer.feed(pcm)]

    def flush(self) -> list[bytes]:
        """Return the last packet, filled up with silence, if something is left for one."""
        encode = self.codec.encode
        return [encode(piece) for piece in self._packetizer.flush(b"\0\0")]


_MAKERS: dict[str, Callable[[int, str], Codec]] = {
    "PCMU": lambda rate, order: PCMU(rate),
    "PCMA": lambda rate, order: PCMA(rate),
    "L16": lambda rate, order: L16(rate, byte_order=order),
    "G722": lambda rate, order: G722(),
    "OPUS": lambda rate, order: Opus(rate),
}

ENCODINGS = tuple(_MAKERS)
"""The codecs that can be decoded and encoded, by Telnyx's names."""


def make_codec(encoding: str, sample_rate: int = 8000, *, l16_byte_order: str = "little") -> Codec:
    """Make the codec for one direction of one stream.

    Args:
        encoding: Telnyx's name of it, in any case: one of :data:`ENCODINGS`.
        sample_rate: hertz, as in ``media_format`` or in ``stream_bidirectional_sampling_rate``.
            For G722 8000 and 16000 mean the same.
        l16_byte_order: ``"little"`` or ``"big"``, for L16 alone.

    Raises:
        UnsupportedCodec: the codec, or this rate of it, cannot be handled.
    """
    name = encoding.strip().upper()
    if name in ("AMR-WB", "AMR_WB"):
        raise UnsupportedCodec(
            "AMR-WB is not supported: no encoder for it can be shipped; set the stream's codec to "
            "PCMU, PCMA, G722, OPUS or L16 (stream_codec for the audio from Telnyx)"
        )
    make = _MAKERS.get(name)
    if make is None:
        raise UnsupportedCodec(f"unknown codec {name[:20]!r}; known are {', '.join(ENCODINGS)}")
    if l16_byte_order not in ("little", "big"):
        raise UnsupportedCodec(f"byte order {l16_byte_order!r}; known are 'little' and 'big'")
    rates = _OPUS_RATES if name == "OPUS" else _RATES
    if sample_rate not in rates:
        known = ", ".join(map(str, _OPUS_RATES)) if name == "OPUS" else "8000 to 48000"
        raise UnsupportedCodec(f"{name} at {sample_rate} Hz; possible are {known}")
    return make(sample_rate, l16_byte_order)
