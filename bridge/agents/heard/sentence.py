"""A whole sentence: its facts, its intentions, its corrections.

Pure.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, fields
from typing import Any, Literal

from bridge.agents.heard.dates import MONTH, WEEKDAY, find_date
from bridge.agents.heard.numbers import normalized
from bridge.agents.heard.people import find_name, find_party
from bridge.agents.heard.times import bare_time, find_time

Slot = Literal["party", "date", "time", "name"]
SLOTS: tuple[Slot, ...] = ("party", "date", "time", "name")


@dataclass(frozen=True)
class Understood:
    """What a sentence said; ``None`` and ``False`` for what it did not.

    Attributes:
        party: number of guests.
        date: the day.
        time: the time of day.
        name: the name, as it is written.
        number: a number that may be guests or an hour.
        slot: the only fact that was named without a value (``"change the time"``).
        yes, no: agreement, disagreement.
        goodbye: the caller takes leave.
        cancel: the caller wants no booking after all.
        never_mind: the caller lets go of whatever it was.
        greeting: the caller says hello, or that they want a table, and no more.
        repeat: the caller did not get what we said.
        question: ``"hours"``, ``"address"``, ``"person"``: something else the caller wants.
    """

    party: int | None = None
    date: dt.date | None = None
    time: dt.time | None = None
    name: str | None = None
    number: int | None = None
    slot: Slot | None = None
    yes: bool = False
    no: bool = False
    goodbye: bool = False
    cancel: bool = False
    never_mind: bool = False
    greeting: bool = False
    repeat: bool = False
    question: Literal["hours", "address", "person"] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The facts of a booking that the sentence held."""
        values: dict[str, Any] = {slot: getattr(self, slot) for slot in SLOTS}
        return {slot: value for slot, value in values.items() if value is not None}

    @property
    def nothing(self) -> bool:
        """Whether nothing at all was understood."""
        return all(getattr(self, field.name) == field.default for field in fields(self))


# Behind one of these the caller takes back what stood before it.
CORRECTION = re.compile(
    r"(?<!\bor )\b(?:no(?! (?:problem|worries|thanks?|thank|one|rush|later)\b)|nope|actually|sorry|"
    r"i mean|i meant|or rather|wait|make that|correction|scratch that)\b"
)
# "not four but five", "Saturday instead of Friday": the part that does not hold.
NEGATED = re.compile(
    rf"\b(?:not|instead of|rather than)(?: at| for| on| the| a| this| half| past)*"
    rf" (?:\d[\w:.]*|(?:{WEEKDAY})|tomorrow|tonight|today)(?: \d\d\b)?(?: (?:{MONTH})\b)?"
    r"(?: (?:people|persons|pm|am|oclock)\b)?"
)

YES = re.compile(
    r"\b(?:yes|yeah|yep|yup|correct|right|exactly|perfect|absolutely|definitely|great|lovely|fine|"
    r"wonderful|sounds good|that works|that's it|that is it|please do|go ahead|sure|of course|okay|"
    r"ok|uh huh|mm hmm|all good|no problem|no worries|confirm|confirmed|indeed)\b"
)
NOT_RIGHT = re.compile(
    r"\b(?:not|isn't|ain't)(?: \w+)? (?:right|correct|fine|it|good|okay)\b|"
    r"\b(?:wrong|incorrect|mistake)\b"
)
NO = re.compile(r"\b(?:no|nope|nah|not (?:quite|really|yet)|don't|never(?! ?mind))\b")
GOODBYE = re.compile(
    r"\b(?:good ?bye|bye|see you|have a (?:good|nice|great|lovely)|that's all|that is all|"
    r"that'll be all|that will be all|that would be all|nothing else|hang up)\b"
)
CANCEL = re.compile(
    r"\b(?:cancel|changed my mind|wrong number|"
    r"don't want (?:a|the|any) (?:table|booking|reservation))\b"
)
NEVER_MIND = re.compile(
    r"\b(?:never ?mind|forget (?:it|about it)|leave it|(?:call|ring) (?:you )?(?:back )?later)\b"
)
GREETING = re.compile(
    r"\b(?:hello|hi|hey|good (?:morning|afternoon|evening|day)|book|booking|reserve|reservation|"
    r"table|speaking|calling)\b"
)
REPEAT = re.compile(
    r"\b(?:repeat|say (?:that|it) again|come again|pardon|once more|what did you say|"
    r"didn't (?:catch|get|hear|understand)|couldn't hear|can't hear)\b|"
    r"^ ?(?:what|sorry|huh|excuse me) ?$"
)
QUESTIONS: list[tuple[Literal["hours", "address", "person"], re.Pattern[str]]] = [
    (
        "person",
        re.compile(
            r"\b(?:speak|talk|put me through) (?:to|with) (?:a|an|some|the|your)\b|"
            r"\b(?:human|real person|a person|manager|somebody real)\b"
        ),
    ),
    (
        "hours",
        re.compile(
            r"\b(?:opening (?:hours|times?)|what time (?:do|are) you|when (?:do|are) you|"
            r"(?:do|are) you (?:open|close|closed)|how late|business hours)\b"
        ),
    ),
    (
        "address",
        re.compile(
            r"\b(?:where (?:are|is|do)|address|how do (?:i|we) (?:get|find)|location|directions)\b"
        ),
    ),
]
NAMED_SLOTS: dict[Slot, str] = {
    "party": r"number of (?:people|guests)|how many|party size|size of the party|guests|people",
    "date": r"date|day",
    "time": r"time|hour",
    "name": r"name",
}


