"""Collect the keys that a ``gather`` command asked for.

Telnyx: gather reference page and the ``call.gather.ended`` callback.

Pure: time comes in as ``now``; the owner asks again at :attr:`Gather.deadline`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Gather:
    """One gather.

    Attributes:
        minimum: fewest digits that are valid.
        maximum: number of digits that end it.
        timeout: seconds for the whole of it.
        inter_digit: seconds between two digits.
        initial: seconds until the first digit; ``None`` is the same as ``timeout``.
        terminator: the key that ends it; ``""`` for none.
        valid: keys that count.
        gather_id: the client's name of it.
        begun_at: when it began, seconds.
    """

    minimum: int = 1
    maximum: int = 128
    timeout: float = 60.0
    inter_digit: float = 5.0
    initial: float | None = None
    terminator: str = "#"
    valid: str = "0123456789#*"
    gather_id: str | None = None
    begun_at: float = 0.0
    digits: str = ""
    _last: float | None = field(default=None, repr=False)

    @property
    def deadline(self) -> float:
        """When to call :meth:`poll` next."""
        end = self.begun_at + self.timeout
        if self._last is not None:
            return min(end, self._last + self.inter_digit)
        return end if self.initial is None else min(end, self.begun_at + self.initial)

    def press(self, key: str, now: float) -> str | None:
        """Take a key.

        Returns:
            The status if the gather has ended by it.
        """
        self._last = now
        if key == self.terminator:
            return self._verdict()
        if key not in self.valid:
            return None
        self.digits += key
        return self._verdict() if len(self.digits) >= self.maximum else None

    def poll(self, now: float) -> str | None:
        """Get the status if the gather has ended by waiting."""
        if now < self.deadline:
            return None
        if not self.digits:
            return "timeout"
        return self._verdict()

    def _verdict(self) -> str:
        return "valid" if self.minimum <= len(self.digits) <= self.maximum else "invalid"
