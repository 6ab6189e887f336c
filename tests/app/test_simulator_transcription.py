"""The simulator's transcription socket behaves as Telnyx's does, over a real socket."""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Callable, Iterator, Sequence
from socket import SHUT_RDWR
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from bridge.simulator.listeners import (
    BurstListener,
    Cue,
    CueListener,
    NumberListener,
    OfflineListener,
    Said,
)
from bridge.simulator.numbered import numbered_audio, numbered_packet
from bridge.simulator.offline.accuracy import word_errors
from bridge.simulator.socket import Refusal
from bridge.simulator.speakers import ToneSpeaker
from bridge.simulator.transcription import PATH, TranscriptionFault, TranscriptionService
from telnyx_media.codecs import make_codec
from telnyx_media.pcm import silence, wav_header
from tests.loopback import wait_until
from tests.loopback.speech import KEY, open_socket, receive, receive_all, speech_server
from tests.loopback.voices import TRANSCRIPTS, recording

DEEPGRAM = "transcription_engine=Deepgram&input_format=linear16&sample_rate=8000"
TELNYX = "transcription_engine=Telnyx&input_format=linear16&sample_rate=8000"
CLOSE = '{"type":"CloseStream"}'


@pytest.fixture
def service() -> TranscriptionService:
    """A service that says "word 1", "word 2" … for bursts of sound."""
    return TranscriptionService(api_key=KEY, listen=BurstListener)


@pytest.fixture
def url(service: TranscriptionService) -> Iterator[str]:
    """Its address, without a query."""
    with speech_server(stt=service) as base:
        yield base + PATH


def burst(seconds: float = 0.5, after: float = 0.3) -> bytes:
    """Make a tone and silence behind it."""
    speaker = ToneSpeaker(seconds_per_character=seconds, sample_rate=8000)
    return b"".join(speaker.speak("-", 1.0)) + silence(after, 8000)


def send_audio(socket: ClientConnection, pcm: bytes, size: int = 320) -> None:
    """Send audio in messages of that many bytes."""
    for at in range(0, len(pcm), size):
        socket.send(pcm[at : at + size])


def finals(messages: Sequence[dict[str, Any]]) -> list[str]:
    """Get the words of final transcripts."""
    return [m["transcript"] for m in messages if m["is_final"] and m["transcript"]]


@pytest.mark.parametrize(
    ("query", "key", "headers", "status"),
    [
        (DEEPGRAM, None, {}, 401),
        (DEEPGRAM, "KEYwrong", {}, 401),
        (DEEPGRAM, KEY, {"Origin": "http://127.0.0.1"}, 403),
        (DEEPGRAM + "&interim_results=maybe", KEY, {}, 400),
    ],
)
def test_a_handshake_is_refused(
    url: str, query: str, key: str | None, headers: dict[str, str], status: int
) -> None:
    """No key, a browser's header, a bad parameter: an HTTP answer with an error in it."""
    with pytest.raises(InvalidStatus) as caught:
        open_socket(f"{url}?{query}", key=key, **headers)

    assert caught.value.response.status_code == status
    assert json.loads(caught.value.response.body)["errors"][0]["code"]


def test_a_query_that_makes_no_sense_is_an_error_on_the_open_socket(url: str) -> None:
    """The error comes as a message, and then the socket closes."""
    with open_socket(f"{url}?transcription_engine=deepgram") as socket:
        (message,) = receive_all(socket)

    (error,) = message["errors"]
    assert error["code"] == "40007"
    assert error["source"] == {"parameter": "transcription_engine"}


def test_deepgram_says_interims_finals_and_ends(url: str, service: TranscriptionService) -> None:
    """Interim at the onset, a marked final at each endpoint, and a close after ``CloseStream``."""
    with open_socket(f"{url}?{DEEPGRAM}&interim_results=true") as socket:
        send_audio(socket, burst() + burst() + burst(after=0.0))
        socket.send(CLOSE)
        messages = receive_all(socket)

    assert messages[0] == {"transcript": "word 1", "is_final": False, "confidence": 0.0}
    assert messages[1] == {
        "transcript": "word 1", "is_final": True, "speech_final": True, "confidence": 1.0,
    }  # fmt: skip
    # The last one was ended by the request, not by silence.
    assert messages[-1] == {"transcript": "word 3", "is_final": True, "confidence": 1.0}
    assert socket.close_code == 1000
    (record,) = service.sessions
    assert (record.interims, record.finals, record.controls["CloseStream"]) == (3, 3, 1)
    assert abs(record.audio_seconds - 2.1) < 0.001


def test_interims_come_only_when_asked_for(url: str) -> None:
    """Without ``interim_results`` there are finals alone."""
    with open_socket(f"{url}?{DEEPGRAM}&partial_results=true") as socket:
        send_audio(socket, burst())
        socket.send(CLOSE)

        assert [m["is_final"] for m in receive_all(socket)] == [True]


