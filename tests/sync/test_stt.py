"""A transcription session against a service on loopback."""

from __future__ import annotations

import threading
import time

import pytest

from telnyx_media._audioop import audioop
from telnyx_media.errors import (
    AuthenticationError,
    ConfigurationError,
    ServiceError,
    SessionEnded,
)
from telnyx_media.sync.retry import RetryPolicy
from telnyx_media.sync.stt import SpeechToText, SttSession
from telnyx_media.transcripts import SttOptions, Transcript
from tests.loopback import PATIENCE, wait_until
from tests.loopback.servers import KEY, Conversation, status
from tests.loopback.stt import SttPeer, paced, recognise, recording, silence, utterance, word

QUICK = RetryPolicy(delays=(0.01,), jitter=0.0)


def service(peer: SttPeer, **options: object) -> SpeechToText:
    """Make the client of ``peer``."""
    options.setdefault("retry", QUICK)
    return SpeechToText(
        api_key=KEY,
        base_url=peer.url,
        ssl_context=peer.client_context,
        **options,  # type: ignore[arg-type]
    )


def finals(session: SttSession) -> list[str]:
    """Get the words of all finals."""
    return " ".join(t.text for t in session if t.is_final).split()


def hear_everything(conversation: Conversation) -> None:
    """Take everything and understand nothing, until the client is gone or ends the stream."""
    while True:
        conversation.receive()
        if conversation.texts and conversation.texts[-1].get("type") == "CloseStream":
            return conversation.send({"transcript": "", "is_final": True})


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("at_end", ["close", "stay"])
def test_words_come_out(tls: bool, at_end: str) -> None:
    """Every word arrives, with interims before, whether or not the service closes at the end."""
    audio, words = recording(3)
    with (
        SttPeer(recognise(at_end=at_end), tls=tls) as peer,
        service(peer).open(sample_rate=8000) as session,
    ):
        paced(audio, speed=40, send=session.send)
        assert session.finish(PATIENCE)
        transcripts = list(session)

    assert " ".join(t.text for t in transcripts if t.is_final).split() == words
    assert any(not t.is_final for t in transcripts)
    assert session.connections == 1
    assert session.dropped == 0
    assert session.audio_seconds == pytest.approx(len(audio) / 16000)


def test_times_are_on_the_audio_clock() -> None:
    """Start and end say where in the audio the words were."""
    audio = silence(1.0) + utterance(1, 2) + silence(0.6) + utterance(3, 1)
    with SttPeer(recognise()) as peer, service(peer).open(sample_rate=8000) as session:
        # Slow enough for a final to come before the next word is sent: this engine tells no times.
        paced(audio, speed=4, send=session.send)
        session.finish(PATIENCE)
        first, second = (t for t in session if t.is_final and t.text)

    assert (first.start, first.end) == pytest.approx((1.0, 1.54), abs=0.05)
    assert (second.start, second.end) == pytest.approx((2.8, 3.04), abs=0.05)


def test_audio_goes_out_at_once_and_then_in_tenths_of_a_second() -> None:
    """The first packet does not wait; the others are put together."""
    with SttPeer(recognise()) as peer, service(peer).open(sample_rate=8000) as session:
        wait_until(lambda: peer.conversations)
        session.send(bytes(320))
        wait_until(lambda: peer.conversations and peer.conversations[0].sizes)
        paced(silence(2.0), speed=20, send=session.send)
        session.finish(PATIENCE)
        sizes = peer.conversations[0].sizes

    assert sizes[0] == 320
    # A hundred packets; a machine that stalls sends a rest here and there.
    assert len(sizes) < 40
    assert sum(sizes) == 320 + 32000


def test_a_rest_is_not_held_back_when_the_audio_stops() -> None:
    """A stream that pauses leaves nothing unsent."""
    with SttPeer(recognise()) as peer, service(peer).open(sample_rate=8000) as session:
        wait_until(lambda: peer.conversations)
        session.send(bytes(320))
        session.send(bytes(100))
        wait_until(lambda: len(peer.conversations[0].audio) == 420)


@pytest.mark.parametrize(
    ("encoding", "engine", "input_format"),
    [
        ("mulaw", "Deepgram", "mulaw"),
        ("PCMA", "Deepgram", "alaw"),
        ("mulaw", "Google", "mulaw"),
        ("alaw", "Google", "linear16"),
        ("PCMU", "Telnyx", "linear16"),
        ("linear16", "Telnyx", "linear16"),
    ],
)
def test_the_calls_own_bytes_go_where_they_are_understood(
    encoding: str, engine: str, input_format: str
) -> None:
    """G.711 passes untouched to the engines that take it, and is decoded for the others."""
    packet = bytes(range(256)) * 5
    with SttPeer(hear_everything) as peer:
        with service(peer, engine=engine).open(sample_rate=8000, encoding=encoding) as session:
            session.send(packet)
            session.finish(PATIENCE)
        (conversation,) = peer.conversations

    assert conversation.parameters["input_format"] == input_format
    expected = {
        ("mulaw", "linear16"): audioop.ulaw2lin(packet, 2),
        ("PCMU", "linear16"): audioop.ulaw2lin(packet, 2),
        ("alaw", "linear16"): audioop.alaw2lin(packet, 2),
    }.get((encoding, input_format), packet)
    assert bytes(conversation.audio) == expected


