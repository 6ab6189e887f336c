"""The playout against a far end that plays its queue in real time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.playout import Chunk, Mark, Playout
from bridge.segments import FURTHEST_BACK, PACKET

SENTENCE = "A table for four at half past seven is free."


def packets(count: int, start: int = 0) -> list[bytes]:
    """Make packets that tell which they are."""
    return [index.to_bytes(2, "big") for index in range(start, start + count)]


@dataclass
class FarEnd:
    """What Telnyx does with what it is sent: queue, play, return marks, clear."""

    queue: list[tuple[float, int | str]] = field(default_factory=list)
    dry_at: float = float("-inf")
    played: list[tuple[float, int]] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    frames: list[tuple[float, float]] = field(default_factory=list)

    def take(self, items: list[Chunk | Mark], now: float) -> None:
        """Queue what arrives."""
        for item in items:
            if isinstance(item, Mark):
                self.queue.append((max(now, self.dry_at), item.name))
                continue
            assert round(item.seconds / PACKET) * 2 == len(item.payload)
            self.frames.append((now, item.seconds))
            if self.dry_at < now - 1e-9:
                if self.played or self.queue:
                    self.gaps.append(now - self.dry_at)
                self.dry_at = now
            for place in range(0, len(item.payload), 2):
                self.dry_at += PACKET
                number = int.from_bytes(item.payload[place : place + 2], "big")
                self.queue.append((self.dry_at, number))

    def advance(self, now: float) -> list[str]:
        """Play up to ``now`` and get the marks that come back."""
        marks: list[str] = []
        while self.queue and self.queue[0][0] <= now + 1e-9:
            at, what = self.queue.pop(0)
            if isinstance(what, str):
                marks.append(what)
            else:
                self.played.append((at, what))
        return marks

    def clear(self, now: float) -> list[str]:
        """Drop the queue and get the marks that come back at once."""
        marks = self.advance(now)
        marks += [what for _, what in self.queue if isinstance(what, str)]
        self.queue.clear()
        self.dry_at = now
        return marks


def run(playout: Playout, far: FarEnd, start: float, until: float, *, step: float = 0.005) -> float:
    """Drive both from ``start`` to ``until``, as the pacer would; get the time."""
    ticks = round((until - start) / step)
    for tick in range(ticks + 1):
        now = start + tick * step
        for name in far.advance(now):
            playout.mark_returned(name, now)
        due = playout.next_due(now)
        if due is not None and due <= now + 1e-9:
            far.take(playout.due(now), now)
    return start + ticks * step


def say(playout: Playout, *sentences: tuple[str, int], levels: list[float] | None = None) -> None:
    """Begin a reply whose audio is there at once."""
    playout.begin()
    number = 0
    for text, count in sentences:
        segment = playout.add_segment(text)
        assert playout.add(segment, packets(count, number), levels or ())
        playout.end_segment(segment)
        number += count
    playout.end()


def test_first_packets_leave_at_once() -> None:
    """The first 40 ms of a reply leave without waiting for more."""
    playout = Playout()
    playout.begin()
    segment = playout.add_segment(SENTENCE)
    playout.add(segment, packets(2))

    assert playout.due(10.0) == [Chunk(b"".join(packets(2)), 0.04)]
    assert playout.due(10.0) == []


def test_one_packet_is_enough_to_begin() -> None:
    """A single packet of 20 ms is not held back."""
    playout = Playout()
    playout.begin()
    playout.add(playout.add_segment(SENTENCE), packets(1))

    assert [type(item) for item in playout.due(0.0)] == [Chunk]


def test_lead_is_kept() -> None:
    """No chunk begins more than the lead ahead of the playout, and the lead is filled at once."""
    playout, far = Playout(lead=0.3, chunk=0.1), FarEnd()
    say(playout, (SENTENCE, 200))

    ahead: list[float] = []
    for tick in range(900):
        now = tick * 0.005
        for item in playout.due(now):
            if isinstance(item, Chunk):
                ahead.append(max(0.0, far.dry_at - now))
            far.take([item], now)
        far.advance(now)

    assert max(ahead) <= 0.3 + 1e-6
    assert far.frames[0] == (0.0, 0.04)
    assert sum(seconds for at, seconds in far.frames if at == 0.0) == pytest.approx(0.34)
    assert not far.gaps
    assert [number for _, number in far.played] == list(range(200))


def test_stall_of_the_lead_is_not_heard() -> None:
    """A sender that is held up for 300 ms at the worst moment leaves no gap."""
    for begin in range(0, 120, 5):
        playout, far = Playout(), FarEnd()
        say(playout, (SENTENCE, 200))
        stopped = run(playout, far, 0.0, 1.0 + begin / 1000)

        run(playout, far, stopped + 0.3, 6.0)

        assert far.gaps == []
        assert len(far.played) == 200


def test_deadlines_are_absolute() -> None:
    """Wake-ups that are late by up to the lead do not add up."""
    playout, far = Playout(), FarEnd()
    say(playout, (SENTENCE, 500))

    now = 0.0
    while (due := playout.next_due(now)) is not None:
        now = max(now, due) + 0.013
        far.take(playout.due(now), now)

    assert far.gaps == []
    assert far.dry_at == pytest.approx(10.013)


def test_mark_is_behind_each_sentence() -> None:
    """Each sentence is followed by its own mark, and chunks do not reach over sentences."""
    playout = Playout()
    say(playout, ("One.", 7), ("Two.", 6))
    items = playout.due(0.0)

    kinds = [item.name if isinstance(item, Mark) else len(item.payload) // 2 for item in items]

    assert kinds == [2, 5, "1.0", 5, 1, "1.1"]


def test_packets_that_cannot_be_joined_leave_one_by_one() -> None:
    """A codec whose packets cannot be joined gets a frame for each."""
    playout = Playout(joinable=False)
    say(playout, (SENTENCE, 40))

    assert {item.seconds for item in playout.due(0.0) if isinstance(item, Chunk)} == {PACKET}


def test_slow_synthesis_stops_the_clock() -> None:
    """Audio that comes slower than it plays leaves gaps, and what was heard does not count them."""
    playout, far = Playout(), FarEnd()
    playout.begin()
    segment = playout.add_segment(SENTENCE)

    now = 0.0
    for number in range(20):
        # 20 ms of audio each 30 ms.
        playout.add(segment, packets(1, number))
        now = run(playout, far, now, now + 0.03)
        assert playout.position(now) == pytest.approx(len(far.played) * PACKET, abs=PACKET)

    assert far.gaps
    playout.end()
    run(playout, far, now, now + 0.1)
    assert playout.finished(now + 0.1)


def test_short_chunk_waits_while_there_is_something_to_play() -> None:
    """Audio short of a chunk is held back until the far end is about to run dry."""
    playout = Playout()
    playout.begin()
    segment = playout.add_segment(SENTENCE)
    playout.add(segment, packets(7))
    playout.due(0.0)
    playout.add(segment, packets(2, 7))

    assert playout.due(0.03) == []
    assert playout.next_due(0.03) == pytest.approx(0.04)
    assert playout.due(0.04)


def test_finished_when_the_last_mark_came_back() -> None:
    """A reply is finished when its last mark returns, and not before."""
    playout, far = Playout(), FarEnd()
    say(playout, ("One.", 20), ("Two.", 20))

    now = run(playout, far, 0.0, 0.79)
    assert not playout.finished(now)

    now = run(playout, far, now, 0.81)
    assert playout.finished(now)
    heard = playout.heard(now)
    assert heard.text == "One. Two."
    assert heard.seconds == pytest.approx(0.8)


def test_finished_without_marks_after_the_grace() -> None:
    """A far end that loses marks delays the end by the grace and no longer."""
    playout = Playout(grace=1.0)
    say(playout, ("One.", 10))
    playout.due(0.0)

    assert playout.finish_by(0.0) == pytest.approx(1.2)
    assert not playout.finished(1.1)
    assert playout.finished(1.2)
    assert playout.heard(1.2).text == "One."


def test_reply_without_audio_is_finished() -> None:
    """A reply for which nothing was synthesised ends at once, unheard."""
    playout = Playout()
    say(playout, ("…", 0))
    assert playout.due(3.0) == []
    assert playout.finished(3.0)
    assert playout.heard(3.0) == ("", 0.0)


def test_marks_bound_what_was_heard() -> None:
    """The clock claims nothing beyond a mark that has not come back, unless it is long overdue."""
    playout = Playout(grace=1.0)
    say(playout, ("One.", 50), ("Two.", 50))
    for tick in range(200):
        playout.due(tick * 0.01)

    assert playout.position(1.5) == pytest.approx(1.0)
    playout.mark_returned("1.0", 1.5)
    assert playout.position(1.5) > 1.0
    assert playout.position(9.0) == pytest.approx(2.0)


def test_mark_that_cannot_have_been_played_proves_nothing() -> None:
    """A far end that returns marks on receipt is not believed."""
    playout = Playout()
    say(playout, ("One.", 15))
    playout.due(0.0)
    playout.mark_returned("1.0", 0.01)

    assert playout.position(0.02) < 0.05
    assert not playout.finished(0.02)
    assert playout.finished(0.31)


def test_late_mark_of_a_cleared_generation_is_ignored() -> None:
    """Marks that ``clear`` returns do not count as heard, before or after the reply goes on."""
    playout, far = Playout(), FarEnd()
    say(playout, ("One two three four.", 20), ("Five six seven eight.", 100))
    now = run(playout, far, 0.0, 0.2)
    heard = playout.pause(now)
    late = far.clear(now)
    assert late
    for name in late:
        playout.mark_returned(name, now)
    playout.resume(now)
    for name in late:
        playout.mark_returned(name, now)

    assert playout.position(now) == pytest.approx(heard.seconds)
    assert "Five" not in playout.heard(now).text


def test_interruption_ends_the_reply() -> None:
    """After an interruption nothing is due and nothing more is taken."""
    playout, far = Playout(), FarEnd()
    playout.begin()
    segment = playout.add_segment(SENTENCE)
    playout.add(segment, packets(100))
    now = run(playout, far, 0.0, 0.5)

    heard = playout.interrupt(now)

    assert heard.seconds == pytest.approx(0.5, abs=0.02)
    assert not playout.add(segment, packets(10))
    assert playout.due(now) == []
    assert playout.next_due(now) is None
    assert playout.finished(now)
    assert playout.buffered == 0.0
    assert playout.interrupt(now + 5) == heard


def test_audio_of_an_earlier_reply_is_refused() -> None:
    """Late audio of a reply that is over does not slip into the next one."""
    playout = Playout()
    playout.begin()
    old = playout.add_segment("Old.")
    playout.begin()
    new = playout.add_segment("New.")

    assert not playout.add(old, packets(5))
    assert playout.add(new, packets(5))


def test_pause_says_again_from_the_start_of_a_word() -> None:
    """Without levels the reply goes on at the start of the word that was cut."""
    playout, far = Playout(), FarEnd()
    say(playout, ("aaaa bbbb cccc dddd", 190))
    # 19 characters in 3.8 s: 0.2 s each; "cccc" is played from 2.0 to 2.8 s.
    now = run(playout, far, 0.0, 2.4)
    playout.pause(now)
    far.clear(now)
    before = len(far.played)
    playout.resume(now)
    far.take(playout.due(now), now)
    run(playout, far, now, now + 0.1)

    assert far.played[before][1] == 100


def test_pause_says_again_from_a_pause_of_the_speech() -> None:
    """With levels the reply goes on at the last pause of the speech."""
    playout, far = Playout(), FarEnd()
    levels = [-20.0] * 200
    for quiet in (*range(60, 64), *range(90, 94)):
        levels[quiet] = -70.0
    say(playout, (SENTENCE, 200), levels=levels)
    now = run(playout, far, 0.0, 2.2)
    playout.pause(now)
    far.clear(now)
    before = len(far.played)
    playout.resume(now)
    far.take(playout.due(now), now)
    run(playout, far, now, now + 0.1)

    assert far.played[before][1] == 94


def test_level_tells_how_loud_the_agent_is() -> None:
    """The loudness of what was just played is known, for the echo; silence has none."""
    playout, far = Playout(), FarEnd()
    assert playout.level(0.0) is None
    say(playout, (SENTENCE, 200), levels=[-20.0] * 100 + [-60.0] * 100)
    now = run(playout, far, 0.0, 1.0)
    assert playout.level(now) == pytest.approx(-20.0)
    now = run(playout, far, now, 3.0)
    assert playout.level(now) == pytest.approx(-60.0)


@pytest.mark.parametrize(
    ("text", "fraction", "expected"),
    [
        ("Hello there, world.", 0.0, ""),
        ("Hello there, world.", 0.4, "Hello"),
        ("Hello there, world.", 0.5, "Hello there,"),
        ("Hello there, world.", 1.0, "Hello there, world."),
        ("今日は休みです", 0.45, "今日は"),
    ],
)
def test_heard_is_cut_between_words(text: str, fraction: float, expected: str) -> None:
    """What was heard ends with the last word of which more than half was played."""
    playout, far = Playout(), FarEnd()
    say(playout, (text, 100))
    now = run(playout, far, 0.0, 2.0 * fraction + 0.001)

    assert playout.interrupt(now).text == expected


def test_heard_counts_speech_and_not_its_pauses() -> None:
    """With levels, a silent stretch of the audio does not count as words."""
    playout, far = Playout(), FarEnd()
    levels = [-20.0] * 50 + [-80.0] * 100 + [-20.0] * 50
    say(playout, ("one two six ten", 200), levels=levels)
    now = run(playout, far, 0.0, 2.9)

    assert playout.heard(now).text == "one two"


def test_delay_of_marks_is_taken_off() -> None:
    """Half of what marks come back late is taken to lie before the caller's ear."""
    playout = Playout()
    say(playout, ("One.", 50), ("Two.", 100))
    for tick in range(110):
        playout.due(tick * 0.01)
    playout.mark_returned("1.0", 1.1)
    for tick in range(110, 150):
        playout.due(tick * 0.01)

    assert playout.position(1.5) == pytest.approx(1.45)


