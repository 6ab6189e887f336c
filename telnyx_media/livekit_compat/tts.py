"""Telnyx synthesis as LiveKit's ``TTS``.

Threads: every method belongs to the event loop's, but :meth:`TTS.prewarm`, which any may call.  One
``TTS`` serves any number of streams, in any number of event loops.
"""

from __future__ import annotations

import ssl
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from livekit.agents import tts
from livekit.agents.types import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    NotGivenOr,
)
from livekit.agents.utils import is_given

from telnyx_media.options import one_or_more
from telnyx_media.sync.access import check_key
from telnyx_media.sync.connection import DEAD_AFTER, PING_INTERVAL
from telnyx_media.synthesis import DEFAULT_VOICE, SPEECH_URL, TtsOptions

from .speech import Speech
from .ttssettings import SAMPLE_RATE, TtsSettings
from .ttsstream import ChunkedStream, SynthesizeStream
from .warming import warm


class TTS(tts.TTS[str]):
    """Speak text with a Telnyx voice, while it is written or at once.

    Every keyword of ``livekit.plugins.telnyx.TTS`` is taken, with its default; the others are
    Telnyx's own options.  Everything is checked here; nothing is opened before there is a word to
    speak.
    """

    def __init__(
        self,
        *,
        voice: str | None = DEFAULT_VOICE,
        api_key: str | None = None,
        base_url: str = SPEECH_URL,
        http_session: object | None = None,
        model: str | None = None,
        provider: str | None = None,
        voice_id: str | None = None,
        audio_format: str | None = None,
        sample_rate: int | None = None,
        voice_settings: Mapping[str, object] | None = None,
        language: str | None = None,
        text_type: str | None = None,
        disable_cache: bool | None = None,
        pronunciation_dict_id: str | None = None,
        inactivity_timeout: int | None = None,
        extra: Mapping[str, str | Sequence[str]] | None = None,
        fallbacks: Sequence[str | TtsOptions] = (),
        ping_interval: float = PING_INTERVAL,
        dead_after: float = DEAD_AFTER,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Check everything; nothing is opened.

        Args:
            voice: ``Provider.Model.VoiceId``.
            api_key: of Telnyx; the environment's ``TELNYX_API_KEY`` when ``None``.
            base_url: of the service; a query in it is kept.
            http_session: taken and not used: there is no aiohttp here.
            model: instead of ``voice``, with ``provider`` and ``voice_id``.
            provider: the same.
            voice_id: the same.
            audio_format: to ask for; ``None`` for the voice's own. What comes is sniffed.
            sample_rate: of the audio frames, in Hz, also asked of the service; 16000, and the
                voice's own asked, when ``None``.
            voice_settings: speed, pitch and the like.
            language: of voices that speak several; also used to find the ends of sentences.
            text_type: ``"text"`` or ``"ssml"``.
            disable_cache: whether Telnyx must synthesise afresh.
            pronunciation_dict_id: a dictionary of the account.
            inactivity_timeout: seconds after which Telnyx closes an idle socket.
            extra: further query parameters.
            fallbacks: voices to go on with when the one before has failed as often as the stream's
                ``conn_options`` allow; the error that is raised in the end is then final.
            ping_interval: seconds between pings.
            dead_after: seconds without a byte, not even a pong, after which a connection is lost.
            ssl_context: of TLS; the system's when ``None``.

        Raises:
            ValueError: an option is missing or out of range; the message names it.
        """
        settings = TtsSettings(
            voice=voice,
            # As it is now: a later change of the environment is none of this object's.
            api_key=check_key(api_key),
            base_url=base_url,
            model=model,
            provider=provider,
            voice_id=voice_id,
            audio_format=audio_format,
            sample_rate=sample_rate,
            voice_settings=dict(voice_settings or {}),
            language=language,
            text_type=text_type,
            disable_cache=disable_cache,
            pronunciation_dict_id=pronunciation_dict_id,
            inactivity_timeout=inactivity_timeout,
            extra=dict(extra or {}),
            fallbacks=one_or_more("fallbacks", fallbacks, str, TtsOptions),
            ping_interval=ping_interval,
            dead_after=dead_after,
            ssl_context=ssl_context,
        )
        settings.service()
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True, aligned_transcript=False),
            sample_rate=sample_rate or SAMPLE_RATE,
            num_channels=1,
        )
        self._settings = settings
        self._streams: weakref.WeakSet[SynthesizeStream | ChunkedStream] = weakref.WeakSet()

    @property
    def model(self) -> str:
        """The voice."""
        return self._settings.name

    @property
    def provider(self) -> str:
        """``"telnyx"``."""
        return "telnyx"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> ChunkedStream:
        """Speak a text that is complete.

        Args:
            text: to speak.
            conn_options: how often and how long is tried.
        """
        stream = ChunkedStream(tts=self, input_text=text, conn_options=conn_options)
        self._streams.add(stream)
        return stream

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> SynthesizeStream:
        """Speak a text as it is written.

        Args:
            conn_options: how often and how long is tried.
        """
        stream = SynthesizeStream(tts=self, conn_options=conn_options)
        self._streams.add(stream)
        return stream

    def update_options(
        self,
        *,
        voice: NotGivenOr[str] = NOT_GIVEN,
        model: NotGivenOr[str | None] = NOT_GIVEN,
        provider: NotGivenOr[str | None] = NOT_GIVEN,
        voice_id: NotGivenOr[str | None] = NOT_GIVEN,
        audio_format: NotGivenOr[str | None] = NOT_GIVEN,
        voice_settings: NotGivenOr[Mapping[str, object]] = NOT_GIVEN,
        language: NotGivenOr[str | None] = NOT_GIVEN,
        text_type: NotGivenOr[str | None] = NOT_GIVEN,
        disable_cache: NotGivenOr[bool | None] = NOT_GIVEN,
        pronunciation_dict_id: NotGivenOr[str | None] = NOT_GIVEN,
    ) -> None:
        """Change options, of live streams that have not begun to speak too; returns at once.

        A reply is spoken to its end as it was begun: options are fixed for the life of a socket.

        Args:
            voice: see the constructor for this and the others; ends what ``provider`` asked for.
            model: instead of ``voice``.
            provider: the same.
            voice_id: the same.
            audio_format: to ask for.
            voice_settings: in place of all that there were.
            language: of the text.
            text_type: ``"text"`` or ``"ssml"``.
            disable_cache: whether Telnyx must synthesise afresh.
            pronunciation_dict_id: a dictionary of the account.

        Raises:
            ValueError: an option is out of range; nothing was changed.
        """
        given: dict[str, Any] = {
            "voice": voice,
            "model": model,
            "provider": provider,
            "voice_id": voice_id,
            "audio_format": audio_format,
            "voice_settings": voice_settings,
            "language": language,
            "text_type": text_type,
            "disable_cache": disable_cache,
            "pronunciation_dict_id": pronunciation_dict_id,
        }
        changes = {name: value for name, value in given.items() if is_given(value)}
        if is_given(voice):
            changes = {"model": None, "provider": None, "voice_id": None, **changes}
        settings = replace(self._settings, **changes)
        settings.service()
        self._settings = settings

    def prewarm(self) -> None:
        """Load what the first reply needs; returns at once, never raises."""
        warm(self._settings.ssl_context)

    async def aclose(self) -> None:
        """Close every stream; returns within milliseconds."""
        for stream in list(self._streams):
            await stream.aclose()
        self._streams.clear()

    def new_speech(self, conn_options: APIConnectOptions) -> Speech:
        """Begin one attempt at a reply, with the options of this moment; for streams."""
        return Speech(
            self._settings.service(conn_options),
            sample_rate=self.sample_rate,
            language=self._settings.language,
        )
