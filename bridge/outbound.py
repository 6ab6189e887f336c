"""Call somebody: one dial, the leg that it makes, and the webhooks that overtake its answer.

The answer to a dial names the leg, and Telnyx's webhooks may tell of that leg before the answer is
here (Telnyx: receiving-webhooks page: no order is promised).  So each dial carries a
``client_state`` of its own, by which its events are known until the leg has a name.

Threads: any thread may call any method.  :meth:`Outbound.dial` blocks until Telnyx has taken the
dial; the phone rings afterwards.

Rules of this module:

1. A dial is sent once.  One whose answer was lost counts as failed, and a leg that it has made
   nevertheless is hung up as soon as it is heard of.
2. No number is in a log line.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping

from bridge.call import Agent, CallInfo
from bridge.callcontrol import CallControl, LegStatus
from bridge.errors import CommandError, DialFailed
from bridge.events import CallHangup, Event
from bridge.people import new_state, ring_seconds
from bridge.worker import CallWorker

__all__ = ["DETECT", "Outbound"]

logger = logging.getLogger(__name__)

# The kind of answering-machine detection that tells most (Telnyx: dial reference).
DETECT = "premium"

# Dials whose answer was lost, and that are remembered in case they have made a leg.
LOST_DIALS = 1000

Begin = Callable[[CallInfo, Agent, float], "CallWorker | None"]


class Outbound:
    """The dials of one process."""

    def __init__(self, control: CallControl, begin: Begin) -> None:
        """Make it.

        Args:
            control: sends the commands.
            begin: makes the worker of a leg with an agent and the seconds it may ring, not
                started; ``None`` when there is no room for it.
        """
        self._control = control
        self._begin = begin
        # Guards what follows.
        self._lock = threading.Lock()
        self._early: dict[str, list[Event]] = {}
        self._lost: OrderedDict[str, None] = OrderedDict()

    def dial(
        self,
        to: str,
        agent: Agent,
        *,
        from_: str,
        connection_id: str,
        timeout: float,
        linked: CallInfo | None,
        fields: Mapping[str, object],
    ) -> CallWorker:
        """Dial, and get the leg, which rings from now on.

        Args:
            to: E.164 number or SIP URI.
            agent: called when they have answered and can be talked to.
            from_: the number shown to them.
            connection_id: the Call Control application.
            timeout: seconds that the phone may ring.
            linked: the leg that it belongs to, if any.
            fields: further fields of the command.

        Raises:
            DialFailed: Telnyx refused, or did not answer, or there is no room for a call more.
        """
        extra = dict(fields)
        state = str(extra.pop("client_state", None) or new_state())
        if linked is not None:
            extra.setdefault("link_to", linked.call_control_id)
        with self._lock:
            self._early[state] = []
        try:
            status = self._control.dial(
                to,
                from_,
                connection_id,
                client_state=state,
                timeout_secs=ring_seconds(timeout),
                **extra,
            )
        except CommandError as error:
            with self._lock:
                early = self._early.pop(state)
                self._lost[state] = None
                while len(self._lost) > LOST_DIALS:
                    self._lost.popitem(last=False)
            for event in early:
                self._hang_up(event)
            raise DialFailed(f"the dial failed: {error.title}", "refused") from error
        except BaseException:
            with self._lock:
                del self._early[state]
            raise
        info = _info(status, to, from_, connection_id, linked, state)
        return self._take_up(info, agent, timeout, state)

    def _take_up(self, info: CallInfo, agent: Agent, timeout: float, state: str) -> CallWorker:
        worker = self._begin(info, agent, timeout)
        with self._lock:
            early = self._early.pop(state)
        if worker is None:
            self._control.hangup(info.call_control_id)
            raise DialFailed("no call more can be held here", "busy")
        for event in early:
            worker.handle(event)
        worker.log.info("leg began: outbound")
        worker.start()
        return worker

    def take(self, event: Event) -> bool:
        """Take an event of a leg that has no worker; whether it is one of a dial of ours."""
        state = event.payload.client_state
        if not state:
            return False
        with self._lock:
            early = self._early.get(state)
            if early is not None:
                early.append(event)
                return True
            lost = state in self._lost
        if lost:
            self._hang_up(event)
        return lost

    def _hang_up(self, event: Event) -> None:
        """End a leg that nobody knows how to talk to."""
        if isinstance(event.payload, CallHangup):
            return
        logger.warning("hung up a leg whose dial counts as failed")
        try:
            self._control.hangup(event.call_control_id)
        except CommandError as error:
            logger.warning("could not hang it up: %s", error)


def _info(
    status: LegStatus,
    to: str,
    from_: str,
    connection_id: str,
    linked: CallInfo | None,
    state: str,
) -> CallInfo:
    key = status.call_leg_id or status.call_control_id
    session = "" if linked is None else linked.call_session_id
    return CallInfo(
        call_control_id=status.call_control_id,
        call_leg_id=status.call_leg_id,
        call_session_id=status.call_session_id or session,
        connection_id=connection_id,
        direction="outbound",
        from_number=from_,
        to_number=to,
        client_state=state,
        tag=hashlib.sha256(key.encode()).hexdigest()[:6],
    )
