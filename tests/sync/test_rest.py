"""Files transcribed and texts spoken over HTTP, against a server on loopback."""

from __future__ import annotations

import io
import threading
import traceback
from pathlib import Path

import pytest

from telnyx_media.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLost,
    DeadlineExceeded,
    ProtocolError,
    ServiceError,
)
from telnyx_media.rest import FileTranscript, Segment, SpeechRest
from tests.loopback import faults, wait_until
from tests.loopback.http import Answer, ScriptedHttp, refusal
from tests.loopback.servers import KEY


def client(server: ScriptedHttp, **options: object) -> SpeechRest:
    """Make the client of ``server``."""
    options = {"backoff": 0.0, "timeout": (1.0, 1.0), **options}
    return SpeechRest(api_key=KEY, base_url=server.url, **options)  # type: ignore[arg-type]


def part(content: bytes, name: str) -> bytes:
    """Get one field of a multipart body."""
    for piece in content.split(b"\r\n--"):
        head, _, value = piece.partition(b"\r\n\r\n")
        if f'name="{name}"'.encode() in head:
            return value
    raise AssertionError(f"no field {name}")


def test_a_file_is_uploaded_and_its_text_comes_back(tmp_path: Path) -> None:
    """By path, as bytes, or open; with the name by which the service knows its format."""
    path = tmp_path / "call.mp3"
    path.write_bytes(b"ID3 audio")
    with ScriptedHttp(*[Answer(body={"text": "hello"})] * 3) as server, client(server) as rest:
        found = [
            rest.transcribe(path, language="en"),
            rest.transcribe(b"ID3 audio", filename="x.mp3"),
            rest.transcribe(io.BytesIO(b"ID3 audio")),
        ]
        first = server.requests[0]

    assert found == [FileTranscript("hello")] * 3
    assert (first.method, first.path) == ("POST", "/v2/ai/audio/transcriptions")
    assert first.headers["authorization"] == f"Bearer {KEY}"
    content = first.body["content"]
    assert part(content, "file") == b"ID3 audio"
    assert b'filename="call.mp3"' in content
    assert part(content, "model") == b"openai/whisper-large-v3-turbo"
    assert part(content, "language") == b"en"
    assert part(content, "response_format") == b"json"


def test_times_and_options_of_deepgram() -> None:
    """Segments are asked for and read; an address replaces the upload."""
    body = {
        "text": "a b",
        "duration": 2.5,
        "segments": [{"id": 0, "start": 0.1, "end": 1, "text": "a"}, {"text": "b"}, 7],
    }
    with ScriptedHttp(Answer(body=body)) as server, client(server) as rest:
        found = rest.transcribe(
            url="https://files.test/a.mp3",
            model="deepgram/nova-3",
            segments=True,
            model_config={"smart_format": True},
        )
        content = server.requests[0].body["content"]

    assert found == FileTranscript("a b", 2.5, (Segment("a", 0.1, 1.0), Segment("b")))
    assert part(content, "file_url") == b"https://files.test/a.mp3"
    assert part(content, "timestamp_granularities[]") == b"segment"
    assert part(content, "model_config") == b'{"smart_format": true}'


def test_exactly_one_source(tmp_path: Path) -> None:
    """Neither, both, or one that is not there."""
    rest = SpeechRest(api_key=KEY)
    with pytest.raises(ConfigurationError):
        rest.transcribe()
    with pytest.raises(ConfigurationError):
        rest.transcribe(b"x", url="https://x")
    with pytest.raises(FileNotFoundError):
        rest.transcribe(tmp_path / "none.wav")
    rest.close()


