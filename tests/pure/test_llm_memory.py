"""What a model is told of the conversation, and what comes over its wire."""

from __future__ import annotations

import json

import pytest

from bridge.agents.llm.answerstream import AnswerStream, Failed, Finished
from bridge.agents.llm.memory import MOST_CHARACTERS, MOST_MESSAGES, Memory
from bridge.agents.llm.tools import ToolCall
from bridge.call import Remark
from bridge.simulator.chatmodel import rules


def agent(text: str, heard: str | None = None) -> Remark:
    """Make what the agent said."""
    return Remark("agent", text, text if heard is None else heard, heard is not None)


def caller(text: str, digits: str = "") -> Remark:
    """Make what the caller said."""
    return Remark("caller", text, text, digits=digits)


def told(memory: Memory) -> list[tuple[str, str]]:
    """Get the messages' roles and words."""
    return [(message["role"], message["content"]) for message in memory.messages()]


def test_only_what_was_heard_is_remembered() -> None:
    """Half a sentence is half a sentence, and nothing is nothing."""
    memory = Memory({"One moment."})
    history = [
        agent("Hello."),
        caller("Hi."),
        agent("One moment."),
        agent("I can do this.", "I can"),
    ]
    memory.follow(history)
    history += [caller("Wait."), agent("Unheard.", ""), caller("", "12#"), caller("Now.")]
    memory.follow(history)
    memory.follow(history)
    assert told(memory) == [
        ("assistant", "Hello."),
        ("user", "Hi."),
        ("assistant", "I can"),
        ("user", "Wait. (pressed the keys 12#) Now."),
    ]


def test_a_turn_is_answered_once() -> None:
    """Two turns in a row are answered together."""
    memory = Memory()
    assert not memory.unanswered
    memory.follow([caller("One.")])
    assert memory.unanswered
    memory.answer()
    assert memory.is_behind([caller("One."), caller("Two.")])
    assert not memory.is_behind([caller("One."), agent("Three.")])
    memory.follow([caller("One."), agent("Three.")])
    assert not memory.unanswered


def test_results_follow_their_calls_at_once() -> None:
    """Whatever was said meanwhile comes behind them."""
    memory = Memory({"One moment."})
    memory.follow([caller("Book it.")])
    history = [caller("Book it."), agent("Let me see."), agent("One moment."), caller("Hurry.")]
    memory.commit(history, [ToolCall("1", "book", '{"a": 1}'), ToolCall("2", "tell")], ["ok", "no"])
    memory.follow([*history, agent("Done.")])
    messages = memory.messages()
    assert [message["role"] for message in messages] == [
        "user", "assistant", "tool", "tool", "user", "assistant",
    ]  # fmt: skip
    assert messages[1]["content"] == "Let me see."
    assert [call["function"] for call in messages[1]["tool_calls"]] == [
        {"name": "book", "arguments": '{"a": 1}'},
        {"name": "tell", "arguments": "{}"},
    ]
    assert messages[2:4] == [
        {"role": "tool", "tool_call_id": "1", "content": "ok"},
        {"role": "tool", "tool_call_id": "2", "content": "no"},
    ]
    # Nothing was said with it: no words, rather than empty ones.
    memory.commit([*history, agent("Done.")], [ToolCall("3", "x")], ["y"])
    assert memory.messages()[-2]["content"] is None


def test_the_oldest_is_forgotten() -> None:
    """A call may last for hours; what is left never begins with a result."""
    memory = Memory()
    history: list[Remark] = []
    for number in range(MOST_MESSAGES):
        history += [caller(f"Question {number}?"), agent("x" * 400)]
        memory.follow(history)
        memory.commit(history, [ToolCall(str(number), "f")], ["y" * 400])
    messages = memory.messages()
    assert 100 < len(messages) <= MOST_MESSAGES
    assert sum(len(m["content"] or "") for m in messages) <= MOST_CHARACTERS
    assert messages[0]["role"] != "tool"
    assert messages[-1]["content"] == "y" * 400


def lines(*data: str) -> tuple[str, Finished | Failed | str]:
    """Feed lines, and get the words and the end."""
    stream = AnswerStream()
    return "".join(stream.feed(line) for line in data), stream.end()


