"""What the caller says while the agent speaks: enough to take the floor, or hardly anything.

Pure: ``now`` is an argument.
"""

from __future__ import annotations

from dataclasses import replace

from bridge.bargein import BargeInWatch
from bridge.decisions import Turn, TurnSettings
from bridge.endpointing import Utterance
from bridge.phrases import Language, is_backchannel, words

__all__ = ["Interjection"]

# Words of an interim that are enough to decide; a backchannel hardly has as many.
FIRM = 3

# Seconds.  A "yeah" that was taken for a backchannel was an answer if the agent ends so soon after.
ANSWER_OVERLAP = 1.5


class Interjection:
    """Judges the words of an utterance that is spoken into the agent's."""

    def __init__(
        self, settings: TurnSettings, utterance: Utterance, watch: BargeInWatch, language: Language
    ) -> None:
        """Begin with nothing said.

        Args:
            settings: how to decide.
            utterance: the caller's.
            watch: knows of the sound.
            language: that the caller speaks.
        """
        self._settings = settings
        self._utterance = utterance
        self._watch = watch
        self._min_words = settings.min_words
        self.speak_language(language)
        # What was none, in case it was an answer.
        self._kept: Turn | None = None
        self._kept_at = 0.0

    def speak_language(self, language: Language) -> None:
        """Take the caller to speak this language from now on."""
        more = {" ".join(words(phrase)) for phrase in self._settings.backchannels}
        self._language = replace(language, backchannels=language.backchannels | more)

    def begin(self, min_words: int | None) -> None:
        """Take note that the agent begins to speak; ``None``: it takes the settings' words."""
        self._min_words = self._settings.min_words if min_words is None else min_words
        self._kept = None

    @property
    def is_idle(self) -> bool:
        """Whether what was said wants no answer: a backchannel, or a word that was hardly one.

        Unless it is a word like "stop", or the second sound in a row: a caller who insists.
        """
        text = self._utterance.text
        if is_backchannel(text, self._language):
            return True
        said = words(text)
        doubtful = self._utterance.doubtful and 0 < len(said) < FIRM and not self._watch.insists
        return doubtful and self._language.halts.isdisjoint(said)

    @property
    def has_words(self) -> bool:
        """Whether there are words enough to take the floor."""
        return len(words(self._utterance.text)) >= max(1, self._min_words) and not self.is_idle

    @property
    def takes_the_floor(self) -> bool:
        """Whether they are to be relied on, too.

        What a recogniser first makes of a short sound is often wrong, so its final is waited for;
        that costs the caller nothing, since the agent is silent already.
        """
        if not self.has_words:
            return False
        many = len(words(self._utterance.text)) >= FIRM
        return self._utterance.has_final or (many and not self._watch.sound_is_short)

    def keep(self, turn: Turn, now: float) -> None:
        """Keep what was taken for no interruption."""
        self._kept, self._kept_at = turn, now

    def answer(self, now: float) -> Turn | None:
        """Get what was kept, if the agent, who ends now, was answered by it."""
        kept, self._kept = self._kept, None
        return kept if kept is not None and now - self._kept_at <= ANSWER_OVERLAP else None
