"""A synthesis session against a service on loopback."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from telnyx_media.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLost,
    ServiceError,
    SessionEnded,
    SpeechCutShort,
)
from telnyx_media.mp3 import Mp3Decoder
from telnyx_media.sync.retry import RetryPolicy
from telnyx_media.sync.speechcache import SpeechCache
from telnyx_media.sync.tts import SpeechAudio, TextToSpeech, TtsSession
from tests.loopback import PATIENCE, wait_until
from tests.loopback.servers import KEY, Conversation, status
from tests.loopback.tts import (
    RATE,
    Encode,
    TtsPeer,
    mp3_file,
    mulaw,
    raw,
    spoken,
    synthesise,
    wav,
    words_in,
)

QUICK = RetryPolicy(attempts=3, delays=(0.01,), jitter=0.0)
TEXTS = ("w1 w2 w3. ", "w4 w5. ", "w6 w7 w8.")


def service(peer: TtsPeer, **options: object) -> TextToSpeech:
    """Make the client of ``peer``, which is asked for what it sends by default."""
    options = {
        "audio_format": "linear16",
        "sample_rate": RATE,
        "retry": QUICK,
        **options,
    }
    return TextToSpeech(
        api_key=KEY,
        base_url=peer.url,
        ssl_context=peer.client_context,
        **options,  # type: ignore[arg-type]
    )


def say(session: TtsSession, *texts: str) -> list[SpeechAudio]:
    """Say ``texts`` and get all the audio."""
    for text in texts or TEXTS:
        session.send(text)
    session.finish()
    return list(session)


def by_segment(audio: list[SpeechAudio]) -> dict[int, bytes]:
    """Join the audio of each segment."""
    joined: dict[int, bytes] = {}
    for piece in audio:
        joined[piece.segment] = joined.get(piece.segment, b"") + piece.pcm
    return joined


def last(audio: list[SpeechAudio]) -> list[int]:
    """Get the segments that were closed, in order."""
    return [piece.segment for piece in audio if piece.last]


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("at_end", ["close", "stay"])
@pytest.mark.parametrize("final", ["end", "each", "never"])
@pytest.mark.parametrize("style", ["streaming", "bearing", "twice"])
def test_every_word_once_and_in_its_segment(style: str, final: str, at_end: str, tls: bool) -> None:
    """However the voice sends its audio and says that it is done."""
    behaviour = synthesise(style=style, final=final, at_end=at_end)
    with TtsPeer(behaviour, tls=tls) as peer, service(peer).open(sample_rate=RATE) as session:
        audio = say(session)

    assert [words_in(pcm) for pcm in by_segment(audio).values()] == [
        ["w1", "w2", "w3"],
        ["w4", "w5"],
        ["w6", "w7", "w8"],
    ]
    assert last(audio) == [0, 1, 2]
    assert session.connections == 1
    assert session.delivered == pytest.approx(0.8, abs=0.001)


@pytest.mark.parametrize("final", ["end", "each", "never"])
def test_every_word_once_when_no_text_is_named(final: str) -> None:
    """A voice that never names a text is still heard whole, in order."""
    with (
        TtsPeer(synthesise(style="silent", final=final)) as peer,
        service(peer).open(sample_rate=RATE) as session,
    ):
        audio = say(session)

    assert words_in(b"".join(piece.pcm for piece in audio)) == [f"w{n}" for n in range(1, 9)]
    assert last(audio) == [0, 1, 2]


@pytest.mark.parametrize(
    ("encode", "asked"),
    [(raw, "linear16"), (wav, "wav"), (wav, None), (mp3_file, None), (mp3_file, "linear16")],
)
@pytest.mark.parametrize("size", [7, 500, 100_000])
def test_what_arrives_is_sniffed(encode: Encode, asked: str | None, size: int) -> None:
    """MP3, WAV and raw audio are told apart, whatever was asked and however they are cut."""
    with (
        TtsPeer(synthesise(encode=encode, size=size)) as peer,
        service(peer, audio_format=asked).open(sample_rate=RATE) as session,
    ):
        audio = say(session)
    whole = b"".join(piece.pcm for piece in audio)

    if encode is mp3_file:
        decoder = Mp3Decoder(RATE)
        expected = b"".join(decoder.feed(mp3_file(text)) for text in TEXTS) + decoder.close()
        assert whole == expected
    else:
        assert words_in(whole) == [f"w{n}" for n in range(1, 9)]


def test_mulaw_at_the_calls_own_rate() -> None:
    """Asked of a voice that honours it, µ-law comes at 8 kHz."""
    with (
        TtsPeer(synthesise(encode=mulaw)) as peer,
        service(peer, audio_format="mulaw", sample_rate=8000).open(sample_rate=8000) as session,
    ):
        audio = say(session)
        (conversation,) = peer.conversations

    assert conversation.parameters["audio_format"] == "mulaw"
    assert conversation.parameters["sample_rate"] == "8000"
    assert sum(len(piece.pcm) for piece in audio) == sum(len(spoken(text, 8000)) for text in TEXTS)


def test_what_goes_over_the_wire() -> None:
    """A space with the settings, each text with a flush, an empty text; the key, no Origin."""
    settings = {"voice_speed": 1.1}
    with TtsPeer(synthesise()) as peer:
        with service(peer, voice="A B&c=d", voice_settings=settings).open(
            sample_rate=RATE
        ) as session:
            say(session)
        (conversation,) = peer.conversations

    assert conversation.texts == [
        {"text": " ", "voice_settings": settings},
        *({"text": text, "flush": True} for text in TEXTS),
        {"text": ""},
    ]
    assert conversation.parameters["voice"] == "A B&c=d"
    assert conversation.headers["Authorization"] == f"Bearer {KEY}"
    assert "Origin" not in conversation.headers


def test_speak_sends_sentences_while_the_text_is_made() -> None:
    """The first sentence is heard before the second is written."""
    heard = threading.Event()

    def write() -> Iterator[str]:
        yield "w1 w2 "
        yield "w3. And then "
        assert heard.wait(PATIENCE)
        yield "w4 w5."

    with TtsPeer(synthesise()) as peer:
        pcm = b""
        for piece in service(peer).speak(write(), sample_rate=RATE):
            pcm += piece
            heard.set()
        texts = [str(text["text"]) for text in peer.conversations[0].texts]

    assert "".join(texts[1:-1]) == "w1 w2 w3. And then w4 w5."
    assert [w for w in words_in(pcm) if w != "w0"] == ["w1", "w2", "w3", "w4", "w5"]


def test_speak_closes_its_socket_with_the_generator() -> None:
    """Whoever stops listening stops paying."""
    with TtsPeer(synthesise(final="never", at_end="mute")) as peer:
        speech = service(peer).speak(TEXTS[0], sample_rate=RATE)
        next(speech)
        closing = getattr(speech, "close")  # noqa: B009 - a generator, whatever its annotation says
        closing()
        wait_until(lambda: peer.conversations and peer.conversations[0].connection.close_code)


def test_speak_raises_what_the_writer_of_the_text_raises() -> None:
    """An error of the iterator is the caller's own."""

    def write() -> Iterator[str]:
        yield "w1. "
        raise ZeroDivisionError

    with TtsPeer(synthesise()) as peer, pytest.raises(ZeroDivisionError):
        list(service(peer).speak(write()))


