"""What a check found.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        subject: what was looked at, a few words.
        state: ``ok``; ``warning``: works, but look at it; ``problem``: calls will fail;
            ``skipped``: could not be looked at, ``text`` says why.
        text: what was found, one line.
        remedy: what to do about it, one line; empty when there is nothing to do.
    """

    subject: str
    state: State
    text: str
    remedy: str = ""


def ok(subject: str, text: str) -> Finding:
    """Say that all is well."""
    return Finding(subject, "ok", text)


def warning(subject: str, text: str, remedy: str) -> Finding:
    """Say that it works and what had better be changed."""
    return Finding(subject, "warning", text, remedy)


def problem(subject: str, text: str, remedy: str) -> Finding:
    """Say that calls will fail and what to do."""
    return Finding(subject, "problem", text, remedy)


def skipped(subject: str, text: str) -> Finding:
    """Say why something could not be looked at."""
    return Finding(subject, "skipped", text)
