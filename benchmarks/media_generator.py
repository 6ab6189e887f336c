"""Telnyx's side of many media streams, in a process of its own.

Run by ``media.py`` as ``-m benchmarks.media_generator URL STREAMS WARMUP SECONDS SERVER_PID``;
writes one JSON object.  This part opens the streams, reads what the server has used, and makes
figures of what its other part has seen: ``media_generator.c``, compiled on the spot, which sends
and receives, because a generator in Python needs more of a core than the servers that it measures.

Half of each stream is a voice, half silence.
"""

from __future__ import annotations

import base64
import json
import math
import os
import resource
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from bridge.loadtest.usage import Usage, usage
from bridge.loadtest.voice import voice
from telnyx_media.codecs import make_codec

HERE = Path(__file__).resolve().parent

PACKET = 0.02
BYTES = 160
# What the far end holds back before it begins to play.
PREBUFFER = 0.06
# A pause that is longer is an end, not a gap.
LONGEST_GAP = 0.4
# A packet's number in its audio has 16 bits.
MOST_PACKETS = 1 << 16

MESSAGE = np.dtype([("at", "f8"), ("bytes", "i8"), ("first", "i8")])
Floats = np.ndarray[Any, np.dtype[np.float64]]


def compiled(source: Path, folder: str) -> str:
    """Compile a C program; get its path."""
    program = Path(folder) / source.stem
    subprocess.run(["cc", "-O2", "-o", program, source], check=True)
    return str(program)


