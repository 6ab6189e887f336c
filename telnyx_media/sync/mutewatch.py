"""Notice a recogniser that takes audio and says nothing.

Sockets that are dead on arrival have been seen: they take audio for seconds and are closed without
a word (Telnyx: contact-centre client).  Speech that stays without an answer gives them away; its
absence proves nothing, so what is measured is speech and not time.

Pure but for the clock.
"""

from __future__ import annotations

import time

from telnyx_media.errors import ConnectionLost
from telnyx_media.ring import AudioRing
from telnyx_media.sync.uplink import Feed
from telnyx_media.transcripts import SttOptions

# How much longer silence is believed of a connection that has spoken, or of an engine that speaks
# only when the caller has paused.
TRUST = 2.0

# How often to look, in seconds; each look wakes a thread.
TICK = 2.0


class Mute(ConnectionLost):
    """A connection that takes audio and says nothing."""


class MuteWatch:
    """Looks whether speech stays without any answer on one connection."""

    def __init__(self, timeout: float, options: SttOptions) -> None:
        self.tick = min(TICK, timeout / 4)
        self._timeout = timeout
        # Engines without interims are silent for as long as the caller speaks.
        self._patience = 1.0 if options.engine_info.interims else TRUST
        self._answered_to = 0
        self._spoken_at: float | None = None

    def answered(self, position: int) -> None:
        """Note a message, when audio up to ``position`` had been sent."""
        self._answered_to = position
        self._patience = TRUST
        self._spoken_at = None

    def look(self, feed: Feed, ring: AudioRing) -> None:
        """Raise ``Mute`` when it is time; the uplink's lock is held."""
        now = time.monotonic()
        if self._spoken_at is None:
            if ring.speech(feed.position, self._answered_to) is not None:
                self._spoken_at = now
        elif now - self._spoken_at >= self._timeout * self._patience:
            raise Mute("the service takes audio and says nothing")