@pytest.mark.parametrize("text", ["", " ", "\n\t", "...", "👍", "—!?"])
def test_nothing_to_speak_costs_no_connection(text: str) -> None:
    """Blank and unspeakable texts are silent segments."""
    with TtsPeer(synthesise()) as peer:
        with service(peer).open(sample_rate=RATE) as session:
            audio = say(session, text)
        assert list(service(peer).speak(text)) == []
        assert peer.handshakes == 0

    assert audio == [SpeechAudio(b"", 0, last=True)]


def test_unspeakable_texts_keep_their_place() -> None:
    """Segments are counted by what was sent."""
    with TtsPeer(synthesise()) as peer, service(peer).open(sample_rate=RATE) as session:
        audio = say(session, "...", "w1", "!", "w2", "?")

    assert last(audio) == [0, 1, 2, 3, 4]
    assert {n: words_in(pcm) for n, pcm in by_segment(audio).items() if pcm} == {
        1: ["w1"],
        3: ["w2"],
    }


def test_audio_can_be_handed_to_a_function_that_blocks() -> None:
    """The function is called on the receive thread; holding it up holds up the service."""
    heard: list[SpeechAudio] = []
    names: set[str] = set()
    ended: list[Exception | None] = []
    gate = threading.Event()

    def take(audio: SpeechAudio) -> None:
        assert gate.wait(PATIENCE)
        heard.append(audio)
        names.add(threading.current_thread().name)

    with TtsPeer(synthesise()) as peer:
        opened = service(peer).open(
            sample_rate=RATE, on_audio=take, on_end=ended.append, tag="9f3c2a"
        )
        with opened as session:
            for text in TEXTS:
                session.send(text)
            session.finish()
            assert not session.wait(0.05)
            gate.set()
            assert session.wait(PATIENCE)

    assert words_in(b"".join(piece.pcm for piece in heard)) == [f"w{n}" for n in range(1, 9)]
    assert names == {"tts-recv/9f3c2a"}
    assert ended == [None]


