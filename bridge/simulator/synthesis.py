"""Telnyx's streaming text-to-speech, on loopback.

Speaks the wire of ``/v2/text-to-speech/speech`` (Telnyx: websocket-streaming pages): a mandatory
first frame, text, ``flush``, ``force`` and the end; audio as base64 in JSON, in the style and the
format of the voice that was asked for.  The audio comes from a speaker: the embedded voice, or a
script.

Threads: :meth:`SynthesisService.serve` runs on the connection's own thread and makes no other.
Between two audio frames it looks for messages, so that ``force`` and a close are seen at once.
``sessions`` and :meth:`fail` may be used from any thread.

Rules of this module:

1. What was said is kept as lengths and counts, never as words.
2. A fault strikes one connection, the next one, and then is over.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from bridge.simulator.audiooutput import PIECE, make_encoder
from bridge.simulator.socket import Handshake, Refusal, SpeechSocket, check_access
from bridge.simulator.speakers import MakeSpeaker, OfflineSpeaker
from bridge.simulator.voicequery import SpeechRequest, check_query, read_request

logger = logging.getLogger(__name__)

PATH = "/v2/text-to-speech/speech"

_POLICY = 1008
_FAILED = 1011
_SENTENCE = re.compile(r"(?<=[.!?\u2026])[\"\u201d\u2019)\]]*\s+")
_MARKDOWN = re.compile(r"[*_`#~]+")


def speakable(text: str) -> str:
    """Get what is spoken of a text: Markdown's marks are taken out (Telnyx: messages page)."""
    return _MARKDOWN.sub("", text).strip()


@dataclass(frozen=True)
class SynthesisBehaviour:
    """What the service does where its documentation is silent or contradicts itself.

    Attributes:
        buffering: text waits for the end of a sentence (documented), or for ``flush`` or the end
            frame (as seen live).
        final_per_text: ``isFinal`` follows each text (documented), or only the end frame (live).
        duplicates: streaming voices put a copy of the audio into the text-bearing frame.
        pace: seconds of audio sent per second; ``None`` sends as fast as it is made. The live
            service was seen at 2.4.
        first_delay: seconds before the first audio of each text; 0.26 to 0.9 live.
    """

    buffering: Literal["sentence", "flush"] = "sentence"
    final_per_text: bool = False
    duplicates: bool = False
    pace: float | None = None
    first_delay: float = 0.0


@dataclass(frozen=True)
class SynthesisFault:
    """What goes wrong on one connection.

    Attributes:
        refusal: the handshake is answered with this.
        after: how many audio frames are sent before it happens.
        kind: an ``error`` frame and a close; a ``close`` with 1000 and without ``isFinal``; an
            ``abort`` without a close frame; a ``stall``, after which nothing ever comes.
    """

    refusal: Refusal | None = None
    after: int = 0
    kind: Literal["error", "close", "abort", "stall"] = "error"


@dataclass
class SynthesisRecord:
    """What one session was asked and did; kept after its end.

    Attributes:
        request: the query that was accepted.
        opened_at: when it began, on the monotonic clock.
        closed_at: when it ended, or ``None``.
        texts: texts taken, the first frame and the end frame not counted.
        characters: length of them.
        forced: how often the work was dropped on demand.
        frames: audio frames sent.
        audio_seconds: length of the audio in them.
        first_audio: seconds from each text's arrival to its first audio frame.
        completed: whether the end frame came and was answered in full.
    """

    request: SpeechRequest
    opened_at: float = field(default_factory=time.monotonic)
    closed_at: float | None = None
    texts: int = 0
    characters: int = 0
    forced: int = 0
    frames: int = 0
    audio_seconds: float = 0.0
    first_audio: list[float] = field(default_factory=list)
    completed: bool = False


