"""Bring webhook events and media sockets to the leg they belong to.

Telnyx's webhooks and its media WebSocket arrive on whatever thread the web server has free, in any
order.  The switchboard finds the leg, or begins it, and owns the legs' own threads.

Wiring (``bridge.app``)::

    switchboard = Switchboard(settings, control, registry=registry, pacer=pacer, agent=agent)
    switchboard.handle(event)          # webhook pool's thread; returns soon
    switchboard.claim(token)           # media route: the leg to serve the socket, or a refusal
    switchboard.drain(seconds)         # on SIGTERM: no new calls, wait, then hang up what is left
    switchboard.close()                # joins

Threads: any thread may call any method; ``drain`` and ``close`` block, ``handle`` does when it
refuses a call.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Sequence
from typing import Literal

from bridge.call import Agent, CallInfo
from bridge.callcontrol import CallControl
from bridge.errors import CommandError, SettingsError
from bridge.events import CallHangup, CallInitiated, Event
from bridge.observer import Audience, CallObserver
from bridge.pacer import Pacer
from bridge.recorder import RecordingWriter
from bridge.registry import Refusal, Registry
from bridge.settings import Settings
from bridge.storage import make_storage
from bridge.worker import JOIN, CallWorker
from telnyx_media.sync.stt import SpeechToText
from telnyx_media.sync.threads import Deadline
from telnyx_media.sync.tts import TextToSpeech
from telnyx_media.vad import VoiceDetector

__all__ = ["Switchboard"]

logger = logging.getLogger(__name__)


class Switchboard:
    """The legs of this process."""

    def __init__(
        self,
        settings: Settings,
        control: CallControl,
        *,
        registry: Registry,
        pacer: Pacer,
        agent: Agent,
        observers: Sequence[CallObserver] = (),
    ) -> None:
        """Make a switchboard with no call on it.

        Args:
            settings: the bridge's settings.
            control: sends the commands.
            registry: the facts shared with other processes.
            pacer: the thread that sends outbound audio.
            agent: called once per call, on a thread of its own.
            observers: told what happens on every call.

        Raises:
            SettingsError: what taking calls needs is not set.
            ConfigurationError: an option of the speech services is wrong.
        """
        settings.require("telnyx_api_key", "public_url")
        self._settings = settings
        self._control = control
        self._registry = registry
        self._pacer = pacer
        self._agent = agent
        self._observers = tuple(observers)
        self._stt = _speech_to_text(settings)
        self._tts = _text_to_speech(settings)
        self._recordings = _recordings(settings)
        # The first one of a process loads the model; no call is to wait for that.
        VoiceDetector()
        # Guards everything below.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._workers: dict[str, CallWorker] = {}
        # Legs that take nothing more, but whose threads may not have ended.
        self._leaving: dict[str, CallWorker] = {}
        self._draining = False

    # -- webhooks ---------------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Act on a verified webhook event: begin a leg, or tell the leg that it concerns.

        Duplicates (by event id) and events of unknown legs do nothing.  Commands are sent from the
        leg's own thread; only a call that is refused is refused on this one.
        """
        if self._registry.seen_event(event.id):
            return
        Audience(self._observers, logger).tell(lambda observer: observer.on_event(event))
        payload = event.payload
        if isinstance(payload, CallInitiated) and payload.direction == "incoming":
            self._begin(_call_info(payload))
            return
        worker = self._find(payload.call_control_id) or self._find(payload.call_leg_id)
        if worker is not None:
            worker.handle(event)
        elif isinstance(payload, CallHangup) and payload.call_control_id:
            # Perhaps ahead of its call.initiated, which must then not be answered.
            self._registry.end(payload.call_control_id)

    def _begin(self, info: CallInfo) -> None:
        with self._lock:
            full = len(self._workers) >= self._settings.max_calls
            refuse = full or self._draining
            if not refuse:
                if not self._registry.begin(info):
                    return
                worker = self._make_worker(info)
                self._workers[info.call_control_id] = worker
        if refuse:
            self._refuse(info, "stopping" if self._draining else "all lines are busy")
            return
        worker.log.info("leg began: %s", info.direction)
        worker.start()

    def _make_worker(self, info: CallInfo) -> CallWorker:
        return CallWorker(
            info,
            settings=self._settings,
            control=self._control,
            pacer=self._pacer,
            agent=self._agent,
            stt=self._stt,
            tts=self._tts,
            stream_url=lambda: self._stream_url(info.call_control_id),
            on_ended=self._leave,
            on_gone=self._gone,
            observers=self._observers,
            recordings=self._recordings,
        )

    def _refuse(self, info: CallInfo, why: str) -> None:
        if self._registry.has_ended(info.call_control_id):
            return
        logger.warning("refused a call: %s", why)
        Audience(self._observers, logger).tell(lambda observer: observer.on_refuse(info, why))
        try:
            self._control.reject(info.call_control_id, "USER_BUSY")
        except CommandError as error:
            logger.warning("could not refuse a call: %s", error)

    def _find(self, key: str) -> CallWorker | None:
        """Get a leg by either of its ids, also one whose threads have not ended yet."""
        if not key:
            return None
        with self._lock:
            found = self._workers.get(key) or self._leaving.get(key)
            if found is not None:
                return found
            workers = [*self._workers.values(), *self._leaving.values()]
        return next((worker for worker in workers if worker.info.call_leg_id == key), None)

    # -- media ------------------------------------------------------------------------------------

    def _stream_url(self, call_control_id: str) -> str:
        """Make an address with a fresh token for a leg's media stream."""
        token = self._registry.mint(call_control_id)
        scheme, _, rest = (self._settings.public_url or "").partition("://")
        return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/telnyx/media/{token}"

    def claim(self, token: str) -> CallWorker | Refusal:
        """Take a stream token for a socket that is about to open; give it back by :meth:`release`.

        Returns:
            The leg to serve the socket, or why there is none.
        """
        claim = self._registry.claim(token)
        if isinstance(claim, str):
            return claim
        with self._lock:
            worker = self._workers.get(claim.call_control_id)
        return "ended" if worker is None else worker

    def release(self, token: str, *, lost: bool) -> None:
        """Say that a claimed token's socket is gone, ``lost`` if Telnyx may come back with it."""
        self._registry.release(token, lost=lost)

    # -- the legs ---------------------------------------------------------------------------------

    def _leave(self, worker: CallWorker) -> None:
        """Take no more events and sockets for a leg."""
        key = worker.info.call_control_id
        self._registry.end(key)
        with self._lock:
            if self._workers.pop(key, None) is not None:
                self._leaving[key] = worker

    def _gone(self, worker: CallWorker) -> None:
        """Forget a leg whose threads have ended."""
        with self._lock:
            self._leaving.pop(worker.info.call_control_id, None)
            self._changed.notify_all()

    def legs(self) -> list[CallInfo]:
        """Get the legs that are live in this process."""
        with self._lock:
            return [worker.info for worker in self._workers.values()]

    @property
    def recordings(self) -> RecordingWriter | None:
        """What writes the recordings, if there are any."""
        return self._recordings

    @property
    def draining(self) -> bool:
        """Whether no more calls are taken because the process is on its way out."""
        return self._draining

    @property
    def accepting(self) -> bool:
        """Whether a new call would be answered: not draining, and room left. For ``/readyz``."""
        with self._lock:
            return not self._draining and len(self._workers) < self._settings.max_calls

    def hang_up(self, key: str, reason: Literal["operator"] = "operator") -> bool:
        """End a leg, by ``call_control_id`` or ``call_leg_id``; whether there was one."""
        worker = self._find(key)
        return worker is not None and worker.end(reason)

    # -- ending -----------------------------------------------------------------------------------

    def drain(self, timeout: float) -> bool:
        """Take no more calls, wait for the live ones, hang up those left; whether all ended.

        Args:
            timeout: seconds that the calls may go on; those left then have a few more to end.
        """
        deadline = Deadline(timeout)
        with self._lock:
            self._draining = True
            self._changed.wait_for(self._nobody, deadline.remaining())
            left = list(self._workers.values())
        if left:
            logger.info("hung up %d calls that went on for too long", len(left))
        for worker in left:
            worker.end("drain")
        with self._lock:
            return self._changed.wait_for(self._nobody, JOIN)

    def _nobody(self) -> bool:
        return not (self._workers or self._leaving)

    def close(self) -> None:
        """End every leg at once and join its threads; may be called twice."""
        with self._lock:
            workers = [*self._workers.values(), *self._leaving.values()]
        self.drain(0.0)
        deadline = Deadline(JOIN)
        for worker in workers:
            worker.join(deadline.remaining() or 0.0)
        if self._recordings is not None:
            self._recordings.close()


