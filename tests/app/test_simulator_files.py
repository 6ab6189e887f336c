"""The simulator transcribes files and speaks into files over HTTP, as Telnyx does."""

from __future__ import annotations

import base64
import functools
import io
import json
import socket
import wave
from collections.abc import Iterator
from typing import Any

import av
import openai
import pytest
import requests

from bridge.simulator import Simulator
from bridge.simulator.filetranscription import LARGEST_FILE, LONGEST_BODY
from bridge.simulator.listeners import BurstListener, OfflineListener
from bridge.simulator.offline.accuracy import word_errors
from bridge.simulator.speakers import ToneSpeaker
from bridge.simulator.synthesis import SynthesisService
from bridge.simulator.transcription import TranscriptionService
from telnyx_media.cli import main
from telnyx_media.pcm import read_wav, silence, wav_header
from telnyx_media.rest import SpeechRest
from tests.app.simulation import error_of
from tests.loopback import PATIENCE
from tests.loopback.http import Answer, ScriptedHttp
from tests.loopback.tts import mp3
from tests.loopback.voices import TRANSCRIPTS, recording

WHISPER = "openai/whisper-large-v3-turbo"
NOVA = "deepgram/nova-3"
RATE = 16000

# A second of silence, half a second of a tone, a second of silence, and the same again.
_TONE = b"".join((8000 if i // 16 % 2 else -8000).to_bytes(2, "little", signed=True)
                 for i in range(RATE // 2))  # fmt: skip
BURSTS = (silence(1.0, RATE) + _TONE) * 2 + silence(1.0, RATE)
WAV = wav_header(RATE, data_bytes=len(BURSTS)) + BURSTS


@pytest.fixture(scope="module", name="sim")
def _sim() -> Iterator[Simulator]:
    """A simulator that hears "word 1", "word 2" … and speaks in tones at 24 kHz."""
    key = "KEY0123"
    with Simulator(
        api_key=key,
        transcription=TranscriptionService(api_key=key, listen=BurstListener),
        synthesis=SynthesisService(
            api_key=key, make_speaker=functools.partial(ToneSpeaker, sample_rate=24000)
        ),
    ) as simulator:
        yield simulator


def post(sim: Simulator, path: str, key: str | None = None, **options: Any) -> requests.Response:
    """Post something with the key."""
    return requests.post(
        sim.api_url + path,
        headers={"Authorization": f"Bearer {key or sim.api_key}"},
        timeout=4 * PATIENCE,
        **options,
    )


def upload(
    sim: Simulator,
    audio: bytes = WAV,
    name: str = "a.wav",
    more: dict[str, object] | None = None,
    **fields: Any,
) -> requests.Response:
    """Have a file transcribed."""
    fields = {"model": WHISPER, **(more or {}), **fields}
    form = {key: value for key, value in fields.items() if value is not None}
    return post(sim, "/ai/audio/transcriptions", data=form, files={"file": (name, audio)})


def speak(sim: Simulator, **fields: Any) -> requests.Response:
    """Have a text spoken."""
    body = {"text": "ten chars.", "voice": "Telnyx.NaturalHD.astra", **fields}
    body = {key: value for key, value in body.items() if value is not None}
    return post(sim, "/text-to-speech/speech", json=body)


def seconds_of(audio: bytes) -> tuple[str, int, float]:
    """Decode a file; get its format, its rate and its length."""
    with av.open(io.BytesIO(audio)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
        rate = container.streams.audio[0].rate
        return container.format.name, rate, samples / rate


# Transcription.


def test_a_file_is_transcribed(sim: Simulator) -> None:
    """Whisper tells the text, whatever shape was asked for."""
    for shape in (None, "verbose_json"):
        answer = upload(sim, response_format=shape)
        assert (answer.status_code, answer.json()) == (200, {"text": "word 1 word 2"})
    assert answer.headers["x-ratelimit-limit"]


def test_deepgram_tells_the_times(sim: Simulator) -> None:
    """Duration and segments come when they are asked for, from the model that has them."""
    answer = upload(
        sim,
        model=NOVA,
        language="en-GB",
        response_format="verbose_json",
        model_config='{"smart_format": true}',
        more={"timestamp_granularities[]": "segment"},
    ).json()

    assert answer["text"] == "word 1 word 2"
    assert answer["duration"] == pytest.approx(4.0)
    assert [(s["id"], s["text"]) for s in answer["segments"]] == [(0, "word 1"), (1, "word 2")]
    first, second = answer["segments"]
    assert 1.0 < first["end"] <= second["start"] < second["end"] <= 4.0
    assert set(upload(sim, model=NOVA).json()) == {"text"}


@pytest.mark.parametrize("name", ["a.mp3", "CALL.MP3", "a.b.mpga", "a.m4a"])
def test_what_can_be_decoded_is_read(sim: Simulator, name: str) -> None:
    """The ending has to be one that is taken; the bytes tell what it is."""
    assert upload(sim, mp3(BURSTS, RATE), name).json() == {"text": "word 1 word 2"}


def test_a_file_by_its_address(sim: Simulator) -> None:
    """It is downloaded, without any key; an address without a file is refused."""
    with ScriptedHttp(Answer(body=WAV), Answer(status=404)) as server:
        url = f"{server.url}/call.wav?signature=x"
        assert upload(sim, file_url=url).status_code == 400
        for status in (200, 400):
            parts = {"model": (None, WHISPER), "file_url": (None, url)}
            answer = post(sim, "/ai/audio/transcriptions", files=parts)
            assert answer.status_code == status
        assert "authorization" not in server.requests[0].headers
    assert error_of(answer) == (400, "10015")
    assert "HTTP 404" in answer.text


@pytest.mark.parametrize(
    ("fields", "status", "code", "name"),
    [
        ({"model": None}, 400, "10004", "model"),
        ({"model": "whisper-1"}, 400, "10015", "model"),
        ({"response_format": "srt"}, 400, "10015", "response_format"),
        ({"timestamp_granularities[]": "segment"}, 400, "10015", "timestamp_granularities[]"),
        (
            {"response_format": "verbose_json", "timestamp_granularities[]": ["segment", "word"]},
            400,
            "10015",
            "timestamp_granularities[]",
        ),
        ({"model_config": "[1]"}, 400, "10015", "model_config"),
        ({"model_config": "{"}, 400, "10015", "model_config"),
        ({"file_url": "https://files.test/a.wav"}, 400, "10015", "file_url"),
        ({"language": "en", "model": "distil-whisper/distil-large-v2"}, 400, "10015", "language"),
        ({"language": "fr", "model": NOVA}, 400, "10015", "language"),
        ({"name": "a.txt"}, 400, "10015", "file"),
        ({"name": "wav"}, 400, "10015", "file"),
        ({"name": "a.ogg", "model": NOVA}, 400, "10015", "file"),
        ({"audio": b""}, 400, "10015", "file"),
        ({"audio": b"no audio"}, 400, "10015", "file"),
    ],
)
def test_what_cannot_be_used_is_named(
    sim: Simulator, fields: dict[str, Any], status: int, code: str, name: str
) -> None:
    """In Telnyx's shape of errors, with a pointer to the field."""
    answer = upload(sim, **fields)

    assert error_of(answer) == (status, code)
    assert answer.json()["errors"][0]["source"]["pointer"] == f"/{name}"
    assert name in answer.json()["errors"][0]["detail"]


def test_a_body_that_is_no_form(sim: Simulator) -> None:
    """Is refused as such, and so is a form without a file or a form that is cut short."""
    path = "/ai/audio/transcriptions"
    assert error_of(post(sim, path, json={"model": WHISPER})) == (400, "10015")
    assert error_of(post(sim, path, files={"model": (None, WHISPER)})) == (400, "10004")
    kind = {"Content-Type": "multipart/form-data"}
    request = requests.Request("POST", sim.api_url + path, kind, data=b"x").prepare()
    request.headers["Authorization"] = f"Bearer {sim.api_key}"
    with requests.Session() as http:
        assert error_of(http.send(request, timeout=PATIENCE)) == (400, "10015")


def test_the_key_is_asked_for_first(sim: Simulator) -> None:
    """Whatever else is wrong."""
    for path in ("/ai/audio/transcriptions", "/text-to-speech/speech", "/audio/speech"):
        assert error_of(post(sim, path, key="KEYwrong", json={})) == (401, "10009")
    voices = f"{sim.api_url}/text-to-speech/voices"
    assert requests.get(voices, timeout=PATIENCE).status_code == 401


@pytest.mark.slow
def test_a_file_that_is_too_large_is_refused(sim: Simulator) -> None:
    """The limit is 100 MB for a file; the client comes to read so though it is still sending."""
    assert error_of(upload(sim, bytes(LARGEST_FILE + 1))) == (413, "10015")
    assert error_of(upload(sim, bytes(LONGEST_BODY))) == (413, "10015")
    # Other routes take less.
    speech = post(sim, "/text-to-speech/speech", data=bytes(17 * 1024 * 1024))
    assert error_of(speech) == (413, "10015")
    pieces = (bytes(1 << 20) for _ in range(17))
    assert error_of(post(sim, "/text-to-speech/speech", data=pieces)) == (413, "10015")


def test_openai_clients_transcribe(sim: Simulator) -> None:
    """With the base of the endpoint, and with the base that Telnyx's guide prints."""
    for base in ("/ai", ""):
        with openai.OpenAI(
            api_key=sim.api_key, base_url=sim.api_url + base, max_retries=0
        ) as client:
            found = client.audio.transcriptions.create(model=WHISPER, file=("a.wav", WAV))
            assert found.text == "word 1 word 2"
            told = client.audio.transcriptions.create(
                model=NOVA,
                file=("a.wav", WAV),
                response_format="verbose_json",
                timestamp_granularities=["segment"],
            )
            assert [segment.text for segment in told.segments or []] == ["word 1", "word 2"]
            with pytest.raises(openai.BadRequestError):
                client.audio.transcriptions.create(model="whisper-1", file=("a.wav", WAV))


def test_the_real_recogniser_hears_a_file() -> None:
    """With times that lie where the speech is."""
    key = "KEY0123"
    service = TranscriptionService(api_key=key, listen=OfflineListener)
    pcm = silence(2.0, 8000) + recording("austen-0870.wav", before=0.0)
    file = wav_header(8000, data_bytes=len(pcm)) + pcm
    with (
        Simulator(api_key=key, transcription=service) as sim,
        SpeechRest(api_key=key, base_url=sim.api_url) as rest,
    ):
        found = rest.transcribe(file, model=NOVA, segments=True)

    assert word_errors(TRANSCRIPTS["austen-0870.wav"], found.text).rate < 0.1
    assert found.duration == pytest.approx(len(pcm) / 16000, abs=0.1)
    assert found.segments[0].start == pytest.approx(2.2, abs=0.4)
    assert found.segments[-1].end <= (found.duration or 0.0)


# Speech.


def test_a_text_is_spoken_in_chunks(sim: Simulator) -> None:
    """MP3 by default, one file however many sentences, while it is made."""
    answer = speak(sim, text="**Ten** chars.")
    name, rate, length = seconds_of(answer.content)

    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert (name, rate) == ("mp3", 24000)
    assert length == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize(
    ("voice", "settings", "kind"),
    [
        ("Telnyx.NaturalHD.astra", {"response_format": "linear16", "sampling_rate": 8000}, "pcm"),
        ("telnyx.NaturalHD.astra", {"response_format": "pcm", "sampling_rate": 8000}, "pcm"),
        ("Azure.en-US-Ava:Dragon", {"output_format": "mulaw"}, "basic"),
        ("Resemble.Turbo.x", {"format": "wav", "sample_rate": "16000"}, "wav"),
    ],
)
def test_formats(sim: Simulator, voice: str, settings: dict[str, Any], kind: str) -> None:
    """By the names that each provider has for them."""
    answer = speak(sim, voice=voice, voice_settings=settings)

    assert answer.headers["content-type"] == f"audio/{kind}"
    if kind == "wav":
        assert seconds_of(answer.content) == ("wav", 16000, 0.6)
    else:
        assert len(answer.content) == pytest.approx(0.6 * 8000 * (2 if kind == "pcm" else 1), abs=4)


def test_a_provider_with_settings_of_its_own(sim: Simulator) -> None:
    """Instead of the one name of a voice."""
    own = {"response_format": "linear16", "sampling_rate": 16000, "voice_speed": 2.0}
    answer = speak(sim, voice=None, provider="telnyx", telnyx=own)
    assert len(answer.content) == pytest.approx(0.3 * 32000, abs=4)
    named = speak(sim, voice=None, provider="aws", model_id="Polly", voice_id="Joanna-Neural")
    assert named.status_code == 200


def test_the_ways_of_getting_it(sim: Simulator) -> None:
    """At once, as base64 at the end, or later; it is the same audio."""
    at_once = speak(sim).content
    encoded = speak(sim, output_type="base64_output").json()["base64_audio"]
    later = speak(sim, output_type="audio_id").json()
    fetched = requests.get(
        later["audio_url"], headers={"Authorization": f"Bearer {sim.api_key}"}, timeout=PATIENCE
    )

    assert base64.b64decode(encoded) == at_once == fetched.content
    assert later["audio_url"] == f"{sim.api_url}/text-to-speech/speech/{later['audio_id']}"
    with SpeechRest(api_key=sim.api_key, base_url=sim.api_url) as rest:
        assert b"".join(rest.speak("ten chars.")) == at_once
        assert rest.speak_whole("ten chars.") == at_once
        assert b"".join(rest.fetch_speech(rest.start_speech("ten chars."))) == at_once


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"text": None}, 422, "10004"),
        ({"text": ""}, 422, "10004"),
        ({"text": " \n"}, 400, "10015"),
        ({"text": 7}, 400, "10015"),
        ({"voice": None}, 400, "10004"),
        ({"voice": "astra"}, 400, "10015"),
        ({"voice": "Nobody.x"}, 400, "10015"),
        ({"voice": None, "provider": "azure"}, 422, "10004"),
        ({"output_type": "file"}, 422, "10032"),
        ({"text_type": "markdown"}, 422, "10032"),
        ({"voice_settings": "fast"}, 400, "10015"),
        ({"voice_settings": {"voice_speed": "fast"}}, 422, "10033"),
        ({"voice_settings": {"response_format": "flac"}}, 422, "10032"),
        ({"voice_settings": {"response_format": "wav"}}, 422, "10032"),
        ({"voice_settings": {"sampling_rate": 4000}}, 422, "10033"),
        ({"voice": "Telnyx.Qwen3TTS.x", "voice_settings": {"sampling_rate": 8000}}, 422, "10033"),
    ],
)
def test_what_cannot_be_spoken(
    sim: Simulator, fields: dict[str, Any], status: int, code: str
) -> None:
    """Is refused in Telnyx's shape of errors."""
    assert error_of(speak(sim, **fields)) == (status, code)


