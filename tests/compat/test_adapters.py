"""R17: inside LiveKit's adapters, which switch, gather and cut for other plugins."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import livekit.rtc as rtc
import pytest
from livekit.agents import stt as lk_stt
from livekit.agents import tokenize, vad
from livekit.agents import tts as lk_tts

from telnyx_media.livekit_compat import STT, TTS
from tests.compat.helpers import (
    closing,
    collect,
    make_stt,
    make_tts,
    noted,
    pcm_of,
    push,
    run,
    speak,
    until,
    words,
)
from tests.loopback import PATIENCE
from tests.loopback.faults import stalled_upgrade
from tests.loopback.servers import KEY, Behaviour, Conversation, status
from tests.loopback.stt import RATE, SttPeer, recognise, silence, utterance
from tests.loopback.tts import TtsPeer, synthesise, words_in

pytestmark = pytest.mark.livekit

SHORT = silence(0.3) + utterance(0, 3)


async def keep_talking(stream: lk_stt.RecognizeStream, heard: list[str]) -> None:
    """Speak one numbered utterance after the other and note what is heard, until cancelled."""

    async def listen() -> None:
        async for event in stream:
            heard.extend(words([event]))

    async def speak_on() -> None:
        for number in itertools.count():
            push(stream, utterance(3 * number, 3), end=False)
            await asyncio.sleep(0.2)

    await asyncio.gather(listen(), speak_on())


@asynccontextmanager
async def talking(stream: lk_stt.RecognizeStream) -> AsyncIterator[list[str]]:
    """Talk into a stream for as long as the block lasts."""
    heard: list[str] = []
    task = asyncio.create_task(keep_talking(stream, heard))
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.aclose()


def test_r17_a_transcription_that_hangs_gives_way_to_the_next() -> None:
    """A primary that stalls is given up in time, and the second is heard."""

    async def main() -> None:
        with stalled_upgrade() as hanging, SttPeer(recognise()) as second:
            primary = STT(api_key=KEY, base_url=hanging.url, sample_rate=RATE)
            adapter = lk_stt.FallbackAdapter(
                [primary, make_stt(second)],
                attempt_timeout=0.5,
                max_retry_per_stt=1,
                retry_interval=0.1,
            )
            changes = noted(adapter, "stt_availability_changed")
            async with closing(adapter, primary):
                async with talking(adapter.stream()) as heard:
                    await until(lambda: heard, "the words")
                assert [(c.stt is primary, c.available) for c in changes] == [(True, False)]

    run(main)


def test_r17_a_transcription_that_has_recovered_serves_again() -> None:
    """The adapter tries the first one on the side, and the next stream is its again."""

    def first(conversation: Conversation) -> None:
        if conversation.number < 2:
            conversation.connection.close(1011)
        else:
            recognise()(conversation)

    async def main() -> None:
        with SttPeer(first) as one, SttPeer(recognise()) as two:
            primary = make_stt(one)
            adapter = lk_stt.FallbackAdapter(
                [primary, make_stt(two)],
                attempt_timeout=PATIENCE,
                max_retry_per_stt=1,
                retry_interval=0.1,
            )
            changes = noted(adapter, "stt_availability_changed")
            async with closing(adapter):
                async with talking(adapter.stream()) as heard:
                    await until(lambda: heard, "the words")
                    await until(lambda: any(c.available for c in changes), "the recovery")
                assert two.handshakes == 1
                stream = adapter.stream()
                push(stream, SHORT)
                assert words(await collect(stream)) == ["w0", "w1", "w2"]
                assert two.handshakes == 1

    run(main)


@pytest.mark.parametrize("fault", ["hangs", "refuses"])
def test_r17_a_voice_that_fails_is_switched_and_comes_back(fault: str) -> None:
    """The second voice speaks the whole text; the first speaks again when it can."""

    async def main() -> None:
        answer = status(503, only=frozenset({0, 1})) if fault == "refuses" else None
        with (
            stalled_upgrade() as hanging,
            TtsPeer(synthesise(), answer=answer) as one,
            TtsPeer(synthesise()) as two,
        ):
            url = hanging.url if fault == "hangs" else one.url
            primary = TTS(api_key=KEY, base_url=url, audio_format="linear16")
            adapter = lk_tts.FallbackAdapter([primary, make_tts(two)], max_retry_per_tts=1)
            changes = noted(adapter, "tts_availability_changed")
            async with closing(adapter, primary):
                options = lk_tts.fallback_adapter.DEFAULT_FALLBACK_API_CONNECT_OPTIONS
                quick = type(options)(max_retry=0, timeout=0.6)
                stream = adapter.stream(conn_options=quick)
                stream.push_text("w1 w2 w3.")
                stream.end_input()
                assert words_in(pcm_of(await speak(stream))) == ["w1", "w2", "w3"]
                assert [c.available for c in changes][:1] == [False]
                if fault == "refuses":
                    await until(lambda: any(c.available for c in changes), "the recovery")

    run(main)


class _Vad(vad.VAD):
    """Takes the whole of what is pushed, up to a flush, for speech."""

    def __init__(self) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.1))

    def stream(self) -> vad.VADStream:
        return _VadStream(self)


class _VadStream(vad.VADStream):
    async def _main_task(self) -> None:
        buffer: list[rtc.AudioFrame] = []
        async for data in self._input_ch:
            if isinstance(data, rtc.AudioFrame):
                buffer.append(data)
                continue
            if not buffer:
                continue
            for kind in (vad.VADEventType.START_OF_SPEECH, vad.VADEventType.END_OF_SPEECH):
                event: Any = vad.VADEvent(
                    type=kind,
                    samples_index=0,
                    timestamp=0.0,
                    speech_duration=1.0,
                    silence_duration=0.0,
                    frames=buffer,
                )
                self._event_ch.send_nowait(event)
            buffer = []


def test_r17_a_stream_adapter_recognises_what_a_detector_cuts() -> None:
    """Used as a recogniser of buffers, behind somebody's voice detector."""

    async def main() -> None:
        with SttPeer(recognise()) as peer:
            adapter = lk_stt.StreamAdapter(stt=make_stt(peer), vad=_Vad())
            async with closing(adapter):
                stream = adapter.stream()
                push(stream, SHORT)
                assert words(await collect(stream)) == ["w0", "w1", "w2"]

    run(main)


@pytest.mark.parametrize("style", ["streaming", "bearing"])
def test_r17_a_stream_adapter_speaks_what_a_tokenizer_cuts(style: str) -> None:
    """Used as a voice of complete sentences, behind somebody's tokenizer."""
    behaviour: Behaviour = synthesise(style=style)

    async def main() -> None:
        with TtsPeer(behaviour) as peer:
            adapter = lk_tts.StreamAdapter(
                tts=make_tts(peer), sentence_tokenizer=tokenize.basic.SentenceTokenizer()
            )
            async with closing(adapter):
                stream = adapter.stream()
                stream.push_text("w1 w2 w3 w4 w5 w6 w7 w8. w9 w10 w11 w12 w13 w14 w15 w16.")
                stream.end_input()
                said = words_in(pcm_of(await speak(stream)))
                assert said == [f"w{i}" for i in range(1, 17)]

    run(main)
