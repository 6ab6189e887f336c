"""Telnyx's speech over plain HTTP, on loopback: ``POST /v2/text-to-speech/speech``.

The audio comes as chunked bytes while it is made, as base64 at the end, or later under an address
of its own (Telnyx: text-to-speech rest-api pages; generate-speech reference).  OpenAI's shape is
served below ``/v2/audio/speech``.  The voice is that of the synthesis socket.

Threads: a request runs on its connection's thread and synthesises there.

Rules of this module:

1. A text is kept only until its audio is fetched, and no more than :data:`KEPT` of them.
2. A format that the provider does not have is an error here, where the socket sends MP3 instead.
"""

from __future__ import annotations

import base64
import logging
import re
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.simulator.api import ApiRoute, route
from bridge.simulator.apierrors import ApiError
from bridge.simulator.audiooutput import encode_file
from bridge.simulator.fields import Fields
from bridge.simulator.server import HttpRequest, HttpResponse, Sink
from bridge.simulator.synthesis import SynthesisService, speakable
from bridge.simulator.voicequery import MP3_RATES, Model, find_model

logger = logging.getLogger(__name__)

# The reference has the first path; the request page prints the second.
PATHS = ("/text-to-speech/speech", "/text-to-speech")
OPENAI_PATH = "/audio/speech"

# Texts that wait to be fetched.
KEPT = 100

DEFAULT_VOICES = {"telnyx": "Telnyx.NaturalHD.astra"}
_OPENAI_MODELS = {"tts-1-hd": "NaturalHD", "tts-1": "Natural"}

_FORMATS = ("mp3", "wav", "linear16", "pcm", "mulaw", "alaw", "ogg_vorbis")
# What each provider makes, where that is not MP3 and linear16 (Telnyx: audio-formats page).
_MADE: Mapping[str, tuple[str, ...]] = {
    "azure": ("mp3", "wav", "linear16", "mulaw", "alaw"),
    "elevenlabs": ("mp3", "linear16", "mulaw"),
    "resemble": ("mp3", "wav"),
}
_FORMAT_NAMES = ("response_format", "output_format", "audio_format", "format")
_RATE_NAMES = ("sampling_rate", "sample_rate")
_SPEED_NAMES = ("voice_speed", "speed")
_TYPES = {
    "mp3": "audio/mpeg", "wav": "audio/wav", "linear16": "audio/pcm", "mulaw": "audio/basic",
    "alaw": "audio/x-alaw-basic",
}  # fmt: skip


@dataclass(frozen=True)
class Order:
    """A text and how it is to be spoken.

    Attributes:
        text: never blank.
        audio_format: ``mp3``, ``linear16`` …
        sample_rate: hertz.
        speed: 1 is the usual pace.
    """

    text: str
    audio_format: str
    sample_rate: int
    speed: float


