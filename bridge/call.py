"""What an agent function sees of a phone call.

An agent is one blocking function that is called once per phone call, on a thread of its own, with a
:class:`Call`.  Everything here may be called from that thread only.  When the call ends, whichever
way, a method that is waiting is woken at once: ``turns()`` simply ends, every other one raises
:class:`~bridge.errors.CallEnded`, so ``try/finally`` in the agent does what it always does.

Threads: the agent's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bridge.callfacts import CallInfo, Remark, Reply
from bridge.callkeys import Keying
from bridge.callline import Line
from bridge.callothers import Reaching
from bridge.decisions import Turn

if TYPE_CHECKING:
    from bridge.callcontrol import CommandResult
    from bridge.events import Event

__all__ = ["Agent", "Call", "CallInfo", "Line", "Remark", "Reply", "Turn"]


class Call(Reaching, Keying):
    """A phone call, to talk on.

    Attributes:
        state: a dictionary for the agent's own use during this call.
        resumed: whether an earlier agent already held this call, in a process that is gone;
            ``history`` then has what was said.
    """

    def __init__(
        self,
        line: Line,
        *,
        resumed: bool = False,
        on_notice: Callable[[], object] = lambda: None,
    ) -> None:
        self._line = line
        self.state: dict[str, Any] = {}
        self._resumed = resumed
        # Told when the agent asks whether the call is a resumed one.
        self._on_notice = on_notice

    @property
    def resumed(self) -> bool:
        """Whether an earlier agent already held this call, in a process that is gone."""
        self._on_notice()
        return self._resumed

    @property
    def info(self) -> CallInfo:
        """The facts of the call: numbers, direction, ids, headers, codec."""
        return self._line.info

    @property
    def history(self) -> tuple[Remark, ...]:
        """What was said and *heard* so far, oldest first."""
        return self._line.history

    @property
    def events(self) -> tuple[Event, ...]:
        """Every webhook event of this leg so far, oldest first; ``event.raw`` is all of one."""
        return self._line.events

    def wait_for_event(self, *event_types: str, timeout: float | None = None) -> Event | None:
        """Wait for a webhook event that comes from now on.

        Args:
            *event_types: ``"call.recording.saved"``, …; any, if none is named.
            timeout: seconds; ``None`` waits as long as the call lasts.

        Returns:
            The event; ``None`` after ``timeout`` seconds.

        Raises:
            CallEnded: the call is over.
        """
        return self._line.await_event(event_types, timeout)

    def command(self, name: str, **fields: object) -> CommandResult:
        """Send any Call Control command to this leg: ``call.command("record_start", …)``.

        Args:
            name: Telnyx's name of it, the last word of its address.
            **fields: its fields.

        Raises:
            CallEnded: the call is over.
            CommandError: Telnyx refused.
        """
        return self._line.command(name, fields)

    def limit(self, seconds: float, last_words: str | None = None) -> None:
        """Let the call last no longer than so many seconds from its beginning; returns at once.

        When they are over, the reply that is spoken is dropped, the last words are said, and the
        call is hung up.  The agent gets ``CallEnded``.

        Args:
            seconds: the limit; ``BRIDGE_MAX_SECONDS`` is the one of every call.
            last_words: what is said; ``BRIDGE_LAST_WORDS`` if ``None``.

        Raises:
            CallEnded: the call is over.
        """
        self._line.limit(seconds, last_words)

    def stay(self, seconds: float | None = None) -> None:
        """Do nothing until the call ends, or for so many seconds.

        Raises:
            CallEnded: the call is over.
        """
        self._line.stay(seconds)

    def hangup(self) -> None:
        """End the call; return at once.  Every later method raises ``CallEnded``."""
        self._line.leave()


Agent = Callable[[Call], object]
"""A function that is called once per phone call, with the call."""
