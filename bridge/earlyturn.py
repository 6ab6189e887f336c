"""A turn that the agent got before it was sure, and what becomes of it.

A reply takes time to think of, and the silence that tells the end of a turn takes time too.  Both
can pass at once: the agent gets the turn as soon as its end is expected, and its reply is held back
until the end is certain.  If the caller goes on instead, the reply is dropped unheard, and later
the agent gets the whole turn, as if nothing had been.

Pure.  Guarded by the conversation's lock.

Rules of this module:

1. A turn that was taken back is in no history and no record, and neither is its reply.
2. What the agent still says to a turn that was taken back is not said: until it listens again.
"""

from __future__ import annotations

from collections import deque

from bridge.decisions import Turn

__all__ = ["EarlyTurn"]


class EarlyTurn:
    """The turn that is expected, if one is.

    Attributes:
        turn: as the agent gets it; ``None`` when none is expected.
        revoked: whether the agent still thinks of one that was taken back.
    """

    def __init__(self) -> None:
        self.turn: Turn | None = None
        self.revoked = False

    def expect(self, turn: Turn, waiting: deque[Turn]) -> None:
        """Give a turn to the agent before it is sure."""
        self.turn = turn
        waiting.append(turn)

    def confirm(self, turn: Turn, waiting: deque[Turn]) -> bool:
        """Make it sure; False if it was not expected, and the agent is still to get it."""
        expected = self.turn
        if expected is None or turn.digits:
            return False
        self.turn = None
        for place, waits in enumerate(waiting):
            if waits is expected:
                # It has its last punctuation and its times now.
                waiting[place] = turn
        return True

    def revoke(self, waiting: deque[Turn]) -> bool:
        """Take it back; whether the agent has it already."""
        expected, self.turn = self.turn, None
        if expected is None:
            return False
        for place, waits in enumerate(waiting):
            if waits is expected:
                del waiting[place]
                return False
        self.revoked = True
        return True