def test_the_telnyx_engine_says_one_final_and_stays_open(
    url: str, service: TranscriptionService
) -> None:
    """No interims, no confidence, no marks; ``CloseStream`` brings the final and closes nothing."""
    with open_socket(f"{url}?{TELNYX}&interim_results=true") as socket:
        send_audio(socket, burst(after=0.0))
        socket.send(CLOSE)
        first = receive(socket)
        send_audio(socket, silence(1.0, 8000) + burst(after=1.0))
        second = receive(socket)

    assert first == {"transcript": "word 1", "is_final": True, "confidence": None}
    assert second == {"transcript": "word 2", "is_final": True, "confidence": None}
    assert service.sessions[0].interims == 0


@pytest.mark.slow
def test_the_telnyx_engine_notices_that_audio_stopped(url: str) -> None:
    """A client that simply stops sending gets the final a second later."""
    with open_socket(f"{url}?{TELNYX}") as socket:
        send_audio(socket, burst(after=0.0))

        assert receive(socket)["transcript"] == "word 1"


def test_finalize_brings_what_is_open_at_once(url: str) -> None:
    """The session goes on afterwards; control messages that mean nothing are ignored."""
    with open_socket(f"{url}?{DEEPGRAM}") as socket:
        socket.send('{"type":"KeepAlive"}')
        socket.send("nonsense")
        socket.send("[1]")
        send_audio(socket, burst(after=0.0))
        socket.send('{"type":"Finalize"}')
        first = receive(socket)
        send_audio(socket, silence(0.3, 8000) + burst())
        second = receive(socket)

    assert (first["transcript"], second["transcript"]) == ("word 1", "word 2")


def test_a_burst_that_is_finalized_in_its_middle_has_one_text(url: str) -> None:
    """The rest of it is not another word."""
    with open_socket(f"{url}?{DEEPGRAM}") as socket:
        send_audio(socket, burst(after=0.0))
        socket.send('{"type":"Finalize"}')
        first = receive(socket)
        send_audio(socket, burst() + burst())
        socket.send(CLOSE)
        rest = [m["transcript"] for m in receive_all(socket) if m["is_final"]]

    assert (first["transcript"], rest) == ("word 1", ["word 2"])


def test_endpointing_is_obeyed(url: str) -> None:
    """Two bursts a fifth of a second apart are two words or one."""
    audio = burst(after=0.2) + burst(after=0.6)

    def words(query: str) -> int:
        with open_socket(f"{url}?{DEEPGRAM}{query}") as socket:
            send_audio(socket, audio)
            socket.send(CLOSE)
            return len(receive_all(socket))

    assert (words("&endpointing=100"), words("&endpointing=500")) == (2, 1)


def floats(pcm: bytes) -> bytes:
    """Turn 16-bit samples into 32-bit floats."""
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    return struct.pack(f"<{len(samples)}f", *(s / 32768 for s in samples))


@pytest.mark.parametrize(
    ("query", "encode"),
    [
        ("input_format=linear16&sample_rate=8000", bytes),
        ("input_format=mulaw&sample_rate=8000", lambda pcm: make_codec("PCMU").encode(pcm)),
        ("input_format=alaw&sample_rate=8000", lambda pcm: make_codec("PCMA").encode(pcm)),
        ("input_format=linear32&sample_rate=8000", floats),
        ("input_format=wav", lambda pcm: wav_header(8000) + pcm),
    ],
)
def test_every_packet_arrives_in_every_format(query: str, encode: Callable[[bytes], bytes]) -> None:
    """Numbered audio, cut into odd messages, is read without a hole."""
    service = TranscriptionService(api_key=KEY, listen=NumberListener)
    path = f"{PATH}?transcription_engine=Deepgram&{query}"
    with speech_server(stt=service) as base, open_socket(base + path) as socket:
        send_audio(socket, encode(numbered_audio(0, 100)), 777)
        socket.send(CLOSE)
        messages = receive_all(socket)

    assert finals(messages) == ["0-99"]


def test_a_hole_in_the_audio_is_told() -> None:
    """Lost packets, and those that came twice, break the run."""
    numbers = [*range(10), *range(15, 20), *range(18, 25)]
    audio = b"".join(numbered_packet(number) for number in numbers)
    service = TranscriptionService(api_key=KEY, listen=NumberListener)
    with speech_server(stt=service) as base, open_socket(f"{base}{PATH}?{DEEPGRAM}") as socket:
        send_audio(socket, audio)
        socket.send(CLOSE)

        assert finals(receive_all(socket)) == ["0-9", "15-19", "18-24"]
    listener = service.sessions[0].listener
    assert isinstance(listener, NumberListener)
    assert listener.numbers == numbers


