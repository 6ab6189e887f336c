"""The callers: what they say and when, and what they hear of the agent and when."""

from __future__ import annotations

import base64
import json
import math
import random
import socket
import time
import uuid
from array import array
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.farend.loop import CLOSE, PING, PONG, Connection, Frames, Loop, frame
from bridge.simulator.webhooks import Signer, timestamp
from telnyx_media._audioop import audioop
from telnyx_media.pcm import read_wav

VOICES = Path(__file__).parents[2] / "tests" / "data" / "voices"
PACKET = 0.02
SAMPLES = 160
# Half a sentence, read by a human, begins here; the packet in front of it is a breath.
BEGIN = 56
# A voice has ended where nothing follows within so many decibels of its loudest packet.
RANGE = 15.0
# -60 dBFS of noise: no line is quite silent.
NOISE = 33.0
# What a far end holds back before it plays.
PREBUFFER = 0.06
# A longer pause is one between two replies; a shorter one is a gap.
LONGEST_GAP = 0.6
# Seconds from the end of a reply until the caller speaks; and into a reply, to break in.
PAUSE, BREAK_IN = 0.8, 1.5
# Seconds after which an answer will not come.
PATIENCE = 8.0
# Media frames that come so long after a clear were on their way.
RESIDUE = 0.3


def _payloads(pcm: bytes) -> list[str]:
    law = audioop.lin2ulaw(pcm, 2)
    return [
        base64.b64encode(law[at : at + SAMPLES]).decode()
        for at in range(0, len(law) - SAMPLES + 1, SAMPLES)
    ]


def voice() -> list[str]:
    """Get a phrase of a human voice, cut where it begins and where it ends."""
    pcm = read_wav(str(VOICES / "austen-0930.wav"))[0]
    packets = [pcm[at : at + 2 * SAMPLES] for at in range(0, len(pcm), 2 * SAMPLES)]
    levels = [audioop.rms(packet, 2) for packet in packets]
    loud = max(levels) / 10 ** (RANGE / 20)
    last = max(number for number, level in enumerate(levels) if level > loud)
    return _payloads(b"".join(packets[BEGIN : last + 1]))


def noise() -> list[str]:
    """Get a few seconds of a line on which nobody speaks."""
    random.seed(7)
    return _payloads(array("h", (round(random.gauss(0, NOISE)) for _ in range(24000))).tobytes())


class Post(Connection):
    """One webhook on its way."""

    def __init__(
        self, loop: Loop, url: str, signer: Signer, event: bytes,
        answered: Callable[[int], None] = lambda status: None,
    ) -> None:  # fmt: skip
        parts = urlsplit(url)
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex((parts.hostname, parts.port))
        super().__init__(loop, sock)
        self.status = 0
        self._answered = answered
        head = "".join(
            f"{name}: {value}\r\n"
            for name, value in signer.headers(event, int(time.time())).items()
        )
        request = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(event)}\r\n{head}\r\n"
        )
        # Not connected yet: it leaves when the socket can be written to.
        self._out += request.encode() + event
        loop.watch(sock.fileno(), 5, self._on_ready)

    def take(self, data: bytes) -> None:
        """Read the status."""
        if data.startswith(b"HTTP/1.1 "):
            self.status = int(data[9:12])
        self.close()

    def ended(self) -> None:
        """Tell what came of it; 0 is no answer."""
        self._answered(self.status)