def understand(text: str, *, today: dt.date, asked: Slot | None = None) -> Understood:
    """Find out what a sentence says.

    Args:
        text: what the recogniser wrote.
        today: the day the caller speaks on.
        asked: what was asked for last; then a number, or a name, may stand alone.
    """
    clean = NEGATED.sub(" ", normalized(text))
    facts: dict[Slot, object] = {}
    number: int | None = None
    for part in re.split(CORRECTION, clean):
        found, left = facts_in(part, today, asked)
        if left is not None and "party" not in found and "time" not in found:
            # A number alone behind a correction is of the kind that it corrects.
            known = [slot for slot in ("time", "party") if slot in facts]
            if len(known) == 1:
                value = facts_in(str(left), today, "time" if known == ["time"] else "party")[0]
                found.update(value)
            else:
                number = left
        facts.update(found)
    name = find_name(text, asked=asked == "name" and not facts)
    if name is not None:
        facts["name"] = name
    return with_intentions(clean, facts, number if not facts else None, asked)


def facts_in(
    text: str, today: dt.date, asked: Slot | None
) -> tuple[dict[Slot, object], int | None]:
    """Find day, time and party in a part of a normalized sentence, and a number left over."""
    facts: dict[Slot, object] = {}
    date = find_date(text, today)
    if date is not None:
        facts["date"], text = date
    time = find_time(text)
    if time is not None:
        facts["time"], text = time
    party = find_party(text)
    # "for eight", when a time was asked for, is a time.
    meant_as_time = asked == "time" and time is None and re.search(r"\bfor \d{1,4} *(?:,|$)", text)
    if party is not None and not meant_as_time:
        facts["party"], text = party
    number = re.search(r"(?<![\w:.])(\d{1,4})(?![\w:.])", text)
    if number is None:
        return facts, None
    if asked == "time" and "time" not in facts:
        at = bare_time(text)
        if at is not None:
            return {**facts, "time": at}, None
    if asked == "party" and "party" not in facts:
        return {**facts, "party": int(number[1])}, None
    alone = re.fullmatch(r"[ ,]*(?:on )?(?:the )?\d{1,2}[ ,]*", text)
    if asked == "date" and "date" not in facts and alone and int(number[1]) <= 31:
        day = find_date(f"the {number[1]}th", today)
        if day is not None:
            return {**facts, "date": day[0]}, None
    return facts, int(number[1])


def with_intentions(
    text: str, facts: dict[Slot, object], number: int | None, asked: Slot | None
) -> Understood:
    """Add to the facts what the sentence wants."""
    wrong = NOT_RIGHT.search(text) is not None
    question = next((name for name, pattern in QUESTIONS if pattern.search(text)), None)
    named = [slot for slot, words in NAMED_SLOTS.items() if re.search(rf"\b(?:{words})\b", text)]
    party, date, time, name = (facts.get(slot) for slot in SLOTS)
    assert party is None or isinstance(party, int)
    assert date is None or isinstance(date, dt.date)
    assert time is None or isinstance(time, dt.time)
    assert name is None or isinstance(name, str)
    return Understood(
        party=party,
        date=date,
        time=time,
        name=name,
        number=number,
        slot=named[0] if len(named) == 1 and not facts and question is None else None,
        yes=not wrong and YES.search(text) is not None,
        no=wrong or NO.search(re.sub(r"\bno (?:problem|worries|rush)\b", "", text)) is not None,
        goodbye=GOODBYE.search(text) is not None,
        cancel=CANCEL.search(text) is not None,
        never_mind=NEVER_MIND.search(text) is not None,
        greeting=not facts and GREETING.search(text) is not None,
        repeat=not facts and REPEAT.search(text.strip(" ,")) is not None,
        question=question,
    )
