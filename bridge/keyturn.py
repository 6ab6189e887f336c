"""Keys that the caller presses one after another, until they are a turn.

Pure: ``now`` is an argument.
"""

from __future__ import annotations

from bridge.decisions import Turn, TurnSettings

__all__ = ["KeyTurn"]


class KeyTurn:
    """The turn of keys that the caller is in, or an empty one.

    Attributes:
        digits: pressed so far.
    """

    def __init__(self, settings: TurnSettings) -> None:
        self.digits = ""
        self._settings = settings
        # When the first and the last were pressed.
        self._began_at = 0.0
        self._last_at = 0.0

    def press(self, digit: str, now: float) -> None:
        """Take in a key."""
        if not self.digits:
            self._began_at = now
        self.digits += digit
        self._last_at = now

    @property
    def due(self) -> float | None:
        """When the turn is over unless another key is pressed; ``None`` if there is none."""
        if not self.digits:
            return None
        end = self._settings.digit_end
        if end and self.digits.endswith(end):
            return self._last_at
        return self._last_at + self._settings.digit_wait

    def take(self, now: float) -> Turn | None:
        """Get the turn and begin anew, if it is over."""
        due = self.due
        if due is None or due > now:
            return None
        turn = Turn(digits=self.digits, started_at=self._began_at, ended_at=self._last_at)
        self.digits = ""
        return turn
