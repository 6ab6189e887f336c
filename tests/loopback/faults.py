"""Rudeness on demand: what a service, a proxy or a network may do to a connection.

A fault is a function of a :class:`~tests.loopback.servers.Conversation`, done at a moment that the
script of the peer decides.  Faults of the handshake are in :mod:`tests.loopback.servers`.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

from tests.loopback import PATIENCE
from tests.loopback.servers import Conversation, RawPeer

Fault = Callable[[Conversation], None]


def close(code: int) -> Fault:
    """Make a fault that closes politely, with this code."""

    def do(conversation: Conversation) -> None:
        conversation.connection.close(code, "enough")

    return do


def vanish(conversation: Conversation) -> None:
    """End the TCP connection without a close frame."""
    conversation.vanish()


def reset(conversation: Conversation) -> None:
    """Reset the TCP connection."""
    conversation.vanish(reset=True)
    # Whoever returns closes politely; it is the reader that finds the end and resets.
    conversation.hang()


def mute(conversation: Conversation) -> None:
    """Take everything, answer pings, say nothing."""
    conversation.hang()


def half_open(conversation: Conversation) -> None:
    """Take nothing, answer nothing, close nothing, as behind a router that lost its state."""
    # With the protocol's lock held the peer's own reader stands still: no pong leaves.
    with conversation.connection.protocol_mutex:
        conversation.released.wait(10 * PATIENCE)


def slow_reader(conversation: Conversation) -> None:
    """Read no more, so that the client's messages back up."""
    conversation.released.wait(10 * PATIENCE)


def garbage(conversation: Conversation) -> None:
    """Send bytes that are no WebSocket frames."""
    conversation.raw(b"\xff\xfe\xfd" * 50)
    conversation.hang()


def torn(conversation: Conversation) -> None:
    """Announce a long frame, send the beginning of it, and vanish."""
    conversation.raw(b"\x81\x7e" + struct.pack("!H", 5000) + b'{"transcr')
    conversation.vanish()


def error(message: object, *, held: bool) -> Fault:
    """Make a fault that sends an error message and closes, or holds the connection."""

    def do(conversation: Conversation) -> None:
        conversation.send(message)
        if held:
            conversation.hang()
        else:
            conversation.connection.close(1011)

    return do


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """Get an address at which nobody listens."""
    with socket.socket() as sock:
        # Bound and not listening: the kernel refuses, and nobody else gets the port.
        sock.bind(("127.0.0.1", 0))
        yield f"ws://127.0.0.1:{sock.getsockname()[1]}/"


@contextlib.contextmanager
def deaf_port() -> Iterator[str]:
    """Get an address that takes no TCP connection and refuses none: the connect stalls."""
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(RawPeer(None, backlog=0))
        # The kernel completes a few connections by itself; from then on it drops what comes.
        for _ in range(16):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(0.05)
            try:
                sock.connect(("127.0.0.1", peer.port))
            except TimeoutError:
                break
        yield peer.url


def stalled_upgrade() -> RawPeer:
    """Make a peer that takes the request for the upgrade and never answers."""

    def stall(sock: socket.socket) -> None:
        while sock.recv(4096):
            pass

    return RawPeer(stall)


def dripping_upgrade(released: threading.Event) -> RawPeer:
    """Make a peer that answers the upgrade a byte at a time and never ends."""

    def drip(sock: socket.socket) -> None:
        sock.recv(4096)
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nX-Padding: ")
        while not released.wait(0.01):
            sock.sendall(b"x")

    return RawPeer(drip)


def answering(data: bytes) -> RawPeer:
    """Make a peer that answers every request with ``data`` and closes."""

    def answer(sock: socket.socket) -> None:
        sock.recv(4096)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass

    return RawPeer(answer)
