"""The environment becomes a frozen object, or a list of everything that is wrong with it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from bridge.errors import SettingsError
from bridge.settings import TO_TAKE_CALLS, Settings

PUBLIC_KEY = base64.b64encode(bytes(range(32))).decode()

ENOUGH = {
    "TELNYX_API_KEY": "KEY0123456789ABCDEF_secretsecret",
    "TELNYX_PUBLIC_KEY": PUBLIC_KEY,
    "PUBLIC_URL": "https://calls.example.com",
}


def problems(environ: Mapping[str, str], *require: str) -> list[str]:
    """Read settings that are wrong, and get the lines that say so."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ(environ, require=require)
    return str(caught.value).splitlines()


def test_the_required_ones_are_enough() -> None:
    """Two keys and an address, and calls can be taken; the rest has defaults."""
    settings = Settings.from_environ(ENOUGH, require=TO_TAKE_CALLS)
    assert settings.codec == "PCMU"
    assert settings.endpoint_ms == 500
    assert settings.barge_in is True
    assert settings.drain_seconds == 25
    assert settings.agent == "bridge.agents.receptionist:answer"
    assert (settings.stt_engine, settings.stt_model) == ("Deepgram", "nova-3")
    assert settings.tts_voices == ("Telnyx.NaturalHD.astra",)
    assert (settings.web_concurrency, settings.port) == (1, 8000)


def test_nothing_is_required_unless_asked_for() -> None:
    """Commands that place no call run on an empty environment."""
    settings = Settings.from_environ({})
    assert settings.telnyx_api_key is None
    with pytest.raises(SettingsError, match="TELNYX_API_KEY is not set"):
        settings.require("telnyx_api_key")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    """One line per variable, missing and wrong ones together, each naming what to set."""
    lines = problems(
        {
            "PUBLIC_URL": "http://calls.example.com",
            "BRIDGE_CODEC": "mp3",
            "BRIDGE_ENDPOINT_MS": "soon",
            "BRIDGE_BARGE_IN": "maybe",
            "LOG_LEVEL": "loud",
        },
        *TO_TAKE_CALLS,
    )
    assert [line.split()[0].rstrip(":") for line in lines] == [
        "PUBLIC_URL",
        "BRIDGE_CODEC",
        "BRIDGE_ENDPOINT_MS",
        "BRIDGE_BARGE_IN",
        "LOG_LEVEL",
        "TELNYX_API_KEY",
        "TELNYX_PUBLIC_KEY",
    ]
    assert "must be https://" in lines[0]
    assert "PCMU, PCMA, G722, OPUS, L16" in lines[1]
    assert "must be a whole number" in lines[2]


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("BRIDGE_ENDPOINT_MS", "99", "must be at least 100"),
        ("BRIDGE_ENDPOINT_MS", "5001", "must be at most 5000"),
        ("BRIDGE_CHUNK_MS", "50", "must be a multiple of 20"),
        ("BRIDGE_DRAIN_SECONDS", "nan", "must be a number"),
        ("BRIDGE_MAX_CALLS", "0", "must be at least 1"),
        ("PORT", "70000", "must be at most 65535"),
        ("BRIDGE_AGENT", "answer", "is not module:callable"),
        ("BRIDGE_AGENT", "my-agent:answer", "is not module:callable"),
        ("BRIDGE_AGENT", "agent:", "is not module:callable"),
        ("PUBLIC_URL", "calls.example.com", "must begin with https://"),
        ("PUBLIC_URL", "https://a.example/?x=1", "must be the plain address"),
        ("PUBLIC_URL", "https://[::1", "is not a URL"),
        ("TELNYX_API_URL", "http://api.example.com/v2", "must be https://"),
        ("TELNYX_STT_URL", "https://api.telnyx.com/stt", "must begin with wss://"),
        ("TELNYX_PUBLIC_KEY", "-----BEGIN PUBLIC KEY-----", "is a PEM file"),
        ("TELNYX_PUBLIC_KEY", "not base64!", "is not base64"),
        ("TELNYX_PUBLIC_KEY", "c2hvcnQ=", "must be the base64 of 32 bytes, and holds 5"),
        ("BRIDGE_STT_ENGINE", "Deepgram, Whisper", "'Whisper' is not one of Deepgram"),
        ("BRIDGE_TTS_VOICE", " , ", "name at least one"),
        ("BRIDGE_OVERFLOW", "music", "must be one of busy, queue, say:…, transfer:…"),
        ("BRIDGE_OVERFLOW", "transfer:Bob", "must be followed by a number like +1"),
        ("BRIDGE_OVERFLOW", "say:", "must be followed by what to say"),
        ("BRIDGE_RESUME", "sing", "must be one of again, hangup, transfer:…"),
        ("TELNYX_API_KEY", "KEY01 23", "holds characters that no key has"),
        ("TELNYX_API_KEY", "KEY\u2026", "holds characters that no key has"),
        ("REDIS_URL", "localhost:6379", "must begin with redis://"),
        ("DATABASE_URL", "calls.db", "must be a database URL"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(
    variable: str, value: str, says: str
) -> None:
    """The line begins with the variable and says what it has to be."""
    (line,) = problems({variable: value})
    assert line.startswith(variable)
    assert says in line


@pytest.mark.parametrize(
    "variable",
    ["BRIDGE_API_TOKEN", "BRIDGE_DASHBOARD_PASSWORD", "DATABASE_URL", "REDIS_URL", "PUBLIC_URL"],
)
def test_no_error_quotes_a_secret(variable: str) -> None:
    """What is wrong with a secret is said without it."""
    (line,) = problems({variable: "hunter2"})
    assert "hunter2" not in line


def test_no_repr_shows_a_secret() -> None:
    """Settings can be printed."""
    settings = Settings.from_environ(
        {
            **ENOUGH,
            "DATABASE_URL": "postgres://u:dbpassword@db/x",
            "REDIS_URL": "rediss://:redispassword@redis:6379",
            "BRIDGE_RECORDINGS": "s3://id:s3password@bucket/calls",
            "BRIDGE_API_TOKEN": "0123456789-api-token",
            "BRIDGE_DASHBOARD_PASSWORD": "dashpassword",
        }
    )
    shown = repr(settings) + str(settings)
    for secret in settings.secrets():
        assert secret not in shown
    assert set(settings.secrets()) == {
        ENOUGH["TELNYX_API_KEY"],
        "0123456789-api-token",
        "dashpassword",
        "dbpassword",
        "redispassword",
        "s3password",
    }


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_is_an_unset_one(value: str) -> None:
    """Hosts and compose files leave empty variables behind."""
    settings = Settings.from_environ({"BRIDGE_CODEC": value, "REDIS_URL": value})
    assert settings.codec == "PCMU"
    assert settings.redis_url is None
    assert "TELNYX_API_KEY is not set" in problems({"TELNYX_API_KEY": value}, "telnyx_api_key")[0]


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ("postgres://u:p@db:5432/x", "postgresql+psycopg://u:p@db:5432/x"),
        ("postgresql://db/x?sslmode=require", "postgresql+psycopg://db/x?sslmode=require"),
        ("postgresql+psycopg://db/x", "postgresql+psycopg://db/x"),
        ("sqlite:///calls.db", "sqlite:///calls.db"),
    ],
)
def test_hosts_spellings_of_databases_are_understood(given: str, becomes: str) -> None:
    """What Heroku puts into DATABASE_URL works as it is."""
    assert Settings.from_environ({"DATABASE_URL": given}).database_url == becomes


