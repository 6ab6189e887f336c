"""When a media stream was last known to live, by its own count of packets.

A lost socket is noticed late when the machine is busy: packets wait in the kernel, and then its end
is read behind them.  But Telnyx sends one packet every 20 ms and numbers them, so the last number
says how long the stream has lasted, and the promptest packet when it began.  What we sent after
that end was heard by nobody.

Pure: ``now`` is an argument, in seconds.
"""

from __future__ import annotations

import math

__all__ = ["StreamClock"]

# Seconds of one packet (Telnyx: media-streaming page).
PACKET = 0.02

# Seconds by which an end may lie in the past; more than that is a stream that was paused.
LONGEST = 5.0


class StreamClock:
    """The time line of one stream."""

    def __init__(self) -> None:
        self._began = math.inf
        self._last = 0

    def packet(self, number: int, now: float) -> None:
        """Note that the packet of that number has come."""
        began = now - number * PACKET
        if began < self._began:
            self._began = began
        if number > self._last:
            self._last = number

    def ended(self, now: float) -> float:
        """Tell when the stream ended, of which it is known only now that it has."""
        if self._began == math.inf:
            return now
        at = self._began + (self._last + 1) * PACKET
        return at if now - LONGEST < at < now else now
