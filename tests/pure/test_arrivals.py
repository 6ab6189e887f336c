"""A key that comes by two roads is heard once, and one that comes by one road, too."""

from __future__ import annotations

from bridge.arrivals import APART, LATE, KeyArrivals


def test_a_key_of_the_stream_is_not_heard_again_by_webhook() -> None:
    """While there is a stream, its report is enough."""
    keys = KeyArrivals()
    assert keys.by_stream("5", 100.0)
    assert not keys.by_webhook("5", 100.4, since=90.0)
    assert not keys.by_webhook("6", 101.0, since=90.0)


def test_without_a_stream_the_webhook_is_enough() -> None:
    """Pressed while the socket was lost."""
    assert KeyArrivals().by_webhook("5", 100.0, since=None)


def test_a_webhook_that_is_late_tells_of_a_key_from_before_the_stream() -> None:
    """The stream began a moment ago and never saw that key."""
    keys = KeyArrivals()
    assert keys.by_webhook("5", 100.0 + LATE / 2, since=100.0)
    # The stream's own report of another press of it, later.
    assert keys.by_stream("5", 100.0 + LATE / 2 + APART + 0.1)


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
    assert not keys.by_webhook("1", 100.4, since=100.0)
    assert not keys.by_webhook("1", 100.5, since=100.0)
