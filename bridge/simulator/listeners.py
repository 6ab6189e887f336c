"""What turns a caller's audio into transcripts: a recogniser, or a script.

The transcription server hands each session one listener.  :class:`OfflineListener` really
recognises; the others say what a test expects of them, at an exact place in the audio and without
delay, so that what is measured is the client.

Pure, but for :class:`OfflineListener`, which blocks while it computes.

Rules of this module:

1. Time is counted in audio.  The same audio gives the same transcripts at any pace.
2. A listener yields as it goes, so that an interim leaves before the next one is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bridge.simulator.numbered import NumberReader
from bridge.simulator.segments import Moment, Segmenter
from telnyx_media.pcm import Resampler, rms

if TYPE_CHECKING:
    from bridge.simulator.offline.recognition import Recognition


@dataclass(frozen=True)
class Said:
    """One transcript to send.

    Attributes:
        text: the words; empty where only the end is marked.
        is_final: whether it will not change.
        confidence: 0 to 1.
        speech_final: whether silence has ended the speech.
        utterance_end: whether it marks a long silence after the speech.
        event: of flux: ``EagerEndOfTurn``, ``TurnResumed`` or ``EndOfTurn``.
        start: of the speech, in seconds of audio since the session began, where that is known; no
            message on a socket carries it, the transcript of a file does.
        end: of the speech, likewise.
    """

    text: str
    is_final: bool = True
    confidence: float = 0.0
    speech_final: bool = False
    utterance_end: bool = False
    event: str = ""
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Listening:
    """What a listener has to know of its session.

    Attributes:
        sample_rate: of the PCM it is fed, hertz.
        interims: whether interim transcripts are wanted.
        endpoint: seconds of silence that end a stretch of speech.
    """

    sample_rate: int = 8000
    interims: bool = True
    endpoint: float = 0.1


class Listener(Protocol):
    """Listens to one session."""

    @property
    def speaking(self) -> bool:
        """Whether speech has begun of which no final was given."""

    def feed(self, pcm: bytes) -> Iterator[Said]:
        """Take audio, 16-bit mono PCM cut anywhere, and give what is said because of it."""

    def finalize(self) -> Iterator[Said]:
        """Give what is still to be said of the audio so far."""


MakeListener = Callable[[Listening], Listener]


class OfflineListener:
    """Recognises English speech with the embedded model.

    A pause of 64 ms already starts the recognition; if silence lasts until the endpoint, its result
    is there and becomes the final at once.
    """

    def __init__(self, listening: Listening) -> None:
        """Begin a session; the first one of a process loads the models, which takes a second.

        Raises:
            OfflineSpeechMissing: a package is missing; the message says what to install.
        """
        from bridge.simulator.offline import recognition
        from telnyx_media.vad import VoiceDetector

        self._listening = listening
        self._recognizer = recognition.Recognizer()
        self._recognizer.warm_up()
        self._rate = recognition.SAMPLE_RATE
        self._detector = VoiceDetector(listening.sample_rate, engine="silero")
        self._segmenter = Segmenter(listening.sample_rate, endpoint=listening.endpoint)
        # What the last pause was recognised as, and where its voice ended.
        self._guess: tuple[float, Recognition] | None = None
        self._interim = ""

    @property
    def speaking(self) -> bool:
        """Whether speech has begun of which no final was given."""
        return self._segmenter.speaking

    def feed(self, pcm: bytes) -> Iterator[Said]:
        """Take audio; computes within when speech pauses or ends."""
        return self._hear(self._segmenter.feed(pcm, self._detector.feed(pcm)))

    def finalize(self) -> Iterator[Said]:
        """Recognise what is still open."""
        return self._hear(self._segmenter.flush())

    def _hear(self, moments: Iterable[Moment]) -> Iterator[Said]:
        for moment in moments:
            if moment.kind == "growing":
                if self._listening.interims:
                    yield from self._interim_of(
                        self._recognizer.try_recognise(self._speech(moment))
                    )
            elif moment.kind == "paused":
                result = self._recognizer.recognise(self._speech(moment))
                self._guess = moment.end, result
                if self._listening.interims:
                    yield from self._interim_of(result)
            elif moment.kind == "ended":
                yield self._final_of(moment)
            else:
                yield Said("", utterance_end=True)

    def _interim_of(self, result: Recognition | None) -> Iterator[Said]:
        if result is not None and result.text and result.text != self._interim:
            self._interim = result.text
            yield Said(result.text, is_final=False)

    def _final_of(self, moment: Moment) -> Said:
        guess, self._guess, self._interim = self._guess, None, ""
        if guess is not None and guess[0] == moment.end:
            result = guess[1]
        else:
            result = self._recognizer.recognise(self._speech(moment))
        return Said(
            result.text,
            confidence=result.confidence if result.text else 0.0,
            speech_final=moment.by_silence,
            start=moment.start,
            end=moment.end,
        )

    def _speech(self, moment: Moment) -> bytes:
        resampler = Resampler(self._listening.sample_rate, self._rate)
        return resampler.feed(moment.pcm) + resampler.flush()


class BurstListener:
    """Says one text for each burst of sound: an interim when it begins, the final when it ends.

    A burst that is finalized before its end has said its text; nothing is said at its end.
    """

    # -40 dBFS: far above the noise of a line, far below a tone or a voice.
    LOUD = 330

    def __init__(self, listening: Listening, texts: Sequence[str] = ()) -> None:
        """Begin a session.

        Args:
            listening: of the session.
            texts: what the bursts say, one after another; ``"word 1"``, ``"word 2"`` … when they
                run out.
        """
        self._listening = listening
        self._texts = texts
        self._frame = 2 * (listening.sample_rate // 100)
        self._rest = b""
        self._count = 0
        self._loud = False
        self._told = False
        self._silence = 0.0

    @property
    def speaking(self) -> bool:
        """Whether a burst has begun of which no final was given."""
        return self._loud and not self._told

    def feed(self, pcm: bytes) -> Iterator[Said]:
        """Take audio; looks at it in steps of 10 ms."""
        data = self._rest + pcm
        end = len(data) - len(data) % self._frame
        self._rest = data[end:]
        for at in range(0, end, self._frame):
            loud = rms(data[at : at + self._frame]) > self.LOUD
            if loud and not self._loud:
                self._loud, self._told = True, False
                self._count += 1
                if self._listening.interims:
                    yield Said(self._text(), is_final=False)
            self._silence = 0.0 if loud else self._silence + 0.01
            if self._loud and self._silence >= self._listening.endpoint - 0.001:
                self._loud = False
                if not self._told:
                    yield Said(self._text(), confidence=1.0, speech_final=True)

    def finalize(self) -> Iterator[Said]:
        """Give the final of the burst that is open."""
        if self.speaking:
            self._told = True
            yield Said(self._text(), confidence=1.0)

    def _text(self) -> str:
        if self._count <= len(self._texts):
            return self._texts[self._count - 1]
        return f"word {self._count}"


@dataclass(frozen=True)
class Cue:
    """Something to be said at a place in the audio.

    Attributes:
        at: seconds of audio since the session began.
        said: what is said there.
    """

    at: float
    said: Said


class CueListener:
    """Says what its cues tell, each when as much audio has come, whatever is in it."""

    def __init__(self, listening: Listening, cues: Sequence[Cue]) -> None:
        """Begin a session.

        Args:
            listening: of the session; an interim cue is left out when none are wanted.
            cues: in the order of their places.
        """
        self._listening = listening
        self._cues = list(cues)
        self._bytes = 0

    @property
    def speaking(self) -> bool:
        """Never: what is not said yet is not begun."""
        return False

    def feed(self, pcm: bytes) -> Iterator[Said]:
        """Take audio."""
        self._bytes += len(pcm)
        now = self._bytes / 2 / self._listening.sample_rate
        while self._cues and self._cues[0].at <= now:
            said = self._cues.pop(0).said
            if said.is_final or self._listening.interims:
                yield said

    def finalize(self) -> Iterator[Said]:
        """Say nothing: what was not reached is not said."""
        return iter(())


class NumberListener:
    """Reads numbered audio and says which packets came, ``"0-49"`` for a run without a hole.

    Attributes:
        numbers: every number that came, in the order of coming.
    """

    def __init__(self, listening: Listening) -> None:
        """Begin a session."""
        self.numbers: list[int] = []
        self._reader = NumberReader(listening.sample_rate)
        self._endpoint = listening.endpoint
        self._rate = listening.sample_rate
        self._first: int | None = None
        self._silence = 0.0

    @property
    def speaking(self) -> bool:
        """Whether a run is open."""
        return self._first is not None

    def feed(self, pcm: bytes) -> Iterator[Said]:
        """Take audio; a hole, a step back, or silence ends a run."""
        numbers = self._reader.feed(pcm)
        self._silence = 0.0 if numbers else self._silence + len(pcm) / 2 / self._rate
        if self._first is not None and self._silence >= self._endpoint + 0.02:
            yield from self.finalize()
        for number in numbers:
            if self._first is not None and number != self.numbers[-1] + 1:
                yield from self.finalize()
            if self._first is None:
                self._first = number
            self.numbers.append(number)

    def finalize(self) -> Iterator[Said]:
        """End the run that is open."""
        if self._first is not None:
            first, self._first = self._first, None
            yield Said(f"{first}-{self.numbers[-1]}", confidence=1.0, speech_final=True)
