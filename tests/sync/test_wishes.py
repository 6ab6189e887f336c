"""What a user asks for is checked before anything connects, and reaches the wire as meant."""

from __future__ import annotations

import logging
import threading
import traceback
from typing import Any

import pytest

from telnyx_media.errors import ConfigurationError, ConnectionLost, ServiceError, TelnyxMediaError
from telnyx_media.rest import SpeechRest
from telnyx_media.sync.retry import RetryPolicy
from telnyx_media.sync.speechcache import SpeechCache
from telnyx_media.sync.stt import SpeechToText
from telnyx_media.sync.tts import TextToSpeech
from tests.loopback import PATIENCE, faults
from tests.loopback.servers import KEY, Conversation, status
from tests.loopback.stt import SttPeer
from tests.loopback.tts import TtsPeer, synthesise

ONCE = RetryPolicy(attempts=1)


def hear(conversation: Conversation) -> None:
    """Take everything and answer the end."""
    while conversation.receive() != '{"type":"CloseStream"}':
        pass
    conversation.send({"transcript": "x", "is_final": True})


@pytest.mark.parametrize(
    ("wishes", "name", "allowed"),
    [
        ({"engine": None}, "transcription_engine", "a text"),
        ({"interim_results": "yes"}, "interim_results", "True or False"),
        ({"wire_rate": 0}, "wire_rate", "a positive number"),
        ({"wire_rate": 8000.0}, "wire_rate", "a positive number"),
        ({"model": "whisper"}, "model", "nova-3, nova-2, flux"),
        ({"model": "flux", "language": "auto"}, "language", "en-US"),
        ({"model": "flux", "language": "de-DE"}, "language", "en-US"),
    ],
)
def test_what_is_not_allowed_is_named(wishes: dict[str, Any], name: str, allowed: str) -> None:
    """With the parameter's own name and what may stand there; ``strict`` off lets it through."""
    with pytest.raises(ConfigurationError, match=rf"^{name}: .*{allowed}"):
        SpeechToText(api_key=KEY, **wishes)
    if name in ("model", "language"):
        SpeechToText(api_key=KEY, strict=False, **wishes)


@pytest.mark.parametrize(
    ("wishes", "name"),
    [
        ({"voice_settings": [1]}, "voice_settings"),
        ({"voice_settings": {"a": object()}}, "voice_settings"),
        ({"disable_cache": "yes"}, "disable_cache"),
        ({"pronunciation_dict_id": 5}, "pronunciation_dict_id"),
        ({"policy": "warm"}, "policy"),
        ({"extra": ["a"]}, "extra"),
        ({"extra": {"a": object()}}, "extra"),
        ({"extra": {"a": [None]}}, "extra"),
    ],
)
def test_wishes_for_a_voice_are_checked(wishes: dict[str, Any], name: str) -> None:
    """None of them is a surprise from the depths of the library."""
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        TextToSpeech(api_key=KEY, **wishes)
    if name == "extra":
        with pytest.raises(ConfigurationError, match=r"^extra: "):
            SpeechToText(api_key=KEY, **wishes)


def test_a_refusal_names_the_voice() -> None:
    """The last of several; a wrong key has nothing to do with it."""
    with TtsPeer(synthesise(), answer=status(400)) as peer:
        tts = TextToSpeech(api_key=KEY, base_url=peer.url, voice="A.b", fallbacks=["C.d"])
        with pytest.raises(ServiceError, match=r"voice C\.d") as caught:
            b"".join(tts.speak("w1."))
        assert caught.value.http_status == 400
    with TtsPeer(synthesise(), answer=status(401)) as peer:
        tts = TextToSpeech(api_key=KEY, base_url=peer.url, voice="A.b", fallbacks=["C.d"])
        with pytest.raises(ServiceError) as refused:
            b"".join(tts.speak("w1."))
        assert "voice" not in str(refused.value)


@pytest.mark.parametrize(
    ("rate", "encoding", "on_wire"),
    [
        (8000, "mulaw", ("mulaw", "8000")),
        (16000, "mulaw", ("linear16", "16000")),
        (16000, "PCMA", ("linear16", "16000")),
        (6000, "linear16", ("linear16", "8000")),
        (11025, "linear16", ("linear16", "11025")),
        (96000, "linear16", ("linear16", "48000")),
    ],
)
def test_audio_goes_as_engines_take_it(rate: int, encoding: str, on_wire: tuple[str, str]) -> None:
    """G.711 at its own rate only, linear audio at rates of speech; else it is converted."""
    with SttPeer(hear) as peer:
        stt = SpeechToText(api_key=KEY, base_url=peer.url)
        with stt.open(sample_rate=rate, encoding=encoding) as session:
            session.send(b"\xff\xff" * rate)
            assert session.finish(PATIENCE)
        asked = peer.conversations[0].parameters
        heard = len(peer.conversations[0].audio)

    assert (asked["input_format"], asked["sample_rate"]) == on_wire
    width, sent = (1, 1) if on_wire[0] == "mulaw" else (2, 2 if encoding == "linear16" else 1)
    seconds = 2 * rate / sent / rate if encoding != "linear16" else 1.0
    assert heard / width / int(on_wire[1]) == pytest.approx(seconds, abs=0.01)


