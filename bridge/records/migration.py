"""Bring the tables of the call records up to date.

The steps are Alembic revisions in ``migrations/versions``.  They run inside one transaction, on
Postgres under an advisory lock and on SQLite under its write lock, so that several processes of one
release may start at once and one that is killed leaves nothing half done.

Blocks on the database.
"""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

__all__ = ["configuration", "current", "head", "is_known", "upgrade"]

logger = logging.getLogger(__name__)

# Any number that no other program on the same Postgres takes an advisory lock on.
ADVISORY_LOCK = 0x54454C4E

# Execution option of a connection whose transaction is to be the only one that writes.
EXCLUSIVE = "bridge_exclusive"


def upgrade(engine: Engine) -> None:
    """Run the revisions that this database lacks; blocks until they are done.

    A database that a newer version of the bridge has brought further is left as it is: revisions
    add, and this version uses what it knows.
    """
    with engine.connect().execution_options(**{EXCLUSIVE: True}) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        revision = MigrationContext.configure(connection).get_current_revision()
        if not is_known(revision):
            logger.warning("the database of call records is of a newer version: %s", revision)
            return
        if revision != head():
            command.upgrade(configuration(connection), "head")
            logger.info("brought the database of call records to revision %s", head())


def current(engine: Engine) -> str | None:
    """Get the revision of a database; ``None`` for an empty one."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """Get the newest revision that this version of the bridge knows."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def is_known(revision: str | None) -> bool:
    """Whether this version of the bridge has the steps up to a revision."""
    script = ScriptDirectory.from_config(configuration())
    return revision is None or revision in {step.revision for step in script.walk_revisions()}


def configuration(connection: Connection | None = None) -> Config:
    """Make Alembic's configuration, without a file."""
    config = Config()
    # Alembic reads a percent sign of this value as the beginning of a placeholder.
    folder = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
