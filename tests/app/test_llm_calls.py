"""Whole calls held by a language model: the real application, a simulated Telnyx, no key.

What the caller says is scripted, and so is what the model writes; everything between is real.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from bridge.agents.llm import ChatAgent, Endpoint, Limits, tool
from bridge.call import Call, Remark
from bridge.simulator.chat import MODEL, ChatFault, ChatReply
from bridge.simulator.chat import ChatRecord as Record
from tests.app.phone import Phone, phone_line
from tests.loopback import PATIENCE

pytestmark = pytest.mark.slow

# No waiting that a test does not ask for.
QUICK = Limits(first_token=PATIENCE, backoff=0.01, filler="")

GOODBYE = ChatReply(tools=[("hang_up", {"goodbye": "Goodbye."})])


class Line:
    """A phone line that a language model answers."""

    def __init__(self, phone: Phone, histories: list[tuple[Remark, ...]]) -> None:
        self.phone = phone
        self.chat = phone.simulator.chat
        self._histories = histories

    @property
    def history(self) -> list[tuple[str, str]]:
        """Who said what, as far as it was heard, once the call is over."""
        [history] = self._histories
        return [(remark.speaker, _once(remark.heard)) for remark in history]

    def told(self, number: int = -1) -> list[tuple[str, str]]:
        """Get the conversation as one request had it, but for the system's message."""
        record = self.chat.requests[number]
        assert record.messages[0]["role"] == "system"
        return [(m["role"], _once(m["content"])) for m in record.messages[1:]]

    def call(self, *steps: dict[str, object], **options: Any) -> None:
        """Place a call and wait for its end."""
        call = self.phone.call(*steps, **options)
        call.wait(6 * PATIENCE)
        self.phone.seen.summary()


def _once(words: str) -> str:
    """Leave out what the scripted recogniser says of a burst that a late packet has cut in two."""
    return re.sub(r" word \d+$", "", words)


@contextmanager
def llm_line(
    *tools: Callable[..., Any],
    texts: list[str],
    models: tuple[str, ...] = (MODEL,),
    greeting: str = "Hello.",
    limits: Limits = QUICK,
    resumed: bool = False,
    **options: Any,
) -> Iterator[Line]:
    """Have a phone line that a language model answers."""
    phones: list[Phone] = []
    histories: list[tuple[Remark, ...]] = []

    def agent(call: Call) -> None:
        simulator = phones[0].simulator
        endpoint = Endpoint(f"{simulator.api_url}/ai/openai", simulator.api_key, models)
        if resumed:
            call = Call(call._line, resumed=True)
        try:
            ChatAgent(
                "You book tables.",
                greeting=greeting,
                tools=tools,
                endpoint=endpoint,
                limits=limits,
                **options,
            )(call)
        finally:
            histories.append(call.history)

    with phone_line(agent, texts=texts) as phone:
        phones.append(phone)
        phone.simulator.chat.models = ("spare", MODEL)
        yield Line(phone, histories)
        assert phone.seen.errors == []


def says(phone: Phone, **when: object) -> dict[str, object]:
    """Make a step in which the caller says something."""
    return {"play": phone.speech, **when}


def test_a_table_is_booked_by_a_tool() -> None:
    """The model asks, calls the tool with what was said, and tells what came of it."""
    booked: list[tuple[int, str, str]] = []

    def book_table(
        guests: int, day: Literal["friday", "saturday"], call: Call, name: str = "?"
    ) -> str:
        """Book a table.

        Args:
            guests: how many come.
            day: when.
            call: the call.
            name: of the guest.
        """
        booked.append((guests, day, call.info.direction))
        return "booked, number 4711"

    with llm_line(book_table, texts=["A table for two.", "On Friday.", "Bye."]) as line:
        line.chat.say(
            "**For which day**, please?",
            ChatReply(tools=[("book_table", {"guests": 2, "day": "friday"})]),
            "It is booked.",
            GOODBYE,
        )
        line.call(*[says(line.phone)] * 3)
    assert booked == [(2, "friday", "inbound")]
    assert line.history == [
        ("agent", "Hello."),
        ("caller", "A table for two."),
        ("agent", "For which day, please?"),
        ("caller", "On Friday."),
        ("agent", "It is booked."),
        ("caller", "Bye."),
        ("agent", "Goodbye."),
    ]
    first, second, third, _ = line.chat.requests
    assert sorted(first.tools) == ["book_table", "hang_up"]
    [offered] = [t for t in first.body["tools"] if t["function"]["name"] == "book_table"]
    assert offered["function"]["description"] == "Book a table."
    assert sorted(offered["function"]["parameters"]["properties"]) == ["day", "guests", "name"]
    assert first.body["enable_thinking"] is False
    assert "You book tables." in first.messages[0]["content"]
    assert second.messages[-1] == {"role": "user", "content": "On Friday."}
    called, result = third.messages[-2:]
    assert not called.get("content")
    assert called["tool_calls"][0]["function"]["name"] == "book_table"
    assert result == {
        "role": "tool",
        "tool_call_id": called["tool_calls"][0]["id"],
        "content": "booked, number 4711",
    }


