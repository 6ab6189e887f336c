"""One connection: the handshake, the proxy, the trust, and the key that nobody sees."""

from __future__ import annotations

import base64
import logging
import socket
import ssl
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from telnyx_media.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLost,
    DeadlineExceeded,
    ServiceError,
    SessionEnded,
    TelnyxMediaError,
)
from telnyx_media.sync import access
from telnyx_media.sync.connection import Connection, PeerClosed
from telnyx_media.sync.threads import BoundedQueue
from tests.loopback import PATIENCE, faults, wait_until
from tests.loopback.servers import (
    KEY,
    Conversation,
    RawPeer,
    WebSocketPeer,
    certificate,
    certificate_pem,
    status,
)


def make(url: str, **options: object) -> Connection:
    """Make a connection to ``url``."""
    options = {"connect_timeout": 1.0, **options}
    return Connection(url, api_key=KEY, role="stt", tag="test", **options)  # type: ignore[arg-type]


def echo(conversation: Conversation) -> None:
    """Send back what comes."""
    while True:
        conversation.send(conversation.receive_raw())


@pytest.mark.parametrize("tls", [False, True])
def test_messages_go_both_ways(tls: bool) -> None:
    """Text and binary, in order, with and without TLS, large ones too."""
    messages: list[str | bytes] = ["a", b"\x00\x01", "ü" * 40_000, bytes(300_000)]
    with WebSocketPeer(echo, tls=tls) as peer:
        connection = make(peer.url, context=peer.client_context)
        connection.connect()
        queue: BoundedQueue[str | bytes] = BoundedQueue(10)
        connection.start(queue)
        for message in messages:
            queue.put(message)
        got = [connection.receive(PATIENCE) for _ in messages]
        connection.close()

    assert got == messages
    assert connection.messages == len(messages)
    assert connection.seconds_to_connect > 0


def test_both_directions_at_once_on_tls() -> None:
    """Sending and receiving share one TLS state and do not disturb each other."""

    def talk(conversation: Conversation) -> None:
        for number in range(500):
            conversation.send(f"{number} " + "x" * 2000)
        for _ in range(500):
            conversation.receive_raw()
        conversation.send("done")

    with WebSocketPeer(talk, tls=True) as peer:
        connection = make(peer.url, context=peer.client_context)
        connection.connect()
        queue: BoundedQueue[bytes] = BoundedQueue(1000)
        for _ in range(500):
            queue.put(bytes(2000))
        connection.start(queue)
        numbers = [str(connection.receive(PATIENCE)).split()[0] for _ in range(500)]
        assert connection.receive(PATIENCE) == "done"
        connection.close()

    assert numbers == [str(n) for n in range(500)]


def test_nothing_in_time_is_a_timeout_and_the_connection_lives() -> None:
    """A limit that passes costs nothing."""
    with WebSocketPeer(Conversation.hang) as peer:
        connection = make(peer.url)
        connection.connect()
        with pytest.raises(TimeoutError) as caught:
            connection.receive(0.01)
        assert not isinstance(caught.value, DeadlineExceeded)
        peer.conversations[0].send("x")
        assert connection.receive(PATIENCE) == "x"
        connection.close()


def test_pings_keep_a_quiet_connection() -> None:
    """A peer that answers pings is not dead, however little it says."""
    with WebSocketPeer(Conversation.hang) as peer:
        connection = make(peer.url, ping_interval=0.05, dead_after=0.3)
        connection.connect()
        queue: BoundedQueue[str] = BoundedQueue(1)
        connection.start(queue)
        with pytest.raises(TimeoutError) as caught:
            connection.receive(0.8)
        assert not isinstance(caught.value, DeadlineExceeded)
        connection.close()


def test_a_peer_that_answers_no_ping_is_dead() -> None:
    """Half-open connections are found out."""
    with WebSocketPeer(faults.half_open) as peer:
        connection = make(peer.url, ping_interval=0.05, dead_after=0.2)
        connection.connect()
        connection.start(BoundedQueue(1))
        with pytest.raises(DeadlineExceeded, match="sent nothing"):
            connection.receive(PATIENCE)
        connection.close()