def test_cues_are_said_at_their_place_in_the_audio() -> None:
    """What is to be said after a second of audio waits for that second."""
    cues = [Cue(0.5, Said("hel", is_final=False)), Cue(1.0, Said("hello", speech_final=True))]
    service = TranscriptionService(api_key=KEY, listen=functools.partial(CueListener, cues=cues))
    path = f"{PATH}?{DEEPGRAM}&interim_results=true"
    with speech_server(stt=service) as base, open_socket(base + path) as socket:
        send_audio(socket, silence(0.98, 8000))
        assert receive(socket)["transcript"] == "hel"
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.05)
        send_audio(socket, silence(0.02, 8000))
        assert receive(socket)["transcript"] == "hello"


def test_faults_strike_once(url: str, service: TranscriptionService) -> None:
    """Refused, failed, deaf, cut and closed: one connection each, and then all is well."""
    service.fail(TranscriptionFault(refusal=Refusal.of(503, "10007", "Unavailable", "busy")))
    service.fail(TranscriptionFault(error="50000"))
    service.fail(TranscriptionFault(deaf=0.4))
    service.fail(TranscriptionFault(abort_after=0.4))
    service.fail(TranscriptionFault(close_after=0.4, close_code=1011))
    service.fail(TranscriptionFault(arrays=True))

    with pytest.raises(InvalidStatus):
        open_socket(f"{url}?{DEEPGRAM}")
    with open_socket(f"{url}?{DEEPGRAM}") as socket:
        assert receive(socket)["errors"][0]["code"] == "50000"
    ends = []
    for _ in range(3):
        with open_socket(f"{url}?{DEEPGRAM}") as socket:
            socket.send(burst())
            assert receive_all(socket) == []
            ends.append(socket.close_code)
    assert ends == [1000, 1006, 1011]
    with open_socket(f"{url}?{DEEPGRAM}") as socket:
        socket.send(burst())
        assert isinstance(receive(socket), list)
    with open_socket(f"{url}?{DEEPGRAM}") as socket:
        socket.send(burst())
        assert receive(socket)["transcript"] == "word 1"


def test_audio_that_is_not_what_was_promised_is_an_error(url: str) -> None:
    """A WAV stream without a head is refused, with a message."""
    with open_socket(f"{url}?transcription_engine=Deepgram&input_format=wav") as socket:
        socket.send(burst())

        assert receive(socket)["errors"][0]["code"] == "40002"
        assert receive(socket) is None


def test_an_idle_session_is_closed_if_that_is_wanted() -> None:
    """``KeepAlive`` keeps it; silence on the socket ends it."""
    service = TranscriptionService(api_key=KEY, listen=BurstListener, idle_timeout=0.5)
    with speech_server(stt=service) as base, open_socket(f"{base}{PATH}?{DEEPGRAM}") as socket:
        for _ in range(5):
            socket.send('{"type":"KeepAlive"}')
        assert receive_all(socket) == []
    assert service.sessions[0].controls["KeepAlive"] == 5


def test_a_client_that_vanishes_ends_its_session(url: str, service: TranscriptionService) -> None:
    """Nothing is left behind of a connection that was cut."""
    with open_socket(f"{url}?{DEEPGRAM}") as socket:
        socket.send(burst())
        assert receive(socket)["is_final"]
        socket.socket.shutdown(SHUT_RDWR)

    wait_until(lambda: service.sessions[0].closed_at, "the end of the session")


def test_what_was_said_is_not_kept(url: str, service: TranscriptionService) -> None:
    """A record holds counts; whoever prints it prints no words."""
    with open_socket(f"{url}?{DEEPGRAM}") as socket:
        socket.send(burst())
        receive(socket)

    assert "word" not in repr(service.sessions)


@pytest.mark.slow
def test_real_speech_is_recognised_over_the_socket() -> None:
    """A recording through G.711, sent as µ-law: interims, one right final, the marks behind it."""
    name = "austen-0930.wav"
    service = TranscriptionService(api_key=KEY, listen=OfflineListener)
    query = "transcription_engine=Deepgram&input_format=mulaw&sample_rate=8000&interim_results=true"
    with speech_server(stt=service) as base, open_socket(f"{base}{PATH}?{query}") as socket:
        send_audio(socket, make_codec("PCMU").encode(recording(name, after=1.5)), 160)
        socket.send(CLOSE)
        messages = receive_all(socket)

    assert word_errors(TRANSCRIPTS[name], " ".join(finals(messages))).rate < 0.2
    assert any(not m["is_final"] for m in messages)
    last = [m for m in messages if m["transcript"] and m["is_final"]][-1]
    assert last["speech_final"]
    assert 0.5 < last["confidence"] <= 1.0
    assert messages[-1] == {"transcript": "", "is_final": True, "utterance_end": True}
