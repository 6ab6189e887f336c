"""A tool that takes its time: the caller hears a filler, the model what came of it."""

import requests

from bridge.agents.llm import ChatAgent, tool


@tool(timeout=8, filler="Let me look that up.")
def order_status(number: int) -> str:
    """Tell where an order is."""
    return requests.get(f"https://shop.example.com/orders/{number}", timeout=7).text


answer = ChatAgent("You help callers who wait for an order.", tools=[order_status])
