"""What a log line tells of an exception: where it came from, and no word that was said."""

from __future__ import annotations

import json

import pytest

from bridge.agents import load_agent
from bridge.errors import AgentError, BridgeError
from bridge.failures import where

SECRET = "a table for Miller"


def test_an_exception_is_named_with_the_lines_it_came_through() -> None:
    """Type and place, innermost first; its message may hold what was said."""
    nothing: dict[str, str] = {}
    with pytest.raises(KeyError) as caught:
        nothing[SECRET]
    told = where(caught.value)
    assert told.startswith("KeyError at ")
    assert "test_failures.py" in told
    assert SECRET not in told
    assert where(KeyError(SECRET)) == "KeyError"


def test_an_error_of_ours_says_what_to_change() -> None:
    """Whoever reads the log of an agent that failed is not sent to our source for the reason."""
    with pytest.raises(AgentError) as caught:
        load_agent("no.such.module:answer")
    told = where(caught.value)
    assert told.startswith("AgentError (BRIDGE_AGENT='no.such.module:answer': no module named 'no'")
    assert ") at " in told


def test_what_an_agent_raises_itself_is_not_quoted() -> None:
    """Not even with an error class of ours, nor an error that passes through our code."""
    with pytest.raises(BridgeError) as caught:
        raise BridgeError(SECRET)
    assert SECRET not in where(caught.value)
    with pytest.raises(json.JSONDecodeError) as foreign:
        json.loads(SECRET)
    assert SECRET not in where(foreign.value)
