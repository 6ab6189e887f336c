"""A whole buffer transcribed at once: one connection, one result.

The framework tries again by itself, so there is one attempt here.  It is plain blocking code, on a
thread of its own; the event loop waits for its result.
"""

from __future__ import annotations

import threading

from livekit.agents import APIConnectOptions, APITimeoutError, LanguageCode, stt
from livekit.agents.utils import AudioBuffer, shortuuid

from telnyx_media.errors import TelnyxMediaError
from telnyx_media.pcm import seconds
from telnyx_media.sync.connection import Connection
from telnyx_media.sync.retry import RetryPolicy
from telnyx_media.sync.stt import SpeechToText, SttSession
from telnyx_media.sync.threads import ThreadGroup
from telnyx_media.transcripts import Transcript

from .crossing import Crossing
from .errors import to_api_error
from .frames import join
from .log import logger
from .sttsettings import SttSettings


async def recognize(
    buffer: AudioBuffer, settings: SttSettings, conn_options: APIConnectOptions
) -> stt.SpeechEvent:
    """Transcribe ``buffer`` in one attempt.

    Returns:
        A final transcript, with an empty text if nothing was said; an empty buffer costs no
        connection.

    Raises:
        APIError: the attempt failed.
    """
    pcm, sample_rate = join(buffer)
    if not pcm:
        return _event([], settings.language, shortuuid())
    try:
        service = settings.service(
            conn_options,
            # All of it, since all of it is sent at once.
            buffer_seconds=seconds(pcm, sample_rate) + 1.0,
            retry=RetryPolicy(attempts=1),
        )
    except TelnyxMediaError as error:
        raise to_api_error(error) from None
    attempt = _Attempt(service, pcm, sample_rate, conn_options.timeout)
    try:
        return _event(await attempt.result(), settings.language, attempt.request_id)
    finally:
        attempt.stop()


class _Attempt:
    """One attempt, on its thread."""

    def __init__(self, service: SpeechToText, pcm: bytes, sample_rate: int, timeout: float) -> None:
        self.request_id = shortuuid()
        self._service = service
        self._pcm = pcm
        self._sample_rate = sample_rate
        self._timeout = timeout
        # Guards _session and _stopped.
        self._lock = threading.Lock()
        self._session: SttSession | None = None
        self._stopped = False
        self._crossing: Crossing[list[Transcript] | Exception] = Crossing()
        ThreadGroup("lk").spawn("lk-stt-all", self._work)

    async def result(self) -> list[Transcript]:
        """Wait for the transcripts.

        Raises:
            APIError: there are none.
        """
        outcome = await self._crossing.take()
        if isinstance(outcome, Exception):
            raise to_api_error(outcome) from None
        return outcome

    def stop(self) -> None:
        """Give it up; returns at once."""
        with self._lock:
            self._stopped = True
            session = self._session
        if session is not None:
            session.stop()

    # -- the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._crossing.put(self._transcribe())
        except Exception as error:  # noqa: BLE001 - the top of a thread; raised in the loop's
            self._crossing.put(error)

    def _transcribe(self) -> list[Transcript]:
        session = self._service.open(sample_rate=self._sample_rate, on_connect=self._note, tag="lk")
        with self._lock:
            self._session = session
            stopped = self._stopped
        with session:
            if stopped:
                return []
            session.send(self._pcm)
            # An engine may need as long as the speech lasted.
            answered = session.finish(self._timeout + seconds(self._pcm, self._sample_rate))
            transcripts = list(session)
        if not answered:
            if not any(item.is_final and item.text for item in transcripts):
                raise APITimeoutError("the service transcribed nothing of the speech in time")
            logger.warning("the service did not answer the end of a transcription in time")
        return transcripts

    def _note(self, connection: Connection) -> None:
        self.request_id = connection.request_id or self.request_id


def _event(transcripts: list[Transcript], language: str, request_id: str) -> stt.SpeechEvent:
    finals = [item for item in transcripts if item.is_final and item.text]
    confidence = sum(item.confidence for item in finals) / len(finals) if finals else 0.0
    data = stt.SpeechData(
        language=LanguageCode(language),
        text=" ".join(item.text for item in finals),
        confidence=confidence,
    )
    return stt.SpeechEvent(
        type=stt.SpeechEventType.FINAL_TRANSCRIPT, request_id=request_id, alternatives=[data]
    )
