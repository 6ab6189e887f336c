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
    DetectorAsked                   judge the pause, and answer by :meth:`TurnTaking.judged`
    TurnEnded                       the caller's turn is complete
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.bargein import BargeInWatch
from bridge.decisions import (
    BargeIn,
    Decision,
    Detector,
    DetectorAsked,
    FalseAlarm,
    Interrupted,
    SpeechPaused,
    SpeechStarted,
    Turn,
    TurnEnded,
    TurnExpected,
    TurnRevoked,
    TurnSettings,
)
from bridge.echoguard import EchoGuard
from bridge.echowords import EchoWords
from bridge.endpointing import Utterance
from bridge.interjection import Interjection
from bridge.keyturn import KeyTurn
from bridge.phrases import language_of, words
from bridge.voicetrack import VoiceTrack

if TYPE_CHECKING:
    from bridge.settings import Settings
    from telnyx_media.transcripts import Transcript


class TurnTaking:
    """The state machine of one leg's conversation."""

    def __init__(self, settings: TurnSettings | None = None) -> None:
        """Begin with nobody speaking.

        Args:
            settings: how to decide.
        """
        self._settings = settings or TurnSettings()
        self._voice = VoiceTrack(self._settings)
        self._utterance = Utterance(self._settings, self._voice)
        self._watch = BargeInWatch(self._settings, self._voice)
        self._echo = EchoGuard(self._settings.echo_margin)
        self._echo_words = EchoWords()
        self._keys = KeyTurn(self._settings)
        self._interjection = Interjection(
            self._settings, self._utterance, self._watch, language_of(self._settings.language)
        )
        self._decisions: list[Decision] = []
        self._pause_due: float | None = None
        self._expected: Turn | None = None
        self._quiet_from: float | None = None

    @classmethod
    def from_settings(cls, settings: Settings, *, detector: bool = False) -> TurnTaking:
        """Make one by the environment's settings.

        Args:
            settings: the environment.
            detector: whether a detector judges the pauses.
        """
        return cls(TurnSettings.from_settings(settings, detector=detector))

    # What the line says

    def sound(self, level: float, now: float) -> None:
        """Take in how loud a packet of the line was, in dBFS, that ended at ``now``.

        Without it a voice lasts for as long as the detector hears it, which is too long.
        """
        self._voice.sound(level, now)

    def voice(
        self,
        probability: float,
        now: float,
        *,
        seconds: float = 0.032,
        level: float | None = None,
        playing: float | None = None,
    ) -> bool:
        """Take in one window of the voice activity detector.

        Args:
            probability: that the window holds speech, 0 to 1.
            now: the end of the window.
            seconds: its length.
            level: its loudness in dBFS, if known.
            playing: how loud the agent is at the caller's ear, ``Playout.level(now)``, if known;
                with both, the line's echo is learnt, and is no barge-in.

        Returns:
            Whether there is something to :meth:`poll`, or a new ``deadline`` that may be earlier:
            not while a voice, or a silence, just goes on.
        """
        first = self._quiet_from is None
        if first:
            self._quiet_from = now
        voice, settings = self._voice, self._settings
        # Asked for every window: the quiet ones tell what the line returns, too.
        echo = level is not None and self._echo.is_echo(
            level, playing, now, learn=self._watch.armed
        )
        if probability < settings.silence_level:
            if voice.idle:
                return first
        elif echo:
            probability = 0.0
        else:
            self._echo_words.faint = False
        was = voice.speaking
        if voice.feed(probability, now, seconds):
            self._began_to_speak()
        elif was and not voice.speaking:
            self._fell_silent()
        if probability >= settings.speech_level and self._watch.triggered:
            self._raise_alarm(now, voice.run_from)
            self._judge(now)
        return first or was != voice.speaking or bool(self._decisions)

    def transcript(self, transcript: Transcript, now: float) -> None:
        """Take in what the recogniser says, interim or final."""
        text = transcript.text.strip()
        returns = self._echo.returns
        if not words(text) or self._echo_words.is_echo(transcript, now, returns=returns):
            text = ""
        changed = self._utterance.words(
            text,
            transcript.confidence,
            now,
            final=transcript.is_final,
            ends=transcript.ends_utterance,
        )
        if transcript.resumed or (changed and not self._as_expected(self._utterance.text)):
            self._revoke()
        if transcript.eager and self._settings.expect is not None:
            self._expect()
        watch = self._watch
        if watch.armed and transcript.is_final and text and changed:
            if self._interjection.has_words:
                # No voice was heard, or it was taken for a cough: the words say otherwise.
                self._raise_alarm(now, self._utterance.started_at)
            elif not self._voice.speaking:
                self._keep_backchannel(now)
        self._judge(now)

    def digit(self, digit: str, now: float) -> None:
        """Take in a key that the caller pressed; it interrupts the agent if it may be."""
        self._keys.press(digit, now)
        if self._watch.armed:
            self._raise_alarm(now, now)
        if self._watch.alarm_at is not None:
            self._confirm(now)

    # What the agent does

    def agent_started(
        self,
        now: float,
        *,
        interruptible: bool = True,
        min_speech: float | None = None,
        min_words: int | None = None,
    ) -> None:
        """Take note that the agent begins to speak.

        Args:
            now: when.
            interruptible: whether the caller may break in.
            min_speech: seconds of speech that stop it; ``None``: as the settings say.
            min_words: words that make it an interruption; ``None``: as the settings say.
        """
        self._watch.agent_started(interruptible=interruptible, min_speech=min_speech)
        self._interjection.begin(min_words)
        self._echo_words.begin()
        if not self._utterance.open:
            self._echo_words.faint = True

    def agent_says(self, text: str) -> None:
        """Take note of a sentence that the agent speaks, by which its echo is known."""
        self._echo_words.says(text)

    def agent_stopped(self, now: float) -> None:
        """Take note that the agent has spoken to its end, or was stopped otherwise.

        A barge-in that has not been decided is decided by this; no decision follows.
        """
        if not self._watch.agent_speaking:
            return
        self._watch.agent_stopped()
        self._lost_the_floor(now)
        answer = self._interjection.answer(now)
        if answer is not None:
            self._revoke()
            self._decisions.append(TurnEnded(answer))

    def _lost_the_floor(self, now: float) -> None:
        self._echo_words.end(now)
        self._quiet_from = now

    # What follows

    def poll(self, now: float) -> list[Decision]:
        """Take the decisions that are due, in order."""
        was = self._voice.speaking
        self._voice.settle(now)
        if was and not self._voice.speaking:
            self._fell_silent()
        self._poll_pause(now)
        self._poll_alarm(now)
        self._poll_digits(now)
        self._poll_utterance(now)
        decisions, self._decisions = self._decisions, []
        return decisions

    @property
    def deadline(self) -> float | None:
        """When to poll next if nothing happens before; ``None`` if there is nothing to wait for."""
        if self._decisions:
            return float("-inf")
        if not (self._utterance.open or self._keys.digits or self._voice.speaking):
            return None if self._watch.alarm_at is None else self._alarm_ends_at()
        dues = [
            self._voice.pauses_at,
            self._pause_due,
            self._alarm_ends_at(),
            self._keys.due,
            *self._utterance_dues(),
        ]
        return min((due for due in dues if due is not None), default=None)

    @property
    def caller_speaking(self) -> bool:
        """Whether the caller's voice is heard."""
        return self._voice.speaking

    @property
    def quiet_since(self) -> float | None:
        """Since when nobody has said anything; ``None`` while the agent speaks or a turn is open.

        Noise that the detector takes for a voice does not count: only words, digits and the agent
        do.
        """
        return None if self.engaged else self._quiet_from

    @property
    def pending(self) -> tuple[str, str]:
        """Get what the caller has said, and the keys pressed, of a turn that is not over."""
        return self._utterance.text, self._keys.digits

    @property
    def engaged(self) -> bool:
        """Whether the agent speaks, or the caller's turn has words or digits."""
        return bool(self._watch.agent_speaking or self._utterance.text or self._keys.digits)

    def speak_language(self, language: str) -> None:
        """Take the caller to speak this language from now on, by its tag."""
        self._utterance.language = language_of(language)
        self._interjection.speak_language(self._utterance.language)

    # The voice

    def _began_to_speak(self) -> None:
        at = self._voice.run_from
        self._utterance.sound(at, self._voice.pause)
        self._pause_due = None
        self._decisions.append(SpeechStarted(at))
        self._revoke()

    def _fell_silent(self) -> None:
        self._pause_due = self._voice.last_at + self._settings.endpoint / 2

    def _poll_pause(self, now: float) -> None:
        if self._pause_due is not None and self._pause_due <= now:
            self._pause_due = None
            if self._utterance.waits_for_text:
                self._decisions.append(SpeechPaused(self._voice.last_at))

    # Barge-in

    def _raise_alarm(self, now: float, at: float) -> None:
        self._watch.raise_alarm(now, at)
        self._decisions.append(BargeIn(at))

    def _confirm(self, now: float) -> None:
        self._watch.confirm()
        self._lost_the_floor(now)
        self._decisions.append(Interrupted())

    def _dismiss(self, now: float) -> None:
        """Let the agent go on, and keep what the caller said in case it was an answer."""
        self._watch.dismiss(now, worded=bool(self._utterance.text))
        self._decisions.append(FalseAlarm())
        self._keep_backchannel(now)

    def _keep_backchannel(self, now: float) -> None:
        if self._utterance.text:
            self._interjection.keep(self._take(now), now)
            self._revoke()

    def _judge(self, now: float) -> None:
        """Make the alarm an interruption if there are words enough."""
        if self._watch.alarm_at is not None and self._interjection.takes_the_floor:
            self._confirm(now)

    def _alarm_ends_at(self) -> float | None:
        if self._watch.alarm_at is None:
            return None
        utterance, settings = self._utterance, self._settings
        if not utterance.text:
            return self._watch.gives_up_at(None)
        if not self._interjection.is_idle:
            return self._watch.gives_up_at(settings.words_wait)
        # An interim "uh" may become "a table"; a final one is all there was.
        return self._watch.gives_up_at(settings.short_wait if utterance.waits_for_text else 0.0)

    def _poll_alarm(self, now: float) -> None:
        ends_at = self._alarm_ends_at()
        if ends_at is not None and ends_at <= now:
            if self._interjection.has_words:
                self._confirm(now)
            else:
                self._dismiss(now)

    # Turns

    def _poll_digits(self, now: float) -> None:
        turn = self._keys.take(now)
        if turn is not None:
            self._quiet_from = now
            self._decisions.append(TurnEnded(turn))

    def _utterance_dues(self) -> list[float | None]:
        if self._watch.alarm_at is not None:
            return []
        return [self._expected_at(), self._utterance.asks_at(), self._utterance.ends_at()]

    def _poll_utterance(self, now: float) -> None:
        # An alarm is decided first: what the caller said may be a backchannel.
        if not self._utterance.open or self._watch.alarm_at is not None:
            return
        asked = self._utterance.ask(now)
        if asked is not None:
            self._decisions.append(asked)
        ends_at = self._utterance.ends_at()
        if ends_at is not None and ends_at <= now:
            self._end_utterance(now)
            return
        expected_at = self._expected_at()
        if expected_at is not None and expected_at <= now:
            self._expect()

    def judged(self, asked: DetectorAsked, verdict: bool | float, now: float) -> None:
        """Take in the detector's answer; one that comes when the caller has gone on is ignored."""
        self._utterance.judged(asked, verdict, now)

    def _as_expected(self, text: str) -> bool:
        # A final brings capitals and stops that change nothing.
        return self._expected is not None and words(self._expected.text) == words(text)

    def _expected_at(self) -> float | None:
        if self._expected is not None or self._watch.agent_speaking:
            return None
        return self._utterance.expected_at()

    def _expect(self) -> None:
        """Have the reply begun early, unless the agent speaks or was told already."""
        turn = self._utterance.turn()
        if self._expected is None and turn.text and not self._watch.agent_speaking:
            self._expected = turn
            self._decisions.append(TurnExpected(turn))

    def _end_utterance(self, now: float) -> None:
        chosen, idle = self._utterance.chosen, self._interjection.is_idle
        turn = self._take(now)
        if not turn.text:
            return
        if self._watch.agent_speaking and idle:
            self._interjection.keep(turn, now)
            self._revoke()
            return
        if not self._as_expected(turn.text):
            self._revoke()
        self._expected = None
        self._quiet_from = now
        self._decisions.append(TurnEnded(turn, chosen))

    def _take(self, now: float) -> Turn:
        self._echo_words.faint = True
        return self._utterance.take(now)

    def _revoke(self) -> None:
        if self._expected is not None:
            self._expected = None
            self._decisions.append(TurnRevoked())


__all__ = [
    "BargeIn",
    "Decision",
    "Detector",
    "DetectorAsked",
    "FalseAlarm",
    "Interrupted",
    "SpeechPaused",
    "SpeechStarted",
    "Turn",
    "TurnEnded",
    "TurnExpected",
    "TurnRevoked",
    "TurnSettings",
    "TurnTaking",
]
