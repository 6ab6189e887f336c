"""What a call asks of the leg behind it.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, Protocol

from bridge.decisions import Interruptible, Turn
from bridge.keypad import KeyRules

if TYPE_CHECKING:
    from bridge.call import Call
    from bridge.callcontrol import CommandResult
    from bridge.callfacts import CallInfo, Remark, Reply
    from bridge.events import Event
    from bridge.people import People
    from bridge.sounds import Sound

__all__ = ["Line", "OnLine"]


class Line(Protocol):
    """What a :class:`Call` needs of the worker behind it; every method wakes when the call ends."""

    @property
    def info(self) -> CallInfo:
        """The facts of the call."""

    @property
    def history(self) -> tuple[Remark, ...]:
        """What was said and heard so far."""

    @property
    def ended(self) -> bool:
        """Whether the call is over."""

    @property
    def events(self) -> tuple[Event, ...]:
        """The webhook events so far."""

    @property
    def people(self) -> People:
        """Everybody but caller and agent."""

    # What the agent says and the caller hears

    def speak(
        self,
        text: str | Iterable[str],
        *,
        interruptible: Interruptible,
        filler: str | None = None,
        filler_after: float = 0.0,
    ) -> Reply:
        """Say it; block until it was heard or interrupted."""

    def play(self, sound: Sound, *, interruptible: bool, loop: bool, volume: float) -> Reply:
        """Play it; block until it was heard or interrupted."""

    def filling(self, text: str, after: float) -> AbstractContextManager[None]:
        """Say something while the block takes long."""

    def background(self, sound: Sound | None, volume: float) -> None:
        """Have a sound under the call."""

    def hold(self, music: Sound | None, volume: float) -> None:
        """Let the caller wait with music, unheard."""

    def unhold(self) -> None:
        """End that."""

    # What the caller says and presses

    def hear(self, timeout: float | None) -> Turn | None:
        """Wait for a turn; ``None`` after ``timeout`` seconds."""

    def gather(
        self,
        prompt: str | Iterable[str] | None,
        rules: KeyRules,
        *,
        attempts: int,
        reprompt: str | None,
        interruptible: bool,
        private: bool,
    ) -> str:
        """Collect keys."""

    # The call

    def stay(self, seconds: float | None) -> None:
        """Wait for the end, or so long."""

    def leave(self) -> None:
        """Hang up; return at once."""

    def limit(self, seconds: float, words: str | None) -> None:
        """Limit the call's length."""

    def record(self, action: Literal["on", "off", "pause"]) -> None:
        """Switch the recording."""

    def press(self, keys: str, duration_ms: int) -> None:
        """Press keys."""

    def command(self, name: str, fields: Mapping[str, object]) -> CommandResult:
        """Send a command."""

    def await_event(self, event_types: tuple[str, ...], timeout: float | None) -> Event | None:
        """Wait for a webhook event."""

    def dial(
        self, to: str, *, from_: str | None, timeout: float, fields: Mapping[str, object]
    ) -> Call:
        """Call somebody else."""

    def connect(self, other: Call) -> None:
        """Connect the caller with them."""

    language: str
    voice: str


class OnLine:
    """A part of :class:`~bridge.call.Call`: methods that one noun has in common."""

    _line: Line

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._line.ended
