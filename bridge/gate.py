"""Slow down who knocks at the doors without a key.

Four routes are open to anybody until they have shown a signature, a token or a password.  Guessing
any of those is hopeless, but trying costs us a signature check, a question to Redis and a log line
each time.  So whoever is turned away too often is answered with 429 for a while, and no line.

A signed webhook is never turned away here: only what failed counts, and what is signed is let
through even from an address that others have spoilt, as behind a proxy that names none.

Processes that share a Redis count together.  It is asked only when somebody is turned away, so a
process learns of a shut gate with the first refusal of its own.

Threads: any; only a refusal may wait, for one answer of Redis.

Rules of this module:

1. Who asks is told by the last entry of ``X-Forwarded-For``, which the proxy in front of us has
   written, or else by the connection's address.
2. Not more than ``SOURCES`` of them are remembered.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from flask import Flask, Response, request

__all__ = ["Gate", "guard"]

logger = logging.getLogger(__name__)

# Refusals that a source may have at once, and per minute in the long run.
BURST = 30
PER_MINUTE = 30.0

# Sources remembered; the one unseen for longest is forgotten.
SOURCES = 10_000

# Answers that count: not known, not allowed, not understood.
REFUSALS = frozenset({400, 401, 403, 404, 405, 408, 413, 426})

# Routes that are asked by whoever watches us, and cost nothing.
OPEN = frozenset({"/healthz", "/readyz"})

# What is signed is let through.
SIGNED = "/telnyx/webhook"

Count = Callable[[str, int, float], float]
"""Counts a refusal for all processes, given its source, the burst and what is forgiven each second;
tells how many of that source are not forgiven yet."""


class Gate:
    """How often each source was turned away of late."""

    def __init__(
        self,
        *,
        burst: int = BURST,
        per_minute: float = PER_MINUTE,
        count: Count = lambda source, burst, rate: 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nobody turned away.

        Args:
            burst: refusals that a source may have at once.
            per_minute: refusals that are forgiven each minute.
            count: counts for all processes.
            clock: the time in seconds.
        """
        self._burst = burst
        self._rate = per_minute / 60
        self._count = count
        self._clock = clock
        # Guards what follows.
        self._lock = threading.Lock()
        # By source: refusals that are not forgiven yet, and as of when.
        self._refused: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def is_shut(self, source: str) -> bool:
        """Whether a source has been turned away too often."""
        with self._lock:
            return self._level(source, self._clock()) >= self._burst

    def refuse(self, source: str) -> bool:
        """Note that a source was turned away; whether that has just shut the gate."""
        together = 0.0 if self.is_shut(source) else self._count(source, self._burst, self._rate)
        with self._lock:
            now = self._clock()
            before = self._level(source, now)
            # One more than shut does not lengthen it.
            level = min(max(before + 1, together), self._burst + 1.0)
            self._refused[source] = level, now
            self._refused.move_to_end(source)
            while len(self._refused) > SOURCES:
                self._refused.popitem(last=False)
            return before < self._burst <= level

    def _level(self, source: str, now: float) -> float:
        """Get the refusals not forgiven yet; the lock is held."""
        level, at = self._refused.get(source, (0.0, now))
        return max(0.0, level - (now - at) * self._rate)


def guard(app: Flask, gate: Gate | None = None) -> None:
    """Put a gate before an application's routes."""
    gate = gate or Gate()

    @app.before_request
    def let_in() -> Response | None:
        if request.path in OPEN or request.path == SIGNED or not gate.is_shut(_source()):
            return None
        return Response("later\n", 429, {"Retry-After": "60"}, mimetype="text/plain")

    @app.after_request
    def note(response: Response) -> Response:
        if response.status_code in REFUSALS and gate.refuse(_source()):
            logger.warning("turned somebody away too often: answering 429 for a while")
        return response


def _source() -> str:
    forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return forwarded[:64] or request.remote_addr or ""
