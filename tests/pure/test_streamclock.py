"""A stream's end lies where its packets ended, not where we noticed."""

from __future__ import annotations

import pytest

from bridge.streamclock import LONGEST, StreamClock


def test_what_waited_in_the_kernel_does_not_move_the_end() -> None:
    """The last packets are read late, and the end behind them."""
    clock = StreamClock()
    for number in range(1, 51):
        clock.packet(number, 100.0 + number * 0.02)
    for number in range(51, 101):
        clock.packet(number, 103.5)
    assert clock.ended(103.6) == pytest.approx(100.0 + 101 * 0.02)


def test_a_late_beginning_is_corrected_by_the_promptest_packet() -> None:
    """The first packets may have waited, too."""
    clock = StreamClock()
    clock.packet(1, 100.5)
    clock.packet(2, 100.04)
    assert clock.ended(101.0) == pytest.approx(100.06)


def test_nothing_is_claimed_of_a_stream_without_packets_or_with_a_long_pause() -> None:
    """Then it ended when that was noticed."""
    clock = StreamClock()
    assert clock.ended(100.0) == 100.0
    clock.packet(1, 100.02)
    assert clock.ended(100.0 + LONGEST + 1) == 100.0 + LONGEST + 1
