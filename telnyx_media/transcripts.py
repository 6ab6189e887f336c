"""The wire of streaming transcription: the address with its options, the messages both ways.

Everything is configured in the query of the address and fixed for the life of the socket
(Telnyx: websocket-streaming page).  The engine name is case-sensitive there, so whatever case the
user typed is mapped to Telnyx's own.

Pure: no socket, no clock.

Rules of this module:

1. Options are checked before anything connects, and the message names the parameter and what is
   allowed.  ``strict=False`` and ``extra`` let through what this version does not know.
2. What arrives may be nonsense: it becomes nothing, never an exception.
3. A transcript's confidence is always a number between 0 and 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from telnyx_media.engines import CONTAINERS, ENGINES, Engine, find_engine
from telnyx_media.errors import AuthenticationError, ConfigurationError, ServiceError
from telnyx_media.options import check_rate, check_text, one_or_more, query_items
from telnyx_media.urls import with_query

TRANSCRIPTION_URL = "wss://api.telnyx.com/v2/speech-to-text/transcription"
"""Telnyx's address for streaming transcription."""

FINALIZE = '{"type":"Finalize"}'
KEEP_ALIVE = '{"type":"KeepAlive"}'
CLOSE_STREAM = '{"type":"CloseStream"}'

# What the names of Deepgram's models begin with.
DEEPGRAM_MODELS = ("nova-", "flux")

REDACTIONS = frozenset({"pci", "ssn", "numbers"})