def test_audio_is_not_called_what_it_is_not() -> None:
    """Linear audio is not sent under another name."""
    stt = SpeechToText(api_key=KEY, input_format="mulaw")
    with pytest.raises(ConfigurationError, match=r"^input_format: 'mulaw' is not made of linear16"):
        stt.open(sample_rate=8000)


def test_an_extra_parameter_takes_the_place_of_ours() -> None:
    """It is on the wire once."""
    with SttPeer(hear) as peer:
        extra: dict[str, Any] = {
            "transcription_engine": "New",
            "interim_results": "false",
            "tag": ["a", "b c"],
            "n": 1,
        }
        stt = SpeechToText(api_key=KEY, base_url=peer.url, extra=extra)
        with stt.open(sample_rate=8000) as session:
            session.send(bytes(1600))
            session.finish(PATIENCE)
        query = peer.conversations[0].query
    with TtsPeer(synthesise()) as voice:
        tts = TextToSpeech(api_key=KEY, base_url=voice.url, extra={"voice": "New.x"})
        b"".join(tts.speak("w1."))
        spoken = voice.conversations[0].query

    for name in ("transcription_engine", "interim_results"):
        assert [value for key, value in query if key == name] == [extra[name]]
    assert [value for key, value in query if key in ("tag", "n")] == ["a", "b c", "1"]
    assert [value for key, value in spoken if key == "voice"] == ["New.x"]


def told(error: TelnyxMediaError, caplog: pytest.LogCaptureFixture) -> str:
    """Get everything that an error and the log tell."""
    # Not what the test's own server logs.
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith("websockets")]
    parts = ["".join(traceback.format_exception(error)), repr(vars(error)), *ours]
    cause: BaseException | None = error
    while cause is not None:
        parts.append(repr(cause))
        cause = cause.__cause__ or cause.__context__
    return "\n".join(parts)


def test_a_service_that_repeats_the_key_on_the_open_socket(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Does not get it into an error or a log."""
    caplog.set_level(logging.DEBUG)
    frame = {"errors": [{"code": "40001", "title": f"no {KEY}", "detail": f"Bearer {KEY}"}]}
    with SttPeer(faults.error(frame, held=True)) as peer:
        stt = SpeechToText(api_key=KEY, base_url=peer.url, retry=ONCE)
        with stt.open(sample_rate=8000) as session, pytest.raises(ServiceError) as heard:
            list(session)
    with TtsPeer(synthesise(frames=0, then=faults.error({"error": KEY}, held=True))) as voice:
        tts = TextToSpeech(api_key=KEY, base_url=voice.url, retry=ONCE)
        with pytest.raises(ServiceError) as said:
            b"".join(tts.speak("w1."))

    assert heard.value.code == "40001"
    for error in (heard.value, said.value):
        assert "…" in str(error)
        assert KEY not in told(error, caplog)


def test_an_address_is_shown_without_its_password() -> None:
    """Neither in an error nor in a ``repr``."""
    with faults.closed_port() as url:
        base = url.replace("ws://", "http://user:secret@")
        with SpeechRest(api_key=KEY, base_url=f"{base}?token=secret", retries=0) as rest:
            with pytest.raises(ConnectionLost) as caught:
                rest.transcribe(b"x")
            assert "secret" not in f"{caught.value} {rest!r}"


def test_a_certificate_that_is_not_trusted_is_not_tried_again() -> None:
    """No retry makes it trusted."""
    with SttPeer(hear, tls=True) as peer:
        stt = SpeechToText(api_key=KEY, base_url=peer.url)
        with stt.open(sample_rate=8000) as session, pytest.raises(ConnectionLost) as caught:
            list(session)
        assert session.connections == 1

    assert not caught.value.retryable


def test_a_reply_of_any_length_is_interrupted_at_once() -> None:
    """A session that is about to send a backlog is not waited for."""
    released = threading.Event()
    with faults.dripping_upgrade(released) as peer:
        tts = TextToSpeech(api_key=KEY, base_url=peer.url, connect_timeout=PATIENCE)
        session = tts.open(sample_rate=8000)
        for _ in range(2000):
            session.send("word " * 600)
        session.close()
        released.set()
        # Ended by then, not left behind.
        assert session.wait(PATIENCE)


def test_a_prompt_that_was_damaged_on_disk_is_made_again(tmp_path: Any) -> None:
    """An empty or a torn file is none."""
    with TtsPeer(synthesise()) as peer:
        for number, damage in enumerate((b"", b"\0" * 3)):
            tts = TextToSpeech(
                api_key=KEY, base_url=peer.url, audio_format="linear16", sample_rate=16000,
                cache=SpeechCache(directory=tmp_path),
            )  # fmt: skip
            whole = b"".join(tts.speak("w1 w2."))
            assert len(peer.conversations) == 1 + number
            (file,) = tmp_path.iterdir()
            assert file.read_bytes() == whole
            file.write_bytes(damage)
