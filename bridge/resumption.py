"""What becomes of a call whose agent is gone: its process was stopped, or has died.

The call goes on in another process, where no agent function is half-way through it.  The agent's
author knows best how to go on, and may not have thought of it, so there are three ways, and the
first that applies is taken:

1. ``BRIDGE_RESUME=transfer:<number>``: a line is said, and the caller is put through.
   ``BRIDGE_RESUME=hangup``: the line is said, and the call ends.
2. The agent has a function ``resume(call)`` beside it (in its module, or as an attribute of the
   agent): it is called.
3. The agent is called again with ``call.resumed`` true and the history so far.  One that has looked
   at neither by its first words does not know that anything happened; the line is said before them.

Threads: the agent's own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from bridge.call import Agent, Call

__all__ = ["Resumption", "agent_name"]


class Resumption:
    """How calls are resumed."""

    def __init__(self, policy: str, line: str, *, transfer: Callable[[Call, str], object]) -> None:
        """Decide.

        Args:
            policy: ``"again"``, ``"hangup"`` or ``"transfer:<number>"``.
            line: what the caller hears first.
            transfer: puts a call through to a number; returns when that call is over.
        """
        self._policy = policy
        self._transfer = transfer
        self._line = line

    def choose(self, agent: Agent) -> tuple[Agent, str]:
        """Get the function that goes on with a call which ``agent`` held.

        Returns:
            The function, and what the caller hears before its first words if it has looked at
            neither ``call.resumed`` nor ``call.history`` by then.
        """
        kind, _, number = self._policy.partition(":")
        if kind == "transfer":
            return lambda call: self._put_through(call, number), ""
        if kind == "hangup":
            return lambda call: call.say(self._line, interruptible=False), ""
        hook = _hook_of(agent)
        return (agent, self._line) if hook is None else (hook, "")

    def _put_through(self, call: Call, number: str) -> None:
        call.say(self._line, interruptible=False)
        self._transfer(call, number)


def _hook_of(agent: Agent) -> Agent | None:
    """Find the ``resume`` function beside an agent."""
    beside = sys.modules.get(getattr(agent, "__module__", None) or "")
    for place in (agent, beside):
        hook = getattr(place, "resume", None)
        if callable(hook) and hook is not agent:
            found: Agent = hook
            return found
    return None


def agent_name(agent: Agent) -> str:
    """Name an agent so that another process can find it, ``"module:function"``; or ``""``."""
    module, name = getattr(agent, "__module__", ""), getattr(agent, "__qualname__", "")
    found: object = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is agent else ""
