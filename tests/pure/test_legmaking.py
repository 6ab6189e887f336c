"""What the settings make of a leg's services."""

from __future__ import annotations

import pytest

from bridge.legmaking import text_to_speech
from bridge.settings import Settings

ENVIRON = {
    "TELNYX_API_KEY": "KEY0",
    "TELNYX_PUBLIC_KEY": "iB4kfZUoQ7hDsWjvJfhf3M1dn0kQWvuI1mYzCkrN8m8=",
    "PUBLIC_URL": "https://bridge.example.com",
}


@pytest.mark.parametrize(
    ("plain", "wanted", "asked"),
    [
        ("", None, None),
        ("Telnyx.NaturalHD", None, "linear16"),
        ("AWS.Polly, Telnyx.NaturalHD", None, "linear16"),
        ("Telnyx.NaturalHD", "Telnyx.KokoroTTS.af", None),
    ],
)
def test_voices_that_obey_are_asked_for_plain_samples(
    plain: str, wanted: str | None, asked: str | None
) -> None:
    """Only those that were named, and never a fallback."""
    environ = ENVIRON | {"BRIDGE_TTS_VOICE": "Telnyx.NaturalHD.astra,Telnyx.KokoroTTS.af"}
    if plain:
        environ["BRIDGE_TTS_PLAIN"] = plain
    first, *fallbacks = text_to_speech(Settings.from_environ(environ), wanted).plans

    assert first.audio_format == asked
    assert first.sample_rate == (16000 if asked else None)
    assert [plan.audio_format for plan in fallbacks] == [None] * len(fallbacks)
