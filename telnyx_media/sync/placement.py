"""Which audio a transcript covers, and which of its words are new.

The wire carries no times.  What is known is what was sent, and when; so a transcript is placed by
the speech that was sent and not covered before, and audio that a final covers is let go of.  After
a reconnect audio is heard a second time, and words that were delivered come again.

Threads: the session's receive thread; the ring is guarded by the uplink's lock, taken here.
"""

from __future__ import annotations

import time

import msgspec

from telnyx_media.overlap import Overlap
from telnyx_media.sync.uplink import Feed, Uplink
from telnyx_media.transcripts import Transcript


class Placement:
    """Puts the transcripts of one session on its audio clock, over all its connections."""

    def __init__(self, uplink: Uplink) -> None:
        """Begin with nothing heard.

        Args:
            uplink: the session's audio.
        """
        self._uplink = uplink
        self._overlap = Overlap()
        # Up to where audio was sent when the last connection was lost.
        self._sent_again = 0
        # Finals that end no utterance came since the last that did; and whether any ever did.
        self._open_finals = 0
        self._signals_seen = False
        self._heard_to = 0.0

    def begin_again(self) -> None:
        """Note that a further connection begins, on which audio is sent again."""
        self._overlap.arm()

    def end_connection(self) -> None:
        """Note that a connection is over."""
        with self._uplink.changed:
            self._sent_again = self._uplink.sent

    def take(self, transcript: Transcript, feed: Feed) -> Transcript | None:
        """Place a transcript and let go of the audio it covers.

        Args:
            transcript: as it came.
            feed: of the connection it came on.

        Returns:
            What the user gets: with times, without words that were delivered before; ``None`` if
            nothing is left of it.
        """
        with self._uplink.changed:
            transcript, left = self._place(transcript, feed)
            replayed = self._uplink.ring.start >= self._sent_again
        text = self._overlap.new_in(transcript.text, is_final=transcript.is_final)
        if transcript.is_final:
            self._overlap.delivered(text, left=left)
        if replayed:
            self._overlap.rest()
        if not text and not (transcript.ends_utterance or transcript.resumed):
            return None
        if text != transcript.text:
            return msgspec.structs.replace(transcript, text=text)
        return transcript

    def _place(self, transcript: Transcript, feed: Feed) -> tuple[Transcript, float]:
        # Gets the seconds of speech that stay in the ring, too. `changed` is held.
        ring = self._uplink.ring
        speech = ring.speech(feed.position, int(self._heard_to * ring.bytes_per_second))
        start = speech.start if speech else self._heard_to
        end = speech.end if speech else self._heard_to
        if transcript.is_final:
            before = ring.start
            self._cover(transcript, feed)
            if ring.start > before:
                end = min(end, ring.seconds(ring.start))
            self._heard_to = max(self._heard_to, end)
        placed = msgspec.structs.replace(transcript, start=start, end=max(start, end))
        # All that was ever sent, not only on this connection: words of it may have been delivered.
        return placed, ring.speech_seconds(max(feed.position, self._uplink.sent))

    def _cover(self, transcript: Transcript, feed: Feed) -> None:
        # `changed` is held.
        self._signals_seen |= transcript.ends_utterance
        self._open_finals += bool(transcript.text)
        endpoint = bool(self._open_finals) and (transcript.ends_utterance or not self._signals_seen)
        self._uplink.ring.cover(
            sent=feed.position,
            sent_before=feed.sent_before(time.monotonic()),
            endpoint=endpoint,
        )
        if endpoint:
            self._open_finals = 0
