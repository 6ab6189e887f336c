"""A language model on the telephone.

``BRIDGE_AGENT=bridge.agents.llm:answer`` answers calls with any OpenAI-compatible API, Telnyx's own
unless told otherwise; the ``BRIDGE_LLM_`` settings say which and how.  One's own agent is a few
lines::

    from bridge.agents.llm import ChatAgent


    def opening_hours(day: str) -> str:
        \"\"\"Tell when the shop is open.\"\"\"
        return "noon to ten"


    answer = ChatAgent("You answer the phone of Corner Pizza.", tools=[opening_hours])

Needs the extra ``llm``.
"""

from bridge.agents.llm.agent import VOICE_RULES, ChatAgent, answer
from bridge.agents.llm.chat import Chat, Limits, ModelFailed
from bridge.agents.llm.endpoint import Endpoint
from bridge.agents.llm.speakable import speakable
from bridge.agents.llm.tools import Tool, tool

__all__ = [
    "Chat",
    "ChatAgent",
    "Endpoint",
    "Limits",
    "ModelFailed",
    "Tool",
    "VOICE_RULES",
    "answer",
    "speakable",
    "tool",
]