def test_a_model_remembers_only_what_was_heard() -> None:
    """A caller who breaks in has heard half of it; the stream is closed at that moment."""
    long = " ".join(f"This is sentence number {n} of very many." for n in range(40))
    with llm_line(texts=["Tell me everything.", "Stop that please."]) as line:
        line.chat.say(ChatReply(long, tokens_per_second=60), GOODBYE)
        line.call(says(line.phone), says(line.phone, when={"agent_speaking": 1.5}))
        interrupted = line.phone.seen.replies[1][0]
    assert interrupted.interrupted
    assert interrupted.heard
    assert len(interrupted.heard) < 100
    first = line.chat.requests[0]
    assert first.given_up is not None
    assert first.sent < 200
    assert line.told(1) == [
        ("assistant", "Hello."),
        ("user", "Tell me everything."),
        ("assistant", interrupted.heard),
        ("user", "Stop that please."),
    ]
    assert long.startswith(interrupted.heard)


def test_a_tool_that_was_announced_and_broken_in_on_is_not_called() -> None:
    """The caller may have said no."""
    called: list[str] = []

    def cancel_everything() -> None:
        """Cancel all bookings."""
        called.append("x")

    words = "I will cancel all of your bookings for this year and for the next one now."
    with llm_line(cancel_everything, texts=["Cancel.", "No, wait."]) as line:
        line.chat.say(ChatReply(words, tools=[("cancel_everything", {})]), GOODBYE)
        line.call(says(line.phone), says(line.phone, when={"agent_speaking": 1.5}))
    assert called == []
    assert [role for role, _ in line.told(1)] == ["assistant", "user", "assistant", "user"]


def test_a_fallback_answers_when_the_first_model_fails() -> None:
    """The caller notices nothing; for the rest of the call the one that works is asked first."""
    with llm_line(texts=["Hello?", "Bye."], models=(MODEL, "spare")) as line:
        line.chat.fail(ChatFault(status=500, model=MODEL))
        line.chat.fail(ChatFault("cut", model=MODEL))
        # The reply of the answer that is cut is used up.
        line.chat.say("Never heard.", "How are you?", GOODBYE)
        line.call(says(line.phone), says(line.phone))
    assert [r.model for r in line.chat.requests] == [MODEL, MODEL, "spare", "spare"]


def test_the_caller_hears_an_apology_when_no_model_answers() -> None:
    """And is not hung up on before it went on for a while; the next turn is tried again."""
    with llm_line(texts=["Hello?", "Hello?", "Bye."], apology="Sorry.") as line:
        line.chat.fail(ChatFault(status=500), times=2)
        line.chat.say("I am back.", GOODBYE)
        line.call(*[says(line.phone)] * 3)
    assert [words for who, words in line.history if who == "agent"] == [
        "Hello.",
        "Sorry.",
        "I am back.",
        "Goodbye.",
    ]


def test_a_dead_model_ends_the_call_politely() -> None:
    """After three turns without an answer."""
    with llm_line(texts=["One?", "Two?", "Three?"], apology="Sorry.", farewell="Bye now.") as line:
        line.chat.fail(ChatFault(status=503), times=100)
        line.call(*[says(line.phone)] * 3)
        assert line.phone.seen.summary().reason == "agent"
    assert [words for who, words in line.history if who == "agent"] == [
        "Hello.",
        "Sorry.",
        "Sorry.",
        "Bye now.",
    ]


def test_a_wrong_key_is_not_tried_again() -> None:
    """The apology comes at once."""
    with llm_line(texts=["Hello?"], apology="Sorry.") as line:
        line.chat.fail(ChatFault(status=401))
        line.call(says(line.phone), {"hangup": True})
    assert len(line.chat.requests) == 1