def test_no_audio_under_an_unknown_id(sim: Simulator) -> None:
    """Is a resource that was not found."""
    url = f"{sim.api_url}/text-to-speech/speech/none"
    headers = {"Authorization": f"Bearer {sim.api_key}"}
    assert error_of(requests.get(url, headers=headers, timeout=PATIENCE)) == (404, "10005")


def test_openai_clients_speak(sim: Simulator) -> None:
    """With the fields of OpenAI, as Telnyx's example has it."""
    with openai.OpenAI(api_key=sim.api_key, base_url=sim.api_url, max_retries=0) as client:
        audio = client.audio.speech.create(model="tts-1-hd", voice="astra", input="ten chars.")
        assert seconds_of(audio.content)[0] == "mp3"
        fast = client.audio.speech.create(
            model="tts-1", voice="abbie", input="ten chars.", response_format="pcm", speed=2.0
        )
        assert len(fast.content) == pytest.approx(0.3 * 48000, abs=4)


def test_a_client_that_goes_away_stops_the_speech(sim: Simulator) -> None:
    """And nobody is the worse for it."""
    body = json.dumps({"text": "x " * 5000, "voice": "Telnyx.NaturalHD.astra"}).encode()
    head = (
        f"POST /v2/text-to-speech/speech HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {sim.api_key}\r\n\r\n"
    )
    with socket.create_connection((sim.host, sim.port), PATIENCE) as sock:
        sock.sendall(head.encode() + body)
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    assert speak(sim).status_code == 200


