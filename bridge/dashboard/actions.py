"""What a person can do to a live call: hang it up, or put the caller through to somebody.

Threads: a request's own.
"""

from __future__ import annotations

import logging
import re
from datetime import datetime, timezone
from typing import Literal, Protocol

from bridge.callcontrol import CallControl, is_call_ended
from bridge.errors import CommandError
from bridge.listenin import ListenIn
from bridge.records.schema import CallRecord
from bridge.records.store import RecordStore

__all__ = ["NOTICES", "Actions", "Calls", "Outcome", "number_of"]

logger = logging.getLogger(__name__)

_E164 = re.compile(r"\+[1-9][0-9]{5,14}")
_SIP = re.compile(r"sips?:[^\s@]+@[^\s@]+", re.IGNORECASE)


Outcome = Literal["hanging-up", "ringing", "over", "nobody", "no-number"]

# What is said of each.
NOTICES: dict[str, str] = {
    "hanging-up": "The call is being hung up.",
    "ringing": "The other phone is ringing. If nobody answers, the call goes on here.",
    "over": "The call was over already.",
    "nobody": "No process holds this call any more, so it cannot be transferred.",
    "no-number": "That is no number. Write it like +12025550100, or a SIP address.",
}


class Calls(Protocol):
    """The calls of this process and those it can reach."""

    def hang_up(self, key: str) -> bool:
        """End a leg by one of its ids; whether there was one."""

    def transfer(self, key: str, to: str) -> bool:
        """Put a leg's caller through; returns at once; whether there was such a leg."""

    @property
    def listeners(self) -> ListenIn:
        """Who listens to live calls."""


class Actions:
    """Does what the buttons say."""

    def __init__(self, calls: Calls, control: CallControl, store: RecordStore) -> None:
        """Make them.

        Args:
            calls: of this process.
            control: reaches a call that nobody holds any more.
            store: is told that such a call is over.
        """
        self._calls = calls
        self._control = control
        self._store = store

    def hang_up(self, record: CallRecord) -> Outcome:
        """End a call; what came of it.

        Raises:
            CommandError: Telnyx refused.
            RecordsError: the database failed.
        """
        if record.ended_at is not None:
            return "over"
        if not self._calls.hang_up(record.id):
            try:
                self._control.hangup(record.call_control_id)
            except CommandError as error:
                if not is_call_ended(error):
                    raise
            # Nobody else will say so, unless Telnyx does, whose word then comes second.
            now = datetime.now(timezone.utc)
            self._store.save_call(record.id, ended_at=now, reason="operator")
        logger.info("someone hung up a call in the dashboard")
        return "hanging-up"

    def transfer(self, record: CallRecord, to: str) -> Outcome:
        """Put a caller through; what came of it."""
        number = number_of(to)
        if number is None:
            return "no-number"
        if record.ended_at is not None:
            return "over"
        if not self._calls.transfer(record.id, number):
            return "nobody"
        logger.info("someone transferred a call in the dashboard")
        return "ringing"


def number_of(text: str) -> str | None:
    """Get the number or SIP address that somebody typed; ``None`` if it is neither."""
    bare = re.sub(r"[\s().\-/]", "", text)
    if _E164.fullmatch(bare):
        return bare
    return text.strip() if _SIP.fullmatch(text.strip()) else None
