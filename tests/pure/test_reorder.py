"""The jitter buffer: whatever the order, packets leave in ascending order, once, and in time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telnyx_media.reorder import MAX_GAP, ReorderBuffer


def audio(number: int) -> bytes:
    """Make a packet that can be told from every other."""
    return b"packet %d" % number


def push(buffer: ReorderBuffer, *numbers: int) -> list[bytes | None]:
    """Push packets with these numbers and gather what leaves."""
    return [packet for number in numbers for packet in buffer.push(number, audio(number))]


def packets(*numbers: int | None) -> list[bytes | None]:
    """Make the packets with these numbers; ``None`` for one that was given up."""
    return [None if number is None else audio(number) for number in numbers]


@given(st.integers(-10, 2**40), st.integers(1, 200))
def test_packets_in_order_leave_at_once(first: int, count: int) -> None:
    """Wherever the numbers start, nothing waits and nothing is counted."""
    buffer = ReorderBuffer()
    for number in range(first, first + count):
        assert packets(number) == push(buffer, number)

    assert (buffer.lost, buffer.late, buffer.duplicates, buffer.restarts) == (0, 0, 0, 0)
    assert buffer.flush() == []


@st.composite
def shuffled(draw: st.DrawFn) -> tuple[int, list[int]]:
    """Numbers in an order in which none comes more than ``depth`` places late."""
    depth = draw(st.integers(1, 5))
    count = draw(st.integers(1, 60))
    delays = draw(st.lists(st.integers(0, depth), min_size=count, max_size=count))
    order = sorted(range(1, count), key=lambda number: (number + delays[number], number))
    return depth, [0, *order]


@given(shuffled(), st.integers(0, 1000))
def test_packets_in_any_order_within_the_depth_leave_in_ascending_order(
    given_order: tuple[int, list[int]], first: int
) -> None:
    """None is lost, none comes twice, none leaves before the one ahead of it."""
    depth, order = given_order
    numbers = [first + number for number in order]
    buffer = ReorderBuffer(depth)

    out = push(buffer, *numbers) + buffer.flush()

    assert packets(*sorted(numbers)) == out
    assert (buffer.lost, buffer.late, buffer.duplicates) == (0, 0, 0)


@given(
    st.lists(st.integers(0, MAX_GAP), max_size=80),
    st.integers(0, 5),
)
def test_within_one_start_nothing_leaves_twice_or_out_of_order(
    numbers: list[int], depth: int
) -> None:
    """Every packet that came has left, or is counted as late or as a duplicate."""
    buffer = ReorderBuffer(depth)
    out: list[bytes | None] = []
    for number in numbers:
        out += buffer.push(number, audio(number))
        assert len(buffer) <= depth
        if buffer.restarts:
            return
    out += buffer.flush()

    left = [packet for packet in out if packet is not None]
    order = [int(packet.split()[1]) for packet in left]
    assert sorted(set(order)) == order
    assert len(numbers) == len(left) + buffer.late + buffer.duplicates
    assert out.count(None) == buffer.lost


@given(st.lists(st.tuples(st.none() | st.integers(-200, 200), st.binary(max_size=2)), max_size=80))
def test_any_numbers_at_all_are_taken(pushed: list[tuple[int | None, bytes]]) -> None:
    """Each packet leaves once or is counted, whatever the numbers do."""
    buffer = ReorderBuffer()
    left = 0
    for number, packet in pushed:
        left += sum(out is not None for out in buffer.push(number, packet))
    left += sum(out is not None for out in buffer.flush())

    assert len(pushed) == left + buffer.late + buffer.duplicates


def test_a_missing_packet_is_waited_for_until_depth_later_ones_are_held() -> None:
    """Then its place is given up, as None."""
    buffer = ReorderBuffer(depth=3)

    assert packets(1) == push(buffer, 1)
    assert push(buffer, 3, 4, 5) == []
    assert packets(None, 3, 4, 5, 6) == push(buffer, 6)
    assert buffer.lost == 1


def test_a_packet_that_comes_after_its_place_was_given_up_is_dropped() -> None:
    """It is counted as late."""
    buffer = ReorderBuffer(depth=1)
    push(buffer, 1, 3, 4)

    assert push(buffer, 2) == []
    assert packets(5) == push(buffer, 5)
    assert (buffer.lost, buffer.late) == (1, 1)


def test_a_packet_that_comes_twice_is_dropped() -> None:
    """Whether its like has left or is still held."""
    buffer = ReorderBuffer()
    push(buffer, 1, 2, 4)

    assert push(buffer, 2, 4) == []
    assert buffer.duplicates == 2
    assert packets(3, 4) == push(buffer, 3)


def test_a_hole_of_several_packets_is_given_up_one_by_one() -> None:
    """Each has its own None, so that the audio keeps its length."""
    buffer = ReorderBuffer(depth=1)

    assert packets(1, None, None, None, 5, 6) == push(buffer, 1, 5, 6)


def test_depth_zero_holds_nothing_back() -> None:
    """A hole is given up as soon as it shows."""
    buffer = ReorderBuffer(depth=0)

    assert packets(1, None, 3) == push(buffer, 1, 3)
    assert push(buffer, 2) == []
    assert packets(4) == push(buffer, 4)


def test_a_long_jump_is_a_new_start() -> None:
    """What was held leaves first, and no hole is filled for it."""
    buffer = ReorderBuffer()
    far = 10 + 2 * MAX_GAP

    assert packets(1, 2) == push(buffer, 1, 2)
    assert push(buffer, 4) == []
    assert packets(4, far, far + 1) == push(buffer, far, far + 1)
    assert (buffer.lost, buffer.restarts) == (0, 1)


def test_numbers_that_begin_anew_after_a_long_stream_are_a_new_start() -> None:
    """A stream that comes back may count from one again."""
    buffer = ReorderBuffer()
    push(buffer, *range(1, 200))

    assert packets(1, 2, 3) == push(buffer, 1, 2, 3)
    assert buffer.restarts == 1


def test_numbers_that_begin_anew_after_a_short_stream_lose_nothing() -> None:
    """A run that counts up from a number long past, with other audio, is a new start."""
    buffer = ReorderBuffer()
    push(buffer, *range(1, 21))

    out = [left for number in range(1, 31) for left in buffer.push(number, b"new %d" % number)]

    assert [b"new %d" % number for number in range(1, 31)] == out
    assert (buffer.restarts, buffer.late, buffer.duplicates) == (1, 0, 0)


def test_a_replay_of_what_was_heard_is_no_new_start() -> None:
    """The same audio under the same numbers is a duplicate, however long the run."""
    buffer = ReorderBuffer()
    push(buffer, *range(1, 21))

    assert push(buffer, *range(5, 21)) == []
    assert packets(21) == push(buffer, 21)
    assert (buffer.restarts, buffer.duplicates) == (0, 16)


@pytest.mark.parametrize("step", [2, 3, 7])
def test_numbers_that_go_up_by_more_than_one_have_no_holes(step: int) -> None:
    """Two tracks may share one counter; after some packets no place is held open any more."""
    buffer = ReorderBuffer()
    push(buffer, *range(1, 60 * step, step))
    lost = buffer.lost

    assert packets(60 * step + 1) == push(buffer, 60 * step + 1)
    assert packets(61 * step + 1) == push(buffer, 61 * step + 1)
    assert (lost, 0) == (buffer.lost, buffer.late)
    assert lost <= 8 * step


def test_a_counter_that_turns_to_single_steps_is_believed_at_once() -> None:
    """A step that was learnt costs no packet when it no longer holds."""
    buffer = ReorderBuffer()
    push(buffer, *range(1, 101, 2))

    assert packets(100, 101, 102, 103) == push(buffer, 100, 101, 102, 103)
    assert buffer.late == 0


def test_a_number_without_audio_is_pushed_empty() -> None:
    """Where messages of all kinds share the sequence, the others are no holes."""
    buffer = ReorderBuffer()
    push(buffer, 1, 3)

    assert [b"", audio(3)] == buffer.push(2, b"")


def test_packets_without_a_number_leave_as_they_come() -> None:
    """There is nothing to order them by."""
    buffer = ReorderBuffer()

    assert buffer.push(None, b"a") == [b"a"]
    assert buffer.push(None, b"b") == [b"b"]
    assert len(buffer) == 0


def test_flush_gives_out_what_is_held_with_its_holes() -> None:
    """At the end nothing more is waited for."""
    buffer = ReorderBuffer()
    push(buffer, 1, 3, 5)

    assert packets(None, 3, None, 5) == buffer.flush()
    assert packets(6) == push(buffer, 6)
