"""Tell news from what has come by the other road already.

Telnyx reports a key twice: on the media stream, and by a webhook, which may be seconds late.  While
there is a stream its report is enough; but a key that was pressed while there was none, because it
was lost or the leg changed hands, comes by webhook alone, and perhaps when a new stream has begun.

Pure: ``now`` is an argument, in seconds.
"""

from __future__ import annotations

from collections import deque

__all__ = ["KeyArrivals"]

# Seconds from a stream's start in which a webhook may still tell of a key pressed before it.
LATE = 5.0

# Seconds between the two reports of one key, when the stream's comes second.
APART = 1.0


class KeyArrivals:
    """The keys of one leg, each to be heard once."""

    def __init__(self) -> None:
        self._by_stream: deque[tuple[str, float]] = deque(maxlen=32)
        self._by_webhook: deque[tuple[str, float]] = deque(maxlen=32)

    def by_stream(self, digit: str, now: float) -> bool:
        """Take in a key from the stream; whether it is news."""
        for known in self._by_webhook:
            if known[0] == digit and now - known[1] <= APART:
                self._by_webhook.remove(known)
                return False
        self._by_stream.append((digit, now))
        return True

    def by_webhook(self, digit: str, now: float, since: float | None) -> bool:
        """Take in a key from a webhook; whether it is news.

        Args:
            digit: the key.
            now: the time.
            since: when the stream began that there is, if there is one.
        """
        if since is not None:
            if now - since > LATE:
                return False
            for known in self._by_stream:
                if known[0] == digit and known[1] >= since:
                    self._by_stream.remove(known)
                    return False
        self._by_webhook.append((digit, now))
        return True
