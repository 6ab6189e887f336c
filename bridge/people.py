"""Bring somebody else to a call, or the call to somebody else.

Telnyx accepts such a command at once and tells by webhooks what came of it, mostly on another leg
(Telnyx: sending-commands page).  Here each is one blocking method: it returns when it is done, and
raises when it failed and the call goes on.

Threads: the agent's.  Every method blocks and is woken by the end of the call.

Rules of this module:

1. A leg that was handed over is let go without a hang-up: it is somebody else's call now.
2. A leg that rings for nobody any more is hung up, whatever happened.
3. A dial is sent once; see :meth:`bridge.callcontrol.CallControl.dial`.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from bridge.callcontrol import CallControl
from bridge.errors import BridgeError, CallEnded, CommandError, DialFailed, TransferFailed
from bridge.events import CallBridged, CallHangup, CallInitiated, Event, MachineDetection
from bridge.legevents import LegEvents

if TYPE_CHECKING:
    from bridge.call import Call, CallInfo

__all__ = ["Guest", "OtherLeg", "Owner", "People", "new_state", "ring_seconds"]

# Seconds beyond a phone's ringing in which Telnyx has to have said what came of it.
SLACK = 10.0

# Seconds that a leg may ring (Telnyx: timeout_secs of dial and transfer).
SHORTEST_RING, LONGEST_RING = 5, 600

# Seconds from the command to the bridge of two legs that are there.
BRIDGE_WAIT = 10.0

# What Telnyx calls those who answer, and we (Telnyx: answering-machine callbacks).
ANSWERERS = {
    "human": "human",
    "human_residence": "human",
    "human_business": "human",
    "machine": "machine",
    "fax_detected": "fax",
    "silence": "silence",
    "screening": "screening",
}


class OtherLeg(Protocol):
    """A leg that was dialled, as whoever dialled it needs it."""

    @property
    def hangup_cause(self) -> str:
        """Why it ended, in Telnyx's words; ``""`` while it lasts."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""

    def end(self, reason: str) -> bool:
        """End it; returns at once."""

    def when_over(self, tell: Callable[[], object]) -> None:
        """Call ``tell`` when it ends; at once if it has."""


class Owner(OtherLeg, Protocol):
    """The leg that is to be handed over."""

    @property
    def info(self) -> CallInfo:
        """Its facts."""

    def end_by_agent(self, reason: str) -> bool:
        """End it because the agent wants to; returns at once."""

    def pass_on(self, begun: bool) -> None:
        """Take its media stream's end for nothing, as long as it is being passed on."""

    def dial(
        self, to: str, guest: Guest, *, from_: str, timeout: float, fields: Mapping[str, object]
    ) -> OtherLeg:
        """Dial somebody, on whose leg ``guest`` will be."""


class Guest:
    """The agent function of a leg on which another leg's function talks."""

    def __init__(self, tell: Callable[[], object]) -> None:
        """Make one.

        Args:
            tell: called when the leg can be talked on.
        """
        self.call: Call | None = None
        self._tell = tell

    def __call__(self, call: Call) -> None:
        """Hold the leg until it ends."""
        self.call = call
        self._tell()
        call.stay()


