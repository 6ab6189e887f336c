"""Telnyx's transcription of files, on loopback: ``POST /v2/ai/audio/transcriptions``.

Synchronous, multipart, and OpenAI's shape, so that OpenAI's clients work against it too: they are
served below ``/v2/ai`` and, since Telnyx's guide prints that base, below ``/v2`` (Telnyx:
transcribe-speech-to-text reference; speech-to-text rest-api pages).  The words come from the
listener of the transcription socket: the embedded recogniser, or a script.

Threads: a request runs on its connection's thread, decodes and recognises there, and gives up when
the simulator stops.

Rules of this module:

1. Nothing of a file or of its transcript is kept.
2. A field that Telnyx does not know is ignored; one that it knows and cannot use is an error that
   names it.
"""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from dataclasses import dataclass
from posixpath import splitext
from typing import Any
from urllib.parse import urlsplit

import requests
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from bridge.simulator.api import ApiRoute, route
from bridge.simulator.apierrors import ApiError
from bridge.simulator.audio import AudioError, read_audio
from bridge.simulator.listeners import Listening
from bridge.simulator.server import HttpRequest, HttpResponse
from bridge.simulator.transcription import TranscriptionService

logger = logging.getLogger(__name__)

PATHS = ("/ai/audio/transcriptions", "/audio/transcriptions")

LARGEST_FILE = 100_000_000
LONGEST_BODY = LARGEST_FILE + 1_000_000
"""The longest body that is read: a file and the fields around it."""

FORMATS = frozenset({
    "flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm",
})  # fmt: skip
"""How the name of a file may end."""

# Seconds in which a file has to be there that was given by its address.
DOWNLOAD_SECONDS = 15.0

# All audio is brought to this, hertz.
_RATE = 16000
# Seconds of silence between two segments, and seconds of audio between two looks at the clock.
_ENDPOINT = 0.7
_STEP = 1.0
_ENGLISH = ("en", "en-US", "en-GB", "en-AU", "en-NZ", "en-IN")


@dataclass(frozen=True)
class Model:
    """What a model takes and tells.

    Attributes:
        formats: of files.
        languages: that may be asked for; any if empty.
        hints: whether a language may be asked for at all.
        times: whether it tells the duration and the segments.
    """

    formats: frozenset[str] = FORMATS
    languages: tuple[str, ...] = ()
    hints: bool = True
    times: bool = False


_DEEPGRAM = Model(frozenset({"mp3", "wav"}), _ENGLISH, times=True)

MODELS = {
    "openai/whisper-large-v3-turbo": Model(),
    "openai/whisper-tiny": Model(),
    "distil-whisper/distil-large-v2": Model(hints=False),
    "deepgram/nova-3": _DEEPGRAM,
    "deepgram/nova-2": Model(frozenset({"mp3", "wav"}), _ENGLISH),
    "nvidia/parakeet-v3": Model(),
    "reson8/prerecorded": Model(),
}
"""The models by name; Telnyx's pages each have a part of this list."""


@dataclass(frozen=True)
class _Wanted:
    """What a request asks for."""

    model: Model
    audio: bytes
    verbose: bool


