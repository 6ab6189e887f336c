"""What a synthesis session makes of every fault, before, amid and after the audio.

Before any audio a fault is tried again and costs a connection; amid the audio it is an error that
says how much was delivered; after the last of it, it depends on whether the service had said so.
"""

from __future__ import annotations

import threading

import pytest

from telnyx_media.errors import (
    AuthenticationError,
    ConnectionLost,
    DeadlineExceeded,
    ServiceError,
    SpeechCutShort,
    TelnyxMediaError,
)
from telnyx_media.sync.retry import RetryPolicy
from telnyx_media.sync.tts import SpeechAudio, TextToSpeech, TtsSession
from tests.loopback import PATIENCE, faults, wait_until
from tests.loopback.faults import Fault
from tests.loopback.servers import KEY, Behaviour, Conversation, status
from tests.loopback.tts import RATE, TtsPeer, spoken, synthesise, words_in

QUICK = RetryPolicy(attempts=3, delays=(0.01,), jitter=0.0)

TEXT = "w1 w2 w3 w4 w5 w6 w7 w8"
WHOLE = len(spoken(TEXT)) / (2 * RATE)

# Pieces of 0.1 s, one word each.
AMID = 4


def voice_with(fault: Fault, when: str) -> Behaviour:
    """Make a voice that commits ``fault`` at the first text, after four words, or at the end."""
    if when == "before":
        return synthesise(frames=0, then=fault)
    if when == "amid":
        return synthesise(frames=AMID, then=fault)
    return synthesise(frames=1000, then=fault)


def service(url: str, **options: object) -> TextToSpeech:
    """Make a client that is as quick to give up as a test wants it."""
    options = {
        "retry": QUICK,
        "connect_timeout": 0.5,
        "reply_timeout": 0.4,
        "ping_interval": 0.1,
        "dead_after": 0.3,
        "audio_format": "linear16",
        "sample_rate": RATE,
        **options,
    }
    return TextToSpeech(api_key=KEY, base_url=url, **options)  # type: ignore[arg-type]


def once_heard(seconds: float, fault: Fault, sessions: list[TtsSession]) -> Fault:
    """Commit ``fault`` when so much audio was delivered: a reset discards what was not read yet."""

    def do(conversation: Conversation) -> None:
        wait_until(lambda: sessions and sessions[0].delivered >= seconds - 0.001)
        fault(conversation)

    return do


def say(session: TtsSession) -> tuple[list[str], TelnyxMediaError | None]:
    """Speak the text; get the words heard and the error, if there was one."""
    session.send(TEXT)
    session.finish()
    pcm = b""
    try:
        for audio in session:
            pcm += audio.pcm
    except TelnyxMediaError as error:
        return words_in(pcm), error
    return words_in(pcm), None


RETRIED: dict[str, Fault] = {
    "close 1000": faults.close(1000),
    "close 1001": faults.close(1001),
    "close 1011": faults.close(1011),
    "vanish": faults.vanish,
    "reset": faults.reset,
    "torn frame": faults.torn,
    "garbage": faults.garbage,
    "mute": faults.mute,
    "half-open": faults.half_open,
    "slow reader": faults.slow_reader,
    "error closed": faults.error({"error": "Error in audio response"}, held=False),
    "error held": faults.error({"error": "Error in audio response"}, held=True),
}

REFUSED: dict[str, tuple[Fault, type[ServiceError]]] = {
    "close 1008": (faults.close(1008), ServiceError),
    "close 4001": (faults.close(4001), AuthenticationError),
    "close 4003": (faults.close(4003), AuthenticationError),
    "refusal": (
        faults.error({"errors": [{"code": "40000", "title": "Bad voice"}]}, held=True),
        ServiceError,
    ),
}


@pytest.mark.parametrize("fault", RETRIED)
def test_before_any_audio_it_is_tried_again(fault: str) -> None:
    """All of the speech comes, once, on the second connection."""
    with TtsPeer([voice_with(RETRIED[fault], "before"), synthesise()]) as peer:
        with service(peer.url).open(sample_rate=RATE) as session:
            heard, error = say(session)
        assert len(peer.conversations) == session.connections == 2

    assert heard == TEXT.split()
    assert error is None


@pytest.mark.parametrize("fault", REFUSED)
def test_before_any_audio_a_refusal_is_final(fault: str) -> None:
    """It is raised as what it is, and not repeated."""
    do, kind = REFUSED[fault]
    with TtsPeer([voice_with(do, "before"), synthesise()]) as peer:
        with service(peer.url).open(sample_rate=RATE) as session:
            heard, error = say(session)
        assert len(peer.conversations) == session.connections == 1

    assert heard == []
    assert type(error) is kind