def test_a_slow_model_is_bridged() -> None:
    """The caller hears a filler, which is no part of the conversation."""
    limits = Limits(filler="One moment.", filler_after=0.1)
    with llm_line(texts=["Hello?", "Bye."], limits=limits) as line:
        line.chat.say(ChatReply("Here I am.", first_delay=1.0), GOODBYE)
        line.call(says(line.phone), says(line.phone), pause=3.0)
    words = [words for who, words in line.history if who == "agent"]
    assert words[:3] == ["Hello.", "One moment.", "Here I am."]
    assert words[-1] == "Goodbye."
    assert ("assistant", "Here I am.") in line.told()
    assert not any("moment" in words for _, words in line.told())


def test_a_model_that_never_begins_is_given_up() -> None:
    """The time to its first word is limited, and the fallback is asked."""
    limits = Limits(first_token=0.3, attempts=1, filler="")
    with llm_line(texts=["Hello?", "Bye."], models=(MODEL, "spare"), limits=limits) as line:
        line.chat.say(ChatReply("Never.", first_delay=60), "Here I am.", GOODBYE)
        line.call(says(line.phone), says(line.phone))
        line.chat.wait_for(lambda requests: requests[0].given_up, PATIENCE)
    assert [r.model for r in line.chat.requests] == [MODEL, "spare", "spare"]


def test_an_answer_that_breaks_off_is_gone_on_with() -> None:
    """What was said stays said; the model is asked for the rest."""
    with llm_line(texts=["Hello?", "Bye."]) as line:
        line.chat.fail(ChatFault("cut", after=8))
        line.chat.say("The first half of it and more.", "the second half.", GOODBYE)
        line.call(says(line.phone), says(line.phone))
    roles = [role for role, _ in line.told(1)]
    assert roles == ["assistant", "user", "assistant", "user"]
    _, (_, half), (_, nudge) = line.told(1)[1:]
    assert "The first half of it and more.".startswith(half)
    assert half
    assert "cut off" in nudge
    # Said in one go, as far as the model knows.
    assert ("assistant", f"{half} the second half.") in line.told(2)


def test_several_tools_run_side_by_side() -> None:
    """Each waits for the other, which it could not if they ran in turn."""
    both = threading.Barrier(2)

    def left() -> str:
        """Meet."""
        both.wait(PATIENCE)
        return "l"

    def right() -> str:
        """Meet."""
        both.wait(PATIENCE)
        return "r"

    with llm_line(left, right, texts=["Go.", "Bye."]) as line:
        line.chat.say(ChatReply(tools=[("right", {}), ("left", {})]), "Done.", GOODBYE)
        line.call(says(line.phone), says(line.phone))
    results = [m["content"] for m in line.chat.requests[1].messages if m["role"] == "tool"]
    assert results == ["r", "l"]


def test_a_hung_tool_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """The caller hears a filler, the model that it took too long, the log a warning."""
    release = threading.Event()

    @tool(timeout=0.6, filler="Let me look.", filler_after=0.1)
    def look_up(number: int) -> str:
        """Look an order up."""
        release.wait(10 * PATIENCE)
        return "too late"

    try:
        with llm_line(look_up, texts=["Where is my order?", "Bye."]) as line:
            line.chat.say(ChatReply(tools=[("look_up", {"number": 7})]), "I can't tell.", GOODBYE)
            line.call(says(line.phone), says(line.phone), pause=2.0)
            release.set()
    finally:
        release.set()
    assert [words for who, words in line.history if who == "agent"] == [
        "Hello.",
        "Let me look.",
        "I can't tell.",
        "Goodbye.",
    ]
    [result] = [m["content"] for m in line.chat.requests[1].messages if m["role"] == "tool"]
    assert result == "error: look_up took too long and gave no result"
    assert any("left the tool look_up behind" in r.getMessage() for r in caplog.records)


def test_what_is_wrong_with_a_call_goes_back_to_the_model(caplog: pytest.LogCaptureFixture) -> None:
    """A tool that is none, arguments that don't fit, a tool that raises; and no word is logged."""

    def age(years: int) -> None:
        """Take an age."""
        raise LookupError("nobody is secret-value years old")

    with llm_line(age, texts=["Go.", "Bye."]) as line:
        line.chat.say(
            ChatReply(
                tools=[
                    ("fly", {}),
                    ("age", {"years": "many"}),
                    ("age", {}),
                    ("age", {"years": 3, "months": 4}),
                    ("age", "{not json"),
                    ("age", {"years": 3}),
                ]
            ),
            "I can't.",
            GOODBYE,
        )
        line.call(says(line.phone), says(line.phone))
    results = [m["content"] for m in line.chat.requests[1].messages if m["role"] == "tool"]
    assert results[0] == "error: there is no tool 'fly'"
    assert results[1].startswith("error: wrong arguments for age: years: Input should be a valid")
    assert results[2] == "error: wrong arguments for age: years: is required"
    assert results[3] == "error: wrong arguments for age: months: there is no such argument"
    assert results[4].startswith("error: wrong arguments for age: Invalid JSON")
    assert results[5] == "error: age failed: LookupError: nobody is secret-value years old"
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "secret-value" not in logged
    assert "the tool age failed: LookupError at" in logged


