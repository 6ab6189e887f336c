"""Count how many words of a transcript are wrong.

A recogniser writes "7:30", "Mr." and "ill-disposed" where a person wrote down "seven thirty",
"mister" and "ill disposed".  None of that is an error, so both sides are brought to plain spoken
words first.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
_SPELLINGS = {
    "mr": "mister", "mrs": "missus", "dr": "doctor", "ok": "okay", "goodbye": "good bye",
    "alright": "all right", "cannot": "can not", "oclock": "o clock", "am": "a m", "pm": "p m",
    "thankyou": "thank you", "percent": "per cent",
}  # fmt: skip
_SYMBOLS = {"&": " and ", "%": " percent ", "$": " dollars ", "+": " plus ", "@": " at "}

_MONEY = re.compile(r"\$\s?(\d[\d,]*)(?:\.(\d\d))?")
_CLOCK = re.compile(r"\b(\d{1,2}):(\d\d)\b")
_DECIMAL = re.compile(r"\b(\d+)\.(\d+)\b")
_ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b")
_NUMBER = re.compile(r"\d[\d,]*")
_WORD = re.compile(r"[^\W_]+", re.UNICODE)


@dataclass(frozen=True)
class WordErrors:
    """How a transcript differs from what was said.

    Attributes:
        errors: words replaced, left out and put in.
        words: words that were said.
    """

    errors: int
    words: int

    @property
    def rate(self) -> float:
        """Errors per word said; more than 1 is possible."""
        return self.errors / self.words if self.words else float(self.errors)

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(self.errors + other.errors, self.words + other.words)


def spoken_words(text: str) -> list[str]:
    """Bring ``text`` to plain spoken words: lower case, numbers in words, no punctuation."""
    text = text.lower().replace("\u2019", "'")
    text = _MONEY.sub(lambda m: f"{m[1]} dollars {m[2] or ''} ", text)
    text = _CLOCK.sub(lambda m: f"{m[1]} {_minutes(m[2])}", text)
    text = _ORDINAL.sub(lambda m: _ordinal(int(m[1])), text)
    text = _DECIMAL.sub(lambda m: f"{m[1]} point {' '.join(_ONES[int(d)] for d in m[2])}", text)
    text = _NUMBER.sub(lambda m: f" {_number(m[0])} ", text)
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, word)
    words = _WORD.findall(text.replace("'", ""))
    return " ".join(_SPELLINGS.get(word, word) for word in words).split()


def word_errors(said: str, transcript: str) -> WordErrors:
    """Count the fewest words to change, add or drop that turn ``transcript`` into ``said``."""
    wanted, got = spoken_words(said), spoken_words(transcript)
    row = list(range(len(got) + 1))
    for i, word in enumerate(wanted, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(got, 1):
            best = min(diagonal + (word != other), row[j] + 1, row[j - 1] + 1)
            diagonal, row[j] = row[j], best
    return WordErrors(row[-1], len(wanted))


def total(parts: Iterable[WordErrors]) -> WordErrors:
    """Add up the errors of several transcripts."""
    return sum(parts, WordErrors(0, 0))


def _minutes(digits: str) -> str:
    value = int(digits)
    if value == 0:
        return ""
    return f"oh {_ONES[value]}" if value < 10 else _cardinal(value)


def _number(digits: str) -> str:
    plain = digits.replace(",", "")
    # Digits in a row longer than any amount people say are a phone number.
    if len(plain) > 6 or (len(plain) > 1 and plain[0] == "0"):
        return " ".join(_ONES[int(digit)] for digit in plain)
    return _cardinal(int(plain))


def _cardinal(value: int) -> str:
    if value < 20:
        return _ONES[value]
    if value < 100:
        return _TENS[value // 10] + (f" {_ONES[value % 10]}" if value % 10 else "")
    size, name = (100, "hundred") if value < 1000 else (1000, "thousand")
    head, rest = divmod(value, size)
    return f"{_cardinal(head)} {name}" + (f" {_cardinal(rest)}" if rest else "")


def _ordinal(value: int) -> str:
    *head, last = _cardinal(value).split()
    if last in _ORDINALS:
        last = _ORDINALS[last]
    elif last.endswith("y"):
        last = last[:-1] + "ieth"
    else:
        last += "th"
    return " ".join([*head, last])
