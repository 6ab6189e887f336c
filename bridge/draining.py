"""End the calls of a process that stops, or better: have other processes go on with them.

A process is told to stop by SIGTERM and has a while for it.  Most calls end in that while by
themselves.  What is left goes over to processes that take calls; where there are none, the callers
hear a few last words.

Threads: any; :meth:`Draining.drain` blocks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from bridge.admission import Admission
from bridge.callcontrol import CallControl
from bridge.elsewhere import Elsewhere
from bridge.errors import CommandError
from bridge.inheritance import Inheritance
from bridge.overflow import Overflow
from bridge.registry import Registry
from bridge.roster import Roster
from bridge.worker import HANDOVER_WAIT, JOIN
from telnyx_media.sync.threads import Deadline

__all__ = ["Draining"]

logger = logging.getLogger(__name__)

# Seconds of draining that are kept for the last words of calls which nobody can take over.
GOODBYE = 6.0


class Draining:
    """The end of a process's calls.

    Attributes:
        handing_over: whether other processes are to take the calls by now.
    """

    def __init__(
        self,
        roster: Roster,
        overflow: Overflow,
        admission: Admission,
        *,
        line: str,
        control: CallControl,
        registry: Registry,
        elsewhere: Elsewhere,
    ) -> None:
        """Prepare.

        Args:
            roster: the legs of this process.
            overflow: has the calls that wait.
            admission: takes calls up.
            line: the last words, or ``"off"``.
            control: sends the commands.
            registry: the facts shared with other processes.
            elsewhere: the other processes.
        """
        self._roster = roster
        self._overflow = overflow
        self._admission = admission
        self._line = "" if line == "off" else line
        self._control = control
        self._registry = registry
        self._elsewhere = elsewhere
        self.handing_over = False

    def drain(self, timeout: float, stop_accepting: Callable[[], object]) -> bool:
        """Take no more calls, wait for the live ones, hand over or say goodbye to those left.

        Args:
            timeout: seconds that the calls may go on, of which the last few are for a goodbye where
                no other process takes calls; those left then have a few more to end.
            stop_accepting: called before calls are handed over.

        Returns:
            Whether all are gone.
        """
        deadline = Deadline(timeout)
        self._roster.shut()
        self._roster.wait_gone(timeout - min(GOODBYE, timeout / 2))
        left = self._roster.here()
        if left and timeout > 0 and not self._elsewhere.others():
            # What is left of the time is for a few words: nobody can go on with these calls.
            logger.info("said goodbye on %d calls that went on for too long", len(left))
            for worker in left:
                worker.say_goodbye(self._line, deadline.remaining() or 0.0)
        self._roster.wait_gone(deadline.remaining())
        count = len(self._roster) + len(self._overflow.waiting())
        if count and timeout > 0 and self._elsewhere.others():
            logger.info("handing over %d calls that went on for too long", count)
            stop_accepting()
            self._hand_over()
        self._dismiss()
        left = self._roster.here()
        if left:
            logger.info("hung up %d calls that went on for too long", len(left))
        for worker in left:
            worker.end("drain")
        return self._roster.wait_gone(JOIN)

    def _hand_over(self) -> None:
        """Have other processes take the calls; returns when they have, or time is up."""
        left = self._roster.here()
        self.handing_over = True
        self._elsewhere.shut()
        # Those who wait have no worker that could hand them over.
        while (call := self._overflow.next()) is not None:
            self._overflow.stop_music(call)
            left.append(self._admission.take_over(Inheritance(call.info, age=call.age)))
        for worker in left:
            worker.hand_over()
        self._roster.wait_left(HANDOVER_WAIT)

    def _dismiss(self) -> None:
        """Hang up on those who wait."""
        for call in self._overflow.waiting():
            key = call.info.call_control_id
            if self._overflow.remove(key) is not None and self._registry.end(key):
                try:
                    self._control.hangup(key)
                except CommandError as error:
                    logger.warning("could not hang up: %s", error)
