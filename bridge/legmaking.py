"""What a new leg is made of: its facts, from its first event, its services, from the settings.

Nothing is opened, and no leg is started.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from bridge.call import Agent, CallInfo
from bridge.callcontrol import CallControl
from bridge.decisions import Detector
from bridge.errors import SettingsError
from bridge.events import CallInitiated
from bridge.inheritance import Inheritance
from bridge.legline import Services
from bridge.observer import CallObserver
from bridge.overflow import Overflow
from bridge.ownership import Ownership
from bridge.pacer import Pacer
from bridge.recorder import RecordingWriter
from bridge.registry import Registry
from bridge.settings import Settings
from bridge.storage import make_storage
from bridge.worker import CallWorker, Dial, Screen
from telnyx_media.sync.stt import SpeechToText
from telnyx_media.sync.tts import TextToSpeech
from telnyx_media.vad import VoiceDetector

__all__ = ["LegMaker", "call_info", "recordings", "speech_to_text", "text_to_speech"]

# Of 0.3 to 0.9: how sure flux is to be when it says that a turn may be over (Telnyx: eager_eot_
# threshold parameter).  Half-sure is early enough to save time, and is taken back now and then.
EAGER = 0.5

# Hertz asked for with plain samples, which say nothing of their own: what Telnyx's own clients ask
# for.
PLAIN_RATE = 16000


class LegMaker:
    """Makes the workers of a process's legs, which have all but their own facts in common.

    Attributes:
        agent: the process's own, for legs that have no other.
        stt: opens the transcription sessions.
        tts: opens the synthesis sessions.
        recordings: writes the recordings, if there are to be any.
    """

    def __init__(
        self,
        settings: Settings,
        control: CallControl,
        *,
        registry: Registry,
        pacer: Pacer,
        agent: Agent,
        observers: Sequence[CallObserver],
        screen: Screen | None,
        detector: Detector | None,
        make_detector: Callable[[int], VoiceDetector],
        overflow: Overflow,
        ownership: Ownership,
        dial: Dial,
        on_gone: Callable[[CallWorker], None],
    ) -> None:
        """Prepare.

        Args:
            settings: the bridge's settings.
            control: sends the commands.
            registry: has the tokens of media streams.
            pacer: sends the audio.
            agent: called once per call.
            observers: told what happens on every call.
            screen: asked whether a call is to be answered, if anybody.
            detector: judges whether a caller's turn is over, if anything does.
            make_detector: makes a voice detector for audio of a rate.
            overflow: has Telnyx say goodbye to a call that nobody takes over.
            ownership: knows whose a leg is.
            dial: makes a further leg.
            on_gone: told when everything of a leg has ended.

        Raises:
            ConfigurationError: an option of the speech services is wrong.
        """
        self._settings = settings
        self._control = control
        self._registry = registry
        self._pacer = pacer
        self.agent = agent
        self._observers = observers
        self._screen = screen
        self._detector = detector
        self._make_detector = make_detector
        self._overflow = overflow
        self._ownership = ownership
        self._dial = dial
        self._on_gone = on_gone
        self.stt = speech_to_text(settings)
        self.tts = text_to_speech(settings)
        self.recordings = recordings(settings)

    def make(
        self,
        info: CallInfo,
        inheritance: Inheritance | None = None,
        *,
        streaming: bool = True,
        agent: Agent | None = None,
        ring_timeout: float = 30.0,
    ) -> CallWorker:
        """Make the worker of a leg.

        Args:
            info: the leg's facts.
            inheritance: the leg as another process left it, if one held it before.
            streaming: whether the media stream of such a leg is on its way here already.
            agent: the leg's, if not the process's own.
            ring_timeout: seconds that a leg of ours may ring.
        """
        key = info.call_control_id
        return CallWorker(
            info,
            settings=self._settings,
            control=self._control,
            pacer=self._pacer,
            agent=agent or self.agent,
            stt=self.stt,
            tts=self.tts,
            stream_url=lambda: self._stream_url(key),
            on_ended=self._ownership.leave,
            on_gone=self._on_gone,
            observers=self._observers,
            recordings=self.recordings,
            inheritance=inheritance,
            streaming=streaming,
            on_departed=self._ownership.departed,
            in_touch=self._ownership.in_touch,
            part=lambda: self._part(key),
            holds=lambda: self._ownership.holds(key),
            services=self._services(),
            dial=self._dial,
            screen=self._screen,
            detector=self._detector,
            make_detector=self._make_detector,
            ring_timeout=ring_timeout,
        )

    def _stream_url(self, key: str) -> str:
        """Make an address with a fresh token for a leg's media stream."""
        token = self._registry.mint(key)
        scheme, _, rest = (self._settings.public_url or "").partition("://")
        return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/telnyx/media/{token}"

    def _part(self, key: str) -> bool:
        """Have Telnyx say goodbye to a call; whether it ends by that, whatever becomes of us."""
        line = self._settings.drain_line
        return line != "off" and self._overflow.part(key, line)

    def _services(self) -> Services:
        settings = self._settings
        return Services(
            settings.language,
            settings.tts_voice,
            lambda language: speech_to_text(settings, language),
            lambda voice: text_to_speech(settings, voice),
        )


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
