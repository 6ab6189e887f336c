"""Take calls up: those that come in, were dialled, come over from another process, or waited.

Threads: any thread may call any method.  :meth:`Admission.begin` blocks when it refuses a call or
has it wait, while Telnyx is told.

Rule of this module: a worker is started when the roster has it, so that no event misses it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bridge.call import Agent, CallInfo
from bridge.elsewhere import Elsewhere
from bridge.inheritance import UNNAMED, Inheritance
from bridge.legmaking import LegMaker
from bridge.observer import Audience, CallObserver
from bridge.overflow import Overflow
from bridge.registry import Registry, RegistryAway
from bridge.resumption import agent_name
from bridge.roster import Roster
from bridge.takeovers import find_heir, missed_events
from bridge.worker import CallWorker

__all__ = ["Admission"]

logger = logging.getLogger(__name__)


class Admission:
    """Takes up the calls of this process, as far as there is room."""

    def __init__(
        self,
        maker: LegMaker,
        roster: Roster,
        overflow: Overflow,
        *,
        registry: Registry,
        elsewhere: Elsewhere,
        observers: Sequence[CallObserver],
    ) -> None:
        """Make it.

        Args:
            maker: makes the workers.
            roster: the legs of this process.
            overflow: has the calls that are one too many.
            registry: the facts shared with other processes.
            elsewhere: the other processes.
            observers: told of calls that are refused.
        """
        self._maker = maker
        self._roster = roster
        self._overflow = overflow
        self._registry = registry
        self._elsewhere = elsewhere
        self._observers = tuple(observers)

    def begin(self, info: CallInfo, *, placed: bool = False) -> None:
        """Take up a new call, or have another process take it, or refuse it.

        Args:
            info: the leg's facts.
            placed: whether another process has sent it here, having no room itself.
        """
        if not self._roster.reserve():
            if placed or not self._elsewhere.place(info):
                self._refuse(info, "stopping" if self._roster.draining else "all lines are busy")
            return
        worker: CallWorker | None = None
        try:
            if self._registry.begin(info):
                worker = self._maker.make(info)
        except RegistryAway as error:
            self._refuse(info, str(error))
        finally:
            self._roster.fill(worker)
        if worker is not None:
            worker.log.info("leg began: %s", info.direction)
            worker.start()

    def begin_dialled(self, info: CallInfo, agent: Agent, timeout: float) -> CallWorker | None:
        """Make the worker of a leg that rings, and do not start it; ``None`` if there is no room.

        Args:
            info: the leg's facts.
            agent: called when they have answered.
            timeout: seconds that it may ring.
        """
        if not self._roster.reserve():
            return None
        worker: CallWorker | None = None
        try:
            if self._registry.begin(info):
                if agent is not self._maker.agent:
                    self._elsewhere.name_agent(info.call_control_id, agent_name(agent) or UNNAMED)
                worker = self._maker.make(info, agent=agent, ring_timeout=timeout)
        except RegistryAway as error:
            logger.warning("could not take a call up: %s", error)
        finally:
            self._roster.fill(worker)
        if worker is not None:
            # What came to other processes before the leg was known to live here.
            for event in self._elsewhere.mail(info.call_control_id):
                worker.handle(event)
        return worker

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
        agent = find_heir(inheritance.agent)
        worker = self._maker.make(inheritance.info, inheritance, streaming=streaming, agent=agent)
        before, events = self._roster.replace(worker)
        if before is not None:
            before.let_go()
        worker.log.info("%s", news)
        worker.start()
        for event in missed_events(inheritance.events, events):
            worker.handle(event)
        return worker

    # -- calls that are one too many --------------------------------------------------------------

    def admit(self) -> None:
        """Have those who wait talk to an agent, as far as there is room."""
        while self._roster.room and (call := self._overflow.next()) is not None:
            self._overflow.stop_music(call)
            news = f"leg began: {call.info.direction}, after {call.age:.1f} s of waiting"
            self.take_over(Inheritance(call.info, age=call.age), news=news)

    def _refuse(self, info: CallInfo, why: str) -> None:
        if self._registry.has_ended(info.call_control_id):
            return
        if not self._roster.draining and self._overflow.queues and self._enter_queue(info):
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
