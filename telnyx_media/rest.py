"""Transcribe and speak over plain HTTP: whole files, nothing live.

For what has no hurry, and for when a WebSocket cannot be had (Telnyx: transcribe-speech-to-text
and rest-api pages).

Blocks; every wait has an end.  One object may be used by several threads.

Rules of this module:

1. What may pass when tried again is tried again: connection errors, 408, 429 (after the time the
   service asks for) and 5xx; never a refusal.
2. No error holds the API key, or a cause that does: what ``requests`` raises carries the request.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec
import requests
import requests.adapters
import requests.auth
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import TimeoutError as TimeoutError_
from urllib3.util import Retry

from telnyx_media.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLost,
    DeadlineExceeded,
    ProtocolError,
    ServiceError,
)
from telnyx_media.sync.connection import RETRYABLE_STATUS, check_key
from telnyx_media.synthesis import DEFAULT_VOICE
from telnyx_media.transcripts import ServerError, read_error

API_URL = "https://api.telnyx.com/v2"
"""Telnyx's REST address."""

DEFAULT_MODEL = "openai/whisper-large-v3-turbo"
"""The transcription model that all of Telnyx's lists name."""

LARGEST_FILE = 100_000_000
"""What the service takes, in bytes."""

# Seconds to connect, and without a byte of the answer: a transcription answers when it is done.
TIMEOUT = (10.0, 300.0)

# Synthesis is cut by the service after 30 s without a chunk.
SPEECH_TIMEOUT = (10.0, 40.0)

# The longest wait before a request is tried again, in seconds.
LONGEST_PAUSE = 10.0

CHUNK = 4096

_NO_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)


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


class _Retry(Retry):
    """Waits as long as the service asks for, within reason."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, LONGEST_PAUSE)


class _Bearer(requests.auth.AuthBase):
    """Sets the header itself, so that a ``.netrc`` cannot replace it."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


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
        self._key = check_key(api_key)
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        retry = _Retry(
            total=retries,
            status_forcelist=[408, 425, 429, 500, 502, 503, 504],
            # All of these requests may be repeated: they change nothing.
            allowed_methods=None,
            backoff_factor=backoff,
            backoff_max=LONGEST_PAUSE,
            respect_retry_after_header=True,
            redirect=0,
            raise_on_status=False,
        )
        self._session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(max_retries=retry)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def __repr__(self) -> str:
        return f"<SpeechRest {self._base_url}>"

    def close(self) -> None:
        """Close the connections; may be called twice."""
        self._session.close()

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
        with self._request(
            "POST", "/ai/audio/transcriptions", data=fields if files else None, files=parts
        ) as response:
            return _read_transcript(self._content(response))

    # -- text to speech --------------------------------------------------------------------------

    def speak(
        self,
        text: str,
        *,
        voice: str = DEFAULT_VOICE,
        output_format: str | None = None,
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
            language: for voices that speak several.
            voice_settings: speed, pitch and the like; ``output_format`` goes in there too.
            text_type: ``"text"`` or ``"ssml"``.
            disable_cache: whether Telnyx must synthesise afresh.

        Raises:
            ServiceError: the service refused.
            ConnectionLost: it could not be reached, or the audio broke off.
        """
        body: dict[str, object] = {"text": text, "voice": voice, "output_type": "binary_output"}
        settings = dict(voice_settings or {})
        if output_format:
            settings.setdefault("response_format", output_format)
        for name, value in (
            ("voice_settings", settings or None),
            ("language", language),
            ("text_type", text_type),
            ("disable_cache", disable_cache),
        ):
            if value is not None:
                body[name] = value
        return self._stream("POST", "/text-to-speech/speech", json=body)

    def fetch_speech(self, audio_id: str) -> Iterator[bytes]:
        """Iterate over audio that was synthesised with ``output_type`` ``audio_id``."""
        return self._stream("GET", f"/text-to-speech/speech/{quote(audio_id, safe='')}")

    # -- helpers ---------------------------------------------------------------------------------

    def _stream(self, method: str, path: str, **arguments: Any) -> Iterator[bytes]:
        count = 0
        problem: Exception | None = None
        with self._request(method, path, **arguments) as response:
            try:
                for chunk in response.iter_content(CHUNK):
                    count += len(chunk)
                    yield chunk
            except requests.RequestException as error:
                problem = ConnectionLost(
                    f"the audio broke off after {count} bytes ({type(error).__name__})"
                )
        if problem is None and not count:
            problem = ProtocolError("the service answered without any audio")
        if problem is not None:
            raise problem

    def _content(self, response: requests.Response) -> bytes:
        problem = ""
        content = b""
        try:
            content = response.content
        except requests.RequestException as error:
            problem = type(error).__name__
        if problem:
            raise ConnectionLost(f"the answer broke off ({problem})")
        return content

    def _request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        speech = path.startswith("/text-to-speech")
        timeout = self._timeout or (SPEECH_TIMEOUT if speech else TIMEOUT)
        problem: Exception
        try:
            response = self._session.request(
                method,
                self._base_url + path,
                auth=_Bearer(self._key),
                timeout=timeout,
                stream=True,
                allow_redirects=False,
                **arguments,
            )
        except requests.Timeout:
            problem = DeadlineExceeded(f"{self._base_url}{path} took too long")
        except _NO_ADDRESS:
            problem = ConfigurationError("base_url: an absolute https:// address is needed")
        except requests.RequestException as error:
            # A timeout of the last of several attempts comes wrapped.
            cause = getattr(error.args[0], "reason", None) if error.args else None
            where = f"{self._base_url}{path}"
            if isinstance(cause, TimeoutError_):
                problem = DeadlineExceeded(f"{where} took too long")
            else:
                problem = ConnectionLost(f"{where} cannot be reached ({type(error).__name__})")
        else:
            if response.status_code == requests.codes.ok:
                return response
            problem = self._refusal(response)
        # Raised here, so that nothing of requests' is its context.
        raise problem

    def _refusal(self, response: requests.Response) -> ServiceError:
        code = response.status_code
        said = ServerError()
        with contextlib.suppress(requests.RequestException, msgspec.DecodeError, UnicodeError):
            value: object = msgspec.json.decode(response.content)
            if isinstance(value, dict):
                errors = value.get("errors") or value.get("error") or {}
                said = read_error(errors[0] if isinstance(errors, list) else errors)
        response.close()
        kind = AuthenticationError if code in (401, 403) else ServiceError

        def scrub(text: str) -> str:
            return text.replace(self._key, "…")

        return kind(
            scrub(said.title) or "the service refused the request",
            code=scrub(said.code),
            detail=scrub(said.detail),
            http_status=code,
            request_id=scrub(response.headers.get("x-request-id", "")),
            retryable=code in RETRYABLE_STATUS or code >= 500,
        )


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