def test_malformed_frames_are_skipped() -> None:
    """Noise between the frames does no harm."""
    normal = synthesise()

    def noisy(conversation: Conversation) -> None:
        noises: list[object] = [
            "no json",
            b"\xff\xfb\x90",
            [],
            {"audio": "***"},
            {"audio": 7},
            "null",
            {},
        ]
        for noise in noises:
            conversation.send(noise)
        normal(conversation)

    with TtsPeer(noisy) as peer, service(peer).open(sample_rate=RATE) as session:
        assert words_in(b"".join(piece.pcm for piece in say(session))) == [
            f"w{n}" for n in range(1, 9)
        ]


def test_a_refused_voice_is_replaced_by_the_next() -> None:
    """The fallback's own defaults are asked for, not the first voice's."""
    with TtsPeer(
        synthesise(), answer=status(400, {"errors": [{"title": "Bad voice"}]}, only=frozenset({0}))
    ) as peer:
        with service(peer, fallbacks=["Telnyx.KokoroTTS.af_heart"]).open(
            sample_rate=RATE
        ) as session:
            session.send("w1 w2 w3")
            session.finish()
            assert sum(len(piece.pcm) for piece in session) > 0
        (conversation,) = peer.conversations

    assert conversation.parameters == {"voice": "Telnyx.KokoroTTS.af_heart"}
    assert session.voice == "Telnyx.KokoroTTS.af_heart"
    assert peer.handshakes == 2


def test_an_error_before_audio_moves_on_to_the_next_voice() -> None:
    """A refusal inside the socket counts like one before it."""

    def refuse(conversation: Conversation) -> None:
        conversation.receive()
        conversation.receive()
        conversation.send({"error": "Error in audio response"})

    with (
        TtsPeer([refuse, refuse, refuse, synthesise()]) as peer,
        service(peer, fallbacks=["Other.voice"], disable_cache=True).open(
            sample_rate=24000
        ) as session,
    ):
        assert len(b"".join(piece.pcm for piece in say(session))) > 0

    assert session.connections == 4


def test_refusals_are_not_tried_again() -> None:
    """The status, code, sentence and id of the answer are in the error."""
    body = {"errors": [{"code": "10009", "title": "Authentication failed", "detail": "bad key"}]}
    with (
        TtsPeer(synthesise(), answer=status(401, body, request_id="req-1")) as peer,
        service(peer, fallbacks=["Other.voice"]).open(sample_rate=RATE) as session,
    ):
        with pytest.raises(AuthenticationError, match="bad key") as caught:
            say(session)
        assert peer.handshakes == 1

    error = caught.value
    assert (error.code, error.http_status, error.request_id) == ("10009", 401, "req-1")
    assert not error.retryable


