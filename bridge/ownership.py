"""Whose a leg is: this process's, or by now another's.

A leg lives in one process at a time.  It changes hands when its process stops, dies, or cannot be
reached for a while (Telnyx keeps the leg up), and in the last case the process that has lost it may
not know.  So whoever is about to act on a leg of which it has no media stream asks first: there is
one stream per call, and who has that has the call.

Threads: any thread may call any method; what asks Redis blocks while it answers.
"""

from __future__ import annotations

from bridge.elsewhere import Elsewhere
from bridge.errors import CallEnded, CommandError
from bridge.registry import Registry
from bridge.roster import Roster
from bridge.worker import MOVED, CallWorker

__all__ = ["Ownership"]


class Ownership:
    """What a leg of this process asks, and tells, of the other processes."""

    def __init__(self, roster: Roster, registry: Registry, elsewhere: Elsewhere) -> None:
        """Make it.

        Args:
            roster: the legs of this process.
            registry: the facts shared with other processes.
            elsewhere: the other processes.
        """
        self._roster = roster
        self._registry = registry
        self._elsewhere = elsewhere

    def in_touch(self) -> bool:
        """Whether it would be known here that another process has taken a leg."""
        return self._elsewhere.joined

    def holds(self, key: str) -> bool | None:
        """Whether a leg is this process's still; ``None`` if that cannot be known now."""
        return self._elsewhere.holds(key)

    def require(self, key: str, verb: str) -> None:
        """Refuse a command to a leg that may be another process's by now.

        Args:
            key: the leg's ``call_control_id``.
            verb: the command.

        Raises:
            CallEnded: it is another's, and has been let go of here.
            CommandError: that cannot be known now.
        """
        worker = self._roster.get(key)
        # One with a stream is ours.
        if worker is None or worker.streaming or not worker.talking:
            return
        held = self.holds(key)
        if held is None:
            raise CommandError(verb, "Redis is away, and so is the media stream", retryable=True)
        if not held:
            worker.let_go()
            raise CallEnded("another process has the call")

    def leave(self, worker: CallWorker) -> bool:
        """Take no more events and sockets for a leg; whether it is ours to hang up."""
        key = worker.info.call_control_id
        current = self._roster.leave(worker)
        if worker.reason != MOVED:
            return self._registry.end(key) and not self._out_of_sight(worker)
        if current:
            self._registry.forget(key)
        return False

    def departed(self, worker: CallWorker) -> None:
        """Tell that the agent of a leg that goes over to another process has fallen silent."""
        self._elsewhere.departed(worker.info)

    def _out_of_sight(self, worker: CallWorker) -> bool:
        """Whether a leg may be another process's by now, without our knowing."""
        if self.in_touch():
            return False
        # A stream that was stopped is not that: the leg waits for the webhook that goes with it.
        return worker.reason != "caller" and worker.talking and not worker.streaming
