"""Transcribe and speak over plain HTTP: whole files, nothing live.

For what has no hurry, and for when a WebSocket cannot be had (Telnyx: transcribe-speech-to-text
and rest-api pages).

Blocks; every wait has an end.  One object may be used by several threads.  What may pass when tried
again is, and no error holds the API key: see :mod:`telnyx_media.sync.restclient`.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec

from telnyx_media.errors import ConfigurationError, ProtocolError
from telnyx_media.sync.restclient import RestClient, content_of, pieces_of
from telnyx_media.synthesis import DEFAULT_VOICE
from telnyx_media.urls import without_query

API_URL = "https://api.telnyx.com/v2"
"""Telnyx's REST address."""

DEFAULT_MODEL = "openai/whisper-large-v3-turbo"
"""The transcription model that all of Telnyx's lists name."""

LARGEST_FILE = 100_000_000
"""What the service takes, in bytes."""

# Seconds to connect, and without a byte of the answer: a transcription answers when it is done.
TIMEOUT = (10.0, 300.0)

SPEECH_PATH = "/text-to-speech/speech"

# Synthesis is cut by the service after 30 s without a chunk.
SPEECH_TIMEOUT = (10.0, 40.0)

# What a provider calls the format of its audio, and its rate; Telnyx's own names where it is not
# named (Telnyx: generate-speech reference).
FORMAT_FIELDS = {
    "aws": "output_format",
    "azure": "output_format",
    "xai": "output_format",
    "resemble": "format",
    "soniox": "audio_format",
}
RATE_FIELDS = {
    "aws": "sample_rate",
    "resemble": "sample_rate",
    "soniox": "sample_rate",
    "xai": "sample_rate",
}


class Segment(msgspec.Struct, frozen=True):
    """A stretch of a transcribed file.

    Attributes:
        text: what was said.
        start: seconds from the beginning.
        end: seconds from the beginning.
    """

    text: str
    start: float = 0.0
    end: float = 0.0


class FileTranscript(msgspec.Struct, frozen=True):
    """What was said in a file.

    Attributes:
        text: all of it.
        duration: of the file in seconds, or ``None`` where the model does not tell.
        segments: with their times, where the model tells.
    """

    text: str
    duration: float | None = None
    segments: tuple[Segment, ...] = ()


