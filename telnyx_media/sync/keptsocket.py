"""The policy of synthesis sockets, in one place: a fresh one for each reply, or one that is kept.

By default each reply has a socket of its own, closed when the reply is over or interrupted: that
works with every voice and every reading of Telnyx's pages.  With ``policy="keep"`` one socket
carries several replies: no end is sent, an ``isFinal`` behind each text (or its name) is taken for
the end of the reply, and an interruption sends ``force`` instead of closing.  The pages say that
this works; reports from the live service doubt it.  So a service that shows none of this, or that
fails on a kept socket, is given fresh ones from then on.

Threads: any.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Literal

from telnyx_media.errors import TelnyxMediaError
from telnyx_media.sync.connection import Connection
from telnyx_media.sync.threads import BoundedQueue, QueueClosed
from telnyx_media.synthesis import force_frame

logger = logging.getLogger(__name__)

Policy = Literal["close", "keep"]

# Telnyx closes a socket without input after 20 s; an older one is not trusted.
YOUNG = 15.0

# After a force, audio of the interrupted reply may still come; nothing tells it from the next
# reply's, so the socket rests for so long, in seconds, and what came is thrown away.
SETTLE = 0.5


class Link:
    """A connection and the queue that its sender takes from."""

    __slots__ = ("connection", "forced", "outgoing", "since")

    def __init__(self, connection: Connection, outgoing: BoundedQueue[str]) -> None:
        """Make one."""
        self.connection = connection
        self.outgoing = outgoing
        self.forced = False
        self.since = 0.0


class KeptSocket:
    """At most one idle socket, for the next reply.

    Attributes:
        refused: whether the service turned out not to go along.
    """

    def __init__(self, policy: Policy) -> None:
        """Begin without one."""
        self.refused = policy != "keep"
        # Guards _link and _closed.
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._closed = False

    def take(self) -> Link | None:
        """Get the idle socket if there is one that can be trusted; takes no time."""
        with self._lock:
            link, self._link = self._link, None
        if link is None:
            return None
        age = time.monotonic() - link.since
        if age > YOUNG or (link.forced and age < SETTLE) or not _drained(link):
            link.connection.close()
            return None
        link.forced = False
        return link

    def park(self, link: Link) -> None:
        """Keep a socket for the next reply, or close it if there is one already."""
        link.since = time.monotonic()
        with self._lock:
            if self._link is None and not self._closed and not self.refused:
                self._link = link
                return
        link.connection.close()

    def refuse(self) -> None:
        """Keep no socket from now on."""
        if not self.refused:
            self.refused = True
            logger.info("the synthesis service does not carry several replies on one socket")
        self._close_idle()

    def close(self) -> None:
        """Close the idle socket, and those that will be parked."""
        with self._lock:
            self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.connection.close()


def interrupt(link: Link) -> None:
    """Tell the service to drop what it is doing; never waits."""
    link.forced = True
    with contextlib.suppress(QueueClosed):
        link.outgoing.clear()
        link.outgoing.push(force_frame())


def _drained(link: Link) -> bool:
    # Whether the socket lives, with everything read that came while it was idle.
    try:
        while True:
            link.connection.receive(0)
    except TelnyxMediaError:
        return False
    except TimeoutError:
        return True
