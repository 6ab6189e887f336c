"""The command line ``telnyx-media``, against services on loopback."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from telnyx_media.cli import main, parts
from telnyx_media.pcm import Resampler, read_wav, write_wav
from tests.loopback import faults
from tests.loopback.http import Answer, ScriptedHttp, refusal
from tests.loopback.servers import KEY, Behaviour, Conversation, status
from tests.loopback.stt import RATE, NumberRecogniser, SttPeer, silence, utterance
from tests.loopback.tts import TtsPeer, mp3, mp3_file, spoken, synthesise, words_in


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key comes from the environment."""
    monkeypatch.setenv("TELNYX_API_KEY", KEY)


def run(*arguments: str) -> int:
    """Run a command and get its exit status."""
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert isinstance(caught.value.code, int)
    return caught.value.code


def wav(path: Path, seconds: float = 1.0) -> Path:
    """Write a WAV file."""
    write_wav(path, bytes(int(seconds * 16000)), 8000)
    return path


def test_a_file_is_transcribed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text goes to standard output, and nothing to standard error."""
    with ScriptedHttp(Answer(body={"text": " Hello there. "})) as server:
        assert run("transcribe", str(wav(tmp_path / "a.wav")), "--url", server.url) == 0
        content = server.requests[0].body["content"]

    assert capsys.readouterr() == ("Hello there.\n", "")
    assert b"RIFF" in content


@pytest.mark.parametrize("form", ["mp3", "wav"])
def test_any_format_is_read(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an ffmpeg command."""
    path = tmp_path / f"a.{form}"
    if form == "mp3":
        path.write_bytes(mp3(spoken("w1 w2", 24000)))
    else:
        write_wav(path, bytes(44100 * 4), 44100, channels=2)
    with ScriptedHttp(Answer(body={"text": "ok"})) as server:
        assert run("transcribe", str(path), "--url", server.url) == 0

    assert capsys.readouterr().out == "ok\n"


def test_standard_input_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dash reads standard input; JSON is one object per stretch."""
    data = wav(tmp_path / "a.wav").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    body = {"text": "a b", "segments": [{"text": "a", "start": 0.5, "end": 1}]}
    with ScriptedHttp(Answer(body=body)) as server:
        assert run("transcribe", "-", "--json", "--url", server.url) == 0

    assert json.loads(capsys.readouterr().out) == {"text": "a", "start": 0.5, "end": 1.0}


def test_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each stretch with its beginning and end."""
    with ScriptedHttp(Answer(body={"text": "all of it"})) as server:
        path = str(wav(tmp_path / "a.wav", 61.5))
        assert run("transcribe", path, "--times", "--url", server.url) == 0

    assert capsys.readouterr().out == "00:00.00 01:01.50  all of it\n"


