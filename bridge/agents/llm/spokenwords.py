"""How one written word is said: addresses, amounts, telephone numbers, units.

A language model writes for the eye.  ``$4.50``, ``+1-202-555-0100`` and ``www.example.com/menu``
are read out by synthesis in whatever way the voice was trained, mostly wrongly and sometimes not at
all.  Here each becomes words, or digits one by one.

Addresses are said in any language; numbers in English only, because saying them is grammar.

Pure.
"""

from __future__ import annotations

import re

__all__ = ["needs_next", "spoken"]

_DOT_SLASH_AT = {
    "de": ("Punkt", "Schrägstrich", "at"),
    "en": ("dot", "slash", "at"),
    "es": ("punto", "barra", "arroba"),
    "fr": ("point", "slash", "arobase"),
    "it": ("punto", "barra", "chiocciola"),
    "nl": ("punt", "slash", "apenstaartje"),
    "pt": ("ponto", "barra", "arroba"),
}

# A path longer than this is not dictated to anybody; the host is.
_LONGEST_PATH = 40

_HOST = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,24}"
# What ends a host name when nothing else says that a word is one: "e.g." and "file.py" are none.
_TLD = r"(?:com|org|net|edu|gov|info|biz|io|ai|app|dev|co|eu|uk|us|ca|au|de|fr|es|it|nl|ch|at|ie)"
_URL = re.compile(r"(?:https?://|www\.)(?P<host>[^\s/?#:@]+)(?::\d+)?(?P<path>/[^\s?#]*)?\S*", re.I)
_DOMAIN = re.compile(
    rf"(?P<host>(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+{_TLD})(?P<path>/[^\s?#]*)?(?:[?#]\S*)?", re.I
)
_EMAIL = re.compile(rf"(?:mailto:)?(?P<local>[a-z0-9._%+-]+)@(?P<host>{_HOST})", re.I)

_BEFORE = re.compile(r"[(\[\"'\u201c\u2018]*")
_AFTER = re.compile(r"[.,;:!?)\]\"'\u201d\u2019…]*$")

_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
_SCALES = {"k": "thousand", "m": "million", "b": "billion", "bn": "billion"}
_SCALE_WORDS = ("hundred", "thousand", "million", "billion", "trillion")
_NUMBER = r"\d{1,3}(?:,\d{3})+|\d+"
_MONEY = re.compile(
    rf"(?P<sign>[-\u2212]?)(?P<currency>[$€£¥₹])(?P<whole>{_NUMBER})(?:\.(?P<part>\d+))?(?P<scale>k|m|bn?)?",
    re.I,
)
_MONEY_BEHIND = re.compile(rf"(?P<whole>{_NUMBER})(?:[.,](?P<part>\d\d))?(?P<currency>[€£])")
_PLAIN = re.compile(rf"[-\u2212+]?(?:{_NUMBER})(?:\.\d+)?")

