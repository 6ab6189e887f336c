"""What Telnyx's transcription engines take and how they behave: the query of the STT socket.

Telnyx: websocket-streaming pages (parameters, responses, errors), and what clients have measured on
the live service where the pages are silent or contradict each other.  This table is the simulator's
own: a client that shares it could share its mistakes.

Pure.

Rules of this module:

1. A query that the live service answers with HTTP 400 is a refusal from :func:`check_query`; one
   that it answers with an error message on the open socket (40001 to 40007) is a
   :class:`RequestError` from :func:`read_request`.
2. Engine names are case-sensitive.
3. Parameters that do not exist are ignored without a word, as ``partial_results`` and ``encoding``
   were seen to be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bridge.simulator.socket import Handshake, Refusal, errors_text

FORMATS = frozenset({
    "mp3", "wav", "webm", "webm_opus", "ogg", "ogg_opus", "flac", "linear16", "linear32", "mulaw",
    "alaw", "opus", "amr_nb", "amr_wb", "g729", "speex",
})  # fmt: skip
"""Every input format that Telnyx documents."""

HEADERLESS = frozenset({
    "linear16", "linear32", "mulaw", "alaw", "opus", "amr_nb", "amr_wb", "g729", "speex",
})  # fmt: skip
"""Formats that need ``sample_rate``."""

DECODED = frozenset({"mp3", "wav", "linear16", "linear32", "mulaw", "alaw"})
"""What the simulator can decode; it refuses other formats as one the engine does not support."""

_FLUX_FORMATS = frozenset({"linear16", "linear32", "mulaw", "alaw", "opus", "ogg_opus", "wav"})
_EVERYWHERE = frozenset({"mp3", "wav", "linear16", "linear32"})

# Rates a codec exists at; linear formats take any within the limits of speech.
_CODEC_RATES = {
    "mulaw": range(8000, 8001), "alaw": range(8000, 8001), "amr_nb": range(8000, 8001),
    "g729": range(8000, 8001), "amr_wb": range(16000, 16001),
}  # fmt: skip
_LINEAR_RATES = range(8000, 48001)


@dataclass(frozen=True)
class Engine:
    """How one engine behaves.

    Attributes:
        name: as it must be spelt.
        formats: input formats it takes.
        models: how the names of its models begin; empty if any is taken.
        interims: whether it sends interim transcripts when asked to.
        marks_endpoints: whether it sends ``speech_final`` and ``utterance_end``.
        confident: whether its finals carry a confidence; others have ``null``.
        controls: whether it obeys ``Finalize`` and needs audio or ``KeepAlive``.
        takes_endpointing: whether ``endpointing`` is obeyed.
        endpoint: seconds of silence before a final, when the query does not say.
        closes: whether it closes after ``CloseStream``; others stay open.
    """

    name: str
    formats: frozenset[str] = _EVERYWHERE
    models: tuple[str, ...] = ()
    interims: bool = False
    marks_endpoints: bool = False
    confident: bool = True
    controls: bool = False
    takes_endpointing: bool = False
    endpoint: float = 0.7
    closes: bool = False


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(
            "Deepgram", FORMATS, ("nova-3", "nova-2", "flux"), interims=True, marks_endpoints=True,
            controls=True, takes_endpointing=True, endpoint=0.1, closes=True,
        ),
        Engine("Telnyx", confident=False),
        Engine("Google", _EVERYWHERE | {"mulaw"}, takes_endpointing=True),
        Engine("Azure"),
        Engine("xAI", takes_endpointing=True),
        Engine("AssemblyAI"),
        Engine("Speechmatics", interims=True, takes_endpointing=True, closes=True),
        Engine("Soniox", interims=True, takes_endpointing=True, closes=True),
        Engine("Parakeet"),
        Engine("Humain"),
        Engine("Reson8"),
        Engine("Cohere", confident=False),
    )
}  # fmt: skip

# Shorter silences are found inside words.
_SHORTEST_ENDPOINT = 0.1


class RequestError(Exception):
    """The query asks for what the service refuses on the open socket.

    Attributes:
        text: the message to send before closing.
    """

    def __init__(self, code: str, title: str, detail: str, parameter: str) -> None:
        super().__init__(f"{code} {title}")
        self.code = code
        self.text = errors_text(code, title, detail, parameter)


@dataclass(frozen=True)
class TranscriptionRequest:
    """A query that holds.

    Attributes:
        engine: the engine and its behaviour.
        model: its model without a prefix, or ``""``.
        language: the language tag.
        input_format: one of :data:`DECODED`.
        sample_rate: hertz; 0 for formats that carry it themselves.
        interims: whether interim transcripts are to be sent.
        endpoint: seconds of silence that end a stretch of speech.
        endpointing: whether that silence is marked by ``speech_final``.
        keyterms: words to listen for; noted, not used.
    """

    engine: Engine
    model: str = ""
    language: str = "en-US"
    input_format: str = "linear16"
    sample_rate: int = 8000
    interims: bool = False
    endpoint: float = _SHORTEST_ENDPOINT
    endpointing: bool = True
    keyterms: tuple[str, ...] = field(default=())


def check_query(handshake: Handshake) -> Refusal | None:
    """Find the parameter for which the handshake is answered with 400, if there is one."""
    if handshake.get("interim_results", "false") not in ("true", "false"):
        return _bad("interim_results", "must be true or false")
    endpointing = handshake.get("endpointing", "100")
    if endpointing not in ("true", "false") and not endpointing.isdecimal():
        return _bad("endpointing", "must be milliseconds, or false")
    engine = handshake.get("transcription_engine", "Deepgram")
    asked = (
        int(endpointing) if "endpointing" in handshake.query and endpointing.isdecimal() else None
    )
    if engine == "Soniox" and asked is not None and not 500 <= asked <= 3000:
        return _bad("endpointing", "must be from 500 to 3000 with Soniox")
    model = _model(handshake)
    known = ENGINES.get(engine)
    if known is not None and model and known.models and not model.startswith(known.models):
        return _bad("model", f"is not a model of {engine}")
    for name, low, high in (
        ("eot_threshold", 0.5, 0.9),
        ("eot_timeout_ms", 500, 10000),
        ("eager_eot_threshold", 0.3, 0.9),
    ):
        if name not in handshake.query:
            continue
        if not model.startswith("flux"):
            return _bad(name, "is allowed with the flux model only")
        value = handshake.get(name)
        if not re.fullmatch(r"\d+(\.\d+)?", value) or not low <= float(value) <= high:
            return _bad(name, f"must be from {low} to {high}")
    return None


def read_request(handshake: Handshake) -> TranscriptionRequest:
    """Read a query that :func:`check_query` let through.

    Raises:
        RequestError: it asks for what the service refuses on the open socket.
    """
    name = handshake.get("transcription_engine", "Deepgram")
    engine = ENGINES.get(name)
    if engine is None:
        allowed = ", ".join(ENGINES)
        raise RequestError(
            "40007", "Unknown transcription engine", f"allowed: {allowed}", "transcription_engine"
        )
    model = _model(handshake)
    # MP3 is the documented default, and what a client that forgot the parameter gets.
    audio = handshake.get("input_format", "mp3")
    if audio not in FORMATS:
        raise RequestError("40001", "Unknown input format", audio, "input_format")
    if model.startswith("flux") and audio not in _FLUX_FORMATS:
        raise RequestError("40006", "Format not supported by flux", audio, "input_format")
    if audio not in engine.formats or audio not in DECODED:
        raise RequestError(
            "40002", "Format not supported", f"{name} does not take {audio}", "input_format"
        )
    return TranscriptionRequest(
        engine=engine,
        model=model,
        language=handshake.get("language", "en-US"),
        input_format=audio,
        sample_rate=_sample_rate(handshake, audio),
        interims=engine.interims and handshake.get("interim_results") == "true",
        endpoint=_endpoint(handshake, engine),
        endpointing=engine.marks_endpoints and handshake.get("endpointing") != "false",
        keyterms=tuple(handshake.query.get("keyterm", [])),
    )


def _model(handshake: Handshake) -> str:
    return handshake.get("model").removeprefix("deepgram/")


def _sample_rate(handshake: Handshake, audio: str) -> int:
    if audio not in HEADERLESS:
        return 0
    text = handshake.get("sample_rate")
    if not text:
        raise RequestError("40003", "Sample rate missing", f"{audio} needs it", "sample_rate")
    if not text.isdecimal() or int(text) == 0:
        raise RequestError(
            "40004", "Invalid sample rate", "must be a positive integer", "sample_rate"
        )
    rate = int(text)
    if rate not in _CODEC_RATES.get(audio, _LINEAR_RATES):
        raise RequestError(
            "40005", "Sample rate not valid for the codec", f"{audio} at {rate}", "sample_rate"
        )
    return rate


def _endpoint(handshake: Handshake, engine: Engine) -> float:
    text = handshake.get("endpointing")
    if not engine.takes_endpointing or not text.isdecimal():
        # Switched off, an utterance still ends: after a second, and unmarked.
        return 1.0 if text == "false" and engine.takes_endpointing else engine.endpoint
    return max(_SHORTEST_ENDPOINT, int(text) / 1000)


def _bad(parameter: str, problem: str) -> Refusal:
    body = errors_text("10015", "Invalid value", f"{parameter} {problem}", parameter)
    return Refusal(400, body)
