"""Collect the keys that a caller presses: an account number, a menu's choice, a PIN.

Pure: ``now`` is an argument, in seconds.

Rules of this module:

1. What was pressed is in no ``repr``: it may be somebody's card number.
2. A key that does not count is as if it had not been pressed, but for the patience it shows.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KEYS", "Keypad", "KeyRules"]

# What a phone can press (Telnyx: call.dtmf.received callback).
KEYS = frozenset("0123456789*#ABCD")


@dataclass(frozen=True)
class KeyRules:
    """What is collected; times in seconds.

    Attributes:
        most: keys after which it is complete.
        least: keys that are enough when the terminator or silence ends it.
        terminator: the key that ends it, ``""`` for none; not part of the result.
        timeout: silence before the first key that ends it.
        between: silence after a key that ends it.
        valid: keys that count.
    """

    most: int = 32
    least: int = 1
    terminator: str = "#"
    timeout: float = 8.0
    between: float = 4.0
    valid: str = "0123456789*#"

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            ValueError: they make no sense together.
        """
        if not 1 <= self.least <= self.most:
            raise ValueError("digits: at least one, and no fewer at most than at least")
        if len(self.terminator) > 1 or not KEYS.issuperset(self.terminator + self.valid):
            raise ValueError("keys are 0-9, *, #, A-D; the terminator is one of them or none")
        if self.timeout <= 0 or self.between <= 0:
            raise ValueError("timeouts are seconds, more than 0")


class Keypad:
    """One attempt to collect keys.

    Attributes:
        complete: whether it has ended.
        pressed: how many keys counted so far.
    """

    def __init__(self, rules: KeyRules) -> None:
        """Begin; keys count from now on, the patience from :meth:`wait_from` on."""
        self.complete = False
        self._rules = rules
        self._digits = ""
        self._due: float | None = None

    @property
    def pressed(self) -> int:
        """How many keys counted so far."""
        return len(self._digits)

    @property
    def digits(self) -> str:
        """The keys, if they are enough; ``""`` otherwise."""
        return self._digits if len(self._digits) >= self._rules.least else ""

    @property
    def due(self) -> float | None:
        """When silence ends it; ``None`` before anybody waits, and once it is complete."""
        return None if self.complete else self._due

    def wait_from(self, now: float) -> None:
        """Begin to lose patience: the prompt is over."""
        patience = self._rules.between if self._digits else self._rules.timeout
        self._due = now + patience if self._due is None else max(self._due, now + patience)

    def press(self, key: str, now: float) -> None:
        """Take in a key."""
        if self.complete:
            return
        self._due = now + self._rules.between
        if key == self._rules.terminator:
            self.complete = True
        elif key in self._rules.valid:
            self._digits += key
            self.complete = len(self._digits) >= self._rules.most

    def poll(self, now: float) -> bool:
        """Tell whether it has ended, by a key or by silence."""
        if not self.complete and self._due is not None and now >= self._due:
            self.complete = True
        return self.complete
