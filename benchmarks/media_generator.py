"""Telnyx's side of many media streams, as cheap as Python allows: one thread, one epoll.

Run by ``media.py`` as ``media_generator.py URL STREAMS WARMUP SECONDS SERVER_PID``; writes one JSON
object.  Frames leave on absolute deadlines, evenly spread over each 20 ms; how late they leave is
reported as the generator's own lateness.  Half of each stream is a voice, half silence.
"""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bridge.loadtest.usage import usage
from bridge.loadtest.voice import voice
from telnyx_media.codecs import make_codec

PACKET = 0.02
BYTES = 160
# What the far end holds back before it begins to play.
PREBUFFER = 0.06
# A pause that is longer is an end, not a gap.
LONGEST_GAP = 0.4
# With a zero key the mask changes nothing, which is allowed and saves the generator's time; the
# server unmasks all the same.
ZERO_KEY = b"\0\0\0\0"


def text_frame(text: bytes) -> bytes:
    """Make a client's WebSocket frame."""
    size = len(text)
    if size < 126:
        return bytes((0x81, 0x80 | size)) + ZERO_KEY + text
    return b"\x81\xfe" + size.to_bytes(2, "big") + ZERO_KEY + text


def clips() -> list[str]:
    """Make the payloads of two seconds: 1.2 of a voice, then silence."""
    codec = make_codec("PCMU")
    data = codec.encode(voice(1.2) + bytes(2 * 8000 * 12 // 10))
    return [base64.b64encode(data[i : i + BYTES]).decode() for i in range(0, len(data), BYTES)]


class Stream:
    """One socket: what was sent on it, and when how much came back."""

    def __init__(self, key: str, url: str, number: int) -> None:
        parts = urlsplit(url)
        self.sock = socket.create_connection((parts.hostname, parts.port), 20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.sock.recv(4096)
            if not piece:
                raise OSError(f"the server refused a stream: {head[:100]!r}")
            head += piece
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise OSError(f"the server refused a stream: {head.splitlines()[0]!r}")
        self.rest = head.partition(b"\r\n\r\n")[2]
        self.id = f"stream-{number:08d}"
        self.chunk = 0
        self.offset = 7 * number
        self.sent: list[float] = []
        self.arrived: list[float] = []
        self.back = 0
        start = {
            "event": "start", "sequence_number": "1", "stream_id": self.id,
            "start": {"call_control_id": key, "call_session_id": key,
                      "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}},
        }  # fmt: skip
        self.sock.sendall(text_frame(b'{"event":"connected","version":"1.0.0"}'))
        self.sock.sendall(text_frame(json.dumps(start).encode()))
        self.sock.setblocking(False)

    def send(self, payloads: list[str], now: float) -> None:
        """Send the next packet."""
        self.chunk += 1
        chunk = self.chunk
        payload = payloads[(chunk + self.offset) % len(payloads)]
        text = (
            f'{{"event":"media","sequence_number":"{chunk + 1}","media":{{"track":"inbound",'
            f'"chunk":"{chunk}","timestamp":"{20 * chunk}","payload":"{payload}"}},'
            f'"stream_id":"{self.id}"}}'
        )
        self.sent.append(now)
        data = text_frame(text.encode())
        if self.sock.send(data) != len(data):
            raise OSError("the server does not read")

    def receive(self, now: float) -> None:
        """Take in what has come back; note when each 20 ms of it was there."""
        try:
            data = self.sock.recv(1 << 16)
        except BlockingIOError:
            return
        if not data:
            raise OSError("the server closed a stream")
        data = self.rest + data
        at, end = 0, len(data)
        while end - at >= 2:
            size, head = data[at + 1], 2
            if size == 126:
                size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            if end - at < head + size or end - at < head:
                break
            message = data[at + head : at + head + size]
            at += head + size
            begin = message.find(b'"payload"')
            if begin < 0:
                continue
            begin = message.index(b'"', begin + 9) + 1
            finish = message.index(b'"', begin)
            self.back += (finish - begin) * 3 // 4 - message.count(b"=", begin, finish)
            while len(self.arrived) < self.back // BYTES:
                self.arrived.append(now)
        self.rest = data[at:]


def far_end(arrived: list[float]) -> int:
    """Count the gaps of a player that holds back 60 ms and plays on."""
    gaps, due = 0, None
    for at in arrived:
        if due is None:
            due = at + PREBUFFER
        if at > due:
            gaps += at - due < LONGEST_GAP
            due = at
        due += PACKET
    return gaps


def share(values: list[float], percent: float) -> float:
    """Get a percentile in milliseconds."""
    ordered = sorted(values)
    return round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))], 2)


