"""What goes wrong on demand.

Every fault here happens with the real service or with a real network.  They are switched on and off
while calls run, and each acts on what comes after it was set.

Threads: fields may be set from any thread; :meth:`Faults.fail` and :meth:`Faults.take` lock.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass
class CommandFailure:
    """One answer that a command gets instead of its own.

    Attributes:
        status: the HTTP status, 503 for one; 0 cuts the connection without an answer.
        code: Telnyx's error code in the body.
        executed: whether the command is carried out all the same.
        times: how many more commands it strikes.
    """

    status: int
    code: str = "10007"
    executed: bool = False
    times: int = 1


@dataclass
class Faults:
    """Faults that are on.

    Attributes:
        duplicate_webhooks: every webhook is delivered twice, with the same id.
        delay_webhooks: seconds by which every webhook comes late.
        shuffle_webhooks: seconds within which webhooks of one leg overtake each other.
        unsigned_webhooks: webhooks come without the signature headers.
        drop_webhooks: event types that are never delivered.
        slow_rest: seconds before every REST answer.
        lose_media: every n-th media frame to the client is not sent; 0 is off.
        swap_media: every n-th media frame to the client changes places with the next one.
    """

    duplicate_webhooks: bool = False
    delay_webhooks: float = 0.0
    shuffle_webhooks: float = 0.0
    unsigned_webhooks: bool = False
    drop_webhooks: frozenset[str] = frozenset()
    slow_rest: float = 0.0
    lose_media: int = 0
    swap_media: int = 0
    _failures: dict[str, list[CommandFailure]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def fail(
        self,
        command: str,
        status: int = 503,
        *,
        code: str = "10007",
        executed: bool = False,
        times: int = 1,
    ) -> None:
        """Let the next ``times`` commands of that name fail.

        Args:
            command: the action's name, ``"answer"``; ``"dial"``; or ``"*"`` for any request.
            status: the HTTP status of the answer; 0 cuts the connection without one.
            code: Telnyx's error code in the body.
            executed: whether the command is carried out all the same, as when only its answer is
                lost: the case that ``command_id`` is for.
            times: how many commands it strikes.
        """
        with self._lock:
            failures = self._failures.setdefault(command, [])
            failures.append(CommandFailure(status, code, executed, times))

    def take(self, command: str) -> CommandFailure | None:
        """Get the failure that strikes this command now, if one does."""
        with self._lock:
            for name in (command, "*"):
                failures = self._failures.get(name)
                if failures:
                    failure = failures[0]
                    failure.times -= 1
                    if failure.times <= 0:
                        failures.pop(0)
                    return failure
        return None
