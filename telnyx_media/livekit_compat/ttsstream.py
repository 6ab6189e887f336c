"""Synthesis streams of LiveKit: text that is still being written, and text that is complete.

Everything of an attempt is made anew in ``_run``: the framework replays the text into a new channel
for each, and only while nothing was heard.

Threads: everything here is the event loop's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from livekit.agents import APIConnectOptions, APIError, tts
from livekit.agents.utils import aio, shortuuid

from telnyx_media.errors import TelnyxMediaError

from .errors import to_api_error
from .speech import Speech

if TYPE_CHECKING:
    from .tts import TTS

MIME_TYPE = "audio/pcm"


class SynthesizeStream(tts.SynthesizeStream):
    """Speech of a reply as it is written; made by ``TTS.stream``.

    Push text, end the input, and iterate over audio.
    """

    def __init__(self, *, tts: TTS, conn_options: APIConnectOptions) -> None:
        """Begin; nothing is opened before there is a word to speak."""
        super().__init__(tts=tts, conn_options=conn_options)
        self._voice = tts

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=shortuuid(),
            sample_rate=self._voice.sample_rate,
            num_channels=self._voice.num_channels,
            mime_type=MIME_TYPE,
            stream=True,
        )
        output_emitter.start_segment(segment_id=shortuuid())
        pump: asyncio.Task[None] | None = None
        speech: Speech | None = None
        try:
            speech = _begin(self._voice, self._conn_options)
            pump = asyncio.create_task(self._pump(speech))
            await speech.play(output_emitter)
        finally:
            if speech is not None:
                speech.stop()
                self._acquire_time = speech.seconds_to_connect
            # Before anything is waited for: a cancelled stream ends here.
            output_emitter.end_segment()
            if pump is not None:
                await aio.cancel_and_wait(pump)

    async def _pump(self, speech: Speech) -> None:
        async for data in self._input_ch:
            sent = speech.feed(data) if isinstance(data, str) else speech.flush()
            if sent:
                self._mark_started()
        if speech.flush():
            self._mark_started()
        speech.finish()


class ChunkedStream(tts.ChunkedStream):
    """Speech of a text that is complete; made by ``TTS.synthesize``."""

    def __init__(self, *, tts: TTS, input_text: str, conn_options: APIConnectOptions) -> None:
        """Begin to speak."""
        super().__init__(tts=tts, input_text=input_text, conn_options=conn_options)
        self._voice = tts

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=shortuuid(),
            sample_rate=self._voice.sample_rate,
            num_channels=self._voice.num_channels,
            mime_type=MIME_TYPE,
        )
        speech = _begin(self._voice, self._conn_options)
        try:
            speech.feed(self._input_text)
            speech.flush()
            speech.finish()
            await speech.play(output_emitter)
            output_emitter.flush()
        finally:
            self._acquire_time = speech.seconds_to_connect
            speech.stop()


def _begin(voice: TTS, conn_options: APIConnectOptions) -> Speech:
    try:
        return voice.new_speech(conn_options)
    except TelnyxMediaError as error:
        failure: APIError = to_api_error(error)
    raise failure
