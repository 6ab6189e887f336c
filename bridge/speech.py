"""One reply on its way to the caller, and when each part of the way was done.

Pure.
"""

from __future__ import annotations

from bridge.call import Reply
from bridge.decisions import Guard, Turn
from bridge.observer import TurnLatency
from bridge.segments import Segment

__all__ = ["Speech"]


class Speech:
    """One reply on its way to the caller.

    Its fields are guarded by the conversation's lock, but for ``text``, which the agent's thread
    alone writes.

    Attributes:
        text: what has been made of the reply so far.
        filler: what was said meanwhile, before any of it.
        segments: what of it was handed to synthesis, in order.
        heard: what the caller heard; final once ``over``.
        interrupted: whether the caller broke in.
        over: whether it was heard to its end, interrupted, or cut off by the end of the call.
        error: why synthesis failed, if it did.
        turn: the caller's turn that it answers, if it is the first reply to one.
        turn_at: when that turn was decided to be over.
        chosen: seconds of silence that were chosen to be its end.
        asked_at: when the agent asked for it.
        text_at: when its first segment was handed to synthesis.
        audio_at: when its first audio came from there.
        frame_at: when its first media frame was sent.
        over_at: when it was over; 0 until then.
        interruptible: whether the caller may end it, by speech or by a key.
        guard: by what.
        early: whether it answers a turn that is not sure yet; then nobody hears of it.
        wordless: whether it is a sound, which belongs in no transcript.
        parting: whether it is said after the agent was taken the call from.
    """

    def __init__(self, *, wordless: bool = False, parting: bool = False) -> None:
        self.wordless = wordless
        self.parting = parting
        self.interruptible = True
        self.guard = Guard()
        self.early = False
        self.text = ""
        self.filler = ""
        self.segments: list[Segment] = []
        self.heard = ""
        self.interrupted = False
        self.over = False
        self.error: Exception | None = None
        self.turn: Turn | None = None
        self.turn_at: float | None = None
        self.chosen: float | None = None
        self.asked_at: float | None = None
        self.text_at: float | None = None
        self.audio_at: float | None = None
        self.frame_at: float | None = None
        self.over_at = 0.0

    def be_asked(self, turn: Turn, now: float, chosen: float | None) -> None:
        """Answer a turn that is sure only now: what was done before cost the caller nothing."""
        self.turn, self.turn_at, self.asked_at, self.chosen = turn, now, now, chosen
        if self.text_at is not None:
            self.text_at = now
        if self.audio_at is not None:
            self.audio_at = now

    @property
    def reply(self) -> Reply:
        """What the agent gets."""
        return Reply(
            f"{self.filler} {self.text}".strip(),
            self.heard,
            self.interrupted,
            self.frame_at or 0.0,
            self.over_at,
        )

    def latency(self) -> TurnLatency:
        """Tell where the time went."""
        spoken = self.turn is not None and not self.turn.digits
        ended = self.turn.ended_at if self.turn is not None and spoken else None
        return TurnLatency(
            endpoint=_between(ended, self.turn_at),
            agent=_between(self.turn_at, self.asked_at),
            first_text=_between(self.asked_at, self.text_at),
            first_audio=_between(self.text_at, self.audio_at),
            first_frame=_between(self.audio_at, self.frame_at),
            total=_between(ended, self.frame_at),
            chosen=self.chosen,
        )


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start
