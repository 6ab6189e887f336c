"""The media socket against real clients, through a socket pair and through real servers."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets.sync.client
from flask import Flask, request
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.serving import make_server

from bridge.handshake import HandshakeRefused, SocketTaken
from bridge.mediasocket import BACKLOG, MediaSocket, SocketClosed
from bridge.reader import Reader
from telnyx_media.sync.threads import ThreadGroup
from tests.loopback import PATIENCE, wait_until

ROOT = Path(__file__).parent.parent.parent

MASK = b"\x01\x02\x03\x04"
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA


def environ_for(sock: socket.socket, **changes: Any) -> dict[str, Any]:
    """Make the part of a WSGI environ that a handshake needs."""
    environ = {
        "REQUEST_METHOD": "GET",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_UPGRADE": "websocket",
        "HTTP_SEC_WEBSOCKET_KEY": base64.b64encode(os.urandom(16)).decode(),
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate",
        "gunicorn.socket": sock,
    }
    environ.update(changes)
    return {name: value for name, value in environ.items() if value is not None}


def frame(opcode: int, payload: bytes, *, fin: bool = True, length: int | None = None) -> bytes:
    """Make a client's frame; ``length`` may lie."""
    size = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", size)
    masked = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
    return head + MASK + masked


class Peer:
    """A client that does exactly what it is told, bad manners included."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self._buffer = b""

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def handshake(self) -> str:
        """Take the answer to the handshake."""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self.sock.recv(65536)
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head.decode()

    def frame(self) -> tuple[int, bytes]:
        """Take one frame of the server, checking its every byte that has to be right."""
        first, second = self._take(2)
        assert first & 0x70 == 0, "reserved bits"
        assert second & 0x80 == 0, "a server does not mask"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._take(8))
        return first & 0x0F, self._take(size)

    def close_code(self) -> int:
        """Read on to the close frame and get its code."""
        while True:
            opcode, payload = self.frame()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")


Pair = tuple[MediaSocket, Peer]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A media socket and its peer, connected."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = Peer(theirs)
        with MediaSocket.accept(environ_for(ours), max_size=100_000) as media:
            assert "101" in peer.handshake()
            yield media, peer
            with contextlib.suppress(OSError):
                theirs.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def group() -> Iterator[ThreadGroup]:
    """Threads of a test; what they raise fails it."""
    with ThreadGroup("test", timeout=PATIENCE) as threads:
        yield threads


# The handshake


def test_handshake_offers_no_compression() -> None:
    """The handshake is answered, and compression is declined."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = Peer(theirs)
        media = MediaSocket.accept(environ_for(ours))
        answer = peer.handshake()
        theirs.close()
        media.__exit__(None)

    assert answer.startswith("HTTP/1.1 101 ")
    assert "extensions" not in answer.lower()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"REQUEST_METHOD": "POST"}, 405),
        ({"SERVER_PROTOCOL": "HTTP/1.0"}, 505),
        ({"HTTP_UPGRADE": None}, 426),
        ({"HTTP_CONNECTION": "keep-alive"}, 426),
        ({"HTTP_SEC_WEBSOCKET_KEY": None}, 400),
        ({"HTTP_SEC_WEBSOCKET_KEY": "short"}, 400),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "8"}, 400),
        ({"gunicorn.socket": None}, 501),
        ({"gunicorn.socket": "no socket"}, 501),
    ],
)
def test_what_is_no_handshake_is_refused(change: dict[str, Any], status: int) -> None:
    """A request that opens no WebSocket is refused with a status, and nothing is written."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(HandshakeRefused) as caught:
            MediaSocket.accept(environ_for(ours, **change))
        assert caught.value.status == status
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


# Messages


def test_messages_go_both_ways(pair: Pair) -> None:
    """Text goes both ways as it is."""
    media, peer = pair
    peer.send(frame(TEXT, "grüß".encode()) + frame(TEXT, b"two"))
    assert [media.receive(), media.receive()] == ["grüß".encode(), b"two"]

    media.send("übel")
    media.send(b"x" * 70_000)
    assert peer.frame() == (TEXT, "übel".encode())
    wait_until(lambda: media.flush() < 70_000)
    assert peer.frame() == (TEXT, b"x" * 70_000)


def test_message_may_come_byte_by_byte(pair: Pair, group: ThreadGroup) -> None:
    """A message cut anywhere is put together."""
    media, peer = pair

    def dribble() -> None:
        for byte in frame(TEXT, b"a" * 200):
            peer.send(bytes([byte]))

    group.spawn("dribble", dribble)
    assert media.receive() == b"a" * 200


def test_fragments_are_joined(pair: Pair) -> None:
    """A message in fragments is one message, a ping between them is answered at once."""
    media, peer = pair
    peer.send(
        frame(TEXT, b"one ", fin=False)
        + frame(PING, b"are you there")
        + frame(CONTINUATION, b"two ", fin=False)
        + frame(CONTINUATION, b"three")
        + frame(TEXT, b"next")
    )

    assert media.receive() == b"one two three"
    assert media.receive() == b"next"
    assert peer.frame() == (PONG, b"are you there")


def test_binary_messages_are_passed_over(pair: Pair) -> None:
    """Binary messages, fragmented ones too, mean nothing here."""
    media, peer = pair
    peer.send(
        frame(BINARY, b"\x00\x01")
        + frame(BINARY, b"\x00", fin=False)
        + frame(CONTINUATION, b"\x01")
        + frame(TEXT, b"text")
    )

    assert media.receive() == b"text"


# Bad manners


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"", length=10_000_000), 1009),
        (frame(TEXT, b"a" * 60_000, fin=False) + frame(CONTINUATION, b"a" * 60_000), 1009),
        (b"\x81\x05hello", 1002),
        (frame(0x3, b"what is this"), 1002),
        (frame(CONTINUATION, b"of nothing"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (bytes([0xF1, 0x80]) + MASK, 1002),
    ],
)
def test_breach_of_the_protocol_closes_with_its_code(pair: Pair, sent: bytes, code: int) -> None:
    """A frame that may not be is answered with the close code for it, and the reader is told."""
    media, peer = pair
    peer.send(sent)

    with pytest.raises(SocketClosed) as caught:
        media.receive()

    assert caught.value.code == code
    assert peer.close_code() == code
    with pytest.raises(SocketClosed):
        media.send("too late")


def test_huge_frame_is_not_buffered(group: ThreadGroup) -> None:
    """Of a frame of 10 MB nothing is kept, and its sender gets to read why it was refused."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = Peer(theirs)

        def push() -> None:
            peer.send(frame(TEXT, b"", length=10_000_000) + bytes(10_000_000))
            codes.append(peer.close_code())
            theirs.shutdown(socket.SHUT_RDWR)

        codes: list[int] = []
        with MediaSocket.accept(environ_for(ours)) as media:
            peer.handshake()
            group.spawn("push", push)
            with pytest.raises(SocketClosed) as caught:
                media.receive()
            assert caught.value.code == 1009
            assert len(media._protocol.reader.buffer) < 1_000_000
        wait_until(lambda: codes == [1009], "the refusal")


