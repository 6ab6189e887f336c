"""Options as users give them, checked: lists that may be one item, durations, texts.

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from telnyx_media.errors import ConfigurationError


def one_or_more(name: str, value: object, *kinds: type) -> tuple[Any, ...]:
    """Get the items of an option that is a list; one item by itself is a list of one.

    Args:
        name: of the option.
        value: as it was given.
        *kinds: that an item may be of.

    Raises:
        ConfigurationError: it is no list of such items; the message names the option.
    """
    if isinstance(value, kinds):
        return (value,)
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        items = tuple(value)
        if all(isinstance(item, kinds) for item in items):
            return items
    allowed = " or ".join("text" if kind is str else kind.__name__ for kind in kinds)
    raise ConfigurationError(f"{name}: a list is needed, each item a {allowed}")


def check_seconds(**durations: float) -> None:
    """Check durations, each by its name.

    Raises:
        ConfigurationError: one is no positive number of seconds.
    """
    for name, value in durations.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value <= 0:
            raise ConfigurationError(f"{name}: a positive number of seconds, not {value!r}")


def check_rate(name: str, value: object) -> None:
    """Check a sample rate.

    Raises:
        ConfigurationError: it is no positive whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ConfigurationError(f"{name}: a positive number is needed, not {value!r}")


def check_text(name: str, value: object) -> None:
    """Check an option that is a text or ``None``.

    Raises:
        ConfigurationError: it is neither, or blank.
    """
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise ConfigurationError(f"{name}: a text is needed, not {value!r}")


def as_mapping(name: str, value: object) -> dict[Any, Any]:
    """Get an option that is a mapping, or ``None`` for an empty one.

    Raises:
        ConfigurationError: it is neither; the message names the option.
    """
    if value is not None and not isinstance(value, Mapping):
        raise ConfigurationError(f"{name}: a mapping is needed, not {type(value).__name__}")
    return dict(value or {})


def query_items(name: str, extra: Mapping[str, object]) -> list[tuple[str, str]]:
    """Get further query parameters as pairs; a list gives its name several times.

    Raises:
        ConfigurationError: a value is no text, number, bool or list of them.
    """
    found: list[tuple[str, str]] = []
    for key, value in extra.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(one, bool):
                found.append((key, "true" if one else "false"))
            elif isinstance(one, (str, int, float)):
                found.append((key, str(one)))
            else:
                raise ConfigurationError(f"{name}: {key!r} has a value that is no text or number")
    return found
