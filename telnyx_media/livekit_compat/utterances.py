"""From transcripts to LiveKit's speech events.

With ``turn_detection="stt"`` the end of speech commits the user's turn, so it stands at the end of
the utterance and not behind each final; and an agent that was told of a start waits for an end.

Pure: no clock and no loop; :attr:`Utterances.patience` says how long to wait before calling
:meth:`Utterances.out_of_patience`.

Rules of this module:

1. A start is followed by an end before the next start; there is no end without a start.
2. Where the engine marks the end of an utterance, its mark is the end.  Where it does not, each
   final is.
3. A mark that does not come is not waited for longer than :data:`MARK_PATIENCE`; an engine that was
   found to give none is treated as one that gives none.
4. A lost connection does not end an utterance, whose audio is sent again; but if nothing comes of
   that for :data:`LOSS_PATIENCE`, it has ended.
"""

from __future__ import annotations

from livekit.agents import LanguageCode
from livekit.agents.stt import SpeechData, SpeechEvent, SpeechEventType

from telnyx_media.transcripts import Transcript

# Seconds to wait for an engine's mark behind a final.
MARK_PATIENCE = 1.5

# Seconds to wait for a word after a reconnect within an utterance.
LOSS_PATIENCE = 4.0


class Utterances:
    """The events of one stream.

    Attributes:
        speaking: whether a start was told and its end was not.
        patience: seconds until :meth:`out_of_patience` is due; ``None`` if nothing is waited for.
        language: of the transcripts.
        request_id: of the connection they came by.
    """

    def __init__(self, language: str, *, marks: bool) -> None:
        """Begin with silence.

        Args:
            language: of the transcripts.
            marks: whether the engine marks the end of an utterance.
        """
        self.speaking = False
        self.patience: float | None = None
        self.language = language
        self.request_id = ""
        self._marks = marks

    def change(self, language: str, *, marks: bool) -> None:
        """Go on with another language or engine."""
        self.language = language
        self._marks = marks

    def take(self, transcript: Transcript) -> list[SpeechEvent]:
        """Get the events that a transcript amounts to."""
        self.patience = None
        events: list[SpeechEvent] = []
        if transcript.ends_utterance:
            self._marks = True
        if transcript.text:
            if not self.speaking:
                self.speaking = True
                events.append(self._event(SpeechEventType.START_OF_SPEECH))
            kind = SpeechEventType.INTERIM_TRANSCRIPT
            if transcript.is_final:
                kind = SpeechEventType.FINAL_TRANSCRIPT
            elif transcript.eager:
                # A reply may be prepared; an interim that follows takes it back.
                kind = SpeechEventType.PREFLIGHT_TRANSCRIPT
            events.append(self._event(kind, transcript))
        if self.speaking and (
            transcript.ends_utterance or (transcript.is_final and not self._marks)
        ):
            events += self.end()
        elif self.speaking and transcript.is_final:
            self.patience = MARK_PATIENCE
        return events

    def out_of_patience(self) -> list[SpeechEvent]:
        """Get the events when what was waited for has not come."""
        if self.patience == MARK_PATIENCE:
            self._marks = False
        return self.end()

    def reconnected(self) -> None:
        """Note that a new connection has taken over."""
        if self.speaking:
            self.patience = LOSS_PATIENCE

    def end(self) -> list[SpeechEvent]:
        """Get the end of speech, if there is any."""
        self.patience = None
        if not self.speaking:
            return []
        self.speaking = False
        return [self._event(SpeechEventType.END_OF_SPEECH)]

    def _event(self, kind: SpeechEventType, transcript: Transcript | None = None) -> SpeechEvent:
        if transcript is None:
            return SpeechEvent(type=kind, request_id=self.request_id)
        # Times stay at 0: Telnyx gives none, and a session that trusts them ends turns by them.
        data = SpeechData(
            language=LanguageCode(self.language),
            text=transcript.text,
            confidence=transcript.confidence,
        )
        return SpeechEvent(type=kind, request_id=self.request_id, alternatives=[data])