class SpeechRest:
    """Telnyx's speech services over HTTP."""

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str = API_URL,
        retries: int = 3,
        backoff: float = 0.5,
        timeout: tuple[float, float] | None = None,
    ) -> None:
        """Prepare; nothing is opened.

        Args:
            api_key: of Telnyx; the environment's ``TELNYX_API_KEY`` when ``None``.
            base_url: of the REST API.
            retries: how often a request is tried again.
            backoff: seconds before the first of them, doubled each time.
            timeout: seconds to connect and without a byte; fitting defaults when ``None``.

        Raises:
            ConfigurationError: there is no key.
        """
        self._http = RestClient(api_key, base_url, retries, backoff)
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<SpeechRest {without_query(self._http.base_url)}>"

    def close(self) -> None:
        """Close the connections; may be called twice."""
        self._http.close()

    def __enter__(self) -> SpeechRest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- speech to text --------------------------------------------------------------------------

    def transcribe(
        self,
        audio: str | os.PathLike[str] | bytes | BinaryIO | None = None,
        *,
        url: str | None = None,
        filename: str = "audio.wav",
        model: str = DEFAULT_MODEL,
        language: str | None = None,
        segments: bool = False,
        model_config: Mapping[str, object] | None = None,
    ) -> FileTranscript:
        """Transcribe a whole file; blocks until the service has.

        Args:
            audio: a path, the bytes of a file, or a file open for reading.
            url: of a public file, instead of ``audio``.
            filename: what ``audio`` is called where it is no path; the ending tells the format.
            model: of the service; Deepgram's take MP3 and WAV only.
            language: of the speaker, a hint.
            segments: whether times are wanted (``deepgram/nova-3`` has them).
            model_config: options of Deepgram.

        Raises:
            ConfigurationError: not exactly one of ``audio`` and ``url`` is given, or the file is
                larger than the service takes.
            OSError: the file cannot be read.
            ServiceError: the service refused.
            ConnectionLost: it could not be reached, or took too long.
        """
        if (audio is None) == (url is None):
            raise ConfigurationError("audio: exactly one of audio and url is needed")
        fields: dict[str, str] = {"model": model}
        if language:
            fields["language"] = language
        fields["response_format"] = "verbose_json" if segments else "json"
        if segments:
            fields["timestamp_granularities[]"] = "segment"
        if model_config:
            fields["model_config"] = json.dumps(dict(model_config))
        files: dict[str, tuple[str | None, bytes | str]] = {}
        if url is not None:
            fields["file_url"] = url
        else:
            assert audio is not None
            name, data = _read(audio, filename)
            files["file"] = (name, data)
        # Without a file the fields still have to be multipart.
        parts: Any = files or {name: (None, value) for name, value in fields.items()}
        with self._http.request(
            "POST",
            "/ai/audio/transcriptions",
            timeout=self._timeout or TIMEOUT,
            data=fields if files else None,
            files=parts,
        ) as response:
            return _read_transcript(content_of(response))

    # -- text to speech --------------------------------------------------------------------------

    def speak(
        self,
        text: str,
        *,
        voice: str = DEFAULT_VOICE,
        output_format: str | None = None,
        sample_rate: int | None = None,
        language: str | None = None,
        voice_settings: Mapping[str, object] | None = None,
        text_type: str | None = None,
        disable_cache: bool | None = None,
    ) -> Iterator[bytes]:
        """Synthesise ``text`` and iterate over the audio as it arrives, MP3 unless asked otherwise.

        Closing the generator closes the connection.

        Args:
            text: to speak.
            voice: ``Provider.Model.VoiceId``.
            output_format: ``"mp3"``, ``"wav"``, ``"linear16"`` … as the provider knows it.
            sample_rate: in Hz, for formats and providers that have a choice.
            language: for voices that speak several.
            voice_settings: speed, pitch and the like, by the provider's names; the two above go in
                there too, unless it has them.
            text_type: ``"text"`` or ``"ssml"``.
            disable_cache: whether Telnyx must synthesise afresh.

        Raises:
            ServiceError: the service refused.
            ConnectionLost: it could not be reached, or the audio broke off.
            ProtocolError: it answered without any audio.
        """
        body = _speech_body(
            "binary_output",
            text=text,
            voice=voice,
            voice_settings=_settings(voice, output_format, sample_rate, voice_settings),
            language=language,
            text_type=text_type,
            disable_cache=disable_cache,
        )
        return self._stream("POST", SPEECH_PATH, json=body)

    def speak_whole(self, text: str, **options: Any) -> bytes:
        """Synthesise ``text`` and get the audio when all of it is there (``base64_output``).

        Args:
            text: to speak.
            **options: those of :meth:`speak`.

        Raises:
            TelnyxMediaError: as for :meth:`speak`.
        """
        answer = self._ask("base64_output", text, options)
        audio = _audio_in(answer)
        if not audio:
            raise ProtocolError("the service answered without any audio")
        return audio

    def start_speech(self, text: str, **options: Any) -> str:
        """Have ``text`` synthesised in the background; returns at once (``audio_id``).

        Args:
            text: to speak.
            **options: those of :meth:`speak`.

        Returns:
            What :meth:`fetch_speech` takes.

        Raises:
            TelnyxMediaError: as for :meth:`speak`.
        """
        audio_id = _audio_id_in(self._ask("audio_id", text, options))
        if not audio_id:
            raise ProtocolError("the service answered without the id of any audio")
        return audio_id

    def fetch_speech(self, audio_id: str) -> Iterator[bytes]:
        """Iterate over audio that :meth:`start_speech` began, as it is made."""
        return self._stream("GET", f"{SPEECH_PATH}/{quote(audio_id, safe='')}")

    # -- helpers ---------------------------------------------------------------------------------

    def _ask(self, output_type: str, text: str, options: dict[str, Any]) -> dict[str, Any]:
        voice = options.pop("voice", DEFAULT_VOICE)
        settings = _settings(
            voice,
            options.pop("output_format", None),
            options.pop("sample_rate", None),
            options.pop("voice_settings", None),
        )
        body = _speech_body(output_type, text=text, voice=voice, voice_settings=settings, **options)
        timeout = self._timeout or SPEECH_TIMEOUT
        with self._http.request("POST", SPEECH_PATH, timeout=timeout, json=body) as response:
            return _json_in(content_of(response))

    def _stream(self, method: str, path: str, **arguments: Any) -> Iterator[bytes]:
        timeout = self._timeout or SPEECH_TIMEOUT
        with self._http.request(method, path, timeout=timeout, **arguments) as response:
            if "json" in response.headers.get("content-type", ""):
                # Not what was asked for; what is in it is the same audio.
                audio = _audio_in(_json_in(content_of(response)))
                pieces = iter([audio] if audio else [])
            else:
                pieces = pieces_of(response)
            count = 0
            for piece in pieces:
                count += len(piece)
                yield piece
        if not count:
            raise ProtocolError("the service answered without any audio")


