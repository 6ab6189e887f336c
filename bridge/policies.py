"""Settings that name what to do, and with what: ``transfer:+15550100001``, ``say:All lines …``.

Pure.
"""

from __future__ import annotations

import re

__all__ = ["overflow", "resume"]

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}|sips?:[^\s@]+@[^\s@]+")

# Telnyx: at most 3000 characters in one `speak` command.
_LINE = 1000


def overflow(value: str) -> str:
    """Check what a call gets that is one too many."""
    return _policy(value, ("busy", "queue"), ("say", "transfer"))


def resume(value: str) -> str:
    """Check what becomes of a call whose agent is gone."""
    return _policy(value, ("again", "hangup"), ("transfer",))


def _policy(value: str, plain: tuple[str, ...], argued: tuple[str, ...]) -> str:
    kind, colon, argument = value.partition(":")
    kind, argument = kind.strip().lower(), argument.strip()
    if kind in plain and not colon:
        return kind
    if kind in argued and kind == "transfer" and not _NUMBER.fullmatch(argument):
        raise ValueError("transfer: must be followed by a number like +15550100001 or a SIP URI")
    if kind in argued and not 0 < len(argument) <= _LINE:
        raise ValueError(f"{kind}: must be followed by what to {kind}, {_LINE} characters at most")
    if kind in argued:
        return f"{kind}:{argument}"
    known = [*plain, *(f"{name}:…" for name in argued)]
    raise ValueError(f"must be one of {', '.join(known)}")