@pytest.mark.parametrize(
    ("public_url", "media_url"),
    [
        ("https://calls.example.com", "wss://calls.example.com/telnyx/media"),
        ("https://calls.example.com/", "wss://calls.example.com/telnyx/media"),
        ("https://example.com:8443/phone/", "wss://example.com:8443/phone/telnyx/media"),
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/telnyx/media"),
        ("http://localhost:8000", "ws://localhost:8000/telnyx/media"),
        ("http://[::1]:8000", "ws://[::1]:8000/telnyx/media"),
    ],
)
def test_the_media_address_follows_from_the_public_one(public_url: str, media_url: str) -> None:
    """The scheme follows; unencrypted is for loopback only."""
    assert Settings.from_environ({"PUBLIC_URL": public_url}).media_url == media_url


def test_the_media_address_needs_the_public_one() -> None:
    """Without PUBLIC_URL there is none to make."""
    with pytest.raises(SettingsError, match="PUBLIC_URL"):
        _ = Settings.from_environ({}).media_url


def test_names_are_understood_in_any_case() -> None:
    """The spelling that the services insist on is found whatever was typed."""
    settings = Settings.from_environ(
        {
            "BRIDGE_CODEC": "pcma",
            "BRIDGE_STT_ENGINE": "telnyx , DEEPGRAM,xai",
            "LOG_LEVEL": "DEBUG",
            "LOG_FORMAT": "JSON",
            "BRIDGE_OVERFLOW": "Busy",
        }
    )
    assert settings.codec == "PCMA"
    assert settings.stt_engines == ("Telnyx", "Deepgram", "xAI")
    assert (settings.log_level, settings.log_format) == ("debug", "json")


