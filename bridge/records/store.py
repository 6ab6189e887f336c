"""Read and write the call records.

Threads: any; each call of a method is one transaction on a connection of its own, but within
:meth:`RecordStore.together`.  Blocks on the database.

Rules of this module:

1. Writing something that is there already changes nothing, so a write whose outcome is unknown is
   simply made again.
2. A row that belongs to a call whose row has not come yet makes that row: order does not matter.
3. What two processes say of one call is settled in one statement, never by reading first.
"""

from __future__ import annotations

import functools
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnDefault,
    ColumnElement,
    Connection,
    Select,
    String,
    Table,
    TextClause,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session, selectinload

from bridge.errors import RecordsError
from bridge.records import migration
from bridge.records.database import database_url, make_engine, told_plainly
from bridge.records.schema import (
    Base,
    CallRecord,
    CostRecord,
    DeliveryRecord,
    EventRecord,
    RecordingRecord,
    RemarkRecord,
)

__all__ = ["Position", "RecordStore", "database_url"]

Detail = type[EventRecord | RemarkRecord | RecordingRecord | CostRecord | DeliveryRecord]

# Where a page of a list ends: when that call began, and its id.
Position = tuple[datetime, str]

# A call that is said to be live after so long has lost whoever would have told of its end; Telnyx
# ends a call after four hours unless told otherwise (Telnyx: dial and answer commands).
LIVE_HOURS = 24