def test_wav_has_a_header_before_the_audio() -> None:
    """With ``wav``, a streaming header comes first and the rate stays out of the query."""
    with SttPeer(hear_everything) as peer:
        with service(peer, input_format="wav").open(sample_rate=16000) as session:
            session.send(bytes(3200))
            session.finish(PATIENCE)
        (conversation,) = peer.conversations

    assert conversation.audio[:4] == b"RIFF"
    assert conversation.audio[24:28] == (16000).to_bytes(4, "little")
    assert len(conversation.audio) == 44 + 3200
    assert "sample_rate" not in conversation.parameters


def test_audio_is_resampled_where_a_rate_is_asked_for() -> None:
    """A rate the engine does not take is converted to one it does."""
    with SttPeer(hear_everything) as peer:
        with service(peer, wire_rate=16000).open(sample_rate=48000) as session:
            session.send(bytes(2 * 48000))
            session.finish(PATIENCE)
        (conversation,) = peer.conversations

    assert conversation.parameters["sample_rate"] == "16000"
    assert len(conversation.audio) == pytest.approx(32000, abs=200)


def test_handshake_has_the_key_and_no_origin() -> None:
    """Telnyx's edge refuses a handshake that carries an Origin."""
    with SttPeer(recognise()) as peer:
        with service(peer).open(sample_rate=8000) as session:
            session.send(silence(0.1))
            session.finish(PATIENCE)
        headers = peer.conversations[0].headers

    assert headers["Authorization"] == f"Bearer {KEY}"
    assert "Origin" not in headers


def test_a_final_can_be_asked_for() -> None:
    """``finalize`` reaches an engine that understands it, behind the audio sent so far."""
    with SttPeer(recognise()) as peer, service(peer).open(sample_rate=8000) as session:
        session.send(word(1) + word(2))
        session.finalize()
        session.send(word(3))
        got = next(t for t in session if t.is_final)
        session.finish(PATIENCE)
        kinds = [text["type"] for text in peer.conversations[0].texts]

    assert got.text == "w1 w2"
    assert kinds == ["Finalize", "CloseStream"]


def test_engines_that_do_not_understand_finalize_are_not_told() -> None:
    """Only Deepgram knows the message."""
    with SttPeer(hear_everything) as peer:
        with service(peer, engine="Telnyx").open(sample_rate=8000) as session:
            session.send(silence(0.2))
            session.finalize()
            session.finish(PATIENCE)
        kinds = [text["type"] for text in peer.conversations[0].texts]

    assert kinds == ["CloseStream"]


def test_transcripts_can_be_handed_to_a_function() -> None:
    """With a callback, each transcript comes on the receive thread, and the end is told."""
    heard: list[tuple[str, str]] = []
    ended: list[Exception | None] = []

    def take(transcript: Transcript) -> None:
        heard.append((transcript.text, threading.current_thread().name))

    with SttPeer(recognise(interims=False)) as peer:
        opened = service(peer).open(
            sample_rate=8000, on_transcript=take, on_end=ended.append, tag="9f3c2a"
        )
        with opened as session:
            session.send(utterance(1, 2))
            session.finish(PATIENCE)

    assert heard[0] == ("w1 w2", "stt-recv/9f3c2a")
    assert ended == [None]


def test_what_a_callback_raises_ends_the_session() -> None:
    """A bug of the user is not swallowed."""

    def take(transcript: Transcript) -> None:
        raise ZeroDivisionError

    with SttPeer(recognise()) as peer:
        with service(peer).open(sample_rate=8000, on_transcript=take) as session:
            session.send(utterance(1, 2))
            with pytest.raises(ZeroDivisionError):
                list(session)
        assert isinstance(session.error, ZeroDivisionError)


def test_noise_of_the_service_is_skipped() -> None:
    """Non-JSON, binary frames, unknown keys and odd confidences end nothing."""

    def babble(conversation: Conversation) -> None:
        for message in (
            "not json", b"\x00\xff", {"type": "metadata"}, [], {"transcript": 7}, "null",
            {"transcript": "", "is_final": False},
            [{"transcript": "a", "is_final": True, "confidence": None}],
            {"transcript": "", "is_final": True, "utterance_end": True},
            {"transcript": "b", "is_final": True, "confidence": "high"},
        ):  # fmt: skip
            conversation.send(message)
        hear_everything(conversation)

    with SttPeer(babble) as peer, service(peer).open(sample_rate=8000) as session:
        session.send(silence(0.2))
        got = [next(iter(session)) for _ in range(3)]
        session.finish(PATIENCE)

    assert [(t.text, t.confidence, t.utterance_end) for t in got] == [
        ("a", 0.0, False),
        ("", 0.0, True),
        ("b", 0.0, False),
    ]
    assert session.connections == 1