def test_the_voices(sim: Simulator) -> None:
    """Under the path of today's pages and of the older ones, of one provider if asked for."""
    headers = {"Authorization": f"Bearer {sim.api_key}"}
    for path in ("/text-to-speech/voices", "/ai/tts/voices"):
        url = f"{sim.api_url}{path}?provider=aws"
        (voice,) = requests.get(url, headers=headers, timeout=PATIENCE).json()["voices"]
        assert voice["voice_id"] == "AWS.Polly.Joanna-Neural"


# The command line.


def test_the_command_line_against_it(
    sim: Simulator,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What ``bridge simulator`` prints is all that ``telnyx-media`` needs."""
    for name, value in sim.environ.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        out, err = capsys.readouterr()
        assert err == "" or (err.startswith("telnyx-media: ") and err.count("\n") == 1)
        assert sim.api_key not in err
        return int(str(caught.value.code)), out + err

    file = tmp_path / "a.wav"
    file.write_bytes(WAV)
    assert run("transcribe", str(file)) == (0, "word 1 word 2\n")
    assert run("transcribe", str(file), "--stream") == (0, "word 1\nword 2\n")
    status, text = run("transcribe", str(file), "--model", NOVA, "--times")
    assert (status, len(text.splitlines())) == (0, 2)
    assert run("speak", "ten chars.", "-o", str(tmp_path / "said.mp3")) == (0, "")
    assert seconds_of((tmp_path / "said.mp3").read_bytes())[0] == "mp3"
    assert run("speak", "ten chars.", "-o", str(tmp_path / "said.wav")) == (0, "")
    assert len(read_wav(tmp_path / "said.wav")[0]) == pytest.approx(0.6 * 48000, abs=1000)
    assert run("transcribe", str(tmp_path / "said.mp3")) == (0, "word 1\n")
    # An odd one: 24 bits, two channels, 11 kHz.
    with wave.open(str(tmp_path / "odd.wav"), "wb") as odd:
        odd.setparams((2, 3, 11025, 0, "NONE", ""))
        odd.writeframes((b"\0\0\x20" * 2 * 16 + b"\0\0\xe0" * 2 * 16) * 200 + bytes(60000))
    assert run("transcribe", str(tmp_path / "odd.wav")) == (0, "word 1\n")
    monkeypatch.setenv("TELNYX_API_KEY", "KEYwrong")
    assert run("transcribe", str(file))[0] == 1
    assert run("speak", "x", "-o", str(tmp_path / "x.mp3"))[0] == 1
    assert not (tmp_path / "x.mp3").exists()
