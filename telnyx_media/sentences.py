"""Cut text into pieces worth speaking, while it is still being written.

A reply comes token by token from a language model, and the caller waits.  Each sentence should go
to synthesis as soon as it is known to be complete, and of the very first one already a clause; but
a piece that ends within a number, an abbreviation or an address is spoken with the wrong melody or
the wrong words, and nothing can take it back.

Where sentences end is known by sentencex (Wikimedia), which has the abbreviations of many languages
but wants the whole text.  This module decides when a boundary it finds can no longer move, whatever
comes next; and it never lets go of what might still become something else.

Pure.  One splitter for one reply; calls must not overlap.

Rules of this module:

1. The pieces, joined, are the text, to the last blank.
2. A full stop ends a sentence when a blank and one whole word have come after it; any other end
   mark when anything but a blank has.
3. A piece has at least one letter, but for the last.
"""

from __future__ import annotations

import re

import sentencex  # type: ignore[import-untyped]

__all__ = ["SentenceSplitter", "speakable"]

# A first clause shorter than this is not worth a breath: some four words.
FIRST_CLAUSE = 24

# What synthesis has to take at once at most; a longer sentence is cut at a comma, or at a blank.
LONGEST = 400

# How much is looked at to find one sentence; far more than a sentence, so that work grows with
# the text and not with its square.
_WINDOW = 4 * LONGEST

# Characters of scripts that write a word in one or two of them.
_DENSE = re.compile(r"[\u0e00-\u0eff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_DENSE_WEIGHT = 3

# Behind a comma of the Latin kind there must be a blank: "1,000", "10:30", "https://".
_CLAUSE = re.compile(r"(?:[,;:،؛](?=\s)|\s[–—-](?=\s)|[—、，；：])[\"'”’)\]»」』]*\s*(?=\S)")  # noqa: RUF001

_CLOSERS = "\"'”’)]}»›」』）】*_"  # noqa: RUF001
_ASCII_ENDS = ".!?…"

# Full stops of which sentencex does not know in every case that they end nothing: behind single
# letters, titles and what introduces an example; and, before a number, behind what counts or names.
_NO_END = re.compile(
    r"(?:^|[\s(\"'])(?:[^\W\d_I]|dr|mr|mrs|ms|prof|mme|mlle|fr|sra|sig|e\.\s?g|i\.\s?e|z\.\s?b)\.$",
    re.IGNORECASE,
)
_NO_END_BEFORE_NUMBER = re.compile(
    r"(?:^|[\s(\"'])(?:apt|approx|art|ca|ext|fig|no|nr|pos|ste|tel)\.$", re.IGNORECASE
)

# Items of a list stand on lines of their own, with or without a full stop.
_ITEM = re.compile(r"\n\s*(?=(?:[-*•–]|\d{1,3}[.)])\s)")  # noqa: RUF001

_LETTER = re.compile(r"[^\W\d_]")
_WHOLE_WORD = re.compile(r"\s*\S+\s")


def speakable(text: str) -> bool:
    """Tell whether ``text`` holds anything that synthesis would say: a letter or a digit."""
    return any(character.isalnum() for character in text)


class SentenceSplitter:
    """Cut one reply into sentences, the first one already at a clause."""

    def __init__(self, language: str = "en", *, first_clause: int = FIRST_CLAUSE) -> None:
        """Begin a reply.

        Args:
            language: of the text, as a tag like ``"en-US"``; one that nothing is known of is
                treated like its nearest relative.
            first_clause: the least length of a clause that may leave before its sentence is
                complete; 0 for whole sentences only.
        """
        subtag = re.split(r"[-_]", language.strip().lower(), maxsplit=1)[0]
        self.language = subtag if 2 <= len(subtag) <= 3 else "en"
        self._first_clause = first_clause
        self._first = True
        self._text = ""

    def feed(self, text: str) -> list[str]:
        """Take text in, cut anywhere, and return the pieces that are complete."""
        self._text += text
        return self._pieces(final=False)

    def flush(self) -> list[str]:
        """Return what is left, as pieces; what is fed afterwards is a new reply."""
        pieces = self._pieces(final=True)
        if self._text:
            pieces.append(self._text)
        self._text = ""
        self._first = True
        return pieces

    def _pieces(self, *, final: bool) -> list[str]:
        pieces = []
        while end := self._end(final=final):
            pieces.append(self._text[:end])
            self._text = self._text[end:]
            self._first = False
        return pieces

    def _end(self, *, final: bool) -> int:
        """Find where the first piece of the text ends; 0 if that is not known yet."""
        end = self._sentence_end(final=final)
        if end and end <= LONGEST:
            return end
        if not end and self._first and self._first_clause and not final:
            end = _clause_end(self._text, self._first_clause)
        if not end and len(self._text) > LONGEST:
            end = len(self._text)
        return _cut_long(self._text[:end]) if end > LONGEST else end

    def _sentence_end(self, *, final: bool) -> int:
        text = self._text[:_WINDOW]
        final = final and len(self._text) <= _WINDOW
        end = 0
        item = _ITEM.search(text)
        for piece in sentencex.segment(self.language, text):
            if item is not None and end < item.end() <= end + len(piece) and item.start():
                before = text[: item.end()]
                if _LETTER.search(before):
                    return len(before)
            end += len(piece)
            if _is_end(text[:end], text[end:], final=final):
                # Blanks stay with the piece before them.
                return end + len(text[end:]) - len(text[end:].lstrip())
        return 0


def _is_end(head: str, rest: str, *, final: bool) -> bool:
    """Tell whether a sentence ends between the two, whatever may come after ``rest``."""
    body = head.rstrip()
    if not rest.strip() or not _LETTER.search(body):
        return False
    mark = body.rstrip(_CLOSERS)[-1:]
    if mark in _ASCII_ENDS and not (head[-1:].isspace() or rest[:1].isspace()):
        return False
    if mark != ".":
        return True
    if _NO_END.search(body):
        return False
    if rest.lstrip()[0].isdigit() and _NO_END_BEFORE_NUMBER.search(body):
        return False
    return final or _WHOLE_WORD.match(rest) is not None


def _weight(text: str) -> int:
    """Get how long ``text`` is to the ear, in Latin letters."""
    return len(text) + (_DENSE_WEIGHT - 1) * len(_DENSE.findall(text))


def _clause_end(text: str, least: int) -> int:
    """Find the end of the first clause that is long enough; 0 if there is none yet."""
    for match in _CLAUSE.finditer(text):
        head = text[: match.end()]
        if _weight(head.strip()) >= least and _LETTER.search(head):
            return match.end()
    return 0


def _cut_long(text: str) -> int:
    """Find the last good place to cut a text that is too long to be spoken at once."""
    window = text[:LONGEST]
    clauses = [match.end() for match in _CLAUSE.finditer(window)]
    if clauses and clauses[-1] > LONGEST // 4:
        return clauses[-1]
    blanks = [match.end() for match in re.finditer(r"\s+", window)]
    usable = [end for end in blanks if window[:end].strip() and end < LONGEST]
    return usable[-1] if usable else LONGEST
