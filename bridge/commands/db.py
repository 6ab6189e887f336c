"""``bridge db``: the database of call records."""

from __future__ import annotations

from collections.abc import Callable

import click

from bridge.errors import RecordsError, StorageError
from bridge.records import migration
from bridge.records.database import told_plainly
from bridge.records.erasure import Erased, Eraser
from bridge.records.store import RecordStore
from bridge.settings import Settings
from bridge.storage import make_storage

yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


@click.group("db")
def command() -> None:
    """Look after the database of call records (DATABASE_URL, or an SQLite file in BRIDGE_HOME)."""


@command.command()
def upgrade() -> None:
    """Bring the tables up to date; safe at any time and from several places at once."""
    store = _store(Settings.from_environ())
    try:
        store.upgrade()
        click.echo(f"up to date: revision {_revision(store)}")
    finally:
        store.close()


@command.command()
def current() -> None:
    """Say which revision the tables have; exit status 1 if it is not the newest."""
    store = _store(Settings.from_environ())
    try:
        revision = _revision(store)
    finally:
        store.close()
    if revision != migration.head():
        raise RecordsError(
            f"revision {revision or 'none'}, the newest is {migration.head()}: "
            "run bridge db upgrade"
        )
    click.echo(f"revision {revision}, the newest")


@command.command()
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    metavar="DAYS",
    help="Calls that ended more than so many days ago.",
)
@yes_option
def purge(days: float, yes: bool) -> None:
    """Delete the records and recordings of old calls."""
    _confirm(f"Delete all calls that ended more than {days:g} days ago?", yes)
    _erase(lambda eraser: eraser.erase_older_than(days))


@command.command()
@click.argument("call_id", required=False)
@click.option("--number", help="All calls from or to this number, as Telnyx writes it: +1…")
@yes_option
def forget(call_id: str | None, number: str | None, yes: bool) -> None:
    """Delete all data of one call, or of all calls of a number: records and recordings."""
    if (call_id is None) == (number is None):
        raise click.UsageError("name either a call or a --number")
    _confirm(f"Delete all data of {'call ' + call_id if call_id else 'that number'}?", yes)
    done = _erase(
        lambda eraser: eraser.erase([call_id]) if call_id else eraser.erase_number(number or "")
    )
    if not done.calls and call_id:
        raise RecordsError("there is no such call")


def _erase(what: Callable[[Eraser], Erased]) -> Erased:
    settings = Settings.from_environ()
    store = _store(settings)
    place = settings.recordings
    storage = make_storage(place, settings.home) if place else None
    try:
        store.require_tables()
        done = what(Eraser(store, storage))
    finally:
        store.close()
    click.echo(f"deleted {done.calls} calls and {done.recordings} recordings")
    if done.kept:
        raise StorageError(f"{done.kept} calls are still there: {done.problem}")
    return done


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True)


def _store(settings: Settings) -> RecordStore:
    return RecordStore.of(settings.database_url, settings.home)


def _revision(store: RecordStore) -> str | None:
    with told_plainly():
        return migration.current(store.engine)
