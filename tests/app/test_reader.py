"""One thread that reads many sockets: messages, ends, and what is raised."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from bridge.errors import BridgeError
from bridge.reader import FEW, Reader
from telnyx_media.sync.threads import ThreadGroup
from tests.loopback import PATIENCE, wait_until


class Gone(Exception):
    """A source has ended."""


class Source:
    """A socket as the reader needs it; each byte is a message."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.bell, self.ear = socket.socketpair()
        self.ours.setblocking(False)
        self.behind = False
        self.taken_by: set[str] = set()

    def filenos(self) -> tuple[int, int]:
        """Get what to wait on."""
        return self.ours.fileno(), self.ear.fileno()

    def take(self) -> list[bytes]:
        """Take what there is."""
        self.taken_by.add(threading.current_thread().name)
        try:
            data = self.ours.recv(1024)
        except BlockingIOError:
            self.behind = False
            return []
        if not data:
            raise Gone
        return [data[i : i + 1] for i in range(len(data))]

    def close(self) -> None:
        """Close all ends."""
        for end in (self.ours, self.theirs, self.bell, self.ear):
            end.close()


@pytest.fixture
def source() -> Iterator[Source]:
    """A source that has not ended."""
    made = Source()
    yield made
    made.close()


@pytest.fixture
def reader() -> Iterator[Reader]:
    """A reader."""
    with Reader() as made:
        yield made


class Reading:
    """A thread that has a source read."""

    def __init__(self, reader: Reader, source: Source, group: ThreadGroup) -> None:
        self.heard: list[bytes] = []
        self.error: BaseException | None = None
        self._reader, self._source = reader, source
        self.thread = group.spawn("test", self._run)

    def _run(self) -> None:
        try:
            self._reader.read(self._source, self._hear)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    def _hear(self, message: bytes) -> None:
        self.heard.append(message)
        if message == b"!":
            raise ValueError("as told")


@pytest.fixture
def group() -> Iterator[ThreadGroup]:
    """Threads of a test."""
    with ThreadGroup("test", timeout=PATIENCE) as threads:
        yield threads


def test_messages_come_on_the_readers_thread(
    reader: Reader, source: Source, group: ThreadGroup
) -> None:
    """Messages are delivered in order, by the one thread, until the source ends."""
    reading = Reading(reader, source, group)
    source.theirs.sendall(b"abc")
    wait_until(lambda: len(reading.heard) == 3)
    source.theirs.close()
    reading.thread.join(PATIENCE)

    assert reading.heard == [b"a", b"b", b"c"]
    assert isinstance(reading.error, Gone)
    assert source.taken_by == {"reader/bridge"}


def test_what_a_delivery_raises_ends_its_own_reading_only(
    reader: Reader, source: Source, group: ThreadGroup
) -> None:
    """A failure is raised where its socket is waited for; the others are read on."""
    other = Source()
    failing, reading = Reading(reader, source, group), Reading(reader, other, group)
    source.theirs.sendall(b"a!b")
    failing.thread.join(PATIENCE)
    other.theirs.sendall(b"x")
    wait_until(lambda: reading.heard == [b"x"])
    other.theirs.close()
    reading.thread.join(PATIENCE)
    other.close()

    assert failing.heard == [b"a", b"!"]
    assert isinstance(failing.error, ValueError)
    assert isinstance(reading.error, Gone)


def test_a_source_is_looked_at_when_it_rings(
    reader: Reader, source: Source, group: ThreadGroup
) -> None:
    """A source that has news of its own is taken from although its peer sends nothing."""
    reading = Reading(reader, source, group)
    source.bell.sendall(b"!")
    wait_until(lambda: source.taken_by)
    source.theirs.close()
    reading.thread.join(PATIENCE)

    assert isinstance(reading.error, Gone)


def test_a_source_that_is_behind_is_looked_at_when_its_peer_reads(
    reader: Reader, source: Source, group: ThreadGroup
) -> None:
    """What waits to be sent is tried again as soon as the peer takes it."""
    reading = Reading(reader, source, group)
    source.behind = True
    source.theirs.sendall(b"a")
    wait_until(lambda: not source.behind)
    source.theirs.close()
    reading.thread.join(PATIENCE)

    assert reading.heard == [b"a"]


def test_many_sources_are_read_round_after_round(reader: Reader, group: ThreadGroup) -> None:
    """With many sockets the thread rests between its rounds, and nothing is lost."""
    sources = [Source() for _ in range(3 * FEW)]
    readings = [Reading(reader, source, group) for source in sources]
    for _ in range(20):
        for source in sources:
            source.theirs.sendall(b"a")
    wait_until(lambda: all(len(reading.heard) == 20 for reading in readings))
    for source in sources:
        source.theirs.close()
    for reading, source in zip(readings, sources, strict=True):
        reading.thread.join(PATIENCE)
        source.close()

    assert all(isinstance(reading.error, Gone) for reading in readings)


def test_closing_ends_what_is_read(source: Source, group: ThreadGroup) -> None:
    """A reader that is closed ends its readings, takes no more, and may be closed again."""
    reader = Reader()
    reading = Reading(reader, source, group)
    source.theirs.sendall(b"a")
    wait_until(lambda: reading.heard)
    reader.close()
    reader.close()
    reading.thread.join(PATIENCE)

    assert isinstance(reading.error, BridgeError)
    with pytest.raises(BridgeError):
        reader.read(source, print)


def test_a_reader_that_was_never_used_has_no_thread() -> None:
    """Making one starts nothing; closing it is harmless."""
    before = threading.active_count()
    with Reader():
        assert threading.active_count() == before


def test_something_is_done_after_each_round(source: Source, group: ThreadGroup) -> None:
    """What is to be done once for all that came is done when all of it was delivered."""
    done: list[int] = []
    readings: list[Reading] = []
    with Reader(after=lambda: done.append(len(readings[0].heard))) as reader:
        readings.append(Reading(reader, source, group))
        source.theirs.sendall(b"abc")
        wait_until(lambda: 3 in done)
        source.theirs.close()
        readings[0].thread.join(PATIENCE)

    assert readings[0].heard == [b"a", b"b", b"c"]
