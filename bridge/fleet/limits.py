"""What the processes count together, so that a limit holds for all of them and not for each.

Who is counted is known by a digest: no address is in Redis.

Threads: any; each method blocks for one answer of Redis, a second at most.

Rule of this module: while Redis is away nothing is counted here and nobody is over a limit; whoever
asks counts for himself as well.
"""

from __future__ import annotations

import hashlib

from bridge.fleet.store import FleetStore
from bridge.registry import RegistryAway

__all__ = ["Limits"]


class Limits:
    """The counts that all processes share."""

    def __init__(self, store: FleetStore) -> None:
        """Prepare; nothing is sent.

        Args:
            store: Redis.
        """
        self._store = store

    def refuse(self, source: str, burst: int, rate: float) -> float:
        """Count a refusal of a source; get how many are not forgiven yet.

        Args:
            source: who was turned away.
            burst: beyond so many none is counted.
            rate: refusals that are forgiven each second.
        """
        try:
            level = self._store.run("refuse", _digest(source), burst, rate)
        except RegistryAway:
            return 0.0
        return float(level)

    def take(self, source: str, from_one: int, from_all: int, window: float) -> float:
        """Take one of the tries that a source has in a window, and all sources together.

        Args:
            source: who tries.
            from_one: tries of one source.
            from_all: tries of all.
            window: seconds.

        Returns:
            0; or the seconds until there is one, and then none was taken.
        """
        try:
            wait = self._store.run("try", _digest(source), from_one, from_all, round(window * 1000))
        except RegistryAway:
            return 0.0
        return float(wait) / 1000

    def give_back(self, source: str) -> None:
        """Give back a try that was a good one."""
        try:
            self._store.run("untry", _digest(source))
        except RegistryAway:
            return


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode(errors="replace")).hexdigest()[:24]
