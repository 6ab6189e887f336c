"""What a simulated person does when, packet by packet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from bridge.simulator.gather import Gather
from bridge.simulator.line import PTIME, PlayQueue
from bridge.simulator.script import Person, ScriptError, parse_script

SIZE = 320
SILENCE = bytes(SIZE)
LOUD = b"\x00\x20" * 160


class Line:
    """A person on a line, and what came of it; no time passes but by packets."""

    def __init__(self, steps: Sequence[Mapping[str, Any]], **options: Any) -> None:
        parsed = parse_script(steps)
        clips = {n: LOUD * 5 for n, step in enumerate(parsed) if step.action in ("say", "play")}
        self.now = 0.0
        self.keys: list[tuple[float, str]] = []
        self.hung_up_at: float | None = None
        self.person = Person(
            parsed,
            clips,
            SIZE,
            press=lambda key: self.keys.append((round(self.now, 2), key)),
            hang_up=self._hang_up,
            **options,
        )
        self.said_at: list[float] = []

    def _hang_up(self) -> None:
        self.hung_up_at = round(self.now, 2)

    def run(self, seconds: float, heard: bytes = SILENCE, playing: bool = False) -> None:
        """Let time pass while the person hears the same thing."""
        for _ in range(round(seconds / PTIME)):
            if self.person.tick(self.now, heard, playing) != SILENCE:
                self.said_at.append(round(self.now, 2))
            self.now += PTIME


def test_a_person_speaks_when_the_agent_has_stopped() -> None:
    """Not while it speaks, not in a short pause, but 300 ms after its last sound."""
    line = Line([{"say": "hello"}])
    line.run(0.5)
    line.run(1.0, LOUD, True)
    line.run(0.2)
    line.run(1.0, LOUD, True)
    assert line.said_at == []
    line.run(1.0)
    assert line.said_at[0] == pytest.approx(2.7 + 0.3, abs=0.03)
    assert len(line.said_at) == 5


def test_silence_that_the_agent_sends_is_taken_for_a_pause_in_its_speech() -> None:
    """It has to last three times as long as silence that nobody sends."""
    line = Line([{"say": "hello"}])
    line.run(1.0, LOUD, True)
    line.run(0.8, SILENCE, True)
    assert line.said_at == []
    line.run(0.3, SILENCE, True)
    assert line.said_at[0] == pytest.approx(1.9, abs=0.03)


def test_a_person_gives_up_waiting_for_an_agent_that_never_speaks() -> None:
    """After its patience the step is done all the same."""
    line = Line([{"say": "hello"}, {"hangup": True}], patience=2.0)
    line.run(6.0)
    assert line.said_at[0] == pytest.approx(2.0, abs=0.03)
    assert line.hung_up_at == pytest.approx(2.1 + 2.0, abs=0.05)


def test_what_the_agent_said_before_does_not_count_twice() -> None:
    """Each step waits for something new."""
    line = Line([{"say": "one"}, {"say": "two"}])
    line.run(0.5, LOUD, True)
    line.run(3.0)
    assert len(line.said_at) == 5
    line.run(0.5, LOUD, True)
    line.run(1.0)
    assert len(line.said_at) == 10


def test_a_person_can_barge_in() -> None:
    """It speaks over the agent once that has been speaking for so long."""
    line = Line([{"say": "wait", "when": {"agent_speaking": 1.2}}])
    line.run(0.4)
    line.run(2.0, LOUD, True)
    assert line.said_at[0] == pytest.approx(1.6, abs=0.03)


def test_steps_may_follow_after_seconds_or_at_once() -> None:
    """A number waits so long after the step before; so does a wait step."""
    line = Line([
        {"say": "one", "when": "now"},
        {"dtmf": "1w2", "when": 0.5},
        {"wait": 1.0},
        {"hangup": True},
    ])  # fmt: skip
    line.run(4.0)
    assert line.said_at[0] == 0.0
    (first, one), (second, two) = line.keys
    assert one + two == "12"
    assert first == pytest.approx(0.6, abs=0.03)
    assert second == pytest.approx(0.6 + 0.16 + 0.5, abs=0.05)
    assert line.hung_up_at == pytest.approx(second + 0.16 + 1.0, abs=0.05)
    assert line.person.script_done


def test_the_times_of_speech_are_those_of_its_sound() -> None:
    """Silence around the words of a clip does not count."""
    line = Line([{"say": "hello", "when": "now"}])
    line.person.clips = {0: SILENCE * 5 + LOUD * 5 + SILENCE * 5}
    line.run(1.0)
    (spoken,) = line.person.spoken
    assert spoken.started_at == pytest.approx(0.1)
    assert spoken.ended_at == pytest.approx(0.2)


def test_something_said_on_demand_waits_for_the_script() -> None:
    """It does not cut into a step that is being spoken."""
    line = Line([{"say": "hello", "when": "now"}])
    line.person.add("more", LOUD)
    line.run(1.0)
    assert [s.text for s in line.person.spoken] == ["hello", "more"]


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([{"sing": "la"}], "exactly one of"),
        ([{}], "exactly one of"),
        ([{"say": "a", "play": "b"}], "exactly one of"),
        (["hello"], "not an object"),
        ([{"say": ""}], "takes a text"),
        ([{"say": 3}], "takes a text"),
        ([{"dtmf": "12x"}], "takes 0-9"),
        ([{"wait": -1}], "takes seconds"),
        ([{"wait": True}], "takes seconds"),
        ([{"hangup": False}], "takes true"),
        ([{"say": "a", "when": "later"}], '"when" is'),
        ([{"say": "a", "when": {"agent_speaking": "x"}}], "takes seconds"),
    ],
)
def test_a_wrong_step_is_named(steps: Any, problem: str) -> None:
    """The message says which step and what is allowed."""
    with pytest.raises(ScriptError, match="step 1: ") as error:
        parse_script(steps)
    assert problem in str(error.value)


def test_a_mark_inside_a_packet_returns_after_it() -> None:
    """Audio before the mark is played for 20 ms first, whatever follows it in the packet."""
    queue = PlayQueue()
    queue.add(LOUD[:100])
    assert queue.mark("a") is False
    queue.add(LOUD[:300])
    packet, returned = queue.take(SIZE)
    assert len(packet) == SIZE
    assert returned == []
    packet, returned = queue.take(SIZE)
    assert returned == ["a"]
    assert packet == LOUD[:80] + bytes(240)
    assert queue.mark("b") is False
    assert queue.take(SIZE) == (b"", ["b"])
    assert queue.mark("c") is True
    assert len(queue) == 0


def test_clear_returns_the_marks_of_what_plays_and_of_what_waits() -> None:
    """In order, and the count of bytes dropped."""
    queue = PlayQueue()
    queue.add(LOUD)
    queue.mark("a")
    queue.take(SIZE)
    queue.add(LOUD * 2)
    queue.mark("b")
    assert queue.clear() == (2 * SIZE, ["a", "b"])
    assert queue.take(SIZE) == (b"", [])


def test_a_gather_ends_by_count_terminator_or_time() -> None:
    """And says whether what came is valid."""
    gather = Gather(minimum=2, maximum=3, begun_at=0.0)
    assert [gather.press(key, 1.0) for key in "123"] == [None, None, "valid"]
    gather = Gather(minimum=2, begun_at=0.0)
    gather.press("1", 1.0)
    assert gather.press("#", 1.0) == "invalid"
    gather = Gather(timeout=60.0, inter_digit=5.0, initial=10.0, begun_at=0.0)
    assert gather.deadline == 10.0
    assert gather.poll(9.9) is None
    assert gather.poll(10.0) == "timeout"
    gather.press("7", 3.0)
    assert gather.deadline == 8.0
    assert gather.poll(8.0) == "valid"
    assert gather.digits == "7"
