"""What a leg leaves in Redis for whoever holds it next.

A hash with one field for each remark of the history, by its number, and a few for what is not one
yet; and the webhooks that its last holder may not have lived to act on.

Pure.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

import msgspec

from bridge.arrivals import Press
from bridge.call import CallInfo, Remark
from bridge.inheritance import Inheritance, decode_info, decode_remark, encode_remark

__all__ = ["KEYS", "OPEN", "PENDING", "STATE", "Parts", "inherit", "number", "read_info"]

# The fields that hold the reply which is being said, the caller's turn that is not over, the keys
# that were heard, and what the agent keeps.
OPEN, PENDING, KEYS, STATE = "open", "pending", "keys", "state"

Parts = list[tuple[str, str]]
"""Fields and what is in them."""


def inherit(
    left: Inheritance, fields: Mapping[str, str], events: Sequence[str]
) -> tuple[Inheritance, Parts]:
    """Read what was left with a leg.

    Args:
        left: the leg without it.
        fields: the hash.
        events: the webhooks, as their bodies came.

    Returns:
        The leg with it, and what has to be written so that the next one finds the same: nobody
        will complete what was being said.
    """
    numbers = sorted(int(name) for name in fields if name.isdigit())
    texts = [fields[str(known)] for known in numbers]
    cut = [fields[name] for name in (OPEN, PENDING) if name in fields]
    parts: Parts = []
    if cut:
        at = numbers[-1] + 1 if numbers else 0
        parts = [*((str(n), text) for n, text in enumerate(cut, at)), (OPEN, ""), (PENDING, "")]
    history = tuple(r for text in [*texts, *cut] if (r := _read_remark(text)) is not None)
    keys = _read_keys(fields.get(KEYS, ""))
    state = _read_state(fields.get(STATE, ""))
    whole = dataclasses.replace(left, history=history, events=tuple(events), keys=keys, state=state)
    return whole, parts


def number(history: Sequence[Remark]) -> Parts:
    """Write a whole history down."""
    return [(str(at), encode_remark(remark)) for at, remark in enumerate(history)]


def read_info(text: str | int | None) -> CallInfo | None:
    """Read a leg's facts; ``None`` for what is none."""
    try:
        return decode_info(str(text)) if text else None
    except msgspec.MsgspecError:
        return None


def _read_remark(text: str) -> Remark | None:
    try:
        return decode_remark(text)
    except msgspec.MsgspecError:
        return None


def _read_keys(text: str) -> tuple[Press, ...]:
    try:
        return tuple(msgspec.json.decode(text, type=list[tuple[str, float]])) if text else ()
    except msgspec.MsgspecError:
        return ()


def _read_state(text: str) -> dict[str, object]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
