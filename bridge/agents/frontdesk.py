"""The front desk of a restaurant: what to say next, until a table is booked.

The conversation as a table of rules, one sentence in and one sentence out, so that a whole call can
be read and tested as text.  :mod:`bridge.agents.receptionist` puts it on the telephone.

Pure: the time of the call is an argument.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from bridge.agents.heard import Slot, Understood, understand
from bridge.agents.heard.numbers import spelled, spelled_ordinal

__all__ = ["Booking", "FrontDesk"]

RESTAURANT = "the Corner Table"
LARGEST_PARTY = 12
FIRST_TABLE, LAST_TABLE = dt.time(12), dt.time(21, 30)
BOOKABLE_DAYS = 180

# How often in a row we may fail to understand, or hear nothing, before we give up.
PATIENCE = 3

Asked = Literal["party", "date", "time", "name", "confirm", "change", "which", "more"]

# Asked differently each time, because the same words would meet the same silence.
QUESTIONS: dict[Asked, tuple[str, ...]] = {
    "party": (
        "For how many people?",
        "How many of you will there be? You can say, for example: a table for four.",
        "Please tell me just the number of guests.",
    ),
    "date": (
        "For which day?",
        "Which day would you like to come? You can say tomorrow, or Friday, or a date.",
        "Please tell me just the day, for example: Saturday.",
    ),
    "time": (
        "At what time?",
        "What time would you like to come? You can say, for example: half past seven.",
        "Please tell me just the time, for example: eight o'clock.",
    ),
    "name": (
        "And what name may I put it under?",
        "Could you tell me your last name, please?",
        "Could you spell your last name for me, letter by letter?",
    ),
    "confirm": (
        "Is that right?",
        "Shall I book it like that? Please say yes or no.",
        "Please say yes to book it, or tell me what to change.",
    ),
    "change": (
        "What would you like to change?",
        "You can change the number of people, the day, the time or the name.",
        "Please tell me just what is different, for example: five people.",
    ),
    "which": (
        "Do you mean the number of people, or the time?",
        "Please say people, or time.",
        "Please say the whole of it, for example: five people, or five o'clock.",
    ),
    "more": (
        "Is there anything else I can do for you?",
        "Can I do anything else for you?",
        "If there is nothing else, you can just hang up.",
    ),
}
ANSWERS = {
    "hours": "We are open every day from noon to eleven; the last table is at half past nine.",
    "address": "You find us at the corner of Main Street and Station Road.",
    "person": "I'm sorry, nobody can come to the phone just now, but I can book your table.",
}


@dataclass(frozen=True)
class Booking:
    """What is known of a booking; ``None`` is still to be asked."""

    party: int | None = None
    date: dt.date | None = None
    time: dt.time | None = None
    name: str | None = None

    @property
    def missing(self) -> list[Slot]:
        """What is still to be asked, in the order of asking."""
        values: dict[Slot, object] = {
            "party": self.party,
            "date": self.date,
            "time": self.time,
            "name": self.name,
        }
        return [slot for slot, value in values.items() if value is None]


class FrontDesk:
    """One caller's conversation.

    Attributes:
        booking: what is known so far.
        booked: whether the caller has confirmed it.
        done: whether the conversation is over; then the last sentence was a goodbye.
    """

    def __init__(self, now: dt.datetime) -> None:
        """Begin to book.

        Args:
            now: when the call is, in the restaurant's own time.
        """
        self.booking = Booking()
        self.booked = False
        self.done = False
        self._now = now
        self._asked: Asked | None = None
        # How often in a row the question was asked, nothing understood, nothing heard.
        self._asked_times = 0
        self._misses = 0
        self._silences = 0
        self._number: int | None = None
        self._last = ""
        self._facts_unheard = False

    # --- what the agent says --------------------------------------------------------------------

    def greeting(self) -> str:
        """Get the first sentence of the call."""
        return self._say(
            f"Thank you for calling {RESTAURANT}. When would you like to come, and how many "
            "will you be?"
        )

    def welcome_back(self) -> str:
        """Get the sentence that picks up a conversation that was cut off."""
        return self._say("Sorry, the line was gone for a moment.", self._next_question())

    def hear(self, text: str, *, unheard: str = "") -> str:
        """Take in what the caller said and get the answer.

        Args:
            text: the caller's words.
            unheard: the end of our last sentence, if the caller broke in on it.
        """
        self._silences = 0
        if unheard and self._asked == "confirm":
            self._facts_unheard = self._lacks_a_fact(unheard)
        said = understand(text, today=self._now.date(), asked=self._slot_asked())
        answer = self._answer(said)
        return answer if answer is not None else self._not_understood(broke_in=bool(unheard))

    def silence(self) -> str:
        """Get what to say to a caller who says nothing."""
        self._silences += 1
        if self._asked == "more":
            return self._goodbye()
        if self._silences >= PATIENCE:
            return self._leave("I can't hear you, so I'll hang up now. Please call again. Goodbye.")
        return self._say("Are you still there?" if self._silences == 1 else "", self._ask_again())

    # --- how it gets there ----------------------------------------------------------------------

    def _answer(self, said: Understood) -> str | None:
        """Answer what was understood; ``None`` when it means nothing here."""
        if said.repeat:
            return self._last or self._ask_again()
        if (said.cancel or said.never_mind) and not self.booked:
            return self._leave("All right, I won't book anything. Thank you for calling. Goodbye.")
        if self.booked:
            return self._after_booking(said)
        if said.question is not None and not said.facts:
            self._misses = 0
            return self._say(ANSWERS[said.question], self._ask_again())
        number = self._meant_number(said)
        if number is not None:
            return number
        if said.facts:
            return self._take(said.facts)
        if said.goodbye:
            return self._leave("All right. Please call again whenever you like. Goodbye.")
        if self._asked in ("confirm", "change"):
            return self._confirmed(said)
        if said.greeting and self._misses < PATIENCE - 1:
            self._misses += 1
            return self._say("Of course.", self._next_question())
        return None

    def _take(self, facts: dict[str, Any]) -> str:
        """Write down facts, then ask for what is missing or read it all back."""
        self._misses = 0
        refused = self._refusal(facts)
        taken = {slot: value for slot, value in facts.items() if slot not in refused}
        self.booking = replace(self.booking, **taken)
        if refused:
            slot, reason = next(iter(refused.items()))
            return self._say(reason, self._ask(slot))
        if self.booking.missing:
            return self._say(f"{sentence_of(self._described(taken))}.", self._next_question())
        return self._read_back()

    def _refusal(self, facts: dict[str, Any]) -> dict[Slot, str]:
        """Say which of the facts can't be, and why."""
        refused: dict[Slot, str] = {}
        party, date, time = facts.get("party"), facts.get("date"), facts.get("time")
        if isinstance(party, int) and not 1 <= party <= LARGEST_PARTY:
            refused["party"] = f"I'm sorry, we have tables for one to {spelled(LARGEST_PARTY)}."
        if isinstance(date, dt.date) and date < self._now.date():
            refused["date"] = "I'm sorry, that day is over."
        if isinstance(date, dt.date) and (date - self._now.date()).days > BOOKABLE_DAYS:
            refused["date"] = "I'm sorry, that is further ahead than I can book."
        if isinstance(time, dt.time):
            day = date if isinstance(date, dt.date) else self.booking.date
            if not FIRST_TABLE <= time <= LAST_TABLE:
                refused["time"] = "I'm sorry, we have tables from noon until half past nine."
            elif day == self._now.date() and time <= self._now.time():
                refused["time"] = "I'm sorry, that time is over for today."
        return refused

    def _meant_number(self, said: Understood) -> str | None:
        """Find out what a number alone is about, asking if need be; ``None`` if there is none."""
        if self._asked == "which" and self._number is not None and said.slot in ("party", "time"):
            number, self._number = self._number, None
            return self._take_number(number, said.slot)
        if said.number is None or said.facts:
            return None
        # Nobody comes with half a hundred, and no restaurant opens at forty.
        if said.number > 24:
            return self._take_number(said.number, "time" if said.number >= 100 else "party")
        if self.booking.party is None and self.booking.time is not None:
            return self._take_number(said.number, "party")
        self._number = said.number
        self._misses = 0
        return self._say(f"{spelled(said.number).capitalize()}.", self._ask("which"))

    def _take_number(self, number: int, slot: Slot) -> str | None:
        """Write down a number as what it stands for."""
        facts = understand(str(number), today=self._now.date(), asked=slot).facts
        return self._take(facts) if facts else None

    def _confirmed(self, said: Understood) -> str | None:
        """Take the caller's yes or no to what was read back."""
        if said.slot is not None:
            self.booking = replace(self.booking, **{said.slot: None})
            return self._say("All right.", self._ask(said.slot))
        if said.no:
            self._misses = 0
            return self._say("All right.", self._ask("change"))
        if said.yes and self._facts_unheard:
            # A yes to what they have not heard is no yes.
            return self._read_back()
        if said.yes and self._asked == "confirm":
            return self._book()
        return None

    def _book(self) -> str:
        self.booked = True
        self._misses = 0
        return self._say(
            f"Your table is booked: {self._all_facts()}.",
            self._ask("more"),
        )

    def _after_booking(self, said: Understood) -> str | None:
        """Go on once the table is booked: a change, a question, a goodbye."""
        if said.facts:
            self.booked = False
            return self._take(said.facts)
        if said.slot is not None and not said.goodbye and not said.no:
            self.booked = False
            self.booking = replace(self.booking, **{said.slot: None})
            return self._say("Of course.", self._ask(said.slot))
        if said.cancel:
            self.booked = False
            return self._leave("I have taken the booking out again. Thank you. Goodbye.")
        if said.question is not None:
            return self._say(ANSWERS[said.question], self._ask("more"))
        if said.goodbye or said.never_mind or said.no or said.yes:
            return self._goodbye()
        return None

    # --- sentences ------------------------------------------------------------------------------

    def _read_back(self) -> str:
        self._facts_unheard = False
        return self._say(f"{sentence_of(self._all_facts())}.", self._ask("confirm"))

    def _all_facts(self) -> str:
        return self._described(["party", "date", "time"]) + f", under the name {self.booking.name}"

    def _described(self, slots: Iterable[str]) -> str:
        """Put facts in words: ``a table for four, Friday, November twenty-seventh, at noon``."""
        words = self._words()
        parts = [words[slot] for slot in ("party", "date", "time") if slot in slots]
        return ", ".join(parts) or f"thank you, {self.booking.name}"

    def _words(self) -> dict[Slot, str]:
        """Put each known fact of the booking in words."""
        booking, words = self.booking, dict[Slot, str]()
        if booking.party is not None:
            words["party"] = f"a table for {spelled(booking.party)}"
        if booking.date is not None:
            words["date"] = spoken_date(booking.date, self._now.date())
        if booking.time is not None:
            words["time"] = f"at {spoken_time(booking.time)}"
        if booking.name is not None:
            words["name"] = booking.name
        return words

    def _lacks_a_fact(self, unheard: str) -> bool:
        """Whether a fact, or the end of one, is in what the caller did not hear of a read-back."""
        before_question = unheard.rpartition(".")[0] if "?" in unheard else unheard
        return len(before_question.split()) > 1 or any(
            words.rpartition(" ")[2] in before_question for words in self._words().values()
        )

    def _next_question(self) -> str:
        if self.booked:
            return self._ask("more")
        missing = self.booking.missing
        if missing:
            return self._ask(missing[0])
        return self._read_back()

    def _ask(self, question: Asked) -> str:
        """Ask something; in other words each time that it follows itself."""
        self._asked_times = self._asked_times + 1 if self._asked == question else 0
        self._asked = question
        return QUESTIONS[question][min(self._asked_times, len(QUESTIONS[question]) - 1)]

    def _ask_again(self) -> str:
        return self._ask(self._asked) if self._asked is not None else self._next_question()

    def _slot_asked(self) -> Slot | None:
        asked = self._asked
        return asked if asked in ("party", "date", "time", "name") else None

    def _not_understood(self, *, broke_in: bool) -> str:
        self._misses += 1
        if self._misses >= PATIENCE:
            return self._leave(
                "I'm sorry, I can't understand you well enough to book a table. Please call again "
                "when the line is better. Goodbye."
            )
        if broke_in and self._misses == 1:
            return self._say("Yes, please?")
        return self._say("I'm sorry, I didn't get that.", self._ask_again())

    def _goodbye(self) -> str:
        return self._leave(f"Thank you for calling {RESTAURANT}. We look forward to it. Goodbye.")

    def _leave(self, sentence: str) -> str:
        self.done = True
        return self._say(sentence)

    def _say(self, *sentences: str) -> str:
        self._last = " ".join(sentence for sentence in sentences if sentence)
        return self._last


def sentence_of(words: str) -> str:
    """Begin with a capital."""
    return words[0].upper() + words[1:]


def spoken_date(day: dt.date, today: dt.date) -> str:
    """Write a day for a voice to say: ``tomorrow, Monday, November twenty-third``."""
    ahead = (day - today).days
    near = {0: "today, ", 1: "tomorrow, "}.get(ahead, "")
    return f"{near}{day:%A}, {day:%B} {spelled_ordinal(day.day)}"


def spoken_time(time: dt.time) -> str:
    """Write a time for a voice to say: ``seven thirty in the evening``."""
    if (time.hour, time.minute) == (12, 0):
        return "noon"
    hour = spelled(time.hour % 12 or 12)
    half = "in the morning" if time.hour < 12 else "in the afternoon"
    if time.hour >= 17:
        half = "in the evening"
    if time.minute == 0:
        return f"{hour} o'clock {half}"
    minute = f"oh {spelled(time.minute)}" if time.minute < 10 else spelled(time.minute)
    return f"{hour} {minute} {half}"