def _call_info(payload: CallInitiated) -> CallInfo:
    headers = {header.name: header.value for header in payload.custom_headers}
    headers.update((header.name, header.value) for header in payload.sip_headers)
    key = payload.call_leg_id or payload.call_control_id
    return CallInfo(
        call_control_id=payload.call_control_id,
        call_leg_id=payload.call_leg_id,
        call_session_id=payload.call_session_id,
        connection_id=payload.connection_id,
        direction="inbound",
        from_number=payload.from_number,
        to_number=payload.to_number,
        headers=headers,
        client_state=payload.client_state,
        tag=hashlib.sha256(key.encode()).hexdigest()[:6],
    )


def _api_key(settings: Settings) -> str:
    if settings.telnyx_api_key is None:
        raise SettingsError("TELNYX_API_KEY is not set")
    return settings.telnyx_api_key.get_secret_value()


def _recordings(settings: Settings) -> RecordingWriter | None:
    if settings.recordings is None:
        return None
    return RecordingWriter(make_storage(settings.recordings, settings.home))


def _speech_to_text(settings: Settings) -> SpeechToText:
    engine, *fallbacks = settings.stt_engines
    return SpeechToText(
        engine=engine,
        model=settings.stt_model,
        language=settings.language,
        api_key=_api_key(settings),
        base_url=settings.telnyx_stt_url,
        fallbacks=fallbacks,
    )


def _text_to_speech(settings: Settings) -> TextToSpeech:
    voice, *fallbacks = settings.tts_voices
    return TextToSpeech(
        voice=voice,
        api_key=_api_key(settings),
        base_url=settings.telnyx_tts_url,
        fallbacks=fallbacks,
    )
