"""What an ``STT`` was asked for, and the blocking service that does it.

Pure: nothing here waits or opens anything.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from livekit.agents import APIConnectOptions
from livekit.agents.stt import STTCapabilities

from telnyx_media.engines import ENGINES, Engine, find_engine
from telnyx_media.sync.retry import RetryPolicy
from telnyx_media.sync.stt import SpeechToText
from telnyx_media.transcripts import SttOptions

# The whole connect ends this much sooner than the framework's limit for an attempt: one that took
# longer counts as having been connected, and would be tried again for ever.
CONNECT_SHARE = 0.9


@dataclass(frozen=True)
class SttSettings:
    """The options of an ``STT``; see there."""

    language: str
    transcription_engine: str
    interim_results: bool
    api_key: str | None = field(repr=False)
    base_url: str
    sample_rate: int
    model: str | None
    endpointing: int | bool | None
    keyterms: tuple[str, ...]
    keywords: tuple[str, ...]
    redact: tuple[str, ...]
    region: str | None
    eot_threshold: float | None
    eot_timeout_ms: int | None
    eager_eot_threshold: float | None
    input_format: str | None
    extra: Mapping[str, str | Sequence[str]]
    fallbacks: tuple[str | SttOptions, ...]
    buffer_seconds: float
    reply_timeout: float
    ping_interval: float
    dead_after: float
    ssl_context: ssl.SSLContext | None = field(repr=False)
    session_keyterms: tuple[str, ...] = ()

    @property
    def engine(self) -> Engine:
        """What is known of the engine; one that is not known is passed on as it is spelt."""
        return find_engine(self.transcription_engine, strict=False)

    @property
    def takes_keyterms(self) -> bool:
        """Whether the engine's model listens for words (Telnyx: nova-3 and flux)."""
        return self.engine.name == "Deepgram" and "nova-2" not in (self.model or "")

    def capabilities(self) -> STTCapabilities:
        """Say what the engine will really do."""
        claims = STTCapabilities(
            streaming=True,
            interim_results=self.interim_results and self.engine.interims,
            offline_recognize=True,
        )
        # Later versions of the framework ask for more.
        for name, value in (
            ("keyterms", self.takes_keyterms),
            ("manual_flush", self.engine.controls),
        ):
            if hasattr(claims, name):
                setattr(claims, name, value)
        return claims

    def service(
        self,
        conn_options: APIConnectOptions | None = None,
        *,
        buffer_seconds: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> SpeechToText:
        """Make the blocking service.

        Args:
            conn_options: of the stream.
            buffer_seconds: instead of the setting.
            retry: of sessions that decide about losses themselves.

        Raises:
            ConfigurationError: an option is missing or out of range; a ``ValueError``.
        """
        timeout = (conn_options or APIConnectOptions()).timeout
        session_keyterms = self.session_keyterms if self.takes_keyterms else ()
        return SpeechToText(
            engine=self.transcription_engine,
            model=self.model,
            language=self.language,
            api_key=self.api_key,
            base_url=self.base_url,
            input_format=self.input_format,
            wire_rate=self.sample_rate,
            interim_results=self.interim_results,
            endpointing=self.endpointing,
            keyterms=tuple(dict.fromkeys((*self.keyterms, *session_keyterms))),
            keywords=self.keywords,
            redact=self.redact,
            region=self.region,
            eot_threshold=self.eot_threshold,
            eot_timeout_ms=self.eot_timeout_ms,
            eager_eot_threshold=self.eager_eot_threshold,
            extra=self.extra,
            strict=self.transcription_engine.strip().lower() in ENGINES,
            fallbacks=self.fallbacks,
            retry=retry,
            connect_timeout=CONNECT_SHARE * timeout,
            buffer_seconds=self.buffer_seconds if buffer_seconds is None else buffer_seconds,
            reply_timeout=self.reply_timeout,
            ping_interval=self.ping_interval,
            dead_after=self.dead_after,
            ssl_context=self.ssl_context,
        )