def test_a_speech_without_any_audio_is_an_error() -> None:
    """An end that comes before any audio is no success."""

    def mute(conversation: Conversation) -> None:
        while conversation.receive() != '{"text":""}':
            pass
        conversation.send({"audio": None, "text": "", "isFinal": True})

    with TtsPeer(mute) as peer, service(peer).open(sample_rate=RATE) as session:
        with pytest.raises(ConnectionLost, match="without any audio"):
            say(session)
        assert session.connections == 3


def test_a_silent_service_times_out() -> None:
    """Each attempt ends at its limit."""
    with (
        TtsPeer(Conversation.hang) as peer,
        service(peer, reply_timeout=0.1).open(sample_rate=RATE) as session,
    ):
        with pytest.raises(ConnectionLost, match=r"no audio for 0\.1 s"):
            say(session)
        assert session.connections == 3


def test_a_pause_of_the_writer_is_no_silence_of_the_service() -> None:
    """While nothing is due, nothing times out."""
    with (
        TtsPeer(synthesise(final="each")) as peer,
        service(peer, reply_timeout=0.3).open(sample_rate=RATE) as session,
    ):
        session.send("w1")
        audio = iter(session)
        while not next(audio).last:
            pass
        threading.Event().wait(0.5)
        session.send("w2")
        session.finish()
        assert words_in(b"".join(piece.pcm for piece in audio)) == ["w2"]
        assert session.connections == 1


def test_between_two_texts_a_connection_can_be_lost() -> None:
    """What is not begun yet is spoken on the next one; nothing is heard twice."""

    def leave(conversation: Conversation) -> None:
        conversation.connection.close(1001)

    with (
        TtsPeer([synthesise(frames=1, size=10**6, then=leave), synthesise()]) as peer,
        service(peer).open(sample_rate=RATE) as session,
    ):
        session.send("w1")
        audio = iter(session)
        pcm = b""
        while not (piece := next(audio)).last:
            pcm += piece.pcm
        session.send("w2")
        session.finish()
        pcm += b"".join(piece.pcm for piece in audio)

    assert words_in(pcm) == ["w1", "w2"]
    assert session.connections == 2


def test_a_socket_can_be_opened_ahead_of_need() -> None:
    """``prepare`` connects before there is a text."""
    with TtsPeer(synthesise()) as peer, service(peer).open(sample_rate=RATE) as session:
        session.prepare()
        wait_until(lambda: peer.conversations)
        assert words_in(b"".join(piece.pcm for piece in say(session, "w1"))) == ["w1"]
        assert peer.handshakes == 1


def test_a_prepared_socket_may_stay_unused() -> None:
    """A reply that never came ends cleanly."""
    with TtsPeer(synthesise()) as peer, service(peer).open(sample_rate=RATE) as session:
        session.prepare()
        wait_until(lambda: peer.conversations)
        session.finish()
        assert list(session) == []


def test_an_ended_session_takes_nothing() -> None:
    """Text after the end is refused, not swallowed."""
    with TtsPeer(synthesise()) as peer, service(peer).open(sample_rate=RATE) as session:
        say(session)
        with pytest.raises(SessionEnded):
            session.send("w9")
        session.close()
        session.close()


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_same_text_is_synthesised_once(on_disk: bool, tmp_path: Path) -> None:
    """From memory, or from a directory by the next process; another voice is another text."""
    directory = tmp_path / "prompts" if on_disk else None
    cache = SpeechCache(directory=directory)
    with TtsPeer(synthesise()) as peer:
        with service(peer, cache=cache).open(sample_rate=RATE) as session:
            first = by_segment(say(session))
        again = SpeechCache(directory=directory) if on_disk else cache
        with service(peer, cache=again).open(sample_rate=RATE) as session:
            second = by_segment(say(session))
            assert session.connections == 0
        assert peer.handshakes == 1
        with service(peer, cache=again, voice="Other.voice").open(sample_rate=RATE) as session:
            say(session)
        assert peer.handshakes == 2

    assert first == second
    assert again.hits >= 3


