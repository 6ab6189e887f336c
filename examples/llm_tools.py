"""A language model that books tables: a tool is a function with type hints and a docstring."""

from typing import Literal

from bridge.agents.llm import ChatAgent


def book_table(guests: int, day: Literal["friday", "saturday"], name: str) -> str:
    """Book a table; ask for what you do not know."""
    return f"Booked for {name}: {guests} on {day}."


answer = ChatAgent("You book tables for the Corner Table.", tools=[book_table])
