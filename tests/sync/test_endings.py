"""Interrupting in any state is quick, and nothing stays behind."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from telnyx_media.sync.retry import RetryPolicy
from telnyx_media.sync.stt import SpeechToText, SttSession
from telnyx_media.sync.tts import TextToSpeech, TtsSession
from tests.loopback import PATIENCE, faults, wait_until
from tests.loopback.servers import KEY, Conversation, RawPeer, certificate, status
from tests.loopback.stt import RATE, SttPeer, recognise, recording, utterance
from tests.loopback.tts import TtsPeer, synthesise

# The promise is a tenth of a second; a busy machine gets some more, and the median is judged.
QUICK = 0.1
REPEATS = 3

Session = SttSession | TtsSession


def open_stt(url: str, context: ssl.SSLContext | None) -> SttSession:
    """Open a transcription session with audio to send."""
    stt = SpeechToText(
        api_key=KEY,
        base_url=url,
        ssl_context=context,
        connect_timeout=60,
        retry=RetryPolicy(attempts=99, delays=(60.0,)),
    )
    session = stt.open(sample_rate=RATE)
    session.send(utterance(1, 2))
    return session


def open_tts(url: str, context: ssl.SSLContext | None) -> TtsSession:
    """Open a synthesis session with text to speak."""
    tts = TextToSpeech(
        api_key=KEY,
        base_url=url,
        ssl_context=context,
        connect_timeout=60,
        audio_format="linear16",
        sample_rate=16000,
        retry=RetryPolicy(attempts=99, delays=(60.0,)),
    )
    session = tts.open(sample_rate=16000)
    session.send("w1 w2 w3. " * 50)
    return session


OPENERS: dict[str, Callable[[str, ssl.SSLContext | None], Session]] = {
    "stt": open_stt,
    "tts": open_tts,
}

Ready = tuple[str, ssl.SSLContext | None, Callable[[Session], object]]


@contextmanager
def peer_that(behave: Callable[[Conversation], None], tls: bool) -> Iterator[Ready]:
    """Get a WebSocket peer that behaves so, and when the session is in the state to test."""
    with SttPeer(behave, tls=tls) as peer:

        def heard(session: Session) -> bool:
            # Wait until something was received, audio or text.
            return any(c.sizes or c.texts for c in peer.conversations)

        yield peer.url, peer.client_context, heard


@contextmanager
def connecting(tls: bool) -> Iterator[Ready]:
    """A TCP connect that stalls."""
    with faults.deaf_port() as url:
        yield _secured(url, tls), certificate()[1], lambda session: session.connections


@contextmanager
def upgrading(tls: bool) -> Iterator[Ready]:
    """A handshake, of TLS or of the WebSocket, that stalls."""
    with faults.stalled_upgrade() as peer:
        yield _secured(peer.url, tls), certificate()[1], lambda session: peer.accepted


@contextmanager
def backing_off(tls: bool) -> Iterator[Ready]:
    """A wait before the next attempt."""
    with SttPeer(Conversation.hang, tls=tls, answer=status(503)) as peer:
        yield peer.url, peer.client_context, lambda session: peer.handshakes


@contextmanager
def listening(tls: bool) -> Iterator[Ready]:
    """A connection on which nothing comes back."""
    with peer_that(Conversation.hang, tls) as ready:
        yield ready


@contextmanager
def half_open(tls: bool) -> Iterator[Ready]:
    """A connection that is dead without a word."""

    def die(conversation: Conversation) -> None:
        conversation.receive()
        faults.half_open(conversation)

    with peer_that(die, tls) as ready:
        yield ready


@contextmanager
def talking(tls: bool) -> Iterator[Ready]:
    """A connection on which much comes back."""

    def talk(conversation: Conversation) -> None:
        conversation.receive()
        while True:
            conversation.send(
                {"transcript": "x", "is_final": True, "audio": "AAAA" * 500, "text": None}
            )

    with peer_that(talk, tls) as ready:
        yield ready


@contextmanager
def resolving(tls: bool) -> Iterator[Ready]:
    """A name that does not resolve for a while."""
    del tls
    release = threading.Event()
    asked = threading.Event()
    real = socket.getaddrinfo

    def slow(host: str, *rest: object) -> object:
        if host == "slow.invalid":
            asked.set()
            release.wait(PATIENCE)
            raise socket.gaierror("released")
        return real(host, *rest)  # type: ignore[arg-type]

    patch = pytest.MonkeyPatch()
    patch.setattr(socket, "getaddrinfo", slow)
    try:
        yield "ws://slow.invalid/", None, lambda session: asked.is_set()
    finally:
        patch.undo()
        release.set()


def _secured(url: str, tls: bool) -> str:
    return url.replace("ws://", "wss://") if tls else url


STATES = (connecting, upgrading, backing_off, listening, half_open, talking)


def timed(action: Callable[[], object]) -> float:
    """Measure ``action`` in seconds."""
    began = time.monotonic()
    action()
    return time.monotonic() - began


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("kind", OPENERS)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_close_is_quick(state: Callable[[bool], object], kind: str, tls: bool) -> None:
    """Whatever a session is doing, closing it returns within a tenth of a second."""
    times: list[float] = []
    for _ in range(REPEATS):
        with state(tls) as (url, context, reached):  # type: ignore[attr-defined]
            session = OPENERS[kind](url, context)
            wait_until(lambda: reached(session))  # noqa: B023 - called at once
            times.append(timed(session.close))
            with session:
                pass
            assert not session._group.alive()

    assert sorted(times)[REPEATS // 2] < QUICK, times


@pytest.mark.parametrize("kind", OPENERS)
@pytest.mark.filterwarnings("default")
def test_close_does_not_wait_for_a_name(kind: str) -> None:
    """The system's resolver cannot be woken; it is left to end by itself."""
    with resolving(False) as (url, context, reached):
        session = OPENERS[kind](url, context)
        wait_until(lambda: reached(session))
        assert timed(session.close) < QUICK * 3


