"""Numbers, from words to digits.

Everything after this works on one spelling: ``a table for four on the twenty-third at half past
seven p.m.`` becomes ``a table for 4 on the 23rd at half past 7 pm``.

Pure.
"""

from __future__ import annotations

import re

UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
    "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
).split()

CARDINAL = {word: number for number, word in enumerate(UNITS)}
CARDINAL |= {word: 20 + 10 * index for index, word in enumerate(TENS)}
CARDINAL["fourty"] = 40
ORDINAL = {word: number for number, word in enumerate(ORDINALS)}
ORDINAL["thirtieth"] = 30

# What a recogniser hears for a number, where nothing but a number can stand.
HOMOPHONES = {"for": "4", "fore": "4", "to": "2", "too": "2", "won": "1", "ate": "8", "tree": "3"}


def normalized(text: str) -> str:
    """Write a sentence in lower case, with its numbers in digits and its punctuation thinned out.

    Commas and full stops stay as separate signs, because they part what belongs apart; those inside
    a number (``7.30``) stay where they are.
    """
    text = text.lower().replace("\u2019", "'").replace("-", " ")
    text = re.sub(r"\b([ap])\.? ?m\b\.?", r"\1m", text)
    text = re.sub(r"(\d)([ap]m)\b", r"\1 \2", text)
    text = re.sub(r"o' ?clock\b", "oclock", text)
    text = re.sub(r"[^\w\s:.,'/]", " , ", text)
    text = re.sub(r"(?<!\d)[.,:]|[.,:](?!\d)", " , ", text)
    words = in_digits(text.split())
    return correct_homophones(" ".join(words))


def in_digits(words: list[str]) -> list[str]:
    """Replace number words: ``["twenty", "third"]`` becomes ``["23rd"]``."""
    found: list[str] = []
    position = 0
    while position < len(words):
        number, taken, is_ordinal = read_number(words, position)
        if number is None:
            found.append(words[position])
        else:
            found.append(ordinal(number) if is_ordinal else str(number))
        position += taken
        # "seven oh five": the zero of a time, which is no number of its own.
        rest = words[position : position + 2]
        if number is not None and len(rest) == 2 and rest[0] in ("oh", "o"):
            minutes = CARDINAL.get(rest[1], 99)
            if minutes < 10:
                found.append(f"0{minutes}")
                position += 2
    return found


def read_number(words: list[str], position: int) -> tuple[int | None, int, bool]:
    """Read the number word or words at ``position``.

    Returns:
        The number or ``None``, how many words it took, and whether it is an ordinal.
    """
    word = words[position]
    after = words[position + 1] if position + 1 < len(words) else ""
    if word in ORDINAL:
        # "one second", "just a second": no day of the month.
        before = words[position - 1] if position else ""
        if word == "second" and before in ("a", "one", "1"):
            return None, 1, False
        return ORDINAL[word], 1, True
    if word not in CARDINAL:
        return None, 1, False
    number = CARDINAL[word]
    if number in range(20, 100):
        if 0 < ORDINAL.get(after, 0) < 10:
            return number + ORDINAL[after], 2, True
        if 0 < CARDINAL.get(after, 0) < 10:
            return number + CARDINAL[after], 2, False
    if after == "hundred" and number < 10:
        return number * 100, 2, False
    return number, 1, False


def ordinal(number: int) -> str:
    """Write ``3`` as ``3rd``."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def correct_homophones(text: str) -> str:
    """Read a misheard number where only a number makes sense: ``a table for for``."""
    words = "|".join(HOMOPHONES)

    def replace(match: re.Match[str]) -> str:
        return match[1] + HOMOPHONES[match[2]]

    text = re.sub(
        rf"\b((?:table for|party of|group of|at|past|make it) )({words})"
        r"(?=$| ,| (?:at|on|for|people|persons|guests|today|tonight|tomorrow|please|oclock|pm|am)"
        r"\b)",
        replace,
        text,
    )
    return re.sub(rf"\b()({words})(?= (?:people|persons|guests|oclock|pm)\b)", replace, text)


def spelled(number: int) -> str:
    """Write a number up to 99 in words, for a voice to say."""
    if number < 20:
        return UNITS[number]
    tens, unit = divmod(number, 10)
    return TENS[tens - 2] + (f"-{UNITS[unit]}" if unit else "")


def spelled_ordinal(number: int) -> str:
    """Write an ordinal up to 31st in words, for a voice to say."""
    if number <= 20:
        return ORDINALS[number]
    if number == 30:
        return "thirtieth"
    return f"{TENS[number // 10 - 2]}-{ORDINALS[number % 10]}"
