"""Search past calls: what somebody typed, and one page of what there is.

Numbers and words that are searched for are sent in a form's body: addresses are written into the
logs of proxies.

Pure, but for the store, which blocks on the database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

from bridge.records.schema import CallRecord
from bridge.records.store import Position, RecordStore, position

__all__ = ["Page", "Query", "find", "read"]

# Calls on a page.
PAGE = 25

# Hours between a place's time and UTC lie within these.
LARGEST_OFFSET = 14 * 60


@dataclass(frozen=True)
class Query:
    """What is searched for; everything may be empty.

    Attributes:
        number: from or to it.
        text: words that were said.
        since: the first day.
        until: the last day.
        offset: minutes by which the searcher's time is behind UTC, as browsers count.
        after: where the page before ended.
        problem: what of it could not be read, in a sentence.
    """

    number: str = ""
    text: str = ""
    since: date | None = None
    until: date | None = None
    offset: int = 0
    after: Position | None = None
    problem: str = ""

    @property
    def empty(self) -> bool:
        """Whether everything is wanted."""
        return not (self.number or self.text or self.since or self.until)

    def moment(self, day: date) -> datetime:
        """Get a day's beginning where the searcher is."""
        zone = timezone(-timedelta(minutes=self.offset))
        return datetime.combine(day, time(), zone).astimezone(timezone.utc)


@dataclass(frozen=True)
class Page:
    """Some calls, and where the next page begins."""

    calls: tuple[CallRecord, ...]
    next: str | None


def read(form: Mapping[str, str]) -> Query:
    """Read a search form."""
    problems = []
    days: dict[str, date | None] = {}
    for name in ("since", "until"):
        try:
            days[name] = date.fromisoformat(form[name]) if form.get(name) else None
        except ValueError:
            days[name] = None
            problems.append("Write days like 2026-10-01.")
    offset = form.get("offset", "")
    minutes = int(offset) if re.fullmatch(r"-?[0-9]{1,4}", offset) else 0
    return Query(
        number=_number(form.get("number", "")),
        text=form.get("text", "").strip()[:200],
        since=days["since"],
        until=days["until"],
        offset=minutes if abs(minutes) <= LARGEST_OFFSET else 0,
        after=_position(form.get("after", "")),
        problem=" ".join(dict.fromkeys(problems)),
    )


def find(store: RecordStore, query: Query) -> Page:
    """Get one page of calls that are over, the newest first.

    Raises:
        RecordsError: the database failed.
    """
    before = query.moment(query.until + timedelta(days=1)) if query.until else None
    since = query.moment(query.since) if query.since else None
    found = store.calls(
        # One more tells whether there is another page.
        limit=PAGE + 1,
        before=before,
        after=query.after,
        number=query.number or None,
        text=query.text or None,
        live=False,
    )
    recent = [record for record in found if since is None or record.began_at >= since]
    more = len(recent) > PAGE
    page = recent[:PAGE]
    # A leg that somebody else was called on has events, and is no call of ours.
    ours = tuple(record for record in page if record.call_control_id)
    return Page(ours, _cursor(position(page[-1])) if more else None)


def _number(text: str) -> str:
    text = text.strip()
    bare = re.sub(r"[\s().\-/]", "", text)
    if re.fullmatch(r"\+?[0-9]{3,15}", bare):
        return bare if bare.startswith("+") else f"+{bare}"
    return text[:256]


def _cursor(place: Position) -> str:
    return f"{place[0].astimezone(timezone.utc).isoformat()} {place[1]}"


def _position(cursor: str) -> Position | None:
    moment, _, call_id = cursor.partition(" ")
    try:
        return datetime.fromisoformat(moment).astimezone(timezone.utc), call_id
    except (ValueError, OverflowError):
        return None
