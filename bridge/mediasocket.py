"""A leg's media WebSocket, over the socket that the web server hands to the request.

Telnyx connects to us for the audio of a call.  The request's own thread opens and closes the
socket and reads how the stream begins; from then on the process's reader reads, for all sockets.
Other threads send: the pacer for every speaking leg, the call for ``clear``.

Threads: one receives at a time (the request's, or the reader), any may send and close.  One lock is
around everything that is written, answers to pings included; nothing is written outside it.

Rules of this module:

1. ``receive`` and ``listen`` block; all others never do.  What the peer does not take
   waits in a bounded backlog, which the reader sends as soon as it is taken.
2. A peer that takes nothing for ``STALL`` seconds, or leaves more than ``BACKLOG`` bytes waiting,
   fails the socket: a caller who is that far behind hears nothing worth sending.
3. No compression, and no message over ``max_size``: a longer one is refused by its header, before
   its bytes are read.
4. What passes through is never logged.
5. Whole text messages of up to 64 KiB, which nearly all are, are unpacked here, and those that are
   not very short packed: the protocol, which gets all else, takes several times as long.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from websockets.frames import (  # type: ignore[attr-defined]
    Frame,
    Opcode,
    apply_mask,
)
from websockets.protocol import OPEN, SEND_EOF
from websockets.server import ServerProtocol

from bridge.errors import BridgeError
from bridge.handshake import SILENCE, upgrade
from bridge.reader import Reader
from telnyx_media.sync.threads import Deadline

# Bytes.  Telnyx sends packets of 20 ms, some 400 bytes of JSON; this is 20 s of PCMU in one.
MAX_SIZE = 256 * 1024

# Bytes that may wait for a peer that does not read: over a second of audio in any of our codecs.
BACKLOG = 256 * 1024

# Seconds without the peer taking a byte while some wait.
STALL = 1.0

# Bytes per recv: a second of frames when the reader was held up.
RECEIVE = 32 * 1024

# The first byte of a whole text message, the bit of the second that says it is masked, and the
# number in its place which says that two bytes of length follow (RFC 6455 §5.2).
WHOLE_TEXT, MASKED, TWO_BYTES = 0x81, 0x80, 126
LONGEST = 0xFFFF

# Close codes, RFC 6455 §7.4.1.
NORMAL, GOING_AWAY, ABNORMAL, POLICY, INTERNAL_ERROR = 1000, 1001, 1006, 1008, 1011

# Seconds that a goodbye waits for the peer's.
GOODBYE = 1.0


class SocketClosed(BridgeError):
    """The media socket is closed, or was lost.

    Attributes:
        code: the close code; 1006 when it was lost without one.
        reason: why, in a few words of ours or the peer's.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"media socket closed ({code}{': ' if reason else ''}{reason})")


