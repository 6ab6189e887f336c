"""Place a call for a program: ``POST /api/calls``.

| field of the body | what | default |
| --- | --- | --- |
| ``to`` | E.164 number or SIP URI | |
| ``from`` | the number shown to them | ``BRIDGE_FROM_NUMBER`` |
| ``timeout`` | seconds that the phone may ring | 30 |
| ``detect`` | whether to find out who answers, man or machine | false |
| ``fields`` | further fields of Telnyx's ``dial`` | none |

Threads: a request's own; blocks until Telnyx has taken the dial.

Rules of this module:

1. Nothing of a body is in an error: it may hold a number.
2. A dial is sent once, whatever becomes of its answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bridge.switchboard import Switchboard

__all__ = ["check_address", "place"]

# Telnyx: dial reference; a number as E.164 has it, or a SIP URI.
ADDRESS = re.compile(r"\+[1-9][0-9]{4,14}|sips?:[^\s@]+@[^\s@]+")

FIELDS = {"to", "from", "timeout", "detect", "fields"}


def check_address(value: object, name: str = "to") -> str:
    """Get an address that can be dialled.

    Raises:
        ValueError: it is none; the message does not quote it.
    """
    if not isinstance(value, str) or not ADDRESS.fullmatch(value):
        raise ValueError(f"{name}: a number like +12025550123, or a SIP URI")
    return value


def place(switchboard: Switchboard, body: Mapping[str, Any]) -> dict[str, Any]:
    """Begin a call, with the agent of this process.

    Args:
        switchboard: dials.
        body: of the request.

    Returns:
        The new leg's ids.

    Raises:
        ValueError: something in the body makes no sense.
        DialFailed: Telnyx refused it, or there is no room.
        SettingsError: nobody has said from whom.
    """
    unknown = set(body) - FIELDS
    if unknown:
        raise ValueError(
            f"there is no field {', '.join(sorted(unknown))}; there are {', '.join(sorted(FIELDS))}"
        )
    timeout, detect, fields = body.get("timeout", 30), body.get("detect", False), body.get("fields")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= 600:
        raise ValueError("timeout: seconds, up to 600")
    if detect not in (True, False):
        raise ValueError("detect: true or false")
    if fields is not None and not isinstance(fields, dict):
        raise ValueError("fields: an object")
    shown = body.get("from")
    worker = switchboard.dial(
        check_address(body.get("to")),
        from_=None if shown is None else check_address(shown, "from"),
        timeout=timeout,
        detect=detect,
        fields=fields,
    )
    info = worker.info
    return {
        "id": info.call_leg_id,
        "call_control_id": info.call_control_id,
        "call_session_id": info.call_session_id,
        "direction": info.direction,
    }
