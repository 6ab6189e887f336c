"""Let somebody in the dashboard hear a live call: the caller left, the agent right.

Off unless ``BRIDGE_LISTEN_IN`` is on.  What is private on the call, keys that are asked for or a
recording that is paused, is silence to whoever listens, as it is in the recording; and nobody is
told more than that somebody listens.

Threads: a leg's own put audio in and never wait; who listens takes it on a request's own thread,
which is held until they, or the call, are gone.

Rules of this module:

1. A listener who is slow misses audio; the call does not notice.
2. There are :data:`MOST` listeners in a process at once: each holds a thread of the server.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from bridge.recorder import CallRecorder
from bridge.recordtap import RecordTap
from telnyx_media.codecs import Codec
from telnyx_media.pcm import wav_header
from telnyx_media.sync.threads import BoundedQueue, QueueClosed

__all__ = ["MOST", "Ear", "ListenIn", "Listened", "listen", "serve_handed"]

logger = logging.getLogger(__name__)

# Listeners of one process.
MOST = 4

# Seconds of audio at a time, and of how much is kept back until it can no longer be thrown away by
# a barge-in: longer than audio is sent ahead.
BLOCK, KEPT = 0.2, 0.6

# Blocks that a slow listener may be behind.
BEHIND = 25

# Seconds in which a listener has to take some audio.
PATIENCE = 10.0


class Ear:
    """One listener; stands where the recordings' writer does."""

    failed = False
    path = Path()

    def __init__(self, decoder: Codec) -> None:
        """Begin to collect; nothing comes before it is given to a call.

        Args:
            decoder: decodes what the agent says; nobody else may use it.
        """
        self._blocks: BoundedQueue[bytes] = BoundedQueue(BEHIND)
        self._rate = decoder.sample_rate
        self._recorder = CallRecorder(self, "", decoder, kept=KEPT, block=BLOCK)
        self.on_leave: Callable[[], object] = lambda: None

    # -- the call's threads -----------------------------------------------------------------------

    def inbound(self, pcm: bytes, sample_rate: int) -> None:
        """Take what the caller said."""
        self._recorder.inbound(pcm, sample_rate)

    def outbound(self, payload: bytes) -> None:
        """Take what was sent of the agent's voice."""
        self._recorder.outbound(payload)

    def cleared(self) -> None:
        """Take back what was sent and not played."""
        self._recorder.cleared()

    def close(self) -> None:
        """Learn that the call is over; may be called twice."""
        self._recorder.close()
        self._blocks.close()

    def begin(self, name: str, sample_rate: int, on_saved: object = None) -> Ear:
        """Take the first audio."""
        return self

    def write(self, file: object, audio: bytes | None) -> None:
        """Take both sides as they were heard; never waits."""
        if audio is not None:
            with contextlib.suppress(QueueClosed):
                self._blocks.push(audio)

    # -- the listener's thread --------------------------------------------------------------------

    def hear(self) -> Iterator[bytes]:
        """Get a WAV file as it grows, until the call has ended or :meth:`leave`."""
        try:
            yield wav_header(self._rate, 2)
            while True:
                try:
                    yield self._blocks.take()
                except QueueClosed:
                    return
        finally:
            self.leave()

    def leave(self) -> None:
        """Listen no more; may be called twice."""
        self._blocks.close(drop=True)
        done, self.on_leave = self.on_leave, lambda: None
        done()


class Listened(Protocol):
    """A leg that can be listened to."""

    def listen_in(self) -> Ear:
        """Have somebody hear it."""


def listen(tap: RecordTap, decoder: Codec) -> Ear:
    """Have somebody hear what a tap is told."""
    ear = Ear(decoder)
    tap.join(ear)
    ear.on_leave = lambda: tap.leave(ear)
    return ear


class ListenIn:
    """The listeners of a process."""

    def __init__(
        self,
        find: Callable[[str], Listened | None],
        pass_on: Callable[[str, Mapping[str, Any]], bool] = lambda key, environ: False,
    ) -> None:
        """Begin with none.

        Args:
            find: gets a leg of this process.
            pass_on: hands a request to the process that has a leg; whether that has it now.
        """
        self._find = find
        self.pass_on = pass_on
        self._lock = threading.Lock()
        self._ears = 0

    def open(self, key: str) -> Ear | Literal["busy", "nobody"]:
        """Begin to listen to a leg of this process; the ear has to leave again."""
        leg = self._find(key)
        if leg is None:
            return "nobody"
        with self._lock:
            if self._ears >= MOST:
                return "busy"
            self._ears += 1
        ear = leg.listen_in()
        leave = ear.on_leave

        def gone() -> None:
            leave()
            with self._lock:
                self._ears -= 1

        ear.on_leave = gone
        logger.info("somebody in the dashboard listens to a call")
        return ear


def serve_handed(listeners: ListenIn, key: str, environ: Mapping[str, Any]) -> None:
    """Serve a listener whose connection another process has handed in."""
    sock = environ["gunicorn.socket"]
    sock.settimeout(PATIENCE)
    ear = listeners.open(key)
    with contextlib.suppress(OSError):
        if not isinstance(ear, Ear):
            sock.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        try:
            sock.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n"
                b"Cache-Control: no-store\r\nConnection: close\r\n\r\n"
            )
            for block in ear.hear():
                sock.sendall(block)
        finally:
            ear.leave()