@pytest.mark.parametrize("fault", [*RETRIED, *REFUSED])
def test_amid_the_audio_it_is_an_error_with_what_was_delivered(fault: str) -> None:
    """Nothing is heard twice and nothing is called a success."""
    sessions: list[TtsSession] = []
    do = once_heard(0.1 * AMID, RETRIED.get(fault) or REFUSED[fault][0], sessions)
    with TtsPeer([voice_with(do, "amid"), synthesise()]) as peer:
        with service(peer.url).open(sample_rate=RATE) as session:
            sessions.append(session)
            heard, error = say(session)
        assert len(peer.conversations) == session.connections == 1

    assert heard == TEXT.split()[:AMID]
    assert isinstance(error, SpeechCutShort)
    assert error.delivered == pytest.approx(0.1 * AMID)


# The service named the whole text behind its audio: silence, or a polite close, is the end.
ENOUGH = ("close 1000", "mute", "slow reader")


@pytest.mark.parametrize("fault", [*RETRIED, *REFUSED])
def test_after_the_last_audio(fault: str) -> None:
    """All audio is delivered, whatever comes; only a plausible end is a success."""
    sessions: list[TtsSession] = []
    do = once_heard(WHOLE, RETRIED.get(fault) or REFUSED[fault][0], sessions)
    options = {"dead_after": 2.0} if fault in ENOUGH else {}
    with TtsPeer([voice_with(do, "after"), synthesise()]) as peer:
        with service(peer.url, **options).open(sample_rate=RATE) as session:
            sessions.append(session)
            heard, error = say(session)
        assert len(peer.conversations) == session.connections == 1

    assert heard == TEXT.split()
    if fault in ENOUGH:
        assert error is None
    else:
        assert isinstance(error, SpeechCutShort)
        assert error.delivered == pytest.approx(WHOLE)


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503])
def test_status_that_is_tried_again(code: int) -> None:
    """A busy service is asked again."""
    with (
        TtsPeer(synthesise(), answer=status(code, only=frozenset({0, 1}))) as peer,
        service(peer.url).open(sample_rate=RATE) as session,
    ):
        heard, error = say(session)

    assert (heard, error) == (TEXT.split(), None)
    assert session.connections == 3


@pytest.mark.parametrize("code", [301, 400, 401, 403, 404, 422])
def test_status_that_is_not(code: int) -> None:
    """A refused handshake is not repeated; the error has its status."""
    with (
        TtsPeer(synthesise(), answer=status(code)) as peer,
        service(peer.url).open(sample_rate=RATE) as session,
    ):
        heard, error = say(session)

    assert heard == []
    assert isinstance(error, ServiceError)
    assert error.http_status == code
    assert session.connections == 1


def test_refused_connections_are_given_up() -> None:
    """Nobody listens."""
    with faults.closed_port() as url, service(url).open(sample_rate=RATE) as session:
        _, error = say(session)

    assert isinstance(error, ConnectionLost)
    assert session.connections == 3


def test_stalls_are_given_up() -> None:
    """Neither a TCP connect nor an upgrade that never ends is waited for."""
    with (
        faults.deaf_port() as url,
        service(url, connect_timeout=0.1).open(sample_rate=RATE) as session,
    ):
        _, tcp = say(session)
    with (
        faults.stalled_upgrade() as peer,
        service(peer.url, connect_timeout=0.1).open(sample_rate=RATE) as session,
    ):
        _, upgrade = say(session)

    assert isinstance(tcp, DeadlineExceeded)
    assert isinstance(upgrade, DeadlineExceeded)


def test_a_close_before_our_end_is_a_loss() -> None:
    """A polite close amid a text that was not named is no end."""

    def leave(conversation: Conversation) -> None:
        conversation.connection.close(1000)

    with (
        TtsPeer(synthesise(style="silent", frames=2, then=leave)) as peer,
        service(peer.url).open(sample_rate=RATE) as session,
    ):
        session.send(TEXT)
        with pytest.raises(SpeechCutShort):
            session.wait(PATIENCE)


def test_who_reads_slowly_gets_all_that_the_service_said_before_it_left() -> None:
    """A service that has closed, and is gone by the time its goodbye is read, has said it all."""

    def leave(conversation: Conversation) -> None:
        conversation.send({"audio": None, "text": "", "isFinal": True})
        conversation.raw(b"\x88\x02\x03\xe8")
        conversation.vanish()

    heard, ended = bytearray(), threading.Event()
    errors: list[Exception | None] = []

    def read_slowly(audio: SpeechAudio) -> None:
        # Until a ping has found nobody: nothing can be sent any more.
        wait_until(lambda: not any(t.name.startswith("tts-send") for t in threading.enumerate()))
        heard.extend(audio.pcm)

    def end(error: Exception | None) -> None:
        errors.append(error)
        ended.set()

    with TtsPeer(synthesise(frames=1000, then=leave)) as peer:
        voice = service(peer.url, dead_after=5.0, reply_timeout=5.0)
        with voice.open(sample_rate=RATE, on_audio=read_slowly, on_end=end) as session:
            session.send(TEXT)
            session.finish()
            assert ended.wait(PATIENCE)
    assert errors == [None]
    assert words_in(bytes(heard)) == TEXT.split()
