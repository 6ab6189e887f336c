"""Telnyx's chat completions, on loopback.

Speaks OpenAI's shape under ``/v2/ai/openai`` and, as older clients expect, under ``/v2/ai``:
``POST …/chat/completions``, streamed or not, and ``GET …/models`` (Telnyx: inference guide, chat-
completion reference).  A stream has what real ones have and clients stumble over: comment lines,
events with empty ``choices``, reasoning in a field of its own, tool calls in pieces.

Threads: a request runs on its connection's thread; ``requests``, :meth:`ChatService.say` and
:meth:`ChatService.fail` may be used from any.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bridge.simulator.api import ApiRoute, route
from bridge.simulator.chatmodel import ChatReply, arguments_text, rules
from bridge.simulator.server import HttpRequest, HttpResponse, Sink

__all__ = ["ChatFault", "ChatRecord", "ChatReply", "ChatService"]

MODEL = "simulated/small-talk"


@dataclass(frozen=True)
class ChatFault:
    """What goes wrong with one answer.

    Attributes:
        kind: an HTTP ``status``; a ``lost`` connection instead of an answer; after ``after``
            pieces of the stream, a ``stall`` after which nothing comes, a ``cut`` of the
            connection, an ``end`` without a finish reason, an ``error`` event, or ``malformed``
            JSON.
        status: of the answer.
        after: pieces of text that are still sent.
        model: strikes requests for this model only; any if ``""``.
        retry_after: header of that name, if not ``""``.
    """

    kind: Literal["status", "lost", "stall", "cut", "end", "error", "malformed"] = "status"
    status: int = 500
    after: int = 0
    model: str = ""
    retry_after: str = ""


@dataclass
class ChatRecord:
    """One request and what became of it.

    Attributes:
        body: as it came, messages and tools included; it leaves this process for nobody.
        path: below ``/v2``.
        status: of the answer.
        sent: pieces of text that were sent.
        finished: whether the whole answer was sent.
        given_up: when the client closed the connection before that, on the monotonic clock.
        began_at: when it came.
    """

    body: dict[str, Any] = field(repr=False)
    path: str = ""
    status: int = 200
    sent: int = 0
    finished: bool = False
    given_up: float | None = None
    began_at: float = field(default_factory=time.monotonic)

    @property
    def model(self) -> str:
        """The model that was asked."""
        return str(self.body.get("model", ""))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation that was sent."""
        return list(self.body.get("messages", []))

    @property
    def tools(self) -> list[str]:
        """Names of the tools that were offered."""
        return [tool["function"]["name"] for tool in self.body.get("tools") or []]


Script = ChatReply | str | Callable[[ChatRecord], ChatReply | str]


