"""The simulator reads queries as Telnyx does."""

from __future__ import annotations

import json

import pytest

from bridge.simulator import engines, voicequery
from bridge.simulator.socket import Handshake, check_access


def stt(query: str) -> Handshake:
    """Make a handshake of the transcription socket."""
    return Handshake.parse(f"/v2/speech-to-text/transcription?{query}", {})


def tts(query: str) -> Handshake:
    """Make a handshake of the synthesis socket."""
    return Handshake.parse(f"/v2/text-to-speech/speech?{query}", {})


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("transcription_engine=Deepgram&input_format=raw", "40001"),
        ("transcription_engine=Telnyx&input_format=mulaw&sample_rate=8000", "40002"),
        ("transcription_engine=Google&input_format=alaw&sample_rate=8000", "40002"),
        ("transcription_engine=Deepgram&input_format=g729&sample_rate=8000", "40002"),
        ("transcription_engine=Deepgram&input_format=linear16", "40003"),
        ("transcription_engine=Deepgram&input_format=mulaw&sample_rate=8k", "40004"),
        ("transcription_engine=Deepgram&input_format=linear16&sample_rate=0", "40004"),
        ("transcription_engine=Deepgram&input_format=mulaw&sample_rate=16000", "40005"),
        ("transcription_engine=Deepgram&model=flux&input_format=mp3", "40006"),
        ("transcription_engine=telnyx&input_format=wav", "40007"),
    ],
)
def test_a_wrong_query_gets_the_documented_code(query: str, code: str) -> None:
    """Each of 40001 to 40007 comes in the ``errors`` shape, naming the parameter."""
    assert engines.check_query(stt(query)) is None
    with pytest.raises(engines.RequestError) as caught:
        engines.read_request(stt(query))

    (error,) = json.loads(caught.value.text)["errors"]
    assert code == error["code"]
    assert error["source"]["parameter"]


@pytest.mark.parametrize(
    "query",
    [
        "transcription_engine=Deepgram&interim_results=yes",
        "transcription_engine=Deepgram&endpointing=soon",
        "transcription_engine=Soniox&endpointing=100",
        "transcription_engine=Deepgram&model=whisper",
        "transcription_engine=Deepgram&model=nova-3&eot_threshold=0.7",
        "transcription_engine=Deepgram&model=flux&eot_threshold=0.95",
    ],
)
def test_a_bad_parameter_is_refused_at_the_handshake(query: str) -> None:
    """What the service answers with HTTP 400 never becomes a socket."""
    refusal = engines.check_query(stt(query))

    assert refusal is not None
    assert refusal.status == 400


def test_engines_take_what_they_take() -> None:
    """Model prefix, endpointing and interims are read as each engine has them."""
    query = "&input_format=linear16&sample_rate=16000&interim_results=true&endpointing=300"
    deepgram = engines.read_request(
        stt("transcription_engine=Deepgram&model=deepgram/nova-2" + query)
    )
    telnyx = engines.read_request(stt("transcription_engine=Telnyx" + query))

    assert (
        deepgram.model, deepgram.interims, deepgram.endpoint, deepgram.endpointing,
    ) == ("nova-2", True, 0.3, True)  # fmt: skip
    assert (telnyx.interims, telnyx.endpoint, telnyx.endpointing) == (False, 0.7, False)


def test_endpointing_can_be_switched_off() -> None:
    """Utterances then end after a second and are not marked."""
    off = engines.read_request(
        stt("transcription_engine=Deepgram&input_format=wav&endpointing=false")
    )

    assert (off.endpoint, off.endpointing) == (1.0, False)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic secret"}, 401),
        ({"Authorization": "Bearer secret", "Origin": "http://localhost"}, 403),
        ({"Authorization": "Bearer secret"}, None),
    ],
)
def test_access_needs_the_key_and_no_origin(headers: dict[str, str], status: int | None) -> None:
    """The edge turns away browsers, and everybody without the key."""
    refusal = check_access(Handshake.parse("/", headers), "secret")

    assert status == (refusal.status if refusal else None)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("voice=Nobody.At.all", 400),
        ("voice=Telnyx.Unheard.of", 400),
        ("voice=Telnyx.NaturalHD", 400),
        ("voice=AWS.Polly.Gone", 400),
        ("voice=Telnyx.Ultra.abc", 403),
        ("voice=Telnyx.NaturalHD.astra&audio_format=aac", 400),
        ("voice=Telnyx.NaturalHD.astra&sample_rate=96001", 400),
        ("voice=Telnyx.KokoroTTS.af_heart&sample_rate=8000", 400),
        ("voice=Telnyx.NaturalHD.astra&text_type=markdown", 400),
        ("voice=Telnyx.NaturalHD.astra", None),
        ("provider=telnyx&model_id=NaturalHD&voice_id=astra", None),
        ("voice=Azure.en-US-Ava%3ADragonHD", None),
    ],
)
def test_a_voice_is_found_or_refused(query: str, status: int | None) -> None:
    """Unknown voices and impossible rates are 400, voices that are not served here 403."""
    refusal = voicequery.check_query(tts(query), frozenset({"AWS.Polly.Gone"}))

    assert status == (refusal.status if refusal else None)


@pytest.mark.parametrize(
    ("query", "audio_format", "rate"),
    [
        ("voice=Telnyx.NaturalHD.astra", "mp3", 24000),
        ("voice=Telnyx.NaturalHD.astra&audio_format=linear16&sample_rate=8000", "linear16", 8000),
        ("voice=Telnyx.NaturalHD.astra&sample_rate=16000", "mp3", 16000),
        ("voice=Telnyx.NaturalHD.astra&audio_format=mulaw&sample_rate=8000", "mp3", 24000),
        ("voice=Telnyx.KokoroTTS.af_heart&audio_format=linear16", "mp3", 22050),
        ("voice=Azure.en-US-Ava&audio_format=mulaw&sample_rate=8000", "mulaw", 8000),
        ("voice=FishAudio.s2.abc", "linear16", 24000),
        ("voice=Telnyx.NaturalHD.astra&output_format=wav", "mp3", 24000),
    ],
)
def test_a_voice_delivers_what_it_obeys(query: str, audio_format: str, rate: int) -> None:
    """A format that a voice does not know comes back as MP3, without a word."""
    request = voicequery.read_request(tts(query))

    assert (audio_format, rate) == (request.audio_format, request.sample_rate)
