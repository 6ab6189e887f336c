"""The wire of streaming speech synthesis: the address, the text messages, the replies.

A socket is configured by its query and by ``voice_settings`` in a mandatory first message; text
follows, each message with ``flush`` so that nothing waits for a sentence end that never comes; an
empty text ends the speech (Telnyx: text-to-speech websocket pages).

Pure: no socket, no clock.

Rules of this module:

1. Options are checked before anything connects; the message names the parameter.
2. A reply that means nothing is ``None``, never an exception.
3. Some providers send the same audio twice, once more in the frame that carries the text.
   :class:`AudioFilter` lets it through once.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from telnyx_media.errors import ConfigurationError
from telnyx_media.options import check_text, query_items
from telnyx_media.transcripts import ServerError, read_error
from telnyx_media.urls import with_query

SPEECH_URL = "wss://api.telnyx.com/v2/text-to-speech/speech"
"""Telnyx's address for streaming synthesis."""

DEFAULT_VOICE = "Telnyx.NaturalHD.astra"

AUDIO_FORMATS = frozenset({"mp3", "linear16", "wav", "mulaw", "alaw"})
"""What can be asked for and decoded here; ``pcm`` is refused by the socket without a word."""

TEXT_TYPES = frozenset({"text", "ssml"})


@dataclass(frozen=True)
class TtsOptions:
    """Everything that can be asked of one synthesis socket, checked when made.

    Attributes:
        voice: ``Provider.Model.VoiceId`` or ``Provider.VoiceId``; wins over the three below.
        provider: instead of ``voice``, together with ``model_id`` and ``voice_id``.
        model_id: the provider's model.
        voice_id: the provider's voice.
        audio_format: ``None`` for the voice's own (mp3 as a rule), else ``"linear16"``,
            ``"mulaw"`` … Not every voice obeys; what arrives is sniffed whatever was asked.
        sample_rate: to ask for, in Hz; ``None`` for the voice's own.
        voice_settings: speed, pitch and the like, as the provider names them.
        language: for voices that speak several.
        text_type: ``"text"`` or ``"ssml"``.
        disable_cache: whether Telnyx must synthesise afresh.
        pronunciation_dict_id: a pronunciation dictionary of the account.
        inactivity_timeout: seconds after which Telnyx closes an idle socket.
        extra: further query parameters, passed through as they are; one that has the name of a
            parameter above takes its place.
        strict: whether a format this version does not know is an error.
    """

    voice: str | None = DEFAULT_VOICE
    provider: str | None = None
    model_id: str | None = None
    voice_id: str | None = None
    audio_format: str | None = None
    sample_rate: int | None = None
    voice_settings: Mapping[str, object] = field(default_factory=dict)
    language: str | None = None
    text_type: str | None = None
    disable_cache: bool | None = None
    pronunciation_dict_id: str | None = None
    inactivity_timeout: int | None = None
    extra: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    strict: bool = True

    def __post_init__(self) -> None:
        for name in ("voice", "provider", "model_id", "voice_id", "language"):
            check_text(name, getattr(self, name))
        check_text("pronunciation_dict_id", self.pronunciation_dict_id)
        if self.disable_cache is not None and not isinstance(self.disable_cache, bool):
            raise ConfigurationError(
                f"disable_cache: True or False is allowed, not {self.disable_cache!r}"
            )
        if self.voice is None and not self.provider and not self.voice_id:
            raise ConfigurationError("voice: a voice, or provider and voice_id, is needed")
        if self.strict and self.audio_format is not None and self.audio_format not in AUDIO_FORMATS:
            raise ConfigurationError(
                f"audio_format: {self.audio_format!r} is not one of "
                f"{', '.join(sorted(AUDIO_FORMATS))}"
            )
        for name in ("sample_rate", "inactivity_timeout"):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int) or value <= 0
            ):
                raise ConfigurationError(f"{name}: a positive number is needed, not {value!r}")
        if self.strict and self.text_type is not None and self.text_type not in TEXT_TYPES:
            raise ConfigurationError(f"text_type: {self.text_type!r} is not text or ssml")
        try:
            json.dumps(dict(self.voice_settings))
        except (TypeError, ValueError):
            raise ConfigurationError("voice_settings: only JSON values are allowed") from None

    @property
    def name(self) -> str:
        """The voice, for messages."""
        return self.voice or ".".join(
            part for part in (self.provider, self.model_id, self.voice_id) if part
        )


