"""The audio that the service has not certainly heard yet, kept so that it can be sent again.

A socket may die with words in flight.  :class:`AudioRing` holds what was said since the last final
transcript, bounded in seconds; a new connection begins to send at its start.

The wire carries no times: a final does not say which audio it covers.  What is known is that it
covers speech and ends at a pause, and that it comes within :data:`LATENCY` of the audio being sent.
So the ring listens for pauses (by level, against the noise of the line) and is cut in pauses only.

Pure: no clock, no thread, no socket.  Positions are bytes since the session began.

Rules of this module:

1. Between losing a word and hearing it twice, it is kept: :mod:`telnyx_media.overlap` recognises
   words that come twice; nothing brings back those that are lost.
2. A cut is made inside a pause, and leaves a little of the pause before the speech that follows.
3. Silence is not kept.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from telnyx_media._audioop import audioop

# One packet of a call; short enough to find the pause between two words.
BLOCK_SECONDS = 0.02

# The shortest stretch without speech that counts as a pause, in blocks: engines end an utterance
# after 100 ms and more, so nothing shorter can be where a final ends.
PAUSE_BLOCKS = 8

# Blocks of speech before a pause for it to end an utterance; a click is shorter.
SPEECH_BLOCKS = 3

# What is kept of a pause before the speech that follows, in seconds: a soft first consonant.
LEAD = 0.2

# How long after the audio was sent its final may come, in seconds, without the silence that the
# engine waits for.
LATENCY = 2.0

# The level of a quiet line and the loudest that is taken for noise, as 16-bit RMS (-61, -32 dBFS).
QUIET, LOUD = 30.0, 800.0

# Speech is this much louder than the noise (6 dB).
OVER_NOISE = 2.0


class LevelGate:
    """Tell speech from the noise of the line, block by block.

    The noise floor falls to what is heard at once and rises by 6 dB in three seconds, so that it
    follows comfort noise (measured on lines at up to -35 dBFS) and is not lifted by a sentence.
    """

    def __init__(self) -> None:
        """Begin with a quiet line."""
        self._floor = QUIET

    def is_speech(self, level: float) -> bool:
        """Judge one block by its RMS level."""
        if level < self._floor:
            self._floor += 0.5 * (level - self._floor)
        else:
            self._floor *= 1.005
        self._floor = min(LOUD, max(QUIET, self._floor))
        return level > OVER_NOISE * self._floor


@dataclass(frozen=True)
class Stretch:
    """Where speech was found, in seconds on the audio clock."""

    start: float
    end: float


@dataclass(frozen=True)
class Pause:
    """Blocks without speech, from ``first`` up to but not including ``end``."""

    first: int
    end: int


class _Run:
    """Blocks of speech, from ``first`` up to but not including ``end``."""

    __slots__ = ("end", "first")

    def __init__(self, first: int) -> None:
        self.first = first
        self.end = first + 1


class AudioRing:
    """Audio by position, with pauses; forgets what was heard.

    Attributes:
        start: position of the oldest byte held.
        end: position behind the newest.
        bytes_per_second: of the audio.
        sample_width: bytes of one sample.
    """

    def __init__(self, *, encoding: str, sample_rate: int, limit: float) -> None:
        """Make an empty ring.

        Args:
            encoding: ``"linear16"``, ``"mulaw"`` or ``"alaw"``.
            sample_rate: in Hz.
            limit: seconds of audio it may hold.
        """
        self.sample_width = 2 if encoding == "linear16" else 1
        self.bytes_per_second = sample_rate * self.sample_width
        self.start = 0
        self.end = 0
        self._encoding = encoding
        self._block = max(2, round(self.bytes_per_second * BLOCK_SECONDS) & ~1)
        self._limit = int(limit / BLOCK_SECONDS) * self._block
        self._gate = LevelGate()
        # The bytes from _base on, which is a block's edge at or before start.
        self._base = 0
        self._data = bytearray()
        # Blocks judged since the session began, and the stretches of speech among those held: not a
        # flag for each block, since all are looked through at each transcript.
        self._judged = 0
        self._runs: deque[_Run] = deque()

    # -- in and out ------------------------------------------------------------------------------

    def append(self, data: bytes) -> None:
        """Add audio; the oldest beyond the limit is forgotten (compare ``start``)."""
        self._data += data
        self.end += len(data)
        if self.end - self.start > self._limit:
            self._judge()
            self._forget(self.end - self._limit)

    def read(self, position: int, size: int) -> bytes:
        """Get up to ``size`` bytes from ``position`` on, which must be held."""
        offset = position - self._base
        return bytes(self._data[offset : offset + size])

    def seconds(self, size: int) -> float:
        """Convert a number of bytes, or a position, to seconds."""
        return size / self.bytes_per_second

    # -- what was heard --------------------------------------------------------------------------

    def speech_seconds(self, until: int) -> float:
        """Measure the speech between the start and position ``until``."""
        self._judge()
        first, last = self.start // self._block, until // self._block
        count = sum(
            min(run.end, last) - max(run.first, first)
            for run in self._runs
            if run.first < last and run.end > first
        )
        return count * BLOCK_SECONDS

    def speech(self, until: int, after: int = 0) -> Stretch | None:
        """Find the speech between the later of start and ``after``, and ``until``."""
        self._judge()
        first, last = max(self.start, after) // self._block, until // self._block
        begin = next((max(run.first, first) for run in self._runs if run.end > first), last)
        if begin >= last:
            return None
        end = next(min(run.end, last) for run in reversed(self._runs) if run.first < last)
        return Stretch(self.seconds(begin * self._block), self.seconds(end * self._block))

    def cover(self, *, sent: int, sent_before: int, endpoint: bool) -> None:
        """Forget what a final transcript that has just come must have covered.

        Args:
            sent: position up to which audio was sent when it came.
            sent_before: the same, :data:`LATENCY` earlier; what was sent by then and was followed
                by a pause has been heard.
            endpoint: whether the final ends an utterance: then at least the first is covered.
        """
        self._judge()
        cut = None
        pauses = self._pauses(sent)
        if endpoint and pauses:
            cut = pauses[0]
        for pause in pauses:
            if pause.first * self._block <= sent_before and (
                cut is None or pause.first > cut.first
            ):
                cut = pause
        if cut is not None:
            self._forget(self._edge(cut))

    def drop_silence(self, sent: int) -> None:
        """Forget silence that was sent: there is nothing in it to hear again."""
        self._judge()
        lead = int(LEAD * self.bytes_per_second)
        spoken_to = self._runs[-1].end if self._runs else 0
        if spoken_to <= self.start // self._block and sent - lead > self.start:
            self._forget(sent - lead)

    # -- helpers ---------------------------------------------------------------------------------

    def _judge(self) -> None:
        """Judge the whole blocks that have come: only when asked, several cost little more."""
        done = self._judged * self._block - self._base
        count = (len(self._data) - done) // self._block
        if count < 1:
            return
        pcm = bytes(self._data[done : done + count * self._block])
        if self._encoding == "mulaw":
            pcm = audioop.ulaw2lin(pcm, 2)
        elif self._encoding == "alaw":
            pcm = audioop.alaw2lin(pcm, 2)
        size = len(pcm) // count
        for at in range(0, len(pcm), size):
            if self._gate.is_speech(audioop.rms(pcm[at : at + size], 2)):
                self._spoken(self._judged)
            self._judged += 1

    def _spoken(self, number: int) -> None:
        if self._runs and self._runs[-1].end == number:
            self._runs[-1].end += 1
        else:
            self._runs.append(_Run(number))

    def _pauses(self, sent: int) -> list[Pause]:
        # In blocks since the session began; only pauses with speech between start and them.
        start, last = self.start // self._block, min(sent // self._block, self._judged)
        pauses: list[Pause] = []
        spoken = spoken_to = 0
        for run in self._runs:
            first, end = max(run.first, start), min(run.end, last)
            if first >= end:
                continue
            if spoken >= SPEECH_BLOCKS and first - spoken_to >= PAUSE_BLOCKS:
                pauses.append(Pause(spoken_to, first))
            spoken += end - first
            spoken_to = end
        if spoken >= SPEECH_BLOCKS and last - spoken_to >= PAUSE_BLOCKS:
            pauses.append(Pause(spoken_to, last))
        return pauses

    def _edge(self, pause: Pause) -> int:
        lead = int(LEAD / BLOCK_SECONDS)
        earliest = pause.first + (pause.end - pause.first) // 2
        return max(earliest, pause.end - lead) * self._block

    def _forget(self, position: int) -> None:
        # Samples are never torn.
        self.start = max(self.start, min(position, self.end)) & ~1
        whole = (self.start - self._base) // self._block
        # Moving the bytes costs; once in a while is enough.
        if whole * BLOCK_SECONDS >= 1 or self.start == self.end:
            whole = min(whole, self._judged - self._base // self._block)
            del self._data[: whole * self._block]
            self._base += whole * self._block
            while self._runs and self._runs[0].end * self._block <= self._base:
                self._runs.popleft()
