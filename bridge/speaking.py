"""What the agent says: text to synthesis to packets.

Text comes sentence by sentence, perhaps while a language model still writes it, and each sentence
is on its way to synthesis as soon as it is complete.  A socket to the synthesiser takes a handshake
to open, which the caller would hear as a pause; so one is opened while the caller still speaks.

Threads: :meth:`Speaker.speak` and :meth:`Speaker.warm_up` on the agent's; audio arrives on the
synthesiser's receive thread; ``close`` from any.

Rules of this module:

1. One reply, one synthesis session, one encoder: dropping a reply is closing its session.
2. What belongs to a reply that is over is refused by the conversation, so nobody has to be stopped
   in time.
3. A reply that no voice can synthesise is said by Telnyx, from the first sentence that was not
   complete.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bridge.call import Reply
from bridge.conversation import Conversation
from bridge.decisions import Interruptible
from bridge.speech import Speech
from bridge.understudy import Understudy
from telnyx_media._audioop import audioop
from telnyx_media.codecs import Codec
from telnyx_media.errors import TelnyxMediaError
from telnyx_media.pcm import Packetizer, level
from telnyx_media.sentences import SentenceSplitter, speakable
from telnyx_media.sync.tts import SpeechAudio, TextToSpeech, TtsSession

__all__ = ["Speaker"]

# Seconds after which an open synthesis socket is not trusted any more: the service closes one
# without input after 20 (Telnyx: older text-to-speech pages).
WARM_FOR = 15.0

# Seconds of audio in a packet.
PACKET = 0.02

# Packets of a sound that are encoded at a time: half a second.
BATCH = 25

# How a message begins that tells what can be said.
TEXTS = "what is said is a string, or an iterable of strings"


class Voice:
    """One reply's synthesis: a session, an encoder, and the speech they are for."""

    def __init__(
        self, conversation: Conversation, tts: TextToSpeech, codec: Codec, tag: str
    ) -> None:
        self.speech = Speech()
        # Sentences whose audio is complete, and those that came when the reply was over.
        self.spoken = 0
        self.refused: list[str] = []
        # Sentences come from the agent's thread, and a filler from its own.
        self._lock = threading.Lock()
        self._complete = False
        self.opened_at = time.monotonic()
        self.ended = False
        self._told = False
        self._conversation = conversation
        self._codec = codec
        self._frames = Packetizer(2 * round(codec.sample_rate * PACKET))
        self._session: TtsSession = tts.open(
            sample_rate=codec.sample_rate, on_audio=self._take, on_end=self._end, tag=tag
        )
        # Nothing else connects before there is a text.
        self._session.prepare()

    # -- the agent's thread -----------------------------------------------------------------------

    def say(self, text: str) -> bool:
        """Hand one sentence to synthesis; False when the reply is over."""
        with self._lock:
            if self._conversation.add_segment(self.speech, text) is None:
                self.refused.append(text)
                return False
            self._session.send(text)
        return True

    def fill(self, text: str) -> None:
        """Say something before the first sentence, if there is none yet; from any thread."""
        with self._lock:
            begun = bool(self.speech.segments) or self._complete
            if begun or self._conversation.add_segment(self.speech, text) is None:
                return
            self.speech.filler = text.strip()
            self._session.send(text)

    def finish(self) -> None:
        """Say that there is no more."""
        with self._lock:
            self._complete = True
        self._session.finish()
        if not self.speech.segments:
            self._conversation.end_audio(self.speech)

    def close(self) -> None:
        """Give the session up, whether or not it has ended, and join its threads."""
        with self._session:
            pass
        told = self._told
        again, self._told = max(0, self._session.connections - 1), True
        if again and not told:
            self._conversation.counts.tts_reconnects += again

    # -- the session's receive thread -------------------------------------------------------------

    def _take(self, audio: SpeechAudio) -> None:
        segment = self.speech.segments[audio.segment]
        frames = self._frames.feed(audio.pcm)
        if audio.last:
            frames += self._frames.flush(b"\0\0")
        if frames:
            packets = [self._codec.encode(frame) for frame in frames]
            levels = [level(frame) for frame in frames]
            self._conversation.add_audio(self.speech, segment, packets, levels)
        if audio.last:
            self.spoken = audio.segment + 1
            self._conversation.end_segment(self.speech, segment)

    def _end(self, error: Exception | None) -> None:
        self.ended = True
        if error is not None:
            for segment in self.speech.segments[self.spoken :]:
                segment.cut = True
        self._conversation.end_audio(self.speech, error)