def test_a_model_that_only_calls_tools_is_stopped() -> None:
    """After so many rounds it has to speak."""

    def again() -> str:
        """Go round."""
        return "again"

    def loop(record: Record) -> ChatReply:
        if record.body.get("tool_choice") == "none":
            return ChatReply("I give up.")
        return ChatReply(tools=[("again", {})])

    limits = Limits(rounds=3, filler="")
    with llm_line(again, texts=["Go.", "Bye."], limits=limits) as line:
        line.chat.say(loop, loop, loop, loop, GOODBYE)
        line.call(says(line.phone), says(line.phone))
    assert [r.body.get("tool_choice") for r in line.chat.requests] == [
        None,
        None,
        None,
        "none",
        None,
    ]
    assert ("agent", "I give up.") in line.history


def test_a_caller_who_goes_on_is_answered_once() -> None:
    """What was asked for is given up, and all that was said is answered together."""
    with llm_line(texts=["I would like", "a table.", "Bye."]) as line:
        line.chat.say(ChatReply("Never heard.", first_delay=60), "For how many?", GOODBYE)
        line.call(
            says(line.phone),
            says(line.phone, when=1.2),
            says(line.phone),
        )
    assert line.chat.requests[0].given_up is not None
    assert line.told(1)[1:] == [("user", "I would like a table.")]
    assert [words for who, words in line.history if who == "agent"] == [
        "Hello.",
        "For how many?",
        "Goodbye.",
    ]


def test_a_hang_up_while_the_model_thinks_ends_everything() -> None:
    """The stream is cut, and no thread stays."""
    with llm_line(texts=["Hello?"]) as line:
        line.chat.say(ChatReply("Never heard.", first_delay=60))
        call = line.phone.call(says(line.phone))
        line.chat.wait_for(lambda requests: requests, 4 * PATIENCE)
        call.hang_up()
        began = time.monotonic()
        line.phone.seen.summary()
        assert time.monotonic() - began < PATIENCE
        line.chat.wait_for(lambda requests: requests[0].given_up, PATIENCE)


def test_keys_are_told_to_the_model() -> None:
    """A caller may press instead of speak."""
    with llm_line(texts=["Bye."]) as line:
        line.chat.say("You chose four.", GOODBYE)
        line.call({"dtmf": "4"}, says(line.phone))
    assert line.told(0)[1:] == [("user", "(pressed the keys 4)")]


def test_a_goodbye_that_is_broken_in_on_is_none() -> None:
    """The call goes on, and the model knows."""
    long = "Thank you very much for calling us today and goodbye until the next time."
    with llm_line(texts=["That is all.", "Wait, one more thing."]) as line:
        line.chat.say(ChatReply(tools=[("hang_up", {"goodbye": long})]), GOODBYE)
        line.call(says(line.phone), says(line.phone, when={"agent_speaking": 1.5}))
    assert line.told(1)[-1] == ("user", "Wait, one more thing.")
    [result] = [m["content"] for m in line.chat.requests[1].messages if m["role"] == "tool"]
    assert result == "the caller broke in, and the call goes on"


def test_nothing_that_was_said_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At any level, by us or by the client's library."""
    # As bridge.logs has it: libraries log at info, we at what LOG_LEVEL says.
    caplog.set_level(logging.INFO)
    for name in ("bridge.agents", "bridge.worker", "telnyx_media"):
        caplog.set_level(logging.DEBUG, name)
    with llm_line(texts=["The word is xylophone.", "Bye."]) as line:
        line.chat.say("I heard marimba.", GOODBYE)
        line.call(says(line.phone), says(line.phone))
    logged = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("bridge.agents"))
    assert "began to answer" in logged
    everything = "\n".join(record.getMessage() for record in caplog.records)
    assert "xylophone" not in everything
    assert "marimba" not in everything
    assert line.phone.simulator.api_key not in everything


def test_a_resumed_call_goes_on() -> None:
    """The caller is not greeted again."""
    with llm_line(texts=["Hello?", "Bye."], resumed=True, welcome_back="Here again.") as line:
        line.chat.say("Where were we?", GOODBYE)
        line.call(says(line.phone), says(line.phone))
    assert line.history[0] == ("agent", "Here again.")