@dataclass(frozen=True)
class SttOptions:
    """Everything that can be asked of one transcription socket, checked when made.

    Attributes:
        engine: ``"Deepgram"``, ``"Telnyx"``, … in any case.
        model: the engine's model; ``None`` lets Telnyx choose.
        language: a language tag, or what the engine understands (``"multi"``, ``"auto"``).
        input_format: what the audio is, ``"linear16"``, ``"mulaw"``, ``"alaw"``, ``"wav"`` …
        sample_rate: of the audio, in Hz.
        interim_results: whether transcripts are wanted that may still change; sent only to engines
            known to take it.
        endpointing: milliseconds of silence that end an utterance, ``False`` to disable,
            ``None`` for the engine's own.
        keyterms: words to listen for (Deepgram nova-3 and flux).
        keywords: ``"word"`` or ``"word:boost"`` (Deepgram nova-2).
        redact: of ``"pci"``, ``"ssn"``, ``"numbers"`` (Deepgram).
        region: of Azure.
        eot_threshold: 0.5 to 0.9 (flux).
        eot_timeout_ms: 500 to 10000 (flux).
        eager_eot_threshold: 0.3 to 0.9 (flux).
        extra: further query parameters, passed through as they are; one that has the name of a
            parameter above takes its place.
        strict: whether an engine or a combination this version does not know is an error.
    """

    engine: str = "Deepgram"
    model: str | None = None
    language: str | None = "en-US"
    input_format: str = "linear16"
    sample_rate: int = 8000
    interim_results: bool = True
    endpointing: int | bool | None = None
    keyterms: Sequence[str] = ()
    keywords: Sequence[str] = ()
    redact: Sequence[str] = ()
    region: str | None = None
    eot_threshold: float | None = None
    eot_timeout_ms: int | None = None
    eager_eot_threshold: float | None = None
    extra: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    strict: bool = True

    def __post_init__(self) -> None:
        for name in ("keyterms", "keywords", "redact"):
            object.__setattr__(self, name, one_or_more(name, getattr(self, name), str))
        check_text("transcription_engine", self.engine or "")
        # A blank one, of the environment for one, lets Telnyx choose.
        check_text("model", self.model or None)
        for name in ("language", "region"):
            check_text(name, getattr(self, name))
        if not isinstance(self.interim_results, bool):
            raise ConfigurationError(
                f"interim_results: True or False is allowed, not {self.interim_results!r}"
            )
        self._check_engine()
        self._check_audio()
        self._check_words()
        self._check_turns()

    @property
    def engine_info(self) -> Engine:
        """What is known of the engine."""
        return find_engine(self.engine, strict=self.strict)

    @property
    def is_flux(self) -> bool:
        """Whether the model is one of Deepgram's flux models."""
        return "flux" in (self.model or "").lower()

    @property
    def grace(self) -> float:
        """Seconds of silence that the engine waits for before it gives a final, at most."""
        if self.is_flux:
            return (self.eot_timeout_ms or 5000) / 1000
        if self.endpointing is not None and not isinstance(self.endpointing, bool):
            return self.endpointing / 1000
        return 0.5

    def for_engine(self, engine: str, model: str | None = None) -> SttOptions:
        """Get the same wishes for another engine, without those it cannot fulfil.

        Raises:
            ConfigurationError: the engine is unknown.
        """
        info = find_engine(engine, strict=self.strict)
        bare = SttOptions(
            engine=info.name,
            model=model,
            language=self.language,
            input_format=self.input_format if self.input_format in info.formats else "linear16",
            sample_rate=self.sample_rate,
            interim_results=self.interim_results,
            extra=self.extra,
            strict=self.strict,
        )
        if info.endpointing:
            bare = dataclasses.replace(bare, endpointing=self.endpointing)
        if info.name == "Deepgram" and "nova-2" not in (model or ""):
            bare = dataclasses.replace(bare, keyterms=self.keyterms, redact=self.redact)
        return bare

    # -- checks ----------------------------------------------------------------------------------

    def _check_engine(self) -> None:
        object.__setattr__(self, "engine", self.engine_info.name)
        if self.model is not None:
            # Telnyx's pages disagree on the prefix; its own clients send the bare name.
            model = self.model.strip()
            if self.engine == "Deepgram":
                model = model.removeprefix("deepgram/")
            object.__setattr__(self, "model", model or None)
        if not self.strict or self.engine != "Deepgram" or self.model is None:
            return
        if not self.model.startswith(DEEPGRAM_MODELS):
            raise ConfigurationError(f"model: {self.model!r} is not one of nova-3, nova-2, flux")
        # With "auto" its stream stays silent (Telnyx: contact-centre client, which forces "en").
        english = self.language is None or self.language.lower().partition("-")[0] == "en"
        if self.model == "flux" and not english:
            raise ConfigurationError(
                f"language: en, or a tag such as en-US, is allowed with flux, not {self.language!r}"
            )

    def _check_audio(self) -> None:
        check_rate("sample_rate", self.sample_rate)
        allowed = self.engine_info.formats
        if self.strict and self.input_format not in allowed:
            raise ConfigurationError(
                f"input_format: {self.input_format!r} is not one of {_listing(allowed)}, "
                f"which {self.engine} takes"
            )
        wish = self.endpointing
        if wish is None:
            return
        if wish is True or (wish is not False and (not isinstance(wish, int) or wish < 0)):
            raise ConfigurationError(
                f"endpointing: milliseconds or False are allowed, not {wish!r}"
            )
        if self.strict and not self.engine_info.endpointing:
            raise ConfigurationError(
                f"endpointing: {self.engine} does not take it; allowed with "
                f"{_listing(e.name for e in ENGINES.values() if e.endpointing)}"
            )
        if self.strict and self.engine == "Soniox" and not 500 <= wish <= 3000:
            raise ConfigurationError("endpointing: Soniox allows 500 to 3000 ms")

    def _check_words(self) -> None:
        if not self.strict:
            return
        if self.keyterms and (self.engine != "Deepgram" or self.model == "nova-2"):
            raise ConfigurationError("keyterms: allowed with Deepgram nova-3 and flux")
        if self.keywords and (self.engine != "Deepgram" or self.model != "nova-2"):
            raise ConfigurationError("keywords: allowed with Deepgram nova-2")
        if self.redact and self.engine != "Deepgram":
            raise ConfigurationError("redact: allowed with Deepgram")
        unknown = [value for value in self.redact if value not in REDACTIONS]
        if unknown:
            raise ConfigurationError(f"redact: {unknown[0]!r} is not one of {_listing(REDACTIONS)}")
        if self.region is not None and self.engine != "Azure":
            raise ConfigurationError("region: allowed with Azure")

    def _check_turns(self) -> None:
        for name, low, high in (
            ("eot_threshold", 0.5, 0.9),
            ("eot_timeout_ms", 500, 10000),
            ("eager_eot_threshold", 0.3, 0.9),
        ):
            value = getattr(self, name)
            if value is None or not self.strict:
                continue
            if not self.is_flux:
                raise ConfigurationError(f"{name}: allowed with Deepgram's flux model only")
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not low <= value <= high:
                raise ConfigurationError(f"{name}: {low} to {high} is allowed, not {value!r}")


