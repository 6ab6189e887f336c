"""Delete all data of calls: rows and recordings.

Threads: any.  Blocks on the database and on where recordings are kept.

Rule of this module: a call's rows go when its recordings are gone, never before; otherwise nobody
would know any more what is left to delete.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from bridge.errors import StorageError
from bridge.records.store import RecordStore
from bridge.storage import Storage

__all__ = ["Erased", "Eraser", "Retention"]

logger = logging.getLogger(__name__)

# Calls at a time, so that a first purge of years holds up nothing for long.
PAGE = 100


@dataclass
class Erased:
    """What was deleted.

    Attributes:
        calls: how many calls.
        recordings: how many of their recordings.
        kept: calls that are still there because a recording could not be deleted.
        problem: why the first of those could not.
    """

    calls: int = 0
    recordings: int = 0
    kept: int = 0
    problem: str = ""


class Eraser:
    """Deletes calls with everything that belongs to them."""

    def __init__(self, store: RecordStore, storage: Storage | None) -> None:
        """Prepare.

        Args:
            store: has the rows.
            storage: has the recordings, if any are made.
        """
        self._store = store
        self._storage = storage

    def erase(self, call_ids: Iterable[str]) -> Erased:
        """Delete these calls.

        Raises:
            RecordsError: the database failed.
        """
        result = Erased()
        for call_id in call_ids:
            try:
                result.recordings += self._erase_recordings(call_id)
            except StorageError as error:
                result.kept += 1
                result.problem = result.problem or str(error)
                continue
            result.calls += self._store.erase([call_id])
        if result.calls and not self._store.scrub():
            logger.warning("what was deleted is in the database's log for a while: it is in use")
        return result

    def _erase_recordings(self, call_id: str) -> int:
        locations = self._store.locations(call_id)
        for location in locations:
            if self._storage is None:
                raise StorageError("BRIDGE_RECORDINGS does not say where recordings are")
            self._storage.delete(location)
        return len(locations)

    def erase_number(self, number: str) -> Erased:
        """Delete the calls from or to a number."""
        return self.erase(self._store.ids(number=number))

    def erase_older_than(
        self, days: float, now: datetime | None = None, limit: int | None = None
    ) -> Erased:
        """Delete the calls that ended more than ``days`` days ago, ``limit`` of them at most."""
        before = (now or datetime.now(timezone.utc)) - timedelta(days=days)
        return self.erase(self._store.ids(ended_before=before, limit=limit))


class Retention:
    """Tidies up now and then: what is too old goes, and what was lost is marked as ended."""

    def __init__(self, store: RecordStore, eraser: Eraser, days: float | None) -> None:
        """Prepare.

        Args:
            store: has the rows.
            eraser: deletes.
            days: how long calls are kept; ``None``: for ever.
        """
        self._store = store
        self._eraser = eraser
        self._days = days

    def __call__(self) -> None:
        """Do one round; raises RecordsError."""
        lost = self._store.finish_lost()
        if lost:
            logger.warning("marked %d calls as ended whose end nobody told", lost)
        if self._days is None:
            return
        done = self._eraser.erase_older_than(self._days, limit=PAGE)
        if done.calls:
            logger.info("deleted %d calls that were too old", done.calls)
        if done.kept:
            logger.error("could not delete %d calls: %s", done.kept, done.problem)
