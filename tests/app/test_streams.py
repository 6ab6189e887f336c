"""Which media streams a leg has, and by when it has to have one."""

from __future__ import annotations

import logging

import pytest

from bridge.logs import leg_logger
from bridge.stream import MediaStream
from bridge.streams import RESTARTS, STEADY, Streams


def stream() -> MediaStream:
    """A stream of which nothing is read here."""
    return MediaStream(None, None, leg_logger(logging.getLogger("test"), "tag"))  # type: ignore[arg-type]


@pytest.fixture
def streams() -> Streams:
    """A leg's streams, none of them there yet, one expected at 10."""
    made = Streams()
    made.expect(10.0)
    return made


def test_the_sooner_time_counts(streams: Streams) -> None:
    """A stream is expected by the earliest time that was said, and not once it is there."""
    streams.expect(20.0)
    assert streams.due == 10.0
    streams.expect(5.0)
    assert streams.due == 5.0
    streams.start(stream(), 1.0)
    assert streams.due is None
    streams.expect(9.0)
    assert streams.due is None


def test_a_failed_stream_is_not_waited_for(streams: Streams) -> None:
    """Bad news makes a waited-for stream due at once, and a stream that is there not at all."""
    assert streams.hurry(2.0)
    assert streams.due == 2.0
    streams.start(stream(), 3.0)
    assert not streams.hurry(4.0)
    assert streams.due is None


def test_nobody_waits_for_a_stream_that_was_not_asked_for() -> None:
    """Bad news about a stream that nobody expects changes nothing."""
    streams = Streams()
    assert not streams.hurry(2.0)
    assert streams.due is None


def test_the_newest_counts(streams: Streams) -> None:
    """A newer stream supersedes the older one, whose end is then nobody's loss."""
    first, second = stream(), stream()
    assert streams.start(first, 1.0) is None
    assert streams.start(second, 2.0) is first
    assert (first.current, second.current) == (False, True)
    assert not streams.close(first, 3.0)
    assert streams.current is second
    assert streams.close(second, 4.0)
    assert streams.current is None
    assert streams.started == 2


def test_a_stream_is_not_asked_for_for_ever(streams: Streams) -> None:
    """Streams that do not come, or do not last, are given up after so many tries."""
    for _ in range(RESTARTS):
        assert streams.restart(5.0)
    assert not streams.restart(6.0)
    short = stream()
    streams.start(short, 7.0)
    streams.close(short, 7.0 + STEADY / 2)
    assert not streams.restart(8.0)


def test_a_stream_that_lasted_makes_up_for_those_before(streams: Streams) -> None:
    """After a while of audio, a loss is a new one."""
    for _ in range(RESTARTS):
        streams.restart(5.0)
    steady = stream()
    streams.start(steady, 7.0)
    streams.close(steady, 7.0 + STEADY)
    assert streams.restart(20.0)
    assert streams.due == 20.0


def test_bad_frames_of_all_sockets_are_counted(streams: Streams) -> None:
    """What came over a socket that is closed stays counted."""
    for count in (2, 3):
        bad = stream()
        bad.bad_frames = count
        streams.open.add(bad)
        streams.close(bad, 1.0)
    assert streams.bad_frames == 5
    assert streams.open == set()
