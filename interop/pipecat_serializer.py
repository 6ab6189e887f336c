"""Pipecat's Telnyx serializer reads a caller from the media socket and speaks the words back.

Run by check.py in the environment of the clients. Its standard output is one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web
from pipecat.frames.frames import (
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
)
from pipecat.serializers.telnyx import TelnyxFrameSerializer

PORT = int(os.environ["WEBHOOK_PORT"])
RATE = 16000
PATIENCE = 40.0
# Bytes of 40 ms, which is how Pipecat sends.
PIECE = 2 * RATE * 40 // 1000

result: dict[str, Any] = {"keys": ""}
over = asyncio.Event()


async def webhook(request: web.Request) -> web.Response:
    """Answer an incoming call with a media stream to ourselves."""
    event = (await request.json())["data"]
    if event["event_type"] == "call.initiated":
        leg = event["payload"]["call_control_id"]
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{os.environ['TELNYX_API_URL']}/calls/{leg}/actions/answer",
                headers={"Authorization": f"Bearer {os.environ['TELNYX_API_KEY']}"},
                json={
                    "stream_url": f"ws://127.0.0.1:{PORT}/media",
                    "stream_track": "inbound_track",
                    "stream_bidirectional_mode": "rtp",
                    "stream_bidirectional_codec": "PCMU",
                    "stream_bidirectional_target_legs": "self",
                },
            ) as answer,
        ):
            result["answer"] = answer.status
    return web.Response()


async def media(request: web.Request) -> web.WebSocketResponse:
    """Read the caller until a key is pressed, then say it back and interrupt ourselves once."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    result["connected"] = json.loads(await socket.receive_str())["event"]
    start = json.loads(await socket.receive_str())
    encoding = start["start"]["media_format"]["encoding"]
    serializer = TelnyxFrameSerializer(
        stream_id=start["stream_id"],
        outbound_encoding=encoding,
        inbound_encoding="PCMU",
        params=TelnyxFrameSerializer.InputParams(auto_hang_up=False),
    )
    await serializer.setup(SimpleNamespace(audio_in_sample_rate=RATE))
    result["encoding"] = encoding
    pcm = b""
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.TEXT:
            break
        frame = await serializer.deserialize(message.data)
        if isinstance(frame, InputAudioRawFrame):
            pcm += frame.audio
            result["seconds"] = len(pcm) / 2 / RATE
        elif isinstance(frame, InputDTMFFrame):
            result["keys"] += frame.button.value
            if frame.button.value == "1":
                await say(socket, serializer, pcm)
            else:
                # Half of it, then an interruption: what is queued must not be heard.
                await say(socket, serializer, pcm)
                await asyncio.sleep(0.5)
                await socket.send_str(await serializer.serialize(InterruptionFrame()))
    over.set()
    return socket


async def say(socket: web.WebSocketResponse, serializer: TelnyxFrameSerializer, pcm: bytes) -> None:
    """Send audio all at once; Telnyx queues it."""
    for at in range(0, len(pcm) - len(pcm) % PIECE, PIECE):
        text = await serializer.serialize(OutputAudioRawFrame(pcm[at : at + PIECE], RATE, 1))
        if text:
            await socket.send_str(text)


async def main() -> None:
    """Serve one call."""
    app = web.Application()
    app.add_routes([web.post("/webhook", webhook), web.get("/media", media)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    print("ready", flush=True)
    await asyncio.wait_for(over.wait(), PATIENCE)
    await asyncio.sleep(0.2)
    await runner.cleanup()
    print(json.dumps(result))


asyncio.run(main())
