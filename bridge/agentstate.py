"""What an agent keeps in ``call.state``, for the agent that may hold the call after it.

A call outlives its process, its agent's variables do not.  What JSON can hold of ``call.state`` is
kept with the call's history: a snapshot each time the agent is about to wait, so that a process
that is killed while the caller speaks leaves what there was.

Pure.  The agent's thread is the only one here, so nobody changes the dictionary meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

__all__ = ["LIMIT", "StateKeeper"]

# Characters of JSON; what is larger belongs into a database.
LIMIT = 64 * 1024


class StateKeeper:
    """Tells what of a dictionary can be kept, when that has changed."""

    def __init__(
        self, keep: Callable[[str], object], warn: Callable[[str], object] = lambda text: None
    ) -> None:
        """Begin with nothing.

        Args:
            keep: called with an object as JSON text.
            warn: told, once, that something cannot be kept; never what.
        """
        self._keep = keep
        self._warn = warn
        self._warned = False
        self._last = "{}"

    def look(self, state: object) -> None:
        """Keep what there is now, if it is not what was kept last."""
        text = self._encode(state)
        if text is not None and text != self._last:
            self._last = text
            self._keep(text)

    def _encode(self, state: object) -> str | None:
        if not isinstance(state, Mapping):
            self._complain("call.state is not a dictionary any more: it is not kept")
            return None
        parts = {}
        for name, value in state.items():
            if not isinstance(name, str):
                self._complain("call.state has a name that is no text: it is not kept")
                continue
            try:
                parts[name] = json.dumps(value, allow_nan=False)
            except (TypeError, ValueError, RecursionError):
                self._complain("call.state has what JSON cannot hold: that is not kept")
        named = (f"{json.dumps(name)}: {part}" for name, part in parts.items())
        text = f"{{{', '.join(named)}}}"
        if len(text) > LIMIT:
            self._complain("call.state is too large to be kept")
            return None
        return text

    def _complain(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(text)