class Call(Connection):
    """One call: the media socket of its leg, what is said on it and what is heard.

    Attributes:
        waits: when the caller stopped speaking and when the agent's audio came, or ``None``.
        breaks: when the caller broke in, when ``clear`` came, when nothing was heard any more, and
            seconds of audio that came after ``clear``.
        gaps: when the agent's voice was interrupted, and for how long.
        heard: seconds of the agent's voice.
    """

    VOICE: tuple[str, ...] = ()
    NOISE: tuple[str, ...] = ()

    def __init__(self, loop: Loop, url: str, key: str, plan: str, on_end: Callable[[], None]):
        parts = urlsplit(url)
        sock = socket.create_connection((parts.hostname, parts.port or 80), 20)
        self._on_end = on_end
        self._frames: Frames | None = None
        self._head = b""
        super().__init__(loop, sock)
        self.key, self.plan = key, plan
        self.stream = str(uuid.uuid4())
        self.waits: list[tuple[float, float | None]] = []
        self.breaks: list[dict[str, float | None]] = []
        self.gaps: list[tuple[float, float]] = []
        self.heard = 0.0
        self.begun = False
        self._number = 0
        self._at = random.randrange(len(self.NOISE))
        self._word = -1  # of VOICE, while speaking
        self._spoke = 0.0  # when the caller stopped, until there is an answer
        self._first = 0.0  # of the agent's present reply
        self._until = 0.0  # the agent can be heard until then
        self._marks: list[tuple[float, str]] = []
        self._due = 0.0
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        self.send(
            f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    # What is said

    def _begin(self) -> None:
        self._tell({"event": "connected", "version": "1.0.0"})
        form = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
        about = {"call_control_id": self.key, "call_session_id": self.key, "media_format": form}
        start = {"sequence_number": "1", "stream_id": self.stream, "start": about}
        self._tell({"event": "start", **start})
        self.begun = True
        self._due = time.monotonic()
        self._first = self._until = self._due
        self._tick(self._due)

    def _tell(self, message: dict[str, Any]) -> None:
        self.send(frame(json.dumps(message).encode(), masked=True))

    def _tick(self, now: float) -> None:
        """Send the next packet."""
        if self.closed:
            return
        self._number += 1
        number = self._number
        text = (
            f'{{"event":"media","sequence_number":"{number + 1}","media":{{"track":"inbound",'
            f'"chunk":"{number}","timestamp":"{20 * number}","payload":"{self._payload(now)}"}},'
            f'"stream_id":"{self.stream}"}}'
        )
        self.send(frame(text.encode(), masked=True))
        if self._marks:
            self._return_marks(now)
        self._due += PACKET
        self.loop.at(self._due, self._tick, paced=True)

    def _payload(self, now: float) -> str:
        if self._word < 0:
            if self._wants_to_speak(now):
                self._word = 0
            else:
                self._at = (self._at + 1) % len(self.NOISE)
                return self.NOISE[self._at]
        payload = self.VOICE[self._word]
        self._word += 1
        if self._word == len(self.VOICE):
            self._word = -1
            self._spoke = now
        return payload

    def _wants_to_speak(self, now: float) -> bool:
        if self.plan == "listen":
            return False
        if self._spoke:
            if now - self._spoke < PATIENCE:
                return False
            self.waits.append((self._spoke, None))
            self._spoke = 0.0
            return True
        if self.plan == "break in" and now > self._first + BREAK_IN and now < self._until:
            self.breaks.append({"spoke": now, "clear": None, "quiet": None, "residue": 0.0})
            return True
        return now > self._until + PAUSE and now > self._first + PAUSE

    def _return_marks(self, now: float) -> None:
        while self._marks and self._marks[0][0] <= now:
            name = self._marks.pop(0)[1]
            self._tell({"event": "mark", "stream_id": self.stream, "mark": {"name": name}})

    # What is heard

    def take(self, data: bytes) -> None:
        """Take what came."""
        if self._frames is None:
            self._head += data
            head, found, rest = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                self.close()
                return
            self._frames = Frames()
            self._begin()
            data = rest
        now = time.monotonic()
        for kind, payload in self._frames.feed(data):
            if kind == PING:
                self.send(frame(payload, PONG, masked=True))
            elif kind == CLOSE:
                self.close()
                return
            elif kind != PONG:
                self._hear(payload, now)

    def _hear(self, payload: bytes, now: float) -> None:
        message = json.loads(payload)
        event = message["event"]
        if event == "media":
            text = message["media"]["payload"]
            self._audio(now, (len(text) * 3 // 4 - text.count("=", -2)) / 8000)
        elif event == "mark":
            self._marks.append((max(now, self._until), message["mark"]["name"]))
            self._return_marks(now)
        elif event == "clear":
            self._cleared(now)

    def _audio(self, now: float, seconds: float) -> None:
        self.heard += seconds
        if self.breaks and not self._spoke and self._word >= 0:
            last = self.breaks[-1]
            if last["clear"] is not None and now < last["clear"] + RESIDUE:
                last["residue"] = (last["residue"] or 0.0) + seconds
        if self._spoke:
            self.waits.append((self._spoke, now))
            self._spoke = 0.0
            if self.breaks and self.breaks[-1]["quiet"] is None:
                self.breaks[-1]["quiet"] = min(now, self._until)
        pause = now - self._until
        if pause > 0:
            if 0.001 < pause < LONGEST_GAP and now - self._first > LONGEST_GAP:
                self.gaps.append((now, pause))
                self._until = now
            else:
                self._first, self._until = now, now + PREBUFFER
        self._until += seconds

    def _cleared(self, now: float) -> None:
        if self.breaks and self.breaks[-1]["clear"] is None:
            self.breaks[-1].update(clear=now, quiet=min(now, self._until))
        self._until = min(now, self._until)
        self._marks = [(0.0, name) for _, name in self._marks]
        self._return_marks(now)

    def hang_up(self) -> None:
        """End the stream as Telnyx does."""
        self._tell({"event": "stop", "stream_id": self.stream, "stop": {}})
        self.send(frame(b"\x03\xe8", CLOSE, masked=True))
        self.close()

    def ended(self) -> None:
        """Be told that the socket is gone."""
        self._on_end()


class Account:
    """The calls to one application.

    Attributes:
        calls: those whose media stream was opened.
        failed: those that were lost, or refused.
        placed: plan and number of each call that was placed and has not ended.
        webhook: where webhooks go.
    """

    def __init__(self, loop: Loop) -> None:
        Call.VOICE, Call.NOISE = tuple(voice()), tuple(noise())
        self.calls: dict[str, Call] = {}
        self.placed: dict[str, tuple[str, str]] = {}
        self.failed = 0
        self.webhook = ""
        self.signer = Signer()
        self._loop = loop
        self._numbers = iter(range(10**9))
        self._ending = False

    def place(self, plan: str, caller: str) -> str:
        """Ring; what follows is up to the application."""
        number = next(self._numbers)
        key = f"v3:far-{number:06d}-{uuid.uuid4().hex[:8]}"
        self.placed[key] = plan, caller
        self._emit(key, "call.initiated", direction="incoming", state="parked")
        return key

    def _emit(self, key: str, kind: str, **fields: Any) -> None:
        Post(self._loop, self.webhook, self.signer, self.event(key, kind, **fields))

    def event(self, key: str, kind: str, **fields: Any) -> bytes:
        """Write a webhook."""
        payload = {
            "call_control_id": key, "call_leg_id": key, "call_session_id": key,
            "connection_id": "1", "client_state": None, "from": self.placed[key][1],
            "to": "+12025550100", **fields,
        }  # fmt: skip
        data = {
            "record_type": "event", "event_type": kind, "id": str(uuid.uuid4()),
            "occurred_at": timestamp(), "payload": payload,
        }  # fmt: skip
        return json.dumps({"data": data, "meta": {"attempt": 1}}).encode()

    def obey(self, key: str, name: str, body: dict[str, Any]) -> None:
        """Do what call control was asked for."""
        if key not in self.placed:
            return
        if name == "answer":
            self._emit(key, "call.answered", direction="incoming", state="answered")
        if "stream_url" in body and key not in self.calls:
            plan = self.placed[key][0]
            self.calls[key] = Call(
                self._loop, body["stream_url"], key, plan, partial(self._gone, key)
            )
            self._emit(key, "streaming.started", stream_url=body["stream_url"])
        elif name in ("hangup", "reject"):
            self._end(key)

    def _gone(self, key: str) -> None:
        self.failed += not self._ending
        self.calls.pop(key, None)

    def _end(self, key: str) -> None:
        call = self.calls.get(key)
        if call is not None:
            call.hang_up()
        if key in self.placed:
            self._emit(
                key, "call.hangup", direction="incoming", state="hangup",
                hangup_cause="normal_clearing", hangup_source="caller", sip_hangup_cause="200",
            )  # fmt: skip
            del self.placed[key]

    def hang_up(self, count: int) -> None:
        """End so many calls."""
        self._ending = True
        for key in list(self.placed)[:count]:
            self._end(key)
        self._ending = False


def percentile(values: list[float], percent: float) -> float | None:
    """Get the smallest value that so many percent do not exceed; ``None`` of none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