class MediaSocket:
    """One WebSocket to Telnyx, server side.

    Made by :meth:`accept`; use it as a ``with`` block on the request's thread, which says goodbye
    at its end and waits up to a second for the peer's.  Iterating it yields messages until the
    socket is closed.
    """

    def __init__(
        self,
        sock: socket.socket,
        protocol: ServerProtocol,
        max_size: int = MAX_SIZE,
        reader: Reader | None = None,
    ) -> None:
        """Take over a connection whose handshake has been accepted; see :meth:`accept`."""
        self._socket = sock
        self._max_size = max_size
        self._reader = reader
        # Messages that have come and were not yet taken; the reader's own.
        self._messages: list[bytes] = []
        self._fragments: bytearray | None = None
        # Whether a message has begun, text or not, whose last fragment has not come.
        self._unfinished = False
        # Guards all below, and every write to the socket.
        self._lock = threading.Lock()
        self._protocol = protocol
        self._backlog = bytearray()
        self._progress_at = 0.0
        self._half_close = False
        self._ended: SocketClosed | None = None
        self._woken = False
        # Written to when the reader is to look up.  Shutting the socket down would wake the reader
        # as well, but throw away the goodbyes.
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN)
        self._poll.register(self._wake_in, select.POLLIN)

    @classmethod
    def accept(
        cls,
        environ: Mapping[str, Any],
        *,
        max_size: int = MAX_SIZE,
        reader: Reader | None = None,
    ) -> MediaSocket:
        """Answer a WSGI request's WebSocket handshake and take its socket over.

        Args:
            environ: of the request; the server's socket is found in it.
            max_size: bytes of the longest message taken; a longer one closes with 1009.
            reader: reads for :meth:`listen`; the calling thread does, if ``None``.

        Raises:
            HandshakeRefused: no WebSocket request, or a server that hands out no plain socket.
            SocketClosed: the peer has gone already.
        """
        sock, answer = upgrade(environ)
        # The handshake is done, which a protocol would begin with: this one begins behind it.
        protocol = ServerProtocol(state=OPEN, max_size=max_size, logger=SILENCE)
        made = cls(sock, protocol, max_size, reader)
        with made._lock:
            made._backlog += answer
            made._progress_at = time.monotonic()
            made._retry()
            made._check()
        return made

    # The request's thread

    def receive(self) -> bytes:
        """Take the next text message, waiting for it; only for the request's thread.

        Pings are answered, fragments joined, binary messages passed over.  The wait is ended by a
        message, by the end of the connection and by :meth:`close` from any thread.

        Returns:
            The message in UTF-8, not checked to be valid.

        Raises:
            SocketClosed: closed by either side, or lost.
        """
        while not self._messages:
            self._wait()
            self._read()
        return self._messages.pop(0)

    def listen(self, deliver: Callable[[bytes], object]) -> NoReturn:
        """Have each message given to ``deliver``, on the reader's thread; it must not wait.

        Only for the request's thread, which is held until the connection ends, by either side, or
        ``deliver`` raises.

        Raises:
            SocketClosed: closed by either side, or lost.
            Exception: what ``deliver`` has raised.
        """
        while self._reader is None or self._messages:
            deliver(self.receive())
        self._reader.read(self, deliver)

    def _wait(self) -> None:
        """Wait until there is something to read, to send or to look at."""
        with self._lock:
            self._check()
            behind = bool(self._backlog)
        if behind:
            self._poll.modify(self._socket.fileno(), select.POLLIN | select.POLLOUT)
        self._poll.poll(STALL * 1000 if behind else None)
        if behind:
            self._poll.modify(self._socket.fileno(), select.POLLIN)
        if behind or self._woken:
            self._look_up()

    def _look_up(self) -> None:
        """Do what the reader was woken for: send what waits."""
        with self._lock:
            if self._woken:
                self._woken = False
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_in, 64)
            self._write_out()

    def __iter__(self) -> Iterator[bytes]:
        """Yield messages as :meth:`receive` gives them; end when the socket is closed."""
        while True:
            try:
                yield self.receive()
            except SocketClosed:
                return

    def _read(self) -> bool:
        """Take in what the socket has; tell whether more may come."""
        try:
            data = self._socket.recv(RECEIVE, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            data = b""
        rest = self._unpack(data)
        if data and not rest:
            return True
        with self._lock:
            if data:
                self._protocol.receive_data(rest)
            else:
                self._protocol.receive_eof()
            frames = self._protocol.events_received()
            self._write_out()
            if self._protocol.state is not OPEN:
                self._end(*self._farewell())
        for frame in frames:
            self._sort(frame)  # type: ignore[arg-type]
        return bool(data)

    def _unpack(self, data: bytes) -> bytes:
        """Take the whole text messages at the front; get the rest, which is the protocol's."""
        protocol = self._protocol
        # The reader alone changes the first two; a state that changes now is seen behind this.
        if self._unfinished or protocol.reader.buffer or protocol.state is not OPEN:
            return data
        at, length = 0, len(data)
        while length - at > 8 and data[at] == WHOLE_TEXT:
            size, body = data[at + 1] - MASKED, at + 6
            if size == TWO_BYTES:
                size, body = data[at + 2] << 8 | data[at + 3], at + 8
            elif not 0 < size < TWO_BYTES:
                break
            end = body + size
            if end > length or size > self._max_size:
                break
            self._messages.append(apply_mask(data[body:end], data[body - 4 : body]))
            at = end
        return data[at:]

    def _sort(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._unfinished = not frame.fin
        if frame.opcode is Opcode.TEXT:
            if frame.fin:
                self._messages.append(bytes(frame.data))
            else:
                self._fragments = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._fragments is not None:
            self._fragments += frame.data
            if frame.fin:
                self._messages.append(bytes(self._fragments))
                self._fragments = None

    def _farewell(self) -> tuple[int, str]:
        """Say with which code the protocol has ended; the lock is held."""
        for close in (self._protocol.close_rcvd, self._protocol.close_sent):
            if close is not None:
                return int(close.code), close.reason
        return ABNORMAL, "connection lost"

    # The reader's thread

    def filenos(self) -> tuple[int, int]:
        """Get what to wait on: the socket, and what is readable when it is to be looked at."""
        return self._socket.fileno(), self._wake_in

    @property
    def behind(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._backlog)

    def take(self) -> list[bytes]:
        """Take in what has come, and go on sending what waits; never wait.

        Raises:
            SocketClosed: closed by either side, or lost.
        """
        if self._woken or self._backlog:
            self._look_up()
            with self._lock:
                self._check()
        self._read()
        messages, self._messages = self._messages, []
        return messages

    # The request's thread

    def __enter__(self) -> MediaSocket:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        """Say goodbye, wait for the peer's, and leave the socket to the server to be closed."""
        self.close(NORMAL if exc_type is None else INTERNAL_ERROR)
        # What is unread when a socket is closed makes the kernel reset the connection, and the
        # peer may lose our goodbye to it: read to the end.
        deadline = Deadline(GOODBYE)
        poll = select.poll()
        with contextlib.suppress(ValueError, OSError):
            poll.register(self._socket.fileno(), select.POLLIN)
            while (
                poll.poll((deadline.remaining() or 0.0) * 1000)
                and self._read()
                and not deadline.expired
            ):
                self._messages.clear()
        with self._lock:
            wake_in, self._wake_in = self._wake_in, -1
            wake_out, self._wake_out = self._wake_out, -1
        for end in (wake_in, wake_out):
            if end >= 0:
                os.close(end)

    # Any thread

    def send(self, text: str | bytes) -> None:
        """Send one text message; never waits, may be called from any thread.

        Raises:
            SocketClosed: closed or lost; or the peer has stopped reading, which closes it.
        """
        data = text.encode() if isinstance(text, str) else text
        with self._lock:
            self._check()
            size = len(data)
            if TWO_BYTES <= size <= LONGEST and self._protocol.state is OPEN:
                self._put(bytes((WHOLE_TEXT, TWO_BYTES, size >> 8, size & 0xFF)) + data)
                if self._backlog:
                    self._retry()
            else:
                self._protocol.send_text(data)
                self._write_out()
            self._check()

    def flush(self) -> int:
        """Try again to send what waits; never waits, may be called from any thread.

        Returns:
            The bytes that still wait.

        Raises:
            SocketClosed: closed or lost; or the peer has stopped reading, which closes it.
        """
        with self._lock:
            self._write_out()
            self._check()
            return len(self._backlog)

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say goodbye and wake the reader; never waits, from any thread, any number of times."""
        with self._lock:
            if self._protocol.state is OPEN:
                self._protocol.send_close(code, reason)
                self._write_out()
            self._end(code, reason)

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._ended is not None

    # The lock is held in all below

    def _check(self) -> None:
        if self._ended is not None:
            raise SocketClosed(self._ended.code, self._ended.reason)

    def _end(self, code: int, reason: str) -> None:
        """Keep why it ended, the first reason only, and wake the reader."""
        if self._ended is None:
            self._ended = SocketClosed(code, reason)
            self._wake()

    def _wake(self) -> None:
        self._woken = True
        # Full, it will wake the reader all the same.
        with contextlib.suppress(BlockingIOError):
            if self._wake_out >= 0:
                os.write(self._wake_out, b"!")

    def _write_out(self) -> None:
        """Send what the protocol has to say, as much of it as the peer takes now."""
        for piece in self._protocol.data_to_send():
            if piece == SEND_EOF:
                self._half_close = True
            else:
                self._put(piece)
        if self._backlog:
            self._retry()
        if self._half_close and not self._backlog:
            self._half_close = False
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def _put(self, piece: bytes) -> None:
        """Send this behind what waits, or as much of it as the peer takes now."""
        if self._backlog:
            self._backlog += piece
            return
        sent = self._send_some(piece)
        if sent < len(piece):
            self._backlog += piece[sent:]
            self._progress_at = time.monotonic()
            self._wake()

    def _retry(self) -> None:
        sent = self._send_some(self._backlog)
        now = time.monotonic()
        if sent:
            del self._backlog[:sent]
            self._progress_at = now
        if len(self._backlog) > BACKLOG or (self._backlog and now - self._progress_at > STALL):
            self._give_up("the peer does not read")

    def _send_some(self, data: bytes | bytearray) -> int:
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._give_up("connection lost")
            return len(data)

    def _give_up(self, reason: str) -> None:
        """Drop the connection without a goodbye, which the peer would not read."""
        self._backlog.clear()
        self._half_close = False
        self._end(ABNORMAL, reason)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


__all__ = ["MediaSocket", "SocketClosed"]
