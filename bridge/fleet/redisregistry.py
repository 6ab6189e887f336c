"""The registry of several processes.

What :class:`~bridge.registry.MemoryRegistry` is for one process, this is for all that share a
Redis; and beyond it, which leg lives where.  What concerns the legs of this process is remembered
here as well, so that their calls go on while Redis is away.

Threads: any may call any method; each blocks for one answer of Redis, a second at most.

Rules of this module:

1. A leg has one owner, and changes it in one step in Redis: the epoch counts the steps.
2. While Redis is away no leg begins; sockets and events of our own legs are judged by what is
   remembered here.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
import threading
from collections.abc import Callable

from bridge.call import CallInfo
from bridge.fleet.estates import Parts, inherit, read_info
from bridge.fleet.store import FleetStore
from bridge.inheritance import Inheritance, encode_info
from bridge.registry import (
    EVENT_MEMORY,
    RECONNECT_GRACE,
    TOKEN_LIFETIME,
    Claim,
    MemoryRegistry,
    Refusal,
    RegistryAway,
)

__all__ = ["RedisRegistry"]

logger = logging.getLogger(__name__)

_REFUSALS: dict[str, Refusal] = {
    "unknown": "unknown",
    "ended": "ended",
    "in use": "in use",
    "expired": "expired",
    "elsewhere": "elsewhere",
}


class RedisRegistry:
    """The registry of a fleet, as one of its processes sees it.

    Attributes:
        process: this process's name in the fleet.
        store: Redis.
    """

    def __init__(
        self,
        store: FleetStore,
        process: str,
        *,
        token_lifetime: float = TOKEN_LIFETIME,
        grace: float = RECONNECT_GRACE,
        ask_to_let_go: Callable[[str, str, int, bool], None] = lambda *leg: None,
        joined: Callable[[], bool] = lambda: True,
    ) -> None:
        """Make the view of one process; nothing is sent.

        Args:
            store: Redis.
            process: a name that no other process has, nor ever had.
            token_lifetime: seconds within which a token must be used for the first time.
            grace: seconds within which a token whose socket was lost is accepted once more.
            ask_to_let_go: called with a process, a leg, its epoch and whether to wait until the
                process has let go of it, when that leg's socket was opened here.
            joined: whether other processes can speak to this one; may wait for that.
        """
        self.process = process
        self.store = store
        self._ask_to_let_go = ask_to_let_go
        self._joined = joined
        self._token_lifetime = token_lifetime
        self._grace = grace
        self._local = MemoryRegistry(token_lifetime=token_lifetime, grace=grace)
        # Guards the epochs of the legs that live here.
        self._lock = threading.Lock()
        self._epochs: dict[str, int] = {}

    # -- the registry -----------------------------------------------------------------------------

    def seen_event(self, event_id: str) -> bool:
        """Remember an event id; whether it was there already, at any process."""
        if self._local.seen_event(event_id):
            return True
        key = f"event:{_short(event_id)}"
        try:
            first = self.store.call("SET", key, self.process, "NX", "EX", int(EVENT_MEMORY))
        except RegistryAway:
            return False
        return first is None

    def accept(self, event_id: str, body: str) -> None:
        """Keep an event until it was acted on, so that others do it if this process dies before."""
        with contextlib.suppress(RegistryAway):
            self.store.run("receive", _short(event_id), self.process, body)

    def handled(self, event_id: str) -> None:
        """Keep an event no longer."""
        with contextlib.suppress(RegistryAway):
            self.store.call("HDEL", f"inbox:{self.process}", _short(event_id))

    def salvage(self, process: str, seen: int) -> list[str]:
        """Take the events that a process was told of and did not live to act on.

        Args:
            process: whose.
            seen: its last sign of life, as Redis has noted it.

        Returns:
            Their bodies; they count as seen by this process.

        Raises:
            RegistryAway: Redis cannot be asked.
        """
        return list(self.store.run("salvage", process, self.process, seen))

    def begin(self, info: CallInfo) -> bool:
        """Enter a leg of this process; False if it is live already or has ended.

        Raises:
            RegistryAway: Redis cannot be asked.
        """
        if not self._joined():
            raise RegistryAway("Redis is away")
        entered = self.store.run(
            "begin",
            info.call_control_id,
            info.call_leg_id,
            self.process,
            encode_info(info),
            secrets.token_hex(8),
        )
        if not entered or not self._local.begin(info):
            return False
        with self._lock:
            self._epochs[info.call_control_id] = 1
        return True

    def find(self, key: str) -> CallInfo | None:
        """Get a live leg of any process by ``call_control_id`` or ``call_leg_id``."""
        found = self._local.find(key)
        if found is not None:
            return found
        try:
            leg = self.store.call("GET", f"legid:{key}") or key
            text = self.store.call("HGET", f"leg:{leg}", "info")
        except RegistryAway:
            return None
        return read_info(text)

    def end(self, key: str) -> bool:
        """Remove a leg for good, its tokens with it; whether it was live, and this process's."""
        ours = self._local.end(key)
        with self._lock:
            self._epochs.pop(key, None)
        try:
            done = self.store.run("end", key, self.process)
        except RegistryAway:
            # Taken out when Redis is back, see `reconcile`.
            return ours
        return ours and done != 2

    def forget(self, key: str) -> None:
        """Let go of a leg that has moved to another process."""
        self._local.forget(key)
        with self._lock:
            self._epochs.pop(key, None)

    def has_ended(self, key: str) -> bool:
        """Whether a leg of this id is known to be over."""
        if self._local.has_ended(key):
            return True
        try:
            return bool(self.store.call("EXISTS", f"ended:{key}"))
        except RegistryAway:
            return False

    def count(self) -> int:
        """Number of live legs of this process."""
        return self._local.count()

    def mint(self, call_control_id: str) -> str:
        """Make a stream token for a live leg."""
        token = self._local.mint(call_control_id)
        try:
            self.store.run(
                "mint", _digest(token), call_control_id, round(self._token_lifetime * 1000)
            )
        except RegistryAway:
            logger.warning("a media stream can be opened to this process only: Redis is away")
        return token

    def claim(self, token: str) -> Claim | Refusal:
        """Take a token for a socket that is about to open, and its leg with it.

        Blocks until the leg's process has let go of it, if that was another one.
        """
        try:
            answer = self.store.run("claim", _digest(token), self.process, "")
        except RegistryAway:
            return self._local.claim(token)
        if answer[0] == "unknown":
            # Minted while Redis was away, perhaps.
            return self._local.claim(token)
        if answer[0] != "taken":
            return _REFUSALS.get(answer[0], "unknown")
        _, key, again, owner, *estate = answer
        if owner == self.process:
            self._local.claim(token)
            return Claim(key, again=bool(again))
        left = self._inherit(key, estate)
        if left is None:
            return "ended"
        # An agent that has not begun is not waited for.
        self._ask_to_let_go(owner, key, left.epoch, left.resumed)
        whole = self._with_history(left)
        return "elsewhere" if whole is None else Claim(key, bool(again), whole, owner)

    def release(self, token: str, *, lost: bool) -> None:
        """Say that the token's socket is gone, ``lost`` if Telnyx may come back with it."""
        self._local.release(token, lost=lost)
        try:
            self.store.run(
                "release", _digest(token), "1" if lost else "", round(self._grace * 1000)
            )
        except RegistryAway:
            return

    # -- the fleet --------------------------------------------------------------------------------

    def owner(self, token: str) -> str:
        """Get the process that the token's leg lives in; ``""`` if that is not known."""
        try:
            answer = self.store.run("claim", _digest(token), self.process, "1")
        except RegistryAway:
            return ""
        return str(answer[3]) if answer[0] == "taken" else ""

    def epoch(self, key: str) -> int:
        """Get the epoch in which a leg came to live here; 0 if it does not."""
        with self._lock:
            return self._epochs.get(key, 0)

    def holds(self, key: str) -> bool | None:
        """Ask whether a leg lives here still; ``None`` if that cannot be known now."""
        try:
            found = self.store.run("holds", key, self.process, self.epoch(key))
        except RegistryAway:
            return None
        return None if found < 0 else bool(found)

    def adopt(self, process: str, seen: int) -> Inheritance | None:
        """Take one leg of a process that has shown no life since; ``None`` if it has no more.

        Args:
            process: whose.
            seen: its last sign of life, as Redis has noted it.

        Raises:
            RegistryAway: Redis cannot be asked.
        """
        while True:
            answer = self.store.run("adopt", process, self.process, seen)
            if answer[0] != "taken":
                return None
            left = self._inherit(answer[1], answer[2:])
            whole = None if left is None else self._with_history(left)
            if whole is not None:
                return whole

    def confirm(self, info: CallInfo, parts: Parts, *, talking: bool, age: float) -> bool:
        """Ask whether a leg still lives here, entering it again if Redis has forgotten it.

        Args:
            info: the leg.
            parts: its history; the rest of what it would leave.
            talking: whether its agent has begun.
            age: seconds since it began.

        Raises:
            RegistryAway: Redis cannot be asked.
        """
        ours = self.store.run(
            "confirm",
            info.call_control_id,
            info.call_leg_id,
            self.process,
            encode_info(info),
            "1" if talking else "",
            round(age * 1000),
            # Counted on from here: a lower one would seem to be of a time before this leg was ours.
            max(1, self.epoch(info.call_control_id)),
        )
        if ours and parts:
            self.write(info.call_control_id, parts)
        return bool(ours)

    def name_agent(self, key: str, agent: str) -> None:
        """Have whoever takes a leg over know its agent; see ``Inheritance.agent``."""
        with contextlib.suppress(RegistryAway):
            self.store.call("HSET", f"leg:{key}", "agent", agent)

    def legs(self) -> list[str]:
        """List the legs that live here as Redis has it.

        Raises:
            RegistryAway: Redis cannot be asked.
        """
        return list(self.store.call("SMEMBERS", f"legs:{self.process}"))

    def write(self, key: str, parts: Parts) -> None:
        """Write parts of a leg's history; nothing happens if others have gone on with it.

        Raises:
            RegistryAway: Redis cannot be asked.
        """
        self.store.run("write", key, self.process, *(text for part in parts for text in part))

    def _inherit(self, key: str, estate: list[str | int]) -> Inheritance | None:
        text, talking, age, epoch, agent = estate
        info = read_info(text)
        if info is None:
            return None
        self._local.begin(info)
        with self._lock:
            self._epochs[key] = int(epoch)
        return Inheritance(
            info, bool(talking), age=int(age) / 1000, epoch=int(epoch), agent=str(agent)
        )

    def _with_history(self, left: Inheritance) -> Inheritance | None:
        """Add what was said and who spoke last; ``None`` if somebody else has the leg by now."""
        key = left.info.call_control_id
        try:
            found = self.store.run("inherit", key, self.process)
        except RegistryAway:
            return left
        if not found:
            self.forget(key)
            return None
        flat, mail, late = found
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        whole, parts = inherit(left, fields, [*mail, *late])
        if parts:
            with contextlib.suppress(RegistryAway):
                self.write(key, parts)
        return whole


def _short(event_id: str) -> str:
    return hashlib.sha256(event_id.encode()).hexdigest()[:24]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