class FileTranscription:
    """The routes.

    Attributes:
        requests: how many files were transcribed.
        audio_seconds: length of the audio in them.
    """

    def __init__(self, service: TranscriptionService, stopping: threading.Event) -> None:
        """Make them.

        Args:
            service: has the listener that hears the files.
            stopping: set when the simulator stops.
        """
        self.requests = 0
        self.audio_seconds = 0.0
        self._service = service
        self._stopping = stopping

    def routes(self) -> list[ApiRoute]:
        """Get the routes, below ``/v2``."""
        return [route("POST", path, self.transcribe) for path in PATHS]

    def transcribe(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        """Answer a request with the transcript of its file.

        Raises:
            ApiError: the request is refused.
        """
        wanted = _read(request)
        try:
            pcm = read_audio(wanted.audio, _RATE)
        except AudioError:
            raise _refused("file", "holds no audio that can be decoded") from None
        segments = self._hear(pcm)
        length = len(pcm) / 2 / _RATE
        self.requests += 1
        self.audio_seconds += length
        logger.debug("transcribed a file: %.1f s of audio, %d segments", length, len(segments))
        answer: dict[str, Any] = {"text": " ".join(str(segment["text"]) for segment in segments)}
        if wanted.verbose and wanted.model.times:
            answer |= {"duration": round(length, 3), "segments": segments}
        return HttpResponse.of_json(answer)

    def _hear(self, pcm: bytes) -> list[dict[str, Any]]:
        listener = self._service.make_listener(Listening(_RATE, False, _ENDPOINT))
        segments: list[dict[str, Any]] = []
        before = heard = 0.0
        step = round(_STEP * _RATE) * 2
        for at in range(0, len(pcm) + step, step):
            if self._stopping.is_set():
                raise ApiError("10037", "The service is going down.")
            heard = min(at + step, len(pcm)) / 2 / _RATE
            ended = at >= len(pcm)
            for said in listener.finalize() if ended else listener.feed(pcm[at : at + step]):
                if not said.text or not said.is_final:
                    continue
                start = before if said.start is None else said.start
                end = before = heard if said.end is None else min(said.end, heard)
                times = {"start": round(start, 3), "end": round(end, 3)}
                segments.append({"id": len(segments), **times, "text": said.text})
        return segments


def _read(request: HttpRequest) -> _Wanted:
    form, file = _parts(request)
    name = form.get("model", "")
    if not name:
        raise _missing("model")
    model = MODELS.get(name)
    if model is None:
        raise _refused("model", f"must be one of: {', '.join(MODELS)}")
    verbose = _check_answer(form)
    language = form.get("language", "")
    if language and not model.hints:
        raise _refused("language", f"is not allowed with {name}")
    if language and model.languages and language not in model.languages:
        raise _refused("language", f"must be one of: {', '.join(model.languages)} with {name}")
    _check_options(form.get("model_config", ""))
    url = form.get("file_url", "")
    if file is not None and url:
        raise _refused("file_url", "cannot be used together with file")
    if file is None and not url:
        raise _missing("file")
    ending = splitext(urlsplit(url).path if file is None else file.filename or "")[1]
    if ending.lower().lstrip(".") not in model.formats:
        allowed = ", ".join(sorted(model.formats))
        raise _refused("file" if file else "file_url", f"must be one of: {allowed} with {name}")
    audio = _download(url) if file is None else file.stream.read(LARGEST_FILE + 1)
    if len(audio) > LARGEST_FILE:
        raise _too_large("file" if file else "file_url")
    if not audio:
        raise _refused("file" if file else "file_url", "is empty")
    return _Wanted(model, audio, verbose)


def _parts(request: HttpRequest) -> tuple[dict[str, str], FileStorage | None]:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise ApiError("10015", "The body must be multipart/form-data.", status=400)
    # In memory, where the body is already.
    parser = FormDataParser(stream_factory=lambda *_, **__: io.BytesIO(), silent=False)
    try:
        _, form, files = parser.parse(io.BytesIO(request.body), kind, len(request.body), options)
    except (ValueError, RequestEntityTooLarge):
        raise ApiError("10015", "The multipart body is malformed.", status=400) from None
    # Several values of the one list that there is are checked one by one.
    fields = {name: "\n".join(form.getlist(name)).strip() for name in form}
    return fields, files.get("file")


def _check_answer(form: dict[str, str]) -> bool:
    """Check what the answer is to look like; whether it is to tell times."""
    shape = form.get("response_format") or "json"
    if shape not in ("json", "verbose_json"):
        raise _refused("response_format", "must be one of: json, verbose_json")
    for name in ("timestamp_granularities[]", "timestamp_granularities"):
        asked = form.get(name, "").split()
        if asked and shape != "verbose_json":
            raise _refused(name, "needs the response_format verbose_json")
        if any(item != "segment" for item in asked):
            raise _refused(name, "must be: segment")
    return shape == "verbose_json"


def _check_options(text: str) -> None:
    if not text:
        return
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _refused("model_config", "must be a JSON object")


def _download(url: str) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise _refused("file_url", "must be a public URL")
    end = time.monotonic() + DOWNLOAD_SECONDS
    data = bytearray()
    try:
        with requests.Session() as http:
            http.trust_env = False
            with http.get(url, timeout=DOWNLOAD_SECONDS, stream=True) as response:
                if response.status_code != requests.codes.ok:
                    raise _refused("file_url", f"answers HTTP {response.status_code}")
                for piece in response.iter_content(65536):
                    data += piece
                    if len(data) > LARGEST_FILE:
                        raise _too_large("file_url")
                    if time.monotonic() > end:
                        raise _refused("file_url", f"took longer than {DOWNLOAD_SECONDS:g} s")
    except requests.RequestException:
        raise _refused("file_url", "cannot be downloaded") from None
    return bytes(data)


def _missing(name: str) -> ApiError:
    detail = f"The '{name}' parameter is required and cannot be blank."
    return ApiError("10004", detail, pointer=f"/{name}", status=400)


def _refused(name: str, problem: str) -> ApiError:
    return ApiError("10015", f"The '{name}' parameter {problem}.", pointer=f"/{name}", status=400)


def _too_large(name: str) -> ApiError:
    detail = f"The '{name}' parameter is limited to 100 MB."
    return ApiError("10015", detail, pointer=f"/{name}", status=413)
