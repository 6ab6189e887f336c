"""Python functions as tools: what the model is told of them, and what it is told when it errs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from bridge.agents.llm.builtin import call_tools
from bridge.agents.llm.tools import Tool, ToolArgumentError, tool, tools_of, written
from bridge.call import Call, CallInfo, Reply
from bridge.errors import AgentError, BridgeError, CallEnded


class Size(enum.Enum):
    """How big."""

    SMALL = "small"
    LARGE = "large"


@dataclasses.dataclass
class Topping:
    """Something on a pizza."""

    name: str
    double: bool = False


def order(  # noqa: D417 - a parameter may go without a description
    call: Call,
    pizza: Literal["margherita", "funghi"],
    size: Size,
    toppings: list[Topping],
    guests: Annotated[int, Field(ge=1, le=12, description="how many eat")] = 1,
    at: dt.time | None = None,
) -> str:
    """Order a pizza.

    It is baked at once.

    Args:
        call: the call.
        pizza: which one,
            by its name.
        size: how big (of the two).

    Returns:
        A receipt.
    """
    assert call is CALL
    names = ",".join(f"{t.name}{'!' if t.double else ''}" for t in toppings)
    return f"{pizza} {size.value} {names} {guests} {at}"


CALL: Any = object()


def made(function: Callable[..., Any]) -> Tool:
    """Make a tool of one function."""
    [found] = tools_of([function]).values()
    return found


def test_the_schema_is_read_from_signature_and_docstring() -> None:
    """Types, defaults, choices and descriptions; the call itself is hidden."""
    definition = made(order).definition()
    assert definition["type"] == "function"
    function = definition["function"]
    assert function["name"] == "order"
    assert function["description"] == "Order a pizza. It is baked at once."
    schema = function["parameters"]
    assert schema["type"] == "object"
    assert schema["required"] == ["pizza", "size", "toppings"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert list(properties) == ["pizza", "size", "toppings", "guests", "at"]
    assert properties["pizza"] == {
        "type": "string",
        "enum": ["margherita", "funghi"],
        "description": "which one, by its name.",
    }
    assert properties["size"]["enum"] == ["small", "large"]
    assert properties["size"]["description"] == "how big (of the two)."
    topping = properties["toppings"]["items"]
    assert topping["required"] == ["name"]
    assert topping["properties"]["double"] == {"type": "boolean", "default": False}
    assert properties["guests"]["maximum"] == 12
    assert properties["guests"]["description"] == "how many eat"
    text = json.dumps(definition)
    assert "$ref" not in text
    assert "$defs" not in text
    assert '"title"' not in text


def test_arguments_become_what_the_hints_say() -> None:
    """Enums, dataclasses, times: the function gets what it asked for."""
    arguments = {
        "pizza": "funghi",
        "size": "large",
        "toppings": [{"name": "olives"}, {"name": "ham", "double": True}],
        "at": "19:30",
    }
    run = made(order).bind(json.dumps(arguments), CALL)
    assert run() == "funghi large olives,ham! 1 19:30:00"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("{}", "pizza: is required; size: is required; toppings: is required"),
        (
            '{"pizza": "hawaii", "size": "small", "toppings": []}',
            "pizza: Input should be 'margheri",
        ),
        ('{"pizza": "funghi", "size": "small", "toppings": [{}]}', "toppings.0.name: is required"),
        ('{"pizza": "funghi", "size": "small", "toppings": [], "x": 1}', "x: there is no such"),
        (
            '{"pizza": "funghi", "size": "small", "toppings": [], "guests": 20}',
            "guests: Input should",
        ),
        ("[]", "Input should be an object"),
        ("{", "Invalid JSON"),
    ],
)
def test_wrong_arguments_are_told_to_the_model(arguments: str, problem: str) -> None:
    """In words that it can act on."""
    with pytest.raises(ToolArgumentError) as caught:
        made(order).bind(arguments, CALL)
    assert str(caught.value).startswith(f"wrong arguments for order: {problem}")


def test_a_function_without_parameters_takes_nothing() -> None:
    """Models write an empty object, or nothing at all."""

    def now() -> str:
        """Tell the time."""
        return "noon"

    found = made(now)
    assert found.schema["properties"] == {}
    for arguments in ("", "{}", " {} "):
        assert found.bind(arguments, CALL)() == "noon"


def test_a_decorated_function_stays_a_function() -> None:
    """And says how long it may take and what the caller hears meanwhile."""

    @tool(timeout=3, filler="Just a second.", name="look-up", description="Look.")
    def look_up(number: int) -> int:
        return number + 1

    assert look_up(1) == 2
    found = made(look_up)
    assert (found.name, found.description, found.timeout) == ("look-up", "Look.", 3)
    assert found.filler == "Just a second."

    @tool
    def plain() -> None:
        """Do nothing."""

    assert made(plain).name == "plain"
    assert tools_of([found]) == {"look-up": found}


def _bare(x) -> None:  # type: ignore[no-untyped-def]
    """Have no hint."""


def _many(*x: int) -> None:
    """Take any number."""


def _positional(x: int, /) -> None:
    """Take one without its name."""


def _strange(x: Call | None, y: object, z: Callable[[], int]) -> None:
    """Take what JSON does not have."""


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (_bare, "the parameter x of the tool _bare has no type hint"),
        (_many, "the tool _many takes \\*x"),
        (_positional, "the tool _positional takes x without its name"),
        (_strange, "the tool _strange has a type that no model can be told"),
        (lambda: None, "'<lambda>' can't be a tool's name"),
    ],
)
def test_what_cannot_be_a_tool_is_said_before_the_first_call(
    function: Callable[..., Any], problem: str
) -> None:
    """One line, when the agent is made."""
    with pytest.raises(AgentError, match=problem):
        tools_of([function])


def test_two_tools_of_one_name_are_refused() -> None:
    """The model could not tell them apart."""
    with pytest.raises(AgentError, match="two tools are called 'order'"):
        tools_of([order, order])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "done"),
        ("as it is", "as it is"),
        (3, "3"),
        ([1, 2], "[1,2]"),
        (Topping("ham"), '{"name":"ham","double":false}'),
        ({"day": dt.date(2026, 11, 22)}, '{"day":"2026-11-22"}'),
        (Size.SMALL, '"small"'),
    ],
)
def test_results_are_written_for_the_model(value: object, text: str) -> None:
    """Words as they are, anything else as JSON."""
    assert written(value) == text


class WrittenCall:
    """A call that writes down what is done to it."""

    def __init__(self, direction: str = "inbound", *, reached: bool = True) -> None:
        self.info = CallInfo(call_control_id="leg", direction=direction)  # type: ignore[arg-type]
        self.done: list[str] = []
        self._reached = reached

    def transfer(self, to: str) -> None:
        """Write it down."""
        if not self._reached:
            raise BridgeError(f"{to} is busy")
        self.done.append(f"transfer {to}")

    def send_digits(self, keys: str) -> None:
        """Write it down."""
        self.done.append(f"press {keys}")

    def say(self, text: str) -> Reply:
        """Write it down."""
        self.done.append(f"say {text}")
        return Reply(text, text)

    def hangup(self) -> None:
        """Write it down."""
        self.done.append("hang up")


def call_tool(call: Any, name: str, arguments: str) -> object:
    """Let a model use a tool that acts on the call."""
    tools = tools_of(call_tools(call, {"sales": "+12025550101", "desk": "sip:a@example.com"}))
    assert all(found.on_agent_thread for found in tools.values())
    return tools[name].bind(arguments, call)()


def test_a_model_transfers_to_names_and_never_sees_a_number() -> None:
    """Nor can it make one up; and it hears of a transfer that failed."""
    call: Any = WrittenCall()
    definitions = json.dumps([t.definition() for t in call_tools(call, {"sales": "+12025550101"})])
    assert "sales" in definitions
    assert "2025550101" not in definitions
    with pytest.raises(CallEnded):
        call_tool(call, "transfer", '{"to": "sales"}')
    assert call.done == ["transfer +12025550101"]
    with pytest.raises(ToolArgumentError):
        call_tool(call, "transfer", '{"to": "+12025550199"}')
    told = call_tool(WrittenCall(reached=False), "transfer", '{"to": "sales"}')
    assert told == "nobody could be reached there; the call goes on"


def test_a_model_hangs_up_after_its_last_words() -> None:
    """If it has not said them already."""
    call: Any = WrittenCall()
    for arguments in ('{"goodbye": "Bye."}', "{}"):
        with pytest.raises(CallEnded):
            call_tool(call, "hang_up", arguments)
    assert call.done == ["say Bye.", "hang up", "hang up"]


def test_a_model_presses_keys_where_it_has_called() -> None:
    """A menu is at the other end of outbound calls only."""
    call: Any = WrittenCall("outbound")
    assert call_tool(call, "send_digits", '{"digits": "1w2#"}') == "done"
    assert call.done == ["press 1w2#"]
    with pytest.raises(ToolArgumentError):
        call_tool(call, "send_digits", '{"digits": "one"}')
    inbound: Any = WrittenCall()
    assert [t.name for t in call_tools(inbound)] == ["hang_up"]
