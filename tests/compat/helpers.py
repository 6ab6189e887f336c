"""What the tests of the plugin share: a loop with an end, audio in frames, errors and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import livekit.agents
import livekit.rtc as rtc
from livekit.agents import APIConnectOptions, stt, tts
from livekit.agents.stt import SpeechEvent, SpeechEventType

from telnyx_media.livekit_compat import STT, TTS
from tests.loopback import PATIENCE
from tests.loopback.servers import KEY, WebSocketPeer
from tests.loopback.stt import RATE

T = TypeVar("T")

ONCE = APIConnectOptions(max_retry=0, timeout=PATIENCE)
"""One attempt, however slow the machine is."""

SOON = APIConnectOptions(max_retry=3, retry_interval=0.1, timeout=PATIENCE)
"""Four attempts in quick succession."""


def since(version: str) -> bool:
    """Tell whether the framework is of this version or a later one."""

    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())

    return numbers(livekit.agents.__version__) >= numbers(version)


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``main`` in a loop of its own; no task of it may be left behind."""

    async def guarded() -> T:
        result = await asyncio.wait_for(main(), 8 * PATIENCE)
        # A task that was cancelled needs a turn of the loop to end.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        here = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not here]
        assert not left, f"tasks that stayed: {left}"
        return result

    return asyncio.run(guarded())


def make_stt(peer: WebSocketPeer, **options: Any) -> STT:
    """Make an STT of the peer, at the rate of the tests' recordings."""
    options = {
        "api_key": KEY,
        "base_url": peer.url,
        "sample_rate": RATE,
        "transcription_engine": "deepgram",
        **options,
    }
    return STT(**options)


def make_tts(peer: WebSocketPeer, **options: Any) -> TTS:
    """Make a TTS of the peer, whose numbered words come as plain samples."""
    options = {"api_key": KEY, "base_url": peer.url, "audio_format": "linear16", **options}
    return TTS(**options)


def frame(pcm: bytes, rate: int = RATE, channels: int = 1) -> rtc.AudioFrame:
    """Make a frame of ``pcm``."""
    return rtc.AudioFrame(pcm, rate, channels, len(pcm) // 2 // channels)


def frames(pcm: bytes, rate: int = RATE, seconds: float = 0.02) -> list[rtc.AudioFrame]:
    """Cut ``pcm`` into frames."""
    size = 2 * int(rate * seconds)
    return [frame(pcm[at : at + size], rate) for at in range(0, len(pcm), size)]


def push(stream: stt.RecognizeStream, pcm: bytes, *, end: bool = True) -> None:
    """Push ``pcm`` into a stream at once."""
    for one in frames(pcm):
        stream.push_frame(one)
    if end:
        stream.end_input()


async def collect(stream: stt.RecognizeStream) -> list[SpeechEvent]:
    """Get all events of a stream, and close it."""
    try:
        return [event async for event in stream]
    finally:
        await stream.aclose()


def kinds(events: list[SpeechEvent]) -> list[str]:
    """Get the short names of events, without usage."""
    return [
        event.type.name.split("_")[0]
        for event in events
        if event.type != SpeechEventType.RECOGNITION_USAGE
    ]


def finals(events: list[SpeechEvent]) -> list[str]:
    """Get the texts of the finals."""
    return [
        event.alternatives[0].text
        for event in events
        if event.type == SpeechEventType.FINAL_TRANSCRIPT
    ]


def words(events: list[SpeechEvent]) -> list[str]:
    """Get the words of the finals."""
    return " ".join(finals(events)).split()


def noted(emitter: stt.STT[Any] | tts.TTS[Any], event: str) -> list[Any]:
    """Get a list that grows with each event of this name."""
    found: list[Any] = []
    emitter.on(event, found.append)
    return found


@asynccontextmanager
async def closing(*closables: Any) -> AsyncIterator[None]:
    """Close what was made, whatever happens."""
    try:
        yield
    finally:
        for closable in closables:
            await closable.aclose()


async def until(condition: Callable[[], object], what: str, *, patience: float = PATIENCE) -> None:
    """Wait until ``condition()`` is true, at most ``patience`` seconds."""
    limit = asyncio.get_running_loop().time() + patience
    while not condition():
        assert asyncio.get_running_loop().time() < limit, f"{what} did not come"
        await asyncio.sleep(0.005)


async def speak(stream: tts.SynthesizeStream | tts.ChunkedStream) -> list[tts.SynthesizedAudio]:
    """Get all audio of a stream, and close it."""
    try:
        return [audio async for audio in stream]
    finally:
        await stream.aclose()


def pcm_of(audio: list[tts.SynthesizedAudio]) -> bytes:
    """Join the samples."""
    return b"".join(bytes(one.frame.data) for one in audio)
