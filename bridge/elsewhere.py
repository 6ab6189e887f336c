"""The other processes that serve the same application, as the switchboard needs them.

Pure; :mod:`bridge.fleet` is what stands behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

from bridge.call import CallInfo
from bridge.events import Event

__all__ = ["Alone", "Elsewhere"]


class Elsewhere(Protocol):
    """The other processes that serve the same application."""

    @property
    def joined(self) -> bool:
        """Whether they can be reached; if not, no call may begin."""

    def others(self) -> int:
        """Count those that take calls."""

    def forward(self, event: Event, again: bool) -> Literal["nobody", "here", "elsewhere"]:
        """Bring an event to the process that its leg, or one of its session, lives in."""

    def note(self, event: Event) -> None:
        """Keep a key that a webhook told of, in case that whoever is told of it dies over it."""

    def handled(self, event: Event) -> None:
        """Take note that an event was acted on, so that nobody else need do it."""

    def holds(self, key: str) -> bool | None:
        """Whether a leg lives here still; ``None`` if that cannot be known now."""

    def name_agent(self, key: str, agent: str) -> None:
        """Have whoever takes a leg over know its agent."""

    def mail(self, key: str) -> Iterator[Event]:
        """Take the events of a leg that came before it was known."""

    def place(self, info: CallInfo) -> bool:
        """Have a new call taken by a process with room; whether there is one."""

    def is_ours(self, token: str) -> bool:
        """Whether the leg of a stream token lives here."""

    def pass_on(self, token: str, environ: Mapping[str, Any]) -> bool:
        """Hand a request for a media socket to its leg's process; whether that could be done."""

    def shut(self) -> None:
        """Take in no more connections that others would hand to this process."""

    def pass_listener(self, key: str, environ: Mapping[str, Any]) -> bool:
        """Hand a listener's request to the leg's process; whether that could be done."""

    def departed(self, info: CallInfo) -> None:
        """Tell that a leg's agent here has fallen silent."""

    def hang_up(self, key: str) -> bool:
        """End a leg that lives elsewhere."""

    def transfer(self, key: str, to: str) -> bool:
        """Put the caller of a leg that lives elsewhere through; whether there was one."""


class Alone:
    """No other processes: without Redis nobody knows of them."""

    joined = True

    def others(self) -> int:
        """There are none."""
        return 0

    def forward(self, event: Event, again: bool) -> Literal["nobody"]:
        """A leg that is not here is nobody's."""
        return "nobody"

    def note(self, event: Event) -> None:
        """Nobody would read it."""

    def handled(self, event: Event) -> None:
        """Nobody else would do it."""

    def holds(self, key: str) -> bool:
        """Nobody can have taken a leg."""
        return True

    def name_agent(self, key: str, agent: str) -> None:
        """Nobody takes a leg over."""

    def mail(self, key: str) -> Iterator[Event]:
        """Nobody has taken any."""
        return iter(())

    def place(self, info: CallInfo) -> bool:
        """There is nobody with room."""
        return False

    def is_ours(self, token: str) -> bool:
        """Whose else."""
        return True

    def pass_on(self, token: str, environ: Mapping[str, Any]) -> bool:
        """There is nobody to hand it to."""
        return False

    def shut(self) -> None:
        """Nobody hands in connections."""

    def pass_listener(self, key: str, environ: Mapping[str, Any]) -> bool:
        """There is nobody to hand it to."""
        return False

    def departed(self, info: CallInfo) -> None:
        """Nobody waits for that."""

    def hang_up(self, key: str) -> bool:
        """There is none."""
        return False

    def transfer(self, key: str, to: str) -> bool:
        """There is none."""
        return False
