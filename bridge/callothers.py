"""Everybody else: who is put through, consulted or dialled, and who answered.

Threads: the agent's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from bridge.callfacts import Reply
from bridge.callsound import Sounding
from bridge.calltalk import Talking
from bridge.errors import CallEnded

if TYPE_CHECKING:
    from bridge.call import Call
    from bridge.sounds import Sound

__all__ = ["Reaching"]


class Reaching(Talking, Sounding):
    """Other people, and machines that answer in their place."""

    def transfer(
        self,
        to: str,
        *,
        from_: str | None = None,
        timeout: float = 30.0,
        music: Sound | None = "music",
        **fields: object,
    ) -> None:
        """Connect the caller with somebody else, and leave the call to the two of them.

        Blocks until they talk to each other.  The call is over for the agent then: every method
        raises ``CallEnded``, and the function's return hangs nobody up.

        Args:
            to: E.164 number or SIP URI.
            from_: the number shown to them; the one that was called, if ``None``.
            timeout: seconds that their phone may ring.
            music: what the caller hears meanwhile; ``None`` for nothing.
            **fields: further fields of Telnyx's ``transfer``.

        Raises:
            TransferFailed: nobody answered, or the number is busy or wrong; the call goes on.
            CallEnded: the caller has hung up meanwhile.
        """
        with self._on_hold(music):
            self._line.people.transfer(to, from_=from_, timeout=timeout, fields=fields)

    def refer(self, sip_address: str, *, timeout: float = 30.0, **fields: object) -> None:
        """Hand the call over to a SIP address by REFER, and leave it.

        Args:
            sip_address: where the caller's provider is to call.
            timeout: seconds until it has said what came of it.
            **fields: further fields of Telnyx's ``refer``.

        Raises:
            TransferFailed: it was refused, or nothing was said in time; the call goes on.
            CallEnded: the caller has hung up meanwhile.
        """
        self._line.people.refer(sip_address, timeout=timeout, fields=fields)

    def dial(
        self, to: str, *, from_: str | None = None, timeout: float = 30.0, **fields: object
    ) -> Call:
        """Call somebody else, on a second leg, and get that as a call to talk on here.

        Blocks until they have answered.  The second call is hung up when this one ends.

        Args:
            to: E.164 number or SIP URI.
            from_: the number shown to them; the one that was called, if ``None``.
            timeout: seconds that their phone may ring.
            **fields: further fields of Telnyx's ``dial``.

        Raises:
            DialFailed: nobody answered, or the number is busy or wrong; this call goes on.
            CallEnded: the caller has hung up meanwhile.
        """
        return self._line.dial(to, from_=from_, timeout=timeout, fields=fields)

    def connect(self, other: Call) -> None:
        """Connect the caller with a call that :meth:`dial` has made, and leave both.

        Args:
            other: the second call.

        Raises:
            TransferFailed: they have hung up; this call goes on.
            CallEnded: the caller has hung up meanwhile.
        """
        self._line.connect(other)

    def consult(
        self,
        to: str,
        brief: str | Callable[[Call], object],
        *,
        from_: str | None = None,
        timeout: float = 30.0,
        music: Sound | None = "music",
        **fields: object,
    ) -> bool:
        """Call a colleague while the caller waits, brief them, and connect the two.

        Args:
            to: E.164 number or SIP URI of the colleague.
            brief: what to tell them before they are connected; or a function that talks with them
                on a call of its own and returns ``False`` if they won't take the caller.
            from_: the number shown to them; the one that was called, if ``None``.
            timeout: seconds that their phone may ring.
            music: what the caller hears meanwhile; ``None`` for nothing.
            **fields: further fields of Telnyx's ``dial``.

        Returns:
            Whether the two are connected, and the call is over for the agent; if not, the colleague
            declined or hung up, and the caller is back.

        Raises:
            DialFailed: nobody answered; the caller is back.
            CallEnded: the caller has hung up meanwhile.
        """
        with self._on_hold(music):
            colleague = self.dial(to, from_=from_, timeout=timeout, **fields)
            try:
                willing = self._brief(colleague, brief)
                if willing:
                    self.connect(colleague)
            finally:
                colleague.hangup()
            return willing

    def _brief(self, colleague: Call, brief: str | Callable[[Call], object]) -> bool:
        try:
            if callable(brief):
                return brief(colleague) is not False and not colleague.ended
            colleague.say(brief, interruptible=False)
        except CallEnded:
            # Theirs, or ours?
            if self.ended:
                raise
            return False
        return True

    def who_answered(self, timeout: float = 8.0) -> str:
        """Wait until it is known who has answered a call that was dialled with detection.

        After ``"screening"``, a robot that asks who calls and why, say so and ask here again: who
        picks up then is another question.

        Args:
            timeout: seconds to wait.

        Returns:
            ``"human"``, ``"machine"``, ``"screening"``, ``"fax"``, ``"silence"``, or ``"unknown"``:
            it was not to be detected, or could not be.

        Raises:
            CallEnded: the call is over.
        """
        return self._line.people.who_answered(timeout)

    def await_beep(self, timeout: float = 60.0) -> bool:
        """Wait until an answering machine has played its greeting, and its beep if it has one.

        Returns:
            Whether it has; ``False`` after ``timeout`` seconds.

        Raises:
            CallEnded: the call is over.
        """
        return self._line.people.await_beep(timeout)

    def leave_message(self, text: str | Iterable[str], *, timeout: float = 60.0) -> Reply:
        """Wait for the beep, then say something that nobody interrupts.

        Args:
            text: the message.
            timeout: seconds to wait for the beep; then it is said all the same.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: nothing could be synthesised.
        """
        self.await_beep(timeout)
        return self.say(text, interruptible=False)
