"""One reply of LiveKit's on its way to speech.

Text comes in pieces of any length and leaves sentence by sentence, since the framework says nothing
before all of it was written; the connection is begun with the first word.  Audio is handed to the
framework's emitter as it comes.

Threads: everything here is the event loop's, but the functions handed to the session.
"""

from __future__ import annotations

from dataclasses import dataclass

from livekit.agents import tts

from telnyx_media.errors import TelnyxMediaError
from telnyx_media.pcm import silence
from telnyx_media.sentences import SentenceSplitter, speakable
from telnyx_media.sync.connection import Connection
from telnyx_media.sync.tts import SpeechAudio, TextToSpeech, TtsSession

from .crossing import Crossing
from .errors import to_api_error

# What stands for text in which nothing can be spoken: the framework takes a reply without any audio
# for a failure.  In seconds.
UNSPEAKABLE_SECONDS = 0.02


@dataclass(frozen=True)
class _Connected:
    seconds: float
    request_id: str


@dataclass(frozen=True)
class _Ended:
    error: Exception | None


class Speech:
    """One attempt at a reply: its session, if there is anything to say."""

    def __init__(self, service: TextToSpeech, *, sample_rate: int, language: str | None) -> None:
        """Begin; nothing is opened before there is a word.

        Args:
            service: opens the session.
            sample_rate: of the audio, in Hz.
            language: of the text.
        """
        self.seconds_to_connect = 0.0
        self._service = service
        self._sample_rate = sample_rate
        self._splitter = SentenceSplitter(language or "en")
        self._crossing: Crossing[SpeechAudio | _Connected | _Ended] = Crossing()
        self._session: TtsSession | None = None
        self._blank = True

    def feed(self, text: str) -> bool:
        """Take text in; get whether any was sent."""
        self._blank = self._blank and not text.strip()
        if self._session is None and speakable(text):
            self._session = self._open()
            self._session.prepare()
        return self._send(self._splitter.feed(text))

    def flush(self) -> bool:
        """Send what is there, complete or not; get whether there was any."""
        return self._send(self._splitter.flush())

    def finish(self) -> None:
        """Say that no more text comes."""
        if self._session is not None:
            self._session.finish()
        else:
            self._crossing.put(_Ended(None))

    async def play(self, emitter: tts.AudioEmitter) -> None:
        """Hand the audio to ``emitter`` until all has come.

        Raises:
            APIError: it failed; how much was handed over the emitter knows.
        """
        while True:
            item: SpeechAudio | _Connected | _Ended | None = await self._crossing.take()
            pieces: list[bytes] = []
            while isinstance(item, SpeechAudio):
                pieces.append(item.pcm)
                item = self._crossing.take_now()
            # One call for all that has come: the emitter cuts it anew anyway.
            pcm = b"".join(pieces)
            if pcm:
                emitter.push(pcm)
            if isinstance(item, _Connected):
                self.seconds_to_connect = item.seconds
                _note(emitter, item.request_id)
            elif item is not None:
                assert isinstance(item, _Ended)
                if item.error is not None:
                    raise to_api_error(item.error) from None
                break
        if not self._blank and (self._session is None or not self._session.delivered):
            emitter.push(silence(UNSPEAKABLE_SECONDS, self._sample_rate))

    def stop(self) -> None:
        """End it; returns at once, whatever the service is doing."""
        if self._session is not None:
            self._session.stop()

    def _open(self) -> TtsSession:
        crossing = self._crossing

        # Called by the session's receive thread.
        def on_connect(connection: Connection) -> None:
            crossing.put(_Connected(connection.seconds_to_connect, connection.request_id))

        return self._service.open(
            sample_rate=self._sample_rate,
            on_audio=crossing.put,
            on_connect=on_connect,
            on_end=lambda error: crossing.put(_Ended(error)),
            tag="lk",
        )

    def _send(self, sentences: list[str]) -> bool:
        if self._session is None:
            return False
        sent = False
        for sentence in sentences:
            try:
                self._session.send(sentence)
            except TelnyxMediaError:
                # It has failed; why is on its way to `play`.
                return sent
            sent = sent or speakable(sentence)
        return sent


def _note(emitter: tts.AudioEmitter, request_id: str) -> None:
    # Later versions of the framework show the service's id in traces.
    note = getattr(emitter, "_note_provider_request_id", None)
    if note is not None and request_id:
        note(request_id)