def test_half_a_message_and_then_nothing(pair: Pair) -> None:
    """A peer that vanishes within a message is a lost connection."""
    media, peer = pair
    peer.send(frame(TEXT, b"half a message")[:9])
    peer.sock.close()

    with pytest.raises(SocketClosed) as caught:
        media.receive()
    assert caught.value.code == 1006


# Closing


def test_peer_says_goodbye(pair: Pair) -> None:
    """What came before the peer's close is delivered, then its code, and the close is answered."""
    media, peer = pair
    peer.send(frame(TEXT, b"last") + frame(CLOSE, struct.pack("!H", 1001) + b"moving"))

    assert media.receive() == b"last"
    with pytest.raises(SocketClosed) as caught:
        media.receive()
    assert (caught.value.code, caught.value.reason) == (1001, "moving")
    assert peer.close_code() == 1001
    assert media.closed


def test_iteration_ends_with_the_connection(pair: Pair) -> None:
    """Iterating yields the messages and ends at the close."""
    media, peer = pair
    peer.send(frame(TEXT, b"one") + frame(TEXT, b"two") + frame(CLOSE, b""))

    assert list(media) == [b"one", b"two"]


def test_close_wakes_the_reader_at_once(pair: Pair, group: ThreadGroup) -> None:
    """A close by another thread ends the wait of the reader, even if the peer is deaf."""
    media, peer = pair
    reading, codes = threading.Event(), []

    def read() -> None:
        reading.set()
        try:
            media.receive()
        except SocketClosed as error:
            codes.append((error.code, time.monotonic()))

    reader = group.spawn("read", read)
    assert reading.wait(PATIENCE)
    began = time.monotonic()
    media.close(1001, "drain")
    media.close(1011)
    reader.join(PATIENCE)

    ((code, woken_at),) = codes
    assert code == 1001
    assert woken_at - began < 1.0
    assert peer.close_code() == 1001