@pytest.mark.parametrize("kind", OPENERS)
def test_a_session_that_was_only_opened_can_be_closed(kind: str) -> None:
    """Close at once, twice, and from another thread."""
    with SttPeer(Conversation.hang) as peer:
        session = OPENERS[kind](peer.url, None)
        other = threading.Thread(target=session.close)
        other.start()
        session.close()
        session.close()
        other.join(PATIENCE)
        with session:
            pass


def test_close_from_a_callback() -> None:
    """The receive thread does not wait for itself."""
    done = threading.Event()
    sessions: list[SttSession] = []

    def stop(transcript: object) -> None:
        sessions[0].close()
        done.set()

    with SttPeer(recognise()) as peer:
        stt = SpeechToText(api_key=KEY, base_url=peer.url)
        with stt.open(sample_rate=RATE, on_transcript=stop) as session:
            sessions.append(session)
            session.send(utterance(1, 2))
            assert done.wait(PATIENCE)


def test_who_waits_for_a_transcript_is_woken() -> None:
    """An iteration ends when the session is closed elsewhere."""
    with (
        SttPeer(Conversation.hang) as peer,
        SpeechToText(api_key=KEY, base_url=peer.url).open(sample_rate=RATE) as session,
    ):
        heard: list[object] = []
        waiter = threading.Thread(target=lambda: heard.extend(session))
        waiter.start()
        wait_until(lambda: peer.conversations)
        session.close()
        waiter.join(PATIENCE)
        assert not waiter.is_alive()

    assert heard == []


def descriptors() -> int:
    """Count the open files of this process."""
    return len(os.listdir("/proc/self/fd"))


def one_transcription(url: str) -> None:
    """Hold one short session."""
    with SpeechToText(api_key=KEY, base_url=url).open(sample_rate=RATE) as session:
        session.send(utterance(1, 1))
        session.finish(PATIENCE)
        assert [t.text for t in session if t.is_final and t.text] == ["w1"]


