"""Transcribe in a process forked from a server that has imported the plugin; prints the words."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import livekit.rtc as rtc

from telnyx_media.livekit_compat import STT
from tests.loopback.stt import RATE, silence, utterance


def transcribe(url: str) -> None:
    """Do the worker's part."""

    async def main() -> None:
        stt = STT(api_key="k", base_url=url, sample_rate=RATE, transcription_engine="deepgram")
        pcm = silence(0.3) + utterance(0, 3)
        event = await stt.recognize(rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2))
        print(event.alternatives[0].text, flush=True)

    asyncio.run(main())


if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["telnyx_media.livekit_compat"])
    worker = context.Process(target=transcribe, args=(sys.argv[1],))
    worker.start()
    worker.join(110)
    sys.exit(worker.exitcode or 0)