def test_goodbye_is_said_in_full() -> None:
    """A peer that goes on sending for a while still reads our close frame and no reset."""
    ours, theirs = socket.socketpair()
    with ThreadGroup("test") as threads, ours, theirs:
        peer = Peer(theirs)
        codes: list[int] = []

        def chatter() -> None:
            peer.handshake()
            for _ in range(50):
                peer.send(frame(TEXT, b"x" * 300))
            codes.append(peer.close_code())
            peer.send(frame(CLOSE, struct.pack("!H", 1000)))
            assert peer.sock.recv(1) == b""
            theirs.close()

        threads.spawn("chatter", chatter)
        with MediaSocket.accept(environ_for(ours)) as media:
            media.receive()
    assert codes == [1000]


def test_deaf_peer_holds_the_goodbye_for_a_second() -> None:
    """A peer that never answers our close frame is waited for, but not for long."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        media = MediaSocket.accept(environ_for(ours))
        began = time.monotonic()
        media.__exit__(None)
        assert time.monotonic() - began < PATIENCE
        with pytest.raises(SocketClosed):
            media.send("too late")
        media.close()


@pytest.mark.parametrize("attempt", range(20))
def test_close_from_both_sides_at_once(attempt: int) -> None:
    """Closes that cross, and a sender in between, end in one close on each side."""
    ours, theirs = socket.socketpair()
    with ThreadGroup("test", timeout=PATIENCE) as threads, ours, theirs:
        peer = Peer(theirs)

        def send() -> None:
            with contextlib.suppress(SocketClosed):
                while media.flush() < 1000:
                    media.send("audio")
                    time.sleep(0.0001)

        def hang_up() -> None:
            time.sleep(attempt * 0.0005)
            peer.send(frame(CLOSE, struct.pack("!H", 1000)))
            assert peer.close_code() == 1000
            theirs.shutdown(socket.SHUT_RDWR)

        with MediaSocket.accept(environ_for(ours)) as media:
            peer.handshake()
            threads.spawn("send", send)
            threads.spawn("peer", hang_up)
            time.sleep(attempt * 0.0004)
            threads.spawn("close", media.close)
            with pytest.raises(SocketClosed):
                media.receive()


# A peer that does not read


def test_slow_reader_that_pings_gets_every_byte_right(pair: Pair, group: ThreadGroup) -> None:
    """Under back-pressure, messages of several threads and answers to pings stay whole."""
    media, peer = pair
    count, pings = 120, 60

    def write(name: str) -> None:
        for number in range(count):
            media.send(f"{name}{number}:" + name * 1000)
            # Nobody runs ahead of the peer for long.
            wait_until(lambda: media.flush() < 50_000, "the peer's reading")

    def ping() -> None:
        for number in range(pings):
            peer.send(frame(PING, str(number).encode()))
            time.sleep(0.002)

    def read() -> None:
        with contextlib.suppress(SocketClosed):
            media.receive()

    reader = group.spawn("read", read)
    writers = [group.spawn("write", write, name) for name in "abc"]
    group.spawn("ping", ping)

    got: dict[str, list[int]] = {name: [] for name in "abc"}
    pongs: list[int] = []
    while len(pongs) < pings or sum(map(len, got.values())) < 3 * count:
        opcode, payload = peer.frame()
        if opcode == PONG:
            pongs.append(int(payload))
            continue
        head, _, rest = payload.decode().partition(":")
        assert rest == head[0] * 1000
        got[head[0]].append(int(head[1:]))
        time.sleep(0.0005)

    assert got == {name: list(range(count)) for name in "abc"}
    assert pongs == list(range(pings))
    for writer in writers:
        writer.join(PATIENCE)
    media.close()
    reader.join(PATIENCE)


def send_much(media: MediaSocket, size: int) -> None:
    """Send so many bytes and more without looking back."""
    for _ in range(2 * size // 1000):
        media.send("x" * 1000)


def test_peer_that_does_not_read_fails_the_socket(pair: Pair, group: ThreadGroup) -> None:
    """A sender never waits; when more than the backlog is left, the socket is lost."""
    media, _ = pair
    lost: list[SocketClosed] = []

    def read() -> None:
        try:
            media.receive()
        except SocketClosed as error:
            lost.append(error)

    reader = group.spawn("read", read)
    began = time.monotonic()
    with pytest.raises(SocketClosed) as caught:
        send_much(media, BACKLOG + 500_000)
    assert time.monotonic() - began < PATIENCE
    assert caught.value.code == 1006
    reader.join(PATIENCE)
    assert [error.code for error in lost] == [1006]


def test_what_waits_is_sent_by_the_reader(pair: Pair, group: ThreadGroup) -> None:
    """A backlog leaves as soon as the peer reads again, with nobody sending anything more."""
    media, peer = pair

    def read() -> None:
        with contextlib.suppress(SocketClosed):
            media.receive()

    group.spawn("read", read)
    sent = 0
    while media.flush() < 50_000:
        media.send("x" * 1000)
        sent += 1
    for _ in range(sent):
        assert peer.frame() == (TEXT, b"x" * 1000)
    media.close()


def test_peer_that_stalls_fails_the_socket(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A little that nobody takes for too long is as bad as a lot."""
    monkeypatch.setattr("bridge.mediasocket.STALL", 0.05)
    media, _ = pair
    while not media.flush():
        media.send("x" * 1000)

    def flush_fails() -> bool:
        try:
            media.flush()
        except SocketClosed:
            return True
        return False

    wait_until(flush_fails, "the failure")
    assert media.closed


