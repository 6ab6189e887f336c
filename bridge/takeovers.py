"""What a leg needs that comes over from another process: its agent, and the events that it missed.

Pure, but for importing the agent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

from bridge.agentrun import APOLOGY
from bridge.agents import load_agent
from bridge.call import Agent, Call
from bridge.errors import AgentError, EventError
from bridge.events import Event, parse_event
from bridge.inheritance import UNNAMED

__all__ = ["find_heir", "missed_events"]

logger = logging.getLogger(__name__)


def find_heir(name: str) -> Agent | None:
    """Get the agent of a leg that comes over; ``None`` for the application's own."""
    if not name:
        return None
    try:
        return load_agent(name) if name != UNNAMED else _apologise
    except AgentError as error:
        logger.error("could not find the agent of a call that came over: %s", error)
        return _apologise


def _apologise(call: Call) -> None:
    """Hold a call whose own agent is gone with its process: end it politely."""
    if not call.resumed:
        # Nobody has talked yet: there is nothing to be sorry for.
        return
    call.say(APOLOGY, interruptible=False)


def missed_events(bodies: Sequence[str], others: Iterable[Event]) -> list[Event]:
    """Get the events that were kept for a leg, each once; what is none is passed over.

    Args:
        bodies: of webhooks, as Redis had them.
        others: that were kept here.
    """
    found = {event.id: event for event in (*_events(bodies), *others)}
    # What became of earlier streams is no news.
    return [e for e in found.values() if not e.event_type.startswith("streaming.")]


def _events(bodies: Sequence[str]) -> Iterator[Event]:
    """Read events that were kept for a leg; what is none is passed over."""
    for body in bodies:
        try:
            yield parse_event(body.encode())
        except EventError as error:
            logger.warning("ignored an event that was kept: %s", error)
