"""What a ``TTS`` was asked for, and the blocking service that does it.

Pure: nothing here waits or opens anything.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from livekit.agents import APIConnectOptions

from telnyx_media.sync.retry import RetryPolicy
from telnyx_media.sync.tts import TextToSpeech
from telnyx_media.synthesis import TtsOptions

from .sttsettings import CONNECT_SHARE

# The rate of the published plugin's audio, in Hz.
SAMPLE_RATE = 16000

# The framework's pause before the first retry, in seconds.
FIRST_RETRY = 0.1

# Formats without a header, of which one has to ask for the rate to know it.
HEADERLESS = "linear16"


@dataclass(frozen=True)
class TtsSettings:
    """The options of a ``TTS``; see there."""

    voice: str | None
    api_key: str | None = field(repr=False)
    base_url: str
    model: str | None
    provider: str | None
    voice_id: str | None
    audio_format: str | None
    sample_rate: int | None
    voice_settings: Mapping[str, object]
    language: str | None
    text_type: str | None
    disable_cache: bool | None
    pronunciation_dict_id: str | None
    inactivity_timeout: int | None
    extra: Mapping[str, str | Sequence[str]]
    fallbacks: tuple[str | TtsOptions, ...]
    ping_interval: float
    dead_after: float
    ssl_context: ssl.SSLContext | None = field(repr=False)

    @property
    def name(self) -> str:
        """The voice as one writes it."""
        if self.provider or not self.voice:
            parts = (self.provider, self.model, self.voice_id)
            return ".".join(part for part in parts if part)
        return self.voice

    def service(self, conn_options: APIConnectOptions | None = None) -> TextToSpeech:
        """Make the blocking service.

        Raises:
            ConfigurationError: an option is missing or out of range; a ``ValueError``.
        """
        options = conn_options or APIConnectOptions()
        asked_rate = self.sample_rate
        if asked_rate is None and self.audio_format == HEADERLESS:
            asked_rate = SAMPLE_RATE
        return TextToSpeech(
            voice=self.voice,
            model=self.model,
            provider=self.provider,
            voice_id=self.voice_id,
            api_key=self.api_key,
            base_url=self.base_url,
            audio_format=self.audio_format,
            sample_rate=asked_rate,
            voice_settings=self.voice_settings,
            language=self.language,
            text_type=self.text_type,
            disable_cache=self.disable_cache,
            pronunciation_dict_id=self.pronunciation_dict_id,
            inactivity_timeout=self.inactivity_timeout,
            extra=self.extra,
            fallbacks=self.fallbacks,
            retry=self._retry(options),
            connect_timeout=CONNECT_SHARE * options.timeout,
            reply_timeout=options.timeout,
            ping_interval=self.ping_interval,
            dead_after=self.dead_after,
            ssl_context=self.ssl_context,
        )

    def _retry(self, options: APIConnectOptions) -> RetryPolicy:
        # The framework tries again; but it knows nothing of further voices, and would begin with
        # the first one each time.
        if not self.fallbacks:
            return RetryPolicy(attempts=1)
        return RetryPolicy(
            attempts=1 + options.max_retry,
            delays=(FIRST_RETRY, options.retry_interval),
            jitter=0.0,
        )
