"""LiveKit's published Telnyx plugin transcribes a recording and speaks a sentence.

Run by check.py in the environment of the clients: livekit_plugin.py RECORDING OUT. The speech is
written to OUT as WAV; the standard output is one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import wave

import aiohttp
from livekit import rtc
from livekit.agents import stt
from livekit.plugins import telnyx

# One sentence: the service answers each with an MP3 file of its own, and the plugin's decoder takes
# only the first of several.
SENTENCE = "Your table is ready and we are looking forward to seeing you."
PATIENCE = 20.0
# Seconds of audio pushed at a time.
STEP = 0.05


async def transcribe(session: aiohttp.ClientSession, path: str) -> dict[str, object]:
    """Transcribe a recording, streamed in real time."""
    with wave.open(path) as recording:
        rate = recording.getframerate()
        pcm = recording.readframes(recording.getnframes())
    pcm += bytes(2 * rate)
    recognizer = telnyx.STT(
        api_key=os.environ["TELNYX_API_KEY"],
        base_url=os.environ["TELNYX_STT_URL"],
        # The plugin's own default is spelt "telnyx", which the service refuses: engines are
        # case-sensitive (Telnyx: error 40007).
        transcription_engine="Telnyx",  # type: ignore[arg-type]
        http_session=session,
    )
    stream = recognizer.stream()
    finals: list[str] = []
    kinds: list[str] = []

    async def push() -> None:
        step = 2 * int(rate * STEP)
        for at in range(0, len(pcm), step):
            piece = pcm[at : at + step]
            stream.push_frame(rtc.AudioFrame(piece, rate, 1, len(piece) // 2))
            await asyncio.sleep(STEP)

    async def listen() -> None:
        async for event in stream:
            kinds.append(event.type.value)
            if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                finals.append(event.alternatives[0].text)

    listening = asyncio.create_task(listen())
    await push()
    await asyncio.sleep(1)
    await stream.aclose()
    listening.cancel()
    return {"finals": finals, "kinds": sorted(set(kinds))}


async def speak(session: aiohttp.ClientSession, path: str) -> dict[str, object]:
    """Synthesise a sentence."""
    voice = telnyx.TTS(
        api_key=os.environ["TELNYX_API_KEY"],
        base_url=os.environ["TELNYX_TTS_URL"],
        http_session=session,
    )
    stream = voice.stream()
    stream.push_text(SENTENCE)
    stream.flush()
    stream.end_input()
    pcm = b""
    async for audio in stream:
        pcm += audio.frame.data.tobytes()
    await stream.aclose()
    with wave.open(path, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(voice.sample_rate)
        out.writeframes(pcm)
    return {"sentence": SENTENCE, "seconds": len(pcm) / 2 / voice.sample_rate}


async def main(recording: str, out: str) -> None:
    """Do both."""
    async with aiohttp.ClientSession() as session:
        heard = await asyncio.wait_for(transcribe(session, recording), PATIENCE)
        spoken = await asyncio.wait_for(speak(session, out), PATIENCE)
    print(json.dumps({**heard, **spoken}))


asyncio.run(main(*sys.argv[1:]))
