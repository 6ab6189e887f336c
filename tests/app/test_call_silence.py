"""Dead air: callers who say nothing, agents who think for long, calls that never end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bridge.call import Call
from bridge.errors import CallEnded
from examples import filler, limit, raw, silence
from tests.app.phone import Phone, phone_line
from tests.loopback import PATIENCE

LONG = 6 * PATIENCE


def texts(phone: Phone) -> list[str]:
    """Get what was said, in order."""
    return [reply.text for reply, _ in phone.seen.replies]


def test_a_silent_caller_is_asked_and_then_let_go() -> None:
    """Each prompt once, then the last words and the hang-up."""

    def agent(call: Call) -> None:
        for _ in call.turns(silence=0.3, prompts=["Hello?", "Hello?!"], give_up="Bye."):
            raise AssertionError("nobody spoke")

    with phone_line(agent) as phone:
        call = phone.call()
        call.wait(LONG)
        assert texts(phone) == ["Hello?", "Hello?!", "Bye."]
        assert phone.seen.summary().reason == "agent"
        assert phone.seen.errors == []


def test_a_single_prompt_is_said_whole() -> None:
    """A string in place of a list of them is one prompt, not one for each letter."""

    def agent(call: Call) -> None:
        assert list(call.turns(silence=0.3, prompts="Hello?")) == []

    with phone_line(agent) as phone:
        phone.call().wait(LONG)
        assert texts(phone) == ["Hello?"]
        assert phone.seen.errors == []


def test_without_last_words_the_agent_goes_on() -> None:
    """The iterator ends, and the call does not."""

    def agent(call: Call) -> None:
        assert list(call.turns(silence=0.3)) == []
        call.say("Let me tell you something, then.")

    with phone_line(agent) as phone:
        phone.call().wait(LONG)
        assert texts(phone) == ["Let me tell you something, then."]


def test_a_caller_who_answers_a_prompt_begins_anew() -> None:
    """After a turn all prompts are there again."""
    turns: list[str] = []

    def agent(call: Call) -> None:
        for turn in call.turns(silence=0.6, prompts=["Hello?"], give_up="Bye."):
            turns.append(turn.text)

    with phone_line(agent, texts=["I am here"]) as phone:
        phone.call({"play": phone.speech}).wait(LONG)
        assert texts(phone) == ["Hello?", "Hello?", "Bye."]
    assert turns == ["I am here"]


def test_noise_on_the_line_does_not_count_as_a_caller() -> None:
    """Silence is counted in spite of comfort noise."""

    def agent(call: Call) -> None:
        assert list(call.turns(silence=0.5)) == []
        call.say("Done.")

    with phone_line(agent) as phone:
        phone.call(noise=-45.0).wait(LONG)
        assert texts(phone) == ["Done."]


def test_the_example_talks_to_who_talks() -> None:
    """A caller who speaks is echoed."""
    with phone_line(silence.answer, texts=["good evening"]) as phone:
        call = phone.call({"play": phone.speech}, {"wait": 1.5}, {"hangup": True})
        call.wait(LONG)
        phone.seen.summary()
        said = texts(phone)
        assert said[0] == "Say something."
        assert said[1].startswith("You said: good evening")


def test_a_slow_look_up_is_filled() -> None:
    """The example: the filler while it takes, then the answer; a fast one has none."""

    def agent(call: Call) -> None:
        filler.answer(call)
        with call.filler("Never said.", after=5):
            pass

    with phone_line(agent) as phone:
        phone.call().wait(LONG)
        assert texts(phone) == ["One moment, I am looking that up.", "Here it is: twelve pizzas."]


def test_a_reply_that_is_slow_to_begin_is_filled() -> None:
    """The filler is a part of the reply, said first, and not when the words are there in time."""

    def slow() -> Iterator[str]:
        time.sleep(0.6)
        yield "Here it is."

    def agent(call: Call) -> None:
        reply = call.say(slow(), filler="One moment.", filler_after=0.2)
        assert reply.heard == reply.text
        call.say(iter(["At once."]), filler="Never said.", filler_after=3)
        assert [remark.text for remark in call.history] == ["One moment. Here it is.", "At once."]

    with phone_line(agent) as phone:
        phone.call().wait(LONG)
        assert phone.seen.errors == []
        assert texts(phone) == ["One moment. Here it is.", "At once."]


def test_a_hang_up_during_a_filler_unwinds_the_agent() -> None:
    """What comes after the look-up finds the call over."""
    unwound: list[bool] = []

    def agent(call: Call) -> None:
        try:
            with call.filler("A filler that is long enough to be cut off. " * 3, after=0.0):
                phone.wait_for_agent_audio(phone.simulator.calls[0], 0.3)
                phone.simulator.calls[0].hang_up()
            call.say("Too late.")
        except CallEnded:
            unwound.append(True)

    with phone_line(agent) as phone:
        phone.call().wait(LONG)
        phone.seen.summary()
        assert phone.seen.errors == []
    assert unwound == [True]


@pytest.mark.parametrize("by", ["argument", "setting"])
def test_a_call_that_lasts_too_long_ends_politely(by: str) -> None:
    """The reply is dropped, last words are heard in full, and the agent is unwound."""
    unwound: list[str] = []

    def agent(call: Call) -> None:
        if by == "argument":
            call.limit(1.5, "Time is up.")
        try:
            while True:
                call.say("And another thing, which is not short at all. " * 3)
        except CallEnded:
            unwound.append("ended")
            raise

    variables = {"BRIDGE_MAX_SECONDS": "1.5", "BRIDGE_LAST_WORDS": "Time is up."}
    settings: dict[str, str] = variables if by == "setting" else {}
    with phone_line(agent, **settings) as phone:  # type: ignore[arg-type]
        call = phone.call()
        call.wait(LONG)
        assert phone.seen.summary().reason == "too long"
        last = phone.seen.replies[-1][0]
        assert (last.text, last.heard) == ("Time is up.", "Time is up.")
    assert unwound == ["ended"]
    assert [c["name"] for c in call.commands][-1] == "hangup"


def test_the_example_of_a_limit_is_a_conversation() -> None:
    """A limit that is not reached changes nothing."""
    with phone_line(limit.answer, texts=["good evening"]) as phone:
        call = phone.call({"play": phone.speech, "when": "now"})
        phone.seen.wait_for(lambda: phone.seen.replies)
        call.hang_up()
        assert phone.seen.summary().reason == "caller"
        assert texts(phone) == ["You said: good evening"]


def test_any_command_and_any_event_can_be_used() -> None:
    """The example records at Telnyx and hears where the file is."""
    with phone_line(raw.answer) as phone:
        call = phone.call()
        call.wait(LONG)
        assert texts(phone) == ["Telnyx records this.", "It is saved."]
        assert phone.seen.errors == []
    names = [command["name"] for command in call.commands]
    assert names == ["answer", "record_start", "record_stop", "hangup"]


def test_the_events_of_a_call_are_there() -> None:
    """What came is kept, and what does not come is waited for no longer than said."""

    def agent(call: Call) -> None:
        while not call.events:
            # The media stream may be here before the first webhook is.
            call.stay(0.02)
        assert call.events[0].event_type in ("call.answered", "streaming.started")
        assert call.wait_for_event("call.recording.saved", timeout=0.1) is None
        # With no type named, the next one of any.
        event = call.wait_for_event(timeout=LONG)
        assert event is not None
        assert event.event_type == "call.dtmf.received"

    with phone_line(agent) as phone:
        phone.call({"dtmf": "1" * 32, "when": 0.5}).wait(LONG)
        assert phone.seen.errors == []
