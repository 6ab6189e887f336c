"""How many are coming, and under what name.

Pure.
"""

from __future__ import annotations

import re

from bridge.agents.heard.dates import MONTHS, WEEKDAYS
from bridge.agents.heard.numbers import CARDINAL, ORDINAL

Found = tuple[int, str]

ABOUT = r"(?:about |around |maybe |just |only |up to |a party of |the |all )*"
KIN = (
    "wife|husband|partner|girlfriend|boyfriend|friend|mother|father|mom|mum|dad|sister|brother|son|"
    "daughter|boss|colleague"
)
COUNTED = r"people|persons?|guests?|adults?|pax|diners?|folks|friends|kids?|children|covers?"

PATTERNS = [
    r"\b(?:table|party|group|reservation|booking|room|dinner|lunch|seats?|places?) (?:for|of) "
    rf"{ABOUT}(\d+)\b",
    r"\b(\d+) of us\b",
    r"\b(?:we're|we are|we'll be|we will be|there'll be|there will be|there are|it's|it will be) "
    rf"{ABOUT}(\d+)\b",
    rf"\bfor {ABOUT}(\d+)\b(?! (?:oclock|am|pm|days?|weeks?)\b)",
    rf"\bjust {ABOUT}(\d+)\b",
    r"\b(\d+) (?:seats?|places?)\b",
]
SAID_OTHERWISE = [
    (r"\b(?:just|only) me\b|\bby myself\b|\bon my own\b|\bjust myself\b", 1),
    (rf"\bme and my (?:{KIN})\b|\bmy (?:{KIN}) and (?:i|me|myself)\b", 2),
    (r"\b(?:a couple|both) of us\b|\bthe two of us\b|\bfor a couple\b", 2),
    (r"\ba dozen\b", 12),
]


def find_party(text: str) -> Found | None:
    """Find the number of guests in a normalized sentence from which day and time were taken out.

    Returns:
        The number, and the sentence with the words for it taken out; ``None`` if there is none.
    """
    match = re.search(rf"\b(?:me|myself|i) (?:and|plus) (\d+) (?:others?|{COUNTED})\b", text)
    if match:
        return 1 + int(match[1]), without(text, match)
    # "two adults and three children" are five.
    counted = list(re.finditer(rf"\b(\d+) (?:{COUNTED})\b", text))
    if counted:
        rest = re.sub(rf"\b\d+ (?:{COUNTED})\b", " , ", text)
        return sum(int(match[1]) for match in counted), rest
    for pattern in PATTERNS:
        match = re.search(pattern, text)
        if match:
            return int(match[1]), without(text, match)
    for pattern, number in SAID_OTHERWISE:
        match = re.search(pattern, text)
        if match:
            return number, without(text, match)
    return None


def without(text: str, match: re.Match[str]) -> str:
    """Take a match out of a sentence."""
    return f"{text[: match.start()]} , {text[match.end() :]}"


# --- names ----------------------------------------------------------------------------------------

# Words that end a name, and that are none when one was asked for.
NOT_A_NAME = frozenset(
    """
    a about actually afternoon again ah alright also am an and any anything are around as ask
    asked at be because been before book booked booking bring but by bye call called calling can
    cancel change come coming correct could day dear dinner do does doing done don't er evening
    exactly excellent fine for from get go going good goodbye got great have hear hello help hi
    hold hours how i i'd i'll i'm i've if in is isn't it it's just keep know last later leave
    let like looking lovely lunch made make may maybe me mean meant minute moment morning much
    my name need never next night no noon nope not nothing now of oh ok okay on once one open or
    our pardon party people perfect person please problem put really repeat reservation reserve
    right same say seat seats see several should so some someone sorry sound sounds speak stop
    sure table take talk tell than thank thanks that that's the then there these they think this
    time to today together tomorrow tonight too trying um uh under understand us very wait want
    was we we'd we'll we're well were what what's when where which who why will with won't would
    wrong yeah yep yes yet you you're your
    """.split()
)
# Months are none either, but for those that many people are called.
NOT_A_NAME |= {*WEEKDAYS, *MONTHS, *CARDINAL, *ORDINAL, *(f"{day}s" for day in WEEKDAYS)}
NOT_A_NAME -= {"april", "june"}

WORD = r"[^\W\d_](?:[\w'\u2019.-]*\w)?"
NAMED = re.compile(
    rf"\b(?:(?:my |the |our )?(?:sur|last |first |family |full )?name(?:'s| is| will be| would be)?"
    rf"(?: on it)?,?:?|under(?: the)?(?: name)?(?: of)?|call me)\s+({WORD}(?:\s+{WORD}){{0,3}})",
    re.IGNORECASE,
)
# These introduce many other things too, so what follows must be written like a name.
INTRODUCED = re.compile(
    r"\b(?i:i'm|i am|this is|it's|it is|for|here is|mr\.?|mrs\.?|ms\.?)\s+"
    rf"([A-Z]{WORD}(?:\s+[A-Z]{WORD}){{0,2}})"
)
SPELLED = re.compile(r"(?<![\w'])(?:[A-Za-z](?:[\s.,-]+)){2,}[A-Za-z](?![\w'])")
FILLERS = re.compile(
    r"^(?:\s*(?:um+|uh+|er+|well|yes|yeah|sure|okay|ok|of course|oh|hi|hello|please|it's|it is|it|"
    r"that's|that is|that would be|that'll be|the name is|the name's|my name is|my name's|i'm|i am|"
    r"this is|under|put|on|for|mr|mrs|ms|miss|just)\b[\s,.]*)+",
    re.IGNORECASE,
)


def find_name(text: str, *, asked: bool) -> str | None:
    """Find a name in a sentence as the recogniser wrote it.

    Args:
        text: the sentence; its capitals are a hint.
        asked: whether a name was asked for, so that the sentence may be nothing but the name.
    """
    text = text.replace("\u2019", "'")
    match = SPELLED.search(text)
    if match:
        letters = re.findall(r"[A-Za-z]", match[0])
        # "I, I, I" is somebody searching for words.
        if len({letter.lower() for letter in letters}) > 1:
            return "".join(letters).title()
    for pattern in (NAMED, INTRODUCED):
        for match in pattern.finditer(text):
            name = leading_name(match[1])
            if name:
                return name
    if not asked:
        return None
    bare = FILLERS.sub("", text)
    name = leading_name(bare)
    # More than a name and a word or two is a sentence about something else.
    return name if name and len(bare.split()) <= len(name.split()) + 3 else None


def leading_name(text: str) -> str | None:
    """Take the words at the beginning that can be a name; ``None`` if the first one can't."""
    words: list[str] = []
    for word in text.split():
        bare = word.strip('.,!?;:"')
        if not bare or bare.lower() in NOT_A_NAME or not bare[0].isalpha():
            break
        words.append(bare if bare != bare.lower() else bare.title())
        # A full stop or comma behind a word of more than an initial ends the name.
        if word[-1] in ",!?;:" or (word[-1] == "." and len(bare) > 2) or len(words) == 3:
            break
    if not words or (len(words) == 1 and len(words[0]) < 2):
        return None
    return " ".join(words)
