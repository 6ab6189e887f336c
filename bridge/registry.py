"""What all processes that serve one Telnyx application have to agree on.

Which webhook events were seen, which stream tokens are out, which legs are live and how many there
may be.  Facts only, nothing that belongs to one process: :class:`MemoryRegistry` keeps them for a
single process, and another one behind the same :class:`Registry` protocol can keep them elsewhere.

Threads: any thread may call any method; none blocks beyond a short lock.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from bridge.call import CallInfo
from bridge.errors import BridgeError
from bridge.inheritance import Inheritance

__all__ = ["Claim", "MemoryRegistry", "Refusal", "Registry", "RegistryAway"]

# How long an event id is remembered: Telnyx's retries span a minute, a failover URL a little more;
# its pages give no number, so ten minutes and a bound by count.
EVENT_MEMORY = 600.0
EVENT_LIMIT = 100_000

# How long after its stream was asked for a token may be used for the first time.
TOKEN_LIFETIME = 60.0

# How long after its socket was lost without a `stop` frame a token is accepted once more.
RECONNECT_GRACE = 5.0

Refusal = Literal["unknown", "expired", "in use", "ended", "elsewhere"]


class RegistryAway(BridgeError):
    """What processes share cannot be reached: calls go on, and none begins."""


@dataclass(frozen=True)
class Claim:
    """A media stream that may begin.

    Attributes:
        call_control_id: the leg that the token was minted for.
        again: whether this token's socket was lost before and Telnyx has come back.
        inheritance: the leg, if it has lived in another process until now.
        owner: the process it has lived in until now, if that was another one.
    """

    call_control_id: str
    again: bool = False
    inheritance: Inheritance | None = None
    owner: str = ""


class Registry(Protocol):
    """The shared facts; see :class:`MemoryRegistry` for the words."""

    def seen_event(self, event_id: str) -> bool:
        """Remember an event id; whether it was there already."""

    def begin(self, info: CallInfo) -> bool:
        """Enter a leg; False if it is live already or has ended; raise ``RegistryAway``."""

    def find(self, key: str) -> CallInfo | None:
        """Get a live leg by ``call_control_id`` or ``call_leg_id``."""

    def end(self, key: str) -> bool:
        """Remove a leg for good, its tokens with it; whether it was live, and this process's."""

    def forget(self, key: str) -> None:
        """Let go of a leg that has moved to another process."""

    def has_ended(self, key: str) -> bool:
        """Whether a leg of this id is known to be over."""

    def count(self) -> int:
        """Number of live legs."""

    def mint(self, call_control_id: str) -> str:
        """Make a stream token for a leg."""

    def claim(self, token: str) -> Claim | Refusal:
        """Take a token for a socket that is about to open."""

    def release(self, token: str, *, lost: bool) -> None:
        """Say that the token's socket is gone, ``lost`` meaning without a ``stop`` frame."""


class _Memory:
    """Ids that were seen: for a while, and not more than so many."""

    def __init__(self, lifetime: float, limit: int) -> None:
        self._lifetime = lifetime
        self._limit = limit
        self._seen: OrderedDict[str, float] = OrderedDict()

    def add(self, key: str, now: float) -> bool:
        """Remember ``key``; whether it was there already."""
        known = self.has(key, now)
        self._seen[key] = now
        self._seen.move_to_end(key)
        while self._seen:
            oldest = next(iter(self._seen))
            if len(self._seen) <= self._limit and self._seen[oldest] > now - self._lifetime:
                break
            del self._seen[oldest]
        return known

    def has(self, key: str, now: float) -> bool:
        """Whether ``key`` was added less than a lifetime ago."""
        added = self._seen.get(key)
        return added is not None and added > now - self._lifetime


@dataclass
class _Token:
    """A stream token that is out.

    Attributes:
        digest: what it is found by and compared with; the token itself is not kept.
        call_control_id: its leg.
        usable_until: when a token that waits for its socket expires.
        in_use: whether its socket lives.
        again: whether it was accepted once more already.
    """

    digest: bytes
    call_control_id: str
    usable_until: float
    in_use: bool = False
    again: bool = False


