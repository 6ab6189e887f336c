"""The wire of a streamed chat completion: lines of an event stream become words and tool calls.

Telnyx: chat-completion reference; OpenAI's shape.  A line ``data: {json}`` holds a piece of the
answer, ``data: [DONE]`` ends it; comment lines keep the connection alive.  Reasoning comes in
fields of its own before the answer and is never read.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from bridge.agents.llm.tools import ToolCall

__all__ = ["AnswerStream", "Failed", "Finished", "Part"]


@dataclass(frozen=True)
class Finished:
    """The answer is complete.

    Attributes:
        tool_calls: what the model wants to be called.
        reason: as the API names it: ``stop``, ``tool_calls``, ``length``, …
    """

    tool_calls: tuple[ToolCall, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Failed:
    """The answer broke off, or never began.

    Attributes:
        what: in a few words, without a word of what was said.
        status: of the HTTP answer; ``None`` when there was none.
        retry_after: seconds that the server asks to wait.
    """

    what: str
    status: int | None = None
    retry_after: float | None = None

    @property
    def lasting(self) -> bool:
        """Whether the same request would fail again."""
        return self.status is not None and self.status < 500 and self.status not in (408, 409, 429)


Part = str | Finished | Failed

# What a line of an event stream may begin with, beside "data:".
FIELDS = (":", "event:", "id:", "retry:")


class _FunctionPiece(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCallPiece(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _FunctionPiece | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_ToolCallPiece] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    """One event of a stream, as far as it is read (Telnyx: chat-completion reference)."""

    choices: list[_Choice] | None = None
    error: object = None


class AnswerStream:
    """What an answer has brought so far, line by line of its event stream.

    Attributes:
        failed: what made it useless, if something did.
    """

    def __init__(self) -> None:
        """Begin an answer."""
        self._calls: dict[int, dict[str, str]] = {}
        self._reason = ""
        self._foreign = False
        self._done = False
        self.failed: Failed | None = None

    def feed(self, line: str) -> str:
        """Take a line and get the words in it; comments and empty lines have none."""
        if not line.startswith("data:"):
            self._foreign |= bool(line.strip()) and not line.startswith(FIELDS)
            return ""
        data = line[5:].strip()
        if not data or data == "[DONE]":
            self._done |= bool(data)
            return ""
        try:
            chunk = msgspec.json.decode(data, type=_Chunk)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.failed = Failed("an event that makes no sense")
            return ""
        if chunk.error is not None:
            self.failed = Failed("an error within the stream")
        text = ""
        for choice in (chunk.choices or ())[:1]:
            for piece in choice.delta.tool_calls or ():
                self._collect(piece)
            self._reason = choice.finish_reason or self._reason
            # Reasoning is in fields of its own, which are not even decoded.
            text = choice.delta.content or ""
        return text

    def end(self) -> Part:
        """Get what the answer came to."""
        if self.failed is not None:
            return self.failed
        # Some servers give no reason, but say that they are done.
        if not self._reason and not self._done:
            # A page, or an answer in one piece: that is no API, or one that can't stream.
            foreign = "what came is no event stream; is the API's address right?"
            return Failed(foreign if self._foreign else "the stream ended early")
        made = (
            ToolCall(call["id"] or f"call_{index}", call["name"], call["arguments"])
            for index, call in sorted(self._calls.items())
        )
        return Finished(tuple(call for call in made if call.name), self._reason)

    def _collect(self, piece: _ToolCallPiece) -> None:
        """Put a piece of a tool call to the others; names and arguments come in several."""
        index = piece.index
        if index is None:
            # Some servers number nothing and send each call whole, in an event of its own.
            known = [i for i, call in self._calls.items() if piece.id in (None, call["id"])]
            index = known[-1] if known else len(self._calls)
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        call["id"] = piece.id or call["id"]
        if piece.function is not None:
            call["name"] += piece.function.name or ""
            call["arguments"] += piece.function.arguments or ""
