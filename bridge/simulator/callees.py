"""Who picks up when the application dials or transfers.

A number that the simulator does not know is a person who answers after a moment and only listens;
a :class:`Callee` says otherwise.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Callee:
    """What happens at a number that is dialled.

    Attributes:
        outcome: ``answer``; ``busy`` (486); ``no_answer``, which rings until the dial's timeout;
            ``reject`` (603); ``unknown`` (404).
        after: seconds of ringing before it answers or refuses.
        script: what the callee says and does, in the form of a caller's script; see
            :mod:`bridge.simulator.script`. Its first step waits for nothing unless it says so.
        machine: whether answering-machine detection takes it for a machine.
        beep: whether a tone follows the script, as a voicemail box gives before it records.
        codec: of the leg.
        detection: seconds after the answer at which answering-machine detection has decided.
        screening: whether a robot asks first who is calling, and puts through once something was
            said to it; found out in the mode ``premium_ios_call_screening_detection``.
    """

    outcome: Literal["answer", "busy", "no_answer", "reject", "unknown"] = "answer"
    after: float = 0.3
    script: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    machine: bool = False
    beep: bool = False
    codec: str = "PCMU"
    detection: float = 1.0
    screening: bool = False