# Read by the process's reader


class Listening:
    """A thread that has a media socket read by a reader."""

    def __init__(self, media: MediaSocket, group: ThreadGroup) -> None:
        self.heard: list[bytes] = []
        self.ended: list[Exception] = []
        self.thread = group.spawn("listen", self._run, media)

    def _run(self, media: MediaSocket) -> None:
        try:
            media.listen(self._hear)
        except (SocketClosed, ValueError) as error:
            self.ended.append(error)

    def _hear(self, message: bytes) -> None:
        self.heard.append(message)
        if message == b"raise":
            raise ValueError("as told")

    def end(self) -> SocketClosed:
        """Wait for the end, and get how it was."""
        self.thread.join(PATIENCE)
        (ended,) = self.ended
        assert isinstance(ended, SocketClosed)
        return ended


@pytest.fixture
def listened(group: ThreadGroup) -> Iterator[tuple[MediaSocket, Peer, Listening]]:
    """A media socket that a reader reads, and its peer."""
    ours, theirs = socket.socketpair()
    with Reader() as reader, ours, theirs:
        peer = Peer(theirs)
        with MediaSocket.accept(environ_for(ours), reader=reader) as media:
            peer.handshake()
            listening = Listening(media, group)
            yield media, peer, listening
            with contextlib.suppress(OSError):
                theirs.shutdown(socket.SHUT_RDWR)
            listening.thread.join(PATIENCE)


