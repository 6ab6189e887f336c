"""Times of day, as people say them to a restaurant.

Pure.
"""

from __future__ import annotations

import datetime as dt
import re

HOUR = r"(\d{1,2})"
HALF = r" ?(am|pm)?\b"
# What follows a number that counts people and is no hour.
PEOPLE = (
    r"people|persons?|guests?|of us|adults?|pax|diners?|seats?|places?|folks|friends|kids?|"
    r"children|covers?|day|week"
)

Found = tuple[dt.time, str]


def find_time(text: str) -> Found | None:
    """Find a time of day in a normalized sentence from which the day was taken out.

    Hours from one to eleven with no half of the day are taken for the afternoon and evening, when
    people go out to eat.

    Returns:
        The time, and the sentence with the words for it taken out; ``None`` if there is none.
    """
    for pattern in PATTERNS:
        for match in re.finditer(pattern, text):
            parts = match.groupdict()
            found = clock(parts, text)
            if found is not None:
                return found, f"{text[: match.start()]} , {text[match.end() :]}"
    return None


def clock(parts: dict[str, str | None], text: str) -> dt.time | None:
    """Make a time of the named groups of a pattern; ``None`` when there is no such time."""
    if parts.get("name"):
        return dt.time(0 if parts["name"] == "midnight" else 12)
    together = parts.get("together")
    if together:
        hour, minute = int(together[:-2]), int(together[-2:])
    else:
        hour, minute = int(parts["hour"] or 0), int(parts.get("minute") or 0)
    if parts.get("half_past"):
        minute = 30
    if parts.get("offset"):
        offset = 15 if parts["offset"] == "quarter" else int(parts["offset"] or 0)
        if offset % 5:
            return None
        if parts["side"] in ("past", "after"):
            minute = offset
        else:
            hour, minute = hour - 1, 60 - offset
    if not (0 <= hour <= 24 and 0 <= minute <= 59):
        return None
    return dt.time(on_24_hours(hour % 24, parts.get("half"), text), minute)


def on_24_hours(hour: int, half: str | None, text: str) -> int:
    """Decide between morning and evening."""
    if half is None and re.search(r"\b(?:in the morning|for breakfast)\b", text):
        half = "am"
    if half == "am":
        return 0 if hour == 12 else hour
    return hour + 12 if 1 <= hour <= 11 else hour


def bare_time(text: str) -> dt.time | None:
    """Read a number that stands for a time because a time was asked for."""
    match = re.search(r"\b(\d{3,4})\b", text)
    if match:
        return clock({"together": match[1]}, text)
    match = re.search(rf"\b{HOUR}\b(?! (?:{PEOPLE}))", text)
    return clock({"hour": match[1]}, text) if match else None


_AT = r"(?:at|around|about|by|say|before|after|until|from|time to|time is|be)"
PATTERNS = [
    r"\b(?P<hour>\d{1,2})[:.](?P<minute>\d{2}) ?(?P<half>am|pm)?\b",
    r"\b(?P<half_past>half)(?: past| after)? (?P<hour>\d{1,2}) ?(?P<half>am|pm)?\b",
    r"\b(?:a )?(?P<offset>quarter|[1-5]?[05])(?: minutes?)? "
    r"(?P<side>past|after|to|too|2|before|til|till) (?P<hour>\d{1,2}) ?(?P<half>am|pm)?\b",
    r"\b(?P<hour>\d{1,2}) oclock(?: (?P<half>am|pm))?\b",
    r"\b(?P<hour>\d{1,2}) (?P<minute>[0-5]\d) ?(?P<half>am|pm)?\b(?!th|st|nd|rd)",
    r"\b(?P<hour>\d{1,2}) (?P<half>am|pm)\b",
    r"\b(?P<together>\d{3,4}) (?P<half>am|pm)\b",
    rf"\b{_AT} (?:about |around |maybe )?(?P<together>[1-9]\d{{2}}|[12]\d{{3}})\b",
    rf"\b{_AT} (?:about |around |maybe )?(?P<hour>\d{{1,2}})\b(?! (?:{PEOPLE}))",
    r"\b(?P<hour>\d{1,2}) in the (?:morning|afternoon|evening)\b",
    r"\b(?P<hour>\d{1,2}) at night\b",
    r"\b(?:at )?(?P<name>noon|midday|midnight)\b",
]
