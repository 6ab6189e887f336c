"""Which voices Telnyx's synthesis socket takes and what each delivers: the query of the TTS socket.

Telnyx: text-to-speech pages (websocket streaming, configuration, audio formats), and what clients
have measured.  A format or a rate that a voice does not obey is not an error: MP3 comes back.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.simulator.socket import Handshake, Refusal, errors_text

FORMATS = frozenset({"mp3", "linear16", "wav", "mulaw", "alaw", "ogg_vorbis", "pcm"})
"""What ``audio_format`` may say.  ``pcm`` is taken and then nothing is ever sent."""

INACTIVITY_TIMEOUT = 20.0

MP3_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000})
"""What MP3 can be made at; it has the voice's own rate if another is asked for."""


@dataclass(frozen=True)
class Model:
    """How the voices of one provider, or of one of its models, deliver.

    Attributes:
        formats: what is obeyed beside ``mp3``.
        rates: limits of ``sample_rate``, hertz.
        rate: hertz when nothing is asked.
        mp3_rate: hertz of MP3 when nothing is asked; 0 is ``rate``.
        streams: audio comes in frames of its own; otherwise in the frame that carries the text.
        cut: MP3 is cut into messages of this many bytes, wherever that is; 0 is at its frames.
        default: the format when nothing is asked.
        refused: the handshake is answered with 403.
    """

    formats: frozenset[str] = frozenset({"linear16"})
    rates: tuple[int, int] = (8000, 48000)
    rate: int = 24000
    mp3_rate: int = 0
    streams: bool = True
    cut: int = 0
    default: str = "mp3"
    refused: bool = False


_NATURAL = Model(rates=(8000, 96000))
_NONE: frozenset[str] = frozenset()

_TELNYX: Mapping[str, Model] = {
    "naturalhd": _NATURAL,
    "natural": _NATURAL,
    "kokorotts": Model(_NONE, rates=(24000, 24000), mp3_rate=22050),
    "qwen3tts": Model(rates=(24000, 24000)),
    "sukhan": Model(rates=(22050, 22050), rate=22050),
    "bayan": Model(),
    # Described as not served on the public socket.
    "ultra": Model(refused=True),
}

_PROVIDERS: Mapping[str, Model] = {
    "aws": Model(frozenset({"linear16", "ogg_vorbis"}), rate=16000, mp3_rate=24000, streams=False),
    "azure": Model(frozenset({"linear16", "wav", "mulaw", "alaw"}), streams=False),
    "elevenlabs": Model(frozenset({"linear16", "mulaw"})),
    "minimax": Model(rates=(8000, 44100), cut=1000),
    "resemble": Model(frozenset({"wav"})),
    "inworld": Model(),
    "rime": Model(),
    "murfai": Model(),
    "humain": Model(),
    "soniox": Model(),
    "xai": Model(),
    "fishaudio": Model(default="linear16"),
}


@dataclass(frozen=True)
class SpeechRequest:
    """A query that holds.

    Attributes:
        voice: as it was asked for, ``Provider.Model.VoiceId``.
        model: how it delivers.
        audio_format: what will come; ``pcm`` is nothing.
        sample_rate: hertz of what will come.
        inactivity_timeout: seconds without a message after which the socket closes.
    """

    voice: str
    model: Model = field(default=_NATURAL)
    audio_format: str = "mp3"
    sample_rate: int = 24000
    inactivity_timeout: float = INACTIVITY_TIMEOUT


def check_query(handshake: Handshake, refused_voices: frozenset[str]) -> Refusal | None:
    """Get the answer that refuses the handshake, 400 or 403, or ``None``.

    Args:
        handshake: the request.
        refused_voices: further voices that do not exist.
    """
    voice = _voice(handshake)
    if not voice:
        return _bad("voice", "is missing")
    model = find_model(voice)
    if model is None or voice in refused_voices:
        return _bad("voice", "does not exist")
    if model.refused:
        return Refusal.of(403, "10010", "Authorization failed", "voice not allowed here")
    if handshake.get("audio_format", "mp3") not in FORMATS:
        return _bad("audio_format", "is unknown")
    rate = handshake.get("sample_rate")
    if "sample_rate" in handshake.query:
        low, high = model.rates
        if not rate.isdecimal() or not low <= int(rate) <= high:
            return _bad("sample_rate", f"must be from {low} to {high} for this voice")
    if handshake.get("text_type", "text") not in ("text", "ssml"):
        return _bad("text_type", "must be text or ssml")
    if not re.fullmatch(r"\d+(\.\d+)?", handshake.get("inactivity_timeout", "20")):
        return _bad("inactivity_timeout", "must be seconds")
    return None


def read_request(handshake: Handshake) -> SpeechRequest:
    """Read a query that :func:`check_query` let through."""
    voice = _voice(handshake)
    model = find_model(voice) or _NATURAL
    asked = handshake.get("audio_format") or model.default
    audio = asked if asked in ("pcm", model.default) or asked in model.formats else "mp3"
    if audio == "ogg_vorbis":
        # Nobody here can decode it, so nobody here asks for it.
        audio = "mp3"
    rate = int(handshake.get("sample_rate") or 0)
    if audio == "mp3":
        # A voice that does not obey the format does not obey the rate either.
        obeyed = rate in MP3_RATES and asked == "mp3"
        rate = rate if obeyed else model.mp3_rate or model.rate
    return SpeechRequest(
        voice=voice,
        model=model,
        audio_format=audio,
        sample_rate=rate or model.rate,
        inactivity_timeout=float(handshake.get("inactivity_timeout") or INACTIVITY_TIMEOUT),
    )


def _voice(handshake: Handshake) -> str:
    """Get the voice's name; ``voice`` wins over the three parameters it is made of."""
    voice = handshake.get("voice")
    if voice:
        return voice
    if not handshake.get("voice_id"):
        return ""
    parts = [handshake.get("provider") or "telnyx", handshake.get("model_id")]
    return ".".join(part for part in [*parts, handshake.get("voice_id")] if part)


def find_model(voice: str) -> Model | None:
    """Get how a voice delivers; ``None`` if there is none of that name."""
    provider, _, rest = voice.partition(".")
    if not rest:
        return None
    if provider.lower() != "telnyx":
        return _PROVIDERS.get(provider.lower())
    model, _, name = rest.partition(".")
    return _TELNYX.get(model.lower()) if name else None


def _bad(parameter: str, problem: str) -> Refusal:
    body = errors_text("10015", "Invalid value", f"{parameter} {problem}", parameter)
    return Refusal(400, body)
