"""The environment, read once into a frozen object.

Every host hands an application its configuration as environment variables, and most failures of a
first deploy are one of those, missing or misspelt.  So everything that is wrong is found before
anything starts, and all of it is said at once, one line per variable, naming what to set.

Pure: reads the mapping it is given, and nothing else in the project reads the environment.

Rules of this module:

1. An empty variable is an unset one; hosts and compose files leave empty ones behind.
2. No value of a secret appears in a ``repr``, an error or a traceback.
3. A field's description is what ``bridge doctor`` prints about its variable.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bridge import policies, values
from bridge.errors import SettingsError

# What taking calls needs (the web application); other commands need less.
TO_TAKE_CALLS = ("telnyx_api_key", "telnyx_public_key", "public_url")

# Exact spellings: the speech service closes the socket on any other (Telnyx: speech-to-text
# WebSocket reference).
STT_ENGINES = (
    "Deepgram",
    "Telnyx",
    "Google",
    "Azure",
    "xAI",
    "Speechmatics",
    "Soniox",
    "Parakeet",
    "Humain",
    "Reson8",
    "Cohere",
    "AssemblyAI",
)

# Codec of the media stream and the rate it is asked for with (Telnyx: media-streaming guide).
# G722 is 16 kHz audio under an 8 kHz clock, and the clock is what is written.
CODEC_RATES = {"PCMU": 8000, "PCMA": 8000, "G722": 8000, "OPUS": 16000, "L16": 16000}

LOG_LEVELS = ("debug", "info", "warning", "error")

# Of the server's threads, how many are kept for webhooks, health and pages: one in eight, and
# never fewer than four.  Each live call holds one of the others.
RESERVED_SHARE = 8
RESERVED_LEAST = 4


def _engines(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(values.choice(name, STT_ENGINES)) for name in value)


Words = Annotated[tuple[str, ...], BeforeValidator(values.words), AfterValidator(values.not_empty)]
Switch = Annotated[bool, BeforeValidator(values.on_off)]


class Settings(BaseSettings):
    """Everything that can be set, checked.

    Make one with :meth:`from_environ`; a field's variable is its ``alias``.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    telnyx_api_key: Annotated[SecretStr, AfterValidator(values.header_value)] | None = Field(
        None,
        alias="TELNYX_API_KEY",
        description="API v2 key for commands, speech-to-text and text-to-speech; "
        "in Mission Control under Keys & Credentials",
    )
    telnyx_public_key: Annotated[str, AfterValidator(values.public_key)] | None = Field(
        None,
        alias="TELNYX_PUBLIC_KEY",
        description="base64 Ed25519 key that webhooks are signed with; "
        "in Mission Control under Keys & Credentials, Public Key",
    )
    public_url: Annotated[str, AfterValidator(values.public_url)] | None = Field(
        None,
        alias="PUBLIC_URL",
        description="https:// address under which Telnyx reaches this app",
    )
    agent: Annotated[str, AfterValidator(values.agent_name)] = Field(
        "bridge.agents.receptionist:answer",
        alias="BRIDGE_AGENT",
        description="the function that holds the calls, as module:callable",
    )
    telnyx_api_url: Annotated[str, AfterValidator(values.rest_url)] = Field(
        "https://api.telnyx.com/v2",
        alias="TELNYX_API_URL",
        description="base address of Telnyx's REST API",
    )
    telnyx_stt_url: Annotated[str, AfterValidator(values.socket_url)] = Field(
        "wss://api.telnyx.com/v2/speech-to-text/transcription",
        alias="TELNYX_STT_URL",
        description="speech-to-text socket",
    )
    telnyx_tts_url: Annotated[str, AfterValidator(values.socket_url)] = Field(
        "wss://api.telnyx.com/v2/text-to-speech/speech",
        alias="TELNYX_TTS_URL",
        description="text-to-speech socket",
    )
    stt_engines: Annotated[Words, AfterValidator(_engines)] = Field(
        ("Deepgram",),
        alias="BRIDGE_STT_ENGINE",
        description="speech-to-text engine; more, after commas, are fallbacks",
    )
    stt_model: str | None = Field(
        None,
        alias="BRIDGE_STT_MODEL",
        description="model of the first engine; nova-3 for Deepgram unless set",
        validate_default=True,
    )
    language: str = Field(
        "en-US", alias="BRIDGE_LANGUAGE", description="language spoken on the calls"
    )
    tts_voices: Words = Field(
        ("Telnyx.NaturalHD.astra",),
        alias="BRIDGE_TTS_VOICE",
        description="voice of the agent; more, after commas, are fallbacks",
    )
    tts_plain: Words | None = Field(
        None,
        alias="BRIDGE_TTS_PLAIN",
        description="beginnings of the names of voices, like Telnyx.NaturalHD, known to send plain "
        "samples (linear16) when asked, which cost a third of MP3's CPU time; unset: none is asked",
    )
    codec: Literal["PCMU", "PCMA", "G722", "OPUS", "L16"] = Field(
        "PCMU", alias="BRIDGE_CODEC", description="codec asked for on the media stream"
    )
    l16_byte_order: Literal["little", "big"] = Field(
        "little",
        alias="BRIDGE_L16_BYTE_ORDER",
        description="byte order of L16 audio in both directions",
    )
    llm_url: Annotated[str, AfterValidator(values.rest_url)] | None = Field(
        None,
        alias="BRIDGE_LLM_URL",
        description="base of an OpenAI-compatible API for bridge.agents.llm; "
        "unset: Telnyx's, TELNYX_API_URL and /ai/openai",
    )
    llm_api_key: Annotated[SecretStr, AfterValidator(values.header_value)] | None = Field(
        None,
        alias="BRIDGE_LLM_API_KEY",
        description="its key; unset: TELNYX_API_KEY at Telnyx, none elsewhere",
    )
    llm_models: Words | None = Field(
        None,
        alias="BRIDGE_LLM_MODEL",
        description="language model; more, after commas, are fallbacks; "
        "unset: the only one that the API offers",
    )
    llm_prompt: str | None = Field(
        None,
        alias="BRIDGE_LLM_PROMPT",
        repr=False,
        description="what the model is told of its task",
    )
    llm_prompt_file: Path | None = Field(
        None,
        alias="BRIDGE_LLM_PROMPT_FILE",
        description="file that holds it instead",
    )
    llm_greeting: str | None = Field(
        None,
        alias="BRIDGE_LLM_GREETING",
        description="first words of bridge.agents.llm to the caller",
    )
    llm_transfers: Annotated[dict[str, str], BeforeValidator(values.named_numbers)] | None = Field(
        None,
        alias="BRIDGE_LLM_TRANSFERS",
        repr=False,
        description="where the model may transfer a call: name=number, more after commas; "
        "unset: nowhere",
    )
    endpoint_ms: int = Field(
        500,
        alias="BRIDGE_ENDPOINT_MS",
        ge=100,
        le=5000,
        description="milliseconds of silence that end the caller's turn",
    )
    barge_in: Switch = Field(
        True, alias="BRIDGE_BARGE_IN", description="whether a caller may interrupt the agent"
    )
    endpointing: Literal["silence", "engine", "either"] = Field(
        "silence",
        alias="BRIDGE_ENDPOINTING",
        description="what ends the caller's turn: silence, the engine's own events, or either",
    )
    turn_detector: Annotated[str, AfterValidator(values.agent_name)] | None = Field(
        None,
        alias="BRIDGE_TURN_DETECTOR",
        description="function that judges whether a turn is over, as module:callable; "
        "unset: by silence and text",
    )
    eager_turns: Switch = Field(
        False,
        alias="BRIDGE_EAGER_TURNS",
        description="whether replies are begun before it is sure that the turn is over",
    )
    min_speech_ms: int = Field(
        60,
        alias="BRIDGE_MIN_SPEECH_MS",
        ge=30,
        le=2000,
        description="milliseconds of the caller's speech that stop the agent",
    )
    min_words: int = Field(
        1,
        alias="BRIDGE_MIN_WORDS",
        ge=1,
        le=20,
        description="words that make an interruption; with fewer the agent goes on",
    )
    backchannels: Annotated[tuple[str, ...], BeforeValidator(values.words)] = Field(
        (),
        alias="BRIDGE_BACKCHANNELS",
        description="words, after commas, that never interrupt, beside those of the language",
    )
    echo_margin_db: float = Field(
        12.0,
        alias="BRIDGE_ECHO_MARGIN_DB",
        ge=0,
        le=60,
        description="a voice so much quieter than the agent is its echo, until the line is known",
    )
    lead_ms: int = Field(
        300,
        alias="BRIDGE_LEAD_MS",
        ge=40,
        le=2000,
        description="milliseconds of audio sent ahead of what the caller hears",
    )
    chunk_ms: int = Field(
        100,
        alias="BRIDGE_CHUNK_MS",
        ge=20,
        le=100,
        multiple_of=20,
        description="milliseconds of audio in one outbound frame",
    )
    grace_seconds: float = Field(
        5.0,
        alias="BRIDGE_GRACE_SECONDS",
        ge=0,
        le=60,
        description="seconds within which a lost media socket may come back",
    )
    threads: int = Field(
        64, alias="BRIDGE_THREADS", ge=5, le=4096, description="threads of each server process"
    )
    max_calls: int = Field(
        0,
        alias="BRIDGE_MAX_CALLS",
        ge=1,
        le=4096,
        description="calls per process; unset: the threads less those kept for webhooks",
        validate_default=True,
    )
    overflow: Annotated[str, AfterValidator(policies.overflow)] = Field(
        "busy",
        alias="BRIDGE_OVERFLOW",
        repr=False,
        description="what a call beyond that gets: busy, say:<line>, transfer:<number> or queue",
    )
    queue_music: Annotated[str, AfterValidator(values.rest_url)] | None = Field(
        None,
        alias="BRIDGE_QUEUE_MUSIC",
        description="address of an MP3 or WAV file for callers who wait; unset: a soft chime",
    )
    resume: Annotated[str, AfterValidator(policies.resume)] = Field(
        "again",
        alias="BRIDGE_RESUME",
        repr=False,
        description="what a call gets whose process is gone: again (the agent goes on), "
        "transfer:<number> or hangup",
    )
    resume_line: str = Field(
        "Sorry, we were cut off for a moment.",
        alias="BRIDGE_RESUME_LINE",
        max_length=300,
        description="what the caller hears then, unless the agent finds words of its own",
    )
    drain_seconds: float = Field(
        25.0,
        alias="BRIDGE_DRAIN_SECONDS",
        ge=0,
        le=3600,
        description="seconds that calls may go on after SIGTERM",
    )
    drain_line: str = Field(
        "I'm sorry, I have to end this call now. Please call us again.",
        alias="BRIDGE_DRAIN_LINE",
        max_length=300,
        description="what a caller hears in the last of them, when no other process can go on "
        "with the call; off: nothing",
    )
    max_seconds: float = Field(
        0,
        alias="BRIDGE_MAX_SECONDS",
        ge=0,
        le=14400,
        description="seconds that a call may last; 0: no limit but Telnyx's, of four hours",
    )
    last_words: str = Field(
        "I'm sorry, this call has reached its time limit. Goodbye.",
        alias="BRIDGE_LAST_WORDS",
        description="what is said when a call has lasted that long",
    )
    screen: Annotated[str, AfterValidator(values.agent_name)] | None = Field(
        None,
        alias="BRIDGE_SCREEN",
        description="function that is asked, with the call's facts, whether to answer, as "
        "module:callable; unset: every call is answered",
    )
    from_number: str | None = Field(
        None,
        alias="BRIDGE_FROM_NUMBER",
        repr=False,
        description="number of this account that is shown to those who are called",
    )
    connection_id: str | None = Field(
        None,
        alias="BRIDGE_CONNECTION_ID",
        description="Call Control application that calls somebody",
    )
    listen_in: Switch = Field(
        False,
        alias="BRIDGE_LISTEN_IN",
        description="whether live calls can be listened to in the dashboard; the law may ask that "
        "both sides are told",
    )
    record_calls: Switch = Field(
        True,
        alias="BRIDGE_RECORD",
        description="whether calls are recorded from their start, if there is a place for "
        "recordings; off: only when the agent says so",
    )
    recordings: str | None = Field(
        None,
        alias="BRIDGE_RECORDINGS",
        repr=False,
        description="directory or storage URL for recordings; unset: none are made",
    )
    retention_days: float | None = Field(
        None,
        alias="BRIDGE_RETENTION_DAYS",
        ge=1,
        description="days after which a call's record and recordings are deleted; unset: never",
    )
    postcall_url: Annotated[str, AfterValidator(values.rest_url)] | None = Field(
        None,
        alias="BRIDGE_POSTCALL_URL",
        repr=False,
        description="where a webhook with the record of each ended call goes; unset: none",
    )
    postcall_secret: Annotated[SecretStr, AfterValidator(values.webhook_secret)] | None = Field(
        None,
        alias="BRIDGE_POSTCALL_SECRET",
        description="secret that signs them, whsec_ and base64, as Standard Webhooks says",
        validate_default=True,
    )
    metrics_token: SecretStr | None = Field(
        None,
        alias="BRIDGE_METRICS_TOKEN",
        min_length=16,
        description="bearer token of /metrics; unset: whoever reaches the app may read its numbers",
    )
    otel_endpoint: str | None = Field(
        None,
        alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        repr=False,
        description="OpenTelemetry collector, https://…:4318, that gets a trace of each call; "
        "unset: no traces",
    )
    redis_url: Annotated[str, AfterValidator(values.redis_url)] | None = Field(
        None,
        alias="REDIS_URL",
        repr=False,
        description="Redis shared by several processes; unset: one process, state in memory",
    )
    database_url: Annotated[str, AfterValidator(values.database_url)] | None = Field(
        None,
        alias="DATABASE_URL",
        repr=False,
        description="database of call records; unset: an SQLite file in BRIDGE_HOME",
    )
    home: Annotated[Path, BeforeValidator(values.directory)] = Field(
        default_factory=values.default_home,
        alias="BRIDGE_HOME",
        description="directory for what is kept on this machine",
    )
    dashboard_password: SecretStr | None = Field(
        None,
        alias="BRIDGE_DASHBOARD_PASSWORD",
        min_length=8,
        description="password of /dashboard; unset: no dashboard",
    )
    api_token: SecretStr | None = Field(
        None,
        alias="BRIDGE_API_TOKEN",
        min_length=16,
        description="bearer token of /api; unset: no such routes",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", alias="LOG_LEVEL", description="least important line that is logged"
    )
    log_format: Literal["auto", "human", "json"] = Field(
        "auto",
        alias="LOG_FORMAT",
        description="human or json; unset: human on a terminal, else json",
    )
    web_concurrency: int = Field(
        1, alias="WEB_CONCURRENCY", ge=1, le=256, description="server processes"
    )
    port: int = Field(8000, alias="PORT", ge=0, le=65535, description="port of the server")

    # -- reading ----------------------------------------------------------------------------------

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing but what the constructor is given: the mapping of ``from_environ``."""
        return (init_settings,)

    @classmethod
    def from_environ(
        cls, environ: Mapping[str, str] | None = None, *, require: Iterable[str] = ()
    ) -> Settings:
        """Read and check the environment.

        Args:
            environ: the variables; the process's own when ``None``.
            require: fields that must be set, ``TO_TAKE_CALLS`` for the web application. Without
                it, a variable that is missing is no error.

        Raises:
            SettingsError: variables are missing or wrong; the message lists all of them.
        """
        environ = os.environ if environ is None else environ
        given = {
            variable: environ[variable].strip()
            for variable in cls.variables().values()
            if environ.get(variable, "").strip()
        }
        problems: list[str] = []
        settings: Settings | None = None
        try:
            settings = cls(**given)  # type: ignore[arg-type]  # pydantic does the conversion
        except ValidationError as error:
            problems = [_problem(dict(item)) for item in error.errors(include_url=False)]
        problems += [_missing(field) for field in require if cls.variables()[field] not in given]
        if settings is None or problems:
            raise SettingsError("\n".join(problems))
        return settings

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Name every field's environment variable."""
        return {name: field.alias or name for name, field in cls.model_fields.items()}

    @classmethod
    def descriptions(cls) -> dict[str, str]:
        """Describe every environment variable in half a line."""
        return {f.alias or n: f.description or "" for n, f in cls.model_fields.items()}

    def require(self, *fields: str) -> None:
        """Insist on fields that are optional in general.

        Raises:
            SettingsError: some are not set; the message lists all of them.
        """
        problems = [_missing(field) for field in fields if getattr(self, field) is None]
        if problems:
            raise SettingsError("\n".join(problems))

    # -- checking ---------------------------------------------------------------------------------

    @field_validator(
        "codec",
        "endpointing",
        "l16_byte_order",
        "log_level",
        "log_format",
        mode="before",
    )
    @classmethod
    def _any_case(cls, value: object, info: ValidationInfo) -> object:
        names = {
            "codec": tuple(CODEC_RATES),
            "endpointing": ("silence", "engine", "either"),
            "l16_byte_order": ("little", "big"),
            "log_level": LOG_LEVELS,
            "log_format": ("human", "json", "auto"),
        }
        return values.choice(value, names[info.field_name or ""])

    @field_validator("stt_model")
    @classmethod
    def _default_model(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("stt_engines", ("",))[0] == "Deepgram":
            return "nova-3"
        return value

    @field_validator("postcall_secret")
    @classmethod
    def _signed(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and info.data.get("postcall_url"):
            raise ValueError("must be set: webhooks to BRIDGE_POSTCALL_URL are signed with it")
        return value

    @field_validator("max_calls", mode="before")
    @classmethod
    def _derived_max_calls(cls, value: object, info: ValidationInfo) -> object:
        threads = info.data.get("threads")
        if value == 0 and threads:
            return threads - max(RESERVED_LEAST, threads // RESERVED_SHARE)
        return value

    @field_validator("max_calls")
    @classmethod
    def _fits_threads(cls, value: int, info: ValidationInfo) -> int:
        threads = info.data.get("threads")
        if threads and value >= threads:
            raise ValueError(
                f"{value} calls need more than the {threads} threads of BRIDGE_THREADS "
                "(each call holds one, and webhooks need some)"
            )
        return value

    # -- what follows from them -------------------------------------------------------------------

    @property
    def media_url(self) -> str:
        """Get the ``wss://`` address of the media route; a token is appended to it.

        Raises:
            SettingsError: ``PUBLIC_URL`` is not set.
        """
        self.require("public_url")
        parts = urlsplit(self.public_url or "")
        scheme = "wss" if parts.scheme == "https" else "ws"
        return f"{scheme}://{parts.netloc}{parts.path}/telnyx/media"

    @property
    def sample_rate(self) -> int:
        """Get the sampling rate that the codec is asked for with, in hertz."""
        return CODEC_RATES[self.codec]

    @property
    def stt_engine(self) -> str:
        """Get the first speech-to-text engine; the others are its fallbacks."""
        return self.stt_engines[0]

    @property
    def tts_voice(self) -> str:
        """Get the first voice; the others are its fallbacks."""
        return self.tts_voices[0]

    def secrets(self) -> list[str]:
        """Collect the values that may appear nowhere; what is logged is searched for them."""
        found = [
            secret.get_secret_value()
            for secret in (
                self.telnyx_api_key,
                self.llm_api_key,
                self.api_token,
                self.dashboard_password,
                self.postcall_secret,
                self.metrics_token,
            )
            if secret is not None
        ]
        for url in (self.redis_url, self.database_url, self.recordings):
            password = urlsplit(url).password if url and "://" in url else None
            if password:
                found.append(password)
        return found


def _missing(field: str) -> str:
    info = Settings.model_fields[field]
    return f"{info.alias} is not set: {info.description}"


# How pydantic's findings are said; what is not here is said in its own words.
_FINDINGS = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "must have at least {min_length} characters",
}


def _problem(error: dict[str, Any]) -> str:
    """Say one validation error as ``VARIABLE …``, without the value of a secret."""
    name = str(error["loc"][0]) if error["loc"] else "settings"
    field = next((f for n, f in Settings.model_fields.items() if name in (n, f.alias)), None)
    variable = field.alias if field is not None else name
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        message = str(context["error"])
    elif error["type"] in _FINDINGS:
        message = _FINDINGS[error["type"]].format(**context)
    else:
        message = str(error["msg"])
    joint = " " if message.startswith(("must ", "is ")) else ": "
    return f"{variable}{joint}{message}"
