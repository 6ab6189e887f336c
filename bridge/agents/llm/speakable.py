"""Make what a language model writes fit to be spoken, while it is still being written.

Models write Markdown, emoji, links and figures however often they are told not to, and synthesis
reads them out: "asterisk asterisk".  :class:`SpeakableText` takes the text token by token and gives
it back word by word without them; a word leaves when the one behind it has begun, and not before
what it means is certain.

Pure.  One for one reply.

Rules of this module:

1. However the text is cut into tokens, what comes out, joined, is the same.
2. Nothing waits for more than one word, but for a link, a tag, a table row and code, which wait for
   their end.
"""

from __future__ import annotations

import re

from bridge.agents.llm.spokenwords import needs_next, spoken

__all__ = ["SpeakableText", "speakable"]

# A bracket that is not closed within so many characters was no link.
_LONGEST_LINK = 400
_LONGEST_TAG = 120

# What may stand in front of a line and be no part of its words.
_LINE_HEAD = re.compile(r"[ \t]*(?:>[ \t]?)*[ \t]*(?:(?P<item>#{1,6}|[-*+•])[ \t]+)?")
_MAYBE_HEAD = re.compile(r"[ \t>#*+•\-_=~`|]*")
_RULE = re.compile(r"[ \t]*(?:[-*_=][ \t]*){3,}")
_FENCE = re.compile(r"[ \t]*(?:```|~~~)")
_ROW_RULE = re.compile(r"[\s|:\-]*")

_LINK = re.compile(r"!?\[(?P<text>[^\[\]\n]*)\](?:\((?P<url>[^()\n]*(?:\([^()\n]*\)[^()\n]*)*)\))?")
_TAG = re.compile(r"<(?P<url>https?://[^<>\s]+|[^<>\s@]+@[^<>\s]+)>|</?[a-zA-Z][^<>\n]*>")
_ADDRESS = re.compile(r"[(\[\"'\u201c]*(?:https?://|www\.|mailto:)|\S+@\S+\.\S", re.IGNORECASE)

# Pictures, and the signs that join or colour them.
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff\u25a0-\u25ff\u2190-\u2191"
    "\u2193-\u21ff\ufe0f\ufe0e\u200d\u20e3\U000e0000-\U000e007f]"
)
_MARKS = re.compile(r"\\(?=[^\w\s])|\*+|`+|~~|(?<!\w)_+|_+(?!\w)")
_ENDS = ".!?…:;,"
_CLOSING = "\"'\u201d\u2019)]"


def speakable(text: str, language: str = "en") -> str:
    """Make a whole text fit to be spoken."""
    made = SpeakableText(language)
    return made.feed(text) + made.flush()


