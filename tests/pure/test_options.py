"""Options that cannot be used are one clear sentence when the object is made."""

from __future__ import annotations

from typing import Any

import pytest

from telnyx_media.errors import ConfigurationError
from telnyx_media.sync.stt import SpeechToText
from telnyx_media.sync.tts import TextToSpeech

KEY = "KEY-of-the-tests"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"engine": 5}, "transcription_engine: a text"),
        ({"model": 5}, "model: a text"),
        ({"language": " "}, "language: a text"),
        ({"keyterms": None}, "keyterms: a list"),
        ({"keyterms": [5]}, "keyterms: a list"),
        ({"model": "flux", "eot_timeout_ms": "long"}, "eot_timeout_ms: 500 to 10000"),
        ({"fallbacks": [5]}, "fallbacks: a list"),
        ({"fallbacks": "nobody"}, "transcription_engine: 'nobody'"),
        ({"base_url": "https://api.telnyx.com"}, "base_url: an absolute wss://"),
        ({"base_url": ""}, "base_url: an absolute wss://"),
        ({"buffer_seconds": -1}, "buffer_seconds: a positive number"),
        ({"connect_timeout": float("nan")}, "connect_timeout: a positive number"),
        ({"dead_after": None}, "dead_after: a positive number"),
    ],
)
def test_transcription_options(options: dict[str, Any], named: str) -> None:
    """The message names the option."""
    with pytest.raises(ConfigurationError, match=named) as caught:
        SpeechToText(api_key=KEY, **options)
    assert isinstance(caught.value, ValueError)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"voice": ""}, "voice: a text"),
        ({"voice": 5}, "voice: a text"),
        ({"language": ""}, "language: a text"),
        ({"fallbacks": 5}, "fallbacks: a list"),
        ({"base_url": "http://h"}, "base_url: an absolute wss://"),
        ({"reply_timeout": 0}, "reply_timeout: a positive number"),
        ({"ping_interval": True}, "ping_interval: a positive number"),
    ],
)
def test_synthesis_options(options: dict[str, Any], named: str) -> None:
    """The same of the voice."""
    with pytest.raises(ConfigurationError, match=named):
        TextToSpeech(api_key=KEY, **options)


def test_one_fallback_need_not_be_a_list() -> None:
    """A name by itself is one name, not a list of letters."""
    stt = SpeechToText(api_key=KEY, fallbacks="telnyx", keyterms="Telnyx")
    assert [plan.engine for plan in stt.plans] == ["Deepgram", "Telnyx"]
    assert stt.plans[0].keyterms == ("Telnyx",)
    tts = TextToSpeech(api_key=KEY, voice="A.b", fallbacks="C.d")
    assert [plan.name for plan in tts.plans] == ["A.b", "C.d"]


def test_a_blank_model_lets_telnyx_choose() -> None:
    """As an environment variable without a value has it."""
    assert SpeechToText(api_key=KEY, model="").plans[0].model is None