Listened = tuple[MediaSocket, Peer, Listening]


def test_reader_delivers_all_that_comes(listened: Listened) -> None:
    """Messages of all sizes, in fragments, with a ping between them, are delivered in order."""
    _, peer, listening = listened
    texts = [b"a" * size for size in (0, 1, 125, 126, 400, 65_535, 65_536)]
    for text in texts:
        peer.send(frame(TEXT, text))
    peer.send(
        frame(TEXT, b"b" * 200, fin=False) + frame(PING, b"?") + frame(CONTINUATION, b"b" * 200)
    )
    peer.send(frame(CLOSE, struct.pack("!H", 1001) + b"moving"))
    assert (listening.end().code, listening.end().reason) == (1001, "moving")

    assert listening.heard == [*texts, b"b" * 400]
    assert peer.frame() == (PONG, b"?")
    assert peer.close_code() == 1001


def test_close_wakes_whoever_listens(listened: Listened) -> None:
    """A close by another thread ends the listening, even if the peer is deaf."""
    media, peer, listening = listened
    peer.send(frame(TEXT, b"one"))
    wait_until(lambda: listening.heard)
    media.close(1001, "drain")

    assert listening.end().code == 1001
    assert peer.close_code() == 1001


def test_what_is_raised_by_a_delivery_is_raised_where_it_is_listened(listened: Listened) -> None:
    """A delivery that fails ends the listening and not the socket."""
    media, peer, listening = listened
    peer.send(frame(TEXT, b"raise"))
    listening.thread.join(PATIENCE)

    assert isinstance(listening.ended[0], ValueError)
    assert not media.closed


def test_reader_sends_what_waits(listened: Listened) -> None:
    """A backlog leaves as soon as the peer reads again, with nobody sending anything more."""
    media, peer, _ = listened
    sent = 0
    while media.flush() < 50_000:
        media.send("x" * 1000)
        sent += 1
    for _ in range(sent):
        assert peer.frame() == (TEXT, b"x" * 1000)
    wait_until(lambda: not media.behind)


