"""Redis as the fleet uses it: scripts, a channel per process, and knowing when it is away.

Redis may be restarted, fail over or hang at any time, and a call must not wait for it.  So every
command has a short time limit, and after one that failed the next ones fail at once, until it is
tried again half a second later.

Threads: any; a command blocks for :data:`TIMEOUT` seconds at most.

Rules of this module:

1. Whatever Redis does wrong becomes :class:`~bridge.registry.RegistryAway`, without its text: an
   address may hold a password.
2. A command is not repeated: who sees that it failed does not know whether it was done.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.retry import Retry

from bridge.fleet.scripts import SCRIPTS
from bridge.registry import RegistryAway

__all__ = ["FleetStore", "namespace"]

logger = logging.getLogger(__name__)

# Seconds that one command may take.
TIMEOUT = 1.0

# Seconds after a failure in which nothing is tried.
PAUSE = 0.5


def namespace(public_url: str) -> str:
    """Make the prefix of the keys of one application: several may share a Redis."""
    return f"bridge:{{{hashlib.sha256(public_url.encode()).hexdigest()[:8]}}}:"


class FleetStore:
    """Redis, behind the fleet's own words.

    Attributes:
        prefix: what all its keys begin with.
    """

    def __init__(self, url: str, prefix: str, *, timeout: float = TIMEOUT) -> None:
        """Prepare; no connection is made before the first command.

        Args:
            url: ``redis://`` or ``rediss://``.
            prefix: what the keys begin with, see :func:`namespace`.
            timeout: seconds that a command may take.
        """
        self.prefix = prefix
        self._redis: Any = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
        self._scripts = {name: self._redis.register_script(text) for name, text in SCRIPTS.items()}
        # Guards what follows.
        self._lock = threading.Lock()
        self._away = False
        self._try_at = 0.0

    @property
    def available(self) -> bool:
        """Whether the last command was answered; true before the first."""
        return not self._away

    def run(self, script: str, *arguments: str | int | float) -> Any:
        """Run a script by its name.

        Raises:
            RegistryAway: Redis did not answer, or not as it should.
        """
        return self._guarded(lambda: self._scripts[script](keys=[self.prefix], args=arguments))

    def call(self, command: str, key: str, *arguments: str | int | float) -> Any:
        """Send one command about one key of the fleet.

        Raises:
            RegistryAway: Redis did not answer, or not as it should.
        """
        return self._guarded(
            lambda: self._redis.execute_command(command, self.prefix + key, *arguments)
        )

    def listeners(self, processes: list[str]) -> dict[str, int]:
        """Count who listens to each process's channel: nobody, when it is dead.

        Raises:
            RegistryAway: Redis did not answer.
        """
        channels = [self.channel(process) for process in processes]
        found = self._guarded(lambda: self._redis.pubsub_numsub(*channels))
        counts = {str(channel): int(count) for channel, count in found}
        return {process: counts.get(self.channel(process), 0) for process in processes}

    def channel(self, process: str) -> str:
        """Name the channel that a process listens to."""
        return f"{self.prefix}to:{process}"

    def subscribe(self, process: str) -> PubSub:
        """Listen to a process's channel on a connection of its own.

        Raises:
            RegistryAway: Redis did not answer.
        """

        def subscribe() -> PubSub:
            pubsub: PubSub = self._redis.pubsub()
            try:
                pubsub.subscribe(self.channel(process))
                # Until Redis has said so, nobody is listening.
                pubsub.get_message(timeout=TIMEOUT)
            except BaseException:
                pubsub.close()
                raise
            return pubsub

        return self._guarded(subscribe, insist=True)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _guarded(self, command: Any, *, insist: bool = False) -> Any:
        with self._lock:
            now = time.monotonic()
            if self._away and not insist and now < self._try_at:
                raise RegistryAway("Redis is away")
            # Of many who wait for it, one tries.
            self._try_at = now + PAUSE
        try:
            answer = command()
        except (redis.RedisError, OSError, ValueError) as error:
            self._note(away=True, error=error)
            raise RegistryAway(f"Redis is away: {type(error).__name__}") from None
        self._note(away=False)
        return answer

    def _note(self, *, away: bool, error: Exception | None = None) -> None:
        with self._lock:
            changed = away != self._away
            self._away = away
            if away:
                self._try_at = time.monotonic() + PAUSE
        if changed and away:
            logger.error(
                "Redis is away (%s): calls go on, new ones are refused", type(error).__name__
            )
        elif changed:
            logger.info("Redis is back")