def _settings(
    voice: str,
    output_format: str | None,
    sample_rate: int | None,
    given: Mapping[str, object] | None,
) -> dict[str, object] | None:
    provider = voice.partition(".")[0].lower()
    settings = dict(given or {})
    if output_format is not None:
        settings.setdefault(FORMAT_FIELDS.get(provider, "response_format"), output_format)
    if sample_rate is not None:
        field = RATE_FIELDS.get(provider, "sampling_rate")
        # AWS and Resemble take it as text.
        rate = str(sample_rate) if provider in ("aws", "resemble") else sample_rate
        settings.setdefault(field, rate)
    return settings or None


def _speech_body(output_type: str, **fields: object) -> dict[str, object]:
    given = {name: value for name, value in fields.items() if value is not None}
    return {**given, "output_type": output_type}


def _json_in(content: bytes) -> dict[str, Any]:
    try:
        value: object = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError):
        value = None
    if not isinstance(value, dict):
        raise ProtocolError("the service answered with something that is no JSON object")
    inner = value.get("data")
    return inner if isinstance(inner, dict) else value


def _audio_in(answer: Mapping[str, object]) -> bytes:
    audio = answer.get("base64_audio")
    try:
        return base64.b64decode(audio, validate=True) if isinstance(audio, str) else b""
    except binascii.Error:
        raise ProtocolError("the service's audio is no base64") from None


def _audio_id_in(answer: Mapping[str, object]) -> str:
    # One of Telnyx's pages has the id, another the address that ends in it.
    for name in ("audio_id", "audio_url", "id"):
        value = answer.get(name)
        if isinstance(value, str) and value:
            return value.rstrip("/").rpartition("/")[2].partition("?")[0]
    return ""


def _read(audio: str | os.PathLike[str] | bytes | BinaryIO, filename: str) -> tuple[str, bytes]:
    if isinstance(audio, bytes):
        data = audio
    elif isinstance(audio, (str, os.PathLike)):
        filename = os.path.basename(os.fspath(audio))
        with open(audio, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    else:
        data = audio.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ConfigurationError(f"audio: the service takes at most {LARGEST_FILE} bytes")
    return filename, data


def _read_transcript(content: bytes) -> FileTranscript:
    try:
        value: object = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError):
        value = None
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise ProtocolError("the service answered with something that is no transcript")
    duration = value.get("duration")
    found = value.get("segments")
    segments = [
        Segment(str(item.get("text", "")), _number(item.get("start")), _number(item.get("end")))
        for item in (found if isinstance(found, list) else [])
        if isinstance(item, dict)
    ]
    return FileTranscript(
        value["text"],
        _number(duration) if isinstance(duration, (int, float, str)) else None,
        tuple(segments),
    )


def _number(value: object) -> float:
    try:
        return float(value) if isinstance(value, (int, float, str)) else 0.0
    except ValueError:
        return 0.0
