"""Databases for the tests of the call records: each test runs on SQLite and on a real Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from sqlalchemy import text

from bridge.call import CallInfo
from bridge.records.store import RecordStore
from bridge.values import database_url
from tests.conftest import binary_or_skip
from tests.loopback.postgres import Postgres, find_binary

NOON = datetime(2026, 10, 1, 12, 0, tzinfo=timezone.utc)

INFO = CallInfo(
    call_control_id="v3:one",
    call_leg_id="leg-1",
    call_session_id="session-1",
    connection_id="app-1",
    from_number="+12025550123",
    to_number="+12025550199",
    tag="aaaaaa",
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server for the module's tests."""
    with Postgres(binary_or_skip("Postgres", find_binary())) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """An empty database on a real server."""
    url = database_url(postgres.url)
    store = RecordStore(url)
    with store.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    store.close()
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'home' / 'calls.db'}"
    found = request.getfixturevalue("postgres_url")
    assert isinstance(found, str)
    return found


@pytest.fixture
def store(url: str) -> Iterator[RecordStore]:
    """An up-to-date store in it."""
    made = RecordStore(url)
    made.upgrade()
    yield made
    made.close()
