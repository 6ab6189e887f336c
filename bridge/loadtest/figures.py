"""What the callers' side has seen of a step of the load, and what it says about capacity.

Pure; times are seconds on one clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# A pause in the agent's audio that is shorter is none: the phone network's packet time.
PACKET = 0.02
# One that is longer is a pause between two replies, not a gap in one.
LONGEST_GAP = 0.4
# Seconds after which a caller who was not answered will not be.
PATIENCE = 3.0
# Seconds by which the simulator itself may be late before what is bad may be its own doing.
OWN_LATENESS = 0.02
# Share of a core that calls may fill: what is left is for webhooks, pages and bad moments.
FULL = 0.8
# Of the server's threads, those that are kept for webhooks and pages: one in so many, at least so
# many (BRIDGE_THREADS).
RESERVED_SHARE, RESERVED_LEAST = 8, 4


@dataclass(frozen=True)
class CallSeen:
    """One call, as far as it went.

    Attributes:
        speech_ends: when the caller stopped speaking, each time.
        media: when each frame of the agent's came, and the seconds of audio in it.
        marks: when each mark of the agent's came, which it sends behind a sentence.
    """

    speech_ends: Sequence[float]
    media: Sequence[tuple[float, float]]
    marks: Sequence[float] = ()


@dataclass(frozen=True)
class Measured:
    """One step of the load.

    Attributes:
        calls: how many were held at once.
        replies: seconds from the end of the caller's speech to the agent's first audio, each.
        unanswered: times that a caller had no answer within :data:`PATIENCE`.
        gaps: pauses within a sentence of the agent's, at the caller's ear.
        failed: calls that were never answered, or lost.
        cpu: cores that the app used; ``None`` where the system does not tell.
        memory: bytes that the app occupied; ``None`` likewise.
        lateness: seconds by which the simulator was late, 99th percentile.
        own_cpu: cores that the simulator used, speech services included.
    """

    calls: int
    replies: Sequence[float]
    unanswered: int
    gaps: int
    failed: int
    cpu: float | None
    memory: int | None
    lateness: float
    own_cpu: float

    @property
    def p50(self) -> float | None:
        """The median of the replies."""
        return percentile(self.replies, 50)

    @property
    def p99(self) -> float | None:
        """The 99th percentile of the replies; the slowest of fewer than a hundred."""
        return percentile(self.replies, 99)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Get the smallest value that ``percent`` of all do not exceed; ``None`` of none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def reply_times(call: CallSeen, begin: float, end: float) -> tuple[list[float], int]:
    """Get the waits for an answer to what was said in a window, and how often there was none."""
    replies, unanswered = [], 0
    for spoken, following in _with_next(call.speech_ends):
        if not begin <= spoken < end:
            continue
        first = next((at for at, _ in call.media if at > spoken), None)
        if first is not None and first < following:
            replies.append(first - spoken)
        elif end - spoken > PATIENCE:
            unanswered += 1
    return replies, unanswered


def _with_next(times: Sequence[float]) -> Iterable[tuple[float, float]]:
    return zip(times, [*times[1:], math.inf], strict=True)


def count_gaps(call: CallSeen, begin: float, end: float) -> int:
    """Count the pauses in a window at which audio of a sentence came too late to be played on.

    A mark between two frames says that a sentence was complete; what follows may take its time.
    """
    gaps, until, before = 0, -math.inf, -math.inf
    marks = iter([*sorted(call.marks), math.inf])
    mark = next(marks)
    for at, seconds in call.media:
        complete = False
        while mark < at:
            complete = complete or mark >= before
            mark = next(marks)
        if PACKET < at - until < LONGEST_GAP and not complete and begin <= at < end:
            gaps += 1
        until = max(until, at) + seconds
        before = at
    return gaps


def why_bad(step: Measured, alone: Measured, tolerance: float) -> str:
    """Tell what was wrong with a step, in a few words; ``""`` if nothing was.

    Args:
        step: the step.
        alone: the first one, which says how fast the agent is when it has nothing else to do.
        tolerance: seconds that the slowest answers may take longer than that.
    """
    if step.failed:
        return f"{step.failed} calls were not answered or were lost"
    if step.unanswered:
        return f"{step.unanswered} times a caller got no answer"
    if step.p99 is None or alone.p50 is None:
        return "no reply was measured"
    # A simulator that is late makes things look worse, never better.
    excuse = ""
    if step.lateness > OWN_LATENESS:
        excuse = f", but the simulator itself was {step.lateness * 1000:.0f} ms late"
    if step.gaps:
        return f"{step.gaps} gaps in the agent's voice{excuse}"
    if step.p99 > alone.p50 + tolerance:
        return f"answers took {(step.p99 - alone.p50) * 1000:.0f} ms longer than alone{excuse}"
    return ""


def capacity(steps: Sequence[Measured], tolerance: float) -> int:
    """Get the calls of the last step before the first one that was bad; 0 if that was the first."""
    held = 0
    for step in steps:
        if why_bad(step, steps[0], tolerance):
            break
        held = step.calls
    return held


def room(step: Measured) -> int | None:
    """Get the calls that would fill a core, as far as its CPU time tells."""
    if not step.cpu:
        return None
    return max(1, int(FULL * step.calls / step.cpu))


def threads_for(calls: int) -> int:
    """Get the threads that a server process needs for so many calls (BRIDGE_THREADS)."""
    threads = calls + RESERVED_LEAST
    while threads - max(RESERVED_LEAST, threads // RESERVED_SHARE) < calls:
        threads += 1
    return threads


def levels(calls: int) -> list[int]:
    """Get the steps in which so many calls are reached, one call first."""
    return sorted({1, *(math.ceil(calls * quarter / 4) for quarter in (1, 2, 3, 4))})