class RecordStore:
    """The call records of one database."""

    def __init__(self, url: str) -> None:
        """Prepare to connect; nothing is opened before the first use.

        Args:
            url: an SQLAlchemy database URL.

        Raises:
            RecordsError: the URL means nothing, or its driver is not installed.
        """
        self.engine = make_engine(url)
        self._up_to_date = False
        # The transaction that a thread is in, see together().
        self._shared = threading.local()

    @classmethod
    def of(cls, configured: str | None, home: Path) -> RecordStore:
        """Prepare to connect to ``DATABASE_URL``, or to the SQLite file in ``BRIDGE_HOME``."""
        return cls(database_url(configured, home))

    def upgrade(self) -> None:
        """Bring the tables up to date; safe when several processes do it at once.

        Raises:
            RecordsError: the database cannot be reached or changed.
        """
        with told_plainly():
            migration.upgrade(self.engine)
        self._up_to_date = True

    def require_tables(self) -> None:
        """Insist on tables that can be read; an SQLite file is brought up to date.

        Raises:
            RecordsError: the database cannot be reached, or has to be brought up to date.
        """
        if self._up_to_date:
            return
        if self.engine.dialect.name == "sqlite":
            self.upgrade()
            return
        with told_plainly():
            revision = migration.current(self.engine)
        if revision != migration.head() and migration.is_known(revision):
            raise RecordsError("the database is not up to date: run bridge db upgrade")
        self._up_to_date = True

    def revision(self) -> str | None:
        """Get the revision of the tables; ``None`` for an empty database.

        Raises:
            RecordsError: the database cannot be reached.
        """
        with told_plainly():
            return migration.current(self.engine)

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    # Writing.

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make what this thread writes in the block one transaction: all of it, or nothing.

        Raises:
            RecordsError: the database failed, or refused a value; then nothing was written.
        """
        with told_plainly(), self.engine.begin() as connection:
            self._shared.connection = connection
            try:
                yield
            finally:
                self._shared.connection = None

    def save_call(self, call_id: str, **fields: object) -> None:
        """Make the row of a call, or change these fields of it.

        Args:
            call_id: its ``call_leg_id``.
            **fields: columns of :class:`CallRecord`.  The earliest ``began_at`` stays, and the
                first ``media_at``, ``ended_at``, ``reason`` and ``hangup_cause``.

        Raises:
            RecordsError: the database failed, or refused a value.
        """
        values = _fit(CallRecord.__table__, fields)
        with self._write() as connection:
            self._make_call(connection, call_id)
            if values:
                given = {f"new_{name}": value for name, value in values.items()}
                connection.execute(_change_call(*values), {"this_id": _id(call_id), **given})

    def add(self, detail: Detail, call_id: str, **fields: object) -> None:
        """Write a remark, event, recording, cost or delivery, once: by its ``id``.

        Raises:
            RecordsError: the database failed, or refused a value.
        """
        with self._write() as connection:
            self._make_call(connection, call_id)
            self._insert(connection, detail, {**fields, "call_id": _id(call_id)})

    def save_remark(self, call_id: str, **fields: object) -> None:
        """Write a remark, or change these fields of it: a reply grows while it is said.

        Args:
            call_id: the call's ``call_leg_id``.
            **fields: columns of :class:`RemarkRecord`, its ``id`` among them.

        Raises:
            RecordsError: the database failed, or refused a value.
        """
        values = _fit(RemarkRecord.__table__, fields)
        with self._write() as connection:
            self._make_call(connection, call_id)
            values["call_id"] = _id(call_id)
            connection.execute(_change_remark(*values), values)

    def drop_remark(self, remark_id: str) -> None:
        """Delete a remark that came to nothing; one that is not there is no error.

        Raises:
            RecordsError: the database failed.
        """
        with self._write() as connection:
            connection.execute(delete(RemarkRecord).where(RemarkRecord.id == remark_id))

    def _make_call(self, connection: Connection, call_id: str) -> None:
        now = datetime.fromtimestamp(time.time(), timezone.utc)
        self._insert(connection, CallRecord, {"id": call_id, "began_at": now})

    def _insert(
        self, connection: Connection, kind: type[Base], fields: Mapping[str, object]
    ) -> None:
        values = _fit(kind.__table__, fields)
        connection.execute(_add(kind, *values), values)

    def finish_lost(self, now: datetime | None = None) -> int:
        """Mark the calls as ended whose end nobody told; the number of them."""
        limit = (now or datetime.now(timezone.utc)) - timedelta(hours=LIVE_HOURS)
        lost = and_(CallRecord.ended_at.is_(None), CallRecord.began_at < limit)
        last_said = (
            select(func.max(RemarkRecord.until))
            .where(RemarkRecord.call_id == CallRecord.id)
            .scalar_subquery()
        )
        with self._write() as connection:
            ids = list(connection.scalars(select(CallRecord.id).where(lost)))
            connection.execute(
                update(CallRecord)
                .where(CallRecord.id.in_(ids), CallRecord.ended_at.is_(None))
                .values(ended_at=func.coalesce(last_said, CallRecord.began_at), reason="lost")
            )
            return len(ids)

    def erase(self, call_ids: Iterable[str]) -> int:
        """Delete all rows of these calls; the number of calls that there were."""
        ids = list(call_ids)
        with self._write() as connection:
            found = list(connection.scalars(select(CallRecord.id).where(CallRecord.id.in_(ids))))
            connection.execute(delete(CallRecord).where(CallRecord.id.in_(found)))
            return len(found)

    def scrub(self) -> bool:
        """Have nothing be left of what was deleted in an SQLite file's log; whether that was done.

        Blocks while others read, for some seconds at most.

        Raises:
            RecordsError: the database failed.
        """
        if self.engine.dialect.name != "sqlite":
            return True
        with told_plainly():
            connection = self.engine.raw_connection()
        try:
            # Not within a transaction, which every other connection begins with.
            cursor = connection.cursor()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            row = cursor.fetchone()
            return row is not None and not row[0]
        except sqlite3.Error:
            return False
        finally:
            connection.close()

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
        after: Position | None = None,
        number: str | None = None,
        text: str | None = None,
        live: bool | None = None,
        whole: bool = True,
    ) -> list[CallRecord]:
        """List calls, the newest first.

        Args:
            limit: how many at most.
            before: only those that began before.
            after: only those that come behind this position in the list.
            number: only those from or to this number.
            text: only those in which this was said.
            live: only live ones, or only ended ones.
            whole: with everything that belongs to them; otherwise only what is in their own row.
        """
        query = (_whole() if whole else select(CallRecord)).limit(limit)
        query = query.order_by(CallRecord.began_at.desc(), CallRecord.id)
        query = query.where(*_conditions(before, after, number, text, live))
        with self._read() as session:
            return list(session.scalars(query))

    def every_call(
        self, *, page: int = 200, number: str | None = None, live: bool | None = None
    ) -> Iterator[CallRecord]:
        """Iterate over calls with everything that belongs to them, the newest first, in pages."""
        after: Position | None = None
        while found := self.calls(limit=page, after=after, number=number, live=live):
            yield from found
            after = position(found[-1])

    def recording(self, call_id: str, recording_id: str) -> RecordingRecord | None:
        """Get one recording of a call."""
        with self._read() as session:
            found = session.get(RecordingRecord, recording_id)
            return found if found is not None and found.call_id == call_id else None

    def ids(
        self,
        *,
        number: str | None = None,
        ended_before: datetime | None = None,
        beginning: str | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """List the ids of calls, the oldest first.

        Args:
            number: only those from or to this number.
            ended_before: only those that ended before; where the end is not known, that began then.
            beginning: only ids that begin so.
            limit: how many at most.
        """
        query = select(CallRecord.id).order_by(CallRecord.began_at, CallRecord.id).limit(limit)
        query = query.where(*_conditions(None, None, number, None, None))
        if ended_before is not None:
            ended = func.coalesce(CallRecord.ended_at, CallRecord.began_at)
            query = query.where(ended < ended_before)
        if beginning:
            query = query.where(CallRecord.id.startswith(beginning, autoescape=True))
        with self._read() as session:
            return list(session.scalars(query))

    def locations(self, call_id: str) -> list[str]:
        """Tell where the recordings of a call are."""
        with self._read() as session:
            query = select(RecordingRecord.location).where(RecordingRecord.call_id == call_id)
            return list(session.scalars(query))

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        shared: Connection | None = getattr(self._shared, "connection", None)
        if shared is not None:
            yield shared
            return
        with told_plainly(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Session]:
        self.require_tables()
        with told_plainly(), Session(self.engine, expire_on_commit=False) as session:
            yield session


def position(record: CallRecord) -> Position:
    """Tell where a call is in the list of calls."""
    return record.began_at, record.id


def _conditions(
    before: datetime | None,
    after: Position | None,
    number: str | None,
    text: str | None,
    live: bool | None,
) -> Iterator[ColumnElement[bool]]:
    if before is not None:
        yield CallRecord.began_at < before
    if after is not None:
        moment, call_id = after
        yield or_(
            CallRecord.began_at < moment,
            and_(CallRecord.began_at == moment, CallRecord.id > call_id),
        )
    if number:
        yield or_(CallRecord.from_number == number, CallRecord.to_number == number)
    if text:
        said = RemarkRecord.text.icontains(text, autoescape=True)
        yield CallRecord.id.in_(select(RemarkRecord.call_id).where(said))
    if live is not None:
        yield CallRecord.ended_at.is_(None) if live else CallRecord.ended_at.is_not(None)


# Of these the first value that is not empty stays.
_KEPT = ("media_at", "ended_at")
_KEPT_WORDS = ("reason", "hangup_cause")


# Statements are made once: what costs is not the database but making them anew for each write.
# SQLAlchemy keeps the compiled form of all but those with ``ON CONFLICT``, so these are kept as
# text, which SQLite and Postgres spell alike.


@functools.lru_cache(maxsize=256)
def _add(kind: type[Base], *names: str) -> TextClause:
    """Make the statement that writes these columns of a row, unless it is there."""
    table = _table(kind)
    return _as_text(table, sqlite.insert(table).on_conflict_do_nothing(), names)


@functools.lru_cache(maxsize=256)
def _change_remark(*names: str) -> TextClause:
    """Make the statement that writes a remark, or these columns of one that is not complete."""
    table = _table(RemarkRecord)
    statement = sqlite.insert(table)
    changed = statement.on_conflict_do_update(
        index_elements=[table.c.id],
        set_={name: statement.excluded[name] for name in names if name != "id"},
        where=table.c.until.is_(None),
    )
    return _as_text(table, changed, names)


def _as_text(table: Table, statement: sqlite.Insert, names: Iterable[str]) -> TextClause:
    """Write an insert of these columns out, with the defaults of the others."""
    kinds = {name: table.c[name].type for name in names}
    defaults: dict[str, Any] = {
        column.name: column.default.arg
        for column in table.c
        if column.name not in kinds and isinstance(column.default, ColumnDefault)
    }
    written = statement.compile(
        dialect=sqlite.dialect(paramstyle="named"), column_keys=[*kinds, *defaults]
    )
    given = {name: value(None) if callable(value) else value for name, value in defaults.items()}
    return text(str(written)).bindparams(
        *(bindparam(name, type_=kind) for name, kind in kinds.items()),
        *(bindparam(name, value, type_=table.c[name].type) for name, value in given.items()),
    )


def _table(kind: type[Base]) -> Table:
    table = kind.__table__
    assert isinstance(table, Table)
    return table


@functools.lru_cache(maxsize=64)
def _change_call(*names: str) -> Update:
    """Make the statement that changes these columns of a call: ``new_…`` of ``this_id``."""
    changes = {name: _settled(name) for name in names}
    return update(CallRecord).where(CallRecord.id == bindparam("this_id")).values(changes)


def _settled(name: str) -> object:
    """Say in SQL what a column becomes, whatever it holds by then."""
    column = getattr(CallRecord, name)
    value: ColumnElement[Any] = bindparam(f"new_{name}", type_=column.type)
    if name == "began_at":
        return case((column > value, value), else_=column)
    if name in _KEPT:
        return func.coalesce(column, value)
    if name in _KEPT_WORDS:
        return case((column == "", value), else_=column)
    return value


def _id(call_id: str) -> str:
    return str(_fit(CallRecord.__table__, {"id": call_id})["id"])


def _fit(table: Any, fields: Mapping[str, object]) -> dict[str, Any]:
    """Bring texts into a form that any database takes: a record with less beats no record."""
    fitted: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, str):
            # Postgres knows no zero character, and UTF-8 no half of a pair of surrogates.
            value = value.replace("\0", "").encode(errors="replace").decode()
            kind = table.c[name].type
            if isinstance(kind, String) and kind.length is not None:
                value = value[: kind.length]
        fitted[name] = value
    return fitted


def _whole() -> Select[tuple[CallRecord]]:
    return select(CallRecord).options(
        selectinload(CallRecord.remarks),
        selectinload(CallRecord.events),
        selectinload(CallRecord.recordings),
        selectinload(CallRecord.costs),
    )