def one_speech(url: str) -> None:
    """Hold one short session."""
    tts = TextToSpeech(api_key=KEY, base_url=url, audio_format="linear16", sample_rate=16000)
    assert sum(len(piece) for piece in tts.speak("w1 w2", sample_rate=16000)) == 6400


@contextmanager
def both() -> Iterator[list[Callable[[], None]]]:
    """Get the two kinds of session, each with its peer."""
    with ExitStack() as stack:
        stt = stack.enter_context(SttPeer(recognise()))
        tts = stack.enter_context(TtsPeer(synthesise()))
        yield [lambda: one_transcription(stt.url), lambda: one_speech(tts.url)]


def test_a_hundred_sessions_in_a_row_leave_nothing() -> None:
    """Threads and descriptors are what they were."""
    with both() as kinds:
        for kind in kinds:
            kind()
        threads, files = threading.active_count(), descriptors()
        for number in range(100):
            kinds[number % 2]()
        wait_until(lambda: threading.active_count() <= threads, "the threads' end")
        wait_until(lambda: descriptors() <= files, "the files' end")


def test_fifty_sessions_at_once_leave_nothing() -> None:
    """All succeed, and threads and descriptors are what they were."""
    with both() as kinds:
        for kind in kinds:
            kind()
        threads, files = threading.active_count(), descriptors()
        errors: list[BaseException] = []

        def run(kind: Callable[[], None]) -> None:
            try:
                kind()
            except BaseException as error:  # noqa: BLE001 - judged below
                errors.append(error)

        crowd = [threading.Thread(target=run, args=(kinds[n % 2],)) for n in range(50)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join(4 * PATIENCE)
        assert errors == []
        wait_until(lambda: threading.active_count() <= threads, "the threads' end")
        wait_until(lambda: descriptors() <= files, "the files' end")


def test_sessions_that_fail_leave_nothing() -> None:
    """Neither do those that never connect."""
    with faults.closed_port() as url:
        files = descriptors()
        for _ in range(20):
            stt = SpeechToText(
                api_key=KEY, base_url=url, retry=RetryPolicy(attempts=2, delays=(0.0,))
            )
            with stt.open(sample_rate=RATE) as session, pytest.raises(ConnectionError):
                list(session)
        wait_until(lambda: descriptors() <= files, "the files' end")


def test_a_long_recording_of_nothing_keeps_nothing() -> None:
    """Silence is not kept to be sent again, and speech that was answered neither."""
    audio, _ = recording(20.0)
    with (
        SttPeer(recognise()) as peer,
        SpeechToText(api_key=KEY, base_url=peer.url).open(sample_rate=RATE) as session,
    ):
        for at in range(0, len(audio), 16000):
            session.send(audio[at : at + 16000])
        session.send(bytes(RATE * 2 * 5))
        ring = session._uplink.ring
        wait_until(lambda: ring.seconds(ring.end - ring.start) < 1.0)


def test_a_peer_that_floods_is_held_up() -> None:
    """Audio nobody takes waits at the service, not in memory."""
    sent = 0

    def flood(conversation: Conversation) -> None:
        nonlocal sent
        conversation.receive()
        while True:
            conversation.send({"audio": "AAAA" * 10_000, "text": None, "isFinal": False})
            sent += 1

    with TtsPeer(flood) as peer:
        tts = TextToSpeech(
            api_key=KEY, base_url=peer.url, audio_format="linear16", sample_rate=16000
        )
        with tts.open(sample_rate=16000) as session:
            session.send("w1")
            wait_until(lambda: len(session._results) >= 500)
            before = sent
            time.sleep(0.2)
            # What the sockets' buffers take is all that still leaves.
            assert sent - before < 500


def test_raw_peers_are_joined() -> None:
    """The tests' own peers leave nothing either."""
    with RawPeer(lambda sock: sock.settimeout(1)) as peer, socket.socket() as sock:
        sock.connect(("127.0.0.1", peer.port))
