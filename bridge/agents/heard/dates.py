"""Days, as people say them.

Pure: today is an argument.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
MONTHS = (
    "january february march april may june july august september october november december"
).split()

WEEKDAY = "|".join(WEEKDAYS)
MONTH = "|".join([*MONTHS, *(month[:3] for month in MONTHS), "sept"])
DAY = r"(\d{1,2})(?:st|nd|rd|th)?"

Found = tuple[dt.date, str]


def find_date(text: str, today: dt.date) -> Found | None:
    """Find a day in a normalized sentence.

    Args:
        text: what :func:`~bridge.agents.heard.numbers.normalized` made of it.
        today: the day the caller speaks on.

    Returns:
        The day, and the sentence with the words for it taken out; ``None`` if there is none.
    """
    for pattern, day_of in PATTERNS:
        for match in re.finditer(pattern, text):
            day = day_of(match, today)
            if day is not None:
                rest = f"{text[: match.start()]} , {text[match.end() :]}"
                # "Friday the twenty-seventh" names one day twice.
                return day, re.sub(rf"\b(?:on )?(?:{WEEKDAY})s?\b", " , ", rest)
    return None


def day_and_month(day: int, month: str, today: dt.date) -> dt.date | None:
    """Get the next such day from today on."""
    number = next(n for n, name in enumerate(MONTHS, 1) if name.startswith(month[:3]))
    return next_of(today.year, number, day, today)


def next_of(year: int, month: int, day: int, today: dt.date) -> dt.date | None:
    """Get that day of this year, or of the next if it is over; ``None`` for a day that is none."""
    for candidate in (year, year + 1):
        try:
            found = dt.date(candidate, month, day)
        except ValueError:
            continue
        if found >= today:
            return found
    return None


def day_of_month(match: re.Match[str], today: dt.date) -> dt.date | None:
    """Get the next day with that number, in this month or one of the next."""
    day = int(match[1])
    for ahead in range(13):
        years, month = divmod(today.month - 1 + ahead, 12)
        try:
            found = dt.date(today.year + years, month + 1, day)
        except ValueError:
            continue
        if found >= today:
            return found
    return None


def coming_weekday(match: re.Match[str], today: dt.date) -> dt.date:
    """Get the weekday that is meant.

    ``Friday`` and ``this Friday`` are the coming one, ``next Friday`` is that of the next week
    (people differ on it, which is why an agent reads the date back).
    """
    which, weekday = match[1] or "", WEEKDAYS.index(match[2])
    if which.startswith("next"):
        monday = today - dt.timedelta(days=today.weekday())
        return monday + dt.timedelta(days=7 + weekday)
    ahead = (weekday - today.weekday()) % 7
    if ahead == 0 and not which.startswith("this"):
        # Who means today says so.
        ahead = 7
    return today + dt.timedelta(days=ahead)


def after(days: int) -> Callable[[re.Match[str], dt.date], dt.date | None]:
    """Get a reader for a fixed number of days from today."""
    return lambda match, today: today + dt.timedelta(days=days)


def amount_ahead(match: re.Match[str], today: dt.date) -> dt.date | None:
    """Read ``in three days``, ``in a week``."""
    amount = 1 if match[1] in ("a", "one") else int(match[1])
    return today + dt.timedelta(days=amount * (7 if match[2] == "week" else 1))


PATTERNS: list[tuple[str, Callable[[re.Match[str], dt.date], dt.date | None]]] = [
    (rf"\b(?:on |for )?(?:the )?{DAY} (?:of )?({MONTH})\b",
     lambda match, today: day_and_month(int(match[1]), match[2], today)),
    (rf"\b(?:on |for )?({MONTH}) (?:the )?{DAY}\b(?![:.]\d)",
     lambda match, today: day_and_month(int(match[2]), match[1], today)),
    (r"\b(\d{1,2})/(\d{1,2})(?:/\d{2,4})?\b",
     lambda match, today: next_of(today.year, int(match[1]), int(match[2]), today)
     if 1 <= int(match[1]) <= 12 else None),
    (r"\bchristmas eve\b", lambda match, today: next_of(today.year, 12, 24, today)),
    (r"\bnew year'?s eve\b", lambda match, today: next_of(today.year, 12, 31, today)),
    (r"\b(?:the )?day after tomorrow\b", after(2)),
    (r"\b(?:a week (?:from )?tomorrow|tomorrow week)\b", after(8)),
    (r"\b(?:a week (?:from )?today|today week)\b", after(7)),
    (r"\bin (\d{1,2}|a|one) (day|week)s?(?: time)?\b", amount_ahead),
    (r"\bto ?morrow\b|\btomorrow(?=night|evening)", after(1)),
    (r"\byesterday\b", after(-1)),
    (r"\bto ?day\b", after(0)),
    (r"\bto ?night\b|\bthis (?:evening|afternoon)\b", after(0)),
    (r"\b(?:on )?(?:the )?(\d{1,2})(?:st|nd|rd|th)\b", day_of_month),
    (rf"\b(?:on )?((?:this|next|this coming|the coming) )?({WEEKDAY})s?\b", coming_weekday),
]  # fmt: skip
