"""A voice agent of LiveKit's with Telnyx's ears and voice: a pizzeria's order line.

    pip install "telnyx-bridge[livekit]"
    export TELNYX_API_KEY=…
    export LIVEKIT_URL=… LIVEKIT_API_KEY=… LIVEKIT_API_SECRET=…     # also for the language model
    python examples/livekit_agent.py console      # talk to it here, by microphone and loudspeaker
    python examples/livekit_agent.py dev          # let it wait for rooms

It is a LiveKit agent like any other; what is Telnyx's are the two lines that make ``STT`` and
``TTS``.  With Deepgram as the engine the end of a turn comes from the transcription; the voice
detector, loaded once per process, makes interruptions quick.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Coroutine

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    ConversationItemAddedEvent,
    JobContext,
    JobProcess,
    TurnHandlingOptions,
    cli,
    inference,
    llm,
    vad,
)
from livekit.agents.llm import ToolError, function_tool

from telnyx_media.livekit_compat import STT, TTS
from telnyx_media.synthesis import SPEECH_URL
from telnyx_media.transcripts import TRANSCRIPTION_URL

logger = logging.getLogger("order-line")

MENU = {"margherita": 9, "funghi": 11, "quattro formaggi": 12, "diavola": 12}


class OrderLine(Agent):
    """Takes orders, and knows the menu by heart."""

    def __init__(self) -> None:
        super().__init__(
            instructions=(
                "You answer the phone of Corner Pizza. Be brief and warm; you are heard, not read, "
                "so write no lists and no symbols. Take the order pizza by pizza with the tool, "
                "and say the total when the caller is done."
            )
        )
        self.order: dict[str, int] = {}

    async def on_enter(self) -> None:
        """Speak first."""
        await self.session.say("Corner Pizza, good evening. What would you like?")

    @function_tool
    async def add_pizza(self, name: str, count: int = 1) -> str:
        """Put pizzas on the order.

        Args:
            name: of the pizza, as on the menu.
            count: how many.
        """
        if name.lower() not in MENU:
            raise ToolError(f"not on the menu, which is: {', '.join(MENU)}")
        self.order[name.lower()] = self.order.get(name.lower(), 0) + count
        return f"on the order: {self._list()}"

    @function_tool
    async def total(self) -> str:
        """Add up the order and say when it will be ready."""
        price = sum(MENU[name] * count for name, count in self.order.items())
        return f"{self._list() or 'nothing'}: {price} euros, ready in twenty minutes"

    def _list(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self.order.items())


def make_session(*, detector: vad.VAD | None, model: llm.LLM[str]) -> AgentSession[None]:
    """Wire ears, mind and voice together."""
    return AgentSession(
        stt=STT(
            transcription_engine="deepgram",
            model="nova-3",
            language="en-US",
            keyterms=list(MENU),
            base_url=os.environ.get("TELNYX_STT_URL", TRANSCRIPTION_URL),
        ),
        llm=model,
        tts=TTS(
            voice=os.environ.get("BRIDGE_TTS_VOICE", "Telnyx.NaturalHD.astra"),
            base_url=os.environ.get("TELNYX_TTS_URL", SPEECH_URL),
        ),
        vad=detector,
        turn_handling=TurnHandlingOptions(turn_detection="stt"),
    )


def log_metrics(session: AgentSession[None]) -> Callable[[], Coroutine[None, None, None]]:
    """Log how long each turn took; what comes back logs what the whole call used."""

    @session.on("conversation_item_added")
    def on_item(event: ConversationItemAddedEvent) -> None:
        # Times and amounts; never what was said.
        if isinstance(event.item, llm.ChatMessage):
            logger.info("turn of the %s: %s", event.item.role, event.item.metrics)

    async def log_usage() -> None:
        for usage in session.usage.model_usage:
            logger.info("usage: %s", usage)

    return log_usage


server = AgentServer()


def prewarm(process: JobProcess) -> None:
    """Load once in a process what each call needs."""
    process.userdata["vad"] = inference.VAD()


server.setup_fnc = prewarm


@server.rtc_session()
async def answer(context: JobContext) -> None:
    """Answer one caller."""
    context.log_context_fields = {"room": context.room.name}
    session = make_session(
        detector=context.proc.userdata["vad"],
        model=inference.LLM(os.environ.get("AGENT_MODEL", "openai/gpt-4.1-mini")),
    )

    context.add_shutdown_callback(log_metrics(session))
    await session.start(agent=OrderLine(), room=context.room)


if __name__ == "__main__":
    cli.run_app(server)
