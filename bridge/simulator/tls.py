"""TLS for a socket that one thread reads and others write.

Threads: a handshake waits for its peer; the rest never waits.  Calls must not overlap.
"""

from __future__ import annotations

import socket
import ssl


class ConnectFailed(OSError):
    """The WebSocket was not opened: no route, no answer in time, or a refusal."""


class Tls:
    """TLS over memory, so that reading and writing never touch the same object at once."""

    def __init__(self, host: str, context: ssl.SSLContext) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_hostname=host)

    def handshake(self, sock: socket.socket) -> None:
        """Run the handshake on a socket that has a timeout."""
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                sock.sendall(self._out.read())
                data = sock.recv(65536)
                if not data:
                    raise ConnectFailed("connection closed in the TLS handshake") from None
                self._in.write(data)
            else:
                sock.sendall(self._out.read())
                return

    def decrypt(self, data: bytes) -> bytes | None:
        """Get the plain bytes of what came; ``None`` once the peer has ended the TLS session."""
        self._in.write(data)
        plain = bytearray()
        while True:
            try:
                piece = self._object.read(65536)
            except ssl.SSLWantReadError:
                return bytes(plain)
            except ssl.SSLError:
                return None
            if not piece:
                return bytes(plain) or None
            plain += piece

    def encrypt(self, data: bytes) -> bytes:
        """Get the bytes that carry ``data``."""
        self._object.write(data)
        return self._out.read()
