"""Plain Python functions as tools of a language model.

A tool is a function with type hints and a docstring (an ``Args:`` section tells of each parameter).
From these comes the JSON schema that the model is given, and by it the arguments that the model
makes up are checked before the function is called; what is wrong with them goes back to the model
in a sentence, so that it can do better.

    def free_tables(day: dt.date, guests: int, room: Literal["inside", "garden"] = "inside") -> int:
        \"\"\"Count the tables that are free.\"\"\"

Everything pydantic knows may be a hint: numbers, dates, ``Literal``, enums, ``| None``, lists,
dataclasses, models.  A parameter that is hinted ``Call`` is given the call and hidden from the
model.

Pure; a tool is called by :mod:`bridge.agents.llm.toolrun`.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError, to_json

from bridge.call import Call
from bridge.errors import AgentError

__all__ = ["Tool", "ToolArgumentError", "ToolCall", "tool", "tools_of", "written"]

Function = TypeVar("Function", bound=Callable[..., Any])

# Seconds that a tool may take; a caller who hears nothing for longer hangs up.
TIMEOUT = 15.0

# What the filler of a tool is, and when it is said, if nothing else is chosen.
FILLER = "One moment, please."

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MARK = "__bridge_tool__"


class ToolArgumentError(Exception):
    """The model's arguments don't fit; the message says what is wrong, for the model."""


@dataclass(frozen=True)
class ToolCall:
    """What the model asks for.

    Attributes:
        id: by which the result is matched.
        name: of the tool.
        arguments: JSON, as the model wrote it.
    """

    id: str
    name: str
    arguments: str = field(default="", repr=False)


@dataclass(frozen=True)
class Tool:
    """A function that the model may call; made by :func:`tool`.

    Attributes:
        name: by which the model calls it.
        function: what is called.
        description: what the model is told of it.
        schema: JSON schema of the arguments.
        timeout: seconds after which the model is told that it took too long, and a thread that
            still runs is left behind.
        filler: what the caller hears when it is not done within ``filler_after`` seconds; ``""``
            for nothing.
        filler_after: seconds.
        on_agent_thread: whether it runs on the agent's thread and may use all of the call, say
            something for one; then nothing limits its time.
    """

    name: str
    function: Callable[..., Any]
    description: str
    schema: Mapping[str, Any]
    timeout: float = TIMEOUT
    filler: str = FILLER
    filler_after: float = 0.8
    on_agent_thread: bool = False
    _model: type[BaseModel] = field(repr=False, default=BaseModel)
    _call_parameter: str | None = field(repr=False, default=None)

    def definition(self) -> dict[str, Any]:
        """Get the entry of ``tools`` in a chat-completion request."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": dict(self.schema),
            },
        }

    def bind(self, arguments: str, call: Call) -> Callable[[], object]:
        """Check the model's arguments and get the call that is to be made.

        Args:
            arguments: JSON as the model wrote it; empty for none.
            call: for a parameter that is hinted so.

        Raises:
            ToolArgumentError: they don't fit.
        """
        try:
            checked = self._model.model_validate_json(arguments.strip() or "{}")
        except ValidationError as error:
            problems = "; ".join(_problem(dict(item)) for item in error.errors(include_url=False))
            raise ToolArgumentError(f"wrong arguments for {self.name}: {problems}") from None
        given = {name: getattr(checked, name) for name in type(checked).model_fields}
        if self._call_parameter is not None:
            given[self._call_parameter] = call
        return lambda: self.function(**given)


@overload
def tool(function: Function, /) -> Function: ...


@overload
def tool(
    *,
    name: str = "",
    description: str | None = None,
    timeout: float = TIMEOUT,
    filler: str = FILLER,
    filler_after: float = 0.8,
    on_agent_thread: bool = False,
) -> Callable[[Function], Function]: ...


def tool(function: Any = None, /, **options: Any) -> Any:
    """Say how a function is to be used as a tool; it stays the function that it is.

    Plain functions may be used as they are; this is for those that need more than the defaults::

        @tool(timeout=5, filler="Let me look that up.")
        def order_status(number: int) -> str: ...

    Args:
        function: the function, if there are no options.
        **options: the attributes of :class:`Tool` that differ from the function's name and
            docstring and from the defaults.

    Raises:
        AgentError: the function cannot be a tool; the message says why.
    """

    def mark(marked: Any) -> Any:
        setattr(marked, _MARK, make_tool(marked, **options))
        return marked

    return mark if function is None else mark(function)


def tools_of(functions: Iterable[Callable[..., Any] | Tool]) -> dict[str, Tool]:
    """Make tools of functions, by name.

    Raises:
        AgentError: one cannot be a tool, or two have the same name.
    """
    tools: dict[str, Tool] = {}
    for function in functions:
        marked = getattr(function, _MARK, None)
        if isinstance(function, Tool):
            made = function
        elif isinstance(marked, Tool):
            made = marked
        else:
            made = make_tool(function)
        if made.name in tools:
            raise AgentError(f"two tools are called {made.name!r}")
        tools[made.name] = made
    return tools


