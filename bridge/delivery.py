"""Bring a reply to the caller's ear, over the media socket there is, until it was heard.

The playout knows what to send when; the socket may be lost and another come in its place; and a
reply is held back for two reasons, a caller who may be breaking in and a socket that is gone.

Pure but for the media socket, which never blocks.  Not safe for threads by itself: whoever sends
what is due holds one lock over that, and the same lock over a pause or a drop, or audio taken
before a ``clear`` would be sent behind it.

Rules of this module:

1. A reply goes on when no reason to hold it back is left.
2. A socket that fails is let go and the reply held back; the thread that reads it does the rest.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

from bridge.background import LEAD, Background
from bridge.mediasocket import SocketClosed
from bridge.playout import PACKET, Chunk, Playout
from telnyx_media.frames import encode_clear, encode_mark, encode_media

__all__ = ["Delivery", "Outbound", "Tap"]

# Seconds after which a peer that was slow to take what was sent is tried again.
FLUSH_AGAIN = 0.05

# Packets of background in one frame.
FILLING = 3

Hold = Literal["barge-in", "early", "no socket"]


class Outbound(Protocol):
    """The sending half of a media socket; never blocks."""

    def send(self, text: str | bytes) -> None:
        """Send one message."""

    def flush(self) -> int:
        """Try again to send what waits; the bytes that still do."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye."""


class Tap(Protocol):
    """Gets what is sent of the agent's voice, for a recording; must not block."""

    def outbound(self, payload: bytes) -> None:
        """Audio was sent."""

    def cleared(self) -> None:
        """What was sent and not played yet was thrown away."""


class Delivery:
    """The agent's voice on one leg: a playout, and the socket it is sent over.

    Attributes:
        playout: what is to be sent, and what was heard of it.
        socket: where it is sent to, if anywhere.
    """

    def __init__(self, playout: Playout, tap: Tap | None = None) -> None:
        """Begin in silence, without a socket.

        Args:
            playout: with no reply in it.
            tap: gets what is sent, too.
        """
        self.playout = playout
        self.socket: Outbound | None = None
        self._tap = tap
        self._background: Background | None = None
        self._holds: set[Hold] = set()
        self._speaking = False
        self._paused = False
        self._flush_at = math.inf

    # The socket

    def connect(self, socket: Outbound | None, now: float) -> Outbound | None:
        """Send to ``socket`` from now on; get the one that was sent to until now, if any."""
        before = self.socket
        if before is not None:
            self.disconnect(now)
        self.socket = socket
        self.release("no socket", now)
        return before

    def disconnect(self, now: float) -> None:
        """Be without a socket: the reply waits where the caller had heard it to."""
        self.socket = None
        self._flush_at = math.inf
        self.hold("no socket", now)

    def _send(self, message: str, now: float) -> None:
        if self.socket is None:
            return
        try:
            self.socket.send(message)
        except SocketClosed:
            self.disconnect(now)

    def _flush(self, now: float) -> None:
        try:
            waiting = self.socket.flush() if self.socket is not None else 0
        except SocketClosed:
            self.disconnect(now)
        else:
            self._flush_at = now + FLUSH_AGAIN if waiting else math.inf

    def _clear(self, now: float) -> None:
        self._send(encode_clear(), now)
        if self._tap is not None:
            self._tap.cleared()

    # The reply

    def begin(self) -> None:
        """Begin a new reply."""
        self.playout.begin()
        self._speaking = True
        self._paused = False
        self._holds -= {"barge-in", "early"}

    def hold_back(self, now: float) -> None:
        """Keep the reply that has just begun until it may be heard: until ``"early"`` is over."""
        self._holds.add("early")
        self._paused = True
        self.playout.pause(now)

    def send_due(self, now: float) -> int:
        """Send what is due; the number of media frames that were sent."""
        if self.socket is None:
            return 0
        frames = 0
        for item in self.playout.due(now):
            if isinstance(item, Chunk):
                under = self._background
                self._send_audio(item.payload if under is None else under.mix(item.payload), now)
                frames += 1
            else:
                self._send(encode_mark(item.name), now)
        if self._background is not None:
            self._fill(self._background, now)
        self._flush(now)
        return frames

    def _send_audio(self, payload: bytes, now: float) -> None:
        self._send(encode_media(payload), now)
        if self._tap is not None:
            self._tap.outbound(payload)

    # What is under it

    def set_background(self, background: Background | None, now: float) -> None:
        """Have a sound under what is sent, and between it; ``None`` for none."""
        if background is None and self._background is not None and not self._speaking:
            # What was sent ahead of it: silence begins now.
            self.playout.drop_filling(now)
            self._clear(now)
        self._background = background

    def _fill(self, background: Background, now: float) -> None:
        """Put the background where nothing else is to be heard, a little ahead."""
        while self.playout.fill_due(LEAD) <= now and self.socket is not None:
            packets = [background.packet() for _ in range(FILLING)]
            for payload in [b"".join(packets)] if self.playout.joinable else packets:
                self._send_audio(payload, now)
            self.playout.fill(FILLING * PACKET, now)

    def next_due(self, now: float) -> float:
        """Tell when to send again, or to look whether the reply is over; infinity for never."""
        dues: list[float | None] = [self._flush_at]
        if self._speaking:
            if self.socket is not None:
                dues.append(self.playout.next_due(now))
            dues.append(self.playout.finish_by(now))
        if self._background is not None and self.socket is not None:
            dues.append(self.playout.fill_due(LEAD))
        return min((due for due in dues if due is not None), default=math.inf)

    def hold(self, reason: Hold, now: float) -> None:
        """Stop the audio and keep the reply."""
        self._holds.add(reason)
        if self._speaking and not self._paused:
            self._paused = True
            self.playout.pause(now, lost=reason == "no socket")
            self._clear(now)

    def release(self, reason: Hold, now: float) -> None:
        """Go on from the word that the caller had heard up to, unless held for another reason."""
        self._holds.discard(reason)
        if self._paused and not self._holds:
            self._paused = False
            self.playout.resume(now)

    def drop(self, now: float) -> str:
        """End the reply before its end; what the caller heard of it."""
        heard = self.playout.interrupt(now).text
        if not self._paused:
            self._clear(now)
        self._over()
        return heard

    def finish(self, now: float) -> str | None:
        """End the reply if it was heard to its end: what was heard, else ``None``."""
        if not self._speaking or not self.playout.finished(now):
            return None
        heard = self.playout.heard(now).text
        self._over()
        return heard

    def _over(self) -> None:
        self._speaking = self._paused = False
        self._holds -= {"barge-in", "early"}
