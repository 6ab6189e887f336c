"""Whether the caller breaks in on the agent, and whether they meant to.

Sound stops the agent within a tenth of a second; whether it was a wish to speak is known only from
words, which come later.  So each barge-in is decided: by words it becomes an interruption, by their
absence a false alarm, after which the agent goes on.

Pure: ``now`` is an argument.

Rules of this module:

1. One alarm at a time, and each ends in a decision, within ``alarm_limit``.
2. Each sound without a word doubles the speech that the next one in the reply takes: an echo or a
   noisy room stops the agent once, not at every sentence.  A voice that went on to the limit
   without a word does not stop it again in this reply.
3. Words decide also without an alarm: a recogniser that comes late still makes an interruption.
"""

from __future__ import annotations

from bridge.decisions import TurnSettings
from bridge.voicetrack import VoiceTrack

# Seconds.  However many false alarms, so much speech always stops the agent.
MOST_SPEECH = 0.8

# Seconds after a false alarm in which another sound is more likely the next word than another
# cough: its words are waited for as after a long one.
NEXT_WORD = 1.5


class BargeInWatch:
    """Watches for the caller while the agent speaks.

    Attributes:
        agent_speaking: whether the agent has the floor, even if an alarm has stopped its audio.
        alarm_at: when the voice began that raised the alarm which is being decided, or ``None``.
    """

    def __init__(self, settings: TurnSettings, voice: VoiceTrack) -> None:
        self.agent_speaking = False
        self.alarm_at: float | None = None
        self._settings = settings
        self._voice = voice
        self._interruptible = False
        self._min_speech = settings.min_speech
        self._raised_at = 0.0
        self._dismissed_at = float("-inf")
        self._false_alarms = 0
        self._only_words = False

    @property
    def armed(self) -> bool:
        """Whether a voice or a word would stop the agent."""
        return self.agent_speaking and self._interruptible and self.alarm_at is None

    def agent_started(self, *, interruptible: bool, min_speech: float | None = None) -> None:
        """Begin to watch; ``min_speech`` in place of the settings' if given."""
        self._min_speech = self._settings.min_speech if min_speech is None else min_speech
        self.agent_speaking = True
        self.alarm_at = None
        self._only_words = False
        self._interruptible = interruptible and self._settings.barge_in
        # The room is no quieter than in the last reply, but may be by the next.
        self._false_alarms = max(0, self._false_alarms - 1)

    def agent_stopped(self) -> None:
        """Cease to watch."""
        self.agent_speaking = False
        self.alarm_at = None

    @property
    def triggered(self) -> bool:
        """Whether the voice has gone on for long enough to stop the agent."""
        # What was asked for is asked for, however much that is.
        most = max(MOST_SPEECH, self._min_speech)
        needed = min(most, self._min_speech * 2**self._false_alarms)
        return self.armed and not self._only_words and self._voice.run >= needed

    def raise_alarm(self, now: float, at: float) -> None:
        """Stop the agent; a decision will follow."""
        self.alarm_at = at
        self._raised_at = now

    def confirm(self) -> None:
        """Make it an interruption: the agent has lost the floor."""
        self.agent_stopped()
        self._false_alarms = 0

    def dismiss(self, now: float, *, worded: bool) -> None:
        """Make it a false alarm: the agent goes on.

        Args:
            now: when.
            worded: whether it was somebody who said something, an "uh-huh", and no noise.
        """
        self.alarm_at = None
        self._dismissed_at = now
        self._false_alarms += not worded
        self._only_words = self._voice.speaking
        self._voice.forget_run()

    @property
    def insists(self) -> bool:
        """Whether the alarm follows another so soon that the caller is speaking on."""
        return self.alarm_at is not None and self.alarm_at - self._dismissed_at <= NEXT_WORD

    @property
    def sound_is_short(self) -> bool:
        """Whether the sound that raised the alarm may have been a cough so far."""
        assert self.alarm_at is not None
        return self._voice.last_at - self.alarm_at <= self._settings.short_sound

    def gives_up_at(self, wait: float | None) -> float:
        """Tell when an alarm that has brought no words is a false one.

        Args:
            wait: seconds of silence to wait for words; ``None`` chooses by the length of the sound.
        """
        assert self.alarm_at is not None
        settings = self._settings
        limit = self._raised_at + settings.alarm_limit
        if self._voice.speaking:
            return limit
        if wait is None:
            short = self.sound_is_short and not self.insists
            wait = settings.short_wait if short else settings.words_wait
        return min(limit, max(self._voice.last_at, self._raised_at) + wait)