class SynthesisService:
    """The synthesis server behind any number of sockets.

    Attributes:
        sessions: what every accepted session did, the oldest first.
        behaviour: may be replaced; acts on sessions that begin afterwards.
        refused_voices: names that are answered as if they did not exist.
        make_speaker: makes what speaks in a session.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        make_speaker: MakeSpeaker = OfflineSpeaker,
        behaviour: SynthesisBehaviour | None = None,
    ) -> None:
        """Make a server.

        Args:
            api_key: the only key that is let in; ``None`` lets in any that is not empty.
            make_speaker: makes the speaker of a session.
            behaviour: answers to what the documentation leaves open.
        """
        self.sessions: list[SynthesisRecord] = []
        self.behaviour = behaviour or SynthesisBehaviour()
        self.refused_voices: frozenset[str] = frozenset()
        self._api_key = api_key
        self.make_speaker = make_speaker
        # Guards _faults and appending to sessions.
        self._lock = threading.Lock()
        self._faults: deque[SynthesisFault] = deque()

    def fail(self, fault: SynthesisFault, times: int = 1) -> None:
        """Let the next ``times`` connections go wrong."""
        with self._lock:
            self._faults.extend([fault] * times)

    def check(self, handshake: Handshake) -> Refusal | None:
        """Get the answer that refuses this handshake, or ``None``."""
        with self._lock:
            if self._faults and self._faults[0].refusal is not None:
                return self._faults.popleft().refusal
        refusal = check_access(handshake, self._api_key)
        return refusal or check_query(handshake, self.refused_voices)

    def serve(self, socket: SpeechSocket) -> None:
        """Serve one socket; blocks until it is closed, and leaves it closed.

        Raises:
            OfflineSpeechMissing: a package is missing; the message says what to install.
        """
        record = SynthesisRecord(read_request(socket.handshake))
        with self._lock:
            fault = self._faults.popleft() if self._faults else None
            self.sessions.append(record)
        try:
            _Session(socket, record, self.make_speaker, self.behaviour, fault).run()
        finally:
            record.closed_at = time.monotonic()
            logger.debug(
                "ended a synthesis session: %d characters, %.1f s of audio",
                record.characters,
                record.audio_seconds,
            )


@dataclass
class _Text:
    """A text that is to be spoken."""

    text: str
    arrived: float


class _Session:
    """One socket; everything here runs on its connection's thread."""

    def __init__(
        self,
        socket: SpeechSocket,
        record: SynthesisRecord,
        make_speaker: MakeSpeaker,
        behaviour: SynthesisBehaviour,
        fault: SynthesisFault | None,
    ) -> None:
        self._socket = socket
        self._record = record
        self._request = record.request
        self._behaviour = behaviour
        self._fault = fault
        self._speaker = make_speaker()
        self._encoder = make_encoder(
            self._request.audio_format, self._speaker.sample_rate, self._request.sample_rate
        )
        self._speed = 1.0
        self._begun = False
        self._ended = False
        self._buffer = ""
        self._texts: deque[_Text] = deque()
        # The frames of the text that is being spoken, and when the next one may leave.
        self._frames: Iterator[dict[str, object]] | None = None
        self._due = 0.0
        self._delivered = 0  # messages with audio in them

    def run(self) -> None:
        while True:
            working = self._frames is not None or bool(self._texts)
            if self._ended and not working:
                self._send(_final())
                self._record.completed = True
                self._socket.close(1000)
                return
            now = time.monotonic()
            patience = max(0.0, self._due - now) if working else self._request.inactivity_timeout
            try:
                message = self._socket.receive(patience)
            except TimeoutError:
                if not working:
                    self._socket.close(1000)
                    return
                if not self._step():
                    return
                continue
            if message is None or not self._take(message):
                return

    # What comes.

    def _take(self, message: str | bytes) -> bool:
        """Take a message; whether the session goes on."""
        if self._ended:
            return True
        try:
            frame = json.loads(message)
        except ValueError:
            frame = None
        text = frame.get("text", "") if isinstance(frame, dict) else None
        if not isinstance(text, str) or not isinstance(frame, dict):
            return self._refuse()
        if not self._begun:
            # Telnyx: "Invalid message" without the single space that opens the session.
            if text != " ":
                return self._refuse()
            self._begun = True
            self._read_settings(frame.get("voice_settings"))
            return True
        if frame.get("force") is True:
            self._drop_work()
        if text:
            self._record.texts += 1
            self._record.characters += len(text)
            self._buffer += text
        elif "text" in frame and frame.get("force") is not True:
            self._ended = True
        self._queue(everything=self._ended or frame.get("flush") is True)
        return True

    def _refuse(self) -> bool:
        self._send({"error": "Invalid message"})
        self._socket.close(_POLICY)
        return False

    def _read_settings(self, settings: Any) -> None:
        if not isinstance(settings, dict):
            return
        for name in ("voice_speed", "speed"):
            value = settings.get(name)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
                self._speed = float(value)

    def _drop_work(self) -> None:
        self._record.forced += 1
        self._buffer = ""
        self._texts.clear()
        self._frames = None

    def _queue(self, *, everything: bool) -> None:
        """Move what may be spoken from the buffer to the queue."""
        cut = len(self._buffer) if everything else 0
        if not everything and self._behaviour.buffering == "sentence":
            cut = max((m.end() for m in _SENTENCE.finditer(self._buffer)), default=0)
        text, self._buffer = self._buffer[:cut], self._buffer[cut:]
        text = speakable(text)
        if text:
            self._texts.append(_Text(text, time.monotonic()))

    # What goes.

    def _step(self) -> bool:
        """Send the next frame; whether the session goes on."""
        if self._frames is None:
            text = self._texts.popleft()
            self._frames = self._speak(text)
            self._due = text.arrived + self._behaviour.first_delay
            if self._due > time.monotonic():
                return True
        frame = next(self._frames, None)
        if frame is None:
            self._frames = None
            return True
        if self._fault is not None and self._delivered >= self._fault.after:
            return self._strike(self._fault)
        self._send(frame)
        self._delivered += frame["audio"] is not None
        return True

    def _speak(self, text: _Text) -> Iterator[dict[str, object]]:
        """Make the frames of a text, one by one as they are asked for."""
        if self._request.audio_format == "pcm":
            return
        streams = self._request.model.streams
        whole = bytearray()
        for piece in self._audio(text.text):
            whole += piece
            if streams:
                frame = _audio(piece, None)
                if not self._record.frames:
                    waited = time.monotonic() - text.arrived
                    frame["timeToFirstAudioFrameMs"] = round(1000 * waited)
                self._count(text, first=len(whole) == len(piece))
                yield frame
        if streams:
            yield _audio(bytes(whole) if self._behaviour.duplicates else None, text.text)
        elif whole:
            self._count(text, first=True)
            yield _audio(bytes(whole), text.text)
        if self._behaviour.final_per_text:
            yield _final()

    def _audio(self, text: str) -> Iterator[bytes]:
        """Make the encoded audio of a text in the pieces that are sent."""
        rate = self._speaker.sample_rate
        cut = self._request.model.cut if self._request.audio_format == "mp3" else 0
        rest = b""
        for pcm in self._speaker.speak(text, self._speed):
            self._record.audio_seconds += len(pcm) / 2 / rate
            for piece in self._encoder.encode(pcm):
                if not cut:
                    yield piece
                    continue
                rest += piece
                while len(rest) >= cut:
                    yield rest[:cut]
                    rest = rest[cut:]
        if rest:
            yield rest

    def _count(self, text: _Text, *, first: bool) -> None:
        """Count an audio frame that is about to leave, and set when the next one may."""
        now = time.monotonic()
        self._record.frames += 1
        if first:
            self._record.first_audio.append(now - text.arrived)
        if self._behaviour.pace:
            self._due = max(now, self._due) + PIECE / self._behaviour.pace

    def _strike(self, fault: SynthesisFault) -> bool:
        if fault.kind == "error":
            self._send({"error": "error in audio response"})
            self._socket.close(_FAILED)
        elif fault.kind == "close":
            self._socket.close(1000)
        elif fault.kind == "abort":
            self._socket.abort()
        else:
            while self._socket.receive() is not None:
                pass
        return False

    def _send(self, frame: dict[str, object]) -> None:
        self._socket.send(json.dumps(frame))


def _audio(data: bytes | None, text: str | None) -> dict[str, object]:
    audio = base64.b64encode(data).decode() if data is not None else None
    return {"audio": audio, "text": text, "isFinal": False, "cached": False}


def _final() -> dict[str, object]:
    return {"audio": None, "text": "", "isFinal": True}
