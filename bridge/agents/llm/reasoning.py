"""Keep a model's thoughts from being spoken.

Reasoning models think in a field of their own (``reasoning_content``, which is simply not read) or,
behind servers that don't part the two, in tags within the reply: ``<think>…</think>``.

Pure.  One for one reply.
"""

from __future__ import annotations

import re

__all__ = ["ThoughtFilter"]

_NAMES = ("think", "thinking", "thought", "reasoning", "reflection")
_TAG = re.compile(rf"<(?P<close>/?)(?P<name>{'|'.join(_NAMES)})>", re.IGNORECASE)
_LONGEST = max(len(name) for name in _NAMES) + 3


class ThoughtFilter:
    """Takes a reply token by token and gives it back without what stands in thinking tags.

    However the text is cut into tokens, what comes out, joined, is the same.
    """

    def __init__(self) -> None:
        """Begin a reply."""
        self._text = ""
        self._thinking = False

    def feed(self, text: str) -> str:
        """Take text in and get what may be spoken of it."""
        self._text += text
        out = []
        while found := _TAG.search(self._text):
            if not self._thinking:
                out.append(self._text[: found.start()])
            self._thinking = not found["close"]
            self._text = self._text[found.end() :]
        held = self._maybe_tag()
        if not self._thinking:
            out.append(self._text[: len(self._text) - held])
        self._text = self._text[len(self._text) - held :]
        return "".join(out)

    def flush(self) -> str:
        """Get what is left; a thought that was never ended stays unspoken."""
        text, self._text = self._text, ""
        return "" if self._thinking else text

    def _maybe_tag(self) -> int:
        """Get the length of an end that may become a tag."""
        at = self._text.rfind("<", max(0, len(self._text) - _LONGEST))
        if at < 0:
            return 0
        tail = self._text[at:].lower()
        tags = (f"<{slash}{name}>" for name in _NAMES for slash in ("", "/"))
        return len(tail) if any(tag.startswith(tail) for tag in tags) else 0
