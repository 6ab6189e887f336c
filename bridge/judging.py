"""Ask somebody's own detector whether a turn is over, beside everything else.

A detector may be a model that takes longer than a packet lasts, or a request to a server, and may
raise.  So it runs on a thread of its own, with the audio of the turn that is kept for it, and the
conversation goes by its own rules until it has answered.

Threads: ``judge``, one for each leg that has a detector, from the first question to the leg's end.
:meth:`Judge.ask` and :meth:`Judge.inbound` never wait.

Rules of this module:

1. A question that comes while another is being answered replaces the one that waits.
2. A detector that raises is reported once and asked no more; the rules decide.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from bridge.decisions import Detector, DetectorAsked
from telnyx_media.pcm import Resampler

__all__ = ["Judge"]

# Hertz of the audio that a detector gets, and the most of it, in seconds.
RATE = 8000
LONGEST = 8.0

# Seconds before the turn's first sound that are shown too.
BEFORE = 0.2


class Tap(Protocol):
    """Gets the caller's audio, too."""

    def inbound(self, pcm: bytes, sample_rate: int) -> None:
        """Take PCM, in order."""


class Judge:
    """One leg's detector, the audio it needs, and its thread."""

    def __init__(
        self,
        detector: Detector,
        *,
        spawn: Callable[[str, Callable[[], None]], object],
        answer: Callable[[DetectorAsked, bool | float], None],
        failed: Callable[[Exception], None],
        tap: Tap | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; the thread is made for the first question.

        Args:
            detector: judges.
            spawn: makes a thread of the leg.
            answer: told the verdict.
            failed: told what the detector raised.
            tap: gets the caller's audio after this.
            clock: the clock of the questions' times.
        """
        self._detector = detector
        self._spawn = spawn
        self._answer = answer
        self._failed = failed
        self._tap = tap
        self._clock = clock
        # Guards everything below; the thread waits on it.
        self._changed = threading.Condition()
        self._audio: deque[tuple[float, bytes, int]] = deque()
        self._asked: DetectorAsked | None = None
        self._running = False
        self._closed = False

    # -- the media socket's thread ----------------------------------------------------------------

    def inbound(self, pcm: bytes, sample_rate: int) -> None:
        """Keep the caller's audio for as long as a detector may want it."""
        now = self._clock()
        with self._changed:
            self._audio.append((now, pcm, sample_rate))
            while self._audio[0][0] < now - LONGEST:
                self._audio.popleft()
        if self._tap is not None:
            self._tap.inbound(pcm, sample_rate)

    # -- any thread -------------------------------------------------------------------------------

    def ask(self, asked: DetectorAsked) -> None:
        """Have a pause judged; returns at once."""
        with self._changed:
            if self._closed:
                return
            self._asked = asked
            self._changed.notify_all()
            if self._running:
                return
            self._running = True
        self._spawn("judge", self._run)

    def close(self) -> None:
        """Answer no more and end the thread; a verdict under way is not waited for here."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # -- judge ------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._asked is not None)
                asked, self._asked = self._asked, None
                if self._closed or asked is None:
                    return
                pieces = [
                    (pcm, rate) for at, pcm, rate in self._audio if at >= asked.started_at - BEFORE
                ]
            try:
                verdict = self._detector(_at_rate(pieces), asked.text)
            except Exception as error:  # noqa: BLE001 - somebody's own code; the call goes on
                self.close()
                self._failed(error)
                return
            self._answer(asked, verdict)


def _at_rate(pieces: list[tuple[bytes, int]]) -> bytes:
    """Join audio, and bring it to 8 kHz; its rate changes only with the stream."""
    if not pieces:
        return b""
    rate = pieces[-1][1]
    pcm = b"".join(piece for piece, other in pieces if other == rate)
    if rate == RATE:
        return pcm
    resampler = Resampler(rate, RATE)
    return resampler.feed(pcm) + resampler.flush()
