"""Decode MP3 while it arrives.

Telnyx's speech synthesis answers in MP3 unless told otherwise, cut anywhere into WebSocket
messages, and one answer may be several MP3 files one behind the other, each with an ID3 tag at its
head.  Readers of whole files (``av.open``, libsndfile, miniaudio) stop at the second one without a
word; a codec context that is fed packet by packet does not, but hands out the silence that encoder
and decoder put before each file, 70 ms of it, which a caller would hear as delay.

Pure.  One decoder for one utterance; calls must not overlap.

Rules of this module:

1. However the bytes are cut, the same PCM comes out.
2. An ID3 tag, or the bookkeeping frame that encoders put first, begins a new file; neither is
   audio.
3. The delay at the head of each file is cut off: the encoder's as the bookkeeping frame states it,
   else LAME's, and the decoder's own.  The padding at a file's end stays, since nobody knows of the
   end before it is there.
4. What is damaged costs the frames it touches, is counted, and never raises.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import av
import av.error

__all__ = ["Mp3Decoder"]

# Samples of delay: every MP3 decoder's; and LAME's, the encoder of nearly everybody, at 576 each.
_DECODER_DELAY = 529
_LAME_DELAY = 576

_TAG_HEAD = 10

# Where the bookkeeping frame's name may stand, by the length of the side information before it.
_INFO_OFFSETS = (36, 21, 13)
_INFO_NAMES = (b"Xing", b"Info")


class _TagFilter:
    """Cut ID3v2 tags out of a stream of bytes."""

    def __init__(self) -> None:
        # The beginning of what may become a tag's head.
        self._rest = b""
        # Bytes of the present tag still to come.
        self._inside = 0

    def feed(self, data: bytes) -> list[bytes | None]:
        """Return the bytes between the tags, and ``None`` where a tag was."""
        data, self._rest = self._rest + data, b""
        out: list[bytes | None] = []
        while data:
            if self._inside:
                passed = min(self._inside, len(data))
                self._inside -= passed
                data = data[passed:]
                continue
            at = _find_tag(data)
            if at:
                out.append(data[:at])
            data = data[at:]
            if len(data) < _TAG_HEAD:
                self._rest = data
                break
            size = data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9]
            # A footer repeats the head behind the tag.
            footer = _TAG_HEAD if data[5] & 0x10 else 0
            self._inside = _TAG_HEAD + size + footer
            out.append(None)
        return out

    def flush(self) -> bytes:
        """Return the beginning of a tag that was none."""
        rest, self._rest = self._rest, b""
        return rest


def _find_tag(data: bytes) -> int:
    """Find where a tag begins, or may begin if more comes; the length of ``data`` if nowhere."""
    at = data.find(b"ID3")
    while at >= 0:
        head = data[at : at + _TAG_HEAD]
        if len(head) < _TAG_HEAD or (
            head[3] in (2, 3, 4) and head[4] != 0xFF and max(head[6:]) < 0x80
        ):
            return at
        at = data.find(b"ID3", at + 1)
    for length in (2, 1):
        if data.endswith(b"ID3"[:length]):
            return len(data) - length
    return len(data)


def _encoder_delay(frame: bytes) -> int | None:
    """Get the delay stated in a bookkeeping frame; ``None`` if ``frame`` is not one."""
    at = next((i for i in _INFO_OFFSETS if frame[i : i + 4] in _INFO_NAMES), None)
    if at is None:
        return None
    flags = frame[at + 7] if len(frame) > at + 7 else 0
    # Number of frames, of bytes, the seek table and the quality are there if their flags say so.
    sizes = (4, 4, 100, 4)
    end = at + 8 + sum(size for bit, size in enumerate(sizes) if flags & (1 << bit))
    # Then LAME's own part: the delay is in twelve bits after 21 bytes.
    if len(frame) < end + 24:
        return _LAME_DELAY
    return frame[end + 21] << 4 | frame[end + 22] >> 4


class Mp3Decoder:
    """Turn MP3, cut anywhere and perhaps several files in a row, into PCM at one rate.

    Attributes:
        sample_rate: of the PCM that comes out, in hertz.
        source_rate: of the MP3, in hertz; 0 before its first frame.
        damaged: how many frames could not be decoded.
        files: how many files have begun.
    """

    def __init__(self, sample_rate: int) -> None:
        """Begin an utterance.

        Args:
            sample_rate: of the PCM that comes out, in hertz.
        """
        self.sample_rate = sample_rate
        self.source_rate = 0
        self.damaged = 0
        self.files = 0
        self._tags = _TagFilter()
        self._context = _context()
        self._at_head = True
        # Delay to cut off: in samples of the source until its rate is known, then of the output.
        self._delay = 0
        self._drop = 0
        self._resampler: av.AudioResampler | None = None
        self._source: tuple[int, str, str] | None = None

    def feed(self, data: bytes) -> bytes:
        """Take bytes in, cut anywhere, and return the PCM that is ready."""
        out = []
        for piece in self._tags.feed(data):
            if piece is None:
                out.append(self._end_file())
            else:
                out.append(self._decode(self._context.parse(piece)))
        return b"".join(out)

    def close(self) -> bytes:
        """Return the last of the PCM; what is fed afterwards is a new utterance."""
        rest = self._tags.flush()
        out = [self._decode(self._context.parse(rest))] if rest else []
        out.append(self._end_file())
        out.append(self._flush_resampler())
        return b"".join(out)

    def _end_file(self) -> bytes:
        """Return what the present file still has, and be ready for the next."""
        pcm = self._decode(self._context.parse(None))
        try:
            pcm += self._pcm(self._context.decode(None))
        except av.error.FFmpegError:
            self.damaged += 1
        # A new one also forgets the bits that frames borrow from those before them.
        self._context = _context()
        self._at_head = True
        return pcm

    def _decode(self, packets: Iterable[av.Packet[Any]]) -> bytes:
        out = b""
        frames: list[av.AudioFrame] = []
        for packet in packets:
            if not packet.size:
                continue
            delay = _encoder_delay(bytes(packet))
            if delay is not None or self._at_head:
                # What is decoded already belongs to the file before.
                out += self._pcm(frames)
                frames = []
                self.files += 1
                self._at_head = False
                self._delay = (_LAME_DELAY if delay is None else delay) + _DECODER_DELAY
            if delay is not None:
                continue
            try:
                frames += self._context.decode(packet)
            except av.error.FFmpegError:
                self.damaged += 1
        return out + self._pcm(frames)

    def _pcm(self, frames: Iterable[av.AudioFrame]) -> bytes:
        """Resample frames, those of one kind in one go: each go costs more than a frame does."""
        out = b""
        for source, alike in itertools.groupby(frames, _source):
            if source != self._source or self._resampler is None:
                out += self._flush_resampler()
                self._source = source
                self.source_rate = source[0]
                self._resampler = av.AudioResampler(
                    format="s16", layout="mono", rate=self.sample_rate
                )
            if self._delay:
                self._drop = round(self._delay * self.sample_rate / source[0])
                self._delay = 0
            out += self._kept(self._resampler.resample(_joined(list(alike))))
        return out

    def _flush_resampler(self) -> bytes:
        if self._resampler is None:
            return b""
        rest = self._kept(self._resampler.resample(None))
        self._resampler = None
        return rest

    def _kept(self, frames: Iterable[av.AudioFrame]) -> bytes:
        """Get the samples of ``frames`` without the delay that is to be cut off."""
        out = []
        for frame in frames:
            cut = min(self._drop, frame.samples)
            self._drop -= cut
            out.append(bytes(frame.planes[0])[cut * 2 : frame.samples * 2])
        return b"".join(out)


def _source(frame: av.AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name


def _joined(frames: list[av.AudioFrame]) -> av.AudioFrame:
    """Make one frame of several that are of one kind."""
    first = frames[0]
    if len(frames) == 1:
        return first
    joined = av.AudioFrame(
        first.format.name, first.layout.name, sum(frame.samples for frame in frames)
    )
    joined.sample_rate = first.sample_rate
    # Of planar audio, which is what the decoder makes, each plane is one channel.
    width = first.format.bytes
    for number, plane in enumerate(joined.planes):
        plane.update(
            b"".join(bytes(frame.planes[number])[: frame.samples * width] for frame in frames)
        )
    return joined


def _context() -> av.AudioCodecContext:
    context = av.CodecContext.create("mp3float", "r")
    assert isinstance(context, av.AudioCodecContext)
    return context
