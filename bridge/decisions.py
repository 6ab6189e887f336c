"""What turn-taking decides, what a turn is, and the settings it decides by.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bridge.settings import Settings

# Seconds of silence after which a reply is begun early, where that is wanted.
EXPECT = 0.2


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
    """The caller's turn is complete.

    Attributes:
        turn: what was said.
        chosen: seconds of silence that were chosen to be its end, if silence was.
    """

    turn: Turn
    chosen: float | None = None


@dataclass(frozen=True)
class DetectorAsked:
    """The caller pauses: whether the turn is over is for the detector to say.

    Attributes:
        text: what was said so far.
        started_at: when the turn began.
        silent_from: when the pause began.
    """

    text: str
    started_at: float
    silent_from: float


Decision = (
    SpeechStarted
    | SpeechPaused
    | BargeIn
    | Interrupted
    | FalseAlarm
    | TurnExpected
    | TurnRevoked
    | TurnEnded
    | DetectorAsked
)


@dataclass(frozen=True)
class Guard:
    """What it takes to break in on one reply, where that is not what the settings say.

    Attributes:
        min_speech: seconds of the caller's speech that stop it; ``None``: as the settings say.
        min_words: words that make that an interruption; ``None``: as the settings say.
    """

    min_speech: float | None = None
    min_words: int | None = None


Interruptible = bool | Guard
"""Whether the caller may break in on a reply: at all, or by what."""

Detector = Callable[[bytes, str], "bool | float"]
"""Judge whether a turn is over, from its audio and its text so far.

The audio is 16-bit mono PCM at 8 kHz, of the turn until now, at most its last 8 s.  ``True``
ends it, ``False`` waits as after a hesitation; a number is the probability that it is over and
shortens or lengthens the wait.
"""


@dataclass(frozen=True)
class TurnSettings:
    """How turn-taking decides; times in seconds.

    Attributes:
        language: of the caller, ``"en-US"``.
        endpoint: silence that ends a turn.
        endpointing: what ends a turn: the ``"silence"`` of the voice activity detector, the
            ``"engine"``'s own end-of-speech events, or ``"either"``, whichever comes first.
        complete: part of ``endpoint`` that is enough after a complete phrase.
        hesitation: times ``endpoint`` that are waited after "um", "and" or a trailing comma.
        number: times ``endpoint`` that are waited in the middle of a number.
        expect: silence after which a turn is expected, for a reply begun early; ``None``: never,
            also if the engine expects one.
        detector: whether a detector judges the pauses; it replaces the rules above.
        transcript_wait: how long a turn waits for its transcript beyond its end.
        digit_wait: silence of the keys that ends a turn of digits.
        digit_end: key that ends it at once.
        barge_in: whether the caller may interrupt the agent at all.
        min_speech: speech that stops the agent: two windows of 32 ms. The detector takes clicks and
            coughs for speech in none; webrtcvad does, and wants 0.09.
        min_words: words that make an interruption.
        backchannels: what is none in any reply, beside what the language has of it.
        short_sound: speech up to this length may be a cough.
        short_wait: how long words are waited for after such a sound.
        words_wait: the same after longer speech.
        alarm_limit: how long the agent is kept silent by a voice that brings no words.
        speech_level: probability from which a window counts as speech.
        silence_level: probability below which speech has paused.
        echo_margin: dB; a voice that much below what the agent plays is the agent's echo, as long
            as the line's own echo is not known.
    """

    language: str = "en-US"
    endpoint: float = 0.5
    endpointing: Literal["silence", "engine", "either"] = "silence"
    complete: float = 0.7
    hesitation: float = 2.6
    number: float = 3.0
    expect: float | None = None
    detector: bool = False
    transcript_wait: float = 1.0
    digit_wait: float = 1.5
    digit_end: str = "#"
    barge_in: bool = True
    min_speech: float = 0.06
    min_words: int = 1
    backchannels: tuple[str, ...] = ()
    short_sound: float = 0.5
    short_wait: float = 0.22
    words_wait: float = 0.8
    alarm_limit: float = 4.0
    speech_level: float = 0.5
    silence_level: float = 0.35
    echo_margin: float = 12.0

    @classmethod
    def from_settings(cls, settings: Settings, *, detector: bool = False) -> TurnSettings:
        """Choose them by the environment's settings.

        Args:
            settings: the environment.
            detector: whether a detector judges the pauses.
        """
        return cls(
            language=settings.language,
            endpoint=settings.endpoint_ms / 1000,
            endpointing=settings.endpointing,
            expect=EXPECT if settings.eager_turns else None,
            detector=detector,
            barge_in=settings.barge_in,
            min_speech=settings.min_speech_ms / 1000,
            min_words=settings.min_words,
            backchannels=settings.backchannels,
            echo_margin=settings.echo_margin_db,
        )