def speech_url(base_url: str, options: TtsOptions) -> str:
    """Build the address of one synthesis socket; a query in ``base_url`` is kept.

    Raises:
        ConfigurationError: ``base_url`` is no absolute address.
    """
    query: list[tuple[str, str]] = []

    def add(name: str, value: object) -> None:
        if value is None:
            return
        if isinstance(value, bool):
            value = "true" if value else "false"
        query.append((name, str(value)))

    add("voice", options.voice)
    for name in (
        "provider",
        "model_id",
        "voice_id",
        "audio_format",
        "sample_rate",
        "language",
        "text_type",
        "disable_cache",
        "pronunciation_dict_id",
        "inactivity_timeout",
    ):
        add(name, getattr(options, name))
    query = [item for item in query if item[0] not in options.extra]
    return with_query(base_url, query + query_items("extra", options.extra))


def first_frame(options: TtsOptions) -> str:
    """Build the mandatory first message: a single space, with the voice settings."""
    frame: dict[str, object] = {"text": " "}
    if options.voice_settings:
        frame["voice_settings"] = dict(options.voice_settings)
    return json.dumps(frame)


def text_frame(text: str, *, flush: bool = True) -> str:
    """Build a message with text to speak; with ``flush`` it is spoken now."""
    # The end of the speech is spelt as an empty text, so a blank one must never be sent.
    frame: dict[str, object] = {"text": text}
    if flush:
        frame["flush"] = True
    return json.dumps(frame)


def end_frame() -> str:
    """Build the message that ends the speech: the rest is spoken, then the socket closes."""
    return '{"text":""}'


def force_frame() -> str:
    """Build the message that drops the current work (barge-in on a socket that goes on)."""
    return '{"force":true}'


class Reply(msgspec.Struct, frozen=True):
    """One message of the synthesis socket.

    Attributes:
        audio: decoded from base64, or ``None``.
        text: the text this frame belongs to, or ``None`` in frames that carry audio only.
        is_final: the end of a text or of the speech; Telnyx's pages disagree which.
        error: set when the service refused or failed.
        cached: whether the service had this speech in store.
    """

    audio: bytes | None = None
    text: str | None = None
    is_final: bool = False
    error: ServerError | None = None
    cached: bool = False


def parse_reply(data: str | bytes) -> Reply | None:
    """Read one message of the socket; ``None`` if it means nothing.

    Args:
        data: the text of a frame. Binary frames carry nothing here.
    """
    if isinstance(data, bytes):
        return None
    try:
        item: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if not isinstance(item, dict):
        return None
    error = item.get("error") or item.get("errors")
    if isinstance(error, list):
        error = error[0]
    if error or item.get("type") == "error":
        return Reply(error=read_error(error or item))
    audio = item.get("audio")
    payload: bytes | None = None
    if isinstance(audio, str) and audio:
        try:
            payload = base64.b64decode(audio, validate=True)
        except (binascii.Error, ValueError):
            return None
    elif audio not in (None, ""):
        return None
    text = item.get("text")
    final = item.get("isFinal") is True or item.get("is_final") is True
    if item.get("type") == "final":
        final = True
    if payload is None and not final and not isinstance(text, str):
        return None
    return Reply(
        audio=payload or None,
        text=text if isinstance(text, str) else None,
        is_final=final,
        cached=item.get("cached") is True,
    )


class AudioFilter:
    """Let each piece of audio of one socket through once.

    Streaming providers send audio in frames whose text is null; where they fill the text-bearing
    frame too, that audio is a copy.  Others (AWS, Azure) send audio in text-bearing frames only.
    """

    def __init__(self) -> None:
        """Begin with nothing known of the provider."""
        self._streams = False

    def take(self, reply: Reply) -> bytes:
        """Get the audio to play of ``reply``; empty if there is none or it is a copy."""
        if reply.audio is None:
            return b""
        if not reply.text:
            self._streams = True
            return reply.audio
        return b"" if self._streams else reply.audio
