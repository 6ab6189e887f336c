"""Whose turn it is: when the caller barges in, and when a turn of theirs has ended.

A phone line carries speech, coughs, "uh-huh"s and the agent's own echo, and the recogniser's text
comes a good while after the sound, if at all.  So sound stops the agent, reversibly, and text
decides: real words make it an interruption, anything else a false alarm.  And silence ends a turn,
for as long as what was said lets expect.

Pure: ``now`` is an argument, in seconds on any steady clock.  One thread at a time.

How to drive it: tell it what happens as it happens, :meth:`TurnTaking.poll` after each, and again
when ``deadline`` has come.

The decisions, in the order in which they come:

    SpeechStarted, SpeechPaused     the caller's voice, for measuring and for asking the
                                    recogniser to hurry (``finalize``)
    BargeIn                         stop the audio now, keep the reply
    Interrupted | FalseAlarm        what follows each BargeIn: drop the reply | resume it
    TurnExpected, TurnRevoked       early guess (only if settings ask for it), and its withdrawal
    TurnEnded                       the caller's turn is complete
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from telnyx_media.transcripts import Transcript


@dataclass(frozen=True)
class Turn:
    """What the caller said or keyed in until it was the agent's turn.

    Attributes:
        text: what was said; empty for digits.
        digits: keys pressed; empty for speech.
        confidence: the recogniser's, 0 to 1; 1 for digits and where none was given.
        started_at: when it began, on the clock of ``now``.
        ended_at: when the caller fell silent, on the same clock.
    """

    text: str = ""
    digits: str = ""
    confidence: float = 1.0
    started_at: float = 0.0
    ended_at: float = 0.0


@dataclass(frozen=True)
class SpeechStarted:
    """The caller began to speak at ``at``."""

    at: float


@dataclass(frozen=True)
class SpeechPaused:
    """The caller has been silent since ``at``, long enough to ask for the final transcript."""

    at: float


@dataclass(frozen=True)
class BargeIn:
    """The caller speaks while the agent does, since ``at``: stop the audio now."""

    at: float


@dataclass(frozen=True)
class Interrupted:
    """The barge-in was one: drop the reply."""


@dataclass(frozen=True)
class FalseAlarm:
    """The barge-in was none: resume the reply."""


@dataclass(frozen=True)
class TurnExpected:
    """This may be the turn; begin to think of a reply, but do not say it yet."""

    turn: Turn


@dataclass(frozen=True)
class TurnRevoked:
    """The caller goes on; forget the turn that was expected."""


@dataclass(frozen=True)
class TurnEnded:
    """The caller's turn is complete."""

    turn: Turn


Decision = (
    SpeechStarted
    | SpeechPaused
    | BargeIn
    | Interrupted
    | FalseAlarm
    | TurnExpected
    | TurnRevoked
    | TurnEnded
)


class TurnTaking:
    """The state machine of one leg's conversation."""

    def voice(
        self,
        probability: float,
        now: float,
        *,
        seconds: float = 0.032,
        level: float | None = None,
        playing: float | None = None,
    ) -> None:
        """Take in one window of the voice activity detector.

        Args:
            probability: that the window holds speech, 0 to 1.
            now: the end of the window.
            seconds: its length.
            level: its loudness in dBFS, if known.
            playing: how loud the agent is at the caller's ear, ``Playout.level(now)``, if known;
                with both, speech far below what is played is the agent's echo and no barge-in.
        """

    def transcript(self, transcript: Transcript, now: float) -> None:
        """Take in what the recogniser says, interim or final."""

    def digit(self, digit: str, now: float) -> None:
        """Take in a key that the caller pressed."""

    def agent_started(self, now: float, *, interruptible: bool = True) -> None:
        """Take note that the agent begins to speak."""

    def agent_says(self, text: str) -> None:
        """Take note of a sentence that the agent speaks, by which its echo is known."""

    def agent_stopped(self, now: float) -> None:
        """Take note that the agent has spoken to its end, or was stopped otherwise."""

    def poll(self, now: float) -> list[Decision]:
        """Take the decisions that are due, in order."""
        raise NotImplementedError

    @property
    def deadline(self) -> float | None:
        """When to poll next if nothing happens before; ``None`` if there is nothing to wait for."""
        raise NotImplementedError

    @property
    def caller_speaking(self) -> bool:
        """Whether the caller's voice is heard."""
        raise NotImplementedError

    @property
    def quiet_since(self) -> float | None:
        """Since when nobody has said anything; ``None`` while the agent speaks or a turn is open.

        Noise that the detector takes for a voice does not count: only words, digits and the agent
        do.
        """
        raise NotImplementedError