_UNITS = {
    "%": ("percent", "percent"),
    "°": ("degree", "degrees"),
    "°c": ("degree Celsius", "degrees Celsius"),
    "°f": ("degree Fahrenheit", "degrees Fahrenheit"),
    "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "ml": ("milliliter", "milliliters"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ft": ("foot", "feet"),
    "sqft": ("square foot", "square feet"),
    "mph": ("mile per hour", "miles per hour"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "kwh": ("kilowatt hour", "kilowatt hours"),
    "kb": ("kilobyte", "kilobytes"),
    "mb": ("megabyte", "megabytes"),
    "gb": ("gigabyte", "gigabytes"),
    "tb": ("terabyte", "terabytes"),
    "ms": ("millisecond", "milliseconds"),
    "hrs": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "mins": ("minute", "minutes"),
    "min": ("minute", "minutes"),
}
_WITH_UNIT = re.compile(
    rf"(?P<number>[-\u2212]?(?:{_NUMBER})(?:\.\d+)?)(?P<unit>%|°[CF]?|[a-z/]+)", re.I
)

_RANGE = re.compile(r"(?P<first>[$€£]?\d[\d:.,]*)[-\u2013\u2014](?P<last>[$€£]?\d[\d:.,]*\S*)")
_ISO_DATE = re.compile(r"(?P<year>[12]\d{3})-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01])")
_MONTHS = (
    "January February March April May June July August September October November December"
).split()
_TIME = re.compile(r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?(?P<half>[ap])\.?m\.?", re.I)
_FRACTIONS = {
    "1/2": "one half", "1/3": "one third", "2/3": "two thirds", "1/4": "one quarter",
    "3/4": "three quarters", "½": "one half", "¼": "one quarter", "¾": "three quarters",
    "24/7": "24 7",
}  # fmt: skip
_SYMBOLS = {
    "&": "and", "+": "plus", "=": "equals", "→": "to", "->": "to", "=>": "to", "@": "at",
    "*": "times", "\u00d7": "times", "<": "less than", ">": "more than", "≈": "about", "w/": "with",
    "w/o": "without", "•": "", "|": "", "§": "section",
}  # fmt: skip

# Digits of a telephone number, or of anything else that nobody says as one number.
_LEAST_DIGITS, _MOST_DIGITS = 7, 19
_DIGITS = re.compile(r"\+?\(?\d+\)?(?:[-\u2013./]?\(?\d+\)?)*")
_AREA_CODE = re.compile(r"(?:\+?\d{1,3}|\+?\d{0,3}[-.]?\(\d{2,5}\))")
_SUBSCRIBER = re.compile(r"\d{3,4}[-\u2013.]?\d{3,4}|\d{3,4}")


def needs_next(word: str) -> bool:
    """Tell whether how a word is said may depend on the next one: ``$5`` on ``million``."""
    return any(character.isdigit() for character in word) and not _AFTER_STOP.search(word)


# A word that ends a clause has nothing to do with what follows.
_AFTER_STOP = re.compile(r"[.,;:!?…]$")


def spoken(word: str, following: str = "", language: str = "en") -> tuple[str, bool]:
    """Say one word.

    Args:
        word: without blanks, with the punctuation around it.
        following: the word behind it, if :func:`needs_next`.
        language: of the text, as a tag.

    Returns:
        The words to say, and whether ``following`` was said along with them.
    """
    before, core, after = _peel(word)
    language = language[:2].lower()
    address = _address(core, language)
    if address is not None:
        return before + address + after, False
    if language != "en":
        return word, False
    if before.endswith("(") and after == ")":
        # An area code: "(202) 555-0100".
        _, next_core, next_after = _peel(following)
        both = _pair(f"({core})", next_core)
        if both:
            return before[:-1] + both + next_after, True
    if not after and following:
        next_before, next_core, next_after = _peel(following)
        both = "" if next_before.strip("(") else _pair(core, next_before + next_core)
        if both:
            if both.endswith("M") and next_core.lower() in ("a.m", "p.m"):
                # The full stop of "p.m." is part of it more often than the end of a sentence.
                next_after = next_after[1:]
            return before + both + next_after, True
    # A sign that closes belongs to the number in "(415)555-0100".
    if before.endswith("(") and ")" in core:
        before, core = before[:-1], "(" + core
    return before + _single(core) + after, False


def _peel(word: str) -> tuple[str, str, str]:
    """Part a word from the punctuation around it."""
    found = _BEFORE.match(word)
    start = found.end() if found else 0
    end = _AFTER.search(word, start)
    stop = end.start() if end else len(word)
    return word[:start], word[start:stop], word[stop:]


def _address(core: str, language: str) -> str | None:
    """Say a web or mail address; ``None`` if it is none."""
    dot, slash, at = _DOT_SLASH_AT.get(language, _DOT_SLASH_AT["en"])
    mail = _EMAIL.fullmatch(core)
    if mail:
        local = re.sub(r"[._%+-]", lambda m: f" {_LOCAL.get(m[0], dot)} ", mail["local"])
        return f"{local} {at} {mail['host'].replace('.', f' {dot} ')}"
    url = _URL.fullmatch(core) or _DOMAIN.fullmatch(core)
    if url is None:
        return None
    host = re.sub(r"^www\.", "", url["host"], flags=re.I)
    parts = [part for part in (url["path"] or "").split("/") if part]
    said = host.replace(".", f" {dot} ")
    if len("/".join(parts)) <= _LONGEST_PATH:
        for part in parts:
            said += f" {slash} {re.sub(r'[._-]+', ' ', part)}"
    return said


_LOCAL = {"_": "underscore", "-": "dash", "+": "plus", "%": "percent"}


def _single(core: str) -> str:
    """Say a word by itself."""
    if core in _SYMBOLS:
        return _SYMBOLS[core]
    if core in _FRACTIONS:
        return _FRACTIONS[core]
    if not any(character.isdigit() for character in core):
        return core
    if core.startswith("#") and core[1:].isdigit():
        return f"number {core[1:]}"
    for pattern, say in _FORMS:
        found = pattern.fullmatch(core)
        if found:
            said = say(found)
            if said is not None:
                return said
    return core


def _pair(core: str, following: str) -> str | None:
    """Say two words that belong together; ``None`` if they don't."""
    money = _MONEY.fullmatch(core)
    if money and not money["scale"] and following.lower() in _SCALE_WORDS:
        amount = core[len(money["sign"]) + 1 :]
        return f"{_minus(money['sign'])}{amount} {following} {_CURRENCIES[money['currency']][1]}"
    if _PLAIN.fullmatch(core) and following.lower() in _UNITS:
        return _with_unit(core, following)
    half = re.fullmatch(r"([ap])\.?m", following, re.I)
    if half and re.fullmatch(r"\d{1,2}(:\d\d)?", core):
        return f"{core} {half[1].upper()}M"
    if _AREA_CODE.fullmatch(core) and _SUBSCRIBER.fullmatch(following):
        count = sum(character.isdigit() for character in core + following)
        if count >= _LEAST_DIGITS and ("(" in core or core.startswith("+") or len(core) == 3):
            return _one_by_one(f"{core}-{following}")
    return None


def _minus(sign: str) -> str:
    return "minus " if sign in ("-", "\u2212") and sign else ""


def _money(found: re.Match[str]) -> str | None:
    one, many, cent, cents = _CURRENCIES[found["currency"]]
    groups = found.groupdict()
    minus = _minus(groups.get("sign") or "")
    whole, part, scale = found["whole"], found["part"] or "", groups.get("scale") or ""
    if scale:
        return f"{minus}{whole}{'.' + part if part else ''} {_SCALES[scale.lower()]} {many}"
    if part and len(part) != 2:
        return f"{minus}{whole}.{part} {many}"
    small = int(part or 0)
    units = f"{whole} {one if whole == '1' else many}"
    if not small:
        return minus + units
    change = f"{small} {cent if small == 1 else cents}"
    return f"{minus}{change}" if whole == "0" else f"{minus}{units} and {change}"


def _with_unit(number: str, unit: str) -> str:
    one, many = _UNITS[unit.lower()]
    sign = _minus(number[:1]) if number[:1] in "-\u2212" else ""
    value = number.lstrip("-\u2212")
    return f"{sign}{value} {one if value == '1' else many}"


def _unit(found: re.Match[str]) -> str | None:
    return _with_unit(found["number"], found["unit"]) if found["unit"].lower() in _UNITS else None


def _date(found: re.Match[str]) -> str:
    return f"{_MONTHS[int(found['month']) - 1]} {int(found['day'])}, {found['year']}"


def _time(found: re.Match[str]) -> str:
    minutes = f":{found['minute']}" if found["minute"] else ""
    return f"{found['hour']}{minutes} {found['half'].upper()}M"


def _digits(found: re.Match[str]) -> str | None:
    text = found[0]
    count = sum(character.isdigit() for character in text)
    if not _LEAST_DIGITS <= count <= _MOST_DIGITS:
        return None
    # "1.2345678" and "192.168.0.1" are no telephone numbers.
    if text.count(".") == 1 or (text.count(".") == 3 and not text.startswith("+")):
        return None
    return _one_by_one(text)


def _one_by_one(text: str) -> str:
    """Say digits one after another, with a pause where they are grouped."""
    groups = re.findall(r"\d+", text)
    if len(groups) == 1 and len(groups[0]) > 4:
        digits = groups[0]
        # From the end: the last four belong together, as on a business card.
        head = len(digits) % 3 or 3
        groups = [digits[:head], *(digits[at : at + 3] for at in range(head, len(digits), 3))]
    said = ", ".join(" ".join(group) for group in groups)
    return f"plus {said}" if text.startswith("+") else said


def _range(found: re.Match[str]) -> str | None:
    first, last = found["first"], found["last"]
    if sum(character.isdigit() for character in first + last) >= _LEAST_DIGITS and ":" not in first:
        return None
    if first[0] in _CURRENCIES and last[0] not in _CURRENCIES:
        last = first[0] + last
    return f"{_single(first)} to {_single(last)}"


_FORMS = (
    (_ISO_DATE, _date),
    (_MONEY, _money),
    (_MONEY_BEHIND, _money),
    (_TIME, _time),
    (_WITH_UNIT, _unit),
    (_RANGE, _range),
    (_DIGITS, _digits),
)
