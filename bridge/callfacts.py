"""The facts of a call, and what was said on it: the words that everybody uses.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CallInfo", "Remark", "Reply"]


@dataclass(frozen=True)
class CallInfo:
    """The facts of a call, known from its first webhook event.

    Attributes:
        call_control_id: the address for commands to this leg.
        call_leg_id: the leg's own id.
        call_session_id: shared by legs that belong together.
        connection_id: the Call Control application.
        direction: ``"inbound"`` (they called us) or ``"outbound"``.
        from_number: who calls, as Telnyx writes it (E.164 mostly).
        to_number: who is called.
        headers: custom and SIP headers of the call, by name.
        client_state: our own tag as Telnyx echoes it, base64, or ``""``.
        tag: six characters that stand for this leg in log lines and thread names.
        codec: the codec of the audio we hear, ``"PCMU"``; ``""`` until the media stream starts.
        sample_rate: its rate in hertz; 0 until then.
        answered_by: who answered a call of ours, if that was to be detected and is known:
            ``"human"``, ``"machine"``, ``"screening"``, ``"fax"``, ``"silence"``, ``"unknown"``.
    """

    call_control_id: str = field(repr=False)
    call_leg_id: str = ""
    call_session_id: str = ""
    connection_id: str = ""
    direction: Literal["inbound", "outbound"] = "inbound"
    # Numbers and what came with the call stay out of every log line, also through a repr.
    from_number: str = field(default="", repr=False)
    to_number: str = field(default="", repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    client_state: str = field(default="", repr=False)
    tag: str = ""
    codec: str = ""
    sample_rate: int = 0
    answered_by: str = ""


@dataclass(frozen=True)
class Reply:
    """What became of something the agent said.

    Attributes:
        text: what it was to say, as far as the text had been made.
        heard: the part of it that was played to the caller.
        interrupted: whether the caller broke in.
        started_at: when it began to be sent, on the clock of a turn's times; 0 if it never was.
        ended_at: when it was over, on the same clock.
    """

    text: str
    heard: str
    interrupted: bool = False
    started_at: float = field(default=0.0, compare=False)
    ended_at: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Remark:
    """One entry of a call's history.

    Attributes:
        speaker: ``"caller"`` or ``"agent"``.
        text: what was said.  For the agent: what it was to say.
        heard: what the other one heard of it; for the caller's words the same as ``text``.
        interrupted: whether the caller broke in on it.
        at: when it began, seconds since the media stream started.
        digits: keys the caller pressed instead of speaking.
    """

    speaker: Literal["caller", "agent"]
    text: str
    heard: str
    interrupted: bool = False
    at: float = 0.0
    digits: str = field(default="", repr=False)
