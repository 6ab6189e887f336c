"""Something that is said while the agent takes long.

Threads: ``filler``, from the beginning of a wait to its end or the end of the words.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bridge.errors import CallEnded
from bridge.logs import LegLogger
from bridge.speaking import Speaker
from telnyx_media.errors import TelnyxMediaError

__all__ = ["Filler", "Spawn"]

Spawn = Callable[[str, Callable[[], None]], threading.Thread]
"""Makes a thread of the leg, by its role."""


class Filler:
    """Fills one leg's pauses; one at a time."""

    def __init__(self, spawn: Spawn, speaker: Speaker, log: LegLogger) -> None:
        """Prepare.

        Args:
            spawn: makes a thread.
            speaker: speaks.
            log: of the leg.
        """
        self._spawn = spawn
        self._speaker = speaker
        self._log = log
        self._end: Callable[[], None] | None = None

    def later(self, after: float, say: Callable[[], object]) -> Callable[[], None]:
        """Say something after some seconds, unless what is returned is called before."""
        stop = threading.Event()

        def run() -> None:
            if not stop.wait(after):
                say()

        thread = self._spawn("filler", run)

        def done() -> None:
            stop.set()
            thread.join()

        return done

    @contextmanager
    def filling(self, text: str, after: float) -> Iterator[None]:
        """Say something when the block takes long; its end waits until that was heard."""
        self.settle()
        self._end = self.later(after, lambda: self._say(text))
        try:
            yield
        finally:
            self.settle()

    def settle(self) -> None:
        """Have nothing to fill any more; what is being said is heard to its end."""
        end, self._end = self._end, None
        if end is not None:
            end()

    def _say(self, text: str) -> None:
        try:
            self._speaker.speak(text, interruptible=True)
        except CallEnded:
            pass
        except TelnyxMediaError as error:
            self._log.warning("a filler could not be said: %s", error)
