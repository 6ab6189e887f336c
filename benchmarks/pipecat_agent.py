"""Pipecat's default agent on a Telnyx number, for comparison: ``make conversation ARGS=--peer``.

Everything that decides is Pipecat's, as its Telnyx example and its defaults have it: Silero with
the parameters of ``VADAnalyzer``, the turn strategies of ``LLMContextAggregatorPair`` (a voice or a
transcript begins a turn, smart-turn v3 ends it), ``TelnyxFrameSerializer`` at 8 kHz.  Pipecat has
no services for Telnyx's speech, so two small ones connect it to the same simulator that the bridge
speaks to; the language model answers at once with what :mod:`conversation.agents` says.

``PEER_ENDPOINT_MS`` has silence of that length end a turn instead of the model.

Runs in ``.venv-peer``, see ``benchmarks/requirements-peers.txt``; asyncio, as Pipecat is.  Prints
its address once it takes calls.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import sys
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import uvicorn
from fastapi import FastAPI, Request, WebSocket
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InterimTranscriptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMRunFrame,
    LLMTextFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.websocket.fastapi import (
    FastAPIWebsocketParams,
    FastAPIWebsocketTransport,
)
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

from benchmarks.agents import BLOCKED, CRUNCHER, EVERY, SLEEPER, block
from conversation.agents import ANSWER, GREETING, TALK, TALKER

RATE = 8000
KEY = os.environ["TELNYX_API_KEY"]
ENDPOINT = os.environ.get("PEER_ENDPOINT_MS")
HEADERS = {"Authorization": f"Bearer {KEY}"}


class TelnyxSTT(STTService):
    """Telnyx's transcription socket."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        super().__init__(sample_rate=RATE)
        self._session = session
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None
        self._buffer = bytearray()

    async def start(self, frame: StartFrame) -> None:
        """Connect."""
        await super().start(frame)
        query = urlencode(
            {
                "transcription_engine": "Deepgram", "model": "nova-3", "language": "en-US",
                "input_format": "linear16", "sample_rate": RATE, "interim_results": "true",
            }
        )  # fmt: skip
        url = f"{os.environ['TELNYX_STT_URL']}?{query}"
        self._socket = await self._session.ws_connect(url, headers=HEADERS)
        self._reader = asyncio.create_task(self._read(self._socket))

    async def cleanup(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            self._reader.cancel()
        await super().cleanup()

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Send audio on; what is said comes when it comes."""
        # 100 ms to a message, as the bridge sends it.
        self._buffer += audio
        if len(self._buffer) >= RATE // 5 and self._socket is not None:
            await self._socket.send_bytes(bytes(self._buffer))
            self._buffer.clear()
        yield None

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            heard = json.loads(message.data)
            text = heard.get("transcript", "")
            if text:
                kind = TranscriptionFrame if heard["is_final"] else InterimTranscriptionFrame
                frame = kind(text, "caller", time_now_iso8601())
                if isinstance(frame, TranscriptionFrame):
                    # Otherwise Pipecat waits for a second, in case more of it comes.
                    frame.finalized = True
                await self.push_frame(frame)


class TelnyxTTS(TTSService):
    """Telnyx's synthesis socket, one for each sentence."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        super().__init__(sample_rate=RATE, push_start_frame=True, push_stop_frames=True)
        self._session = session

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Speak a sentence."""
        query = urlencode(
            {
                "voice": "Telnyx.NaturalHD.astra", "audio_format": "linear16",
                "sample_rate": RATE,
            }
        )  # fmt: skip
        url = f"{os.environ['TELNYX_TTS_URL']}?{query}"
        async with self._session.ws_connect(url, headers=HEADERS) as socket:
            for piece in (" ", text, ""):
                await socket.send_json({"text": piece})
            async for message in socket:
                audio = json.loads(message.data).get("audio")
                if audio:
                    pcm = base64.b64decode(audio)
                    yield TTSAudioRawFrame(pcm, RATE, 1, context_id=context_id)


class Canned(FrameProcessor):
    """A language model that knows one answer, and has it at once."""

    def __init__(self, first: str, then: str) -> None:
        super().__init__()
        self._answer, self._later = first, then

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer a context; pass on the rest."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        text, self._answer = self._answer, self._later
        await self.push_frame(LLMFullResponseStartFrame())
        await self.push_frame(LLMTextFrame(text))
        await self.push_frame(LLMFullResponseEndFrame())


app = FastAPI()
callers: dict[str, str] = {}


@app.post("/webhook")
async def webhook(request: Request) -> dict[str, bool]:
    """Answer calls."""
    data = (await request.json())["data"]
    if data["event_type"] == "call.initiated":
        payload = data["payload"]
        callers[payload["call_control_id"]] = payload["from"]
        asyncio.create_task(answer(payload["call_control_id"], str(request.base_url)))  # noqa: RUF006
    return {"ok": True}


async def answer(call_control_id: str, base_url: str) -> None:
    """Have the call's media come here."""
    url = f"{os.environ['TELNYX_API_URL']}/calls/{quote(call_control_id, safe='')}/actions/answer"
    body = {
        "stream_url": base_url.replace("http", "ws", 1) + "media",
        "stream_track": "inbound_track",
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": "PCMU",
        "stream_bidirectional_target_legs": "self",
    }
    async with (
        aiohttp.ClientSession(headers=HEADERS) as session,
        session.post(url, json=body) as response,
    ):
        response.raise_for_status()


@app.websocket("/media")
async def media(websocket: WebSocket) -> None:
    """Hold one call."""
    await websocket.accept()
    start: dict[str, object] = {}
    while start.get("event") != "start":
        start = json.loads(await websocket.receive_text())
    facts = start["start"]
    assert isinstance(facts, dict)
    caller = callers.get(facts["call_control_id"], "")
    talker = caller == TALKER
    transport = FastAPIWebsocketTransport(
        websocket,
        FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            serializer=TelnyxFrameSerializer(
                str(start["stream_id"]), "PCMU", "PCMU",
                params=TelnyxFrameSerializer.InputParams(auto_hang_up=False),
            ),
        ),
    )  # fmt: skip
    async with aiohttp.ClientSession() as session:
        context = LLMContext()
        user, assistant = LLMContextAggregatorPair(
            context, user_params=LLMUserAggregatorParams(**turn_taking())
        )
        pipeline = Pipeline(
            [
                transport.input(),
                TelnyxSTT(session),
                user,
                Canned(TALK, TALK) if talker else Canned(GREETING, ANSWER),
                TelnyxTTS(session),
                transport.output(),
                assistant,
            ]
        )
        worker = PipelineWorker(
            pipeline,
            params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
            idle_timeout_secs=None,
        )

        @transport.event_handler("on_client_connected")
        async def connected(*_: object) -> None:
            context.add_message({"role": "user", "content": "Begin."})
            await worker.queue_frame(LLMRunFrame())

        @transport.event_handler("on_client_disconnected")
        async def disconnected(*_: object) -> None:
            await worker.queue_frame(EndFrame())

        bad = asyncio.create_task(disturb(caller)) if caller in (SLEEPER, CRUNCHER) else None
        runner = WorkerRunner(handle_sigint=False)
        await runner.run(worker)
        if bad is not None:
            bad.cancel()


def turn_taking() -> dict[str, Any]:
    """Get what decides whose turn it is: the defaults, or a silence that is long enough."""
    chosen: dict[str, Any] = {"vad_analyzer": SileroVADAnalyzer()}
    if ENDPOINT is not None:
        stop = SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=int(ENDPOINT) / 1000)
        chosen["user_turn_strategies"] = UserTurnStrategies(stop=[stop])
    return chosen


async def disturb(caller: str) -> None:
    """Be a bad neighbour: now and then, do what blocks."""
    while True:
        await asyncio.sleep(EVERY - BLOCKED)
        block(caller)


def main() -> None:
    """Serve on a free port."""
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


if __name__ == "__main__":
    main()