def clips() -> list[str]:
    """Make the payloads of two seconds: 1.2 of a voice, then silence."""
    data = make_codec("PCMU").encode(voice(1.2) + bytes(2 * 8000 * 12 // 10))
    return [base64.b64encode(data[i : i + BYTES]).decode() for i in range(0, len(data), BYTES)]


def text_frame(text: bytes) -> bytes:
    """Make a client's WebSocket frame; a key of zeros masks nothing."""
    size = len(text)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + bytes(4) + text


def open_stream(key: str, url: str, number: int) -> socket.socket:
    """Open a stream and begin it.

    Raises:
        OSError: the server refused it.
    """
    parts = urlsplit(url)
    sock = socket.create_connection((str(parts.hostname), int(parts.port or 80)), 20)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(
        f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        # One by one: what comes behind the head is the other part's to read.
        piece = sock.recv(1)
        if not piece:
            raise OSError(f"the server refused a stream: {head[:100]!r}")
        head += piece
    if b" 101 " not in head.split(b"\r\n")[0]:
        raise OSError(f"the server refused a stream: {head.splitlines()[0]!r}")
    media_format = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
    start = {
        "event": "start", "sequence_number": "1", "stream_id": f"stream-{number:08d}",
        "start": {"call_control_id": key, "call_session_id": key, "media_format": media_format},
    }  # fmt: skip
    sock.sendall(text_frame(b'{"event":"connected","version":"1.0.0"}'))
    sock.sendall(text_frame(json.dumps(start).encode()))
    return sock


def open_streams(url: str, count: int) -> list[socket.socket]:
    """Open so many streams at a server."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    streams: list[socket.socket] = []
    while len(streams) < count:
        # A few at a time: a leg does not wait long for its stream.
        few = min(5, count - len(streams))
        for key, at in json.load(opener.open(f"{url}/bench/legs?count={few}", timeout=60)):
            streams.append(open_stream(key, at, len(streams)))
    return streams


def far_end(messages: Any) -> int:
    """Count the gaps of a player that holds back 60 ms and plays on."""
    gaps, due = 0, None
    for at, size, _ in messages.tolist():
        if due is None:
            due = at + PREBUFFER
        if at > due:
            gaps += at - due < LONGEST_GAP
            due = at
        due += size / BYTES * PACKET
    return gaps


class Streams:
    """What became of the packets that were sent in a time.

    Attributes:
        sent: their number.
        back: how many of them came back.
        delays: seconds from sending to having back, of each of those.
        late: seconds by which a message came later than at the steady pace of its stream, which
            the promptest message sets; what was sent late is late only by what the server added.
        gaps: in what a player at the far end played.
        behind: seconds by which the generator itself was late with each packet.
    """

    def __init__(self, begin: float, edges: tuple[float, float], count: int) -> None:
        self.sent = self.back = self.gaps = 0
        self.delays: list[Floats] = []
        self.late: list[Floats] = []
        self.behind: list[Floats] = []
        self._begin, self._edges, self._count = begin, edges, count

    def add(self, number: int, sent: Floats, messages: Any) -> None:
        """Take one stream in: when its packets were sent, and the messages that came back."""
        due = self._begin + (np.arange(len(sent)) * self._count + number) * (PACKET / self._count)
        counted = (due >= self._edges[0]) & (due < self._edges[1])
        self.sent += int(counted.sum())
        self.behind.append(np.maximum(0.0, sent - due)[counted])
        arrived = np.full(len(sent), np.nan)
        lasts = messages["first"] + messages["bytes"] // BYTES - 1
        for (at, _, first), last in zip(messages.tolist(), lasts.tolist(), strict=True):
            if first >= 0:
                arrived[first : last + 1] = at
        delays = (arrived - sent)[counted]
        self.back += int((~np.isnan(delays)).sum())
        self.delays.append(delays[~np.isnan(delays)])
        known = messages["first"] >= 0
        firsts = np.minimum(messages["first"][known], len(sent) - 1)
        pace = (messages["at"][known] - sent[firsts])[counted[firsts]]
        if len(pace):
            self.late.append(pace - pace.min())
        within = (messages["at"] >= self._edges[0]) & (messages["at"] < self._edges[1])
        self.gaps += far_end(messages[within])


def share(values: list[Floats], percent: float) -> float | None:
    """Get a percentile in milliseconds."""
    joined = np.concatenate(values) if values else np.empty(0)
    return round(1000 * float(np.percentile(joined, percent)), 2) if len(joined) else None


def busy(pid: int) -> float | None:
    """Get the seconds for which the one core of a process was used by anybody, since it booted."""
    cores = os.sched_getaffinity(pid)
    if len(cores) != 1:
        return None
    lines = Path("/proc/stat").read_text().splitlines()
    spent = next(line.split()[1:] for line in lines if line.startswith(f"cpu{min(cores)} "))
    # Without what it was idle, or waited for a disk.
    ticks = sum(map(int, (*spent[:3], *spent[5:8])))
    return ticks / os.sysconf("SC_CLK_TCK")


def run(url: str, count: int, warmup: float, seconds: float, pid: int) -> dict[str, float | None]:
    """Send and receive; get the figures."""
    packets = min(MOST_PACKETS, math.ceil((warmup + seconds) / PACKET / 10) * 10)
    with TemporaryDirectory() as folder:
        program = compiled(HERE / "media_generator.c", folder)
        payloads = Path(folder) / "payloads"
        payloads.write_text("\n".join(clips()) + "\n")
        streams = open_streams(url, count)
        begin = time.monotonic() + 0.2
        edges = (begin + warmup, begin + warmup + seconds)
        numbers = [stream.fileno() for stream in streams]
        process = subprocess.Popen(
            [program, repr(begin), str(packets), str(payloads), *map(str, numbers)],
            pass_fds=numbers, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        used: list[tuple[float, Usage | None, float | None]] = []
        for edge in edges:
            time.sleep(max(0.0, edge - time.monotonic()))
            used.append((time.monotonic(), usage(pid), busy(pid)))
        out, err = process.communicate()
    if process.returncode:
        raise OSError(err.decode().strip())
    seen, at = Streams(begin, edges, count), 0
    for number in range(count):
        sent = np.frombuffer(out, "f8", packets, at)
        at += 8 * packets
        some = int(np.frombuffer(out, "i8", 1, at)[0])
        seen.add(number, sent, np.frombuffer(out, MESSAGE, some, at + 8))
        at += 8 + some * MESSAGE.itemsize
    return figures(seen, used)


def figures(
    seen: Streams, used: list[tuple[float, Usage | None, float | None]]
) -> dict[str, float | None]:
    """Put into numbers what was seen, and what the server has used meanwhile."""
    (first, before, busy_before), (last, after, busy_after) = used
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert before is not None
    assert after is not None
    cpu = after.cpu - before.cpu
    others = None
    if busy_before is not None and busy_after is not None:
        others = round(max(0.0, 100 * (busy_after - busy_before - cpu) / (last - first)), 1)
    return {
        "frames": seen.sent,
        "seconds": round(last - first, 2),
        "cpu_us_per_frame": round(1e6 * cpu / seen.sent, 1),
        "cpu_share": round(100 * cpu / (last - first), 1),
        "others_share": others,
        "rss_mb": round(after.memory / 1e6, 1),
        "back_percent": round(100 * seen.back / seen.sent, 2),
        "gaps": seen.gaps,
        "echo_p50_ms": share(seen.delays, 50),
        "echo_p99_ms": share(seen.delays, 99),
        "late_p99_ms": share(seen.late, 99),
        "generator_late_p99_ms": share(seen.behind, 99),
        "generator_late_max_ms": share(seen.behind, 100),
        "generator_cpu_s": round(own.ru_utime + own.ru_stime, 2),
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """Measure one server, once."""
    url, count, warmup, seconds, pid = sys.argv[1:6]
    wanted = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    try:
        measured = run(url, int(count), float(warmup), float(seconds), int(pid))
    except OSError as error:
        sys.exit(str(error))
    json.dump(measured, sys.stdout)


if __name__ == "__main__":
    main()
