"""How a media stream is asked for."""

from __future__ import annotations

import pytest

from bridge.settings import Settings
from bridge.streamparameters import stream_parameters, streams_on_answer


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722"])
def test_an_8_khz_stream_is_asked_for_with_the_answer(codec: str) -> None:
    """Everything is said explicitly, and no rate: ``answer`` documents none."""
    settings = Settings.from_environ({"BRIDGE_CODEC": codec})
    assert streams_on_answer(settings)
    assert stream_parameters(settings, "wss://x/t", command="answer") == {
        "stream_url": "wss://x/t",
        "stream_track": "inbound_track",
        "stream_codec": codec,
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": codec,
        "stream_bidirectional_target_legs": "self",
    }


@pytest.mark.parametrize("codec", ["L16", "OPUS"])
def test_a_16_khz_stream_is_asked_for_after_the_answer(codec: str) -> None:
    """By a command that documents the rate."""
    settings = Settings.from_environ({"BRIDGE_CODEC": codec})
    assert not streams_on_answer(settings)
    with pytest.raises(ValueError, match="takes no rate"):
        stream_parameters(settings, "wss://x/t", command="answer")
    for command in ("dial", "streaming_start"):
        parameters = stream_parameters(settings, "wss://x/t", command=command)
        assert parameters["stream_bidirectional_sampling_rate"] == 16000
        assert parameters["stream_codec"] == parameters["stream_bidirectional_codec"] == codec
