"""A speech service for benchmarks/livekit.py, in a process of its own.

It does what Telnyx's does where that matters to a client: interim transcripts only where they were
asked for, a final for each utterance, an MP3 file with a tag at its head for each sentence,
synthesis when a sentence is flushed or all text has come, and a close at the end.  A path's first
part chooses a fault.

``GET /counts`` gives what was seen; everything else is a WebSocket.
"""

from __future__ import annotations

import array
import asyncio
import base64
import io
import json
import math
import re
import sys
import urllib.parse
from collections import Counter
from fractions import Fraction
from typing import Any

import av
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

RATE = 16000
STT, TTS = "/v2/speech-to-text/transcription", "/v2/text-to-speech/speech"

# Words of the recording that STT is sent: one for each block, told apart by their height.
BLOCK_SECONDS = 0.1
BASE, STEP = 8000, 16

# After how much audio the first interim comes, and how long an utterance is, in seconds.
FIRST_INTERIM, UTTERANCE = 0.3, 2.0

# How long the voice takes to begin with a sentence, in seconds.
VOICE_LATENCY = 0.1

# How fast it speaks, in letters per second.
PACE = 15.0

# A service that is told of no end finds it by itself.
IDLE = 3.0


class Counts:
    """What the service has seen since it was last asked."""

    def __init__(self) -> None:
        self.connections = 0
        self.blocks: Counter[int] = Counter()
        self.refused = 0

    def take(self) -> dict[str, int]:
        """Get the counts and begin anew."""
        found = {
            "connections": self.connections,
            "refused": self.refused,
            "blocks": len(self.blocks),
        }
        self.__init__()  # type: ignore[misc]
        return found


counts = Counts()
answered_once: set[str] = set()


def fault_of(path: str) -> tuple[str, str]:
    """Split ``/fault/v2/…`` into the fault and the rest."""
    first, _, rest = path.removeprefix("/").partition("/")
    return ("", path) if first == "v2" else (first, "/" + rest)


def check(connection: ServerConnection, request: Request) -> Response | None:
    """Answer what is no WebSocket, and refuse what is to be refused."""
    fault, path = fault_of(urllib.parse.urlsplit(request.path).path)
    if path == "/counts" or fault == "counts":
        body = json.dumps(counts.take()).encode()
        return Response(200, "OK", Headers({"Content-Length": str(len(body))}), body)
    if fault.startswith("busy") and fault not in answered_once:
        counts.refused += 1
        counts.connections += 1
        if fault != "busy":
            answered_once.add(fault)
        return Response(503, "Busy", Headers({"Content-Length": "0"}), b"")
    return None


async def transcribe(socket: ServerConnection, fault: str, query: dict[str, str]) -> None:
    """Count the audio's blocks and say something now and then."""
    interims = query.get("interim_results") == "true"
    number = counts.connections
    pcm = b""
    heard = 0.0
    utterance = 0.0
    told = False
    while True:
        try:
            message = await asyncio.wait_for(socket.recv(), IDLE)
        except TimeoutError:
            break
        if isinstance(message, str):
            if "CloseStream" in message:
                break
            continue
        if message[:4] == b"RIFF":
            message = message[44:]
        length = len(message) / 2 / RATE
        heard += length
        utterance += length
        if fault.startswith("reset") and fault not in answered_once:
            # The first connection of this path swallows two seconds of audio, and is reset.
            if heard >= 2.0:
                answered_once.add(fault)
                socket.transport.abort()
                return
            continue
        pcm += message
        edge = len(pcm) - len(pcm) % int(2 * RATE * BLOCK_SECONDS)
        read(pcm[:edge])
        pcm = pcm[edge:]
        if interims and not told and utterance >= FIRST_INTERIM:
            told = True
            await socket.send(reply("one two", final=False))
        if utterance >= UTTERANCE:
            utterance, told = 0.0, False
            await socket.send(reply(f"one two three {number}", final=True))
    if fault.startswith("broken"):
        await socket.close(1011)
        return
    await socket.send(reply("the end", final=True))


def reply(text: str, *, final: bool) -> str:
    """Make a transcript."""
    return json.dumps(
        {"transcript": text, "is_final": final, "speech_final": final, "confidence": 0.9}
    )


def read(pcm: bytes) -> None:
    """Note the blocks in some audio."""
    samples = array.array("h", pcm)
    size = int(RATE * BLOCK_SECONDS)
    for at in range(0, len(samples), size):
        height = max(samples[at + size // 4 : at + 3 * size // 4])
        if height >= BASE:
            counts.blocks[round((height - BASE) / STEP)] += 1


async def synthesise(socket: ServerConnection) -> None:
    """Speak sentence by sentence, as soon as each is complete."""
    waiting = ""
    async for message in socket:
        frame = json.loads(message)
        text = frame.get("text", "")
        waiting += text
        if text and not frame.get("flush"):
            # Buffered until the end, as reported of the live service.
            continue
        for sentence in re.findall(r"[^.!?]+[.!?]?", waiting.strip()):
            await asyncio.sleep(VOICE_LATENCY)
            audio = speak(sentence)
            for at in range(0, len(audio), 4096):
                piece = base64.b64encode(audio[at : at + 4096]).decode()
                await socket.send(json.dumps({"audio": piece, "text": None, "isFinal": False}))
            await socket.send(json.dumps({"audio": None, "text": sentence, "isFinal": False}))
        waiting = ""
        if not text:
            break
    await socket.send(json.dumps({"audio": None, "text": "", "isFinal": True}))


spoken: dict[int, bytes] = {}


def speak(sentence: str) -> bytes:
    """Make an MP3 file as long as ``sentence`` is when spoken."""
    letters = sum(character.isalnum() for character in sentence)
    if letters not in spoken:
        spoken[letters] = encode(letters / PACE)
    return spoken[letters]


def encode(seconds: float) -> bytes:
    """Make an MP3 file of a tone."""
    rate = 24000
    samples = array.array(
        "h",
        (int(9000 * math.sin(i * 0.09) * math.sin(i * 0.0007)) for i in range(int(rate * seconds))),
    )
    file = io.BytesIO()
    with av.open(file, "w", format="mp3", options={"id3v2_version": "4"}) as out:
        stream: Any = out.add_stream("libmp3lame", rate=rate)
        stream.bit_rate = 64000
        stream.codec_context.layout = "mono"
        stream.codec_context.format = "s16p"
        frame = av.AudioFrame(format="s16p", layout="mono", samples=len(samples))
        frame.sample_rate = rate
        frame.time_base = Fraction(1, rate)
        frame.planes[0].update(samples.tobytes())
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return file.getvalue()


async def handle(socket: ServerConnection) -> None:
    """Serve one connection."""
    assert socket.request is not None
    parts = urllib.parse.urlsplit(socket.request.path)
    fault, path = fault_of(parts.path)
    counts.connections += 1
    try:
        if fault == "closing":
            await socket.close(1011)
        elif path == STT:
            await transcribe(socket, fault, dict(urllib.parse.parse_qsl(parts.query)))
        elif path == TTS:
            await synthesise(socket)
    except ConnectionClosed:
        pass


async def main() -> None:
    """Serve until the standard input is closed; print the port first."""
    async with serve(
        handle, "127.0.0.1", 0, process_request=check, compression=None, max_size=None
    ) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