@pytest.mark.slow
@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.floats(0.0, 0.4), st.integers(0, 40)), min_size=1, max_size=12),
    st.floats(0.0, 0.5),
    st.sampled_from([0.02, 0.06, 0.1, 0.2]),
)
def test_everything_is_played_once_and_in_order(
    arrivals: list[tuple[float, int]], lead: float, chunk: float
) -> None:
    """However audio arrives, each packet is played once, in order, and the reply finishes."""
    playout, far = Playout(lead=lead, chunk=chunk), FarEnd()
    playout.begin()
    now, number = 0.0, 0
    for wait, count in arrivals:
        segment = playout.add_segment("word " * (count + 1))
        playout.add(segment, packets(count, number))
        number += count
        now = run(playout, far, now, now + wait)
        assert playout.position(now) == pytest.approx(len(far.played) * PACKET, abs=0.03)
        playout.end_segment(segment)
    playout.end()
    now = run(playout, far, now, now + number * PACKET + 0.1)

    assert [n for _, n in far.played] == list(range(number))
    assert playout.finished(now)
    assert playout.position(now) == pytest.approx(number * PACKET)


@pytest.mark.slow
@settings(max_examples=100)
@given(
    st.lists(st.integers(3, 80), min_size=1, max_size=5),
    st.lists(st.tuples(st.floats(0.02, 1.5), st.floats(0.0, 0.5)), min_size=1, max_size=4),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_false_alarms_lose_nothing(counts, alarms, with_levels, random) -> None:  # type: ignore[no-untyped-def]
    """However often a reply is paused, the caller hears all of it, and little twice."""
    playout, far = Playout(), FarEnd()
    playout.begin()
    number = 0
    for count in counts:
        segment = playout.add_segment("some words that are said " * (1 + count // 40))
        levels = [random.choice([-20.0, -25.0, -70.0]) for _ in range(count)] if with_levels else []
        playout.add(segment, packets(count, number), levels)
        playout.end_segment(segment)
        number += count
    playout.end()

    now = 0.0
    for before, held in alarms:
        now = run(playout, far, now, now + before)
        if playout.finished(now):
            break
        heard = playout.pause(now)
        far.clear(now)
        assert heard.seconds <= len({n for _, n in far.played}) * PACKET + 0.03
        assert playout.due(now + held) == []
        now += held
        playout.resume(now)
    now = run(playout, far, now, now + number * PACKET + 6.0)

    order = [n for _, n in far.played]
    assert set(order) == set(range(number))
    for before_, after in itertools.pairwise(order):
        assert after == before_ + 1 or before_ - FURTHEST_BACK / PACKET - 3 <= after <= before_ + 1
    assert playout.finished(now)


@pytest.mark.slow
@settings(max_examples=100)
@given(st.integers(10, 300), st.floats(0.0, 6.0))
def test_heard_is_a_prefix_of_the_text(count: int, when: float) -> None:
    """Whenever the reply is cut, what was heard is the beginning of it, in whole words."""
    text = "We have a table for four at half past seven, is that fine?"
    playout, far = Playout(), FarEnd()
    say(playout, (text, count))
    now = run(playout, far, 0.0, when)

    heard = playout.interrupt(now)

    assert text.startswith(heard.text)
    assert heard.text == text or text[len(heard.text)] == " " or not heard.text
    assert heard.seconds == pytest.approx(len(far.played) * PACKET, abs=0.03)


def test_level_is_that_of_the_sentence_being_heard() -> None:
    """Sentences that wait for their audio do not hide how loud the agent is."""
    playout = Playout()
    playout.begin()
    first = playout.add_segment("A sentence that is being heard.")
    for number in range(3):
        playout.add_segment(f"Sentence {number}, of which there is no audio yet.")
    playout.add(first, [b"x" * 160] * 100, [-20.0] * 100)
    now = 10.0
    for step in range(100):
        playout.due(now + step * PACKET)

    assert playout.level(now + 1.5) == -20.0


def test_sentences_are_told_when_the_caller_begins_to_hear_them() -> None:
    """Each is told once, not before it is played, and not again after a pause."""
    playout = Playout()
    playout.begin()
    now = 10.0
    for text in ("One.", "Two.", "Three."):
        segment = playout.add_segment(text)
        playout.add(segment, [b"x" * 160] * 50)
        playout.end_segment(segment)
    told = []
    for step in range(60):
        playout.due(now + step * PACKET)
        if step == 50:
            playout.mark_returned("1.0", now + step * PACKET)
        told += playout.begun(now + step * PACKET)
    assert told == ["One.", "Two."]
    playout.pause(now + 1.2)
    playout.resume(now + 2.0)
    playout.due(now + 2.0)

    assert playout.begun(now + 2.1) == []


def test_level_does_not_wait_for_a_mark_that_is_late() -> None:
    """The sentence behind a mark comes back as an echo, whether or not the mark has."""
    playout = Playout()
    playout.begin()
    now = 10.0
    for text, level in (("Softly.", -40.0), ("Loudly.", -12.0)):
        segment = playout.add_segment(text)
        playout.add(segment, [b"x" * 160] * 50, [level] * 50)
        playout.end_segment(segment)
    for step in range(70):
        playout.due(now + step * PACKET)

    assert playout.level(now + 0.5) == -40.0
    assert playout.level(now + 1.1) == -12.0
    assert playout.position(now + 1.1) == pytest.approx(1.0)


@pytest.mark.parametrize("way", [0.02, 0.15])
@pytest.mark.parametrize("end", [3.0, 3.11, 3.24, 3.37, 3.5])
def test_what_a_lost_stream_may_not_have_played_counts_as_unheard(way: float, end: float) -> None:
    """The way there and back lies between what was played at the end and our seeing that end."""
    playout, far = Playout(), FarEnd()
    playout.begin()
    words = [f"n{number:03}" for number in range(24)]
    for group in range(4):
        segment = playout.add_segment(f"{' '.join(words[group * 6 : group * 6 + 6])}. ")
        playout.add(segment, packets(90, group * 90))
        playout.end_segment(segment)
    there: list[tuple[float, list[Chunk | Mark]]] = []
    back: list[tuple[float, str]] = []
    for tick in range(round((end + way) / 0.005)):
        now = tick * 0.005
        there.append((now + way, playout.due(now)))
        if now <= end:
            while there and there[0][0] <= now:
                far.take(there.pop(0)[1], now)
            back += [(now + way, name) for name in far.advance(now)]
        while back and back[0][0] <= now:
            playout.mark_returned(back.pop(0)[1], now)
    heard = playout.pause(end + way, lost=True).text.split()
    # Fifteen packets each; a third of one is enough to be understood.
    whole = sum(count >= 5 for count in _packets_of_words(far))
    assert whole - 2 <= len(heard) <= whole


def _packets_of_words(far: FarEnd) -> list[int]:
    played = {number for _, number in far.played}
    return [len(played & set(range(at, at + 15))) for at in range(0, 360, 15)]
