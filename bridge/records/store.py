"""Read and write the call records.

Threads: any; each call of a method is one transaction on a connection of its own.  Blocks on the
database.

Rules of this module:

1. Writing something that is there already changes nothing, so a write whose outcome is unknown is
   simply made again.
2. A row that belongs to a call whose row has not come yet makes that row: order does not matter.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

from sqlalchemy import (
    ColumnElement,
    Engine,
    Select,
    and_,
    create_engine,
    delete,
    event,
    or_,
    select,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.orm import Session, selectinload

from bridge.errors import RecordsError
from bridge.records import migration
from bridge.records.schema import (
    CallRecord,
    CostRecord,
    EventRecord,
    RecordingRecord,
    RemarkRecord,
)

Detail = EventRecord | RemarkRecord | RecordingRecord | CostRecord

# How long SQLite waits for another process's write, in milliseconds.
BUSY_MS = 5000


def database_url(configured: str | None, home: Path) -> str:
    """Get the URL of the database: the configured one, else an SQLite file in ``home``."""
    return configured or f"sqlite:///{home / 'calls.db'}"


class RecordStore:
    """The call records of one database."""

    def __init__(self, url: str) -> None:
        """Prepare to connect; nothing is opened before the first use.

        Args:
            url: an SQLAlchemy database URL.

        Raises:
            RecordsError: the URL means nothing, or its driver is not installed.
        """
        try:
            parsed = make_url(url)
            if parsed.get_backend_name() == "sqlite" and parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            self.engine: Engine = create_engine(parsed, pool_pre_ping=True)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise RecordsError(f"DATABASE_URL: {error}") from None
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _prepare_sqlite)

    def upgrade(self) -> None:
        """Bring the tables up to date; safe when several processes do it at once.

        Raises:
            RecordsError: the database cannot be reached or changed.
        """
        with told_plainly():
            migration.upgrade(self.engine)

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    # Writing.

    def save_call(self, call_id: str, **fields: object) -> None:
        """Make the row of a call, or change these fields of it.

        Args:
            call_id: its ``call_leg_id``.
            **fields: columns of :class:`CallRecord`; ``ended_at`` of an ended call stays.
        """
        with self._write() as session:
            record = _call(session, call_id)
            if record.ended_at is not None:
                for name in ("ended_at", "reason", "hangup_cause"):
                    fields.pop(name, None)
            if record.media_at is not None:
                fields.pop("media_at", None)
            for name, value in fields.items():
                setattr(record, name, value)

    def add(self, detail: Detail) -> None:
        """Write a remark, event, recording or cost, once."""
        with self._write() as session:
            _call(session, detail.call_id)
            session.flush()
            session.merge(detail)

    def forget_call(self, call_id: str) -> list[str] | None:
        """Delete all data of one call.

        Returns:
            Where its recordings are, for the caller to delete; ``None`` if there is no such call.
        """
        with self._write() as session:
            record = session.get(CallRecord, call_id)
            if record is None:
                return None
            locations = [recording.location for recording in record.recordings]
            session.delete(record)
            return locations

    def forget_number(self, number: str) -> tuple[int, list[str]]:
        """Delete all data of the calls from or to a number.

        Returns:
            How many calls there were, and where their recordings are.
        """
        return self._forget(or_(CallRecord.from_number == number, CallRecord.to_number == number))

    def forget_older_than(self, days: float, now: datetime | None = None) -> tuple[int, list[str]]:
        """Delete all data of the calls that ended more than ``days`` days ago.

        Returns:
            How many calls there were, and where their recordings are.
        """
        limit = (now or datetime.now(timezone.utc)) - timedelta(days=days)
        return self._forget(CallRecord.ended_at < limit)

    def _forget(self, which: ColumnElement[bool]) -> tuple[int, list[str]]:
        with self._write() as session:
            ids = list(session.scalars(select(CallRecord.id).where(which)))
            locations = list(
                session.scalars(
                    select(RecordingRecord.location).where(RecordingRecord.call_id.in_(ids))
                )
            )
            session.execute(delete(CallRecord).where(CallRecord.id.in_(ids)))
            return len(ids), locations

    # Reading.

    def call(self, call_id: str) -> CallRecord | None:
        """Get a call with everything that belongs to it, or ``None``."""
        with self._read() as session:
            return session.scalar(_whole().where(CallRecord.id == call_id))

    def calls(
        self,
        *,
        limit: int = 50,
        before: datetime | None = None,
        number: str | None = None,
        text: str | None = None,
        live: bool | None = None,
    ) -> list[CallRecord]:
        """List calls with everything that belongs to them, the newest first.

        Args:
            limit: how many at most.
            before: only those that began before.
            number: only those from or to this number.
            text: only those in which this was said.
            live: only live ones, or only ended ones.
        """
        query = _whole().order_by(CallRecord.began_at.desc(), CallRecord.id).limit(limit)
        if before is not None:
            query = query.where(CallRecord.began_at < before)
        if number:
            query = query.where(
                or_(CallRecord.from_number == number, CallRecord.to_number == number)
            )
        if text:
            query = query.where(
                CallRecord.id.in_(
                    select(RemarkRecord.call_id).where(
                        RemarkRecord.text.icontains(text, autoescape=True)
                    )
                )
            )
        if live is not None:
            query = query.where(
                CallRecord.ended_at.is_(None) if live else CallRecord.ended_at.is_not(None)
            )
        with self._read() as session:
            return list(session.scalars(query))

    def every_call(self, *, page: int = 200) -> Iterator[CallRecord]:
        """Iterate over all calls, the newest first, a page at a time."""
        after: CallRecord | None = None
        while True:
            query = _whole().order_by(CallRecord.began_at.desc(), CallRecord.id).limit(page)
            if after is not None:
                query = query.where(
                    or_(
                        CallRecord.began_at < after.began_at,
                        and_(CallRecord.began_at == after.began_at, CallRecord.id > after.id),
                    )
                )
            with self._read() as session:
                found = list(session.scalars(query))
            if not found:
                return
            yield from found
            after = found[-1]

    @contextmanager
    def _write(self) -> Iterator[Session]:
        with told_plainly():
            try:
                with Session(self.engine) as session, session.begin():
                    yield session
            except IntegrityError:
                # Another process made the row between our look and our insert; it is there now, so
                # whoever retries finds it.
                raise RecordsError("the record was written by two processes at once") from None

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with told_plainly(), Session(self.engine, expire_on_commit=False) as session:
            yield session


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn a database's error into one line without values, statements or passwords.

    Raises:
        RecordsError: the database failed.
    """
    try:
        yield
    except SQLAlchemyError as error:
        # A value that the database refuses will be refused again; its message may hold the value.
        lasting = isinstance(error, DataError) or not isinstance(error, DBAPIError)
        cause = "" if lasting else str(getattr(error, "orig", None) or "")
        line = (cause.strip().splitlines() or [type(error).__name__])[0]
        raise RecordsError(f"the database failed: {line[:200]}", lasting=lasting) from None


def _call(session: Session, call_id: str) -> CallRecord:
    record = session.get(CallRecord, call_id)
    if record is None:
        record = CallRecord(id=call_id, began_at=datetime.fromtimestamp(time.time(), timezone.utc))
        session.add(record)
    return record


def _whole() -> Select[tuple[CallRecord]]:
    return select(CallRecord).options(
        selectinload(CallRecord.remarks),
        selectinload(CallRecord.events),
        selectinload(CallRecord.recordings),
        selectinload(CallRecord.costs),
    )


def _prepare_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
