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

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from bridge.call import Agent, CallInfo
from bridge.callcontrol import CallControl
from bridge.decisions import Detector
from bridge.elsewhere import Elsewhere
from bridge.errors import CallEnded, CommandError, DialFailed, SettingsError
from bridge.events import CallHangup, CallInitiated, DtmfReceived, Event
from bridge.inheritance import UNNAMED, Inheritance
from bridge.legline import Services
from bridge.legmaking import call_info, recordings, speech_to_text, text_to_speech
from bridge.listenin import ListenIn
from bridge.observer import Audience, CallObserver
from bridge.outbound import DETECT, Outbound
from bridge.overflow import Overflow, Waiting
from bridge.pacer import Pacer
from bridge.recorder import RecordingWriter
from bridge.registry import Refusal, Registry, RegistryAway
from bridge.resumption import agent_name
from bridge.settings import Settings
from bridge.takeovers import find_heir, missed_events
from bridge.worker import HANDOVER_WAIT, JOIN, MOVED, CallWorker, Screen
from telnyx_media.sync.threads import Deadline
from telnyx_media.vad import VoiceDetector

__all__ = ["Switchboard"]

logger = logging.getLogger(__name__)

# Legs on their way here of which events may be kept.
EARLY = 1000

# Seconds of draining that are kept for the last words of calls which nobody can take over.
GOODBYE = 6.0

