"""The simulator's synthesis socket behaves as Telnyx's does, over a real socket."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from bridge.simulator.numbered import NumberReader
from bridge.simulator.socket import Refusal
from bridge.simulator.speakers import NumberSpeaker, OfflineSpeaker, ToneSpeaker
from bridge.simulator.synthesis import (
    PATH,
    SynthesisBehaviour,
    SynthesisFault,
    SynthesisService,
)
from telnyx_media.codecs import make_codec
from telnyx_media.mp3 import Mp3Decoder
from telnyx_media.pcm import parse_wav_header, rms
from tests.loopback import wait_until
from tests.loopback.speech import KEY, open_socket, receive, receive_all, speech_server

ASTRA = "voice=Telnyx.NaturalHD.astra"
LINEAR = ASTRA + "&audio_format=linear16&sample_rate=8000"
FIRST = {"text": " "}
END = {"text": ""}
TEN = "ten chars."


@pytest.fixture
def service() -> SynthesisService:
    """A service that says each character as 60 ms of a tone at 8 kHz."""
    return SynthesisService(
        api_key=KEY, make_speaker=functools.partial(ToneSpeaker, sample_rate=8000)
    )


@pytest.fixture
def url(service: SynthesisService) -> Iterator[str]:
    """Its address, without a query."""
    with speech_server(tts=service) as base:
        yield base + PATH


def send(socket: ClientConnection, *frames: dict[str, Any]) -> None:
    """Send frames."""
    for frame in frames:
        socket.send(json.dumps(frame))


def speak(url: str, *frames: dict[str, Any]) -> list[dict[str, Any]]:
    """Open a socket, send the first frame, ``frames`` and the end, and get every answer."""
    with open_socket(url) as socket:
        send(socket, FIRST, *frames, END)
        messages = receive_all(socket)
        assert socket.close_code == 1000
        return messages


def audio(messages: list[dict[str, Any]]) -> bytes:
    """Join the audio of messages."""
    return b"".join(base64.b64decode(m["audio"]) for m in messages if m.get("audio"))


@pytest.mark.parametrize(
    ("query", "key", "headers", "status"),
    [
        (ASTRA, None, {}, 401),
        (ASTRA, KEY, {"Origin": "null"}, 403),
        ("voice=Nobody.knows", KEY, {}, 400),
        ("voice=Telnyx.Ultra.abc", KEY, {}, 403),
        (ASTRA + "&sample_rate=5", KEY, {}, 400),
    ],
)
def test_a_handshake_is_refused(
    url: str, query: str, key: str | None, headers: dict[str, str], status: int
) -> None:
    """No key, a browser's header, no such voice: an HTTP answer with an error in it."""
    with pytest.raises(InvalidStatus) as caught:
        open_socket(f"{url}?{query}", key=key, **headers)

    assert caught.value.response.status_code == status


def test_a_text_becomes_audio_then_its_text_then_the_end(
    url: str, service: SynthesisService
) -> None:
    """Audio in frames without text, the text without audio, ``isFinal`` only after the end."""
    messages = speak(f"{url}?{LINEAR}", {"text": TEN, "flush": True})

    *pieces, text, final = messages
    assert len(pieces) == 3
    assert all(p["text"] is None and p["isFinal"] is False for p in pieces)
    assert pieces[0]["timeToFirstAudioFrameMs"] >= 0
    assert all("timeToFirstAudioFrameMs" not in p for p in pieces[1:])
    assert text == {"audio": None, "text": TEN, "isFinal": False, "cached": False}
    assert final == {"audio": None, "text": "", "isFinal": True}
    # Ten characters of 60 ms at 8 kHz.
    assert len(audio(messages)) == 10 * 960
    (record,) = service.sessions
    assert (record.texts, record.characters, record.completed) == (1, 10, True)
    assert abs(record.audio_seconds - 0.6) < 0.001
    assert "ten" not in repr(record)


@pytest.mark.parametrize(
    "first", ['{"text":"Hello."}', '{"text":""}', "nonsense", "[]", '{"text":7}', '{"flush":true}']
)
def test_the_first_frame_is_a_single_space(url: str, first: str) -> None:
    """Anything else is an invalid message, and the socket closes."""
    with open_socket(f"{url}?{ASTRA}") as socket:
        socket.send(first)

        assert receive_all(socket) == [{"error": "Invalid message"}]


def test_text_waits_for_the_end_of_its_sentence(url: str) -> None:
    """Words may come one by one; a sentence that nothing ends is spoken with the end frame."""
    words = ("One two", " three. ", "Four", " five")
    messages = speak(f"{url}?{LINEAR}", *({"text": word} for word in words))

    assert [m["text"] for m in messages if m["text"]] == ["One two three.", "Four five"]