def test_streaming(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over the WebSocket the same words come."""
    path = tmp_path / "a.wav"
    write_wav(path, silence(0.3) + utterance(1, 2) + utterance(3, 3), RATE)
    with SttPeer(hear_at_16_kilohertz()) as peer:
        assert run("transcribe", str(path), "--stream", "--url", peer.url) == 0

    lines = capsys.readouterr().out.split("\n")
    assert [len(line.split()) for line in lines] == [2, 3, 0]


def hear_at_16_kilohertz() -> Behaviour:
    """Make an engine that is fed at twice the recording's rate."""

    def behave(conversation: Conversation) -> None:
        engine, resampler = NumberRecogniser(), Resampler(2 * RATE, RATE)
        while isinstance(message := conversation.receive(), bytes):
            for reply in engine.feed(resampler.feed(message)):
                conversation.send(reply)
        conversation.send(engine.flush())

    return behave


def test_long_files_are_cut_at_pauses() -> None:
    """The parts are the whole, each within the limit, each cut where it is quiet."""
    loud = b"\x00\x40" * 16000
    quiet = bytes(6400)
    pcm = loud * 290 + quiet + loud * 200 + quiet + loud * 300

    found = list(parts(pcm))

    assert b"".join(part for _, part in found) == pcm
    assert all(len(part) <= 300 * 32000 for _, part in found)
    assert found[0][0] == 0.0
    assert abs(found[1][0] - 290.1) <= 0.2


def test_a_text_is_spoken_into_a_wav_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the rate that was asked for."""
    path = tmp_path / "out.wav"
    with TtsPeer(synthesise(encode=mp3_file)) as peer:
        assert run("speak", "w1 w2.", "-o", str(path), "--rate", "16000", "--url", peer.url) == 0
    pcm, rate = read_wav(path)

    assert rate == 16000
    assert len(words_in(pcm)) == 2
    assert capsys.readouterr() == ("", "")


def test_the_environment_tells_the_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables that ``bridge simulator`` prints point this program at it, too."""
    path = tmp_path / "said.wav"
    with TtsPeer([synthesise()]) as peer:
        monkeypatch.setenv("TELNYX_TTS_URL", peer.url)
        assert run("speak", "w1 w2.", "-o", str(path), "--rate", "16000") == 0
    with SttPeer(hear_at_16_kilohertz()) as ears:
        monkeypatch.setenv("TELNYX_STT_URL", ears.url)
        assert run("transcribe", str(wav(tmp_path / "a.wav")), "--stream") == 0
    with ScriptedHttp(Answer(body={"text": "hello"})) as server:
        monkeypatch.setenv("TELNYX_API_URL", server.url)
        assert run("transcribe", str(path)) == 0


def test_other_endings_get_the_services_own_bytes(tmp_path: Path) -> None:
    """An MP3 file is not decoded."""
    path = tmp_path / "out.mp3"
    with ScriptedHttp(Answer(body=b"ID3 audio")) as server:
        assert run("speak", "Hello.", "-o", str(path), "--url", server.url) == 0

    assert path.read_bytes() == b"ID3 audio"


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Get the one line on standard error."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("telnyx-media: ")
    assert err.count("\n") == 1
    assert KEY not in err
    return err


def test_errors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit status 1: no file, no audio, a refusal, nobody there, no key."""
    path = str(wav(tmp_path / "a.wav"))
    assert run("transcribe", str(tmp_path / "none.wav")) == 1
    assert "No such file" in one_line(capsys)
    text = tmp_path / "text.wav"
    text.write_text("no audio")
    assert run("transcribe", str(text)) == 1
    assert "cannot be decoded" in one_line(capsys)
    with ScriptedHttp(refusal(401, "10009", "Authentication failed", f"bad\n{KEY}")) as server:
        assert run("transcribe", path, "--url", server.url) == 1
    assert "Authentication failed" in one_line(capsys)
    with faults.closed_port() as url:
        assert run("transcribe", path, "--url", url.replace("ws:", "nope:")) == 1
    assert "base_url" in one_line(capsys)
    # Nothing is synthesised that could not be kept.
    assert run("speak", "Hello.", "-o", str(tmp_path / "nowhere" / "x.wav")) == 1
    assert "nowhere: No such file" in one_line(capsys)
    # The disk is full.
    with ScriptedHttp(Answer(body=b"ID3 audio")) as server:
        assert run("speak", "Hello.", "-o", "/dev/full", "--url", server.url) == 1
    assert one_line(capsys) == "telnyx-media: No space left on device\n"
    # The session's own log adds nothing to it.
    with SttPeer(faults.mute, answer=status(403)) as peer:
        assert run("transcribe", path, "--stream", "--url", peer.url) == 1
    assert "HTTP 403" in one_line(capsys)
    monkeypatch.delenv("TELNYX_API_KEY")
    assert run("transcribe", path) == 1
    assert "TELNYX_API_KEY" in one_line(capsys)


def test_what_cannot_be_kept_is_not_synthesised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that may not be written is found out before anything is asked of the service."""
    monkeypatch.setattr("telnyx_media.cli.os.access", lambda *_: False)
    with ScriptedHttp() as server:
        assert run("speak", "Hello.", "-o", str(tmp_path / "a.mp3"), "--url", server.url) == 1
        assert not server.requests
    assert "a.mp3: Permission denied" in one_line(capsys)


def test_being_stopped_is_status_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As shells have it."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("telnyx_media.cli.read_audio", interrupt)
    assert run("transcribe", str(wav(tmp_path / "a.wav"))) == 130
    assert capsys.readouterr().err.strip() == "telnyx-media: stopped"


@pytest.mark.parametrize(
    "arguments",
    [
        ["sing"],
        ["transcribe"],
        ["speak", "x"],
        ["transcribe", "x", "--nope"],
        ["transcribe", "."],
        ["speak", "", "-o", "x.mp3"],
        ["speak", " ... ", "-o", "x.wav"],
        ["speak", "x", "-o", "x.ogg"],
        ["speak", "x", "-o", "."],
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With what is wrong in one line on standard error, and nothing asked of the service."""
    assert run(*arguments) == 2
    assert "--help)" in one_line(capsys)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Help is no error."""
    assert run("--help") == 0
    assert "transcribe" in capsys.readouterr().out