class People:
    """Everybody else than caller and agent."""

    def __init__(self, owner: Owner, control: CallControl, events: LegEvents) -> None:
        """Make them for one leg.

        Args:
            owner: the leg.
            control: sends the commands.
            events: what comes of them.
        """
        self._owner = owner
        self._control = control
        self._events = events
        self._screened = 0

    @property
    def _key(self) -> str:
        return self._owner.info.call_control_id

    # -- handing over -----------------------------------------------------------------------------

    def transfer(
        self, to: str, *, from_: str | None, timeout: float, fields: Mapping[str, object]
    ) -> None:
        """Connect the caller with somebody else and leave the call; see ``Call.transfer``."""
        state, start = new_state(), len(self._events.all)

        def outcome() -> str | None:
            if any(isinstance(e.payload, CallBridged) for e in self._events.all[start:]):
                return "bridged"
            return next((_cause(e) for e in self._of(state) if _cause(e)), None)

        with self._handing_over("transferred"):
            try:
                self._send(
                    "transfer",
                    to=to,
                    from_=from_,
                    timeout_secs=ring_seconds(timeout),
                    target_leg_client_state=state,
                    **fields,
                )
                result = self._events.wait(outcome, ring_seconds(timeout) + SLACK)
            except CallEnded:
                self._give_up(state)
                raise
            if result != "bridged":
                self._give_up(state)
                raise TransferFailed("the transfer failed", result or "timeout")

    def refer(self, sip_address: str, *, timeout: float, fields: Mapping[str, object]) -> None:
        """Have the caller's provider call somewhere else; see ``Call.refer``."""
        if timeout <= 0:
            raise BridgeError("the timeout of a refer is seconds, more than 0")
        start = len(self._events.all)

        def outcome() -> str | None:
            for event in self._events.all[start:]:
                if event.event_type == "call.refer.completed":
                    return "completed"
                if event.event_type == "call.refer.failed":
                    return "refused"
            return None

        with self._handing_over("referred"):
            self._send("refer", sip_address=sip_address, **fields)
            result = self._events.wait(outcome, timeout)
            if result != "completed":
                raise TransferFailed("the refer failed", result or "timeout")

    def connect(self, other: Call, leg: OtherLeg) -> None:
        """Connect the caller with a leg that was dialled, and leave both; see ``Call.connect``."""
        start = len(self._events.all)

        def outcome() -> str | None:
            if any(isinstance(e.payload, CallBridged) for e in self._events.all[start:]):
                return "bridged"
            return (leg.hangup_cause or "refused") if leg.is_over else None

        with self._handing_over("connected"):
            if other.ended:
                raise TransferFailed("the connection failed", leg.hangup_cause or "refused")
            self._send("bridge", other=other.info.call_control_id)
            result = self._events.wait(outcome, BRIDGE_WAIT)
            if result != "bridged":
                self._check()
                raise TransferFailed("the connection failed", result or "timeout")
            # Before ours ends, which would take the other one with it.
            leg.end("connected")

    @contextlib.contextmanager
    def _handing_over(self, reason: str) -> Iterator[None]:
        self._owner.pass_on(True)
        try:
            yield
        except BaseException:
            self._owner.pass_on(False)
            raise
        self._owner.end(reason)

    def _send(self, name: str, **fields: object) -> None:
        try:
            getattr(self._control, name)(self._key, **fields)
        except CommandError as error:
            self._check()
            raise TransferFailed(f"the {name} failed: {error.title}", "refused") from error

    def _check(self) -> None:
        """Tell a failure from the end of the call, which may be why."""
        if self._owner.is_over:
            raise CallEnded("the call is over")

    def _of(self, state: str) -> list[Event]:
        """Get the events of the leg that a transfer with this state has made."""
        return [e for e in self._events.related if e.payload.client_state == state]

    def _give_up(self, state: str) -> None:
        """Hang up whoever is still being called."""
        events = self._of(state)
        if not any(isinstance(e.payload, CallHangup) for e in events):
            for key in {e.call_control_id for e in events if isinstance(e.payload, CallInitiated)}:
                with contextlib.suppress(CommandError):
                    self._control.hangup(key)

    # -- a second leg -----------------------------------------------------------------------------

    def dial(
        self, to: str, *, from_: str | None, timeout: float, fields: Mapping[str, object]
    ) -> tuple[Call, OtherLeg]:
        """Call somebody and wait until they can be talked to; see ``Call.dial``."""
        if not isinstance(to, str):
            raise DialFailed("a number like +12025550123, or a SIP URI, can be dialled", "refused")
        info = self._owner.info
        own = info.to_number if info.direction == "inbound" else info.from_number
        guest = Guest(self._events.poke)
        leg = self._owner.dial(to, guest, from_=from_ or own, timeout=timeout, fields=fields)
        leg.when_over(self._events.poke)
        try:
            self._events.wait(
                lambda: True if guest.call is not None or leg.is_over else None,
                ring_seconds(timeout) + 2 * SLACK,
            )
        except BaseException:
            leg.end("not wanted")
            raise
        if guest.call is None or leg.is_over:
            leg.end("not answered")
            self._check()
            raise DialFailed("the call was not answered", leg.hangup_cause or "no_answer")
        return guest.call, leg

    # -- who answered -----------------------------------------------------------------------------

    def who_answered(self, timeout: float) -> str:
        """Wait for the verdict of answering-machine detection; see ``Call.who_answered``."""

        def verdict() -> str | None:
            events = self._events.all
            for place in range(self._screened, len(events)):
                payload, kind = events[place].payload, events[place].event_type
                if not isinstance(payload, MachineDetection):
                    continue
                if kind.endswith(".greeting.ended"):
                    return "machine"
                if payload.result == "screening":
                    self._screened = place + 1
                if kind.endswith((".detection.ended", ".call_screening.detected")):
                    return ANSWERERS.get(payload.result, "unknown")
            return None

        return self._events.wait(verdict, timeout) or "unknown"

    def await_beep(self, timeout: float) -> bool:
        """Wait for the end of a machine's greeting; see ``Call.await_beep``."""

        def greeted() -> bool | None:
            kinds = [e.event_type for e in self._events.all]
            return any(kind.endswith(".greeting.ended") for kind in kinds) or None

        return bool(self._events.wait(greeted, timeout))


def new_state() -> str:
    """Make a ``client_state`` that nobody else has: base64, as Telnyx wants it."""
    return base64.b64encode(b"bridge:" + secrets.token_hex(12).encode()).decode()


def ring_seconds(timeout: float) -> int:
    """Get the seconds that a phone may ring, as Telnyx takes them."""
    if timeout <= 0:
        raise BridgeError("the timeout of a call to somebody is seconds, more than 0")
    return int(min(LONGEST_RING, max(SHORTEST_RING, round(timeout))))


def _cause(event: Event) -> str | None:
    payload = event.payload
    return (payload.hangup_cause or "refused") if isinstance(payload, CallHangup) else None