def test_text_may_wait_for_a_flush(service: SynthesisService) -> None:
    """The other behaviour seen: nothing is spoken before it is asked for."""
    service.behaviour = SynthesisBehaviour(buffering="flush")
    with speech_server(tts=service) as base, open_socket(f"{base}{PATH}?{LINEAR}") as socket:
        send(socket, FIRST, {"text": "One. "}, {"text": "Two. "})
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.05)
        send(socket, {"text": "Three.", "flush": True}, END)

        texts = [m["text"] for m in receive_all(socket) if m["text"]]
    assert texts == ["One. Two. Three."]


def test_final_may_follow_each_text(service: SynthesisService) -> None:
    """As the documentation has it: the socket stays open behind it."""
    service.behaviour = SynthesisBehaviour(final_per_text=True)
    with speech_server(tts=service) as base:
        messages = speak(
            f"{base}{PATH}?{LINEAR}", {"text": "One. "}, {"text": "Two.", "flush": True}
        )

    assert [m["isFinal"] for m in messages if not m["audio"]] == [False, True, False, True, True]


def test_some_voices_put_audio_beside_the_text(url: str) -> None:
    """AWS and Azure: one frame per text, with both in it."""
    messages = speak(
        f"{url}?voice=AWS.Polly.Joanna&audio_format=linear16&sample_rate=8000",
        {"text": TEN, "flush": True},
    )

    assert [m["text"] for m in messages] == [TEN, ""]
    assert len(audio(messages)) == 10 * 960


def test_a_streaming_voice_may_repeat_its_audio(service: SynthesisService) -> None:
    """The text-bearing frame then holds a copy of everything before it."""
    service.behaviour = SynthesisBehaviour(duplicates=True)
    with speech_server(tts=service) as base:
        *pieces, text, _ = speak(f"{base}{PATH}?{LINEAR}", {"text": TEN, "flush": True})

    assert audio(pieces) == audio([text])


def test_mp3_comes_as_a_file_for_each_sentence(url: str) -> None:
    """The default: files one behind the other, each with its tag at the head of a message."""
    messages = speak(f"{url}?{ASTRA}", {"text": TEN + " "}, {"text": TEN, "flush": True})

    heads = [base64.b64decode(m["audio"])[:3] == b"ID3" for m in messages if m["audio"]]
    assert heads.count(True) == 2
    assert heads[0]
    decoder = Mp3Decoder(8000)
    pcm = decoder.feed(audio(messages)) + decoder.close()
    assert abs(len(pcm) / 16000 - 1.2) < 0.06
    assert rms(pcm) > 3000


def test_minimax_cuts_its_mp3_anywhere(url: str) -> None:
    """Messages do not end where MP3 frames do."""
    messages = speak(f"{url}?voice=Minimax.speech-02-hd.x", {"text": TEN * 3, "flush": True})

    sizes = [len(base64.b64decode(m["audio"])) for m in messages if m["audio"]]
    assert set(sizes[:-1]) == {1000}


def test_formats_and_rates_are_obeyed_by_voices_that_obey(url: str) -> None:
    """WAV has its head once; µ-law is µ-law; the rate is the one asked for."""
    azure = f"{url}?voice=Azure.en-US-Ava"
    wav = audio(speak(f"{azure}&audio_format=wav&sample_rate=16000", {"text": TEN, "flush": True}))
    mulaw = audio(
        speak(f"{azure}&audio_format=mulaw&sample_rate=8000", {"text": TEN, "flush": True})
    )

    head = parse_wav_header(wav)
    assert head is not None
    assert (head.sample_rate, len(wav) - head.data_offset) == (16000, 19200)
    assert len(mulaw) == 4800
    assert rms(make_codec("PCMU").decode(mulaw)) > 3000


def test_pcm_is_taken_and_never_answered(url: str) -> None:
    """The name that Telnyx's SDK lists brings a clean end without a sound."""
    messages = speak(f"{url}?{ASTRA}&audio_format=pcm", {"text": TEN, "flush": True})

    assert audio(messages) == b""


def test_numbers_come_in_order_from_text_to_text() -> None:
    """Three packets to a character, counted on: a client can tell what is missing."""
    service = SynthesisService(api_key=KEY, make_speaker=NumberSpeaker)
    with speech_server(tts=service) as base:
        messages = speak(
            f"{base}{PATH}?{LINEAR}", {"text": "One. "}, {"text": "Two.", "flush": True}
        )

    assert NumberReader().feed(audio(messages)) == list(range(24))


