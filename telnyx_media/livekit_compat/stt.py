"""Telnyx transcription as LiveKit's ``STT``.

Threads: every method belongs to the event loop's, but :meth:`STT.prewarm`, which any may call.  One
``STT`` serves any number of streams, in any number of event loops.
"""

from __future__ import annotations

import ssl
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from livekit.agents import LanguageCode, stt
from livekit.agents.types import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    NotGivenOr,
)
from livekit.agents.utils import AudioBuffer, is_given

from telnyx_media.options import one_or_more
from telnyx_media.sync.access import check_key
from telnyx_media.sync.connection import DEAD_AFTER, PING_INTERVAL
from telnyx_media.transcripts import TRANSCRIPTION_URL, SttOptions

from .recognition import recognize
from .sttsettings import SttSettings
from .sttstream import SpeechStream
from .warming import warm

# Whoever updates an option may also set it to None.
_Optional = Any


class STT(stt.STT[str]):
    """Transcribe speech with Telnyx, streaming or a buffer at once.

    Every keyword of ``livekit.plugins.telnyx.STT`` is taken, with its default; the others are
    Telnyx's own options.  Everything is checked here; nothing is opened before a stream is.
    """

    def __init__(
        self,
        *,
        language: str = "en",
        transcription_engine: str = "telnyx",
        interim_results: bool = True,
        api_key: str | None = None,
        base_url: str = TRANSCRIPTION_URL,
        sample_rate: int = 16000,
        http_session: object | None = None,
        model: str | None = None,
        endpointing: int | bool | None = None,
        keyterms: Sequence[str] = (),
        keywords: Sequence[str] = (),
        redact: Sequence[str] = (),
        region: str | None = None,
        eot_threshold: float | None = None,
        eot_timeout_ms: int | None = None,
        eager_eot_threshold: float | None = None,
        input_format: str | None = None,
        extra: Mapping[str, str | Sequence[str]] | None = None,
        fallbacks: Sequence[str | SttOptions] = (),
        buffer_seconds: float = 30.0,
        reply_timeout: float = 8.0,
        ping_interval: float = PING_INTERVAL,
        dead_after: float = DEAD_AFTER,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Check everything; nothing is opened.

        Args:
            language: spoken; LiveKit's spellings are normalised (``"english"``, ``"en_us"``).
            transcription_engine: in any case; a name that is not known is passed on as it is.
            interim_results: whether transcripts that may still change are wanted; only engines
                that are known to give them are asked, and ``capabilities`` says whether this is so.
            api_key: of Telnyx; the environment's ``TELNYX_API_KEY`` when ``None``.
            base_url: of the service; a query in it is kept.
            sample_rate: to send, in Hz; pushed audio is resampled to it.
            http_session: taken and not used: there is no aiohttp here.
            model: of the engine.
            endpointing: milliseconds of silence that end an utterance; ``False`` for never.
            keyterms: words to listen for (Deepgram nova-3 and flux).
            keywords: the same for nova-2.
            redact: what to blank, of ``"pci"``, ``"ssn"``, ``"numbers"`` (Deepgram).
            region: of Azure.
            eot_threshold: of flux.
            eot_timeout_ms: of flux.
            eager_eot_threshold: of flux.
            input_format: ``None`` for plain samples, ``"wav"`` for samples behind a header.
            extra: further query parameters.
            fallbacks: engines to go on with when the one before has failed as often as the stream's
                ``conn_options`` allow, without a word lost.
            buffer_seconds: of audio kept to be sent again after a loss, at most.
            reply_timeout: seconds of speech without any reply after which a connection counts as
                dead.
            ping_interval: seconds between pings.
            dead_after: seconds without a byte, not even a pong, after which a connection is lost.
            ssl_context: of TLS; the system's when ``None``.

        Raises:
            ValueError: an option is missing or out of range; the message names it.
        """
        settings = SttSettings(
            language=LanguageCode(language),
            transcription_engine=transcription_engine,
            interim_results=interim_results,
            # As it is now: a later change of the environment is none of this object's.
            api_key=check_key(api_key),
            base_url=base_url,
            sample_rate=sample_rate,
            model=model,
            endpointing=endpointing,
            keyterms=one_or_more("keyterms", keyterms, str),
            keywords=one_or_more("keywords", keywords, str),
            redact=one_or_more("redact", redact, str),
            region=region,
            eot_threshold=eot_threshold,
            eot_timeout_ms=eot_timeout_ms,
            eager_eot_threshold=eager_eot_threshold,
            input_format=input_format,
            extra=dict(extra or {}),
            fallbacks=one_or_more("fallbacks", fallbacks, str, SttOptions),
            buffer_seconds=buffer_seconds,
            reply_timeout=reply_timeout,
            ping_interval=ping_interval,
            dead_after=dead_after,
            ssl_context=ssl_context,
        )
        settings.service()
        super().__init__(capabilities=settings.capabilities())
        self._settings = settings
        self._streams: weakref.WeakSet[SpeechStream] = weakref.WeakSet()

    @property
    def model(self) -> str:
        """The model, or the engine as it was given where no model was."""
        return self._settings.model or self._settings.transcription_engine

    @property
    def provider(self) -> str:
        """``"telnyx"``."""
        return "telnyx"

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> SpeechStream:
        """Open a stream; it connects at once, on a thread of its own.

        Args:
            language: instead of the one of the ``STT``.
            conn_options: how often and how long is tried to connect.
        """
        settings = self._with_language(language)
        stream = SpeechStream(
            stt=self, settings=settings, conn_options=conn_options, sample_rate=settings.sample_rate
        )
        self._streams.add(stream)
        return stream

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        return await recognize(buffer, self._with_language(language), conn_options)

    def update_options(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        transcription_engine: NotGivenOr[str] = NOT_GIVEN,
        interim_results: NotGivenOr[bool] = NOT_GIVEN,
        model: NotGivenOr[str | None] = NOT_GIVEN,
        endpointing: NotGivenOr[int | bool | None] = NOT_GIVEN,
        keyterms: NotGivenOr[Sequence[str]] = NOT_GIVEN,
        keywords: NotGivenOr[Sequence[str]] = NOT_GIVEN,
        redact: NotGivenOr[Sequence[str]] = NOT_GIVEN,
        region: NotGivenOr[str | None] = NOT_GIVEN,
        eot_threshold: NotGivenOr[float | None] = NOT_GIVEN,
        eot_timeout_ms: NotGivenOr[int | None] = NOT_GIVEN,
        eager_eot_threshold: NotGivenOr[float | None] = NOT_GIVEN,
    ) -> None:
        """Change options, of live streams too; returns at once.

        Options are fixed for the life of a socket, so live streams connect anew and send the audio
        since the last final again; for key terms they wait until the speaker has paused.

        Args:
            language: for all streams, those with a language of their own included.
            transcription_engine: see the constructor for this and the others.
            interim_results: whether interim transcripts are wanted.
            model: of the engine.
            endpointing: milliseconds of silence that end an utterance.
            keyterms: words to listen for.
            keywords: the same for nova-2.
            redact: what to blank.
            region: of Azure.
            eot_threshold: of flux.
            eot_timeout_ms: of flux.
            eager_eot_threshold: of flux.

        Raises:
            ValueError: an option is out of range; nothing was changed.
        """
        given: dict[str, _Optional] = {
            "transcription_engine": transcription_engine,
            "interim_results": interim_results,
            "model": model,
            "endpointing": endpointing,
            "region": region,
            "eot_threshold": eot_threshold,
            "eot_timeout_ms": eot_timeout_ms,
            "eager_eot_threshold": eager_eot_threshold,
        }
        changes = {name: value for name, value in given.items() if is_given(value)}
        for name, texts in (("keyterms", keyterms), ("keywords", keywords), ("redact", redact)):
            if is_given(texts):
                changes[name] = one_or_more(name, texts, str)
        if is_given(language):
            changes["language"] = LanguageCode(language)
        self._change(changes, patient=set(changes) <= {"keyterms", "keywords"})

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        if not self._settings.takes_keyterms:
            super()._update_session_keyterms(keyterms)
            return
        self._change({"session_keyterms": tuple(keyterms)}, patient=True)

    def prewarm(self) -> None:
        """Load what the first connection needs; returns at once, never raises."""
        warm(self._settings.ssl_context)

    async def aclose(self) -> None:
        """Close every stream; returns within milliseconds."""
        for stream in list(self._streams):
            await stream.aclose()
        self._streams.clear()

    def _with_language(self, language: NotGivenOr[str]) -> SttSettings:
        if not is_given(language):
            return self._settings
        return replace(self._settings, language=LanguageCode(language))

    def _change(self, changes: dict[str, _Optional], *, patient: bool) -> None:
        settings = replace(self._settings, **changes)
        if settings == self._settings:
            return
        settings.service()
        self._settings = settings
        claims = settings.capabilities()
        # The object is kept: adapters hold it.
        for name, value in vars(claims).items():
            setattr(self._capabilities, name, value)
        for stream in list(self._streams):
            stream.renew(changes, patient=patient)
