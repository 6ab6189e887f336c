"""Whether a text is what the agent says, come back from the caller's loudspeaker.

Pure: ``now`` is an argument.
"""

from __future__ import annotations

from collections import deque

from bridge.phrases import is_echo, words
from telnyx_media.transcripts import Transcript

__all__ = ["EchoWords"]

# Sentences of the agent whose echo may still be recognised.
SENTENCES = 4

# Seconds after the agent's end in which its echo may still be recognised.
LASTS = 2.0

# Confidence from which a text is believed though all of its sound was as faint as the agent's echo.
BELIEVED = 0.8


class EchoWords:
    """The agent's words, as long as they may come back.

    Attributes:
        faint: whether all sound of what is being recognised was faint beside the agent's.
    """

    def __init__(self) -> None:
        self.faint = True
        self._sentences: deque[list[str]] = deque(maxlen=SENTENCES)
        self._until = float("-inf")

    def begin(self) -> None:
        """Take note that the agent begins to speak."""
        self._sentences.clear()
        self._until = float("inf")

    def says(self, text: str) -> None:
        """Take note of a sentence that the agent speaks."""
        self._sentences.append(words(text))

    def end(self, now: float) -> None:
        """Take note that the agent has fallen silent."""
        self._until = now + LASTS

    def is_echo(self, transcript: Transcript, now: float, *, returns: bool) -> bool:
        """Tell whether a transcript is not the caller's.

        Args:
            transcript: interim or final.
            now: when it came.
            returns: whether the line is known to return the agent's voice.
        """
        if now > self._until:
            return False
        if self.faint and returns and self._is_mumbled(transcript):
            return True
        said = [word for sentence in self._sentences for word in sentence]
        return bool(said) and is_echo(transcript.text, said, faint=self.faint)

    def _is_mumbled(self, transcript: Transcript) -> bool:
        """Tell whether noise may have made other words of the agent's."""
        return not transcript.is_final or 0 < transcript.confidence < BELIEVED