def test_force_drops_the_work_and_goes_on(service: SynthesisService) -> None:
    """A barge-in on a socket that is kept: the rest of the old text never comes."""
    service.behaviour = SynthesisBehaviour(pace=2.0)
    with speech_server(tts=service) as base, open_socket(f"{base}{PATH}?{LINEAR}") as socket:
        send(socket, FIRST, {"text": "long " * 100 + ".", "flush": True})
        assert receive(socket)["audio"]
        send(socket, {"force": True}, {"text": TEN, "flush": True}, END)
        messages = receive_all(socket)

    assert [m["text"] for m in messages if m["text"]] == [TEN]
    assert service.sessions[0].forced == 1
    assert service.sessions[0].audio_seconds < 40


def test_paced_audio_takes_its_time(service: SynthesisService) -> None:
    """Three pieces of 200 ms at twice real time leave 100 ms apart."""
    service.behaviour = SynthesisBehaviour(pace=2.0, first_delay=0.05)
    with speech_server(tts=service) as base:
        speak(f"{base}{PATH}?{LINEAR}", {"text": TEN, "flush": True})

    (record,) = service.sessions
    assert record.closed_at is not None
    assert record.closed_at - record.opened_at >= 0.25
    assert record.first_audio[0] >= 0.05


def test_markdown_is_not_spoken_and_blank_text_is_nothing(url: str) -> None:
    """Signs of emphasis are taken out; a blank between sentences is no text."""
    messages = speak(
        f"{url}?{LINEAR}", {"text": "**Bold** _words_.", "flush": True}, {"text": "  "}
    )

    assert [m["text"] for m in messages if m["text"]] == ["Bold words."]


def test_an_idle_socket_is_closed(url: str) -> None:
    """Twenty seconds by default, or as the query says."""
    with open_socket(f"{url}?{ASTRA}&inactivity_timeout=0.1") as socket:
        send(socket, FIRST)

        assert receive_all(socket) == []
        assert socket.close_code == 1000


def test_faults_strike_once(url: str, service: SynthesisService) -> None:
    """Refused, failed, closed early and cut: one connection each, and then all is well."""
    text = {"text": TEN, "flush": True}
    service.fail(SynthesisFault(refusal=Refusal.of(503, "10007", "Unavailable", "busy")))
    service.fail(SynthesisFault(after=0, kind="error"))
    service.fail(SynthesisFault(after=1, kind="close"))
    service.fail(SynthesisFault(after=2, kind="abort"))

    with pytest.raises(InvalidStatus):
        open_socket(f"{url}?{LINEAR}")
    seen = []
    for _ in range(3):
        with open_socket(f"{url}?{LINEAR}") as socket:
            send(socket, FIRST, text, END)
            messages = receive_all(socket)
            seen.append((len(messages), "error" in messages[0], socket.close_code == 1006))
    assert seen == [(1, True, False), (1, False, False), (2, False, True)]
    assert len(audio(speak(f"{url}?{LINEAR}", text))) == 9600


def test_a_stalled_socket_says_nothing_and_ends_with_its_client(
    url: str, service: SynthesisService
) -> None:
    """The client has to have a deadline of its own."""
    service.fail(SynthesisFault(after=1, kind="stall"))
    with open_socket(f"{url}?{LINEAR}") as socket:
        send(socket, FIRST, {"text": TEN, "flush": True}, END)
        assert receive(socket)["audio"]
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.05)

    wait_until(lambda: service.sessions[0].closed_at, "the end of the session")


@pytest.mark.slow
def test_the_embedded_voice_speaks_over_the_socket() -> None:
    """Real speech as MP3, quicker when the voice settings say so."""
    service = SynthesisService(api_key=KEY, make_speaker=OfflineSpeaker)
    text = {"text": "Good evening. How many people will there be?", "flush": True}
    with speech_server(tts=service) as base:
        messages = speak(f"{base}{PATH}?{ASTRA}", text)
        with open_socket(f"{base}{PATH}?{ASTRA}") as socket:
            send(socket, {"text": " ", "voice_settings": {"voice_speed": 1.5}}, text, END)
            receive_all(socket)

    decoder = Mp3Decoder(8000)
    pcm = decoder.feed(audio(messages)) + decoder.close()
    slow, fast = (record.audio_seconds for record in service.sessions)
    assert abs(len(pcm) / 16000 - slow) < 0.1
    assert rms(pcm) > 500
    assert fast < 0.8 * slow