class MemoryRegistry:
    """The registry of a single process.

    Event ids and ended legs are remembered for ten minutes at least and bounded by count.  A token
    is 256 random bits, known here by its digest only, so a lookup's timing says nothing about it.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        token_lifetime: float = TOKEN_LIFETIME,
        grace: float = RECONNECT_GRACE,
    ) -> None:
        """Make an empty registry.

        Args:
            clock: gives the time in seconds; only differences count.
            token_lifetime: seconds within which a token must be used for the first time.
            grace: seconds within which a token whose socket was lost is accepted once more.
        """
        self._clock = clock
        self._token_lifetime = token_lifetime
        self._grace = grace
        # Guards everything below.
        self._lock = threading.Lock()
        self._events = _Memory(EVENT_MEMORY, EVENT_LIMIT)
        self._ended = _Memory(EVENT_MEMORY, EVENT_LIMIT)
        self._legs: dict[str, CallInfo] = {}
        self._by_leg_id: dict[str, str] = {}
        self._tokens: dict[bytes, _Token] = {}

    def seen_event(self, event_id: str) -> bool:
        """Remember an event id; whether it was there already."""
        with self._lock:
            return self._events.add(event_id, self._clock())

    def begin(self, info: CallInfo) -> bool:
        """Enter a leg; False if it is live already or has ended."""
        key = info.call_control_id
        with self._lock:
            if key in self._legs or self._ended.has(key, self._clock()):
                return False
            self._legs[key] = info
            if info.call_leg_id:
                self._by_leg_id[info.call_leg_id] = key
            return True

    def find(self, key: str) -> CallInfo | None:
        """Get a live leg by ``call_control_id`` or ``call_leg_id``."""
        with self._lock:
            return self._legs.get(self._by_leg_id.get(key, key))

    def end(self, key: str) -> bool:
        """Remove a leg for good, its tokens with it.

        A leg that was never begun is remembered as ended too: its ``call.hangup`` may be delivered
        before its ``call.initiated``.

        Returns:
            Whether it was live.
        """
        with self._lock:
            key = self._by_leg_id.get(key, key)
            self._ended.add(key, self._clock())
            return self._remove(key)

    def _remove(self, key: str) -> bool:
        """Remove a leg and its tokens; the lock is held."""
        info = self._legs.pop(key, None)
        if info is None:
            return False
        self._by_leg_id.pop(info.call_leg_id, None)
        for digest in [d for d, t in self._tokens.items() if t.call_control_id == key]:
            del self._tokens[digest]
        return True

    def forget(self, key: str) -> None:
        """Let go of a leg, and its tokens, without remembering that it has ended."""
        with self._lock:
            self._remove(key)

    def has_ended(self, key: str) -> bool:
        """Whether a leg of this id is known to be over."""
        with self._lock:
            return self._ended.has(key, self._clock())

    def count(self) -> int:
        """Number of live legs."""
        with self._lock:
            return len(self._legs)

    def mint(self, call_control_id: str) -> str:
        """Make a stream token for a live leg."""
        token = secrets.token_urlsafe(32)
        digest = _digest(token)
        with self._lock:
            until = self._clock() + self._token_lifetime
            self._tokens[digest] = _Token(digest, call_control_id, until)
        return token

    def claim(self, token: str) -> Claim | Refusal:
        """Take a token for a socket that is about to open.

        It is accepted once, and once more within the grace period after its socket was lost.

        Returns:
            The claim, or why it is refused.
        """
        digest = _digest(token)
        with self._lock:
            found = self._tokens.get(digest)
            if found is None or not hmac.compare_digest(found.digest, digest):
                return "unknown"
            if found.call_control_id not in self._legs:
                return "ended"
            if found.in_use:
                return "in use"
            if self._clock() > found.usable_until:
                return "expired"
            found.in_use = True
            return Claim(found.call_control_id, again=found.again)

    def release(self, token: str, *, lost: bool) -> None:
        """Say that the token's socket is gone.

        Args:
            token: the token that was claimed.
            lost: whether the socket went without a ``stop`` frame, so that Telnyx may come back.
        """
        with self._lock:
            found = self._tokens.get(_digest(token))
            if found is None or not found.in_use:
                return
            if not lost or found.again:
                del self._tokens[found.digest]
                return
            found.in_use = False
            found.again = True
            found.usable_until = self._clock() + self._grace


def _digest(token: str) -> bytes:
    """Make what a token is known by."""
    return hashlib.sha256(token.encode()).digest()
