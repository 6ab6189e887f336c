"""The keys of a call: those that the caller presses, and those that are pressed for a machine.

Threads: the agent's own.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.callline import OnLine
from bridge.keypad import KeyRules

__all__ = ["Keying"]


class Keying(OnLine):
    """Keys, in both directions."""

    def gather(
        self,
        prompt: str | Iterable[str] | None = None,
        *,
        digits: int | tuple[int, int] = 32,
        terminator: str = "#",
        timeout: float = 8.0,
        between: float = 4.0,
        valid: str = "0123456789*#",
        attempts: int = 2,
        reprompt: str | None = None,
        interruptible: bool = True,
        private: bool = False,
    ) -> str:
        """Ask for keys: a choice from a menu, an account number, a PIN.

        The first key ends the prompt.  What is pressed is in no log, history or record.

        Args:
            prompt: what to say; ``None`` says nothing.
            digits: how many are wanted: exactly so many, as ``4``, or from and to, as ``(4, 6)``;
                they are complete with the last one.  Left out: any number, up to the terminator.
            terminator: the key that ends them; ``""`` for none.
            timeout: seconds to wait for the first key, from the end of the prompt.
            between: seconds to wait for each further key.
            valid: keys that count.
            attempts: how often to ask in all.
            reprompt: what to say instead of ``prompt`` from the second attempt on.
            interruptible: whether a key or a voice ends the prompt.
            private: whether recording and transcription pause meanwhile.

        Returns:
            The keys, without the terminator; ``""`` when there were too few in every attempt.

        Raises:
            CallEnded: the call is over.
            ValueError: what is asked for makes no sense.
        """
        wanted = digits if isinstance(digits, tuple) else (digits, digits)
        if len(wanted) != 2 or not all(isinstance(number, int) for number in wanted):
            raise ValueError("digits: how many, as 4, or from and to, as (4, 6)")
        least, most = wanted
        if digits == 32:
            least = 1
        rules = KeyRules(most, least, terminator, timeout, between, valid.replace(terminator, ""))
        return self._line.gather(
            prompt,
            rules,
            attempts=attempts,
            reprompt=reprompt,
            interruptible=interruptible,
            private=private,
        )

    def send_digits(self, keys: str, *, duration_ms: int = 250) -> None:
        """Press keys, for a machine at the other end; blocks for as long as that takes.

        Args:
            keys: ``0-9 * # A-D``; ``w`` waits half a second, ``W`` a whole one.
            duration_ms: of each key, 100 to 500.

        Raises:
            CallEnded: the call is over.
            CommandError: Telnyx refused.
            ValueError: there is something else in ``keys``.
        """
        self._line.press(keys, duration_ms)