def test_reader_notices_a_peer_that_stalls(
    listened: Listened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that stopped reading fails the socket although nobody sends anything more."""
    monkeypatch.setattr("bridge.mediasocket.STALL", 0.05)
    media, _, listening = listened
    with contextlib.suppress(SocketClosed):
        while not media.flush():
            media.send("x" * 1000)

    assert listening.end().code == 1006


def test_vanished_peer_ends_the_listening(listened: Listened) -> None:
    """A connection that ends within a message is lost."""
    _, peer, listening = listened
    peer.send(frame(TEXT, b"x" * 300) + frame(TEXT, b"y" * 300)[:100])
    peer.sock.close()

    assert listening.end().code == 1006
    assert listening.heard == [b"x" * 300]


PIECES = st.one_of(
    st.integers(0, 700).map(lambda size: ((TEXT, b"t" * size, True),)),
    st.integers(0, 125).map(lambda size: ((PING, b"p" * size, True),)),
    st.integers(0, 700).map(lambda size: ((BINARY, b"\0" * size, True),)),
    st.lists(st.integers(0, 300), min_size=1, max_size=3).map(
        lambda sizes: (
            (TEXT, b"f" * sizes[0], False),
            (PING, b"between", True),
            *((CONTINUATION, b"f" * size, False) for size in sizes[1:]),
            (CONTINUATION, b"", True),
        )
    ),
)


@given(st.lists(PIECES, max_size=8), st.lists(st.integers(1, 900), min_size=1, max_size=9))
@settings(max_examples=100)
def test_messages_do_not_depend_on_how_they_are_cut(pieces: Any, cuts: list[int]) -> None:
    """Whatever frames come, and in whatever parts, the same messages are taken."""
    frames = [piece for some in pieces for piece in some]
    data = b"".join(frame(opcode, payload, fin=fin) for opcode, payload, fin in frames)
    expected: list[bytes] = []
    for opcode, payload, _ in frames:
        if opcode == TEXT:
            expected.append(payload)
        elif opcode == CONTINUATION:
            expected[-1] += payload
    ours, theirs = socket.socketpair()
    with ours, theirs:
        media = MediaSocket.accept(environ_for(ours))
        Peer(theirs).handshake()
        taken: list[bytes] = []
        at = number = 0
        while at < len(data):
            size = cuts[number % len(cuts)]
            theirs.sendall(data[at : at + size])
            taken += media.take()
            at, number = at + size, number + 1
        theirs.shutdown(socket.SHUT_WR)
        media.__exit__(None)

    assert taken == expected


# Real servers


def serve_echo(app: Flask, ended: threading.Event) -> None:
    """Give the app an echo over a media socket."""

    @app.route("/media", websocket=True)
    def media() -> SocketTaken:
        with MediaSocket.accept(request.environ) as sock:
            for message in sock:
                if message == b"bye":
                    sock.close(1000, "as you wish")
                else:
                    sock.send(message)
        ended.set()
        return SocketTaken()


def use(url: str, talk: Callable[[websockets.sync.client.ClientConnection], None]) -> None:
    """Talk to a server with a client that is not ours."""
    with websockets.sync.client.connect(url, open_timeout=PATIENCE) as client:
        talk(client)


def echo_and_leave(client: websockets.sync.client.ClientConnection) -> None:
    """Have a message echoed, and have the server close."""
    for text in ("hello", "x" * 50_000):
        client.send(text)
        assert client.recv(PATIENCE) == text
    assert client.ping().wait(PATIENCE)
    client.send("bye")
    with pytest.raises(websockets.exceptions.ConnectionClosedOK) as caught:
        client.recv(PATIENCE)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1000, "as you wish")


def test_under_werkzeug(group: ThreadGroup, capfd: pytest.CaptureFixture[str]) -> None:
    """Behind werkzeug's server a real client is served, and the end leaves no traceback."""
    app, ended = Flask("echo"), threading.Event()
    serve_echo(app, ended)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    group.spawn("server", server.serve_forever)
    try:
        use(f"ws://127.0.0.1:{server.server_port}/media", echo_and_leave)
        assert ended.wait(PATIENCE)
    finally:
        server.shutdown()
        server.server_close()
    assert "Traceback" not in capfd.readouterr().err


GUNICORN_APP = """
from flask import Flask, request
from bridge.handshake import SocketTaken
from bridge.mediasocket import MediaSocket

app = Flask("echo")


@app.route("/media", websocket=True)
def media():
    with MediaSocket.accept(request.environ) as sock:
        for message in sock:
            if message == b"bye":
                sock.close(1000, "as you wish")
            else:
                sock.send(message)
    return SocketTaken()
"""


@pytest.mark.slow
def test_under_gunicorn(tmp_path: Path) -> None:
    """Behind gunicorn's threads a real client is served, again and again, without a traceback."""
    (tmp_path / "echoapp.py").write_text(GUNICORN_APP)
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "4"]
    command += ["--bind", f"127.0.0.1:{port}", "--log-level", "debug", "--log-file", str(log)]
    # In a directory of its own: it must not find the configuration of the bridge.
    server = subprocess.Popen([*command, "--pythonpath", str(ROOT), "echoapp:app"], cwd=tmp_path)
    try:
        wait_until(lambda: accepts(port), "gunicorn")
        for _ in range(6):
            use(f"ws://127.0.0.1:{port}/media", echo_and_leave)
    finally:
        server.terminate()
        server.wait(PATIENCE)
    assert "Traceback" not in log.read_text()


def accepts(port: int) -> bool:
    """Tell whether somebody listens."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
        return True
    return False