def test_a_peer_that_takes_nothing_is_dead() -> None:
    """A full socket does not hold the sender for ever."""
    with WebSocketPeer(faults.half_open) as peer:
        connection = make(peer.url, send_timeout=0.2, ping_interval=60, dead_after=60)
        connection.connect()
        queue: BoundedQueue[bytes] = BoundedQueue(1000)
        for _ in range(40):
            queue.put(bytes(1_000_000))
        connection.start(queue)
        with pytest.raises(DeadlineExceeded, match="took nothing"):
            connection.receive(PATIENCE)
        connection.close()


@pytest.mark.parametrize(
    ("code", "retryable"), [(1000, True), (1001, True), (1011, True), (1008, False), (4001, False)]
)
def test_close_codes(code: int, retryable: bool) -> None:
    """The code and the reason are kept, and whether a retry can help."""
    with WebSocketPeer(faults.close(code)) as peer:
        connection = make(peer.url)
        connection.connect()
        with pytest.raises(PeerClosed, match="enough") as caught:
            connection.receive(PATIENCE)
        connection.close()

    assert (caught.value.code, caught.value.retryable) == (code, retryable)


def test_our_close_is_polite() -> None:
    """The service gets a close frame with 1000, not just the end of TCP."""
    with WebSocketPeer(Conversation.hang) as peer:
        connection = make(peer.url)
        connection.connect()
        connection.close()
        wait_until(lambda: peer.conversations and peer.conversations[0].connection.close_code)
        assert peer.conversations[0].connection.close_code == 1000


def test_cancel_wakes_who_receives() -> None:
    """From another thread, with an error of its own kind."""
    with WebSocketPeer(Conversation.hang) as peer:
        connection = make(peer.url)
        connection.connect()
        threading.Timer(0.05, connection.cancel).start()
        with pytest.raises(SessionEnded):
            connection.receive(PATIENCE)
        connection.close()
        connection.close()


def test_cancel_before_the_connect() -> None:
    """A cancel that comes early is not lost."""
    with WebSocketPeer(Conversation.hang) as peer:
        connection = make(peer.url)
        connection.cancel()
        with pytest.raises(SessionEnded):
            connection.connect()
        connection.close()


