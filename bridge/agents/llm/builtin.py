"""Tools that act on the call itself: hang up, transfer, press keys.

They run on the agent's thread, so they may use all of the call.

Threads: the agent's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from bridge.agents.llm.tools import Tool, make_tool
from bridge.call import Call
from bridge.errors import BridgeError, CallEnded

__all__ = ["call_tools", "hang_up"]


def hang_up(call: Call, goodbye: str = "") -> str:
    """End the call: when the caller has said goodbye, or wants nothing more.

    Args:
        call: the call.
        goodbye: the last words to the caller; leave it empty if you are saying them already.
    """
    if goodbye:
        reply = call.say(goodbye)
        if reply.interrupted:
            return "the caller broke in, and the call goes on"
    call.hangup()
    raise CallEnded("the model hung up")


HANG_UP = make_tool(hang_up, on_agent_thread=True)


def call_tools(call: Call, transfers: Mapping[str, str] | None = None) -> list[Tool]:
    """Get the tools that make sense on this call.

    Args:
        call: the call.
        transfers: where the model may transfer it, name to number.  It is never told the numbers
            and can't make one up.
    """
    tools = [HANG_UP]
    if transfers:
        tools.append(_transfer(transfers))
    # Who calls somebody may reach a menu.
    if call.info.direction == "outbound":
        tools.append(make_tool(send_digits, on_agent_thread=True))
    return tools


def _transfer(transfers: Mapping[str, str]) -> Tool:
    names = Literal[tuple(transfers)]  # type: ignore[valid-type]  # known at run time only

    def transfer(call: Call, to: Any) -> str:
        try:
            call.transfer(transfers[to])
        except CallEnded:
            raise
        except BridgeError:
            return "nobody could be reached there; the call goes on"
        raise CallEnded("the caller talks to somebody else now")

    transfer.__annotations__["to"] = names
    transfer.__annotations__["call"] = Call
    return make_tool(
        transfer,
        description="Connect the caller with somebody else. Tell them so first.",
        on_agent_thread=True,
    )


def send_digits(call: Call, digits: Annotated[str, Field(pattern=r"^[0-9A-D*#wW]{1,32}$")]) -> str:
    """Press keys on the phone, to choose from a menu for one.

    Args:
        call: the call.
        digits: the keys, 0-9, * and #; w waits half a second.
    """
    call.send_digits(digits)
    return "done"
