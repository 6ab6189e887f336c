"""The caller's audio on its way to the transcription service.

Two kinds of thread meet here:

    any              pushes audio, asks for a final, ends the stream; never waits
    ``stt-send``     takes messages from the :class:`Feed` of its connection

The ring of audio is the queue: a feed is a position in it.  A new connection begins at the ring's
start, so what the old one swallowed is sent again.  The ring is bounded; when it is full the oldest
audio is forgotten, and what was never sent is counted as dropped.

Audio leaves in messages of 100 ms, the first one at once: at 20 ms per message a process carries a
third of the calls (docs/decisions).  What waits to be sent after a reconnect leaves in large ones.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from telnyx_media.ring import LATENCY, AudioRing, Stretch
from telnyx_media.sync.threads import Deadline, QueueClosed
from telnyx_media.transcripts import CLOSE_STREAM, FINALIZE, KEEP_ALIVE

# Seconds of audio in one message.
MESSAGE_SECONDS = 0.1

# The largest message when there is a backlog, in samples (Telnyx: 2048 to 8192 bytes recommended).
LARGEST = 4096

# Messages taken at once; bounds how much counts as sent before it is.
BATCH = 8

# How much faster than real time an engine hears at least: what was sent in one go, after a
# reconnect for one, has not been heard as soon as it was sent.
ENGINE_SPEED = 2.0

# A rest shorter than a message is sent when nothing followed for so long, in seconds; for longer
# where whoever pushes sends too, or the sender would wake up in the middle of every stream.
PATIENCE, DIRECT_PATIENCE = 0.15, 1.0

# Seconds without audio after which an engine that understands it is told that we are still here.
KEEP_ALIVE_AFTER = 5.0

Convert = Callable[[bytes], bytes]


class Uplink:
    """The audio of one session: in by :meth:`push`, out by one feed at a time.

    Attributes:
        ring: the audio; guarded by ``changed``.
        changed: guards everything here, and is notified when the feed may have something to take.
        dropped: seconds of audio that were forgotten before they were ever sent.
        pushed: seconds of audio that came in.
    """

    def __init__(self, ring: AudioRing, *, grace: float = 0.0) -> None:
        """Make an uplink without a feed.

        Args:
            ring: empty.
            grace: seconds of silence that the engine waits for before it gives a final.
        """
        self.ring = ring
        self.changed = threading.Condition()
        self.dropped = 0.0
        self._grace = grace
        self._feed: Feed | None = None
        # The furthest that was ever sent on any connection; what is forgotten beyond is dropped.
        self._sent = 0
        # Where a final was asked for.
        self._finalize: deque[int] = deque()
        self._finishing = False
        self._closed = False

    @property
    def sent(self) -> int:
        """The furthest position that was ever sent."""
        return self._sent

    @property
    def feed(self) -> Feed | None:
        """The feed of the last connection."""
        return self._feed

    @property
    def pushed(self) -> float:
        """Seconds of audio that came in."""
        return self.ring.seconds(self.ring.end)

    # -- any thread ------------------------------------------------------------------------------

    def push(self, audio: bytes) -> bool:
        """Add audio; never waits.

        Returns:
            False when the stream has ended, and the audio was not taken.
        """
        with self.changed:
            if self._closed or self._finishing:
                return False
            self.ring.append(audio)
            if self.ring.start > self._sent:
                self.dropped += self.ring.seconds(self.ring.start - self._sent)
                self._sent = self.ring.start
            feed = self._feed
            if feed is not None and feed.is_due() and not feed.send_now():
                self.changed.notify_all()
            return True

    def finalize(self) -> None:
        """Ask for a final of what was pushed so far; never waits."""
        with self.changed:
            self._finalize.append(self.ring.end)
            self.changed.notify_all()

    def finish(self) -> None:
        """End the stream: what is there is sent, then ``CloseStream``; never waits."""
        with self.changed:
            self._finishing = True
            self.changed.notify_all()

    def close(self) -> None:
        """End everything; may be called twice."""
        with self.changed:
            self._closed = True
            if self._feed is not None:
                self._feed.closed = True
            self.changed.notify_all()

    # -- the session's thread --------------------------------------------------------------------

    def attach(self, *, convert: Convert, preamble: bytes, controls: bool) -> Feed:
        """Make the feed of a new connection; the one before takes nothing any more.

        Args:
            convert: makes what goes over the wire from the ring's bytes.
            preamble: goes first, a WAV header for one.
            controls: whether the engine understands ``Finalize`` and ``KeepAlive``.
        """
        with self.changed:
            if self._feed is not None:
                self._feed.closed = True
            self._feed = Feed(self, convert, preamble, controls)
            self._feed.closed = self._closed
            self.changed.notify_all()
            return self._feed

    # -- the feed, with `changed` held -----------------------------------------------------------

    def advance(self, position: int) -> None:
        """Note that audio up to ``position`` is being sent; ``changed`` is held."""
        self._sent = max(self._sent, position)

    def next_finalize(self, position: int) -> int | None:
        """Get where the next final at or behind ``position`` was asked for; ``changed`` is held."""
        if not self._finalize:
            return None
        while self._finalize and self._finalize[0] < self.ring.start:
            self._finalize.popleft()
        return next((at for at in self._finalize if at >= position), None)

    def drop_finalize(self, at: int) -> None:
        """Note that the final asked for at ``at`` was passed on; ``changed`` is held."""
        if at in self._finalize:
            self._finalize.remove(at)

    @property
    def finishing(self) -> bool:
        """Whether no more audio will come."""
        return self._finishing

    @property
    def grace(self) -> float:
        """Seconds of silence that the engine waits for."""
        return self._grace


class Feed:
    """What one connection sends: a position in the ring.

    Attributes:
        position: up to which audio was taken.
        close_sent: whether ``CloseStream`` was taken.
        close_sent_at: when, on the monotonic clock.
        closed: set when nothing is taken any more.
        direct: sends a message without waiting, from whichever thread pushes, while the sender
            waits; ``Connection.send_now``.
    """

    def __init__(self, uplink: Uplink, convert: Convert, preamble: bytes, controls: bool) -> None:
        """Begin at the ring's start; ``changed`` is held."""
        self.position = self._settled = uplink.ring.start
        # How far the engine has come at least, and when that was reckoned.
        self._heard = float(self.position)
        self._heard_at = time.monotonic()
        self.close_sent = False
        self.close_sent_at = 0.0
        self.closed = False
        self.direct: Callable[[str | bytes], bool | None] | None = None
        # Cut already, and for the sender after all.
        self._refused: list[str | bytes] = []
        self._sender_waits = False
        self._kicked = False
        self._uplink = uplink
        self._convert = convert
        self._preamble = preamble
        self._controls = controls
        self._message = max(2, int(uplink.ring.bytes_per_second * MESSAGE_SECONDS) & ~1)
        self._first = True
        self._last_audio = time.monotonic()
        # When audio up to which position was taken.
        self._history: deque[tuple[float, int]] = deque()

    # -- the sender's thread ---------------------------------------------------------------------

    def take_all(self, timeout: float | None = None) -> list[str | bytes]:
        """Wait for messages to send.

        Raises:
            TimeoutError: there were none for ``timeout`` seconds.
            QueueClosed: there will be none any more.
        """
        deadline = Deadline(timeout)
        changed = self._uplink.changed
        with changed:
            waited = False
            while True:
                if self.closed:
                    raise QueueClosed
                messages = self._refused + self._cut(rest=waited)
                self._refused = []
                if messages or self._kicked:
                    self._kicked = False
                    return messages
                if deadline.expired:
                    raise TimeoutError
                before, remaining = self.position, deadline.remaining()
                limit = self._patience()
                self._sender_waits = True
                called = changed.wait(limit if remaining is None else min(limit, remaining))
                self._sender_waits = False
                waited = not called and self.position == before

    def _patience(self) -> float:
        if self.position >= self._uplink.ring.end:
            return KEEP_ALIVE_AFTER
        return PATIENCE if self.direct is None else DIRECT_PATIENCE

    def close(self, *, drop: bool = False) -> None:
        """Take nothing any more; wakes the sender."""
        with self._uplink.changed:
            self.closed = True
            self._uplink.changed.notify_all()

    # -- with `changed` held ---------------------------------------------------------------------

    def is_due(self) -> bool:
        """Whether there is a whole message, or the very first bytes; ``changed`` is held."""
        waiting = self._uplink.ring.end - self.position
        return waiting >= self._message or (self._first and waiting > 0)

    def send_now(self) -> bool:
        """Send what is due from this thread, if the sender waits; ``changed`` is held.

        Returns:
            Whether the sender has nothing to do with it.
        """
        if self.direct is None or not self._sender_waits or self.closed or self._kicked:
            return False
        messages = self._refused + self._cut(rest=False)
        self._refused = []
        for number, message in enumerate(messages):
            sent = self.direct(message)
            if not sent:
                # With the message that was begun, the rest of it is the sender's first.
                self._kicked = True
                self._refused = messages[number + (sent is None) :]
                return False
        return True

    def sent_before(self, now: float) -> int:
        """Get the position sent long enough ago to have been heard; ``changed`` is held."""
        limit = now - LATENCY - self._uplink.grace
        while self._history and self._history[0][0] <= limit:
            self._settled = self._history.popleft()[1]
        self._listen(now)
        return min(self._settled, int(self._heard))

    def speech(self) -> Stretch | None:
        """Find the speech sent on this connection; ``changed`` is held."""
        return self._uplink.ring.speech(self.position)

    def _cut(self, *, rest: bool) -> list[str | bytes]:
        uplink, ring = self._uplink, self._uplink.ring
        messages: list[str | bytes] = []
        if self.close_sent:
            return messages
        # Audio may have been forgotten before this connection got to it.
        self.position = max(self.position, ring.start)
        while len(messages) < BATCH:
            at = uplink.next_finalize(self.position)
            edge = ring.end if at is None else min(at, ring.end)
            waiting = self._even(edge - self.position)
            whole = rest or self._first or at is not None or uplink.finishing
            if waiting >= self._message or (waiting > 0 and whole):
                messages.append(self._take(waiting))
            elif waiting == 0 and at is not None:
                uplink.drop_finalize(at)
                if self._controls:
                    messages.append(FINALIZE)
            elif uplink.finishing:
                messages.append(CLOSE_STREAM)
                self.close_sent_at = time.monotonic()
                self.close_sent = True
                break
            else:
                break
        now = time.monotonic()
        self._listen(now)
        if messages:
            self._last_audio = now
            self._history.append((now, self.position))
            uplink.advance(self.position)
            ring.drop_silence(self.position)
        elif self._controls and now - self._last_audio >= KEEP_ALIVE_AFTER:
            self._last_audio = now
            messages.append(KEEP_ALIVE)
        return [message for message in messages if message]

    def _listen(self, now: float) -> None:
        # Called before the position moves on too, so that it counts audio sent by then.
        reach = (now - self._heard_at) * ENGINE_SPEED * self._uplink.ring.bytes_per_second
        self._heard = min(self._heard + reach, float(self.position))
        self._heard_at = now

    def _even(self, size: int) -> int:
        # Two-byte samples are not torn; an odd byte waits for its other half.
        return size & ~1 if self._uplink.ring.sample_width == 2 else size

    def _take(self, waiting: int) -> bytes:
        # A backlog, after a reconnect for one, leaves in large messages.
        most = (
            self._message
            if waiting < 3 * self._message
            else max(self._message, LARGEST * self._uplink.ring.sample_width)
        )
        audio = self._uplink.ring.read(self.position, min(waiting, most))
        self.position += len(audio)
        data = self._preamble + self._convert(audio)
        self._preamble = b""
        self._first = False
        return data