# Threads of the server that the media sockets of other processes' legs may not take.
SPARE = 2


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
        screen: Screen | None = None,
        detector: Detector | None = None,
        make_detector: Callable[[int], VoiceDetector] = VoiceDetector,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """Make a switchboard with no call on it.

        Args:
            settings: the bridge's settings.
            control: sends the commands.
            registry: the facts shared with other processes.
            pacer: the thread that sends outbound audio.
            agent: called once per call, on a thread of its own.
            observers: told what happens on every call.
            screen: asked whether a call is to be answered; all are, if ``None``.
            detector: judges whether a caller's turn is over; silence and text do, if ``None``.
            make_detector: makes a voice detector for audio of a rate.
            elsewhere: the other processes, if there may be any.

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
        self._elsewhere = elsewhere
        self._observers = tuple(observers)
        self._stt = speech_to_text(settings)
        self._tts = text_to_speech(settings)
        self._recordings = recordings(settings)
        self._screen = screen
        self._detector = detector
        self._make_detector = make_detector
        control.ask_first(self._allows)
        self._outbound = Outbound(control, self._begin_outbound)
        self._overflow = Overflow(settings, control)
        self.listeners = ListenIn(
            self._find,
            (lambda key, environ: False) if elsewhere is None else elsewhere.pass_listener,
        )
        # The first one of a process loads the model; no call is to wait for that.
        VoiceDetector()
        # Guards everything below.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._workers: dict[str, CallWorker] = {}
        # Legs that take nothing more, but whose threads may not have ended.
        self._leaving: set[CallWorker] = set()
        # Legs that are being entered, and events of legs that are about to come from elsewhere.
        self._entering = 0
        self._early: dict[str, list[Event]] = {}
        self._draining = False
        self._handing_over = False

    # -- webhooks ---------------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Act on a verified webhook event: begin a leg, or tell the leg that it concerns.

        Duplicates (by event id) and events of unknown legs do nothing.  Commands are sent from the
        leg's own thread; only a call that is refused is refused on this one.
        """
        try:
            if not self._registry.seen_event(event.id):
                self._act(event)
        finally:
            if self._elsewhere is not None:
                self._elsewhere.handled(event)

    def recover(self, event: Event) -> None:
        """Act on an event that a process which died had taken; it counts as seen already."""
        try:
            self._act(event)
        finally:
            if self._elsewhere is not None:
                self._elsewhere.handled(event)

    def _act(self, event: Event) -> None:
        Audience(self._observers, logger).tell(lambda observer: observer.on_event(event))
        if isinstance(event.payload, DtmfReceived) and self._elsewhere is not None:
            self._elsewhere.note(event)
        self.deliver(event)

    def deliver(self, event: Event, *, forwarded: bool = False) -> None:
        """Act on an event that was not seen before.

        Args:
            event: the event.
            forwarded: whether another process has sent it here.
        """
        payload = event.payload
        if isinstance(payload, CallInitiated) and payload.direction == "incoming":
            self.begin(call_info(payload))
            return
        if self._overflow.handle(event):
            return
        worker = self._find(payload.call_control_id) or self._find(payload.call_leg_id)
        if worker is not None:
            worker.handle(event)
            return
        if isinstance(payload, CallHangup) and self._overflow.remove(event.call_control_id):
            self._registry.end(event.call_control_id)
            return
        if self._outbound.take(event):
            return
        where = "nobody" if self._elsewhere is None else self._elsewhere.forward(event, forwarded)
        if where == "here":
            self._keep(event)
        if where != "nobody":
            return
        for relative in self._relatives(payload.call_session_id):
            relative.relate(event)
        if isinstance(payload, CallHangup) and payload.call_control_id:
            # Perhaps ahead of its call.initiated, which must then not be answered.
            self._registry.end(payload.call_control_id)

    def _relatives(self, call_session_id: str) -> list[CallWorker]:
        """Get the legs that a leg without a worker belongs to: one that a transfer made."""
        with self._lock:
            workers = list(self._workers.values())
        return [w for w in workers if call_session_id and w.info.call_session_id == call_session_id]

    def _keep(self, event: Event) -> None:
        """Keep an event of a leg that is on its way here."""
        key = event.call_control_id
        with self._lock:
            worker = self._workers.get(key)
            if worker is None and len(self._early) < EARLY:
                self._early.setdefault(key, []).append(event)
        if worker is not None:
            worker.handle(event)

    def begin(self, info: CallInfo, *, placed: bool = False) -> None:
        """Take up a new call, or have another process take it, or refuse it.

        Args:
            info: the leg's facts.
            placed: whether another process has sent it here, having no room itself.
        """
        with self._lock:
            full = len(self._workers) + self._entering >= self._settings.max_calls
            refuse = full or self._draining
            self._entering += not refuse
        if refuse:
            if placed or self._elsewhere is None or not self._elsewhere.place(info):
                self._refuse(info, "stopping" if self._draining else "all lines are busy")
            return
        worker: CallWorker | None = None
        try:
            if self._registry.begin(info):
                worker = self._make_worker(info)
        except RegistryAway as error:
            self._refuse(info, str(error))
        finally:
            with self._lock:
                self._entering -= 1
                if worker is not None:
                    self._workers[info.call_control_id] = worker
        if worker is not None:
            worker.log.info("leg began: %s", info.direction)
            worker.start()

    def take_over(
        self,
        inheritance: Inheritance,
        *,
        streaming: bool = False,
        news: str = "leg came over from another process",
    ) -> CallWorker:
        """Go on with a leg that lived in another process, or has waited for room.

        Args:
            inheritance: the leg, as it was left; it is this process's by now.
            streaming: whether its media stream is on its way here already.
            news: for the log.
        """
        info = inheritance.info
        agent = find_heir(inheritance.agent)
        worker = self._make_worker(info, inheritance, streaming=streaming, agent=agent)
        with self._lock:
            before = self._workers.get(info.call_control_id)
            self._workers[info.call_control_id] = worker
            if before is not None:
                self._leaving.add(before)
            events = self._early.pop(info.call_control_id, [])
        if before is not None:
            before.let_go()
        worker.log.info("%s", news)
        worker.start()
        for event in missed_events(inheritance.events, events):
            worker.handle(event)
        return worker

    def let_go(self, key: str) -> bool:
        """Leave a leg to the process that has it by now; whether it was here."""
        with self._lock:
            worker = self._workers.get(key)
        return worker is not None and worker.let_go()

    def live(self) -> list[CallWorker | Waiting]:
        """Get the legs that live in this process, those that wait included."""
        with self._lock:
            workers = list(self._workers.values())
        return [*workers, *self._overflow.waiting()]

    def dial(
        self,
        to: str,
        agent: Agent | None = None,
        *,
        from_: str | None = None,
        connection_id: str | None = None,
        timeout: float = 30.0,
        detect: bool | str = False,
        linked: CallInfo | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> CallWorker:
        """Call somebody; returns when Telnyx has taken the dial, and the phone rings afterwards.

        A dial is never sent twice.

        Args:
            to: E.164 number or SIP URI.
            agent: called with the call when they have answered; the process's own if ``None``.
            from_: the number shown to them; ``BRIDGE_FROM_NUMBER`` if ``None``.
            connection_id: the Call Control application; ``BRIDGE_CONNECTION_ID`` if ``None``.
            timeout: seconds that the phone may ring.
            detect: whether to find out who answers, man or machine; or Telnyx's word for how.
            linked: a call that this one belongs to.
            fields: further fields of Telnyx's ``dial``.

        Returns:
            The leg.

        Raises:
            DialFailed: Telnyx refused, did not answer, or there is no room for a call more.
            SettingsError: neither the arguments nor the settings say from whom.
        """
        from_ = from_ or self._settings.from_number
        if connection_id is None:
            connection_id = linked.connection_id if linked else self._settings.connection_id
        if not from_ or not connection_id:
            raise SettingsError("BRIDGE_FROM_NUMBER and BRIDGE_CONNECTION_ID say who calls")
        if not self.accepting:
            raise DialFailed("no call more can be held here", "busy")
        extra = dict(fields or {})
        if detect:
            extra["answering_machine_detection"] = DETECT if detect is True else detect
        return self._outbound.dial(
            to,
            agent or self._agent,
            from_=from_,
            connection_id=connection_id,
            timeout=timeout,
            linked=linked,
            fields=extra,
        )

    def _begin_outbound(self, info: CallInfo, agent: Agent, timeout: float) -> CallWorker | None:
        with self._lock:
            full = len(self._workers) + self._entering >= self._settings.max_calls
            if full or self._draining:
                return None
            self._entering += 1
        worker: CallWorker | None = None
        try:
            if self._registry.begin(info):
                if self._elsewhere is not None and agent is not self._agent:
                    self._elsewhere.name_agent(info.call_control_id, agent_name(agent) or UNNAMED)
                worker = self._make_worker(info, agent=agent, ring_timeout=timeout)
        except RegistryAway as error:
            logger.warning("could not take a call up: %s", error)
        finally:
            with self._lock:
                self._entering -= 1
                if worker is not None:
                    self._workers[info.call_control_id] = worker
        if worker is not None and self._elsewhere is not None:
            # What came to other processes before the leg was known to live here.
            for event in self._elsewhere.mail(info.call_control_id):
                worker.handle(event)
        return worker

    def _dial_linked(
        self,
        to: str,
        agent: Agent,
        *,
        from_: str,
        timeout: float,
        linked: CallInfo | None,
        fields: Mapping[str, object],
    ) -> CallWorker:
        return self.dial(to, agent, from_=from_, timeout=timeout, linked=linked, fields=fields)

    def _services(self) -> Services:
        settings = self._settings
        return Services(
            settings.language,
            settings.tts_voice,
            lambda language: speech_to_text(settings, language),
            lambda voice: text_to_speech(settings, voice),
        )

    def _make_worker(
        self,
        info: CallInfo,
        inheritance: Inheritance | None = None,
        *,
        streaming: bool = True,
        agent: Agent | None = None,
        ring_timeout: float = 30.0,
    ) -> CallWorker:
        return CallWorker(
            info,
            settings=self._settings,
            control=self._control,
            pacer=self._pacer,
            agent=agent or self._agent,
            stt=self._stt,
            tts=self._tts,
            stream_url=lambda: self._stream_url(info.call_control_id),
            on_ended=self._leave,
            on_gone=self._gone,
            observers=self._observers,
            recordings=self._recordings,
            inheritance=inheritance,
            streaming=streaming,
            on_departed=self._departed,
            in_touch=lambda: self._elsewhere is None or self._elsewhere.joined,
            part=lambda: self._part(info.call_control_id),
            holds=lambda: self._elsewhere is None or self._elsewhere.holds(info.call_control_id),
            services=self._services(),
            dial=self._dial_linked,
            screen=self._screen,
            detector=self._detector,
            make_detector=self._make_detector,
            ring_timeout=ring_timeout,
        )

    def _refuse(self, info: CallInfo, why: str) -> None:
        if self._registry.has_ended(info.call_control_id):
            return
        if not self._draining and self._overflow.queues and self._enter_queue(info):
            return
        logger.warning("refused a call: %s", why)
        Audience(self._observers, logger).tell(lambda observer: observer.on_refuse(info, why))
        self._overflow.refuse(info)

    def _enter_queue(self, info: CallInfo) -> bool:
        try:
            entered = self._registry.begin(info)
        except RegistryAway:
            return False
        if entered:
            logger.info("had a call wait: all lines are busy")
            self._overflow.queue(info)
        return True

    def _admit(self) -> None:
        """Have those who wait talk to an agent, as far as there is room."""
        while True:
            with self._lock:
                full = len(self._workers) + self._entering >= self._settings.max_calls
            waiting = None if full or self._draining else self._overflow.next()
            if waiting is None:
                return
            self._overflow.stop_music(waiting)
            news = f"leg began: {waiting.info.direction}, after {waiting.age:.1f} s of waiting"
            self.take_over(Inheritance(waiting.info, age=waiting.age), news=news)

    def _dismiss(self) -> None:
        """Hang up on those who wait."""
        for waiting in self._overflow.waiting():
            key = waiting.info.call_control_id
            if self._overflow.remove(key) is not None and self._registry.end(key):
                try:
                    self._control.hangup(key)
                except CommandError as error:
                    logger.warning("could not hang up: %s", error)

    def _find(self, key: str) -> CallWorker | None:
        """Get a leg by either of its ids, also one whose threads have not ended yet."""
        if not key:
            return None
        with self._lock:
            found = self._workers.get(key)
            if found is not None:
                return found
            leaving = [worker for worker in self._leaving if worker.reason != MOVED]
            workers = [*self._workers.values(), *leaving]
        ids = ((w, (w.info.call_control_id, w.info.call_leg_id)) for w in workers)
        return next((worker for worker, known in ids if key in known), None)

    # -- media ------------------------------------------------------------------------------------

    def _stream_url(self, call_control_id: str) -> str:
        """Make an address with a fresh token for a leg's media stream."""
        token = self._registry.mint(call_control_id)
        scheme, _, rest = (self._settings.public_url or "").partition("://")
        return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/telnyx/media/{token}"

    def pass_on(self, token: str, environ: Mapping[str, Any]) -> bool:
        """Hand a request for a media socket to the process that its leg lives in.

        Returns:
            Whether it has the connection now; else the socket is to be served here.
        """
        return self._elsewhere is not None and self._elsewhere.pass_on(token, environ)

    def claim(self, token: str) -> CallWorker | Refusal:
        """Take a stream token for a socket that is about to open; give it back by :meth:`release`.

        Returns:
            The leg to serve the socket, or why there is none.
        """
        if self._elsewhere is not None and self._crowded and not self._elsewhere.is_ours(token):
            return "elsewhere"
        claim = self._registry.claim(token)
        if isinstance(claim, str):
            return claim
        if claim.inheritance is not None:
            return self.take_over(claim.inheritance, streaming=True)
        with self._lock:
            worker = self._workers.get(claim.call_control_id)
        return "ended" if worker is None else worker

    @property
    def _crowded(self) -> bool:
        """Whether no leg of another process may come here with its media socket."""
        if self._handing_over or len(self._workers) >= self._settings.threads - SPARE:
            return True
        return self._draining and self._others() > 0

    def release(self, token: str, *, lost: bool) -> None:
        """Say that a claimed token's socket is gone, ``lost`` if Telnyx may come back with it."""
        self._registry.release(token, lost=lost)

    # -- the legs ---------------------------------------------------------------------------------

    def _leave(self, worker: CallWorker) -> bool:
        """Take no more events and sockets for a leg; whether it is ours to hang up."""
        key = worker.info.call_control_id
        with self._lock:
            current = self._workers.get(key) is worker
            if current:
                del self._workers[key]
                self._leaving.add(worker)
        if worker.reason != MOVED:
            return self._registry.end(key) and not self._out_of_sight(worker)
        if current:
            self._registry.forget(key)
        return False

    def _departed(self, worker: CallWorker) -> None:
        """The agent of a leg that goes over to another process has fallen silent."""
        if self._elsewhere is not None:
            self._elsewhere.departed(worker.info)

    def _out_of_sight(self, worker: CallWorker) -> bool:
        """Whether a leg may be another process's by now, without our knowing."""
        if self._elsewhere is None or self._elsewhere.joined:
            return False
        # A stream that was stopped is not that: the leg waits for the webhook that goes with it.
        return worker.reason != "caller" and worker.talking and not worker.streaming

    def _allows(self, key: str, verb: str) -> None:
        """Refuse a command to a leg that may be another process's by now."""
        with self._lock:
            worker = self._workers.get(key)
        # One with a stream is ours: there is one stream per call.
        if self._elsewhere is None or worker is None or worker.streaming or not worker.talking:
            return
        held = self._elsewhere.holds(key)
        if held is None:
            raise CommandError(verb, "Redis is away, and so is the media stream", retryable=True)
        if not held:
            worker.let_go()
            raise CallEnded("another process has the call")

    def _part(self, key: str) -> bool:
        """Have Telnyx say goodbye to a call; whether it ends by that, whatever becomes of us."""
        line = self._settings.drain_line
        return line != "off" and self._overflow.part(key, line)

    def _gone(self, worker: CallWorker) -> None:
        """Forget a leg whose threads have ended."""
        with self._lock:
            self._leaving.discard(worker)
            self._changed.notify_all()
        self._admit()

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
        if self._elsewhere is not None and not self._elsewhere.joined:
            return False
        with self._lock:
            return not self._draining and len(self._workers) < self._settings.max_calls

    def hang_up(self, key: str, reason: Literal["operator"] = "operator") -> bool:
        """End a leg, by ``call_control_id`` or ``call_leg_id``; whether there was one."""
        worker = self._find(key)
        if worker is None and self._elsewhere is not None:
            return self._elsewhere.hang_up(key)
        return worker is not None and worker.end(reason)

    def transfer(self, key: str, to: str) -> bool:
        """Put a leg's caller through to somebody while its agent talks on; returns at once.

        Args:
            key: ``call_control_id`` or ``call_leg_id``.
            to: E.164 number or SIP URI.

        Returns:
            Whether there was such a leg.
        """
        worker = self._find(key)
        if worker is None:
            return self._elsewhere is not None and self._elsewhere.transfer(key, to)
        worker.transfer(to)
        return True

    # -- ending -----------------------------------------------------------------------------------

    def drain(self, timeout: float, stop_accepting: Callable[[], object] = lambda: None) -> bool:
        """Take no more calls, wait for the live ones, hand over or say goodbye to those left.

        Args:
            timeout: seconds that the calls may go on, of which the last few are for a goodbye where
                no other process takes calls; those left then have a few more to end.
            stop_accepting: called before calls are handed over: from then on no new connection
                may come to this process, or a call would be handed over to where it was.

        Returns:
            Whether all are gone.
        """
        deadline = Deadline(timeout)
        with self._lock:
            self._draining = True
            self._changed.wait_for(self._nobody, timeout - min(GOODBYE, timeout / 2))
            left = list(self._workers.values())
        if left and timeout > 0 and not self._others():
            # What is left of the time is for a few words: nobody can go on with these calls.
            logger.info("said goodbye on %d calls that went on for too long", len(left))
            line = self._settings.drain_line
            for worker in left:
                worker.say_goodbye("" if line == "off" else line, deadline.remaining() or 0.0)
        with self._lock:
            self._changed.wait_for(self._nobody, deadline.remaining())
            left = list(self._workers.values())
        some = left or self._overflow.waiting()
        if some and timeout > 0 and self._others():
            logger.info("handing over %d calls that went on for too long", len(some))
            stop_accepting()
            left = self._hand_over(left)
        self._dismiss()
        if left:
            logger.info("hung up %d calls that went on for too long", len(left))
        for worker in left:
            worker.end("drain")
        with self._lock:
            return self._changed.wait_for(self._nobody, JOIN)

    def _others(self) -> int:
        """Count the other processes that take calls."""
        return 0 if self._elsewhere is None else self._elsewhere.others()

    def _hand_over(self, workers: list[CallWorker]) -> list[CallWorker]:
        """Have other processes take these legs; get those that none has taken in time."""
        with self._lock:
            self._handing_over = True
        if self._elsewhere is not None:
            self._elsewhere.shut()
        while (waiting := self._overflow.next()) is not None:
            self._overflow.stop_music(waiting)
            workers.append(self.take_over(Inheritance(waiting.info, age=waiting.age)))
        for worker in workers:
            worker.hand_over()
        with self._lock:
            self._changed.wait_for(lambda: not self._workers, HANDOVER_WAIT)
            return list(self._workers.values())

    def _nobody(self) -> bool:
        return not (self._workers or self._leaving)

    def close(self) -> None:
        """End every leg at once and join its threads; may be called twice."""
        with self._lock:
            workers = [*self._workers.values(), *self._leaving]
        self.drain(0.0)
        deadline = Deadline(JOIN)
        for worker in workers:
            worker.join(deadline.remaining() or 0.0)
        if self._recordings is not None:
            self._recordings.close()