def make_tool(
    function: Callable[..., Any],
    *,
    name: str = "",
    description: str | None = None,
    **options: Any,
) -> Tool:
    """Make a tool of a function; see :func:`tool`."""
    name = name or str(getattr(function, "__name__", ""))
    if not _NAME.fullmatch(name):
        raise AgentError(f"{name!r} can't be a tool's name: letters, digits, _ and -, at most 64")
    summary, about = _docstring(inspect.getdoc(function) or "")
    fields, call_parameter = _fields(name, function, about)
    try:
        model: type[BaseModel] = create_model(
            f"{name}_arguments", __config__=ConfigDict(extra="forbid"), **fields
        )
        schema = _inlined(model.model_json_schema())
    except (PydanticUserError, RecursionError, TypeError) as error:
        line = str(error).splitlines()[0]
        raise AgentError(f"the tool {name} has a type that no model can be told: {line}") from None
    return Tool(
        name=name,
        function=function,
        description=description if description is not None else summary,
        schema=schema,
        _model=model,
        _call_parameter=call_parameter,
        **options,
    )


def _fields(
    name: str, function: Callable[..., Any], about: Mapping[str, str]
) -> tuple[dict[str, Any], str | None]:
    """Read a function's parameters; get pydantic's fields, and the name of the call's."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        parameters = inspect.signature(function).parameters
    except (NameError, TypeError, ValueError) as error:
        raise AgentError(f"the type hints of the tool {name} can't be read: {error}") from None
    fields: dict[str, Any] = {}
    call_parameter = None
    for parameter in parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise AgentError(f"the tool {name} takes *{parameter.name}, which no model can fill")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise AgentError(f"the tool {name} takes {parameter.name} without its name")
        hint = hints.get(parameter.name)
        if hint is None:
            raise AgentError(f"the parameter {parameter.name} of the tool {name} has no type hint")
        if hint is Call:
            call_parameter = parameter.name
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        told = about.get(parameter.name)
        fields[parameter.name] = (hint, Field(default, description=told) if told else default)
    return fields, call_parameter


_SECTION = re.compile(
    r"^(Args|Arguments|Parameters|Returns|Raises|Yields|Example|Examples|Note)s?:$"
)
_ARGUMENT = re.compile(r"^(?P<name>\*{0,2}\w+)(?:\s*\([^)]*\))?:\s*(?P<about>.*)$")


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """Part a docstring in Google's style into what it says first and what of each parameter."""
    summary: list[str] = []
    about: dict[str, str] = {}
    section = ""
    name = ""
    for line in text.splitlines():
        stripped = line.strip()
        found = _SECTION.match(stripped)
        if found and not line.startswith(" "):
            section, name = found[1], ""
        elif not section:
            summary.append(stripped)
        elif section.startswith(("Arg", "Param")):
            argument = _ARGUMENT.match(stripped)
            indent = len(line) - len(line.lstrip())
            if argument and indent <= 4:
                name = argument["name"]
                about[name] = argument["about"]
            elif name and stripped:
                about[name] += f" {stripped}"
    return " ".join(part for part in summary if part), about


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Put definitions where they are used, and leave titles out: not every server follows them."""
    definitions = schema.pop("$defs", {})

    def resolve(value: Any, inside: tuple[str, ...]) -> Any:
        if isinstance(value, list):
            return [resolve(item, inside) for item in value]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref")
        if isinstance(reference, str):
            name = reference.rpartition("/")[2]
            if name in inside:
                raise RecursionError(f"{name} holds itself")
            merged = {**definitions[name], **{k: v for k, v in value.items() if k != "$ref"}}
            return resolve(merged, (*inside, name))
        return {
            key: {name: resolve(item, inside) for name, item in entry.items()}
            if key == "properties" and isinstance(entry, dict)
            else resolve(entry, inside)
            for key, entry in value.items()
            if not (key == "title" and isinstance(entry, str))
        }

    made = resolve(schema, ())
    made.setdefault("properties", {})
    return dict(made)


def _problem(error: Mapping[str, Any]) -> str:
    """Say one finding of pydantic's."""
    where = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"])
    if error["type"] == "extra_forbidden":
        message = "there is no such argument"
    elif error["type"] == "missing":
        message = "is required"
    return f"{where}: {message}" if where else message


def written(value: object) -> str:
    """Write what a tool returned, for the model."""
    if value is None:
        return "done"
    if isinstance(value, str):
        return value
    try:
        return to_json(value, fallback=str).decode()
    except (PydanticSerializationError, ValueError):
        return str(value)
