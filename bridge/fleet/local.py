"""The calls of this process, as the fleet needs them; and how an event is written for another one.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from bridge.call import CallInfo, Remark
from bridge.events import Event
from bridge.inheritance import Inheritance

__all__ = ["LiveLeg", "Local", "write_event"]


class LiveLeg(Protocol):
    """A leg of this process, as the fleet needs it."""

    @property
    def info(self) -> CallInfo:
        """Its facts."""

    @property
    def talking(self) -> bool:
        """Whether its agent has begun."""

    @property
    def age(self) -> float:
        """Seconds since it began."""

    @property
    def history(self) -> tuple[Remark, ...]:
        """What was said and heard."""


class Local(Protocol):
    """The calls of this process: the switchboard."""

    def deliver(self, event: Event, *, forwarded: bool) -> None:
        """Act on an event that another process took."""

    def recover(self, event: Event) -> None:
        """Act on an event that a process which died had taken."""

    def begin(self, info: CallInfo, *, placed: bool = False) -> None:
        """Take up a call that another process had no room for."""

    def take_over(self, inheritance: Inheritance) -> object:
        """Go on with a leg whose process is gone."""

    def let_go(self, key: str) -> bool:
        """Leave a leg to the process that has it by now; whether it was here."""

    def live(self) -> Sequence[LiveLeg]:
        """Get the legs that are live here."""

    def hang_up(self, key: str) -> bool:
        """End a leg."""

    def transfer(self, key: str, to: str) -> bool:
        """Put a leg's caller through to somebody."""


def write_event(event: Event) -> str:
    """Write an event as its webhook's body had it."""
    data = {
        "id": event.id,
        "event_type": event.event_type,
        "occurred_at": None if event.occurred_at is None else event.occurred_at.isoformat(),
        "payload": event.raw,
    }
    return msgspec.json.encode({"data": data, "meta": {"attempt": event.attempt}}).decode()
