"""Bring webhook events and media sockets to the leg they belong to.

Telnyx's webhooks and its media WebSocket arrive on whatever thread the web server has free, in any
order.  The switchboard finds the leg, or has it begin.  It also puts together what a process has of
legs: the roster, who takes calls up, who ends them all.

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
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from bridge.admission import Admission
from bridge.call import Agent, CallInfo
from bridge.callcontrol import CallControl
from bridge.decisions import Detector
from bridge.draining import Draining
from bridge.elsewhere import Alone, Elsewhere
from bridge.errors import DialFailed, SettingsError
from bridge.events import CallHangup, CallInitiated, DtmfReceived, Event
from bridge.inheritance import Inheritance
from bridge.legmaking import LegMaker, call_info
from bridge.listenin import ListenIn
from bridge.observer import Audience, CallObserver
from bridge.outbound import DETECT, Outbound
from bridge.overflow import Overflow, Waiting
from bridge.ownership import Ownership
from bridge.pacer import Pacer
from bridge.recorder import RecordingWriter
from bridge.registry import Refusal, Registry
from bridge.roster import Roster
from bridge.settings import Settings
from bridge.worker import JOIN, CallWorker, Screen
from telnyx_media.sync.threads import Deadline
from telnyx_media.vad import VoiceDetector

__all__ = ["Switchboard"]

logger = logging.getLogger(__name__)

# Threads of the server that the media sockets of other processes' legs may not take.
SPARE = 2


class Switchboard:
    """The way to the legs of this process."""

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
        self._registry = registry
        self._observers = tuple(observers)
        self._elsewhere: Elsewhere = Alone() if elsewhere is None else elsewhere
        self._roster = Roster(settings.max_calls)
        self._overflow = Overflow(settings, control)
        ownership = Ownership(self._roster, registry, self._elsewhere)
        control.ask_first(ownership.require)
        self._maker = LegMaker(
            settings,
            control,
            registry=registry,
            pacer=pacer,
            agent=agent,
            observers=self._observers,
            screen=screen,
            detector=detector,
            make_detector=make_detector,
            overflow=self._overflow,
            ownership=ownership,
            dial=self._dial_linked,
            on_gone=self._remove,
        )
        self._admission = Admission(
            self._maker,
            self._roster,
            self._overflow,
            registry=registry,
            elsewhere=self._elsewhere,
            observers=self._observers,
        )
        self._outbound = Outbound(control, self._admission.begin_dialled)
        self._draining = Draining(
            self._roster,
            self._overflow,
            self._admission,
            line=settings.drain_line,
            control=control,
            registry=registry,
            elsewhere=self._elsewhere,
        )
        self.listeners = ListenIn(self._roster.find, self._elsewhere.pass_listener)
        # The first one of a process loads the model; no call is to wait for that.
        VoiceDetector()

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
            self._elsewhere.handled(event)

    def recover(self, event: Event) -> None:
        """Act on an event that a process which died had taken; it counts as seen already."""
        try:
            self._act(event)
        finally:
            self._elsewhere.handled(event)

    def _act(self, event: Event) -> None:
        Audience(self._observers, logger).tell(lambda observer: observer.on_event(event))
        if isinstance(event.payload, DtmfReceived):
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
        worker = self._roster.find(payload.call_control_id)
        worker = worker or self._roster.find(payload.call_leg_id)
        if worker is not None:
            worker.handle(event)
            return
        if isinstance(payload, CallHangup) and self._overflow.remove(event.call_control_id):
            self._registry.end(event.call_control_id)
            return
        if self._outbound.take(event):
            return
        where = self._elsewhere.forward(event, forwarded)
        if where == "here" and (worker := self._roster.keep(event)) is not None:
            worker.handle(event)
        if where != "nobody":
            return
        # A leg without a worker: one that a transfer made.
        for relative in self._roster.relatives(payload.call_session_id):
            relative.relate(event)
        if isinstance(payload, CallHangup) and payload.call_control_id:
            # Perhaps ahead of its call.initiated, which must then not be answered.
            self._registry.end(payload.call_control_id)

    def begin(self, info: CallInfo, *, placed: bool = False) -> None:
        """Take up a new call, or have another process take it, or refuse it.

        Args:
            info: the leg's facts.
            placed: whether another process has sent it here, having no room itself.
        """
        self._admission.begin(info, placed=placed)

    # -- dialling ---------------------------------------------------------------------------------

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
            agent or self._maker.agent,
            from_=from_,
            connection_id=connection_id,
            timeout=timeout,
            linked=linked,
            fields=extra,
        )

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

    # -- media ------------------------------------------------------------------------------------

    def pass_on(self, token: str, environ: Mapping[str, Any]) -> bool:
        """Hand a request for a media socket to the process that its leg lives in.

        Returns:
            Whether it has the connection now; else the socket is to be served here.
        """
        return self._elsewhere.pass_on(token, environ)

    def claim(self, token: str) -> CallWorker | Refusal:
        """Take a stream token for a socket that is about to open; give it back by :meth:`release`.

        Returns:
            The leg to serve the socket, or why there is none.
        """
        if self._crowded and not self._elsewhere.is_ours(token):
            return "elsewhere"
        claim = self._registry.claim(token)
        if isinstance(claim, str):
            return claim
        if claim.inheritance is not None:
            return self._admission.take_over(claim.inheritance, streaming=True)
        worker = self._roster.get(claim.call_control_id)
        return "ended" if worker is None else worker

    @property
    def _crowded(self) -> bool:
        """Whether no leg of another process may come here with its media socket."""
        if self._draining.handing_over or len(self._roster) >= self._settings.threads - SPARE:
            return True
        return self.draining and self._elsewhere.others() > 0

    def release(self, token: str, *, lost: bool) -> None:
        """Say that a claimed token's socket is gone, ``lost`` if Telnyx may come back with it."""
        self._registry.release(token, lost=lost)

    # -- the legs ---------------------------------------------------------------------------------

    def legs(self) -> list[CallInfo]:
        """Get the legs that are live in this process."""
        return [worker.info for worker in self._roster.here()]

    def live(self) -> list[CallWorker | Waiting]:
        """Get the legs that live in this process, those that wait included."""
        return [*self._roster.here(), *self._overflow.waiting()]

    @property
    def recordings(self) -> RecordingWriter | None:
        """What writes the recordings, if there are any."""
        return self._maker.recordings

    @property
    def draining(self) -> bool:
        """Whether no more calls are taken because the process is on its way out."""
        return self._roster.draining

    @property
    def accepting(self) -> bool:
        """Whether a new call would be answered: not draining, and room left. For ``/readyz``."""
        return self._elsewhere.joined and self._roster.room

    def hang_up(self, key: str, reason: Literal["operator"] = "operator") -> bool:
        """End a leg, by ``call_control_id`` or ``call_leg_id``; whether there was one."""
        worker = self._roster.find(key)
        return self._elsewhere.hang_up(key) if worker is None else worker.end(reason)

    def transfer(self, key: str, to: str) -> bool:
        """Put a leg's caller through to somebody while its agent talks on; returns at once.

        Args:
            key: ``call_control_id`` or ``call_leg_id``.
            to: E.164 number or SIP URI.

        Returns:
            Whether there was such a leg.
        """
        worker = self._roster.find(key)
        if worker is None:
            return self._elsewhere.transfer(key, to)
        worker.transfer(to)
        return True

    def take_over(self, inheritance: Inheritance) -> CallWorker:
        """Go on with a leg that lived in another process; it is this one's by now."""
        return self._admission.take_over(inheritance)

    def let_go(self, key: str) -> bool:
        """Leave a leg to the process that has it by now; whether it was here."""
        worker = self._roster.get(key)
        return worker is not None and worker.let_go()

    # -- ending -----------------------------------------------------------------------------------

    def _remove(self, worker: CallWorker) -> None:
        """Forget a leg whose threads have ended; there is room for who waits."""
        self._roster.remove(worker)
        self._admission.admit()

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
        return self._draining.drain(timeout, stop_accepting)

    def close(self) -> None:
        """End every leg at once and join its threads; may be called twice."""
        workers = self._roster.everybody()
        self.drain(0.0)
        deadline = Deadline(JOIN)
        for worker in workers:
            worker.join(deadline.remaining() or 0.0)
        if self._maker.recordings is not None:
            self._maker.recordings.close()
