"""The calls of the suite: who calls, what they do, and how it is judged.

Pure, but for the clips, which are files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conversation.agents import LISTENER, TALKER
from conversation.clips import Clip, Wardrobe
from conversation.judge import (
    Finding,
    Kind,
    Trace,
    judge_complete,
    judge_echo,
    judge_false_alarm,
    judge_hesitation,
    judge_interruption,
)

# dBFS of the voices; the agent's is the first.  A caller is as loud, or as quiet as a timid one in
# a noisy street.
AGENT_LEVEL = -15.0
LOUD, QUIET = -18.0, -28.0

# Things that happen on one call; more would only make it longer.
PER_CALL = 5

# Seconds for which the agent talks to its own echo.
ECHO_SECONDS = 25.0


@dataclass(frozen=True)
class Plan:
    """One call.

    Attributes:
        kind: of what happens on it.
        name: its name.
        row: the row of the table that it counts in.
        from_number: who calls.
        clips: what the caller does, one after another.
        steps: the caller's script; its ``play`` steps are the clips.
        options: of the line, for ``Simulator.place_call``.
    """

    kind: Kind
    name: str
    row: str
    from_number: str
    clips: tuple[Clip, ...]
    steps: tuple[Mapping[str, Any], ...]
    options: Mapping[str, Any] = field(default_factory=dict)


def make_plans(wardrobe: Wardrobe, *, every: int = 1) -> list[Plan]:
    """Make the calls of the suite.

    Args:
        wardrobe: makes the clips.
        every: take only every so manieth clip, for a short run.
    """
    plans: list[Plan] = []

    def add(
        kind: Kind,
        row: str,
        clips: Iterator[Clip],
        calls: Callable[[Sequence[Clip]], Any],
        **options: Any,
    ) -> None:
        chosen = list(clips)[::every]
        for at in range(0, len(chosen), PER_CALL):
            some = tuple(chosen[at : at + PER_CALL])
            number, steps = calls(some)
            name = f"{row} {at // PER_CALL + 1}"
            plans.append(Plan(kind, name, row, number, some, tuple(steps), options))

    add("interruption", "caller at -18 dBFS", wardrobe.interruptions(LOUD), _over_the_agent)
    add("interruption", "caller at -28 dBFS", wardrobe.interruptions(QUIET), _over_the_agent)
    add(
        "interruption", "caller at -20 dBFS, line noise at -45",
        wardrobe.interruptions(-20.0), _over_the_agent, noise=-45.0,
    )  # fmt: skip
    add(
        "interruption", "caller at -18 dBFS, speakerphone at -20 dB",
        wardrobe.interruptions(LOUD), _over_the_agent, echo=-20.0,
    )  # fmt: skip
    add(
        "false alarm",
        "uh-huh, okay, right at -20 dBFS",
        wardrobe.backchannels(-20.0),
        _over_the_agent,
    )
    add("false alarm", "coughs, grunts, knocks at -18 dBFS", wardrobe.noises(LOUD), _over_the_agent)
    add(
        "false alarm", "the same, line noise at -45",
        wardrobe.noises(LOUD), _over_the_agent, noise=-45.0,
    )  # fmt: skip
    for name, options in (
        ("speakerphone at -20 dB", {"echo": -20.0}),
        ("speakerphone at -15 dB", {"echo": -15.0}),
        ("speakerphone at -20 dB, line noise at -45", {"echo": -20.0, "noise": -45.0}),
    ):
        steps = ({"wait": ECHO_SECONDS}, {"hangup": True, "when": "now"})
        plans.append(Plan("echo", name, name, TALKER, (), steps, options))
    add("complete", "complete phrases", wardrobe.complete(-20.0), _to_the_agent)
    add("hesitation", "hesitations", wardrobe.hesitations(-20.0), _to_the_agent)
    return plans


def _over_the_agent(clips: Sequence[Clip]) -> tuple[str, list[Mapping[str, Any]]]:
    steps: list[Mapping[str, Any]] = []
    for index, clip in enumerate(clips):
        # Not always at the same place of a sentence.
        when = {"agent_speaking": 2.0 + 0.31 * index}
        steps += [{"play": str(clip.path), "when": when}, {"wait": 2.5}]
    return TALKER, [*steps, {"hangup": True, "when": "now"}]


def _to_the_agent(clips: Sequence[Clip]) -> tuple[str, list[Mapping[str, Any]]]:
    steps: list[Mapping[str, Any]] = []
    for clip in clips:
        # A person who is answered takes a moment, and one who was cut short does too.
        steps += [{"wait": 0.4, "when": "agent_stops"}, {"play": str(clip.path), "when": "now"}]
    return LISTENER, [*steps, {"wait": 0.1, "when": "agent_stops"}, {"hangup": True, "when": "now"}]


@dataclass(frozen=True)
class Heard:
    """A thing that a caller did, and when.

    Attributes:
        clip: what it was.
        start: when its sound began, seconds on the call's time line.
        end: when its last sound ended.
    """

    clip: Clip
    start: float
    end: float


def judge(
    plan: Plan, trace: Trace, done: Sequence[Heard], opening: bytes
) -> Iterator[tuple[float, Finding]]:
    """Judge all that happened on a call; each finding with where in the call it is."""
    if plan.kind == "echo":
        yield 0.0, judge_echo(trace, plan.name, 0.0, ECHO_SECONDS)
    for sound in done:
        name, start, end = sound.clip.name, sound.start, sound.end
        found: Finding | None
        if plan.kind == "interruption":
            found = judge_interruption(trace, name, start)
        elif plan.kind == "false alarm":
            found = judge_false_alarm(trace, name, start, end, opening)
        elif plan.kind == "complete":
            found = judge_complete(trace, name, end)
        else:
            found = judge_hesitation(trace, name, start, sound.clip.pauses, end - start)
        if found is not None:
            yield start, found
