"""Call control and the speech services: every command is obeyed, every word answered at once.

Telnyx: media-streaming, speech-to-text and text-to-speech pages.  Speech is told from silence by
its level; what is heard is always the same words; what is said is a tone, as long as its text.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from benchmarks.farend.loop import BINARY, CLOSE, PING, PONG, READ, Connection, Frames, Loop, frame
from bridge.simulator.audiooutput import make_encoder
from bridge.simulator.speakers import ToneSpeaker
from telnyx_media._audioop import audioop

STT, TTS, CALLS = "/v2/speech-to-text/", "/v2/text-to-speech/", "/v2/calls/"
# Neither a full stop nor a word that wants more: the agent's endpoint delay decides alone.
WORDS = "he might even have been made amiable himself"
# -40 dBFS: above the noise of the line, below any voice.
LOUD = 330
# Every so many messages of 100 ms of speech there is an interim: none knows a word sooner.
INTERIM_EVERY = 5
PER_CHARACTER = 0.12
RATE = 24000
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SENTENCE = re.compile(r"(?<=[.!?])\s+")

Command = Callable[[str, str, dict[str, Any]], None]


@functools.lru_cache(maxsize=256)
def spoken(text: str, audio_format: str, rate: int) -> tuple[bytes, ...]:
    """Make the frames of a text, in the style of a voice that streams."""
    speaker = ToneSpeaker(seconds_per_character=PER_CHARACTER, sample_rate=RATE)
    encoder = make_encoder(audio_format, RATE, rate)
    pieces = encoder.encode(b"".join(speaker.speak(text, 1.0)))
    messages = [
        {"audio": base64.b64encode(p).decode(), "text": None, "isFinal": False, "cached": False}
        for p in pieces
    ]
    messages.append({"audio": None, "text": text, "isFinal": False, "cached": False})
    return tuple(frame(json.dumps(message).encode()) for message in messages)


FINAL = frame(b'{"audio": null, "text": "", "isFinal": true}')
GOODBYE = frame(b"\x03\xe8", CLOSE)


class Server(Connection):
    """A connection to call control or to a speech service, whichever is asked for."""

    def __init__(self, loop: Loop, sock: socket.socket, on_command: Command) -> None:
        super().__init__(loop, sock)
        self._on_command = on_command
        self._data = b""
        self._frames: Frames | None = None
        self._session: Transcription | Synthesis

    def take(self, data: bytes) -> None:
        """Take what came."""
        if self._frames is None:
            self._data += data
            while self._request():
                pass
            return
        for kind, payload in self._frames.feed(data):
            if kind == PING:
                self.send(frame(payload, PONG))
            elif kind == CLOSE:
                self.send(GOODBYE)
                self.close()
                return
            elif kind != PONG:
                self._session.take(kind, payload)

    def _request(self) -> bool:
        """Answer the next request that is complete."""
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if not found:
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in lines)}
        parts = urlsplit(first.split()[1])
        if "sec-websocket-key" in fields:
            self._upgrade(fields["sec-websocket-key"], parts.path, parse_qs(parts.query))
            return False
        size = int(fields.get("content-length", "0"))
        if len(rest) < size:
            return False
        body, self._data = rest[:size], rest[size:]
        answer = b'{"data":{"result":"ok"}}'
        self.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(answer), answer)
        )
        if parts.path.startswith(CALLS):
            key, _, name = parts.path[len(CALLS) :].partition("/actions/")
            self._on_command(unquote(key), name, json.loads(body) if body else {})
        return True

    def _upgrade(self, key: str, path: str, query: dict[str, list[str]]) -> None:
        accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest())
        self.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept
        )
        self._frames = Frames()
        asked = {name: values[0] for name, values in query.items()}
        self._session = (Transcription if path.startswith(STT) else Synthesis)(self, asked)


class Transcription:
    """Hears the same words in every stretch of speech."""

    def __init__(self, connection: Connection, asked: dict[str, str]) -> None:
        self._connection = connection
        self._law = asked.get("input_format", "linear16")
        self._speaking = 0

    def take(self, kind: int, payload: bytes) -> None:
        """Take audio or a control message."""
        if kind != BINARY:
            if b"CloseStream" in payload:
                self._say(final=True)
                self._connection.send(GOODBYE)
            elif b"Finalize" in payload:
                self._say(final=True)
            return
        pcm = payload
        if self._law != "linear16":
            pcm = (audioop.alaw2lin if self._law == "alaw" else audioop.ulaw2lin)(payload, 2)
        if audioop.rms(pcm[: len(pcm) & ~1], 2) > LOUD:
            self._speaking += 1
            if self._speaking % INTERIM_EVERY == 0:
                self._say(final=False)
        else:
            self._say(final=True)

    def _say(self, *, final: bool) -> None:
        if not self._speaking:
            return
        text = WORDS
        if final:
            self._speaking = 0
        else:
            text = " ".join(WORDS.split()[: self._speaking // INTERIM_EVERY])
        message = {"transcript": text, "is_final": final, "confidence": 0.9}
        self._connection.send(frame(json.dumps(message).encode()))


class Synthesis:
    """Says each sentence as a tone."""

    def __init__(self, connection: Connection, asked: dict[str, str]) -> None:
        self._connection = connection
        self._format = asked.get("audio_format", "mp3")
        self._rate = int(asked.get("sample_rate", RATE))
        self._text = ""

    def take(self, kind: int, payload: bytes) -> None:
        """Take text, and answer what is complete."""
        message = json.loads(payload)
        text = message.get("text", "")
        over = text == "" and not message.get("force")
        if message.get("force"):
            self._text = ""
        self._text += text
        pieces = _SENTENCE.split(self._text)
        # The last one may go on, unless it is said that it does not.
        self._text = "" if over or message.get("flush") else pieces.pop()
        for piece in pieces:
            if piece.strip():
                for data in spoken(piece.strip(), self._format, self._rate):
                    self._connection.send(data)
        if over:
            self._connection.send(FINAL)
            self._connection.send(GOODBYE)


def serve(loop: Loop, on_command: Command) -> int:
    """Listen on a free port; get it."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    listening.setblocking(False)

    def accept(_: int) -> None:
        try:
            sock, _peer = listening.accept()
        except OSError:
            return
        Server(loop, sock, on_command)

    loop.watch(listening.fileno(), READ, accept)
    return int(listening.getsockname()[1])
