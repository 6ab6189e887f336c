"""One stream of audio, transcribed for LiveKit.

The framework runs ``_run`` once for each attempt, while the blocking session behind it lives as
long as the stream: it holds the audio that was not certainly heard.  When a connection is lost, the
session's receive thread asks here what to do and waits; ``_run`` raises, the framework counts,
reports and pauses as it does for every plugin, and the next ``_run`` lets the session go on, which
sends that audio again.

Threads: everything here is the event loop's, but the functions that :meth:`SpeechStream._open`
hands to the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import livekit.rtc as rtc
from livekit.agents import APIConnectOptions, APIError, APITimeoutError, stt
from livekit.agents.stt import RecognitionUsage, SpeechEvent, SpeechEventType
from livekit.agents.utils import aio, shortuuid

from telnyx_media.engines import find_engine
from telnyx_media.errors import SessionEnded, TelnyxMediaError
from telnyx_media.sync.connection import Connection
from telnyx_media.sync.stt import SttSession
from telnyx_media.sync.threads import BoundedQueue, QueueClosed, ThreadGroup
from telnyx_media.transcripts import Transcript

from .crossing import Crossing
from .errors import to_api_error
from .frames import FrameChannel, to_mono
from .log import logger
from .sttsettings import SttSettings
from .utterances import Utterances

if TYPE_CHECKING:
    from .stt import STT

# Usage is reported this often, in seconds of audio: what is reported while a session closes does
# not reach it any more.
USAGE_SECONDS = 1.0


@dataclass(frozen=True)
class _Connected:
    seconds: float
    request_id: str


@dataclass(frozen=True)
class _Lost:
    error: TelnyxMediaError


@dataclass(frozen=True)
class _Ended:
    error: Exception | None


@dataclass(frozen=True)
class _Finished:
    answered: bool


_Item = Transcript | _Connected | _Lost | _Ended | _Finished


class SpeechStream(stt.SpeechStream):
    """A live transcription; made by ``STT.stream``.

    Push frames, end the input, and iterate over speech events.
    """

    def __init__(
        self,
        *,
        stt: STT,
        settings: SttSettings,
        conn_options: APIConnectOptions,
        sample_rate: int,
    ) -> None:
        """Begin to connect."""
        super().__init__(stt=stt, conn_options=conn_options, sample_rate=sample_rate)
        self._input_ch = self._frames = FrameChannel(sample_rate)
        self._settings = settings
        self._utterances = Utterances(settings.language, marks=settings.engine.signals_endpoints)
        self._session: SttSession | None = None
        self._crossing: Crossing[_Item] | None = None
        self._verdicts: BoundedQueue[bool] = BoundedQueue(1)
        self._group = ThreadGroup("lk")
        # The session stands still until it is told how to go on.
        self._waiting = False
        self._finishing = False
        self._unanswered = False
        # Whether the latest words will not change any more.
        self._settled = False
        self._failures = 0
        self._engines_left = len(settings.fallbacks)
        self._next_engine = False
        self._reported = 0.0
        # Of changes that wait for a pause.
        self._renewal_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._task.add_done_callback(lambda _: self._stop())

    # -- for users and the framework -------------------------------------------------------------

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Push audio of any number of channels, which are mixed into one; never waits."""
        super().push_frame(frame if frame.num_channels == 1 else to_mono(frame))

    def update_options(self, **options: Any) -> None:
        """Change options of this stream alone; those that ``STT.update_options`` takes."""
        self.renew(options, patient=set(options) <= {"keyterms", "keywords"})

    def renew(self, changes: Mapping[str, Any], *, patient: bool) -> None:
        """Go on with other options, on a new connection.

        Args:
            changes: of the settings.
            patient: whether to wait until nobody speaks.
        """
        settings = replace(self._settings, **changes)
        if settings == self._settings:
            return
        settings.service()
        self._settings = settings
        if patient and self._utterances.speaking:
            self._renewal_due = True
        else:
            self._renew_now()

    async def aclose(self) -> None:
        """Close at once, whatever the service is doing."""
        self._stop()
        await super().aclose()

    # -- one attempt -----------------------------------------------------------------------------

    async def _run(self) -> None:
        began = time.monotonic()
        try:
            session, crossing = self._begin()
        except TelnyxMediaError as error:
            raise to_api_error(error) from None
        pump = asyncio.create_task(self._pump(session))
        self._frames.sink = functools.partial(self._send, session)
        try:
            while True:
                item = await crossing.take()
                try:
                    if self._take(item):
                        self._emit(self._utterances.end())
                        return
                except APIError as error:
                    if self._may_go_on(error, time.monotonic() - began):
                        raise
        finally:
            self._frames.sink = None
            await aio.cancel_and_wait(pump)
            self._report_usage(session, all_of_it=True)

    def _begin(self) -> tuple[SttSession, Crossing[_Item]]:
        if self._session is None or self._crossing is None:
            self._open()
        elif self._waiting:
            self._go_on()
        elif self._unanswered:
            self._unanswered = False
            self._renew_now()
        assert self._session is not None
        assert self._crossing is not None
        return self._session, self._crossing

    def _open(self) -> None:
        crossing: Crossing[_Item] = Crossing()
        verdicts = self._verdicts

        # These three are called by the session's receive thread.
        def on_connect(connection: Connection) -> None:
            crossing.put(_Connected(connection.seconds_to_connect, connection.request_id))

        def on_loss(error: TelnyxMediaError) -> bool:
            crossing.put(_Lost(error))
            try:
                return verdicts.take()
            except QueueClosed:
                raise SessionEnded("the stream was closed") from None

        def on_end(error: Exception | None) -> None:
            crossing.put(_Ended(error))

        self._crossing = crossing
        service = self._settings.service(self._conn_options)
        self._session = service.open(
            sample_rate=self._settings.sample_rate,
            on_transcript=crossing.put,
            on_connect=on_connect,
            on_loss=on_loss,
            on_end=on_end,
            direct=True,
            tag="lk",
        )

    def _go_on(self) -> None:
        self._waiting = False
        with contextlib.suppress(QueueClosed):
            self._verdicts.push(self._next_engine)
        self._next_engine = False

    async def _pump(self, session: SttSession) -> None:
        async for data in self._input_ch:
            if isinstance(data, bytes):
                self._send(session, data)
            else:
                session.finalize()
        if not self._finishing:
            self._finishing = True
            self._group.spawn("lk-stt-end", self._finish, session, self._crossing)

    def _send(self, session: SttSession, pcm: bytes) -> None:
        with contextlib.suppress(TelnyxMediaError):
            session.send(pcm)
        if session.sent_seconds - self._reported >= USAGE_SECONDS:
            self._report_usage(session)

    def _take(self, item: _Item) -> bool:
        # Gets whether the stream is over; raises what ends the attempt.
        if isinstance(item, Transcript):
            self._settled = item.is_final
            self._failures = 0
            self._emit(self._utterances.take(item))
            if item.is_final:
                self._after_final()
        elif isinstance(item, _Connected):
            self._connected(item)
        elif isinstance(item, _Lost):
            self._waiting = True
            raise to_api_error(item.error) from None
        elif isinstance(item, _Finished):
            return self._finished(item)
        elif item.error is not None:
            self._session = None
            raise to_api_error(item.error) from None
        # A session that has ended without an error was finished or closed; whoever did that tells.
        return False

    def _connected(self, item: _Connected) -> None:
        self._utterances.request_id = item.request_id or shortuuid()
        assert self._session is not None
        engine = find_engine(self._session.engine, strict=False)
        self._utterances.change(self._settings.language, marks=engine.signals_endpoints)
        self._utterances.reconnected()
        self._set_timer()
        report = getattr(self, "_report_connection_acquired", None)
        if report is not None:
            report(item.seconds, False)

    def _finished(self, item: _Finished) -> bool:
        if not item.answered:
            if not self._settled:
                # The next attempt asks for the same speech on a new connection.
                self._unanswered = True
                self._finishing = False
                raise APITimeoutError("the service transcribed nothing of the speech in time")
            logger.warning("the service did not answer the end of a transcription in time")
        return True

    def _may_go_on(self, error: APIError, lasted: float) -> bool:
        # Whether the error is the framework's to handle; not so when another engine takes over.
        if lasted > self._conn_options.timeout:
            self._failures = 0
        self._failures += 1
        last = not error.retryable or self._failures > self._conn_options.max_retry
        if last and self._waiting and self._engines_left and _may_change_engine(error):
            self._engines_left -= 1
            self._failures = 0
            self._next_engine = True
            self._emit_error(error, recoverable=True)
            self._go_on()
            return False
        if last:
            self._emit(self._utterances.end())
        return True

    # -- the end ---------------------------------------------------------------------------------

    def _finish(self, session: SttSession, crossing: Crossing[_Item]) -> None:
        # On a thread of its own: it waits for the last transcripts, through reconnects if need be.
        options = self._conn_options
        pause = options.retry_interval if options.max_retry else 0.0
        session.end()
        while True:
            connections = session.connections
            unsent = session.audio_seconds - session.sent_seconds
            answered = session.wait_answered(options.timeout + pause + unsent)
            if answered or session.connections == connections:
                break
        crossing.put(_Finished(answered))

    def _stop(self) -> None:
        self._cancel_timer()
        self._verdicts.close(drop=True)
        if self._session is not None:
            self._session.stop()

    # -- helpers ---------------------------------------------------------------------------------

    def _emit(self, events: list[SpeechEvent]) -> None:
        for event in events:
            if not self._event_ch.closed:
                self._event_ch.send_nowait(event)
        if events:
            self._set_timer()
            if self._renewal_due and not self._utterances.speaking:
                self._renew_now()

    def _after_final(self) -> None:
        if self._session is not None:
            self._report_usage(self._session)

    def _report_usage(self, session: SttSession, *, all_of_it: bool = False) -> None:
        sent = session.sent_seconds
        if sent <= self._reported or self._event_ch.closed:
            return
        usage = RecognitionUsage(audio_duration=sent - self._reported)
        self._reported = sent
        self._event_ch.send_nowait(
            SpeechEvent(
                type=SpeechEventType.RECOGNITION_USAGE,
                request_id=self._utterances.request_id,
                recognition_usage=usage,
            )
        )

    def _renew_now(self) -> None:
        self._renewal_due = False
        self._engines_left = len(self._settings.fallbacks)
        if self._session is not None:
            self._session.renew(self._settings.service(self._conn_options))

    def _set_timer(self) -> None:
        self._cancel_timer()
        patience = self._utterances.patience
        if patience is not None:
            self._timer = asyncio.get_running_loop().call_later(patience, self._give_up_waiting)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up_waiting(self) -> None:
        self._timer = None
        self._emit(self._utterances.out_of_patience())


def _may_change_engine(error: APIError) -> bool:
    # A key that one engine refuses, all do.
    return getattr(error, "status_code", None) != 401
