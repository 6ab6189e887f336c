"""The example agent talks, listens, uses its tools and counts what it costs."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from livekit.agents import llm
from livekit.agents.llm import ToolError

from examples import livekit_agent
from tests.compat.helpers import run, until
from tests.compat.session import Loudspeaker, Microphone, Model
from tests.loopback.servers import KEY, Conversation
from tests.loopback.stt import SttPeer
from tests.loopback.tts import TtsPeer, mp3_file, synthesise

pytestmark = pytest.mark.livekit

ROOT = Path(__file__).parents[2]
ORDER = {"transcript": "two funghi please", "is_final": True, "speech_final": True}


def hear_an_order(conversation: Conversation) -> None:
    """Understand the order after a second of audio, whatever is in it."""
    while len(conversation.audio) < 2 * 16000:
        conversation.receive()
    conversation.send(ORDER)
    conversation.hang()


class Cashier(Model):
    """Puts what it hears on the order, then says so."""

    def chat(self, **options: Any) -> llm.LLMStream:
        """Call the tool first, speak then."""
        stream = super().chat(**options)
        if len(self.heard) == 1:
            call = llm.FunctionToolCall(
                name="add_pizza", arguments='{"name": "Funghi", "count": 2}', call_id="call"
            )
            stream._event_ch.send_nowait(
                llm.ChatChunk(id="c", delta=llm.ChoiceDelta(role="assistant", tool_calls=[call]))
            )
        return stream


def test_the_example_takes_an_order(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It greets, hears the order through Telnyx, calls its tool, answers, and logs its metrics."""
    caplog.set_level(logging.INFO, "order-line")

    async def main() -> None:
        with SttPeer(hear_an_order) as ears, TtsPeer(synthesise(encode=mp3_file)) as voice:
            monkeypatch.setenv("TELNYX_API_KEY", KEY)
            monkeypatch.setenv("TELNYX_STT_URL", ears.url)
            monkeypatch.setenv("TELNYX_TTS_URL", voice.url)
            session = livekit_agent.make_session(detector=None, model=Cashier("", "w1 w2 w3."))
            microphone, loudspeaker = Microphone(), Loudspeaker()
            session.input.audio, session.output.audio = microphone, loudspeaker
            log_usage = livekit_agent.log_metrics(session)
            agent = livekit_agent.OrderLine()
            await session.start(agent)
            try:
                await until(lambda: loudspeaker.pcm, "the greeting")
                microphone.hear(bytes(2 * 8000 * 2))
                await until(lambda: agent.order == {"funghi": 2}, "the order")
                await until(lambda: len(voice.conversations) >= 2, "the answer")
                await until(lambda: "turn of the assistant: {" in caplog.text, "its metrics")
                await log_usage()
                assert "usage: type='stt_usage'" in caplog.text
                assert "usage: type='tts_usage'" in caplog.text
                assert "funghi" not in caplog.text
            finally:
                await session.aclose()

    run(main)


def test_the_tools_keep_the_order() -> None:
    """What is not on the menu is refused; the total adds up."""

    async def main() -> None:
        # Types see an unbound method in a tool of a class.
        agent: Any = livekit_agent.OrderLine()
        await agent.add_pizza("Diavola", 2)
        await agent.add_pizza("margherita")
        with pytest.raises(ToolError, match="margherita"):
            await agent.add_pizza("hawaii")
        assert "33 euros" in await agent.total()

    run(main)


@pytest.mark.slow
def test_the_example_is_a_command() -> None:
    """``python examples/livekit_agent.py`` has LiveKit's commands, console among them."""
    done = subprocess.run(
        [sys.executable, "examples/livekit_agent.py", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
    )
    assert "console" in done.stdout
