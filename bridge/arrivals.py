"""Tell news from what has come by the other road already.

Telnyx reports a key twice: on the media stream, and by a webhook, which may be seconds late.  While
there is a stream its report is enough; but a key that was pressed while there was none, because it
was lost or the leg changed hands, comes by webhook alone, and perhaps when a new stream has begun.
And a key that the stream was about to tell when its socket was cut is known by its webhook alone,
which nobody had asked.  Both reports carry the time of the press by Telnyx's clock
(Telnyx: media-streaming and receiving-webhooks pages), so they can be told to be one.

Pure: times are arguments, in Unix seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime

import msgspec

__all__ = ["KeyArrivals", "Press", "pressed_at"]

# Seconds from a stream's start in which a webhook is believed at once: Telnyx's clock and ours
# differ, and a key pressed just before may seem to have been pressed in it.
LATE = 5.0

# Seconds between the times of two reports of one key.
APART = 1.0

# Presses that are remembered: more than anybody makes while a report is under way.
MEMORY = 32

Press = tuple[str, float]
"""A key and when it was pressed; the key is ``""`` where it is nobody's business."""


class KeyArrivals:
    """The keys of one leg, each to be heard once."""

    def __init__(self, heard: Iterable[Press] = ()) -> None:
        """Begin.

        Args:
            heard: keys that were heard in a process that held this leg; their webhooks may come.
        """
        # What was heard, for whoever holds the leg next; and what of it the other road may tell.
        self._heard: deque[Press] = deque(heard, maxlen=MEMORY)
        self._by_stream: deque[Press] = deque(self._heard, maxlen=MEMORY)
        self._by_webhook: deque[Press] = deque(maxlen=MEMORY)
        # Every webhook so far, and those for which the stream's report is waited for.
        self._told: deque[Press] = deque(maxlen=MEMORY)
        self._doubtful: deque[Press] = deque(maxlen=MEMORY)

    @property
    def heard(self) -> tuple[Press, ...]:
        """The last keys that were heard."""
        return tuple(self._heard)

    def by_stream(self, digit: str, at: float) -> bool:
        """Take in a key from the stream; whether it is news."""
        if _take(self._by_webhook, digit, at):
            return False
        if not _take(self._doubtful, digit, at):
            self._by_stream.append((digit, at))
        self._heard.append((digit, at))
        return True

    def by_webhook(self, digit: str, at: float, since: float | None) -> bool:
        """Take in a key from a webhook; whether it is news by now.

        Args:
            digit: the key.
            at: when it was pressed.
            since: when the stream began that there is, if there is one.
        """
        if (digit, at) in self._told:
            return False
        self._told.append((digit, at))
        if _take(self._by_stream, digit, at):
            return False
        if since is not None and at > since + LATE:
            self._doubtful.append((digit, at))
            return False
        self._by_webhook.append((digit, at))
        self._heard.append((digit, at))
        return True

    def stream_lost(self, now: float) -> list[str]:
        """Give up waiting for a stream that is gone; get the keys that it never told."""
        lost = [press for press in self._doubtful if press[1] > now - LATE]
        self._doubtful.clear()
        self._by_webhook.extend(lost)
        self._heard.extend(lost)
        return [digit for digit, _ in lost]

    def hide_last(self) -> None:
        """Remember of the last key that was heard only when it was pressed."""
        if self._heard:
            _, at = self._heard.pop()
            self._heard.append(("", at))


def _take(presses: deque[Press], digit: str, at: float) -> bool:
    """Take the report of this very press out; whether there was one."""
    for known in presses:
        if known[0] in (digit, "") and abs(at - known[1]) <= APART:
            presses.remove(known)
            return True
    return False


def pressed_at(occurred_at: datetime | str | None, now: float) -> float:
    """Tell when a key was pressed, or that it was just now if its report does not say."""
    try:
        moment = msgspec.convert(occurred_at, datetime, strict=False)
    except msgspec.ValidationError:
        return now
    # Without a zone it could be anybody's.
    return now if moment.tzinfo is None else moment.timestamp()
