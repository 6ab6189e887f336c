"""What a process takes over with a leg that began in another one.

A leg lives in one process at a time.  Its media socket may be opened to another one, its process
may be told to stop or may die, and the call goes on (Telnyx keeps the leg up).  Whoever holds the
leg next gets this.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from bridge.arrivals import Press
from bridge.call import CallInfo, Remark

__all__ = ["UNNAMED", "Inheritance", "decode_info", "decode_remark", "encode_info", "encode_remark"]

UNNAMED = "?"


@dataclass(frozen=True)
class Inheritance:
    """A leg, as it was left.

    Attributes:
        info: its facts.
        resumed: whether its agent had begun to talk.
        history: what was said and heard.
        age: seconds since it began.
        epoch: how often it has changed hands, from 1; who has a lower number has lost it.
        events: webhook events that reached nobody, as their bodies came, oldest first.
        keys: the last keys that were heard, and when each was pressed.
        state: what the agent kept in ``call.state``.
        agent: the name of its agent, ``"module:function"``; ``""`` for the application's own, and
            ``UNNAMED`` for one that cannot be found by a name.
    """

    info: CallInfo
    resumed: bool = False
    history: tuple[Remark, ...] = ()
    age: float = 0.0
    epoch: int = 1
    events: tuple[str, ...] = ()
    keys: tuple[Press, ...] = ()
    state: Mapping[str, object] = field(default_factory=dict)
    agent: str = ""


def encode_info(info: CallInfo) -> str:
    """Write a leg's facts down as JSON."""
    return msgspec.json.encode(info).decode()


def decode_info(text: str) -> CallInfo:
    """Read a leg's facts; raises ``msgspec.MsgspecError`` for what is none."""
    return msgspec.json.decode(text, type=CallInfo, strict=False)


def encode_remark(remark: Remark) -> str:
    """Write an entry of the history down as JSON."""
    return msgspec.json.encode(remark).decode()


def decode_remark(text: str) -> Remark:
    """Read an entry of the history; raises ``msgspec.MsgspecError`` for what is none."""
    return msgspec.json.decode(text, type=Remark)
