"""A key that comes by two roads is heard once, and one that comes by one road, too."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from bridge.arrivals import APART, LATE, KeyArrivals, pressed_at


def test_a_key_of_the_stream_is_not_heard_again_by_webhook() -> None:
    """While there is a stream, its report is enough, however late the webhook comes."""
    keys = KeyArrivals()
    assert keys.by_stream("5", 100.0)
    assert not keys.by_webhook("5", 100.1, since=90.0)
    assert not keys.by_webhook("6", 101.0, since=90.0)
    assert keys.by_stream("6", 101.0)


def test_without_a_stream_the_webhook_is_enough() -> None:
    """Pressed while the socket was lost."""
    assert KeyArrivals().by_webhook("5", 100.0, since=None)


def test_a_webhook_that_is_late_tells_of_a_key_from_before_the_stream() -> None:
    """The stream began a moment ago and never saw that key."""
    keys = KeyArrivals()
    assert keys.by_webhook("5", 99.0, since=100.0)
    # The stream's own report of another press of it, later.
    assert keys.by_stream("5", 99.0 + APART + 0.1)


def test_in_a_young_stream_each_road_is_matched_with_the_other() -> None:
    """Whichever comes first is heard."""
    keys = KeyArrivals()
    assert keys.by_stream("5", 100.5)
    assert not keys.by_webhook("5", 100.6, since=100.0)
    assert keys.by_webhook("7", 101.0, since=100.0)
    assert not keys.by_stream("7", 101.2)


def test_the_same_key_twice_is_two_keys() -> None:
    """Two presses of one key, both by both roads."""
    keys = KeyArrivals()
    assert keys.by_stream("1", 100.1)
    assert keys.by_stream("1", 100.3)
    assert not keys.by_webhook("1", 100.1, since=90.0)
    assert not keys.by_webhook("1", 100.3, since=90.0)
    assert [at for _, at in keys.heard] == [100.1, 100.3]


def test_a_key_that_a_lost_stream_never_told_is_heard_when_it_is_lost() -> None:
    """Its webhook had come, and the stream's report was waited for."""
    keys = KeyArrivals()
    assert not keys.by_webhook("4", 100.0, since=10.0)
    assert not keys.by_webhook("5", 101.0, since=10.0)
    assert keys.by_stream("4", 100.0)
    assert keys.stream_lost(101.2) == ["5"]
    assert keys.stream_lost(101.3) == []


def test_a_webhook_of_long_ago_is_no_key_of_a_lost_stream() -> None:
    """A stream that lived on for a while has told what there was."""
    keys = KeyArrivals()
    assert not keys.by_webhook("5", 100.0, since=10.0)
    assert keys.stream_lost(100.0 + LATE + 1) == []


def test_a_webhook_that_comes_twice_is_one_key() -> None:
    """Read again by whoever took the leg over, and then delivered as well."""
    keys = KeyArrivals()
    assert keys.by_webhook("5", 100.0, since=None)
    assert not keys.by_webhook("5", 100.0, since=None)


def test_the_next_holder_of_a_leg_hears_no_key_again_and_misses_none() -> None:
    """It knows what was heard, and gets the webhooks of the last seconds."""
    before = KeyArrivals()
    assert before.by_stream("1", 100.0)
    assert before.by_webhook("2", 101.0, since=None)
    after = KeyArrivals(before.heard)
    assert not after.by_webhook("1", 100.0, since=None)
    assert not after.by_webhook("2", 101.0, since=None)
    assert after.by_webhook("3", 102.0, since=None)
    assert [digit for digit, _ in after.heard] == ["1", "2", "3"]


def test_a_key_that_is_nobodys_business_is_known_by_its_time() -> None:
    """Keys that were asked for privately are not written down."""
    before = KeyArrivals()
    assert before.by_stream("8", 100.0)
    before.hide_last()
    assert before.heard == (("", 100.0),)
    assert not KeyArrivals(before.heard).by_webhook("8", 100.2, since=None)


@pytest.mark.parametrize("text", ["2026-11-22T10:00:00.5Z", "2026-11-22T11:00:00.500000+01:00"])
def test_a_press_is_as_old_as_its_report_says(text: str) -> None:
    """Telnyx writes ISO 8601."""
    moment = datetime(2026, 11, 22, 10, 0, 0, 500_000, tzinfo=timezone.utc)
    assert pressed_at(text, 7.0) == moment.timestamp()
    assert pressed_at(moment, 7.0) == moment.timestamp()


@pytest.mark.parametrize("text", ["", None, "yesterday", "2026-11-22T10:00:00"])
def test_a_press_of_an_unknown_time_was_just_now(text: str | None) -> None:
    """No time, or one without a zone."""
    assert pressed_at(text, 7.0) == 7.0
