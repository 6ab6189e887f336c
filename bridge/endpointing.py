"""When what the caller says is complete.

Nothing on the line says so.  A pause may be the end or a breath, and the text that would tell comes
60 to 800 ms after the sound, or never.  So silence is measured from the last sound, its length is
chosen by what was said, and a turn waits a bounded time for the words of sounds that were heard.

Pure: ``now`` is an argument.

Rules of this module:

1. A turn has words.  Sound without any, once their wait is over, was none.
2. Words without sound (the detector missed it) are a turn all the same.
3. A final transcript covers the sound before it; sound after it is waited for again.
"""

from __future__ import annotations

from bridge.decisions import DetectorAsked, Turn, TurnSettings
from bridge.phrases import Ending, Language, ending, language_of, words
from bridge.voicetrack import VoiceTrack

# Seconds.  A detector of voices goes on for so long after a sound has ended; a voice heard longer
# after a final is a new one.
AFTERGLOW = 0.15

# Seconds of silence after which a detector is asked; a turn never ends sooner.
ASK_AFTER = 0.2

# Seconds without a new word after which a voice that goes on is noise, where the recogniser gives
# interim results.
WORDLESS = 3.0

# Times the endpoint: how long silence waits for the end-of-speech event of an engine that is to
# decide.
ENGINE_PATIENCE = 3.0

# Confidence from which a final is taken at its word, and at which what it says of the end of the
# phrase is worth nothing: recognisers make a whole sentence of half a one, and are less sure of it.
SURE, GUESSED = 0.9, 0.75

# Confidence below which a word or two were perhaps none.
HARDLY = 0.6

# Seconds in which a late final repeats words that a turn was already given from an interim.
REPEATED_WITHIN = 2.0


