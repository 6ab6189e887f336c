"""What a new leg is made of: its facts, from its first event, and its services, from the settings.

Pure: nothing is opened.
"""

from __future__ import annotations

import hashlib

from bridge.call import CallInfo
from bridge.errors import SettingsError
from bridge.events import CallInitiated
from bridge.recorder import RecordingWriter
from bridge.settings import Settings
from bridge.storage import make_storage
from telnyx_media.sync.stt import SpeechToText
from telnyx_media.sync.tts import TextToSpeech

__all__ = ["call_info", "recordings", "speech_to_text", "text_to_speech"]

# Of 0.3 to 0.9: how sure flux is to be when it says that a turn may be over (Telnyx: eager_eot_
# threshold parameter).  Half-sure is early enough to save time, and is taken back now and then.
EAGER = 0.5

# Hertz asked for with plain samples, which say nothing of their own: what Telnyx's own clients ask
# for.
PLAIN_RATE = 16000


def call_info(payload: CallInitiated) -> CallInfo:
    """Get the facts of a leg from its ``call.initiated``."""
    headers = {header.name: header.value for header in payload.custom_headers}
    headers.update((header.name, header.value) for header in payload.sip_headers)
    key = payload.call_leg_id or payload.call_control_id
    return CallInfo(
        call_control_id=payload.call_control_id,
        call_leg_id=payload.call_leg_id,
        call_session_id=payload.call_session_id,
        connection_id=payload.connection_id,
        direction="inbound",
        from_number=payload.from_number,
        to_number=payload.to_number,
        headers=headers,
        client_state=payload.client_state,
        tag=hashlib.sha256(key.encode()).hexdigest()[:6],
    )


def _api_key(settings: Settings) -> str:
    if settings.telnyx_api_key is None:
        raise SettingsError("TELNYX_API_KEY is not set")
    return settings.telnyx_api_key.get_secret_value()


def recordings(settings: Settings) -> RecordingWriter | None:
    """Make what writes recordings, if there is a place for them."""
    if settings.recordings is None:
        return None
    return RecordingWriter(make_storage(settings.recordings, settings.home))


def speech_to_text(settings: Settings, language: str | None = None) -> SpeechToText:
    """Make what opens transcription sessions; raises ConfigurationError."""
    engine, *fallbacks = settings.stt_engines
    return SpeechToText(
        engine=engine,
        model=settings.stt_model,
        language=language or settings.language,
        api_key=_api_key(settings),
        base_url=settings.telnyx_stt_url,
        fallbacks=fallbacks,
        eager_eot_threshold=EAGER if settings.eager_turns and _is_flux(settings) else None,
    )


def _is_flux(settings: Settings) -> bool:
    return "flux" in (settings.stt_model or "").lower()


def text_to_speech(settings: Settings, wanted: str | None = None) -> TextToSpeech:
    """Make what opens synthesis sessions; raises ConfigurationError."""
    voice, *fallbacks = (wanted, *settings.tts_voices) if wanted else settings.tts_voices
    plain = voice.startswith(settings.tts_plain or ())
    return TextToSpeech(
        voice=voice,
        audio_format="linear16" if plain else None,
        sample_rate=PLAIN_RATE if plain else None,
        api_key=_api_key(settings),
        base_url=settings.telnyx_tts_url,
        fallbacks=fallbacks,
    )
