"""WebSocket frames: how messages are cut out of what comes, and made into what is sent.

The framing is ``websocket-client``'s with three changes: the head of a frame is judged before its
payload is waited for, answers to control frames may find nobody, and what is sent is masked in C.

Pure but for the socket that is handed in.
"""

from __future__ import annotations

import contextlib

import websocket
from websocket._abnf import frame_buffer
from websockets.frames import Frame, Opcode

# More than the audio of any sentence, in bytes.
LARGEST_MESSAGE = 64 * 1024 * 1024


def encode(message: str | bytes) -> bytes:
    """Make the frame of one message, masked as a client's are."""
    # websocket-client masks in Python, which is most of what sending audio costs.
    if isinstance(message, str):
        return Frame(Opcode.TEXT, message.encode()).serialize(mask=True)
    return Frame(Opcode.BINARY, message).serialize(mask=True)


class FramedSocket(websocket.WebSocket):
    """A WebSocket that reads on when its answer to a control frame finds the peer gone.

    A service that has said everything closes, and does not wait for long; who was slow to read
    finds all of it here, and nobody to say goodbye to.
    """

    def __init__(self) -> None:
        """Make one that is not connected."""
        super().__init__(enable_multithread=True, skip_utf8_validation=True)
        self.frame_buffer = _Frames(self._recv, skip_utf8_validation=True)

    def pong(self, payload: str | bytes = "") -> None:
        """Answer a ping, if anybody is there."""
        with contextlib.suppress(OSError, websocket.WebSocketConnectionClosedException):
            super().pong(payload)

    def send_close(self, status: int = 1000, reason: str | bytes = b"") -> None:
        """Answer a close, if anybody is there."""
        with contextlib.suppress(OSError, websocket.WebSocketConnectionClosedException):
            super().send_close(status, reason)


class _Frames(frame_buffer):
    """Judges the head of a frame before its payload is waited for.

    Garbage announces payloads of any length; nothing that follows would ever be read.
    """

    def recv_header(self) -> None:
        super().recv_header()
        assert self.header is not None
        _, rsv1, rsv2, rsv3, opcode, masked, _ = self.header
        if rsv1 or rsv2 or rsv3 or masked or opcode not in websocket.ABNF.OPCODES:
            raise websocket.WebSocketProtocolException("no WebSocket frame")

    def recv_length(self) -> None:
        super().recv_length()
        if self.length is not None and self.length > LARGEST_MESSAGE:
            raise websocket.WebSocketProtocolException("a frame of absurd length")
