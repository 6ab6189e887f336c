"""Where the caller's voice begins and ends, from the windows of a voice activity detector.

Pure: ``now`` is an argument.
"""

from __future__ import annotations

from bridge.decisions import TurnSettings

# Seconds of silence by which a voice has paused; between words there is less.  Shorter where a turn
# may end sooner.
PAUSE = 0.2

# How much faster silence undoes speech than speech adds up: a click is forgotten at once, a weak
# window within a word is not the end of it.
DECAY = 2.0

# Seconds after a window of speech in which it may turn out to be a voice and not a click.
STIR = 0.07

# Seconds.  More is not counted: nothing asks for more, and silence would have to undo it.
LONGEST_RUN = 1.0


class VoiceTrack:
    """The caller's voice.

    Attributes:
        speaking: whether there is a voice, small pauses included.
        run: seconds of speech without much silence between, up to now; at most a second.
        run_from: when that speech began.
        last_at: when a voice was last heard; minus infinity if never.
        stirs_until: until when a window of speech that was heard may become a voice.
    """

    def __init__(self, settings: TurnSettings) -> None:
        self.speaking = False
        self.run = 0.0
        self.run_from = 0.0
        self.last_at = float("-inf")
        self.stirs_until = float("-inf")
        self._settings = settings
        self._pause = min(PAUSE, settings.endpoint * settings.complete)

    @property
    def idle(self) -> bool:
        """Whether a silent window would change nothing."""
        return not self.speaking and self.run == 0.0

    def feed(self, probability: float, now: float, seconds: float) -> bool:
        """Take in one window that ended at ``now``; tell whether a voice has just begun."""
        settings = self._settings
        # Speech mostly begins with a window or two that are half sure; they count once a sure one
        # follows.
        if probability >= settings.silence_level:
            if self.run == 0.0:
                self.run_from = now - seconds
            self.stirs_until = now + STIR
            self.run = min(LONGEST_RUN, self.run + seconds)
        else:
            self.run = max(0.0, self.run - DECAY * seconds)
        if self.speaking:
            if probability >= settings.silence_level:
                self.last_at = now
            else:
                self.settle(now)
        elif self.run >= settings.min_speech and probability >= settings.speech_level:
            self.speaking = True
            self.last_at = now
            return True
        return False

    def settle(self, now: float) -> None:
        """Notice a pause, also when no windows come any more."""
        if self.speaking and now >= self.last_at + self._pause:
            self.speaking = False
            self.run = 0.0

    @property
    def pauses_at(self) -> float | None:
        """When the voice will have paused unless it is heard again."""
        return self.last_at + self._pause if self.speaking else None

    def forget_run(self) -> None:
        """Have the next speech begin to count anew."""
        self.run = 0.0