class ChatService:
    """The chat-completion server.

    Attributes:
        requests: every request so far, oldest first.
        models: names of the models there are; any other is answered with 404.
        tokens_per_second: how fast words come, unless a reply says otherwise.
        first_delay: seconds before the first one, likewise.
    """

    def __init__(
        self,
        *,
        models: Sequence[str] = (MODEL,),
        tokens_per_second: float | None = None,
        first_delay: float = 0.0,
    ) -> None:
        """Make a server that answers by its rules; see :func:`bridge.simulator.chatmodel.rules`."""
        self.requests: list[ChatRecord] = []
        self.models = tuple(models)
        self.tokens_per_second = tokens_per_second
        self.first_delay = first_delay
        # Guards everything below and appending to requests; notified when something happened.
        self._changed = threading.Condition()
        self._script: deque[Script] = deque()
        self._faults: deque[ChatFault] = deque()

    # -- any thread -------------------------------------------------------------------------------

    def say(self, *replies: Script) -> None:
        """Answer the next requests with these; by the rules again when they have run out.

        Args:
            *replies: words, a :class:`ChatReply`, or a function of the request that makes one.
        """
        with self._changed:
            self._script.extend(replies)

    def fail(self, fault: ChatFault, times: int = 1) -> None:
        """Let the next ``times`` answers go wrong; a scripted reply is not used up by it."""
        with self._changed:
            self._faults.extend([fault] * times)

    def wait_for(self, condition: Callable[[list[ChatRecord]], object], timeout: float) -> None:
        """Wait until a condition of the requests holds.

        Raises:
            TimeoutError: it does not within ``timeout`` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self.requests), timeout):
                raise TimeoutError("no such request came")

    def routes(self) -> list[ApiRoute]:
        """Get the routes, below ``/v2``: of the current base and of the older one."""
        return [
            made
            for base in ("/ai/openai", "/ai")
            for made in (
                route("POST", f"{base}/chat/completions", self.complete),
                route("GET", f"{base}/models", self.list_models),
            )
        ]

    # -- a connection's thread --------------------------------------------------------------------

    def list_models(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        """Answer ``GET …/models``."""
        models = [
            {"id": name, "object": "model", "created": 0, "owned_by": "simulator"}
            for name in self.models
        ]
        return HttpResponse.of_json({"object": "list", "data": models})

    def complete(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        """Answer ``POST …/chat/completions``."""
        record = ChatRecord(request.json(), "/".join(request.path[1:]))
        with self._changed:
            self.requests.append(record)
            self._changed.notify_all()
        problem = _problem(record.body)
        if problem:
            return self._refuse(record, 400, problem)
        if record.model not in self.models:
            return self._refuse(record, 404, f"The model {record.model!r} does not exist.")
        fault = self._fault(record.model)
        if fault is not None and fault.kind == "lost":
            return HttpResponse(lost=True)
        if fault is not None and fault.kind == "status":
            response = self._refuse(record, fault.status, "A fault that was asked for.")
            if fault.retry_after:
                response.headers["retry-after"] = fault.retry_after
            return response
        reply = self._reply(record)
        if not record.body.get("stream"):
            record.finished = True
            return HttpResponse.of_json(_whole(record, reply))
        return HttpResponse(
            content_type="text/event-stream",
            headers={"Cache-Control": "no-cache"},
            stream=lambda sink: self._stream(record, reply, fault, sink),
        )

    def _refuse(self, record: ChatRecord, status: int, message: str) -> HttpResponse:
        record.status = status
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        return HttpResponse.of_json({"error": error}, status)

    def _fault(self, model: str) -> ChatFault | None:
        with self._changed:
            for fault in self._faults:
                if fault.model in ("", model):
                    self._faults.remove(fault)
                    return fault
        return None

    def _reply(self, record: ChatRecord) -> ChatReply:
        with self._changed:
            script = self._script.popleft() if self._script else None
        if script is None:
            callable_ = record.body.get("tool_choice") != "none"
            return rules(record.messages, (record.body.get("tools") or []) if callable_ else [])
        made = script(record) if callable(script) else script
        return ChatReply(made) if isinstance(made, str) else made

    def _stream(
        self, record: ChatRecord, reply: ChatReply, fault: ChatFault | None, sink: Sink
    ) -> bool:
        """Send an answer as events; False when it was cut."""
        try:
            whole = self._send(record, reply, fault, sink)
        except OSError:
            whole = False
        with self._changed:
            record.finished = whole and fault is None
            if not whole and fault is None:
                record.given_up = time.monotonic()
            self._changed.notify_all()
        return whole

    def _send(
        self, record: ChatRecord, reply: ChatReply, fault: ChatFault | None, sink: Sink
    ) -> bool:
        pace = reply.tokens_per_second or self.tokens_per_second
        sink.send(b": keep-alive\n\n")
        if not sink.wait(reply.first_delay or self.first_delay):
            return False
        for delta in _deltas(reply):
            if fault is not None and record.sent >= fault.after:
                return self._break(fault, sink)
            sink.send(_event(record, [{"index": 0, "delta": delta, "finish_reason": None}]))
            if delta.get("content"):
                with self._changed:
                    record.sent += 1
                    self._changed.notify_all()
                if pace and not sink.wait(1 / pace):
                    return False
        if fault is not None:
            return self._break(fault, sink)
        reason = reply.finish_reason or ("tool_calls" if reply.tools else "stop")
        sink.send(_event(record, [{"index": 0, "delta": {}, "finish_reason": reason}]))
        sink.send(_event(record, []))
        sink.send(b"data: [DONE]\n\n")
        return True

    def _break(self, fault: ChatFault, sink: Sink) -> bool:
        """Do what goes wrong within a stream; whether its end is sent."""
        if fault.kind == "stall":
            # Until the client gives up, or the server stops.
            sink.wait(None)
            return False
        if fault.kind == "error":
            sink.send(b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n')
        elif fault.kind == "malformed":
            sink.send(b'data: {"choices": [{"delta": {"content": \n\n')
        return fault.kind != "cut"


def _problem(body: Mapping[str, Any]) -> str:
    """Say what a server would refuse."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages is required."
    open_calls: set[str] = set()
    for message in messages:
        if not isinstance(message, dict) or "role" not in message:
            return "every message needs a role."
        if message["role"] == "tool":
            if message.get("tool_call_id") not in open_calls:
                return "a tool message must follow the call that it answers."
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            return "every tool call must be followed by its result."
        open_calls = {call["id"] for call in message.get("tool_calls") or ()}
    return "every tool call must be followed by its result." if open_calls else ""


def _deltas(reply: ChatReply) -> Iterator[dict[str, Any]]:
    """Cut an answer into pieces, as models write them."""
    yield {"role": "assistant", "content": ""}
    for token in _tokens(reply.reasoning):
        yield {"reasoning_content": token}
    for token in _tokens(reply.text):
        yield {"content": token}
    for index, (name, arguments) in enumerate(reply.tools):
        call = {"index": index, "id": f"call_{uuid.uuid4().hex[:12]}", "type": "function"}
        yield {"tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]}
        text = arguments_text(arguments)
        for at in range(0, len(text), 8):
            piece = {"index": index, "function": {"arguments": text[at : at + 8]}}
            yield {"tool_calls": [piece]}


def _tokens(text: str) -> list[str]:
    """Cut text into pieces of at most five characters, a blank in front of its word."""
    return re.findall(r"\s?\S{1,5}|\s", text)


def _event(record: ChatRecord, choices: list[dict[str, Any]]) -> bytes:
    chunk = {
        "id": f"chatcmpl-{id(record):x}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": record.model,
        "choices": choices,
    }
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _whole(record: ChatRecord, reply: ChatReply) -> dict[str, Any]:
    """Make an answer that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.tools:
        message["tool_calls"] = [
            {
                "id": f"call_{uuid.uuid4().hex[:12]}",
                "type": "function",
                "function": {"name": name, "arguments": arguments_text(arguments)},
            }
            for name, arguments in reply.tools
        ]
    reason = reply.finish_reason or ("tool_calls" if reply.tools else "stop")
    tokens = len(_tokens(reply.text))
    return {
        "id": f"chatcmpl-{id(record):x}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": record.model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens},
    }
