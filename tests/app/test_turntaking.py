"""Turn-taking through the whole stack: what a caller and an agent function see of it."""

from __future__ import annotations

import threading

import pytest

from bridge.call import Call, Remark, Reply
from bridge.simulator.listeners import Cue, CueListener, Said
from bridge.simulator.transcription import TranscriptionService
from tests.app.phone import phone_line
from tests.loopback import PATIENCE

LONG = " ".join(f"Sentence number {number} of many." for number in range(5))


def cues(*said: tuple[float, Said]) -> TranscriptionService:
    """Make a recogniser that says these things at these seconds of the call's audio."""
    listed = [Cue(at, what) for at, what in said]
    return TranscriptionService(listen=lambda listening: CueListener(listening, listed))


def eager(text: str) -> Said:
    """Make what flux says when it takes a turn to be over."""
    return Said(text, is_final=False, event="EagerEndOfTurn")


@pytest.mark.slow
def test_reply_begun_early_is_taken_back_when_the_caller_goes_on() -> None:
    """What was made of half a turn is never heard nor remembered; the whole turn is answered."""
    turns: list[str] = []
    replies: list[Reply] = []
    remarks: list[Remark] = []

    def agent(call: Call) -> None:
        for turn in call.turns():
            turns.append(turn.text)
            replies.append(call.say(f"You said {turn.text}."))
            if len(replies) == 2:
                remarks.extend(call.history)
                return

    recogniser = cues(
        (1.6, eager("a table")),
        (2.2, Said("a table", is_final=False, event="TurnResumed")),
        (3.2, eager("a table for four")),
        (3.4, Said("A table for four.", confidence=0.9, event="EndOfTurn")),
    )
    with phone_line(
        agent, transcription=recogniser, BRIDGE_STT_MODEL="flux", BRIDGE_EAGER_TURNS="on",
        BRIDGE_ENDPOINT_MS="1500", BRIDGE_LANGUAGE="en",
    ) as phone:  # fmt: skip
        call = phone.call(
            {"play": phone.speech, "when": 0.5}, {"wait": 0.6}, {"play": phone.speech}
        )
        call.wait(6 * PATIENCE)
        seen = [turn.text for turn, _ in phone.seen.turns]
        told = [reply.text for reply, _ in phone.seen.replies]
        [(_, latency)] = phone.seen.replies
    assert turns == ["a table", "a table for four"]
    assert [(reply.heard, reply.interrupted) for reply in replies] == [
        ("", True),
        ("You said a table for four.", False),
    ]
    assert [remark.text for remark in remarks] == [
        "A table for four.",
        "You said a table for four.",
    ]
    assert seen == ["A table for four."]
    assert told == ["You said a table for four."]
    assert call.clears == []
    # Thinking and synthesis were done while the caller's end was awaited.
    assert latency.agent == latency.first_text == latency.first_audio == 0


def test_reply_begun_early_is_not_heard_before_the_turn_is_sure() -> None:
    """It is made meanwhile, and leaves as soon as the turn has ended."""
    asked = threading.Event()

    def agent(call: Call) -> None:
        turn = call.listen()
        assert turn is not None
        asked.set()
        call.say(f"You said {turn.text}.")

    with phone_line(
        agent, texts=["a table"], BRIDGE_EAGER_TURNS="on", BRIDGE_ENDPOINT_MS="1500"
    ) as phone:
        call = phone.call({"play": phone.speech, "when": 0.3})
        assert asked.wait(4 * PATIENCE)
        early = not phone.seen.turns
        call.wait(4 * PATIENCE)
        [(turn, _)] = phone.seen.turns
    assert early
    assert turn.text == "a table"
    first, _ = call.media[0]
    assert first > (call.speech[0].ended_at or 0)


def test_false_alarm_costs_no_word() -> None:
    """A listener's "uh-huh" pauses the reply, which is then heard to its end."""
    replies: list[Reply] = []

    def agent(call: Call) -> None:
        replies.append(call.say(LONG))

    with phone_line(agent, texts=["uh-huh"] * 9) as phone:
        call = phone.call({"play": phone.speech, "when": {"agent_speaking": 1.5}})
        call.wait(8 * PATIENCE)
        summary = phone.seen.summary()
    assert replies == [Reply(LONG, LONG)]
    # A machine that pauses in the middle of the sound makes two of it.
    assert summary.false_alarms >= 1
    assert (summary.barge_ins, summary.turns) == (0, 0)
    assert len(call.clears) == summary.false_alarms


def test_reply_may_ask_for_more_words() -> None:
    """With a least number of words a shorter remark does not take the floor."""
    replies: list[Reply] = []

    def agent(call: Call) -> None:
        replies.append(call.say(LONG, min_words=9))

    with phone_line(agent, texts=["hello there"]) as phone:
        call = phone.call({"play": phone.speech, "when": {"agent_speaking": 1.0}})
        call.wait(8 * PATIENCE)
    assert replies == [Reply(LONG, LONG)]


def test_reply_may_ask_for_more_speech() -> None:
    """A least length of speech that is not reached leaves the agent's audio as it is."""
    replies: list[Reply] = []

    def agent(call: Call) -> None:
        replies.append(call.say(LONG, min_speech=5.0, min_words=9))

    with phone_line(agent, texts=["hello there"]) as phone:
        call = phone.call({"play": phone.speech, "when": {"agent_speaking": 1.0}})
        call.wait(8 * PATIENCE)
    assert replies == [Reply(LONG, LONG)]
    assert call.clears == []


ASKED: list[tuple[float, str]] = []


def detector(audio: bytes, text: str) -> bool:
    """Take note of what a detector gets, and take every turn to be over."""
    ASKED.append((len(audio) / 16000, text))
    return True


def broken(audio: bytes, text: str) -> bool:
    """Fail as somebody's own code may."""
    raise ValueError(text)


def test_detector_of_ones_own_judges_the_turn() -> None:
    """It gets the audio and the text of the turn, off the call's own threads."""
    ASKED.clear()
    turns: list[str] = []

    def agent(call: Call) -> None:
        turn = call.listen()
        assert turn is not None
        turns.append(turn.text)

    with phone_line(
        agent, texts=["a table and"], BRIDGE_TURN_DETECTOR="tests.app.test_turntaking:detector",
        BRIDGE_ENDPOINT_MS="5000",
    ) as phone:  # fmt: skip
        call = phone.call({"play": phone.speech, "when": 0.5})
        call.wait(4 * PATIENCE)
    assert turns == ["a table and"]
    assert {text for _, text in ASKED} == {"a table and"}
    # 0.9 s of speech, a pause, and a little of what was before; less if the machine paused itself.
    assert all(0.1 < seconds < 9 for seconds, _ in ASKED)


def test_detector_that_fails_leaves_the_rules_to_decide(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The call goes on, and what was said is in no log."""
    turns: list[str] = []

    def agent(call: Call) -> None:
        for turn in call.turns():
            turns.append(turn.text)
            if len(turns) == 2:
                return

    with phone_line(
        agent, texts=["first words", "second words"],
        BRIDGE_TURN_DETECTOR="tests.app.test_turntaking:broken", BRIDGE_ENDPOINT_MS="1000",
    ) as phone:  # fmt: skip
        call = phone.call(
            {"play": phone.speech, "when": 0.5}, {"wait": 4.0}, {"play": phone.speech}
        )
        call.wait(6 * PATIENCE)
    assert turns == ["first words", "second words"]
    assert "the turn detector failed: ValueError" in caplog.text
    assert "first words" not in caplog.text
