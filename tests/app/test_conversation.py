"""The conversation suite, shortened: real audio through the whole stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.simulator.audio import resample
from conversation.agents import TALK
from conversation.calls import make_plans
from conversation.clips import Wardrobe
from conversation.judge import Finding, Trace, begins_with, judge_false_alarm, judge_interruption
from conversation.run import Line, Ours, Voice, run
from conversation.sounds import RATE, active_level, at_level, cough
from telnyx_media.pcm import silence
from telnyx_media.sentences import SentenceSplitter
from tests.loopback.voices import recording

SPEECH = recording("austen-0870.wav", before=0.0)


def trace(*parts: bytes, clears: tuple[float, ...] = ()) -> Trace:
    """Make what a caller heard of these parts, one after another."""
    return Trace(b"".join(parts), clears)


def test_judge_measures_how_soon_the_agent_gave_way() -> None:
    """From the caller's first sound to the clear, and a packet's time."""
    heard = trace(SPEECH[: 2 * 16000], silence(2, RATE), clears=(2.05,))

    found = judge_interruption(heard, "x", 1.9)

    assert found is not None
    assert found.good
    assert found.seconds == pytest.approx(0.17)
    assert judge_interruption(heard, "x", 3.5) is None
    stubborn = judge_interruption(trace(SPEECH), "x", 1.0)
    assert stubborn == Finding("interruption", "x", False, None, "did not give way")


def test_judge_tells_going_on_from_beginning_anew() -> None:
    """An agent that drops its text and begins it again has not gone on."""
    opening, more = SPEECH[: 2 * RATE], SPEECH[2 * RATE : 4 * RATE]
    pause = silence(0.5, RATE)
    went_on = trace(opening, pause, more, clears=(1.0,))
    anew = trace(opening, pause, opening, clears=(1.0,))

    good = judge_false_alarm(went_on, "x", 0.9, 1.3, opening)
    bad = judge_false_alarm(anew, "x", 0.9, 1.3, opening)

    assert good is not None
    assert good.good
    assert bad is not None
    assert bad.what == "began anew"
    assert begins_with(anew.heard, 1.5, opening)


def test_sounds_are_as_loud_as_they_are_asked_to_be() -> None:
    """A level is that of the loud parts, and making a sound twice makes the same."""
    quiet = at_level(cough(1), -30.0)
    assert quiet == at_level(cough(1), -30.0)
    assert at_level(cough(2), -30.0) != quiet
    assert active_level(at_level(SPEECH, -20.0)) == pytest.approx(-20.0, abs=0.1)


@pytest.mark.slow
def test_conversation_holds(tmp_path: Path) -> None:
    """Callers take the floor, coughs do not, and no echo does; times are for the table."""
    wardrobe = Wardrobe(tmp_path / "clips")
    try:
        plans = make_plans(wardrobe, every=6)
    finally:
        wardrobe.close()
    rows = ("caller at -28 dBFS", "coughs, grunts, knocks at -18 dBFS", "speakerphone at -20 dB")
    plans = [plan for plan in plans if plan.row in rows]
    first = SentenceSplitter("en-US").feed(TALK)[0]
    opening = resample(b"".join(Voice().speak(first, 1.0)), Voice.sample_rate, RATE)
    with Line("bridge", lambda simulator: Ours(simulator, tmp_path / "log", {})) as line:
        outcomes = list(run([line], plans, opening, tmp_path / "failures", lambda text: None))
    kinds = {outcome.finding.kind for outcome in outcomes}
    assert kinds == {"interruption", "false alarm", "echo"}
    wrong = [
        (outcome.plan.row, outcome.finding.name, outcome.finding.what)
        for outcome in outcomes
        if outcome.finding.what not in ("gave way", "spoke on", "paused and went on")
        and not (outcome.finding.kind == "echo" and outcome.finding.good)
    ]
    assert wrong == []