# -- errors ---------------------------------------------------------------------------------------


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Get an error and everything behind it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("code", [401, 403, 400, 429, 503])
def test_status_errors_tell_everything_but_the_key(
    code: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Code, title, detail and id are there; a service that echoes the key is scrubbed."""
    body = {"errors": [{"code": "10009", "title": "No", "detail": f"key {KEY} is bad"}]}
    caplog.set_level(logging.DEBUG)
    with WebSocketPeer(echo, answer=status(code, body, request_id=f"r-{KEY}")) as peer:
        connection = make(peer.url + "?token=secret")
        with pytest.raises(ServiceError) as caught:
            connection.connect()
        connection.close()

    error = caught.value
    assert (error.http_status, error.code, error.title) == (code, "10009", "No")
    assert isinstance(error, AuthenticationError) is (code in (401, 403))
    assert error.retryable is (code in (429, 503))
    # The peer's own library, in this process, logs what it is asked; nothing of ours does.
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith("websockets.")]
    shown = "".join([*traceback.format_exception(error), *ours])
    for one in chain(error):
        shown += repr(one) + str(one) + repr(vars(one))
    assert KEY not in shown
    assert "secret" not in shown


def test_status_without_a_body() -> None:
    """The address without its query says where."""
    with WebSocketPeer(echo, answer=status(404)) as peer:
        connection = make(peer.url + "?token=secret")
        with pytest.raises(ServiceError, match=r"127\.0\.0\.1") as caught:
            connection.connect()
        connection.close()

    assert "secret" not in str(caught.value)


def errors_of(url: str, **options: object) -> TelnyxMediaError:
    """Get the error of a connect that fails."""
    connection = make(url, **options)
    with pytest.raises(TelnyxMediaError) as caught:
        connection.connect()
    connection.close()
    for one in chain(caught.value):
        assert KEY not in repr(one) + str(one)
    return caught.value


def test_errors_of_the_network() -> None:
    """Each says what happened, in one of our kinds."""
    with faults.closed_port() as url:
        assert "refused" in str(errors_of(url))
    with faults.deaf_port() as url:
        assert isinstance(errors_of(url, connect_timeout=0.1), DeadlineExceeded)
    with faults.stalled_upgrade() as peer:
        assert isinstance(errors_of(peer.url, connect_timeout=0.1), DeadlineExceeded)
        tls = peer.url.replace("ws:", "wss:")
        assert isinstance(
            errors_of(tls, connect_timeout=0.1, context=certificate()[1]), DeadlineExceeded
        )
    with faults.answering(b"garbage") as peer:
        assert "TLS" in str(errors_of(peer.url.replace("ws:", "wss:"), context=certificate()[1]))
        assert isinstance(errors_of(peer.url), ConnectionLost)
    assert isinstance(errors_of("http://127.0.0.1/"), ConfigurationError)


def test_names_that_do_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the host; one that takes too long is not waited for."""

    def refuse(*args: object) -> object:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert "nowhere.invalid cannot be resolved" in str(errors_of("ws://nowhere.invalid/"))


def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """One dead address does not hide a living one."""
    with WebSocketPeer(echo) as peer, faults.closed_port() as dead:
        ports = [int(dead.split(":")[2].strip("/")), peer.port]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", p)) for p in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args: found)
        connection = make("ws://two.invalid/")
        connection.connect()
        connection.close()


# -- trust ----------------------------------------------------------------------------------------


def test_an_unknown_certificate_is_refused() -> None:
    """Certificates are verified unless told otherwise by a context."""
    with WebSocketPeer(echo, tls=True) as peer:
        assert "certificate is not trusted" in str(errors_of(peer.url))


def test_a_bundle_of_the_environment_is_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As websocket-client does."""
    bundle = tmp_path / "ca.pem"
    bundle.write_text(certificate_pem())
    monkeypatch.setenv("WEBSOCKET_CLIENT_CA_BUNDLE", str(bundle))
    with WebSocketPeer(echo, tls=True) as peer:
        connection = make(peer.url)
        connection.connect()
        connection.close()


def test_a_bundle_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong setting is one sentence."""
    monkeypatch.setenv("WEBSOCKET_CLIENT_CA_BUNDLE", "/nowhere/ca.pem")
    assert "WEBSOCKET_CLIENT_CA_BUNDLE" in str(errors_of("wss://127.0.0.1:1/"))


def test_the_context_is_made_once() -> None:
    """Loading the CAs takes longer than the handshake."""
    assert access.default_context() is access.default_context()
    assert access.default_context().verify_mode == ssl.CERT_REQUIRED


# -- proxies --------------------------------------------------------------------------------------


class Proxy:
    """An HTTP proxy that knows CONNECT."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.requests: list[bytes] = []
        self._answer = answer

    def handle(self, client: socket.socket) -> None:
        """Serve one connection."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        self.requests.append(head)
        host, port = head.split()[1].decode().split(":")
        if b" 200 " not in self._answer:
            client.sendall(self._answer)
            return client.shutdown(socket.SHUT_WR)
        with socket.create_connection((host, int(port))) as upstream:
            client.sendall(self._answer)
            back = threading.Thread(target=_pump, args=(upstream, client))
            back.start()
            _pump(client, upstream)
            back.join()
        return None


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(4096):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.mark.parametrize("tls", [False, True])
def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, tls: bool) -> None:
    """With its password; the service's key goes through the tunnel, not to the proxy."""
    proxy = Proxy()
    with WebSocketPeer(echo, tls=tls) as peer, RawPeer(proxy.handle) as raw:
        name = "https_proxy" if tls else "http_proxy"
        monkeypatch.setenv(name, f"http://user:p%40ss@127.0.0.1:{raw.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        connection = make(peer.url, context=peer.client_context)
        connection.connect()
        queue: BoundedQueue[str] = BoundedQueue(1)
        connection.start(queue)
        queue.put("hello")
        assert connection.receive(PATIENCE) == "hello"
        connection.close()
        port = peer.port

    (request,) = proxy.requests
    assert request.startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n".encode())
    assert base64.b64encode(b"user:p@ss") in request
    assert KEY.encode() not in request


def test_a_proxy_that_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy's status is in the message, its password is not."""
    proxy = Proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
    with WebSocketPeer(echo) as peer, RawPeer(proxy.handle) as raw:
        monkeypatch.setenv("http_proxy", f"http://user:pass@127.0.0.1:{raw.port}")
        monkeypatch.setenv("no_proxy", "")
        error = errors_of(peer.url)

    assert "407" in str(error)
    assert "pass" not in str(error)


def test_hosts_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """``no_proxy`` is honoured."""
    with WebSocketPeer(echo) as peer, faults.closed_port() as dead:
        monkeypatch.setenv("http_proxy", dead.replace("ws:", "http:"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        connection = make(peer.url)
        connection.connect()
        connection.close()
