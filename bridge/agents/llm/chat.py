"""One call's conversation with a language model.

The caller's turn is answered in rounds: the model's words are spoken as they come; if it calls
tools, they are run and their results make the next round.  While the first words are awaited, the
caller may go on speaking, which begins the answer anew with all they have said.

Threads: the agent's own, which waits for the reading thread in short looks, so that it sees a
barge-in or a hang-up within :data:`LOOK`.

Rules of this module:

1. The caller never meets silence: a slow model is bridged with a filler, a dead one with an
   apology.
2. What the caller did not hear was not said: an answer that was broken in on is remembered up to
   there, and the tools it would have called are not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.agents.llm.answerstream import Failed, Finished
from bridge.agents.llm.endpoint import Answer, ChatClient, Endpoint
from bridge.agents.llm.memory import Memory
from bridge.agents.llm.reasoning import ThoughtFilter
from bridge.agents.llm.speakable import SpeakableText
from bridge.agents.llm.toolrun import ToolRunner
from bridge.agents.llm.tools import Tool
from bridge.call import Call
from bridge.errors import BridgeError, CallEnded
from bridge.logs import leg_logger
from telnyx_media.sync.threads import Deadline, ThreadGroup

__all__ = ["Chat", "Limits", "ModelFailed"]

logger = logging.getLogger(__name__)

# How often it is looked whether the caller broke in or hung up while the model is waited for.
LOOK = 0.04

# What the model is told when its stream broke off after some words had been spoken.
GO_ON = "(Your words were cut off there. Go on where you stopped, without repeating anything.)"


class ModelFailed(BridgeError):
    """No model gave an answer; the message says what went wrong with the last one."""


class _Superseded(Exception):
    """The caller has said more before the answer began."""


@dataclass(frozen=True)
class Limits:
    """How long and how often.

    Attributes:
        first_token: seconds that a model may take to begin an answer.
        stall: seconds without a sign from it, once it has begun.
        attempts: how often each model is asked before the next one is.
        backoff: seconds before the second attempt, doubled before each further one.
        total: seconds after which nothing more is tried.
        rounds: how often in a row the model may call tools for one answer.
        filler: said to the caller when the answer has not begun after ``filler_after`` seconds;
            ``""`` for nothing.
        filler_after: seconds.
    """

    first_token: float = 6.0
    stall: float = 10.0
    attempts: int = 2
    backoff: float = 0.3
    total: float = 15.0
    rounds: int = 6
    filler: str = "One moment, please."
    filler_after: float = 2.5


class Chat:
    """A model that talks on one call.

    A ``with`` block; leaving it gives up what is open.

    Attributes:
        call: the phone call.
        prompt: what the model is told of its task; may be changed between two answers.
        memory: what it is told of the conversation.
        limits: how long and how often.
        log: the leg's.
        language: of the conversation.
    """

    def __init__(
        self,
        call: Call,
        prompt: str,
        *,
        endpoint: Endpoint,
        tools: Mapping[str, Tool] | None = None,
        language: str = "en",
        options: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Prepare; nothing is connected.

        Args:
            call: the phone call.
            prompt: what the model is told of its task.
            endpoint: the API.
            tools: by name.
            language: of the conversation, as a tag.
            options: further parameters of the requests, ``{"temperature": 0.3}``.
            limits: how long and how often.
        """
        self.call = call
        self.prompt = prompt
        self.limits = limits or Limits()
        self.log = leg_logger(logger, call.info.tag)
        self.language = language
        self._options = dict(options or {})
        self._tools = dict(tools or {})
        self.memory = Memory({self.limits.filler, *(t.filler for t in self._tools.values())})
        self._group = ThreadGroup(call.info.tag)
        self._client = ChatClient(endpoint, self._group, stall=self.limits.stall)
        self._models = endpoint.models
        self._runner = ToolRunner(call, self._tools, self.log)
        # Of the answer that is being given: when it was begun, what has been said of it.
        self._deadline = Deadline(None)
        self._filled = False
        self._said = False

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is open; may be called twice."""
        self._client.close()
        self._runner.close()
        self._group.join()

    def answer(self) -> None:
        """Answer what the caller has said; block until the answer was heard or broken in on.

        Nothing is said when all that the caller has said was answered already.

        Raises:
            CallEnded: the call is over.
            ModelFailed: no model gave an answer.
            AgentError: no model is configured.
            TelnyxMediaError: nothing could be synthesised.
        """
        self.memory.follow(self.call.history)
        self._filled = False
        while self.memory.unanswered:
            self._said = False
            self._deadline = Deadline(self.limits.total)
            try:
                self._rounds()
            except _Superseded:
                self.memory.follow(self.call.history)
            else:
                self.memory.follow(self.call.history)
                return

    def fill(self, words: str) -> bool:
        """Say something while the caller waits, once an answer; whether the caller broke in."""
        if not words or self._filled:
            return False
        self._filled = True
        return self.call.say(words).interrupted

    def _rounds(self) -> None:
        """Ask, speak and run tools until the model has nothing more to say."""
        for number in range(self.limits.rounds + 1):
            self.memory.answer()
            end = self._round(may_call=number < self.limits.rounds)
            if end is None or not end.tool_calls:
                return
            results = self._runner.run(end.tool_calls, self.fill)
            history = self.call.history
            self.memory.commit(history, end.tool_calls, results)
            if history and history[-1].speaker == "agent" and history[-1].interrupted:
                # Of a filler, or of a goodbye: the caller is speaking and is answered after that.
                return
            self._deadline = Deadline(self.limits.total)
        self.log.warning("stopped a model that called tools %d times", self.limits.rounds)

    def _round(self, *, may_call: bool) -> Finished | None:
        """Speak one answer of a model's; get its end, or ``None`` if it was broken in on."""
        failed = Failed("there is none")
        for model in self._known_models():
            for attempt in range(self.limits.attempts):
                if attempt:
                    self._pause(attempt, failed)
                words = Words(self, self._client.ask(self._request(model, may_call=may_call)))
                try:
                    end = self._speak(words)
                finally:
                    words.close()
                if not isinstance(end, Failed):
                    self._prefer(model)
                    return end
                failed = end
                self.log.warning("the model %s failed: %s", model, failed.what)
                self.memory.follow(self.call.history)
                if failed.status == 401 or self._deadline.expired:
                    raise ModelFailed(failed.what)
                if failed.lasting:
                    break
        raise ModelFailed(failed.what)

    def _speak(self, words: Words) -> Finished | Failed | None:
        """Say a model's words as they come; get their end, ``None`` if they were broken in on."""
        if words.begin():
            reply = self.call.say(words.rest())
            self._said = True
            if reply.interrupted:
                return None
        end = words.end
        if isinstance(end, Finished) and not end.tool_calls and not self._said:
            return Failed("an empty answer")
        return end

    def _known_models(self) -> tuple[str, ...]:
        if not self._models:
            self._models = (self._client.only_model(),)
            self.log.info("BRIDGE_LLM_MODEL was not set; using %s, the only one", self._models[0])
        return self._models

    def _prefer(self, model: str) -> None:
        """Ask the model that works first, for the rest of the call."""
        self._models = (model, *(other for other in self._models if other != model))

    def _pause(self, attempt: int, failed: Failed) -> None:
        """Wait before a further attempt."""
        seconds = self.limits.backoff * 2 ** (attempt - 1)
        if failed.retry_after is not None:
            # A caller waits no longer than this; a fallback may be free.
            seconds = min(max(seconds, failed.retry_after), 2.0)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.look()
            time.sleep(min(LOOK, left))

    def _request(self, model: str, *, may_call: bool) -> dict[str, Any]:
        messages = [{"role": "system", "content": self.prompt}, *self.memory.messages()]
        if messages[-1]["role"] == "assistant":
            messages.append({"role": "user", "content": GO_ON})
        request: dict[str, Any] = {"model": model, "messages": messages}
        if self._tools:
            request["tools"] = [tool.definition() for tool in self._tools.values()]
            if not may_call:
                request["tool_choice"] = "none"
        extra = dict(self._options.get("extra_body", {}))
        if self._client.endpoint.is_telnyx:
            # On by default, and thinking is silence (Telnyx: chat-completion reference).
            extra.setdefault("enable_thinking", False)
        return {**request, **self._options, **({"extra_body": extra} if extra else {})}

    # -- what waiting has to see ------------------------------------------------------------------

    def look(self) -> None:
        """Look whether there is still somebody to answer, and nothing more to answer.

        Raises:
            CallEnded: the call is over.
            _Superseded: the caller has said more.
        """
        if self.call.ended:
            raise CallEnded("the call is over")
        if self.memory.is_behind(self.call.history):
            self.log.debug("began the answer anew: the caller had gone on")
            raise _Superseded


