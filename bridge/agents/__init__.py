"""Agents that ship with the bridge, and how an agent is found by its name."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.call import Agent
from bridge.errors import AgentError

__all__ = ["Agent", "load_agent"]


def load_agent(
    name: str, variable: str = "BRIDGE_AGENT", *, takes: tuple[str, ...] = ("call",)
) -> Callable[[Any], object]:
    """Get an agent function by its name, ``"mypackage.agent:answer"``.

    The working directory is searched too, as ``python -m`` does.

    Args:
        name: the name.
        variable: where it was read, for errors.
        takes: what it will be called with.

    Raises:
        AgentError: one line that says what is wrong with the name or the module.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise AgentError(f"{variable}={name!r}: expected module:callable, like shop.agent:answer")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise AgentError(f"{variable}={name!r}: no module named {error.name!r}") from None
        raise AgentError(
            f"{variable}={name!r}: {module_name} needs {error.name!r}, which is not installed"
        ) from error
    except Exception as error:
        # Whatever the user's module raises becomes one line.
        raise AgentError(
            f"{variable}={name!r}: importing {module_name} raised {type(error).__name__}: {error}"
        ) from error
    for part in attribute.split("."):
        found = getattr(found, part, None)
        if found is None:
            raise AgentError(f"{variable}={name!r}: {module_name} has no {attribute!r}")
    if not callable(found):
        raise AgentError(f"{variable}={name!r}: {attribute} is not callable")
    trouble = _trouble(found, takes)
    if trouble:
        raise AgentError(f"{variable}={name!r}: {attribute} {trouble}")
    return found


def _trouble(function: Callable[..., object], takes: tuple[str, ...]) -> str:
    """Say why a function would do nothing when it is called; ``""`` if it would not."""
    for body in (function, type(function).__call__):
        if inspect.iscoroutinefunction(body) or inspect.isasyncgenfunction(body):
            return "is async; make it a plain function, which may block"
        if inspect.isgeneratorfunction(body):
            return "has a yield in it, so that calling it does nothing; say what it yields instead"
    try:
        inspect.signature(function).bind(*takes)
    except TypeError:
        return f"cannot be called with ({', '.join(takes)})"
    except ValueError:
        # Made in C, without a signature.
        return ""
    return ""
