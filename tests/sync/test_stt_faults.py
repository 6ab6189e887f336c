"""What a transcription session makes of every fault, before, amid and after the audio.

Each case asserts which words arrived, how many connections were made, that it ends, and (by the
guards of every test) that no thread stays.  A fault that can be survived costs no word.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from telnyx_media.errors import (
    AuthenticationError,
    ConnectionLost,
    DeadlineExceeded,
    ServiceError,
    TelnyxMediaError,
)
from telnyx_media.sync.retry import RetryPolicy
from telnyx_media.sync.stt import SpeechToText, SttSession
from tests.loopback import PATIENCE, faults, wait_until
from tests.loopback.faults import Fault
from tests.loopback.servers import KEY, Answer, Behaviour, Conversation, status
from tests.loopback.stt import (
    PAUSE_SECONDS,
    RATE,
    NumberRecogniser,
    SttPeer,
    recognise,
    recording,
    silence,
)

QUICK = RetryPolicy(attempts=3, delays=(0.01,), jitter=0.0)

SECONDS = 6.0
MIDDLE = 3.0

WHEN = ("before", "amid", "after")


def engine_with(fault: Fault, when: str) -> Behaviour:
    """Make an engine that commits ``fault`` at the first audio, half-way, or at the end."""
    if when == "before":
        return recognise(until=0.01, then=fault)
    if when == "amid":
        return recognise(until=MIDDLE, then=fault)

    def behave(conversation: Conversation) -> None:
        engine = NumberRecogniser()
        while True:
            message = conversation.receive()
            if not isinstance(message, bytes):
                return fault(conversation)
            for reply in engine.feed(message):
                conversation.send(reply)

    return behave


def spoken_to_the_end() -> tuple[bytes, list[str]]:
    """Make a recording whose last word is followed by nothing: its final comes with the end."""
    audio, words = recording(SECONDS)
    return audio[: -len(silence(PAUSE_SECONDS + 0.5))], words


def service(url: str, **options: object) -> SpeechToText:
    """Make a client that is as quick to suspect as a test wants it."""
    options = {
        "retry": QUICK,
        "connect_timeout": 0.5,
        "reply_timeout": 0.4,
        "ping_interval": 0.1,
        "dead_after": 0.4,
        **options,
    }
    return SpeechToText(api_key=KEY, base_url=url, **options)  # type: ignore[arg-type]


def run(session: SttSession, audio: bytes, *, finish: float = PATIENCE) -> tuple[list[str], bool]:
    """Send ``audio`` at fifteen times its pace, finish, and get the words and the verdict."""
    step = RATE // 10 * 2
    for at in range(0, len(audio), step):
        session.send(audio[at : at + step])
        time.sleep(0.1 / 15)
    answered = session.finish(finish)
    return " ".join(t.text for t in session if t.is_final).split(), answered


SURVIVED: dict[str, Fault] = {
    "close 1000": faults.close(1000),
    "close 1001": faults.close(1001),
    "close 1011": faults.close(1011),
    "close 4500": faults.close(4500),
    "vanish": faults.vanish,
    "reset": faults.reset,
    "torn frame": faults.torn,
    "garbage": faults.garbage,
    "half-open": faults.half_open,
    "error closed": faults.error({"type": "error", "error": "overloaded"}, held=False),
    "error held": faults.error({"errors": [{"code": "50000", "title": "Oops"}]}, held=True),
}


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("fault", SURVIVED)
def test_survived(fault: str, when: str) -> None:
    """The fault costs a connection and no word: all arrive, each once, in order."""
    audio, words = spoken_to_the_end()
    with SttPeer([engine_with(SURVIVED[fault], when), recognise()]) as peer:
        with service(peer.url).open(sample_rate=RATE) as session:
            heard, answered = run(session, audio)
        assert len(peer.conversations) == session.connections == 2

    assert heard == words
    assert answered
    assert session.reconnects == 1
    assert session.dropped == 0


@pytest.mark.parametrize("fault", [faults.mute, faults.slow_reader])
@pytest.mark.parametrize("when", WHEN)
def test_mute(when: str, fault: Fault) -> None:
    """Speech without an answer costs the connection; silence after the end is only waited for."""
    audio, words = spoken_to_the_end()
    with (
        SttPeer([engine_with(fault, when), recognise()]) as peer,
        service(peer.url).open(sample_rate=RATE) as session,
    ):
        limit = 0.5 if when == "after" else PATIENCE
        heard, answered = run(session, audio, finish=limit)

    # The last words were sent and nobody knows whether they were heard.
    assert answered is (when != "after")
    assert session.connections == (1 if when == "after" else 2)
    assert heard == words[: len(heard)]
    assert len(heard) > len(words) / 2
    if when != "after":
        assert heard == words


REFUSED: dict[str, tuple[Fault, type[ServiceError], str]] = {
    "close 1008": (faults.close(1008), ServiceError, "1008"),
    "close 4001": (faults.close(4001), AuthenticationError, "4001"),
    "close 4003": (faults.close(4003), AuthenticationError, "4003"),
    "validation closed": (
        faults.error({"errors": [{"code": "40006", "title": "No"}]}, held=False),
        ServiceError,
        "40006",
    ),
    "validation held": (
        faults.error({"errors": [{"code": "40006", "title": "No"}]}, held=True),
        ServiceError,
        "40006",
    ),
}


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("fault", REFUSED)
def test_refused(fault: str, when: str) -> None:
    """A refusal ends the session at once, with its code; what was heard before stays."""
    do, kind, code = REFUSED[fault]
    audio, words = spoken_to_the_end()
    with SttPeer([engine_with(do, when), recognise()]) as peer:
        with service(peer.url).open(sample_rate=RATE) as session:
            with pytest.raises(ServiceError):
                run(session, audio)
            heard: list[str] = []
            with pytest.raises(kind) as caught:
                heard.extend(word for t in session if t.is_final for word in t.text.split())
        assert len(peer.conversations) == session.connections == 1

    assert caught.value.code == code
    assert not caught.value.retryable
    assert heard == words[: len(heard)]
    assert (len(heard) == 0) is (when == "before")


RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)
REFUSED_STATUS = (301, 400, 402, 403, 404, 405, 422)


def interrupted(when: str) -> list[Behaviour]:
    """Make the connections whose loss brings the handshake to be tested about."""
    return [] if when == "before" else [engine_with(faults.vanish, when)]


def at_handshake(when: str, code: int) -> Answer:
    """Refuse the first handshake, or the one after the loss."""
    return status(code, only=frozenset({len(interrupted(when))}))


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("code", RETRIED_STATUS)
def test_status_that_is_tried_again(code: int, when: str) -> None:
    """A busy service is asked again and no word is lost."""
    audio, words = spoken_to_the_end()
    behaviours = [*interrupted(when), recognise()]
    with (
        SttPeer(behaviours, answer=at_handshake(when, code)) as peer,
        service(peer.url).open(sample_rate=RATE) as session,
    ):
        heard, answered = run(session, audio)

    assert heard == words
    assert answered
    assert session.connections == len(behaviours) + 1


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("code", [*REFUSED_STATUS, 401])
def test_status_that_is_not(code: int, when: str) -> None:
    """A refused handshake is not repeated; the error has its status."""
    audio, _ = spoken_to_the_end()
    behaviours = [*interrupted(when), recognise()]
    with (
        SttPeer(behaviours, answer=at_handshake(when, code)) as peer,
        service(peer.url).open(sample_rate=RATE) as session,
    ):
        with pytest.raises(ServiceError) as caught:
            run(session, audio)
        assert peer.handshakes == session.connections == len(behaviours)

    assert caught.value.http_status == code
    assert isinstance(caught.value, AuthenticationError) is (code in (401, 403))


def stall(peer: SttPeer, number: int) -> Answer:
    """Stall the ``number``-th handshake until the client gives up."""

    def answer(request: object) -> None:
        if peer.handshakes == number + 1:
            peer.released.wait(0.7)

    return answer


@pytest.mark.parametrize("when", WHEN)
def test_stalled_upgrade_is_given_up_and_tried_again(when: str) -> None:
    """The connect is bounded, and the next one is heard from the start."""
    audio, words = spoken_to_the_end()
    behaviours = [*interrupted(when), recognise()]
    peer = SttPeer(behaviours, answer=lambda request: stall(peer, len(behaviours) - 1)(request))
    with peer, service(peer.url, connect_timeout=0.3).open(sample_rate=RATE) as session:
        heard, answered = run(session, audio)

    assert heard == words
    assert answered
    assert session.connections == len(behaviours) + 1


def give_up(url: str, **options: object) -> tuple[TelnyxMediaError, SttSession, float]:
    """Open a session that cannot succeed; get its error, itself and the seconds it took."""
    began = time.monotonic()
    with service(url, **options).open(sample_rate=RATE) as session:
        # It may be given up before anything was said.
        with suppress(TelnyxMediaError):
            session.send(bytes(320))
        with pytest.raises(TelnyxMediaError) as caught:
            list(session)
    return caught.value, session, time.monotonic() - began


def test_refused_connections_are_given_up() -> None:
    """Nobody listens: the error says so, after the attempts that were allowed."""
    with faults.closed_port() as url:
        error, session, _ = give_up(url)

    assert isinstance(error, ConnectionLost)
    assert "refused" in str(error)
    assert session.connections == 3


def test_tcp_that_stalls_is_given_up() -> None:
    """Nobody accepts: each attempt is bounded."""
    with faults.deaf_port() as url:
        error, session, seconds = give_up(url, connect_timeout=0.1)

    assert isinstance(error, DeadlineExceeded)
    assert session.connections == 3
    assert seconds < PATIENCE


@pytest.mark.parametrize("drip", [False, True])
def test_upgrade_that_stalls_or_drips_is_given_up(drip: bool) -> None:
    """Bytes now and then do not hold the limit up: the connect is bounded as a whole."""
    import threading

    released = threading.Event()
    peer = faults.dripping_upgrade(released) if drip else faults.stalled_upgrade()
    with peer:
        error, _, seconds = give_up(peer.url, connect_timeout=0.2)
        released.set()
        assert peer.accepted == 3

    assert isinstance(error, DeadlineExceeded)
    assert seconds < PATIENCE


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff" * 100,
        b"220 smtp.example ready\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: wrong\r\n\r\n",
        b"HTTP/1.1 503 X\r\nContent-Length: abc\r\n\r\n",
    ],
)
def test_what_is_no_handshake_is_an_error(answer: bytes) -> None:
    """A peer that speaks something else gives one of our errors."""
    with faults.answering(answer) as peer:
        error, session, _ = give_up(peer.url)

    assert session.connections == (1 if b"200 OK" in answer else 3)
    assert "websocket" not in type(error).__module__


def test_a_service_that_comes_up_late_is_found() -> None:
    """Words said while nobody listened are heard."""
    audio, words = recording(2.0)
    policy = RetryPolicy(attempts=1000, delays=(0.01,), jitter=0.0)
    with (
        SttPeer(recognise(), late=True) as peer,
        service(peer.url, retry=policy).open(sample_rate=RATE) as session,
    ):
        session.send(audio)
        wait_until(lambda: session.connections > 3)
        peer.listen()
        assert session.finish(PATIENCE)
        assert " ".join(t.text for t in session if t.is_final).split() == words


def test_messages_that_drip_are_read() -> None:
    """A byte at a time is slow, and no fault."""

    def drip(conversation: Conversation) -> None:
        conversation.receive()
        message = b'{"transcript":"a b","is_final":true,"confidence":0.5}'
        # A pong in the middle of a frame would be this test's fault.
        with conversation.connection.protocol_mutex:
            for byte in bytes([0x81, len(message)]) + message:
                conversation.raw(bytes([byte]))
                time.sleep(0.002)
        conversation.hang()

    with SttPeer(drip) as peer, service(peer.url).open(sample_rate=RATE) as session:
        session.send(bytes(320))
        assert next(iter(session)).text == "a b"
        assert session.connections == 1


def test_endless_faults_end_the_session() -> None:
    """A service that never works is given up after the attempts that were allowed."""
    with SttPeer(engine_with(faults.vanish, "before")) as peer:
        error, session, _ = give_up(peer.url)

    assert isinstance(error, ConnectionLost)
    assert session.connections == 3


def test_a_working_connection_starts_the_count_anew() -> None:
    """Losing one connection a minute is not losing sixty in a row."""
    audio, words = spoken_to_the_end()
    losses = [recognise(until=1.5, then=faults.vanish) for _ in range(5)]
    with (
        SttPeer([*losses, recognise()]) as peer,
        service(peer.url).open(sample_rate=RATE) as session,
    ):
        heard, _ = run(session, audio)

    assert heard == words
    assert session.connections == 6


def test_silence_is_believed_after_two_suspicions() -> None:
    """Noise that sounds like speech does not make a session reconnect for ever."""
    audio, _ = recording(2.0)
    with (
        SttPeer(Conversation.hang) as peer,
        service(peer.url, reply_timeout=0.1).open(sample_rate=RATE) as session,
    ):
        session.send(audio)
        wait_until(lambda: session.connections == 3)
        time.sleep(0.4)
        assert session.connections == 3
        assert session.error is None


def test_no_descriptor_stays() -> None:
    """Whatever went wrong, the number of open files is what it was."""
    kinds: list[Callable[[Conversation], None]] = [
        faults.vanish,
        faults.reset,
        faults.garbage,
        faults.close(1011),
    ]
    behaviours = [engine_with(kind, "before") for kind in kinds]
    policy = RetryPolicy(attempts=9, delays=(0.01,), jitter=0.0)
    with SttPeer([recognise(), *behaviours, recognise()]) as peer:
        # The peer's own descriptors are all there once it has served somebody.
        with service(peer.url).open(sample_rate=RATE) as session:
            session.send(bytes(1600))
            session.finish(PATIENCE)
        before = len(os.listdir("/proc/self/fd"))
        with service(peer.url, retry=policy).open(sample_rate=RATE) as session:
            session.send(bytes(1600))
            session.finish(PATIENCE)
        wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before)