def test_the_lines_of_a_stream() -> None:
    """Comments, empty lines, events of other kinds and reasoning are no words."""
    assert lines(
        ": keep-alive",
        "",
        "event: message",
        'data: {"choices": []}',
        'data:{"choices": [{"delta": {"role": "assistant", "content": null}}]}',
        'data: {"choices": [{"delta": {"reasoning_content": "hm"}}], "usage": null}',
        'data: {"choices": [{"delta": {"content": "A"}, "finish_reason": null}]}',
        'data: {"choices": [{"delta": {"content": "B"}, "finish_reason": "stop"}]}',
        "data: [DONE]",
    ) == ("AB", Finished((), "stop"))


def test_a_server_that_gives_no_reason_has_answered_all_the_same() -> None:
    """It says that it is done; the answer is not asked for, and spoken, a second time."""
    assert lines(
        'data: {"choices": [{"delta": {"content": "A"}}]}',
        'data: {"choices": null}',
        "data: [DONE]",
    ) == ("A", Finished((), ""))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("data: {", "an event that makes no sense"),
        ('data: {"choices": [{"delta": {"content": 3}}]}', "an event that makes no sense"),
        ("data: []", "an event that makes no sense"),
        ('data: {"error": {"message": "secret"}}', "an error within the stream"),
        ('data: {"choices": [{"delta": {"content": "A"}}]}', "the stream ended early"),
        (": keep-alive", "the stream ended early"),
        ("", "the stream ended early"),
        ("<html>", "what came is no event stream; is the API's address right?"),
        ('{"choices": []}', "what came is no event stream; is the API's address right?"),
    ],
)
def test_what_makes_no_sense_is_a_failure(line: str, what: str) -> None:
    """Told without a word of it."""
    assert lines(line)[1] == Failed(what)


def test_tool_calls_without_numbers_are_told_apart() -> None:
    """Some servers send each whole, in an event of its own, by its id alone."""

    def event(call_id: str, name: str, arguments: str) -> str:
        piece = {"id": call_id, "function": {"name": name, "arguments": arguments}}
        return f"data: {json.dumps({'choices': [{'delta': {'tool_calls': [piece]}}]})}"

    end = lines(
        event("a", "one", "1"),
        event("b", "two", "2"),
        event("b", "", "3"),
        'data: {"choices": [{"finish_reason": "tool_calls"}]}',
    )[1]
    assert end == Finished((ToolCall("a", "one", "1"), ToolCall("b", "two", "23")), "tool_calls")


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "book_table",
            "parameters": {
                "properties": {
                    "guests": {"type": "integer"},
                    "day": {"type": "string"},
                    "name": {"type": "string"},
                    "room": {"type": "string", "enum": ["inside", "garden"]},
                },
                "required": ["guests", "day"],
            },
        },
    },
    {"type": "function", "function": {"name": "hang_up", "parameters": {}}},
]


def test_the_simulated_model_calls_tools_by_rules() -> None:
    """The same words lead to the same call."""
    said = {"role": "user", "content": "A table for two on Friday in the garden, name is Miller."}
    reply = rules([said], TOOLS)
    assert reply.tools == [
        ("book_table", {"guests": 2, "day": "friday", "name": "Miller", "room": "garden"})
    ]
    assert rules([{"role": "user", "content": "Goodbye."}], TOOLS).tools[0][0] == "hang_up"
    assert rules([said], []).text.startswith("You said: A table")
    spelt = {"role": "user", "content": "Book a table for two to-morrow."}
    [(_, arguments)] = rules([spelt], TOOLS).tools
    assert isinstance(arguments, dict)
    assert "tomorrow" in arguments.values()
    done = rules([said, {"role": "assistant"}, {"role": "tool", "content": "4711"}], TOOLS)
    assert done.text == "I got this: 4711. Anything else?"
    assert rules([{"role": "user", "content": "Hello there"}], TOOLS).text.startswith("Hello!")
    assert rules([{"role": "system", "content": "x"}], TOOLS).text.startswith("Hello!")