class FileSpeech:
    """The routes.

    Attributes:
        requests: how many texts were spoken.
        characters: length of them.
    """

    def __init__(self, service: SynthesisService, address: Callable[[], str]) -> None:
        """Make them.

        Args:
            service: has the voice.
            address: gets the base of the REST API.
        """
        self.requests = 0
        self.characters = 0
        self._service = service
        self._address = address
        # Guards what is kept.
        self._lock = threading.Lock()
        self._orders: OrderedDict[str, Order] = OrderedDict()

    def routes(self) -> list[ApiRoute]:
        """Get the routes, below ``/v2``."""
        return [
            *(route("POST", path, self.speak) for path in PATHS),
            route("GET", f"{PATHS[0]}/:id", self.fetch),
            route("POST", OPENAI_PATH, self.speak_as_openai),
        ]

    def speak(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        """Answer with the audio of a text, or with where it will be.

        Raises:
            ApiError: the request is refused.
        """
        fields = Fields(request.json())
        order = self._read(fields)
        kind = fields.choice(
            "output_type", ("binary_output", "base64_output", "audio_id"), "binary_output"
        )
        if kind == "audio_id":
            audio_id = str(uuid.uuid4())
            with self._lock:
                self._orders[audio_id] = order
                while len(self._orders) > KEPT:
                    self._orders.popitem(last=False)
            # One page names the one field, another the other.
            url = f"{self._address()}{PATHS[0]}/{audio_id}"
            return HttpResponse.of_json({"audio_id": audio_id, "audio_url": url})
        if kind == "base64_output":
            audio = b"".join(self._make(order))
            return HttpResponse.of_json({"base64_audio": base64.b64encode(audio).decode()})
        return self._streamed(order)

    def fetch(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        """Answer with audio that was ordered before.

        Raises:
            ApiError: there is none of that id.
        """
        with self._lock:
            order = self._orders.get(variables["id"])
        if order is None:
            raise ApiError("10005", "The requested resource or URL could not be found.")
        return self._streamed(order)

    def speak_as_openai(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        """Answer OpenAI's clients, whose fields have other names.

        Raises:
            ApiError: the request is refused.
        """
        fields = Fields(request.json())
        text, voice = str(fields.require("input")), str(fields.require("voice"))
        model = str(fields.require("model"))
        if "." not in voice:
            voice = f"Telnyx.{_OPENAI_MODELS.get(model, model)}.{voice}"
        settings = {
            "response_format": fields.text("response_format", "mp3"),
            "voice_speed": fields.number("speed", 0.25, 4.0, 1.0),
        }
        body = {"text": text, "voice": voice, "voice_settings": settings}
        return self._streamed(self._read(Fields(body)))

    # What is asked.

    def _read(self, fields: Fields) -> Order:
        fields.require("text")
        text = fields.text("text")
        if fields.choice("text_type", ("text", "ssml"), "text") == "ssml":
            text = re.sub(r"<[^>]*>", " ", text)
        text = speakable(text)
        if not text:
            raise ApiError("10015", "The 'text' parameter has nothing to speak.", pointer="/text")
        settings = fields.body.get("voice_settings") or {}
        if not isinstance(settings, dict):
            raise ApiError(
                "10015", "The 'voice_settings' parameter must be an object.",
                pointer="/voice_settings",
            )  # fmt: skip
        provider = fields.text("provider").lower()
        own = fields.body.get(provider) if provider else None
        if isinstance(own, dict):
            settings = {**own, **settings}
        voice = _voice(fields, settings, provider)
        model = find_model(voice)
        if model is None or voice in self._service.refused_voices:
            raise ApiError(
                "10015", "The 'voice' parameter does not exist.", pointer="/voice", status=400
            )
        audio_format = _format(settings, voice)
        rate = _rate(settings, model, audio_format)
        speed = next((settings[name] for name in _SPEED_NAMES if name in settings), 1.0)
        if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not 0.1 <= speed <= 4:
            raise ApiError("10033", "The speed must be from 0.1 to 4.", pointer="/voice_settings")
        return Order(text, audio_format, rate, float(speed))

    # What goes back.

    def _make(self, order: Order) -> Iterator[bytes]:
        self.requests += 1
        self.characters += len(order.text)
        speaker = self._service.make_speaker()
        sentences = speaker.speak(order.text, order.speed)
        return encode_file(order.audio_format, sentences, speaker.sample_rate, order.sample_rate)

    def _streamed(self, order: Order) -> HttpResponse:
        # Made before the head leaves, so that a voice that cannot be had is an error and no cut.
        pieces = self._make(order)

        def send(sink: Sink) -> bool:
            for piece in pieces:
                sink.send(piece)
            return True

        return HttpResponse(content_type=_TYPES[order.audio_format], stream=send)


def _voice(fields: Fields, settings: Mapping[str, Any], provider: str) -> str:
    voice = fields.text("voice")
    if voice:
        return voice
    if not provider:
        raise ApiError(
            "10004", "One of 'voice' and 'provider' is required.", pointer="/voice", status=400
        )
    names = [fields.text(name) or settings.get(name) for name in ("model_id", "voice_id")]
    if names[-1]:
        return ".".join(str(name) for name in (provider, *names) if name)
    if provider not in DEFAULT_VOICES:
        raise ApiError("10004", "The 'voice_id' parameter is required.", pointer="/voice_id")
    return DEFAULT_VOICES[provider]


def _format(settings: Mapping[str, Any], voice: str) -> str:
    asked = next((settings[name] for name in _FORMAT_NAMES if settings.get(name)), "mp3")
    if asked not in _FORMATS:
        raise ApiError(
            "10032",
            f"The audio format must be one of: {', '.join(_FORMATS)}.",
            pointer="/voice_settings",
        )
    # An alias, kept for older clients; the socket does not know it.
    name = "linear16" if asked == "pcm" else str(asked)
    made = _MADE.get(voice.partition(".")[0].lower(), ("mp3", "linear16"))
    if name not in made:
        raise ApiError(
            "10032",
            f"The audio format must be one of: {', '.join(made)} for this voice.",
            pointer="/voice_settings",
        )
    return name


def _rate(settings: Mapping[str, Any], model: Model, audio_format: str) -> int:
    asked = next((settings[name] for name in _RATE_NAMES if settings.get(name)), None)
    if asked is None:
        if audio_format in ("mulaw", "alaw"):
            return 8000
        return (model.mp3_rate if audio_format == "mp3" else 0) or model.rate
    low, high = model.rates
    text = str(asked)
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ApiError(
            "10033",
            f"The sample rate must be from {low} to {high} for this voice.",
            pointer="/voice_settings",
        )
    if audio_format == "mp3" and int(text) not in MP3_RATES:
        return model.mp3_rate or model.rate
    return int(text)