def test_cached_and_new_texts_keep_their_order() -> None:
    """Only what is new goes over the wire."""
    cache = SpeechCache()
    with TtsPeer(synthesise()) as peer:
        with service(peer, cache=cache).open(sample_rate=RATE) as session:
            say(session, "w1", "w2")
        with service(peer, cache=cache).open(sample_rate=RATE) as session:
            audio = say(session, "w1", "w3", "w2", "w4")
        texts = [text["text"] for text in peer.conversations[1].texts]

    assert texts == [" ", "w3", "w4", ""]
    assert words_in(b"".join(piece.pcm for piece in audio)) == ["w1", "w3", "w2", "w4"]
    assert last(audio) == [0, 1, 2, 3]


def test_a_cached_text_is_spoken_while_the_socket_waits() -> None:
    """It needs no further text to be noticed."""
    cache = SpeechCache()
    with TtsPeer(synthesise(final="each")) as peer:
        with service(peer, cache=cache).open(sample_rate=RATE) as session:
            say(session, "w1")
        with service(peer, cache=cache).open(sample_rate=RATE) as session:
            session.send("w2")
            audio = iter(session)
            while not next(audio).last:
                pass
            session.send("w1")
            assert words_in(next(audio).pcm) == ["w1"]


def test_the_cache_is_bounded() -> None:
    """The least recently used goes."""
    cache = SpeechCache(max_bytes=10)
    cache.put("a", b"1234")
    cache.put("b", b"5678")
    assert cache.get("a") == b"1234"
    cache.put("c", b"90ab")
    cache.put("d", bytes(11))

    assert cache.get("b") is None
    assert cache.get("a") == b"1234"
    assert cache.get("c") == b"90ab"
    assert cache.get("d") is None


def test_errors_mid_audio_say_how_much_was_delivered() -> None:
    """Speech cut short is an error, never success, and is not tried again."""

    def fail(conversation: Conversation) -> None:
        conversation.send({"error": "Error in remaining audio response"})
        conversation.hang()

    with (
        TtsPeer(synthesise(frames=2, then=fail)) as peer,
        service(peer).open(sample_rate=RATE) as session,
    ):
        with pytest.raises(SpeechCutShort, match="remaining audio") as caught:
            say(session)
        assert caught.value.delivered == pytest.approx(0.2)
        assert session.connections == 1


@pytest.mark.parametrize("rate", [0, 8000.0, True])
def test_a_session_that_cannot_be_is_refused_at_once(rate: object) -> None:
    """Before anything connects."""
    with pytest.raises(ConfigurationError):
        TextToSpeech(api_key=KEY).open(sample_rate=rate)  # type: ignore[arg-type]


def test_service_error_is_a_service_error() -> None:
    """An error frame on every attempt is raised as what it is."""

    def refuse(conversation: Conversation) -> None:
        conversation.receive()
        conversation.send({"error": "Invalid message"})
        conversation.hang()

    with (
        TtsPeer(refuse) as peer,
        service(peer).open(sample_rate=RATE) as session,
        pytest.raises(ServiceError, match="Invalid message"),
    ):
        say(session)


# -- sockets that are kept ------------------------------------------------------------------------


def heard(session: TtsSession, *texts: str) -> list[str]:
    """Say ``texts`` and get the words."""
    return words_in(b"".join(piece.pcm for piece in say(session, *texts)))


@pytest.mark.parametrize("final", ["each", "end"])
def test_one_socket_carries_several_replies(final: str) -> None:
    """Where the service tells the end of each text, by isFinal or by its name."""
    with TtsPeer(synthesise(final=final)) as peer, service(peer, policy="keep") as tts:
        for number in range(3):
            with tts.open(sample_rate=RATE) as session:
                assert heard(session, f"w{number}", "w9") == [f"w{number}", "w9"]
        texts = [text["text"] for text in peer.conversations[0].texts]
        assert peer.handshakes == 1

    assert texts == [" ", "w0", "w9", "w1", "w9", "w2", "w9"]


