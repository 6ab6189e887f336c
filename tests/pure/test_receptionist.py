"""The receptionist on the telephone: a whole call over a line that is a list of sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import pytest

from bridge.agents.frontdesk import Booking
from bridge.agents.receptionist import answer
from bridge.call import Call, CallInfo, Line, Remark, Reply, Turn
from bridge.errors import CallEnded


class WrittenLine:
    """A line on which the caller's turns are written down beforehand.

    A turn that is ``None`` is silence; a text that starts with ``>`` breaks in on what the agent
    says after the words in front of ``|``.
    """

    def __init__(self, *turns: str | None, history: tuple[Remark, ...] = ()) -> None:
        self.info = CallInfo(call_control_id="leg")
        self.history = history
        self.ended = False
        self.said: list[str] = []
        self._turns: Iterator[str | None] = iter(turns)
        self._breaks_in: str | None = None

    def speak(self, text: str | Iterable[str], **options: object) -> Reply:
        """Write down what the agent says."""
        assert isinstance(text, str)
        self.said.append(text)
        turn = next(self._turns, "")
        if turn is not None and turn.startswith(">"):
            heard, _, self._breaks_in = turn[1:].partition("|")
            assert heard in text
            return Reply(text, text[: text.index(heard) + len(heard)], interrupted=True)
        self._turns = iter([turn, *self._turns])
        return Reply(text, text)

    def hear(self, timeout: float | None) -> Turn | None:
        """Get the caller's next turn, or the end of the call."""
        if self._breaks_in is not None:
            words, self._breaks_in = self._breaks_in, None
            return Turn(text=words)
        turn = next(self._turns, "")
        if turn == "":
            self.ended = True
            raise CallEnded
        return None if turn is None else Turn(text=turn)

    def leave(self) -> None:
        """Hang up."""
        self.ended = True


def call_on(line: WrittenLine, *, resumed: bool = False) -> Call:
    """Make a call over a line that has what this agent uses of one, and no more."""
    return Call(cast(Line, line), resumed=resumed)


def booking_of(call: Call) -> Booking:
    """Get the booking that the agent has left."""
    booking = call.state["booking"]
    assert isinstance(booking, Booking)
    return booking


def test_a_call_from_greeting_to_goodbye() -> None:
    """The agent greets, books, says goodbye and returns, which hangs up."""
    line = WrittenLine(
        "A table for four tomorrow at half past seven, name is Miller", "Yes.", "No, thank you."
    )
    call = call_on(line)
    answer(call)
    assert line.said[0].startswith("Thank you for calling")
    assert line.said[-1].endswith("Goodbye.")
    assert booking_of(call).name == "Miller"
    assert booking_of(call).party == 4


def test_a_caller_who_breaks_in_on_the_greeting() -> None:
    """What was said over the greeting is taken in like any other turn."""
    line = WrittenLine(
        ">Thank you|a table for two tomorrow at half past nine, name is Smith", "Yes"
    )
    call = call_on(line)
    with pytest.raises(CallEnded):
        answer(call)
    assert line.said[1].startswith("A table for two, tomorrow")
    assert booking_of(call).name == "Smith"


def test_a_yes_over_the_facts_is_asked_again() -> None:
    """The agent knows what the caller has not heard."""
    line = WrittenLine(
        "four people tomorrow at eight under Miller", ">A table for|Yes.", "Yes.", "No, goodbye."
    )
    call = call_on(line)
    answer(call)
    assert line.said[1].startswith("A table for four")
    assert line.said[2].startswith("A table for four")
    assert booking_of(call).party == 4


def test_a_silent_caller_is_left() -> None:
    """Nobody there: two questions and a goodbye."""
    line = WrittenLine(None, None, None)
    answer(call_on(line))
    assert len(line.said) == 4
    assert line.said[-1].endswith("Goodbye.")


def test_keys_are_taken_for_numbers() -> None:
    """A caller may press the number of guests."""
    line = WrittenLine("hello")
    call = call_on(line)
    turns = iter([Turn(text="hello"), Turn(digits="4")])

    def hear(timeout: float | None) -> Turn:
        turn = next(turns, None)
        if turn is None:
            raise CallEnded
        return turn

    line.hear = hear  # type: ignore[method-assign]
    with pytest.raises(CallEnded):
        answer(call)
    assert line.said[-1].startswith("A table for four.")


def test_a_call_that_was_cut_off_goes_on_where_it_was() -> None:
    """The history of an earlier process is enough to know the booking."""
    history = (
        Remark("agent", "Thank you for calling.", "Thank you for calling."),
        Remark("caller", "a table for four tomorrow", "a table for four tomorrow"),
    )
    line = WrittenLine("at half past seven, name is Miller", "yes", "bye", history=history)
    call = call_on(line, resumed=True)
    answer(call)
    assert line.said[0].startswith("Sorry, the line was gone")
    assert booking_of(call).party == 4