class Speaker:
    """Speaks the agent's replies on one leg."""

    def __init__(
        self,
        conversation: Conversation,
        tts: TextToSpeech,
        make_codec: Callable[[], Codec],
        *,
        language: str,
        tag: str,
        understudy: Understudy | None = None,
    ) -> None:
        """Prepare; nothing is opened before it is needed.

        Args:
            conversation: what is said goes there.
            tts: opens the synthesis sessions.
            make_codec: makes the encoder of one reply.
            language: of the text, by which it is cut into sentences.
            tag: the leg's, for the names of the sessions' threads.
            understudy: says what cannot be synthesised; nobody does, if ``None``.
        """
        self._understudy = understudy
        self._conversation = conversation
        self._tts = tts
        self._make_codec = make_codec
        self._language = language
        self._tag = tag
        # Guards the two voices, which close() ends from another thread.
        self._lock = threading.Lock()
        self._warm: Voice | None = None
        self._current: Voice | None = None
        self._closed = False

    # -- the agent's thread -----------------------------------------------------------------------

    def warm_up(self) -> None:
        """Have a synthesis socket ready for the next reply; returns at once."""
        with self._lock:
            warm = self._warm
            if self._closed or (warm is not None and _fresh(warm)):
                return
            self._warm = self._open()
        if warm is not None:
            warm.close()

    def speak(
        self,
        text: str | Iterable[str],
        *,
        interruptible: Interruptible,
        parting: bool = False,
        timeout: float | None = None,
        on_voice: Callable[[Callable[[str], None]], Callable[[], None]] | None = None,
    ) -> Reply:
        """Say it, and wait until it was heard or the caller broke in.

        Args:
            text: what to say.
            interruptible: whether the caller may break in.
            parting: whether these are the last words, after which nobody else may speak.
            timeout: seconds to wait for its end.
            on_voice: called with a function that says something before the first sentence, from
                any thread; returns what is called once the text is complete.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: it could neither be synthesised nor said by Telnyx.
            TypeError: it is no text, and brings none.
        """
        pieces = _pieces(text)
        voice = self._take_voice()
        speech = voice.speech
        speech.parting = parting
        sentences = self._cut(speech, pieces)
        try:
            self._conversation.begin(speech, interruptible=interruptible)
            done = None if on_voice is None else on_voice(voice.fill)
            try:
                try:
                    self._feed(voice, sentences)
                finally:
                    if done is not None:
                        done()
                return self._conversation.wait(speech, timeout)
            except TelnyxMediaError as error:
                if self._understudy is None or timeout is not None:
                    raise
                return self._stand_in(self._understudy, voice, sentences, interruptible, error)
            finally:
                self._conversation.abandon(speech)
        finally:
            voice.close()
            _close(pieces)
            _close(text)

    def _stand_in(
        self,
        understudy: Understudy,
        voice: Voice,
        sentences: Iterator[str],
        interruptible: Interruptible,
        error: TelnyxMediaError,
    ) -> Reply:
        """Have Telnyx say what the voice did not, behind what there is of it."""
        speech = voice.speech
        self._conversation.end_audio(speech, error)
        with contextlib.suppress(TelnyxMediaError):
            self._conversation.wait(speech)
        begun = speech.reply
        if begun.interrupted:
            return begun
        rest = [segment.text for segment in speech.segments[voice.spoken :]]
        said = understudy.say(
            itertools.chain(rest, voice.refused, sentences),
            interruptible=interruptible,
            parting=speech.parting,
            error=error,
        )
        heard = f"{begun.heard} {said.heard}".strip()
        return Reply(speech.reply.text, heard, said.interrupted, begun.started_at, speech.over_at)

    def play(
        self,
        load: Callable[[int], bytes],
        *,
        interruptible: Interruptible,
        loop: bool,
        volume: float,
    ) -> Reply:
        """Play PCM, and wait until it was heard or the caller broke in.

        Args:
            load: gets the PCM at a sampling rate.
            interruptible: whether the caller may break in.
            loop: whether it begins again at its end, until the caller breaks in.
            volume: factor, 0 to 1.

        Raises:
            CallEnded: the call is over.
        """
        codec = self._make_codec()
        pcm = audioop.mul(load(codec.sample_rate), 2, volume)
        frames = Packetizer(2 * round(codec.sample_rate * PACKET))
        cut = frames.feed(pcm) + frames.flush(b"\0\0")
        speech = Speech(wordless=True)
        self._conversation.begin(speech, interruptible=interruptible)
        try:
            while self._play_once(speech, codec, cut) and loop:
                pass
            self._conversation.end_audio(speech)
            return self._conversation.wait(speech)
        finally:
            self._conversation.abandon(speech)

    def _play_once(self, speech: Speech, codec: Codec, frames: Sequence[bytes]) -> bool:
        """Append the frames to a reply, as the room for them allows; False when it is over."""
        segment = self._conversation.add_segment(speech, "")
        if segment is None:
            return False
        for at in range(0, len(frames), BATCH):
            batch = frames[at : at + BATCH]
            packets = [codec.encode(frame) for frame in batch]
            levels = [level(frame) for frame in batch]
            if not self._conversation.add_audio(speech, segment, packets, levels):
                return False
        self._conversation.end_segment(speech, segment)
        return bool(frames)

    def use(self, tts: TextToSpeech | None, language: str) -> None:
        """Speak in another language, and with another voice if given, from the next reply on."""
        with self._lock:
            self._tts, self._language = tts or self._tts, language
            warm, self._warm = self._warm, None
        if warm is not None:
            warm.close()

    def _cut(self, speech: Speech, pieces: Iterator[str]) -> Iterator[str]:
        """Get sentence by sentence, as they become complete."""
        splitter = SentenceSplitter(self._language)
        for piece in pieces:
            if not isinstance(piece, str):
                raise TypeError(f"{TEXTS}, not one that brings a {type(piece).__name__}")
            speech.text += piece
            yield from filter(speakable, splitter.feed(piece))
            if speech.over and speech.error is None:
                return
        yield from filter(speakable, splitter.flush())

    def _feed(self, voice: Voice, sentences: Iterator[str]) -> None:
        """Send each sentence to synthesis, until the reply is complete or over."""
        if all(voice.say(sentence) for sentence in sentences):
            voice.finish()

    def _take_voice(self) -> Voice:
        with self._lock:
            warm, self._warm = self._warm, None
            if warm is not None and not self._closed and _fresh(warm):
                self._current = warm
                return warm
            voice = self._current = self._open()
        if warm is not None:
            warm.close()
        return voice

    def _open(self) -> Voice:
        return Voice(self._conversation, self._tts, self._make_codec(), self._tag)

    # -- any thread -------------------------------------------------------------------------------

    def close(self) -> None:
        """Give up what is open; may be called twice."""
        with self._lock:
            self._closed = True
            voices = [voice for voice in (self._warm, self._current) if voice is not None]
            self._warm = None
        for voice in voices:
            voice.close()


def _pieces(text: str | Iterable[str]) -> Iterator[str]:
    """Iterate over what is to be said.

    Raises:
        TypeError: it is no text, and brings none.
    """
    if isinstance(text, str):
        return iter([text])
    # A dictionary brings its keys, which nobody means.
    if isinstance(text, (bytes, bytearray, Mapping)) or not isinstance(text, Iterable):
        raise TypeError(f"{TEXTS}, not a {type(text).__name__}")
    return iter(text)


def _fresh(voice: Voice) -> bool:
    return not voice.ended and time.monotonic() - voice.opened_at < WARM_FOR


def _close(iterator: object) -> None:
    """Close a generator that may not have come to its end; anything else is left alone."""
    close = getattr(iterator, "close", None)
    if callable(close):
        close()
