"""What is sent of a reply, over which socket, and what is held back."""

from __future__ import annotations

import json
import math

import pytest

from bridge.delivery import Delivery
from bridge.mediasocket import SocketClosed
from bridge.playout import Playout

PACKET = bytes(160)


class Line:
    """A media socket that keeps what it was sent, or fails when it is told to."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.backlog = 0
        self.broken = False

    def send(self, text: str | bytes) -> None:
        """Keep it."""
        if self.broken:
            raise SocketClosed(1006, "lost")
        self.sent.append(json.loads(text)["event"])

    def flush(self) -> int:
        """Tell what still waits."""
        if self.broken:
            raise SocketClosed(1006, "lost")
        return self.backlog

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Break."""
        self.broken = True


class Tape:
    """A tap that keeps what passed."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def outbound(self, payload: bytes) -> None:
        """Keep it."""
        self.seen.append("audio")

    def cleared(self) -> None:
        """Keep it."""
        self.seen.append("clear")


@pytest.fixture
def line() -> Line:
    """A socket that works."""
    return Line()


@pytest.fixture
def delivery(line: Line) -> Delivery:
    """A delivery with a socket, and two seconds of one sentence to be sent."""
    made = Delivery(Playout())
    made.connect(line, 0.0)
    speak(made)
    return made


def speak(delivery: Delivery, packets: int = 100) -> None:
    """Begin a reply of so many packets."""
    delivery.begin()
    segment = delivery.playout.add_segment("One two three four five six seven eight nine ten.")
    delivery.playout.add(segment, [PACKET] * packets)
    delivery.playout.end_segment(segment)
    delivery.playout.end()


def run(delivery: Delivery, start: float, end: float) -> None:
    """Send what is due, as the pacer would, between two times."""
    now = start
    while now < end:
        delivery.send_due(now)
        now = max(now + 0.001, min(end, delivery.next_due(now)))


def test_a_reply_is_sent_with_its_mark(delivery: Delivery, line: Line) -> None:
    """All audio leaves, a mark behind it; heard to its end it is over."""
    run(delivery, 0.0, 2.5)
    assert line.sent[-1] == "mark"
    assert set(line.sent[:-1]) == {"media"}
    assert delivery.finish(2.5) is None
    delivery.playout.mark_returned("1.0", 2.05)
    heard = delivery.finish(2.05)
    assert heard == "One two three four five six seven eight nine ten."
    assert delivery.next_due(3.0) == math.inf


def test_without_a_socket_nothing_is_lost(line: Line) -> None:
    """A reply that begins before there is a socket is sent when there is one."""
    delivery = Delivery(Playout())
    speak(delivery)
    assert delivery.send_due(0.0) == 0
    delivery.connect(line, 1.0)
    assert delivery.send_due(1.0) >= 1


def test_a_hold_clears_once_and_a_release_goes_on(delivery: Delivery, line: Line) -> None:
    """What was sent ahead is taken back once, and said again from the word that was heard."""
    run(delivery, 0.0, 0.5)
    delivery.hold("barge-in", 0.5)
    delivery.hold("barge-in", 0.5)
    assert line.sent.count("clear") == 1
    assert delivery.send_due(0.6) == 0
    delivery.release("barge-in", 1.0)
    assert delivery.send_due(1.0) >= 1


def test_two_reasons_to_hold_are_both_waited_for(delivery: Delivery, line: Line) -> None:
    """A reply that is held twice goes on after the second release only."""
    run(delivery, 0.0, 0.3)
    delivery.hold("barge-in", 0.3)
    delivery.disconnect(0.4)
    other = Line()
    delivery.connect(other, 0.5)
    assert delivery.send_due(0.5) == 0
    delivery.release("barge-in", 0.6)
    assert delivery.send_due(0.6) >= 1
    assert "media" in other.sent


def test_a_new_socket_takes_over_from_where_it_was_heard(delivery: Delivery, line: Line) -> None:
    """The second of two sockets gets the rest, and the first nothing more."""
    run(delivery, 0.0, 1.0)
    before = len(line.sent)
    other = Line()
    assert delivery.connect(other, 1.0) is line
    run(delivery, 1.0, 4.0)
    assert len(line.sent) == before
    assert other.sent[-1] == "mark"


def test_a_socket_that_fails_is_let_go(delivery: Delivery, line: Line) -> None:
    """A send that fails holds the reply back until there is another socket."""
    delivery.send_due(0.0)
    line.broken = True
    delivery.send_due(0.2)
    assert delivery.socket is None
    assert delivery.next_due(0.3) == math.inf
    other = Line()
    delivery.connect(other, 1.0)
    assert delivery.send_due(1.0) >= 1


def test_a_slow_peer_is_tried_again(delivery: Delivery, line: Line) -> None:
    """While bytes wait for the peer, the socket is flushed again soon."""
    line.backlog = 100
    delivery.send_due(0.0)
    assert delivery.next_due(0.0) <= 0.05
    run(delivery, 0.0, 3.0)
    delivery.playout.mark_returned("1.0", 3.0)
    assert delivery.finish(3.0) is not None
    assert delivery.next_due(3.0) < math.inf
    line.backlog = 0
    delivery.send_due(3.1)
    assert delivery.next_due(3.1) == math.inf


def test_a_dropped_reply_is_cleared_and_over(delivery: Delivery, line: Line) -> None:
    """After a drop nothing more is sent, and what was heard is known."""
    run(delivery, 0.0, 1.0)
    heard = delivery.drop(1.0)
    assert line.sent[-1] == "clear"
    assert "One two" in heard
    assert "ten" not in heard
    assert delivery.send_due(1.1) == 0
    assert delivery.finish(1.1) is None


def test_a_recording_sees_what_the_caller_hears(line: Line) -> None:
    """What is sent, and what is taken back, passes the tap in that order."""
    tape = Tape()
    delivery = Delivery(Playout(), tape)
    delivery.connect(line, 0.0)
    speak(delivery)
    run(delivery, 0.0, 0.2)
    delivery.hold("barge-in", 0.2)
    assert tape.seen[-1] == "clear"
    assert tape.seen.count("audio") == line.sent.count("media")