def main() -> None:
    """Connect, send, measure."""
    url, count, warmup, seconds, pid = sys.argv[1], *map(float, sys.argv[2:6])
    streams_count = int(count)
    payloads = clips()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    streams: list[Stream] = []
    while len(streams) < streams_count:
        # A few at a time: a leg does not wait long for its stream.
        few = min(5, streams_count - len(streams))
        request = urllib.request.Request(f"{url}/bench/legs?count={few}", method="POST")
        for key, at in json.load(opener.open(request, timeout=60)):
            streams.append(Stream(key, at, len(streams)))
    poll = select.epoll()
    by_number = {stream.sock.fileno(): stream for stream in streams}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    lateness: list[float] = []
    step = PACKET / streams_count
    begin = time.monotonic() + 0.1
    edges = [begin + warmup, begin + warmup + seconds]
    used, clock = [], []
    own: list[float] = []
    sent_before = [0] * streams_count
    number = 0
    while True:
        now = time.monotonic()
        if len(used) < 2 and now >= edges[len(used)]:
            used.append(usage(int(pid)))
            clock.append(time.monotonic())
            own.append(time.process_time())
            if len(used) == 1:
                lateness.clear()
                sent_before = [stream.chunk for stream in streams]
            else:
                break
            now = time.monotonic()
        due = begin + number * step
        # Behind, it still has to read, and to see that the time is over.
        for _ in range(20):
            if due > now:
                break
            lateness.append(now - due)
            streams[number % streams_count].send(payloads, now)
            number += 1
            due = begin + number * step
            now = time.monotonic()
        for ready, _ in poll.poll(max(0.0, due - now)):
            by_number[ready].receive(time.monotonic())
    # What is on its way may still come.
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        for ready, _ in poll.poll(0.05):
            by_number[ready].receive(time.monotonic())
    frames = sum(s.chunk - before for s, before in zip(streams, sent_before, strict=True))
    delays, gaps, back = [], 0, 0
    for stream, first in zip(streams, sent_before, strict=True):
        here = stream.arrived[first : stream.chunk]
        delays += [at - sent for at, sent in zip(here, stream.sent[first:], strict=False)]
        gaps += far_end(here)
        back += len(here)
    cpu = used[1].cpu - used[0].cpu
    length = clock[1] - clock[0]
    json.dump(
        {
            "streams": streams_count, "frames": frames, "seconds": round(length, 2),
            "cpu_us_per_frame": round(1e6 * cpu / frames, 1),
            "cpu_share": round(100 * cpu / length, 1), "rss_mb": round(used[1].memory / 1e6, 1),
            "back_percent": round(100 * back / frames, 1), "gaps": gaps,
            "echo_p50_ms": share(delays, 50) if delays else None,
            "echo_p99_ms": share(delays, 99) if delays else None,
            "late_p50_ms": share(lateness, 50), "late_p99_ms": share(lateness, 99),
            "generator_cpu_share": round(100 * (own[1] - own[0]) / length, 1),
            "load": os.getloadavg()[0],
        },
        sys.stdout,
    )  # fmt: skip


main()
