"""Where the caller's voice begins and ends.

That there is a voice is for the voice activity detector to say, but it goes on for some 90 ms after
the last sound.  So where a voice ends is told by how loud the line is: its last packet that is no
more than so much quieter than the voice.

Pure: ``now`` is an argument.
"""

from __future__ import annotations

import math

from bridge.decisions import TurnSettings

# Seconds of silence by which a voice has paused; between words there is less.  Shorter where a turn
# may end sooner.
PAUSE = 0.2

# How much faster silence undoes speech than speech adds up: a click is forgotten at once, a weak
# window within a word is not the end of it.
DECAY = 2.0

# Seconds after a window of speech in which it may turn out to be a voice and not a click.
STIR = 0.07

# Seconds after a packet or a window in which the next one is not late.  After more, the network or
# the machine stalls, and what was said is still to come; after the second, the stream has stopped.
IN_TIME, STOPPED = 0.07, 0.5

# Seconds.  More is not counted: nothing asks for more, and silence would have to undo it.
LONGEST_RUN = 1.0

# dB below the loudest packet of a voice at which it is heard no more: a reader's last syllable may
# be 25 below.  And how far above the line's noise it has to be.
FADES = 30.0
ABOVE_NOISE = 6.0

# dB per second: how fast the loudest packet is forgotten, and how fast the estimate of the noise
# rises while there is no voice.
FORGET = 5.0
NOISE_RISE = 3.0


class Loudness:
    """How loud the line is beside its noise and the caller's voice.

    Attributes:
        heard_at: when the last packet came that was loud enough to be part of the voice; minus
            infinity as long as nothing is known.
    """

    def __init__(self) -> None:
        self.heard_at = float("-inf")
        self._noise = math.inf
        self._loudest = -math.inf
        self._at = 0.0

    def feed(self, level: float, now: float, *, voice: bool) -> None:
        """Take in one packet's level in dBFS, and whether there is a voice."""
        passed, self._at = max(0.0, now - self._at), now
        self._loudest -= FORGET * passed
        if voice:
            self._loudest = max(self._loudest, level)
            self._noise = min(self._noise, level)
        else:
            self._noise = min(level, self._noise + NOISE_RISE * passed)
        if level >= max(self._noise + ABOVE_NOISE, self._loudest - FADES):
            self.heard_at = now


class VoiceTrack:
    """The caller's voice.

    Attributes:
        speaking: whether there is a voice, small pauses included.
        run: seconds of speech without much silence between, up to now; at most a second.
        run_from: when that speech began.
        last_at: when a voice was last heard; minus infinity if never.
        pause: seconds between this voice and the one before.
        stirs_until: until when a window of speech that was heard may become a voice.
    """

    def __init__(self, settings: TurnSettings) -> None:
        self.speaking = False
        self.run = 0.0
        self.run_from = 0.0
        self.last_at = float("-inf")
        self.pause = float("inf")
        self.stirs_until = float("-inf")
        self._fed_at = float("-inf")
        self._settings = settings
        self._loudness = Loudness()
        self._pause = min(PAUSE, settings.endpoint * settings.complete)

    @property
    def idle(self) -> bool:
        """Whether a silent window would change nothing."""
        return not self.speaking and self.run == 0.0

    def sound(self, level: float, now: float) -> None:
        """Take in how loud a packet was, in dBFS, before the windows that it completes."""
        self._fed_at = now
        self._loudness.feed(level, now, voice=not self.idle)

    def feed(self, probability: float, now: float, seconds: float) -> bool:
        """Take in one window that ended at ``now``; tell whether a voice has just begun."""
        settings = self._settings
        self._fed_at = now
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
                self.last_at = max(self.last_at, self._heard_at(now))
                self.settle(now)
            else:
                self.settle(now)
        elif self.run >= settings.min_speech and probability >= settings.speech_level:
            self.speaking = True
            self.pause = max(0.0, self.run_from - self.last_at)
            self.last_at = self._heard_at(now)
            return True
        return False

    def _heard_at(self, now: float) -> float:
        """Tell up to when the voice was heard that the detector still hears."""
        heard_at = self._loudness.heard_at
        return now if heard_at == float("-inf") else max(self.run_from, min(now, heard_at))

    def settle(self, now: float) -> None:
        """Notice a pause: a silence that was heard, or a stream that has stopped."""
        late = IN_TIME < now - self._fed_at < STOPPED
        if self.speaking and (self._fed_at if late else now) >= self.last_at + self._pause:
            self.speaking = False
            self.run = 0.0

    @property
    def pauses_at(self) -> float | None:
        """When the voice will have paused unless it is heard again."""
        if not self.speaking:
            return None
        pauses_at = self.last_at + self._pause
        late = pauses_at > self._fed_at + IN_TIME
        return max(pauses_at, self._fed_at + STOPPED) if late else pauses_at

    def forget_run(self) -> None:
        """Have the next speech begin to count anew."""
        self.run = 0.0
