"""An agent that is a language model: an object that is called once per phone call.

Threads: the agent's own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bridge.agents.llm.builtin import call_tools
from bridge.agents.llm.chat import Chat, Limits, ModelFailed
from bridge.agents.llm.endpoint import Endpoint
from bridge.agents.llm.tools import Tool, tools_of
from bridge.call import Call
from bridge.errors import AgentError
from bridge.settings import Settings

__all__ = ["VOICE_RULES", "ChatAgent", "answer"]

PROMPT = (
    "You answer the telephone. Help the caller, and find out what they want if it is not clear."
)
GREETING = "Hello, how can I help you?"

VOICE_RULES = (
    "You are on the telephone: everything you write is spoken to the caller by a voice. Write "
    "plain sentences as people say them, one to three short ones at a time, without lists, "
    "headings, emoji or other markup. Ask one question at a time. What you read of the caller "
    "comes from a speech recogniser and may be misheard; ask again if it makes no sense. If your "
    "words were cut off, the caller has broken in and did not hear the rest."
)

APOLOGY = "I'm sorry, I can't think straight just now. Could you say that again in a moment?"
FAREWELL = "I'm sorry, this is not working at the moment. Please call again later. Goodbye."
WELCOME_BACK = "Sorry, the line was gone for a moment. Please go on."

# How often in a row the caller is asked for patience before the call is ended.
PATIENCE = 3


class ChatAgent:
    """A language model that answers calls.

    An agent function::

        answer = ChatAgent("You take orders for Corner Pizza.", tools=[order, opening_hours])

    named by ``BRIDGE_AGENT=shop.agent:answer``.
    """

    def __init__(
        self,
        prompt: str | Callable[[Call], str] | None = None,
        *,
        greeting: str | None = None,
        tools: Iterable[Callable[..., Any] | Tool] = (),
        transfers: Mapping[str, str] | None = None,
        call_control: bool = True,
        voice_rules: str = VOICE_RULES,
        language: str | None = None,
        endpoint: Endpoint | Callable[[], Endpoint] | None = None,
        options: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        apology: str = APOLOGY,
        farewell: str = FAREWELL,
        welcome_back: str = WELCOME_BACK,
    ) -> None:
        """Describe the agent; nothing is read or connected before the first call.

        Args:
            prompt: what the model is told of its task, or a function of the call that tells it;
                ``BRIDGE_LLM_PROMPT`` or the file ``BRIDGE_LLM_PROMPT_FILE`` if ``None``.
            greeting: the first words to the caller, ``""`` for none; ``BRIDGE_LLM_GREETING`` if
                ``None``.
            tools: functions that the model may call, see :mod:`bridge.agents.llm.tools`.
            transfers: where it may transfer the call, name to number; ``BRIDGE_LLM_TRANSFERS`` if
                ``None``.
            call_control: whether it may hang up, transfer and press keys.
            voice_rules: appended to the prompt.
            language: of the conversation; ``BRIDGE_LANGUAGE`` if ``None``.
            endpoint: the API; the ``BRIDGE_LLM_`` settings if ``None``.
            options: further parameters of the requests, ``{"temperature": 0.3}``.
            limits: how long and how often.
            apology: said when no model gives an answer.
            farewell: said before hanging up when that went on for a while.
            welcome_back: said on a call that is taken up again.

        Raises:
            AgentError: a function cannot be a tool; the message says why.
        """
        self._prompt = prompt
        self._greeting = greeting
        self._tools = tools_of(tools)
        self._transfers = transfers
        self._call_control = call_control
        self._voice_rules = voice_rules
        self._language = language
        self._endpoint = endpoint
        self._options = options
        self._limits = limits
        self._apology = apology
        self._farewell = farewell
        self._welcome_back = welcome_back

    def __call__(self, call: Call) -> None:
        """Hold a call until it ends; blocks as long.

        Raises:
            CallEnded: the call is over.
            AgentError: what the model needs is not configured.
            TelnyxMediaError: the caller can't be understood, or nothing can be synthesised.
        """
        with self.begin(call) as chat:
            self._greet(call, chat)
            failures = 0
            for _ in call.turns():
                try:
                    chat.answer()
                    failures = 0
                except ModelFailed:
                    failures += 1
                    if failures == PATIENCE:
                        call.say(self._farewell)
                        return
                    call.say(self._apology)

    def begin(self, call: Call) -> Chat:
        """Get the conversation of one call, a ``with`` block, to hold it oneself.

        ::

            with agent.begin(call) as chat:
                for turn in call.turns():
                    chat.answer()

        Raises:
            AgentError: what the model needs is not configured.
        """
        settings = Settings.from_environ()
        endpoint = self._endpoint() if callable(self._endpoint) else self._endpoint
        tools = dict(self._tools)
        if self._call_control:
            transfers = settings.llm_transfers if self._transfers is None else self._transfers
            for made in call_tools(call, transfers):
                tools.setdefault(made.name, made)
        return Chat(
            call,
            self._told(call, settings),
            endpoint=endpoint or Endpoint.from_settings(settings),
            tools=tools,
            language=self._language or settings.language,
            options=self._options,
            limits=self._limits,
        )

    def _greet(self, call: Call, chat: Chat) -> None:
        if call.resumed:
            call.say(self._welcome_back)
            return
        greeting = self._greeting
        if greeting is None:
            greeting = Settings.from_environ().llm_greeting or GREETING
        if greeting:
            call.say(greeting)

    def _told(self, call: Call, settings: Settings) -> str:
        prompt = self._prompt(call) if callable(self._prompt) else self._prompt
        if prompt is None:
            prompt = settings.llm_prompt or _read(settings) or PROMPT
        now = dt.datetime.now()
        today = f"It is {now:%A}, {now:%B} {now.day}, {now.year}, {now:%H:%M}."
        return "\n\n".join(part for part in (prompt.strip(), self._voice_rules, today) if part)


def _read(settings: Settings) -> str:
    """Read the prompt from its file, if there is one."""
    if settings.llm_prompt_file is None:
        return ""
    try:
        return settings.llm_prompt_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise AgentError(
            f"BRIDGE_LLM_PROMPT_FILE={str(settings.llm_prompt_file)!r} can't be read: {reason}"
        ) from None


answer = ChatAgent()
"""The agent that is all configuration: ``BRIDGE_AGENT=bridge.agents.llm:answer``."""
