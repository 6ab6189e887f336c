"""A language model without a model: rules that make small talk and call tools, always the same way.

So that an agent that talks with a model can be developed, shown and tested with no account.  It
greets, answers a few questions, calls the tool whose name fits what was said, tells what came of
it, and otherwise says back what it understood.

Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["ChatReply", "rules"]


@dataclass(frozen=True)
class ChatReply:
    """One answer of a model.

    Attributes:
        text: its words.
        tools: name and arguments of the tools that it calls.
        reasoning: what it thinks before; streamed in a field of its own.
        tokens_per_second: how fast it writes; as fast as it can if ``None``.
        first_delay: seconds before it begins.
        finish_reason: ``stop`` or ``tool_calls`` if ``None``.
    """

    text: str = ""
    tools: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    reasoning: str = ""
    tokens_per_second: float | None = None
    first_delay: float = 0.0
    finish_reason: str | None = None


_NUMBERS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()
    )
}
_DAYS = "monday tuesday wednesday thursday friday saturday sunday today tomorrow tonight".split()
_FILLING = frozenset("a an the to for of me my in on at please get set up".split())

_TALK = (
    (r"\b(hello|hi|good (morning|afternoon|evening)|hey)\b", "Hello! What can I do for you?"),
    (r"\bhow are you\b", "I'm fine, thank you. What can I do for you?"),
    (r"\b(who|what) are you\b", "I'm a few rules that stand in for a language model."),
    (r"\b(bye|goodbye|that's all|that is all)\b", "Thank you for calling. Goodbye!"),
    (r"\b(thanks|thank you)\b", "You're welcome. Is there anything else?"),
    (r"^(yes|yeah|right|correct)\b", "Very good. Is there anything else?"),
    (r"^(no|nope)\b", "All right. What would you like instead?"),
)


def rules(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> ChatReply:
    """Answer a conversation.

    Args:
        messages: of the request.
        tools: of the request; empty when none may be called.
    """
    results: list[str] = []
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        results.insert(0, _text(message))
    if results:
        return ChatReply(f"I got this: {'; '.join(results).rstrip('.')}. Anything else?")
    said = next((_text(m) for m in reversed(messages) if m.get("role") == "user"), "")
    if not said:
        return ChatReply("Hello! What can I do for you?")
    functions = [tool["function"] for tool in tools if tool.get("type") == "function"]
    called = _call(said, functions)
    if called is not None:
        return ChatReply(tools=[called])
    low = said.lower()
    for pattern, answer in _TALK:
        if re.search(pattern, low):
            return ChatReply(answer)
    return ChatReply(f"You said: {said.rstrip('.?!')}. Is that right?")


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _call(
    said: str, functions: Sequence[Mapping[str, Any]]
) -> tuple[str, Mapping[str, Any]] | None:
    """Find the tool whose name is in what was said, and make up its arguments."""
    words = re.findall(r"[a-z0-9']+", said.lower())
    if re.search(r"\b(bye|goodbye)\b", said.lower()) and any(
        function["name"] == "hang_up" for function in functions
    ):
        return "hang_up", {"goodbye": "Thank you for calling. Goodbye!"}
    best: tuple[int, Mapping[str, Any]] | None = None
    for function in functions:
        parts = [p for p in re.split(r"[_-]|(?<=[a-z])(?=[A-Z])", function["name"]) if p]
        parts = [p.lower() for p in parts if p.lower() not in _FILLING]
        hits = sum(any(_same(part, word) for word in words) for part in parts)
        if parts and hits * 2 >= len(parts) and hits and (best is None or hits > best[0]):
            best = hits, function
    if best is None:
        return None
    schema = best[1].get("parameters") or {}
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    required = schema.get("required", ())
    taken: set[int] = set()
    arguments = {}
    for name, about in properties.items():
        value = _value(name, about, said, words, taken)
        if value is None and name in required:
            value = _made_up(about, said)
        if value is not None:
            arguments[name] = value
    return best[1]["name"], arguments


def _same(part: str, word: str) -> bool:
    return part == word or (
        len(part) > 3 and (word.startswith(part) or part.startswith(word + "s"))
    )


def _value(
    name: str, about: Mapping[str, Any], said: str, words: Sequence[str], taken: set[int]
) -> Any:
    """Find an argument in what was said."""
    for option in about.get("enum", ()):
        if str(option).lower().replace("_", " ") in said.lower():
            return option
    kind = about.get("type")
    if kind in ("integer", "number"):
        for position, word in enumerate(words):
            number = _NUMBERS.get(word, int(word) if word.isdecimal() else None)
            if number is not None and position not in taken:
                taken.add(position)
                return number
        return None
    if kind != "string" or "enum" in about:
        return None
    if "day" in name or "date" in name:
        # Some recognisers write "to-morrow".
        said_days = re.findall(r"[a-z]+", said.lower().replace("to-", "to"))
        return next((day for day in _DAYS if day in said_days), None)
    if "time" in name:
        found = re.search(r"\bat (half past \w+|\w+( o'clock| [ap]m|:\d\d)?)", said, re.IGNORECASE)
        return found[1] if found else None
    if "name" in name:
        found = re.search(r"\b(?:name is|under|I am|I'm|for) ([A-Z]\w+)", said)
        return found[1] if found else None
    return None


def _made_up(about: Mapping[str, Any], said: str) -> Any:
    """Make up an argument that is required and was not said."""
    if about.get("enum"):
        return about["enum"][0]
    kind = about.get("type")
    made: dict[Any, Any] = {
        "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}, "string": said,
    }  # fmt: skip
    return made.get(kind, said)


def arguments_text(arguments: Mapping[str, Any] | str) -> str:
    """Write arguments as a model does: JSON, or whatever a test wants it to have written."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)
