"""Agents for a bridge that runs in a process of its own."""

from __future__ import annotations

from bridge import Call


def listener(call: Call) -> None:
    """Hear the caller out, and say nothing."""
    for _ in call.turns():
        pass