def _listing(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def transcription_url(base_url: str, options: SttOptions) -> str:
    """Build the address of one transcription socket.

    Args:
        base_url: usually :data:`TRANSCRIPTION_URL`; a query it has already is kept.
        options: what to ask for.

    Raises:
        ConfigurationError: ``base_url`` is no absolute address.
    """
    query: list[tuple[str, str]] = [("transcription_engine", options.engine)]

    def add(name: str, value: object) -> None:
        if value is None:
            return
        if isinstance(value, bool):
            value = "true" if value else "false"
        query.append((name, str(value)))

    add("model", options.model)
    add("language", options.language)
    add("input_format", options.input_format)
    if options.input_format not in CONTAINERS:
        add("sample_rate", options.sample_rate)
    if options.interim_results and options.engine_info.interims:
        add("interim_results", True)
    add("endpointing", options.endpointing)
    for term in options.keyterms:
        add("keyterm", term)
    add("keywords", ",".join(options.keywords) or None)
    add("redact", ",".join(options.redact) or None)
    add("region", options.region)
    add("eot_threshold", options.eot_threshold)
    add("eot_timeout_ms", options.eot_timeout_ms)
    add("eager_eot_threshold", options.eager_eot_threshold)
    query = [item for item in query if item[0] not in options.extra]
    return with_query(base_url, query + query_items("extra", options.extra))


class Transcript(msgspec.Struct, frozen=True):
    """What was recognised of one stretch of speech.

    Attributes:
        text: the words. An interim replaces the interim before it; finals add up.
        is_final: whether the text will not change any more.
        confidence: 0 to 1; 0 on interims and from engines that give none.
        speech_final: the engine saw the end of the utterance.
        utterance_end: a marker without text, after silence.
        eager: the engine expects the utterance to be over, and may take that back (flux).
        resumed: the engine takes that back.
        start: seconds on the audio clock of the session at which the speech began, by our own
            measure; the wire carries no times.
        end: seconds on the audio clock at which it ended.
    """

    text: str
    is_final: bool = True
    confidence: float = 0.0
    speech_final: bool = False
    utterance_end: bool = False
    start: float = 0.0
    end: float = 0.0
    eager: bool = False
    resumed: bool = False

    @property
    def ends_utterance(self) -> bool:
        """Whether the engine says that the caller has finished an utterance."""
        return self.speech_final or self.utterance_end


class ServerError(msgspec.Struct, frozen=True):
    """An error message of the service.

    Attributes:
        code: Telnyx's code as text, ``"40007"``, or ``""``.
        title: its short name.
        detail: its sentence.
        parameter: the query parameter at fault, or ``""``.
    """

    code: str = ""
    title: str = ""
    detail: str = ""
    parameter: str = ""

    def to_exception(self) -> ServiceError:
        """Make the exception to raise for it."""
        title = self.title or "the service reported an error"
        detail = self.detail
        if self.parameter:
            detail = f"{detail} (parameter {self.parameter})".strip()
        # 4xxxx are faults of the request (Telnyx: errors page); the same request fails again.
        refused = self.code.startswith("4") and not self.code.startswith(("408", "429"))
        kind = AuthenticationError if self.code.startswith(("401", "403")) else ServiceError
        return kind(title, code=self.code, detail=detail, retryable=not refused)


Message = Transcript | ServerError


def parse_message(data: str | bytes) -> list[Message]:
    """Read one message of the service; what means nothing gives an empty list.

    Args:
        data: the text of a frame: an object, or an array of them. Binary frames carry nothing
            here and give an empty list.
    """
    if isinstance(data, bytes):
        return []
    try:
        value: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return []
    found: list[Message] = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            found.extend(_read_object(item))
    return found


def _read_object(item: Mapping[object, object]) -> list[Message]:
    errors = item.get("errors")
    if isinstance(errors, Mapping):
        errors = [errors]
    if isinstance(errors, list) and errors:
        return [read_error(error) for error in errors]
    if item.get("error"):
        return [read_error(item["error"])]
    if item.get("type") == "error":
        return [read_error(item)]
    text = item.get("transcript")
    # Flux's turn events are documented, and were not seen on Telnyx's socket yet.
    event = item.get("event")
    ended = event == "EndOfTurn"
    marks = ended or item.get("utterance_end") is True or item.get("speech_final") is True
    if text is None and (marks or event == "TurnResumed"):
        text = ""
    if not isinstance(text, str):
        return []
    return [
        Transcript(
            text=text.strip(),
            is_final=ended or item.get("is_final") is True or item.get("utterance_end") is True,
            confidence=_confidence(item.get("confidence")),
            speech_final=ended or item.get("speech_final") is True,
            utterance_end=item.get("utterance_end") is True,
            eager=event == "EagerEndOfTurn",
            resumed=event == "TurnResumed",
        )
    ]


def read_error(error: object) -> ServerError:
    """Read the value of an ``error`` key, or one item of ``errors``, in whatever shape it comes."""
    if not isinstance(error, Mapping):
        return ServerError(title=str(error))
    source = error.get("source")
    parameter = source.get("parameter") if isinstance(source, Mapping) else None
    return ServerError(
        code=_text(error.get("code")),
        title=_text(error.get("title") or error.get("message") or error.get("error")),
        detail=_text(error.get("detail") or error.get("description")),
        parameter=_text(parameter),
    )


def _text(value: object) -> str:
    return "" if value is None or isinstance(value, (dict, list)) else str(value)


def _confidence(value: object) -> float:
    # null from the Telnyx and Cohere engines, text and booleans from others: all seen.
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return 0.0
    try:
        number = float(value)
    except ValueError:
        return 0.0
    return min(1.0, max(0.0, number)) if math.isfinite(number) else 0.0