@pytest.mark.parametrize("body", [b"", b"no json", {"error": None}, [], {"text": 7}])
def test_an_answer_that_is_no_transcript(body: object) -> None:
    """Is an error of the protocol."""
    with (
        ScriptedHttp(Answer(body=body)) as server,
        client(server) as rest,
        pytest.raises(ProtocolError),
    ):
        rest.transcribe(b"x")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_service_is_asked_again(status: int) -> None:
    """With the time it asks for, within reason."""
    busy = Answer(status, headers={"Retry-After": "0"})
    with ScriptedHttp(busy, Answer(fault="drop"), Answer(body={"text": "x"})) as server:
        with client(server) as rest:
            assert rest.transcribe(b"x").text == "x"
        assert len(server.requests) == 3


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 422])
def test_a_refusal_is_final_and_tells_everything_but_the_key(status: int) -> None:
    """Status, code, title, detail; the key is nowhere, even if the service repeats it."""
    answer = refusal(status, "10009", "No", f"key {KEY} is bad")
    with ScriptedHttp(answer) as server, client(server) as rest:
        with pytest.raises(ServiceError) as caught:
            rest.transcribe(b"x")
        assert len(server.requests) == 1

    error = caught.value
    assert (error.http_status, error.code, error.title) == (status, "10009", "No")
    assert isinstance(error, AuthenticationError) is (status in (401, 403))
    assert not error.retryable
    assert error.__context__ is None
    assert KEY not in "".join(traceback.format_exception(error)) + repr(vars(error)) + repr(rest)


def test_retries_end() -> None:
    """A service that stays busy is an error that a later attempt may not meet."""
    answers = [Answer(503) for _ in range(3)]
    with ScriptedHttp(*answers) as server, client(server, retries=2) as rest:
        with pytest.raises(ServiceError) as caught:
            rest.transcribe(b"x")
        assert len(server.requests) == 3

    assert caught.value.retryable


def test_speech_streams() -> None:
    """The audio comes in pieces, with what was asked in the body."""
    audio = bytes(range(256)) * 100
    with ScriptedHttp(Answer(body=audio)) as server, client(server) as rest:
        pieces = list(
            rest.speak(
                "Hello.", voice="Telnyx.NaturalHD.astra", output_format="wav", language="en",
                voice_settings={"speed": 1.1}, text_type="text", disable_cache=True,
            )
        )  # fmt: skip
        (request,) = server.requests

    assert b"".join(pieces) == audio
    assert len(pieces) > 1
    assert (request.method, request.path) == ("POST", "/v2/text-to-speech/speech")
    assert request.body == {
        "text": "Hello.",
        "voice": "Telnyx.NaturalHD.astra",
        "output_type": "binary_output",
        "voice_settings": {"speed": 1.1, "response_format": "wav"},
        "language": "en",
        "text_type": "text",
        "disable_cache": True,
    }


@pytest.mark.parametrize(
    ("voice", "settings"),
    [
        ("Telnyx.Bayan.Ahmed", {"response_format": "pcm", "sampling_rate": 8000}),
        ("Minimax.speech-02-hd.Wise_Woman", {"response_format": "pcm", "sampling_rate": 8000}),
        ("AWS.Polly.Joanna-Neural", {"output_format": "pcm", "sample_rate": "8000"}),
        ("xAI.eve", {"output_format": "pcm", "sample_rate": 8000}),
        ("Resemble.Turbo.1", {"format": "pcm", "sample_rate": "8000"}),
        ("Soniox.tts-rt-v2.Emma", {"audio_format": "pcm", "sample_rate": 8000}),
    ],
)
def test_format_and_rate_go_where_the_provider_looks_for_them(
    voice: str, settings: dict[str, object]
) -> None:
    """Each provider has names of its own."""
    with ScriptedHttp(Answer(body=b"audio")) as server, client(server) as rest:
        list(rest.speak("Hello.", voice=voice, output_format="pcm", sample_rate=8000))
        (request,) = server.requests

    assert request.body["voice_settings"] == settings


def test_speech_in_one_piece() -> None:
    """The audio of a base64 answer is decoded; what is none is an error."""
    whole = Answer(body={"base64_audio": "YXVkaW8="})
    with ScriptedHttp(whole, Answer(body={"base64_audio": "?"}), Answer(body={})) as server:
        with client(server) as rest:
            assert rest.speak_whole("Hello.", output_format="wav") == b"audio"
            for _ in range(2):
                with pytest.raises(ProtocolError):
                    rest.speak_whole("Hello.")
        first = server.requests[0]

    assert first.body["output_type"] == "base64_output"
    assert first.body["voice_settings"] == {"response_format": "wav"}


