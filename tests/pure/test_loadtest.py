"""The load test's figures: what was seen of calls, and the capacity it means."""

from __future__ import annotations

import os

import pytest

from bridge.loadtest.figures import (
    CallSeen,
    Measured,
    capacity,
    count_gaps,
    levels,
    percentile,
    reply_times,
    room,
    threads_for,
    why_bad,
)
from bridge.loadtest.usage import usage
from bridge.loadtest.voice import voice
from bridge.settings import RESERVED_LEAST, RESERVED_SHARE
from telnyx_media.vad import VoiceDetector


def measured(calls: int = 1, **changes: object) -> Measured:
    """Make a step in which everything was well."""
    good: dict[str, object] = {
        "calls": calls, "replies": [0.5] * 10, "unanswered": 0, "gaps": 0, "failed": 0,
        "cpu": 0.01 * calls, "memory": 10**8, "lateness": 0.001, "own_cpu": 0.1,
    }  # fmt: skip
    return Measured(**{**good, **changes})  # type: ignore[arg-type]


def test_an_answer_belongs_to_what_was_said_before_it() -> None:
    """The wait is from the end of speech to the next audio, each answer counted once."""
    call = CallSeen(speech_ends=[1.0, 5.0], media=[(0.2, 0.1), (1.5, 0.1), (1.6, 0.1), (5.7, 0.1)])
    replies, unanswered = reply_times(call, 0, 10)
    assert replies == pytest.approx([0.5, 0.7])
    assert unanswered == 0


def test_speech_that_nothing_followed_is_unanswered_once_patience_is_over() -> None:
    """Audio behind the next speech is no answer, and the last seconds are not judged."""
    call = CallSeen(speech_ends=[1.0, 4.5, 9.5], media=[(5.0, 0.1)])
    replies, unanswered = reply_times(call, 0, 10)
    assert replies == pytest.approx([0.5])
    assert unanswered == 1


def test_speech_outside_the_window_does_not_count() -> None:
    """Only what ended within the window is looked at."""
    call = CallSeen(speech_ends=[1.0, 5.0], media=[(1.5, 0.1), (5.5, 0.1)])
    assert reply_times(call, 2, 4) == ([], 0)


def test_audio_that_comes_before_the_last_was_played_leaves_no_gap() -> None:
    """Sent ahead, frames may come late by as much."""
    call = CallSeen([], media=[(1.0, 0.3), (1.25, 0.1), (1.35, 0.1)])
    assert count_gaps(call, 0, 10) == 0


def test_audio_that_comes_too_late_is_a_gap() -> None:
    """The ear hears silence from the end of one frame to the coming of the next."""
    call = CallSeen([], media=[(1.0, 0.1), (1.15, 0.1), (1.4, 0.1)])
    assert count_gaps(call, 0, 10) == 2
    assert count_gaps(call, 1.2, 10) == 1


def test_a_pause_behind_a_sentence_is_no_gap() -> None:
    """A mark between two frames says that the first was the end of a sentence."""
    call = CallSeen([], media=[(1.0, 0.1), (1.3, 0.1), (3.0, 0.1)], marks=[1.0])
    assert count_gaps(call, 0, 10) == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"failed": 1}, "1 calls were not answered or were lost"),
        ({"unanswered": 2}, "2 times a caller got no answer"),
        ({"replies": []}, "no reply was measured"),
        ({"gaps": 3}, "3 gaps in the agent's voice"),
        ({"gaps": 3, "lateness": 0.05},
         "3 gaps in the agent's voice, but the simulator itself was 50 ms late"),
        ({"replies": [0.9]}, "answers took 400 ms longer than alone"),
        ({"lateness": 0.05}, ""),
    ],
)  # fmt: skip
def test_a_bad_step_says_why(changes: dict[str, object], reason: str) -> None:
    """The reason is a few words; a simulator that was late is no reason by itself."""
    assert why_bad(measured(2, **changes), measured(), 0.1) == reason


def test_capacity_is_the_last_step_before_a_bad_one() -> None:
    """What comes behind a bad step counts for nothing."""
    steps = [measured(1), measured(5), measured(10, gaps=1), measured(15)]
    assert capacity(steps, 0.1) == 5
    assert capacity([measured(1, failed=1)], 0.1) == 0


def test_room_is_four_fifths_of_a_core() -> None:
    """CPU time tells how many more there could be, where the system tells it."""
    assert room(measured(10, cpu=0.2)) == 40
    assert room(measured(10, cpu=None)) is None


@pytest.mark.parametrize("calls", [1, 28, 29, 100, 250])
def test_the_threads_suffice_for_the_calls(calls: int) -> None:
    """What the server keeps for webhooks is on top."""
    threads = threads_for(calls)
    assert threads - max(RESERVED_LEAST, threads // RESERVED_SHARE) >= calls


def test_a_load_grows_in_quarters_from_one_call() -> None:
    """Few calls have fewer steps."""
    assert levels(2) == [1, 2]
    assert levels(40) == [1, 10, 20, 30, 40]


def test_a_percentile_is_one_of_the_values() -> None:
    """The 99th of a few is the highest."""
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0
    assert percentile([], 50) is None


def test_the_voice_is_taken_for_speech() -> None:
    """A detector has the work that a caller makes, and hears nothing when it is over."""
    judged = VoiceDetector(8000).feed(voice(1.2) + bytes(16000))
    assert sum(probability > 0.5 for probability in judged) > 25
    assert judged[-1] < 0.1


def test_a_process_has_used_something() -> None:
    """Where there is /proc; elsewhere nothing is said."""
    used = usage(os.getpid())
    if used is None:
        pytest.skip("no /proc here")
    assert used.cpu > 0
    assert used.memory > 1e6
