"""Cut a caller's audio into stretches of speech.

A voice activity detector gives a probability for every 32 ms.  This turns them into the moments
that a transcription service acts on: speech goes on, pauses, has ended; it was quiet for long.

Pure: time is counted in audio, so the same audio gives the same moments at any pace.

Rules of this module:

1. Speech begins with one window above ``ONSET`` and lasts until as many as the endpoint asks for
   were below ``OFFSET``; in between both it goes on as it was.
2. A stretch with less than 100 ms of voice in it is a click or a breath, and is passed over.
3. A stretch carries 100 ms of what was before it and at most 150 ms of what came after, which is
   what the recogniser hears best with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

WINDOW = 0.032
"""Seconds of audio to one probability."""

ONSET, OFFSET = 0.5, 0.35
LEAD, TAIL = 0.1, 0.15
_SHORTEST = 0.09
# Two windows: long enough to be no plosive, short enough to be recognised before the endpoint.
_PAUSE = 0.06
# Seconds after which speech that goes on is reported at its pauses only: recognising a long stretch
# takes so long that the final behind it would be late.  With less, somebody who reads a sentence in
# one breath would bring no new word for three seconds, which is how clients tell noise from speech.
_GROWN = 6.0


@dataclass(frozen=True)
class Moment:
    """Something happened to the speech.

    Attributes:
        kind: ``growing`` and ``paused`` while it may go on, ``ended`` once; ``quiet`` when nothing
            was said for long after an end.
        pcm: the stretch so far; empty for ``quiet``.
        start: of the speech, in seconds of audio since the stream began.
        end: of the last voice in it.
        by_silence: for ``ended``: whether silence ended it, not its length or a request.
    """

    kind: Literal["growing", "paused", "ended", "quiet"]
    pcm: bytes
    start: float
    end: float
    by_silence: bool = True


class Segmenter:
    """Follows one stream of audio."""

    def __init__(
        self, sample_rate: int, *, endpoint: float, grow: float = 0.5, quiet: float = 1.0,
        longest: float = 20.0,
    ) -> None:  # fmt: skip
        """Begin a stream.

        Args:
            sample_rate: of the audio, hertz.
            endpoint: seconds of silence that end a stretch.
            grow: seconds after which speech that goes on is reported again; the longer the stretch,
                the rarer, and after a few seconds no more.
            quiet: seconds of silence after an end that are reported, once.
            longest: seconds after which a stretch is ended without a silence.
        """
        self._rate = sample_rate
        self._endpoint = endpoint
        self._grow = grow
        self._quiet = quiet
        self._longest = longest
        self._audio = bytearray()
        self._base = 0  # samples dropped from the front of _audio
        self._windows = 0  # probabilities seen
        self._start: float | None = None  # of the stretch; None while nobody speaks
        self._end = 0.0  # of the last voice
        self._voiced = 0.0
        self._paused = False
        self._grown = 0.0
        self._waiting = False  # for quiet

    @property
    def speaking(self) -> bool:
        """Whether a stretch has begun and not ended."""
        return self._start is not None

    def feed(self, pcm: bytes, probabilities: Iterable[float]) -> list[Moment]:
        """Take audio and the probabilities of the windows that are complete."""
        self._audio += pcm
        moments: list[Moment] = []
        for probability in probabilities:
            self._windows += 1
            moments += self._window(probability, self._windows * WINDOW)
        if self._start is None:
            self._forget(self._windows * WINDOW - LEAD - WINDOW)
        return moments

    def flush(self) -> list[Moment]:
        """End the stretch that is open, if one is, with all audio there is."""
        if self._start is None:
            return []
        now = (self._base + len(self._audio) // 2) / self._rate
        return self._finish(by_silence=False, until=now)

    def _window(self, probability: float, now: float) -> list[Moment]:
        if self._start is None:
            if probability >= ONSET:
                self._start = now - WINDOW
                self._end = self._grown = now
                self._voiced = WINDOW
                self._paused = self._waiting = False
            elif self._waiting and now - self._end >= self._quiet:
                self._waiting = False
                return [Moment("quiet", b"", self._end, now)]
            return []
        if probability >= OFFSET:
            self._end = now
            self._paused = False
            self._voiced += WINDOW if probability >= ONSET else 0.0
        silence = now - self._end
        if silence >= self._endpoint - WINDOW / 2:
            return self._finish(by_silence=True, until=self._end + TAIL)
        if now - self._start >= self._longest:
            return self._finish(by_silence=False, until=now)
        if silence >= _PAUSE and not self._paused:
            self._paused = True
            return self._moment("paused", self._end + TAIL)
        length = self._grown - self._start
        if length < _GROWN and now - self._grown >= max(self._grow, 0.5 * length) and not silence:
            self._grown = now
            return self._moment("growing", now)
        return []

    def _finish(self, *, by_silence: bool, until: float) -> list[Moment]:
        moments = self._moment("ended", until, by_silence=by_silence)
        self._start = None
        self._waiting = bool(moments)
        return moments

    def _moment(
        self, kind: Literal["growing", "paused", "ended"], until: float, *, by_silence: bool = True
    ) -> list[Moment]:
        assert self._start is not None
        if self._voiced < _SHORTEST:
            return []
        first = max(0, round((self._start - LEAD) * self._rate) - self._base)
        last = round(until * self._rate) - self._base
        pcm = bytes(self._audio[2 * first : 2 * last])
        return [Moment(kind, pcm, self._start, self._end, by_silence)]

    def _forget(self, before: float) -> None:
        """Drop the audio before that second; nobody will ask for it."""
        # In large steps: every deletion moves all that follows.
        drop = int(before * self._rate) - self._base
        if drop > self._rate:
            del self._audio[: 2 * drop]
            self._base += drop
