"""A LiveKit session without a room: audio in and out, and a model that answers from a list."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import livekit.rtc as rtc
from livekit.agents import Agent, AgentSession, llm, utils
from livekit.agents.types import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    NotGivenOr,
)
from livekit.agents.voice.io import AudioInput, AudioOutput, AudioOutputCapabilities

from tests.compat.helpers import frames


class Microphone(AudioInput):
    """Audio that a test pushes."""

    def __init__(self) -> None:
        super().__init__(label="microphone")
        self._frames: utils.aio.Chan[rtc.AudioFrame] = utils.aio.Chan()

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._frames.__anext__()

    def hear(self, pcm: bytes) -> None:
        """Push ``pcm`` at once."""
        for frame in frames(pcm):
            self._frames.send_nowait(frame)


class Loudspeaker(AudioOutput):
    """Plays in real time, and notes what was played and what was cut off."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=AudioOutputCapabilities(pause=False))
        self.pcm = bytearray()
        self.cut_off = 0
        self._seconds = 0.0
        self._began: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Take a frame."""
        await super().capture_frame(frame)
        self.pcm += bytes(frame.data)
        self._seconds += frame.duration
        if self._began is None:
            self._began = time.time()
            self.on_playback_started(created_at=self._began)

    def flush(self) -> None:
        """Play to the end what was taken."""
        super().flush()
        if self._began is not None:
            left = self._seconds - (time.time() - self._began)
            self._timer = asyncio.get_running_loop().call_later(max(0.0, left), self._end)

    def clear_buffer(self) -> None:
        """Cut off what has not been played."""
        if self._began is not None:
            self.cut_off += 1
            self._end(interrupted=True)

    def _end(self, interrupted: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
        played = self._seconds
        if interrupted and self._began is not None:
            played = min(played, time.time() - self._began)
        self._seconds, self._began, self._timer = 0.0, None, None
        self.on_playback_finished(playback_position=played, interrupted=interrupted)


class Model(llm.LLM[str]):
    """Answers each turn with the next text, token by token."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.answers = list(answers)
        self.heard: list[str] = []

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[Any] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> llm.LLMStream:
        """Begin an answer."""
        said = [item.text_content for item in chat_ctx.items if item.type == "message"]
        self.heard.append(said[-1] or "")
        answer = self.answers.pop(0) if self.answers else ""
        return _Answer(
            self, answer, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options
        )


class _Answer(llm.LLMStream):
    def __init__(self, model: Model, text: str, **options: Any) -> None:
        super().__init__(model, **options)
        self._text = text

    async def _run(self) -> None:
        for token in self._text.split(" "):
            delta = llm.ChoiceDelta(role="assistant", content=token + " ")
            self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))
            await asyncio.sleep(0)


class Conversation:
    """A session with its ends, and what it told."""

    def __init__(self, model: Model | None = None, **options: Any) -> None:
        """Make it; ``options`` are the session's."""
        self.model = model or Model()
        self.microphone = Microphone()
        self.loudspeaker = Loudspeaker()
        self.finals: list[str] = []
        self.errors: list[Any] = []
        self.closed: list[Any] = []
        self.session: AgentSession[None] = AgentSession(
            llm=self.model,
            vad=None,
            # There is no echo to get used to.
            aec_warmup_duration=None,
            turn_handling={"turn_detection": "stt", "endpointing": {"min_delay": 0.0}},
            **options,
        )
        self.session.on("user_input_transcribed", self._note)
        self.session.on("error", self.errors.append)
        self.session.on("close", self.closed.append)

    def _note(self, event: Any) -> None:
        if event.is_final:
            self.finals.append(event.transcript)

    async def __aenter__(self) -> Conversation:
        self.session.input.audio = self.microphone
        self.session.output.audio = self.loudspeaker
        await self.session.start(Agent(instructions="Answer."))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.aclose()