class Words:
    """The words of one answer, made fit to be spoken, as they come."""

    def __init__(self, chat: Chat, answer: Answer) -> None:
        """Take the words of ``answer``."""
        self.end: Finished | Failed | None = None
        self._chat = chat
        self._answer = answer
        self._thoughts = ThoughtFilter()
        self._text = SpeakableText(chat.language)
        self._first = ""

    def close(self) -> None:
        """Give the answer up, if it has not ended."""
        self._answer.close()

    def begin(self) -> bool:
        """Wait for the first words; False when the answer has ended without any.

        Raises:
            CallEnded: the call is over.
            _Superseded: the caller has said more.
        """
        limits = self._chat.limits
        asked = time.monotonic()
        while self.end is None:
            self._first += self._next()
            if self._first.strip():
                took = (time.monotonic() - asked) * 1000
                self._chat.log.debug("the model began to answer after %.0f ms", took)
                return True
            self._chat.look()
            waited = time.monotonic() - asked
            if waited > limits.first_token:
                self.end = Failed("it did not begin in time")
            elif waited > limits.filler_after and self._chat.fill(limits.filler):
                raise _Superseded
        return bool(self._first.strip())

    def rest(self) -> Iterator[str]:
        """Give all words, the first ones first; ends early when nobody listens any more."""
        call = self._chat.call
        before = len(call.history)
        try:
            yield self._first
            while self.end is None:
                words = self._next()
                if words:
                    yield words
                elif call.ended or any(r.speaker == "agent" for r in call.history[before:]):
                    return
        finally:
            if self.end is None:
                self.close()

    def _next(self) -> str:
        """Get the next words; "" when none came within a look, or the answer has ended."""
        part = self._answer.next(LOOK)
        if part is None:
            return ""
        if isinstance(part, str):
            return self._text.feed(self._thoughts.feed(part))
        self.end = part
        return self._text.feed(self._thoughts.flush()) + self._text.flush()
