"""A language model on the phone (the model: BRIDGE_LLM_MODEL)."""

from bridge.agents.llm import ChatAgent

answer = ChatAgent(
    "You answer the phone of Corner Pizza, which is open from noon to ten and delivers in town.",
    greeting="Corner Pizza, hello!",
)
