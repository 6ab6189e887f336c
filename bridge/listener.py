"""What a conversation tells its leg, and what is counted of it.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.call import Remark, Reply
from bridge.decisions import Turn
from bridge.observer import TurnLatency

__all__ = ["Counts", "Listener"]


class Listener:
    """What a conversation tells its leg, never while its lock is held; does nothing by default."""

    def speech_paused(self) -> None:
        """The caller fell silent; the recogniser may hurry."""

    def turn_ended(self, turn: Turn, latency: TurnLatency) -> None:
        """The caller's turn is complete."""

    def reply_ended(self, reply: Reply, latency: TurnLatency) -> None:
        """A reply is over."""

    def barged_in(self, delay: float) -> None:
        """The caller broke in on a reply; ``delay`` seconds from speech start to ``clear``."""

    def false_alarm(self) -> None:
        """A reply that was paused goes on."""

    def remarked(self, number: int, remark: Remark) -> None:
        """The history has one more entry, of that number."""

    def hearing(self, remark: Remark) -> None:
        """The caller's turn has grown, or is over; ``remark`` is what it would be, cut here."""

    def saying(self, remark: Remark) -> None:
        """A reply has grown, or more of it was heard."""

    def pump_failed(self, error: Exception) -> None:
        """Sending raised what it should not; a bug."""


@dataclass
class Counts:
    """What a leg's summary counts of its conversation."""

    turns: int = 0
    replies: int = 0
    barge_ins: int = 0
    false_alarms: int = 0
    tts_reconnects: int = 0

    @classmethod
    def of(cls, history: Sequence[Remark]) -> Counts:
        """Count what happened in processes that held this call before."""
        said = [remark for remark in history if remark.speaker == "agent"]
        broken = sum(remark.interrupted for remark in said)
        return cls(turns=len(history) - len(said), replies=len(said), barge_ins=broken)
