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
   else LAME's, and the decoder's own.  The padding at a file's end is cut off where that frame
   states both it and the number of frames; else it stays, since nobody knows of the end before it
   is there.  What was taken for padding is audio after all if more follows.
4. What is damaged costs the frames it touches, is counted, and never raises.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
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


# What FFmpeg wants to be able to read behind its input (AV_INPUT_BUFFER_PADDING_SIZE).
_PADDING = bytes(64)


@dataclass(frozen=True)
class _Bookkeeping:
    """What the frame that encoders put first says of its file.

    Attributes:
        delay: samples that the encoder put before the audio.
        padding: samples that it put behind, together with the delay of every decoder.
        frames: how many there are beside this one; 0 if it does not say.
    """

    delay: int = _LAME_DELAY
    padding: int = 0
    frames: int = 0

    @classmethod
    def read(cls, frame: bytes) -> _Bookkeeping | None:
        """Read it; ``None`` if ``frame`` is another."""
        at = next((i for i in _INFO_OFFSETS if frame[i : i + 4] in _INFO_NAMES), None)
        if at is None:
            return None
        flags = frame[at + 7] if len(frame) > at + 7 else 0
        # Number of frames, of bytes, the seek table and the quality are there if their flags say
        # so.
        sizes = (4, 4, 100, 4)
        end = at + 8 + sum(size for bit, size in enumerate(sizes) if flags & (1 << bit))
        # Then LAME's own part: delay and padding are in twelve bits each after 21 bytes.
        if len(frame) < end + 24:
            return cls()
        count = int.from_bytes(frame[at + 8 : at + 12], "big") if flags & 1 else 0
        first, middle, last = frame[end + 21 : end + 24]
        return cls(first << 4 | middle >> 4, (middle & 15) << 8 | last, count)

    def audio_end(self, samples: int) -> int | None:
        """Get where the audio ends, in samples of frames of ``samples``, if that is known."""
        if not self.frames or self.padding <= _DECODER_DELAY:
            return None
        return self.frames * samples - self.padding + _DECODER_DELAY


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
        # What is known of the present file, how many of its frames came, and what seems to be
        # padding.
        self._book = _Bookkeeping()
        self._frames = 0
        self._padding: list[av.AudioFrame] = []
        self._resampler: av.AudioResampler | None = None
        self._source: tuple[int, str, str] | None = None

    def feed(self, data: bytes) -> bytes:
        """Take bytes in, cut anywhere, and return the PCM that is ready."""
        out = []
        for piece in self._tags.feed(data):
            if piece is None:
                out.append(self._end_file())
            else:
                out.append(self._decode(self._parse(piece)))
        return b"".join(out)

    def close(self) -> bytes:
        """Return the last of the PCM; what is fed afterwards is a new utterance."""
        rest = self._tags.flush()
        out = [self._decode(self._parse(rest))] if rest else []
        out.append(self._end_file())
        out.append(self._flush_resampler())
        return b"".join(out)

    def _parse(self, data: bytes) -> Iterable[av.Packet[Any]]:
        # FFmpeg's parser copies up to 64 bytes from behind what it is given, and PyAV adds none:
        # at the end of mapped memory that would kill the process.
        return self._context.parse(memoryview(data + _PADDING)[: len(data)])

    def _end_file(self) -> bytes:
        """Return what the present file still has, and be ready for the next."""
        pcm = self._decode(self._context.parse(None))
        try:
            pcm += self._pcm(self._audio_of(self._context.decode(None)))
        except av.error.FFmpegError:
            self.damaged += 1
        self._padding = []
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
            book = _Bookkeeping.read(bytes(packet))
            if book is not None or self._at_head:
                # What is decoded already belongs to the file before.
                out += self._pcm(frames)
                frames = []
                self._begin_file(book or _Bookkeeping())
            if book is not None:
                continue
            self._frames += 1
            try:
                frames += self._audio_of(self._context.decode(packet))
            except av.error.FFmpegError:
                self.damaged += 1
        return out + self._pcm(frames)

    def _begin_file(self, book: _Bookkeeping) -> None:
        self.files += 1
        self._at_head = False
        self._book = book
        self._delay = book.delay + _DECODER_DELAY
        self._frames = 0
        self._padding = []

    def _audio_of(self, frames: list[av.AudioFrame]) -> list[av.AudioFrame]:
        """Get the audio of what the present packet gave; padding is kept back."""
        out: list[av.AudioFrame] = []
        for frame in frames:
            end = self._book.audio_end(frame.samples)
            before = (self._frames - 1) * frame.samples
            if end is None or self._frames > self._book.frames:
                # There is more than the file said: none of it was padding.
                out += [*self._padding, frame]
                self._padding = []
                continue
            kept = min(max(0, end - before), frame.samples)
            if kept:
                out.append(_part(frame, 0, kept))
            if kept < frame.samples:
                self._padding.append(_part(frame, kept, frame.samples))
        return out

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


def _part(frame: av.AudioFrame, first: int, end: int) -> av.AudioFrame:
    """Get some samples of a frame as a frame."""
    if (first, end) == (0, frame.samples):
        return frame
    part = av.AudioFrame(frame.format.name, frame.layout.name, end - first)
    part.sample_rate = frame.sample_rate
    width = frame.format.bytes
    for number, plane in enumerate(part.planes):
        plane.update(bytes(frame.planes[number])[first * width : end * width])
    return part


def _context() -> av.AudioCodecContext:
    context = av.CodecContext.create("mp3float", "r")
    assert isinstance(context, av.AudioCodecContext)
    return context