def test_an_interruption_forces_and_keeps_the_socket() -> None:
    """Audio of the interrupted reply is never heard in the next."""

    def behave(conversation: Conversation) -> None:
        normal = synthesise(final="each")
        conversation.receive()
        conversation.receive()
        first = peer.frame(spoken("w1 w2 w3 w4"))
        conversation.send(first)
        while "force" not in conversation.texts[-1]:
            conversation.receive()
        conversation.send(first)
        conversation.texts.clear()
        normal(cast("Conversation", _After(conversation)))

    class _After:
        """The rest of a conversation whose first frame was sent before."""

        def __init__(self, conversation: Conversation) -> None:
            self._conversation = conversation
            self.texts: list[dict[str, object]] = [{"text": " "}]
            self._first = True

        def receive(self) -> object:
            if self._first:
                self._first = False
                return None
            self._conversation.receive()
            self.texts = self._conversation.texts
            return None

        def send(self, message: object) -> None:
            self._conversation.send(message)

        def hang(self) -> None:
            self._conversation.hang()

    class Peer(TtsPeer):
        @staticmethod
        def frame(pcm: bytes) -> dict[str, object]:
            return {"audio": base64.b64encode(pcm).decode(), "text": None, "isFinal": False}

    peer = Peer(behave)
    with peer, service(peer, policy="keep") as tts:
        with tts.open(sample_rate=RATE) as session:
            session.send("w1 w2 w3 w4 w5 w6 w7 w8")
            assert next(iter(session)).pcm
        wait_until(lambda: peer.conversations[0].texts == [])
        threading.Event().wait(0.6)
        with tts.open(sample_rate=RATE) as session:
            assert heard(session, "w5 w6") == ["w5", "w6"]
        assert peer.handshakes == 1


def test_a_service_that_shows_no_end_gets_fresh_sockets() -> None:
    """It is told ours, the reply is whole, and nothing is kept from then on."""
    with TtsPeer(synthesise(style="silent")) as peer, service(peer, policy="keep") as tts:
        for _ in range(2):
            with tts.open(sample_rate=RATE) as session:
                assert heard(session, "w1 w2") == ["w1", "w2"]
        assert peer.handshakes == 2
        assert [c.texts[-1] for c in peer.conversations] == [{"text": ""}] * 2


def test_a_service_that_refuses_a_second_reply_gets_fresh_sockets() -> None:
    """The reply is spoken all the same."""
    normal = synthesise(final="each")

    def once(conversation: Conversation) -> None:
        texts = 0
        while texts < 2:
            conversation.receive()
            texts += 1
        for frame in (
            {"audio": base64.b64encode(spoken("w1")).decode(), "text": None},
            {"audio": None, "text": "w1"},
            {"audio": None, "text": "", "isFinal": True},
        ):
            conversation.send(frame)
        conversation.receive()
        conversation.send({"error": "Invalid message"})

    with TtsPeer([once, normal]) as peer, service(peer, policy="keep") as tts:
        for number in (1, 2, 3):
            with tts.open(sample_rate=RATE) as session:
                assert heard(session, f"w{number}") == [f"w{number}"]
        assert peer.handshakes == 3


def test_a_kept_socket_that_died_is_replaced() -> None:
    """Whatever happened to it while it was idle."""

    def leave(conversation: Conversation) -> None:
        conversation.connection.close(1000)

    normal = synthesise(final="each")
    with (
        TtsPeer([synthesise(final="each", frames=1, size=10**6, then=leave), normal]) as peer,
        service(peer, policy="keep") as tts,
    ):
        with tts.open(sample_rate=RATE) as session:
            assert heard(session, "w1") == ["w1"]
        peer.conversations[0].connection.close(1000)
        with tts.open(sample_rate=RATE) as session:
            assert heard(session, "w2") == ["w2"]
