"""The wire of streaming synthesis: what is asked, what is understood, what is played once."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telnyx_media.errors import ConfigurationError
from telnyx_media.synthesis import (
    SPEECH_URL,
    AudioFilter,
    Reply,
    TtsOptions,
    end_frame,
    first_frame,
    force_frame,
    parse_reply,
    speech_url,
    text_frame,
)


def query(options: TtsOptions, base: str = SPEECH_URL) -> list[tuple[str, str]]:
    """Get what is asked."""
    return parse_qsl(urlsplit(speech_url(base, options)).query, keep_blank_values=True)


def test_voice_is_escaped() -> None:
    """A voice's name may hold anything."""
    voice = "Azure.en-US-Ava:DragonHD&c=d#x A"

    assert query(TtsOptions(voice=voice), "wss://p/?k=v") == [("k", "v"), ("voice", voice)]


def test_every_option_reaches_the_wire() -> None:
    """Each option is one parameter."""
    options = TtsOptions(
        voice=None,
        provider="minimax",
        model_id="speech-02-hd",
        voice_id="Wise_Woman",
        audio_format="linear16",
        sample_rate=8000,
        language="pt-BR",
        text_type="ssml",
        disable_cache=True,
        pronunciation_dict_id="d1",
        inactivity_timeout=60,
        extra={"socket_id": "s"},
    )

    assert query(options) == [
        ("provider", "minimax"),
        ("model_id", "speech-02-hd"),
        ("voice_id", "Wise_Woman"),
        ("audio_format", "linear16"),
        ("sample_rate", "8000"),
        ("language", "pt-BR"),
        ("text_type", "ssml"),
        ("disable_cache", "true"),
        ("pronunciation_dict_id", "d1"),
        ("inactivity_timeout", "60"),
        ("socket_id", "s"),
    ]
    assert options.name == "minimax.speech-02-hd.Wise_Woman"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"voice": ""}, "voice"),
        ({"voice": None}, "voice"),
        ({"audio_format": "pcm"}, "audio_format.*linear16"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"sample_rate": "8000"}, "sample_rate"),
        ({"inactivity_timeout": -1}, "inactivity_timeout"),
        ({"text_type": "html"}, "text_type.*ssml"),
        ({"voice_settings": {"a": object()}}, "voice_settings"),
    ],
)
def test_error_names_the_parameter(options: dict[str, object], named: str) -> None:
    """A wrong option is one clear sentence, before anything connects."""
    with pytest.raises(ConfigurationError, match=named):
        TtsOptions(**options)  # type: ignore[arg-type]


def test_messages() -> None:
    """The space that comes first, the text with its flush, the empty text that ends."""
    settings = TtsOptions(voice_settings={"voice_speed": 1.2})

    assert json.loads(first_frame(TtsOptions())) == {"text": " "}
    assert json.loads(first_frame(settings)) == {
        "text": " ",
        "voice_settings": {"voice_speed": 1.2},
    }
    assert json.loads(text_frame("Grüße.")) == {"text": "Grüße.", "flush": True}
    assert json.loads(text_frame("a", flush=False)) == {"text": "a"}
    assert json.loads(end_frame()) == {"text": ""}
    assert json.loads(force_frame()) == {"force": True}


def reply(**keys: object) -> Reply | None:
    """Read one message."""
    return parse_reply(json.dumps(keys))


def coded(data: bytes) -> str:
    """Encode audio as it travels."""
    return base64.b64encode(data).decode()


def test_replies_as_the_service_sends_them() -> None:
    """The frames of the messages page."""
    assert reply(audio=coded(b"abc"), text=None, isFinal=False, cached=True) == Reply(
        audio=b"abc", cached=True
    )
    assert reply(audio=None, text="Hi.", isFinal=False) == Reply(text="Hi.")
    assert reply(audio=None, text="", isFinal=True) == Reply(text="", is_final=True)
    assert reply(type="final") == Reply(is_final=True)


@pytest.mark.parametrize(
    "data",
    [
        "", "x", "[]", "7", "null", "{}", '{"audio":7}', '{"audio":"***"}', '{"audio":"abc"}',
        '{"isFinal":"yes"}', '{"audio":null,"text":null,"isFinal":false}', b"\xff\xfb", "[" * 99999,
    ],
)  # fmt: skip
def test_malformed_replies_are_skipped(data: str | bytes) -> None:
    """What cannot be understood is nothing."""
    assert parse_reply(data) is None


@given(st.text() | st.binary())
def test_nothing_breaks_the_parser(data: str | bytes) -> None:
    """Any text and any bytes are survived."""
    parse_reply(data)


@pytest.mark.parametrize(
    "message",
    [
        {"error": "Error in audio response"},
        {"type": "error", "error": "Error in audio response"},
        {"errors": [{"title": "Error in audio response", "code": "1"}]},
        {"error": {"message": "Error in audio response"}},
    ],
)
def test_errors_in_every_shape(message: dict[str, object]) -> None:
    """An error frame carries the service's text."""
    found = parse_reply(json.dumps(message))

    assert found is not None
    assert found.error is not None
    assert found.error.title == "Error in audio response"


def heard(*replies: Reply) -> bytes:
    """Get what is played of several messages."""
    audio_filter = AudioFilter()
    return b"".join(audio_filter.take(reply) for reply in replies)


def test_copies_in_text_bearing_frames_are_dropped() -> None:
    """After audio without text, the audio beside a text is a copy."""
    assert heard(Reply(audio=b"a"), Reply(audio=b"b"), Reply(audio=b"ab", text="t")) == b"ab"


def test_audio_in_text_bearing_frames_only_is_played() -> None:
    """Some providers send one frame per sentence, with text and audio: all of them are played."""
    assert heard(Reply(audio=b"a", text="A."), Reply(audio=b"b", text="B.")) == b"ab"


def test_frames_without_audio_are_silent() -> None:
    """Text alone and the end are no audio."""
    assert heard(Reply(text="x"), Reply(is_final=True)) == b""