class Utterance:
    """The turn that the caller is in, or an empty one.

    Attributes:
        started_at: when the caller began.
        language: that the caller speaks.
    """

    def __init__(self, settings: TurnSettings, voice: VoiceTrack) -> None:
        """Begin with nothing said.

        Args:
            settings: how to decide.
            voice: the caller's.
        """
        self.language: Language = language_of(settings.language)
        self._settings = settings
        self._voice = voice
        self._interims_seen = False
        self._given: tuple[list[str], float] = ([], float("-inf"))
        self.clear()

    def clear(self) -> None:
        """Forget what was said."""
        self.started_at = self._voice.last_at
        self._finals: list[str] = []
        self._confidences: list[float] = []
        self._interim = ""
        self._text_at = float("-inf")
        # The longest pause, in seconds, that was not the end.
        self._longest_pause = 0.0
        # Whether sound belongs to it, and until when finals have put it into words.
        self._voiced = self._voice.speaking
        self._covered_until = float("-inf")
        self._engine_ended = False
        self._asked: DetectorAsked | None = None
        self._judged: tuple[DetectorAsked, float] | None = None

    @property
    def uncovered(self) -> bool:
        """Whether there was sound for which no final has come."""
        return self._voiced and self._voice.last_at > self._covered_until

    @property
    def open(self) -> bool:
        """Whether there is a sound or a word that no turn has taken."""
        return self.uncovered or bool(self._finals) or bool(self._interim)

    @property
    def text(self) -> str:
        """What was said so far, the interim included."""
        return " ".join([*self._finals, self._interim] if self._interim else self._finals)

    @property
    def waits_for_text(self) -> bool:
        """Whether the recogniser owes a final."""
        return self.uncovered or bool(self._interim)

    @property
    def has_final(self) -> bool:
        """Whether some of the text will not change."""
        return bool(self._finals)

    @property
    def doubtful(self) -> bool:
        """Whether all of the text is final, and the recogniser hardly believes any of it."""
        known = bool(self._confidences) and not self._interim
        return known and all(0 < sure < HARDLY for sure in self._confidences)

    # What happens

    def sound(self, at: float, pause: float = 0.0) -> None:
        """Take note that the caller's voice began at ``at``, after a pause of so many seconds."""
        if not self.open:
            self.started_at = at
        elif self.text:
            self._longest_pause = max(self._longest_pause, pause)
        self._voiced = True
        self._engine_ended = False

    def words(self, text: str, confidence: float, now: float, *, final: bool, ends: bool) -> bool:
        """Take in what the recogniser says; tell whether there were new words.

        Args:
            text: may be empty.
            confidence: of a final; 0 if not known.
            now: when it came.
            final: whether it will not change.
            ends: whether the engine says that the caller has finished.
        """
        if final and self._repeats(text, now):
            return False
        if text and not self.open:
            self.started_at = now
        changed = text != self._interim if not final else bool(text)
        if final:
            self._interim = ""
            if text:
                self._finals.append(text)
                self._confidences.append(confidence)
            if text or ends:
                self._covered_until = now + AFTERGLOW
        else:
            self._interims_seen = True
            self._interim = text
        self._engine_ended = ends or (self._engine_ended and not changed)
        if changed:
            self._text_at = now
        return changed

    def _repeats(self, text: str, now: float) -> bool:
        """Tell whether a final brings the words of an interim that already made a turn."""
        given, until = self._given
        said = words(text)
        if now > until or not said or self._finals:
            return False
        self._given = ([], float("-inf"))
        common = sum(a == b for a, b in zip(said, given, strict=False))
        return 2 * common >= len(said)

    # What follows from it

    def ends_at(self) -> float | None:
        """Tell when the turn ends unless something happens; ``None`` while the caller speaks."""
        if not self.open:
            return None
        silent_from = self._silent_from()
        text = self.text
        if not text:
            wait = self._settings.endpoint + self._settings.transcript_wait
            return None if silent_from is None else silent_from + wait
        if self._engine_decides(text) and not (
            silent_from is None and self._settings.endpointing == "either"
        ):
            return self._text_at
        if silent_from is None:
            wordless = self._text_at + max(WORDLESS, self._settings.endpoint)
            return wordless if self._interims_seen else None
        end = max(silent_from + self._delay(text, silent_from), self._voice.stirs_until)
        return end + self._settings.transcript_wait if self.waits_for_text else end

    @property
    def chosen(self) -> float | None:
        """How many seconds of silence end the turn, as things are; ``None``: silence does not."""
        silent_from = self._silent_from()
        if silent_from is None or not self.text or self._engine_decides(self.text):
            return None
        return self._delay(self.text, silent_from)

    def _silent_from(self) -> float | None:
        if not self._voiced:
            return self._text_at
        return None if self._voice.speaking else self._voice.last_at

    def _engine_decides(self, text: str) -> bool:
        if not self._engine_ended or self._interim:
            return False
        settings = self._settings
        if settings.endpointing == "engine" or not self._voiced:
            return True
        return settings.endpointing == "either" and ending(text, self.language) in {
            Ending.COMPLETE,
            Ending.PLAIN,
        }

    def _delay(self, text: str, silent_from: float) -> float:
        settings = self._settings
        if settings.endpointing == "engine":
            return settings.endpoint * ENGINE_PATIENCE
        if settings.detector:
            asked = self._question(text, silent_from)
            if self._judged is not None and self._judged[0] == asked:
                return self._judged[1]
            # A detector that does not answer costs as much as a hesitation.
            return settings.endpoint * settings.hesitation
        delay = settings.endpoint * self._factor(ending(text, self.language))
        # Who has paused for so long and gone on may do so again.
        again = min(self._longest_pause, settings.endpoint * settings.hesitation)
        return max(delay, again)

    def _factor(self, kind: Ending) -> float:
        settings = self._settings
        if kind is Ending.COMPLETE:
            return settings.complete
        if kind is Ending.HESITATION:
            return settings.hesitation
        if kind is Ending.NUMBER:
            return settings.number
        return 1.0 + self._doubt() * (settings.hesitation - 1.0)

    def _doubt(self) -> float:
        """Tell how little the end of the text is to be relied on: 0 for a sure one, at most 1."""
        sure = self._confidences[-1] if self._confidences else 0.0
        if sure <= 0:
            # Not known.
            return 0.0
        return min(1.0, max(0.0, (SURE - sure) / (SURE - GUESSED)))

    def _question(self, text: str, silent_from: float) -> DetectorAsked:
        return DetectorAsked(text, self.started_at, silent_from)

    def asks_at(self) -> float | None:
        """Tell when the detector is to be asked; ``None``: not about this pause, or not again."""
        text, silent_from = self.text, self._silent_from()
        if not self._settings.detector or not text or silent_from is None:
            return None
        if self._asked == self._question(text, silent_from):
            return None
        return max(silent_from + ASK_AFTER, self._text_at)

    def ask(self, now: float) -> DetectorAsked | None:
        """Get what the detector is to be asked now, once for each pause and text."""
        due, silent_from = self.asks_at(), self._silent_from()
        if due is None or silent_from is None or due > now:
            return None
        self._asked = self._question(self.text, silent_from)
        return self._asked

    def judged(self, asked: DetectorAsked, verdict: bool | float, now: float) -> None:
        """Take in the detector's answer."""
        settings = self._settings
        longest = settings.endpoint * settings.hesitation
        shortest = settings.endpoint * settings.complete
        if isinstance(verdict, bool):
            delay = now - asked.silent_from if verdict else longest
        else:
            over = min(1.0, max(0.0, verdict))
            delay = longest + (shortest - longest) * over
        self._judged = (asked, delay)

    def expected_at(self) -> float | None:
        """Tell when the turn may be expected to end, for a reply begun early; ``None``: not yet."""
        silent_from = self._silent_from()
        expect = self._settings.expect
        if expect is None or silent_from is None or not self.text or self.waits_for_text:
            return None
        return max(silent_from + expect, self._text_at)

    def turn(self) -> Turn:
        """Get what was said as a turn."""
        known = [confidence for confidence in self._confidences if confidence > 0]
        return Turn(
            text=self.text,
            confidence=sum(known) / len(known) if known else 1.0,
            started_at=self.started_at,
            ended_at=self._voice.last_at if self._voiced else self._text_at,
        )

    def take(self, now: float) -> Turn:
        """Get the turn and begin anew."""
        turn = self.turn()
        if self._interim:
            self._given = (words(self._interim), now + REPEATED_WITHIN)
        self.clear()
        return turn
