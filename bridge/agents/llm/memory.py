"""What the model is told of the conversation: only what was heard.

A caller who breaks in has heard half a sentence, and a model that believes the other half was heard
too talks past them.  So the history that goes to the model is made of the call's own, which has
what was played, and only the calls of tools and their results are kept beside it.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from bridge.agents.llm.tools import ToolCall
from bridge.call import Remark

__all__ = ["Memory"]

Message = dict[str, Any]

# What is kept at most, in messages and in characters; the oldest go first.  Some hours of talk, and
# less than any model's window.
MOST_MESSAGES = 400
MOST_CHARACTERS = 60_000


class Memory:
    """The messages of one call, but for the system's."""

    def __init__(self, fillers: Collection[str] = ()) -> None:
        """Begin with nothing.

        Args:
            fillers: what the agent says to bridge a silence; it is no part of the conversation.
        """
        self._fillers = frozenset(fillers)
        self._messages: list[Message] = []
        # How many remarks of the call's history are in the messages.
        self._seen = 0
        self._unanswered = False

    @property
    def unanswered(self) -> bool:
        """Whether the caller has said something since the last answer was begun."""
        return self._unanswered

    def messages(self) -> list[Message]:
        """Get the messages, oldest first."""
        return list(self._messages)

    def is_behind(self, history: Sequence[Remark]) -> bool:
        """Tell whether the caller has said something that is not taken up yet."""
        return any(remark.speaker == "caller" for remark in history[self._seen :])

    def answer(self) -> None:
        """Note that what the caller has said is being answered."""
        self._unanswered = False

    def follow(self, history: Sequence[Remark]) -> None:
        """Take up what was said and heard since the last time."""
        for remark in history[self._seen :]:
            self._add_remark(remark)
        self._seen = len(history)
        self._forget()

    def commit(
        self, history: Sequence[Remark], called: Sequence[ToolCall], results: Sequence[str]
    ) -> None:
        """Take up an answer of the model's that called tools, and what came of them.

        The results must follow their calls at once, so what the caller said meanwhile comes behind
        them.

        Args:
            history: the call's, by now.
            called: the tools.
            results: theirs.
        """
        new = history[self._seen :]
        spoken = " ".join(r.heard for r in new if r.speaker == "agent" and self._counts(r))
        self._messages.append(
            {
                "role": "assistant",
                "content": spoken or None,
                "tool_calls": [
                    {
                        "id": one.id,
                        "type": "function",
                        "function": {"name": one.name, "arguments": one.arguments or "{}"},
                    }
                    for one in called
                ],
            }
        )
        for one, result in zip(called, results, strict=True):
            self._messages.append({"role": "tool", "tool_call_id": one.id, "content": result})
        for remark in new:
            if remark.speaker == "caller":
                self._add_remark(remark)
        self._seen = len(history)
        self._forget()

    def _add_remark(self, remark: Remark) -> None:
        if remark.speaker == "caller":
            words = remark.heard
            if remark.digits:
                words = f"{words} (pressed the keys {remark.digits})".strip()
            if words:
                self._unanswered = True
                self._add("user", words)
        elif self._counts(remark):
            self._add("assistant", remark.heard)

    def _counts(self, remark: Remark) -> bool:
        return bool(remark.heard) and remark.text not in self._fillers

    def _add(self, role: str, words: str) -> None:
        """Append words; two of one side in a row are one message, which every model takes."""
        last = self._messages[-1] if self._messages else None
        if last is not None and last["role"] == role and "tool_calls" not in last:
            last["content"] = f"{last['content']} {words}"
        else:
            self._messages.append({"role": role, "content": words})

    def _forget(self) -> None:
        """Drop the oldest; what is left begins with somebody's words, never with a result."""
        size = sum(len(message.get("content") or "") for message in self._messages)
        while len(self._messages) > MOST_MESSAGES or size > MOST_CHARACTERS:
            if len(self._messages) == 1:
                return
            size -= len(self._messages.pop(0).get("content") or "")
            while self._messages and self._messages[0]["role"] == "tool":
                size -= len(self._messages.pop(0).get("content") or "")
