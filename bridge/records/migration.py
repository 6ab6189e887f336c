"""Bring the tables of the call records up to date.

The steps are Alembic revisions in ``migrations/versions``.  They run inside one transaction, on
Postgres under an advisory lock, so that several processes of one release may start at once.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

# Any number that no other program on the same Postgres takes an advisory lock on.
ADVISORY_LOCK = 0x54454C4E


def upgrade(engine: Engine) -> None:
    """Run the revisions that this database lacks; blocks until they are done."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        command.upgrade(configuration(connection), "head")


def current(engine: Engine) -> str | None:
    """Get the revision of a database; ``None`` for an empty one."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """Get the newest revision that this version of the bridge knows."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def configuration(connection: Connection | None = None) -> Config:
    """Make Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