@pytest.mark.parametrize(
    "answer",
    [
        {"audio_id": "a-1"},
        {"audio_url": "https://api.telnyx.com/v2/text-to-speech/speech/a-1"},
        {"data": {"id": "a-1"}},
    ],
)
def test_speech_in_the_background(answer: dict[str, object]) -> None:
    """The id comes by either name, and gets the audio later."""
    with ScriptedHttp(Answer(body=answer), Answer(body=b"audio")) as server:
        with client(server) as rest:
            audio_id = rest.start_speech("Hello.")
            assert b"".join(rest.fetch_speech(audio_id)) == b"audio"
        started, fetched = server.requests

    assert started.body["output_type"] == "audio_id"
    assert (fetched.method, fetched.path) == ("GET", "/v2/text-to-speech/speech/a-1")


def test_audio_that_comes_as_json_is_audio_all_the_same() -> None:
    """A voice that ignores what output was asked for is heard."""
    answer = Answer(body={"base64_audio": "YXVkaW8="})
    with ScriptedHttp(answer) as server, client(server) as rest:
        assert b"".join(rest.speak("Hello.")) == b"audio"


def test_speech_by_id() -> None:
    """What was synthesised before can be fetched; ids are escaped."""
    with ScriptedHttp(Answer(body=b"audio")) as server, client(server) as rest:
        assert b"".join(rest.fetch_speech("a/b")) == b"audio"
        assert server.requests[0].path == "/v2/text-to-speech/speech/a%2Fb"


def test_speech_that_breaks_off_is_an_error() -> None:
    """With how much came; silence is an error too."""
    with (
        ScriptedHttp(Answer(body=bytes(10_000), fault="break off")) as server,
        client(server) as rest,
        pytest.raises(ConnectionLost, match="broke off after"),
    ):
        list(rest.speak("Hello."))
    with (
        ScriptedHttp(Answer(body=b"")) as server,
        client(server) as rest,
        pytest.raises(ProtocolError, match="without any audio"),
    ):
        list(rest.speak("Hello."))


def test_errors_of_the_network() -> None:
    """Each is one of ours, without requests' own behind it."""
    with faults.closed_port() as url:
        rest = SpeechRest(api_key=KEY, base_url=url.replace("ws:", "http:"), retries=0)
        with pytest.raises(ConnectionLost) as lost:
            rest.transcribe(b"x")
        rest.close()
    with faults.stalled_upgrade() as peer:
        rest = SpeechRest(
            api_key=KEY, base_url=peer.url.replace("ws:", "http:"), retries=0, timeout=(0.2, 0.2)
        )
        with pytest.raises(DeadlineExceeded) as late:
            rest.transcribe(b"x")
        rest.close()

    assert not isinstance(lost.value, DeadlineExceeded)
    assert "Connection refused" in str(lost.value)
    assert lost.value.__context__ is None
    assert late.value.__context__ is None
    with (
        SpeechRest(api_key=KEY, base_url="nowhere") as rest,
        pytest.raises(ConfigurationError, match="base_url"),
    ):
        rest.transcribe(b"x")


@pytest.mark.parametrize("status", [200, 401])
def test_close_closes_though_somebody_still_holds_what_came(status: int) -> None:
    """An error that is kept, with its traceback, keeps no connection open."""

    def served() -> bool:
        return any("process_request" in thread.name for thread in threading.enumerate())

    with ScriptedHttp(Answer(status, body={"text": "x"})) as server:
        kept: list[object] = []
        with client(server) as rest:
            try:
                kept.append(rest.transcribe(b"x"))
            except AuthenticationError as error:
                kept.append(error)
            assert served()
        wait_until(lambda: not served())
        assert kept