def test_server_that_never_answers_the_end() -> None:
    """``finish`` ends at its limit and says that not everything was answered."""
    with SttPeer(recognise(at_end="mute")) as peer:
        with service(peer).open(sample_rate=8000) as session:
            session.send(word(1) + word(2))
            wait_until(lambda: peer.conversations and peer.conversations[0].audio)
            began = time.monotonic()
            assert not session.finish(0.3)
            assert time.monotonic() - began < PATIENCE
        assert finals(session) == []


def test_finish_without_audio_waits_for_nothing() -> None:
    """Nothing was said, so nothing is due."""
    with SttPeer(recognise(at_end="mute")) as peer, service(peer).open(sample_rate=8000) as session:
        assert session.finish(PATIENCE)


def test_an_ended_session_takes_nothing() -> None:
    """Audio after the end is refused, not swallowed."""
    with SttPeer(recognise()) as peer, service(peer).open(sample_rate=8000) as session:
        session.send(silence(0.1))
        session.finish(PATIENCE)
        with pytest.raises(SessionEnded):
            session.send(silence(0.1))
        session.close()
        session.close()


def test_audio_is_bounded_while_nothing_connects() -> None:
    """The oldest audio goes, and is counted."""
    with (
        SttPeer(recognise(), answer=lambda request: _hold(peer)) as peer,
        service(peer, buffer_seconds=1.0, connect_timeout=60).open(sample_rate=8000) as session,
    ):
        for _ in range(30):
            session.send(silence(0.1))
        assert session.dropped == pytest.approx(2.0)
        assert session.audio_seconds == pytest.approx(3.0)


def _hold(peer: SttPeer) -> None:
    peer.released.wait(PATIENCE)


def test_the_next_engine_takes_over_with_the_audio() -> None:
    """An engine that is refused is replaced, and what was said meanwhile is heard."""

    def refuse(conversation: Conversation) -> None:
        conversation.receive()
        conversation.send({"errors": [{"code": "40007", "title": "Unknown engine"}]})
        conversation.connection.close()

    audio = utterance(50, 3) + utterance(90, 2)
    fallback = SttOptions(engine="Soniox", language="es")
    with SttPeer([refuse, refuse, recognise()]) as peer:
        with service(peer, fallbacks=["Telnyx", fallback]).open(
            sample_rate=8000, encoding="mulaw"
        ) as session:
            session.send(audioop.lin2ulaw(audio, 2))
            assert session.finish(PATIENCE)
            heard = [t for t in session if t.is_final and t.text]
        asked = [c.parameters for c in peer.conversations]

    assert [a["transcription_engine"] for a in asked] == ["Deepgram", "Telnyx", "Soniox"]
    assert [a["input_format"] for a in asked] == ["mulaw", "linear16", "linear16"]
    assert asked[2]["language"] == "es"
    assert [len(t.text.split()) for t in heard] == [3, 2]
    assert session.engine == "Soniox"


def test_a_refused_key_is_refused_by_all_engines() -> None:
    """With HTTP 401 no fallback is tried."""
    with (
        SttPeer(recognise(), answer=status(401)) as peer,
        service(peer, fallbacks=["Telnyx"]).open(sample_rate=8000) as session,
    ):
        with pytest.raises(AuthenticationError):
            list(session)
        assert session.connections == 1


@pytest.mark.parametrize(
    "options",
    [
        {"sample_rate": 0},
        {"sample_rate": 8000.5},
        {"sample_rate": 8000, "encoding": "opus"},
    ],
)
def test_a_session_that_cannot_be_is_refused_at_once(options: dict[str, object]) -> None:
    """Before anything connects."""
    with pytest.raises(ConfigurationError):
        SpeechToText(api_key=KEY).open(**options)  # type: ignore[arg-type]


def test_key_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the argument or the environment; one that cannot be a header is refused unseen."""
    monkeypatch.delenv("TELNYX_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="TELNYX_API_KEY"):
        SpeechToText()
    with pytest.raises(ConfigurationError) as caught:
        SpeechToText(api_key="KEY\r\nX-Evil: 1")
    assert "Evil" not in str(caught.value)
    monkeypatch.setenv("TELNYX_API_KEY", KEY)
    assert KEY not in repr(SpeechToText())


def test_error_of_the_service_is_raised_where_one_iterates() -> None:
    """With its code and sentence; a refusal is not tried again."""

    def refuse(conversation: Conversation) -> None:
        conversation.send({"errors": [{"code": "40005", "title": "Invalid", "detail": "bad rate"}]})
        conversation.hang()

    errors: list[Exception] = []
    with (
        SttPeer(refuse) as peer,
        service(peer).open(sample_rate=8000, on_error=errors.append) as session,
    ):
        with pytest.raises(ServiceError, match="bad rate") as caught:
            list(session)
        with pytest.raises(ServiceError):
            session.send(bytes(2))
        with pytest.raises(ServiceError):
            session.finish(PATIENCE)

    assert caught.value.code == "40005"
    assert session.connections == 1
    assert errors == [caught.value]