class SpeakableText:
    """Makes one reply fit to be spoken, token by token."""

    def __init__(self, language: str = "en") -> None:
        """Begin a reply.

        Args:
            language: of the text, as a tag; what is not English keeps its figures as they are.
        """
        self._language = language
        self._text = ""
        self._line_start = True
        # Within a heading or an item of a list, whose end is the end of a sentence.
        self._item = False
        self._code = False
        self._held = ""
        self._last = ""

    def feed(self, text: str) -> str:
        """Take text in, cut anywhere, and get the words that are certain."""
        self._text += text
        return self._take(final=False)

    def flush(self) -> str:
        """Get what is left."""
        return self._take(final=True)

    def _take(self, *, final: bool) -> str:
        out: list[str] = []
        while self._text:
            step = self._start_line(out, final) if self._line_start else self._word(out, final)
            if not step:
                break
        if final:
            self._say("", out)
        return "".join(out)

    # -- lines ------------------------------------------------------------------------------------

    def _start_line(self, out: list[str], final: bool) -> bool:
        """Take what stands in front of a line; False when more of it has to be seen."""
        line, newline, rest = self._text.partition("\n")
        whole = bool(newline) or final
        if self._code or _FENCE.match(line):
            if whole:
                if _FENCE.match(line):
                    self._code = not self._code
                self._text = rest
            return whole
        if not whole and _MAYBE_HEAD.fullmatch(line):
            return False
        if line.lstrip().startswith("|"):
            if whole:
                self._row(line, out)
                self._text = rest
            return whole
        if whole and (not line.strip() or _RULE.fullmatch(line)):
            self._end_sentence(out)
            self._text = rest
            return True
        head = _LINE_HEAD.match(line)
        assert head is not None
        if head["item"]:
            self._end_sentence(out)
        self._item = bool(head["item"])
        self._text = self._text[head.end() :]
        self._line_start = False
        return True

    def _row(self, line: str, out: list[str]) -> None:
        """Say the cells of a table's row."""
        if _ROW_RULE.fullmatch(line):
            return
        self._end_sentence(out)
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        said = [words for cell in cells if (words := speakable(cell, self._language))]
        for word in ", ".join(said).split():
            self._emit(word, out)
        self._end_sentence(out)

    def _end_sentence(self, out: list[str]) -> None:
        """Put a full stop where the end of a line was all there was."""
        self._say("", out)
        if self._last and self._last.rstrip(_CLOSING)[-1:] not in _ENDS:
            out.append(".")
            self._last = "."

    # -- words ------------------------------------------------------------------------------------

    def _word(self, out: list[str], final: bool) -> bool:
        """Take one word, or the blanks in front of it; False when more of it has to be seen."""
        blanks = len(self._text) - len(self._text.lstrip(" \t\r"))
        if blanks:
            self._text = self._text[blanks:]
            return True
        if self._text[0] == "\n":
            if self._item:
                self._end_sentence(out)
            self._text = self._text[1:]
            self._line_start = True
            return True
        end = self._word_end(final)
        if not end:
            return False
        word, self._text = self._text[:end], self._text[end:]
        self._say_marked(word, out)
        return True

    def _word_end(self, final: bool) -> int:
        """Find where the first word ends, a link or a tag in it being part of it; 0 if unknown."""
        at = 0
        while True:
            found = re.search(r"[\s\[<]", self._text[at:])
            if found is None:
                return len(self._text) if final else 0
            at += found.start()
            if self._text[at].isspace():
                return at
            pattern, longest = (
                (_LINK, _LONGEST_LINK) if self._text[at] == "[" else (_TAG, _LONGEST_TAG)
            )
            inner = self._text[at : at + longest]
            line, newline, _ = inner.partition("\n")
            match = pattern.match(line)
            sure = final or newline or len(inner) == longest
            if match and (sure or match.end() < len(line)):
                at += match.end()
            elif match is None and (sure or self._hopeless(line)):
                at += 1
            else:
                return 0

    def _hopeless(self, line: str) -> bool:
        """Tell whether what was opened is certainly no link and no tag."""
        if line[0] == "[":
            return "[" in line[1:]
        return len(line) > 1 and (not re.match(r"</?[a-zA-Z]", line + "a") or "<" in line[1:])

    def _say_marked(self, word: str, out: list[str]) -> None:
        """Say a word without its markup."""
        if not _ADDRESS.match(word):
            word = _TAG.sub(lambda m: m["url"] or " ", word)
            word = _LINK.sub(_link_text, word)
        for part in word.split():
            if not _ADDRESS.match(part):
                part = _MARKS.sub(_mark, part)
                part = part.replace("_", " ")
            part = _EMOJI.sub("", part.strip("*`"))
            for piece in part.split():
                self._say(piece, out)

    def _say(self, word: str, out: list[str]) -> None:
        """Say a word once the one behind it is known, if that matters; "" ends the sentence."""
        held, self._held = self._held, ""
        if held:
            said, both = spoken(held, word, self._language)
            self._emit(said, out)
            if both:
                return
        if not word:
            return
        if needs_next(word):
            self._held = word
        else:
            self._emit(spoken(word, "", self._language)[0], out)

    def _emit(self, word: str, out: list[str]) -> None:
        if not word:
            return
        # Punctuation whose word was taken away goes to the word before it.
        glued = not word.strip(_ENDS)
        if glued and (not self._last or self._last[-1] in _ENDS):
            return
        out.append(word if glued or not self._last else f" {word}")
        self._last = word


def _link_text(found: re.Match[str]) -> str:
    """Say of a link its text, of a footnote nothing."""
    text = found["text"]
    if found["url"] is None and text.strip().lstrip("^").isdigit():
        return ""
    return f" {text} " if text.strip() or found["url"] is None else f" {found['url']} "


def _mark(found: re.Match[str]) -> str:
    """Drop a mark, but for the star between two figures."""
    text, start, end = found.string, found.start(), found.end()
    inside = start > 0 and end < len(text)
    if found[0] == "*" and (
        text == "*" or (inside and text[start - 1].isdigit() and text[end].isdigit())
    ):
        return " times "
    return ""