@pytest.mark.parametrize(
    ("engine", "model", "used"),
    [
        ("Deepgram", "", "nova-3"),
        ("Telnyx", "", None),
        ("Deepgram,Telnyx", "", "nova-3"),
        ("Deepgram", "flux", "flux"),
        ("Telnyx", "openai/whisper-tiny", "openai/whisper-tiny"),
    ],
)
def test_the_default_model_belongs_to_its_engine(engine: str, model: str, used: str | None) -> None:
    """nova-3 is Deepgram's; other engines choose their own."""
    settings = Settings.from_environ({"BRIDGE_STT_ENGINE": engine, "BRIDGE_STT_MODEL": model})
    assert settings.stt_model == used


@pytest.mark.parametrize(
    ("codec", "rate"),
    [("PCMU", 8000), ("PCMA", 8000), ("G722", 8000), ("OPUS", 16000), ("L16", 16000)],
)
def test_a_codec_brings_its_rate(codec: str, rate: int) -> None:
    """What the media stream is asked for with."""
    assert Settings.from_environ({"BRIDGE_CODEC": codec}).sample_rate == rate


@pytest.mark.parametrize(("threads", "calls"), [(5, 1), (16, 12), (64, 56), (400, 350)])
def test_calls_follow_from_threads(threads: int, calls: int) -> None:
    """Some threads are kept for webhooks and pages."""
    assert Settings.from_environ({"BRIDGE_THREADS": str(threads)}).max_calls == calls


def test_more_calls_than_threads_are_refused() -> None:
    """A call without a thread would never be heard."""
    (line,) = problems({"BRIDGE_MAX_CALLS": "64"})
    assert "BRIDGE_THREADS" in line
    settings = Settings.from_environ({"BRIDGE_MAX_CALLS": "64", "BRIDGE_THREADS": "70"})
    assert settings.max_calls == 64


@pytest.mark.parametrize(
    ("text", "value"), [("on", True), ("OFF", False), ("true", True), ("0", False), ("yes", True)]
)
def test_a_switch_is_on_or_off(text: str, value: bool) -> None:
    """Other words for it are understood."""
    assert Settings.from_environ({"BRIDGE_BARGE_IN": text}).barge_in is value


def test_home_is_expanded() -> None:
    """``~`` is the user's directory."""
    home = Settings.from_environ({"BRIDGE_HOME": "~/calls"}).home
    assert home == Path("~/calls").expanduser()


def test_a_user_without_a_home_has_a_directory_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container that runs under a number."""

    def nowhere(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nowhere)
    assert Settings.from_environ({}).home.is_absolute()
    (line,) = problems({"BRIDGE_HOME": "~/calls"})
    assert line.startswith("BRIDGE_HOME: begins with ~")


def test_what_was_pasted_with_spaces_around_it_is_meant_without() -> None:
    """A key out of a file ends in a line break."""
    settings = Settings.from_environ({"TELNYX_API_KEY": " KEY0123\n", "PORT": " 5000 "})
    assert settings.telnyx_api_key is not None
    assert settings.telnyx_api_key.get_secret_value() == "KEY0123"
    assert settings.port == 5000


def test_settings_are_frozen() -> None:
    """Read once; nothing changes them."""
    settings = Settings.from_environ({})
    with pytest.raises(ValidationError):
        settings.codec = "L16"


def test_variables_that_are_not_ours_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither strangers in the mapping nor the process's environment behind our back."""
    monkeypatch.setenv("BRIDGE_CODEC", "L16")
    assert Settings.from_environ({"BRIDGE_COLOUR": "red", "PATH": "/bin"}).codec == "PCMU"
    assert Settings.from_environ().codec == "L16"


def test_every_variable_is_described() -> None:
    """``bridge doctor`` has something to say about each."""
    descriptions = Settings.descriptions()
    assert all(len(text) > 10 for text in descriptions.values())
    assert {"TELNYX_API_KEY", "PUBLIC_URL", "BRIDGE_AGENT", "PORT"} <= set(descriptions)


def test_transfers_are_named() -> None:
    """A name for the model, a number for Telnyx; what is neither is told without quoting it."""
    environ = {**ENOUGH, "BRIDGE_LLM_TRANSFERS": "Sales=+12025550101, help = sip:a@example.com,"}
    assert Settings.from_environ(environ).llm_transfers == {
        "sales": "+12025550101",
        "help": "sip:a@example.com",
    }
    for wrong in ("sales", "=+12025550199", "sales=2025550199", "sales=+1 202"):
        [line] = problems({**ENOUGH, "BRIDGE_LLM_TRANSFERS": wrong})
        assert line.startswith("BRIDGE_LLM_TRANSFERS must be name=number")
        assert "2025550199" not in line
