"""Connections to the database of call records: SQLite or Postgres.

Threads: any.  Making an engine opens nothing.

Rules of this module:

1. A database that hangs is an error after seconds, not a thread that hangs with it.
2. No error holds a value, a statement or a password.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic.util import CommandError as MigrationError
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from bridge.errors import RecordsError
from bridge.records.migration import EXCLUSIVE

__all__ = ["database_url", "make_engine", "told_plainly"]

# How long SQLite waits for another process's write, in milliseconds.
BUSY_MS = 5000

# Of a Postgres that is gone without a word: seconds to connect, and until an answer is given up.
POSTGRES = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    # In milliseconds.
    "tcp_user_timeout": 10_000,
}


def database_url(configured: str | None, home: Path) -> str:
    """Get the URL of the database: the configured one, else an SQLite file in ``home``."""
    return configured or f"sqlite:///{home / 'calls.db'}"


def make_engine(url: str) -> Engine:
    """Prepare to connect; nothing is opened before the first use.

    Args:
        url: an SQLAlchemy database URL.

    Raises:
        RecordsError: the URL means nothing, or its driver is not installed.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        if backend == "sqlite":
            engine = create_engine(parsed)
            event.listen(engine, "do_connect", _private_file(parsed))
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        if backend == "postgresql":
            return create_engine(
                parsed,
                pool_pre_ping=True,
                # Statements that a server prepared are lost behind a pooling proxy.
                connect_args={**POSTGRES, "prepare_threshold": None, **parsed.query},
            )
    except ModuleNotFoundError as error:
        hint = "; install telnyx-bridge[postgres]" if error.name == "psycopg" else ""
        raise RecordsError(f"DATABASE_URL: {error}{hint}") from None
    except (ArgumentError, NoSuchModuleError) as error:
        # The first line of these names the driver, or says that it is no URL; never a password.
        raise RecordsError(f"DATABASE_URL: {str(error).splitlines()[0]}") from None
    raise RecordsError("DATABASE_URL: must be of Postgres or SQLite")


def _private_file(url: URL) -> Any:
    """Make a hook that makes the file before SQLite does, for the owner's eyes only."""

    def make(*_: object) -> None:
        path = Path(url.database or "")
        if not url.database or url.database == ":memory:" or path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))

    return make


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own idea of when a transaction begins leaves out changes of tables.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA synchronous=NORMAL")
    # What is deleted is overwritten, and not just left to be used again.
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    exclusive = connection.get_execution_options().get(EXCLUSIVE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if exclusive else "BEGIN")


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
        lasting = _is_lasting(error)
        cause = "" if lasting else str(getattr(error, "orig", None) or "")
        line = (cause.strip().splitlines() or [type(error).__name__])[0]
        raise RecordsError(f"the database failed: {line[:200]}", lasting=lasting) from None
    except MigrationError as error:
        raise RecordsError(f"the database cannot be brought up to date: {error}") from None
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        raise RecordsError(f"the database failed: {error.strerror}{place}") from None


def _is_lasting(error: SQLAlchemyError) -> bool:
    if not isinstance(error, DBAPIError) or isinstance(error, DataError | IntegrityError):
        return True
    # The driver refused the value before the database saw it: then there is no SQLSTATE.  A table
    # that is not there yet has one.
    refused = isinstance(error, ProgrammingError) and not getattr(error.orig, "sqlstate", None)
    return refused or (
        type(error.orig).__module__ == "sqlite3" and not isinstance(error, OperationalError)
    )
