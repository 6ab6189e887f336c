"""What an agent function sees of a phone call.

An agent is one blocking function that is called once per phone call, on a thread of its own, with a
:class:`Call`.  Everything here may be called from that thread only.  When the call ends, whichever
way, a method that is waiting is woken at once: ``turns()`` simply ends, every other one raises
:class:`~bridge.errors.CallEnded`, so ``try/finally`` in the agent does what it always does.

Threads: the agent's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from bridge.decisions import Turn
from bridge.errors import CallEnded

__all__ = ["Agent", "Call", "CallInfo", "Remark", "Reply", "Turn"]


@dataclass(frozen=True)
class CallInfo:
    """The facts of a call, known from its first webhook event.

    Attributes:
        call_control_id: the address for commands to this leg.
        call_leg_id: the leg's own id.
        call_session_id: shared by legs that belong together.
        connection_id: the Call Control application.
        direction: ``"inbound"`` (they called us) or ``"outbound"``.
        from_number: who calls, as Telnyx writes it (E.164 mostly).
        to_number: who is called.
        headers: custom and SIP headers of the call, by name.
        client_state: our own tag as Telnyx echoes it, base64, or ``""``.
        tag: six characters that stand for this leg in log lines and thread names.
        codec: the codec of the audio we hear, ``"PCMU"``; ``""`` until the media stream starts.
        sample_rate: its rate in hertz; 0 until then.
    """

    call_control_id: str = field(repr=False)
    call_leg_id: str = ""
    call_session_id: str = ""
    connection_id: str = ""
    direction: Literal["inbound", "outbound"] = "inbound"
    # Numbers and what came with the call stay out of every log line, also through a repr.
    from_number: str = field(default="", repr=False)
    to_number: str = field(default="", repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    client_state: str = field(default="", repr=False)
    tag: str = ""
    codec: str = ""
    sample_rate: int = 0


@dataclass(frozen=True)
class Reply:
    """What became of something the agent said.

    Attributes:
        text: what it was to say, as far as the text had been made.
        heard: the part of it that was played to the caller.
        interrupted: whether the caller broke in.
        started_at: when it began to be sent, on the clock of a turn's times; 0 if it never was.
        ended_at: when it was over, on the same clock.
    """

    text: str
    heard: str
    interrupted: bool = False
    started_at: float = field(default=0.0, compare=False)
    ended_at: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Remark:
    """One entry of a call's history.

    Attributes:
        speaker: ``"caller"`` or ``"agent"``.
        text: what was said.  For the agent: what it was to say.
        heard: what the other one heard of it; for the caller's words the same as ``text``.
        interrupted: whether the caller broke in on it.
        at: when it began, seconds since the media stream started.
        digits: keys the caller pressed instead of speaking.
    """

    speaker: Literal["caller", "agent"]
    text: str
    heard: str
    interrupted: bool = False
    at: float = 0.0
    digits: str = field(default="", repr=False)


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

    def speak(self, text: str | Iterable[str], *, interruptible: bool) -> Reply:
        """Say it; block until it was heard or interrupted; raise ``CallEnded``."""

    def hear(self, timeout: float | None) -> Turn | None:
        """Wait for a turn; ``None`` after ``timeout`` seconds; raise ``CallEnded``."""

    def leave(self) -> None:
        """Hang up; return at once."""


class Call:
    """A phone call, to talk on.

    Attributes:
        state: a dictionary for the agent's own use during this call.
        resumed: whether an earlier agent already held this call, in a process that is gone;
            ``history`` then has what was said.
    """

    def __init__(
        self,
        line: Line,
        *,
        resumed: bool = False,
        on_notice: Callable[[], object] = lambda: None,
    ) -> None:
        self._line = line
        self.state: dict[str, Any] = {}
        self._resumed = resumed
        # Told when the agent asks whether the call is a resumed one.
        self._on_notice = on_notice

    @property
    def resumed(self) -> bool:
        """Whether an earlier agent already held this call, in a process that is gone."""
        self._on_notice()
        return self._resumed

    @property
    def info(self) -> CallInfo:
        """The facts of the call: numbers, direction, ids, headers, codec."""
        return self._line.info

    @property
    def history(self) -> tuple[Remark, ...]:
        """What was said and *heard* so far, oldest first."""
        return self._line.history

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._line.ended

    def say(self, text: str | Iterable[str], *, interruptible: bool = True) -> Reply:
        """Say something and get what the caller heard of it.

        Speaking begins with the first complete sentence or clause, while an iterator still yields.
        An iterator that has a ``close`` method is closed when the caller breaks in or hangs up.

        Blocks until the last of it was played to the caller, or until the caller broke in.

        Args:
            text: a string, or an iterable of strings as they are generated.
            interruptible: whether the caller may break in.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: nothing could be synthesised.
        """
        return self._line.speak(text, interruptible=interruptible)

    def listen(self, timeout: float | None = None) -> Turn | None:
        """Wait for the caller's next turn.

        A turn that was completed while the agent did something else is returned at once.

        Args:
            timeout: seconds to wait; ``None`` waits as long as the call lasts.

        Returns:
            The turn, or ``None`` when ``timeout`` seconds went by without one having *begun*.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: the caller's speech can no longer be transcribed.
        """
        return self._line.hear(timeout)

    def ask(
        self,
        prompt: str | Iterable[str],
        *,
        timeout: float | None = None,
        attempts: int = 2,
        reprompt: str | None = None,
        interruptible: bool = True,
    ) -> Turn:
        """Say something and get the caller's answer.

        Args:
            prompt: what to say.
            timeout: seconds of silence after which it is said again; ``None`` waits for ever.
            attempts: how often it is said in all, when there is no answer.
            reprompt: what to say instead of ``prompt`` from the second attempt on.
            interruptible: whether the caller may answer before the end of the prompt.

        Returns:
            The answer; a turn with neither text nor digits when there was none.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: nothing could be synthesised or transcribed.
        """
        words: str | Iterable[str] = prompt
        for _ in range(max(1, attempts)):
            reply = self.say(words, interruptible=interruptible)
            turn = self.listen(timeout)
            if turn is not None:
                return turn
            # An iterator has been used up by now.
            words = reply.text if reprompt is None else reprompt
        return Turn()

    def turns(self) -> Iterator[Turn]:
        """Iterate over the caller's turns; the iterator ends when the call ends.

        Raises:
            TelnyxMediaError: the caller's speech can no longer be transcribed.
        """
        try:
            while True:
                turn = self._line.hear(None)
                if turn is not None:
                    yield turn
        except CallEnded:
            return

    def hangup(self) -> None:
        """End the call; return at once.  Every later method raises ``CallEnded``."""
        self._line.leave()


Agent = Callable[[Call], object]
"""A function that is called once per phone call, with the call."""
