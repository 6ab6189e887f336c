"""One process's place in the fleet: it shows that it lives, hears the others, sees who died.

A process that is killed says nothing.  But the system closes its connections at that moment, so
nobody listens to its channel any more, and its next sign of life does not come: both together, and
not one alone, mean that it is dead.  A process that is merely slow still listens; one whose
connection to Redis broke still beats, or is cut off from everything.

Threads: ``fleet``, one per process, listens and beats; it waits for a message until the next beat
is due.  Handlers are called on it and must not block.

Rules of this module:

1. Nobody is declared dead in the first seconds after Redis was away: its restart silences everyone.
2. The thread survives whatever Redis does; it tries again until the process ends.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import redis
from redis.client import PubSub

from bridge.failures import where
from bridge.fleet.store import FleetStore
from bridge.registry import RegistryAway
from telnyx_media.sync.threads import ThreadGroup

__all__ = ["Member", "Membership"]

logger = logging.getLogger(__name__)

# Seconds between two signs of life.
BEAT = 0.5

# Seconds without one after which a process that nobody can speak to is dead.
SILENT = 0.8

# Seconds without one after which it is dead though a connection of it seems to be open: its machine
# may have vanished.  A process that stood still for so long has lost its calls' audio anyway.
GONE = 8.0

# Seconds after Redis came back in which the others may find their way back, too.
SETTLE = 4.0

# Seconds between two tries to reach Redis.
RETRY = 0.5


@dataclass(frozen=True)
class Member:
    """A process of the fleet, as it was at our last beat.

    Attributes:
        process: its name.
        beat: its last sign of life, milliseconds of Redis's clock.
        silent: seconds since then.
        legs: the calls it holds.
        room: the calls it takes at most; 0 while it is stopping.
        heard: whether somebody listens to its channel; asked only of those that are silent.
    """

    process: str
    beat: int
    silent: float
    legs: int
    room: int
    heard: bool = True

    @property
    def alive(self) -> bool:
        """Whether it lives, slow as it may be."""
        return self.silent <= SILENT or (self.heard and self.silent <= GONE)


class Membership:
    """The fleet, as one process sees it; the owner calls :meth:`close`."""

    def __init__(
        self,
        store: FleetStore,
        process: str,
        *,
        room: Callable[[], int],
        on_message: Callable[[dict[str, Any]], object],
        on_dead: Callable[[Member], object],
        on_back: Callable[[], object],
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            store: Redis.
            process: our name.
            room: how many calls we take at most; 0 while we are stopping.
            on_message: called with what another process says to us.
            on_dead: called with a process that died and left calls, at every beat until it has
                none.
            on_back: called when Redis can be reached: at the begin, and after it was away.
        """
        self._store = store
        self._process = process
        self._room = room
        self._on_message = on_message
        self._on_dead = on_dead
        self._on_back = on_back
        self._group = ThreadGroup("bridge")
        # Guards what follows.
        self._lock = threading.Lock()
        self._started = False
        self._joined = threading.Event()
        self._members: dict[str, Member] = {}
        # The thread's own.
        self._settled_at = 0.0

    def start(self) -> None:
        """Join the fleet; returns at once, may be called again."""
        with self._lock:
            if self._started or self._group.stopping.is_set():
                return
            self._started = True
        self._group.spawn("fleet", self._run)

    def wait(self, timeout: float) -> bool:
        """Wait until we are heard and seen; whether we are."""
        return self._joined.wait(timeout)

    @property
    def joined(self) -> bool:
        """Whether others can speak to us."""
        return self._joined.is_set()

    def others(self) -> list[Member]:
        """Get the other processes that are alive and take calls."""
        with self._lock:
            members = list(self._members.values())
        return [m for m in members if m.process != self._process and m.room and m.alive]

    def tell(self, process: str, **message: object) -> bool:
        """Say something to a process; whether it was there to hear it."""
        try:
            return bool(self._store.run("tell", process, json.dumps(message)))
        except RegistryAway:
            return False

    def close(self) -> None:
        """Leave the fleet; may be called twice."""
        self._group.stop()
        if self._started:
            # Wakes the thread, which listens to this very channel.
            self.tell(self._process, kind="wake")
        self._group.join()
        if self._joined.is_set():
            self._joined.clear()
            try:
                self._store.run("farewell", self._process)
            except RegistryAway:
                return

    # -- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._group.stopping.is_set():
            try:
                channel = self._store.subscribe(self._process)
            except RegistryAway:
                self._group.stopping.wait(RETRY)
                continue
            try:
                self._live(channel)
            except (RegistryAway, redis.RedisError, OSError, ValueError) as error:
                logger.debug("lost the connection to the fleet: %s", type(error).__name__)
            finally:
                channel.close()
                if not self._group.stopping.is_set():
                    self._joined.clear()

    def _live(self, channel: PubSub) -> None:
        """Beat and listen until Redis is lost, or the end."""
        self._settled_at = time.monotonic() + SETTLE
        self._beat()
        self._call(self._on_back)
        self._joined.set()
        logger.info("joined the fleet")
        due = time.monotonic() + BEAT
        while not self._group.stopping.is_set():
            found = channel.get_message(
                ignore_subscribe_messages=True, timeout=max(0.0, due - time.monotonic())
            )
            if found is not None:
                self._take(found)
            if time.monotonic() >= due:
                self._beat()
                due = time.monotonic() + BEAT

    def _take(self, found: dict[str, Any]) -> None:
        try:
            message = json.loads(found["data"])
        except (ValueError, TypeError, KeyError):
            logger.warning("ignored a message in the fleet that is none")
            return
        if isinstance(message, dict) and message.get("kind") != "wake":
            self._call(lambda: self._on_message(message))

    def _beat(self) -> None:
        now, *flat = self._store.run("beat", self._process, self._room())
        members = {}
        for name, beat, legs, room in zip(
            flat[::4], flat[1::4], flat[2::4], flat[3::4], strict=True
        ):
            at = int(float(beat))
            members[name] = Member(name, at, (int(now) - at) / 1000, int(legs), int(room))
        silent = [member.process for member in members.values() if member.silent > SILENT]
        if silent:
            for name, listeners in self._store.listeners(silent).items():
                members[name] = replace(members[name], heard=listeners > 0)
        with self._lock:
            self._members = members
        if time.monotonic() > self._settled_at:
            for member in members.values():
                if not member.alive:
                    self._call(lambda member=member: self._on_dead(member))  # type: ignore[misc]

    def _call(self, handler: Callable[[], object]) -> None:
        try:
            handler()
        except RegistryAway:
            raise
        except Exception as error:  # noqa: BLE001 - the top of a thread, as it were
            logger.error("the fleet's work failed: %s", where(error))
