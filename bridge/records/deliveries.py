"""Post-call webhooks that are to be sent, kept in the database until they were taken.

A webhook that waits in memory is lost with its process.  So the wish to send one is a row, and
whichever process has time takes the next one that is due; taking it moves its due into the future,
so that no other process has it meanwhile and that it comes back if this one dies.

Threads: any; blocks on the database.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from bridge.records.database import told_plainly
from bridge.records.schema import DeliveryRecord
from bridge.records.store import RecordStore

__all__ = ["Deliveries", "Delivery", "delivery_id"]


@dataclass(frozen=True)
class Delivery:
    """One webhook to be sent now.

    Attributes:
        id: its ``webhook-id``.
        call_id: the call that it tells of.
        attempt: which attempt this is, from 1.
    """

    id: str
    call_id: str
    attempt: int


class Deliveries:
    """The post-call webhooks of one database."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    def want(self, call_id: str, due_at: datetime) -> None:
        """Have a call's webhook sent at ``due_at``, or sooner if that was said before; once.

        Raises:
            RecordsError: the database failed.
        """
        key = delivery_id(call_id)
        self._store.add(DeliveryRecord, call_id, id=key, due_at=due_at)
        with told_plainly(), Session(self._store.engine) as session, session.begin():
            session.execute(
                update(DeliveryRecord)
                .where(
                    DeliveryRecord.id == key,
                    DeliveryRecord.attempts == 0,
                    DeliveryRecord.due_at > due_at,
                )
                .values(due_at=due_at)
            )

    def take(self, now: datetime, again_at: datetime) -> Delivery | None:
        """Take a webhook that is due; nobody else gets it before ``again_at``.

        Raises:
            RecordsError: the database failed.
        """
        waiting = (DeliveryRecord.sent_at.is_(None), DeliveryRecord.given_up.is_(False))
        query = (
            select(DeliveryRecord.id, DeliveryRecord.call_id, DeliveryRecord.attempts)
            .where(*waiting, DeliveryRecord.due_at <= now)
            .order_by(DeliveryRecord.due_at)
            .limit(20)
        )
        with told_plainly(), Session(self._store.engine) as session, session.begin():
            candidates = list(session.execute(query))
        for key, call_id, attempts in candidates:
            # Whoever's update finds the number of attempts unchanged has it.
            with told_plainly(), Session(self._store.engine) as session, session.begin():
                changed = session.execute(
                    update(DeliveryRecord)
                    .where(DeliveryRecord.id == key, DeliveryRecord.attempts == attempts, *waiting)
                    .values(attempts=attempts + 1, due_at=again_at)
                )
                if changed.rowcount == 1:  # type: ignore[attr-defined]  # an update's result has it
                    return Delivery(key, call_id, attempts + 1)
        return None

    def settle(self, delivery: Delivery, **fields: object) -> None:
        """Write down what became of an attempt: ``sent_at``, ``given_up`` or a new ``due_at``.

        Raises:
            RecordsError: the database failed.
        """
        with told_plainly(), Session(self._store.engine) as session, session.begin():
            session.execute(
                update(DeliveryRecord).where(DeliveryRecord.id == delivery.id).values(**fields)
            )

    def next_due(self) -> datetime | None:
        """Tell when the next webhook is due, if there is one.

        Raises:
            RecordsError: the database failed.
        """
        query = (
            select(DeliveryRecord.due_at)
            .where(DeliveryRecord.sent_at.is_(None), DeliveryRecord.given_up.is_(False))
            .order_by(DeliveryRecord.due_at)
            .limit(1)
        )
        with told_plainly(), Session(self._store.engine) as session:
            return session.scalar(query)


def delivery_id(call_id: str) -> str:
    """Get the id of a call's webhook: the same whoever asks, so it is sent once."""
    return f"msg_{hashlib.sha256(f'call.ended/{call_id}'.encode()).hexdigest()[:32]}"
