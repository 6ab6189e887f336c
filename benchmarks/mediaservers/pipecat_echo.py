"""Pipecat's Telnyx serializer over FastAPI on uvicorn: its pipeline at 8 kHz, sending back."""

import json
import sys

from fastapi import FastAPI, Request, WebSocket
from loguru import logger
from pipecat.frames.frames import InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport

logger.remove()
logger.add(sys.stderr, level="ERROR")
app = FastAPI()


class Echo(FrameProcessor):
    """Send back what was heard."""

    async def process_frame(self, frame, direction):
        """Turn audio around."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels)
        await self.push_frame(frame, direction)


@app.get("/bench/legs")
async def legs(request: Request, count: int):
    """Say where the streams are."""
    base = str(request.base_url).replace("http", "ws", 1)
    return [[f"leg-{i}", f"{base}media"] for i in range(count)]


@app.websocket("/media")
async def media(ws: WebSocket):
    """Send back what comes."""
    await ws.accept()
    start = {}
    while start.get("event") != "start":
        start = json.loads(await ws.receive_text())
    serializer = TelnyxFrameSerializer(
        stream_id=start["stream_id"],
        outbound_encoding="PCMU",
        inbound_encoding="PCMU",
        params=TelnyxFrameSerializer.InputParams(auto_hang_up=False),
    )
    transport = FastAPIWebsocketTransport(
        websocket=ws,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            add_wav_header=False,
            serializer=serializer,
        ),
    )
    task = PipelineTask(
        Pipeline([transport.input(), Echo(), transport.output()]),
        params=PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000),
        # On by default, and nothing that an echo needs.
        enable_rtvi=False,
        enable_turn_tracking=False,
    )
    await PipelineRunner(handle_sigint=False).run(task)
