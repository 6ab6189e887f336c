"""The plugin inside a real AgentSession, with the turn ended by the transcription."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from livekit.agents import APIConnectOptions
from livekit.agents.voice.agent_session import SessionConnectOptions

from tests.compat.helpers import make_stt, make_tts, run, until
from tests.compat.session import Conversation, Model
from tests.loopback import PATIENCE
from tests.loopback import servers as peers
from tests.loopback.servers import status
from tests.loopback.stt import SttPeer, recognise, silence, utterance
from tests.loopback.tts import TtsPeer, synthesise, words_in

pytestmark = pytest.mark.livekit

FAST = SessionConnectOptions(
    stt_conn_options=APIConnectOptions(max_retry=3, retry_interval=0.1, timeout=PATIENCE),
    tts_conn_options=APIConnectOptions(max_retry=3, retry_interval=0.1, timeout=PATIENCE),
)

QUESTION = silence(0.3) + utterance(0, 3)


def test_a_turn_is_heard_and_answered() -> None:
    """The words reach the model, its answer is spoken, and usage is booked."""

    async def main() -> None:
        with SttPeer(recognise()) as ears, TtsPeer(synthesise()) as voice:
            stt, tts = make_stt(ears), make_tts(voice)
            async with Conversation(Model("w1 w2 w3."), stt=stt, tts=tts) as talk:
                talk.microphone.hear(QUESTION)
                await until(lambda: talk.finals, "the transcript")
                await until(
                    lambda: words_in(bytes(talk.loudspeaker.pcm)) == ["w1", "w2", "w3"],
                    "the answer",
                )
                assert talk.model.heard == ["w0 w1 w2"]
                await until(
                    lambda: any(
                        getattr(usage, "audio_duration", 0) > 0.5
                        for usage in talk.session.usage.model_usage
                        if type(usage).__name__.startswith("STT")
                    ),
                    "usage",
                )
                assert talk.errors == []

    run(main)


def test_a_barge_in_cuts_the_answer_off() -> None:
    """The socket of the reply is closed, and the next turn is answered."""

    async def main() -> None:
        with SttPeer(recognise()) as ears, TtsPeer(synthesise()) as voice:
            model = Model(" ".join(f"w{i}" for i in range(100, 200)) + ".", "w7 w8.")
            options: dict[str, Any] = {"stt": make_stt(ears), "tts": make_tts(voice)}
            async with Conversation(model, **options) as talk:
                talk.microphone.hear(QUESTION)
                await until(lambda: talk.loudspeaker.pcm, "the answer")
                talk.microphone.hear(utterance(3, 3))
                await until(lambda: talk.loudspeaker.cut_off, "the interruption")
                await until(lambda: "w8" in words_in(bytes(talk.loudspeaker.pcm)), "the answer")
                assert talk.finals == ["w0 w1 w2", "w3 w4 w5"]
                assert talk.errors == []

    run(main)


def test_r22_one_503_at_the_handshake_makes_nobody_deaf_or_mute() -> None:
    """Both sides try again, and the session goes on."""
    once = frozenset({0})

    async def main() -> None:
        with (
            SttPeer(recognise(), answer=status(503, only=once)) as ears,
            TtsPeer(synthesise(), answer=status(503, only=once)) as voice,
        ):
            options = {"stt": make_stt(ears), "tts": make_tts(voice), "conn_options": FAST}
            async with Conversation(Model("w1 w2."), **options) as talk:
                talk.microphone.hear(QUESTION)
                await until(
                    lambda: words_in(bytes(talk.loudspeaker.pcm)) == ["w1", "w2"], "the answer"
                )
                assert talk.finals == ["w0 w1 w2"]
                assert talk.closed == []

    run(main)


def test_r28_finals_without_a_confidence_are_heard_one_after_the_other() -> None:
    """The session averages confidences; none of them is None."""

    def engine(conversation: peers.Conversation) -> None:
        for number in range(3):
            while len(conversation.audio) < 16000 * (number + 1):
                conversation.receive()
            text = f"turn {number}"
            conversation.send({"transcript": text, "is_final": True, "confidence": None})
        conversation.hang()

    async def main() -> None:
        with SttPeer(engine) as ears, TtsPeer(synthesise()) as voice:
            stt = make_stt(ears, transcription_engine="telnyx")
            async with Conversation(stt=stt, tts=make_tts(voice)) as talk:
                for number in range(3):
                    talk.microphone.hear(silence(1.1))
                    await until(lambda n=number: len(talk.finals) > n, "the turn")  # type: ignore[misc]
                assert talk.finals == ["turn 0", "turn 1", "turn 2"]

    run(main)


def test_r40_a_session_outlives_lost_connections() -> None:
    """Utterances around three losses are all heard, once each."""

    def lossy(conversation: peers.Conversation) -> None:
        recognise(until=1.9, then=peers.Conversation.vanish)(conversation)

    async def main() -> None:
        with SttPeer([lossy, lossy, lossy, recognise()]) as ears, TtsPeer(synthesise()) as voice:
            stt, tts = make_stt(ears), make_tts(voice)
            async with Conversation(stt=stt, tts=tts, conn_options=FAST) as talk:
                for number in range(4):
                    talk.microphone.hear(utterance(3 * number, 3))
                    await until(
                        lambda n=number: len(" ".join(talk.finals).split()) >= 3 * n + 3,  # type: ignore[misc]
                        "the words",
                    )
                assert " ".join(talk.finals).split() == [f"w{i}" for i in range(12)]
                assert talk.closed == []

    run(main)


@pytest.mark.slow
def test_twenty_sessions_at_once() -> None:
    """One STT and one TTS serve twenty sessions, each with its own words."""

    async def one(number: int, options: dict[str, Any]) -> None:
        async with Conversation(Model(f"w{number} w{number + 1}."), **options) as talk:
            talk.microphone.hear(silence(0.3) + utterance(5 * number, 3))
            expected = [f"w{number}", f"w{number + 1}"]
            await until(
                lambda: words_in(bytes(talk.loudspeaker.pcm)) == expected,
                "the answer",
                patience=6 * PATIENCE,
            )
            assert talk.finals == [" ".join(f"w{5 * number + i}" for i in range(3))]

    async def main() -> None:
        with SttPeer(recognise()) as ears, TtsPeer(synthesise()) as voice:
            options = {"stt": make_stt(ears), "tts": make_tts(voice), "conn_options": FAST}
            await asyncio.gather(*(one(number, options) for number in range(20)))

    run(main)
