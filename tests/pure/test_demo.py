"""The demo's judgement: turns laid over what the network saw, and what counts as understood."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import pytest

from bridge.agents.frontdesk import Booking
from bridge.call import CallInfo, Reply, Turn
from bridge.demo.journal import JournalObserver, JournalReader
from bridge.demo.page import Recording, make_page, waveform
from bridge.demo.scripts import SCRIPTS, Script
from bridge.demo.timeline import (
    Figures,
    Item,
    Seen,
    Speech,
    Timeline,
    played_until,
)
from bridge.demo.verdict import (
    Check,
    check_barge_in,
    check_booking,
    check_goodbye,
    check_recordings,
)
from bridge.observer import TurnLatency
from bridge.simulator.script import parse_script

# Where the monotonic clock stood when the call began.
ZERO = 1000.0
TOMORROW = dt.date(2026, 11, 23)
WANTED = Booking(party=4, time=dt.time(19, 30), name="Miller")


def entry(at: float, what: str, **details: Any) -> Mapping[str, Any]:
    """Make a line of the journal."""
    defaults = {"text": "", "heard": "", "digits": "", "interrupted": False, "latency": {}}
    return {"at": ZERO + at, "what": what, **defaults, **details}


def frames(start: float, seconds: float) -> list[tuple[float, float]]:
    """Make the media frames of a reply: 40 ms at once, then 100 ms at a time, 300 ms ahead."""
    times = [(start, 0.04)]
    sent = 0.04
    while sent < seconds:
        times.append((start + max(0.001, sent - 0.3), 0.1))
        sent += 0.1
    return times


# --- the timeline ---------------------------------------------------------------------------------


def test_a_call_becomes_turns_with_latencies() -> None:
    """Greeting, question, reply: the reply is measured from the caller's last packet."""
    took = {"endpoint": 0.52, "chosen": 0.5}
    seen = Seen(
        speeches=[Speech(3.0, 5.02, "four people")],
        frames=[*frames(0.5, 2.0), *frames(5.55, 1.0)],
        clears=[],
        voices=[(0.4, 0.09), (5.51, 0.03)],
    )
    timeline = Timeline(ZERO)
    new = timeline.add(
        [
            entry(2.6, "reply", text="Hello", heard="Hello"),
            entry(5.5, "turn", text="Four people."),
            entry(6.7, "reply", text="For four.", heard="For four.", latency=took),
        ],
        seen,
    )
    assert [item.speaker for item in new] == ["agent", "caller", "agent"]
    greeting, turn, reply = new
    assert greeting.latency is None
    assert (turn.start, turn.end, turn.script) == (3.0, 5.02, "four people")
    assert reply.start == 5.55
    assert reply.latency == pytest.approx(0.55)
    assert reply.parts == {"endpoint": 0.52}
    figures = timeline.figures()
    assert figures.reply == pytest.approx(0.55)
    assert figures.chosen == pytest.approx(0.5)
    assert figures.voice == pytest.approx(0.03)
    assert figures.beyond == pytest.approx(0.02)
    assert figures.stopped is None
    fading = timeline.figures(fading=True)
    assert (fading.reply, fading.chosen, fading.beyond) == (figures.reply, None, None)


def test_a_barge_in_is_measured_from_the_first_sound_to_clear() -> None:
    """A reply that was cut ends at the ``clear``, and its length does not count."""
    seen = Seen(speeches=[Speech(2.0, 3.0)], frames=frames(0.5, 1.9), clears=[2.15])
    timeline = Timeline(ZERO)
    timeline.add([entry(2.2, "reply", text="One two", heard="One", interrupted=True)], seen)
    (reply,) = timeline.items
    assert reply.end == 2.15
    assert reply.stopped_after == pytest.approx(0.15)
    assert timeline.figures().stopped == pytest.approx(0.15)


def test_a_turn_of_several_stretches_is_one_turn() -> None:
    """A pause within a turn does not part it."""
    seen = Seen(
        [Speech(1.0, 2.0, "one"), Speech(2.3, 3.0, "two"), Speech(5.0, 6.0, "three")], [], []
    )
    timeline = Timeline(ZERO)
    timeline.add([entry(3.5, "turn", text="One two.")], seen)
    timeline.add([entry(6.5, "turn", text="Three.")], seen)
    assert [(item.start, item.end) for item in timeline.items] == [(1.0, 3.0), (5.0, 6.0)]
    assert [item.script for item in timeline.items] == ["one two", "three"]


def test_a_clip_that_made_two_turns_is_parted() -> None:
    """A pause that ended a turn parts the words from their continuation."""
    seen = Seen([Speech(1.0, 4.0, "one. two")], [], [])
    timeline = Timeline(ZERO)
    timeline.add([entry(2.0, "turn", text="One."), entry(4.4, "turn", text="Two.")], seen)
    assert [(item.start, item.end, item.script) for item in timeline.items] == [
        (1.0, 2.0, "one. two"),
        (2.0, 4.0, ""),
    ]


def test_only_a_silence_that_was_chosen_is_taken_out() -> None:
    """Where the recogniser ended the turn, nothing is known to take out."""
    seen = Seen([Speech(0.2, 1.0)], frames(1.5, 1.0), [])
    timeline = Timeline(ZERO)
    timeline.add([entry(3.0, "reply", text="a", latency={"chosen": None})], seen)
    figures = timeline.figures()
    assert figures.reply == pytest.approx(0.52)
    assert (figures.chosen, figures.beyond) == (None, None)


def test_a_second_reply_in_a_row_answers_nobody() -> None:
    """Only the first reply behind a turn has a latency."""
    seen = Seen([Speech(0.2, 1.0)], [*frames(1.5, 1.0), *frames(4.0, 1.0)], [])
    timeline = Timeline(ZERO)
    timeline.add([entry(3.0, "reply", text="a"), entry(5.5, "reply", text="b")], seen)
    first, second = timeline.items
    assert first.latency == pytest.approx(0.52)
    assert second.latency is None


def test_a_reply_that_never_began_is_no_turn() -> None:
    """A reply whose every frame was held back is not shown."""
    timeline = Timeline(ZERO)
    assert timeline.add([entry(1.0, "reply", text="unheard")], Seen([], [], [])) == []


def test_frames_play_behind_each_other() -> None:
    """Audio sent ahead is heard when its turn comes."""
    assert played_until([(1.0, 0.5), (1.1, 0.5), (3.0, 0.1)]) == pytest.approx(3.1)
    assert played_until([(1.0, 0.5), (1.1, 0.5)]) == pytest.approx(2.0)


# --- the verdict ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "confirmed",
    [
        "Your table is booked: a table for four, tomorrow, Monday, November twenty-third, at seven "
        "thirty in the evening, under the name Miller.",
        "Your table is booked. A table for 4 tomorrow, Monday, November 23rd at 7.30 in the "
        "evening under the name Miller. Is there anything else?",
        "Your table is book, a table for four tomorrow Monday November 23rd at 730 in the evening "
        "under the name Millar.",
    ],
)
def test_a_confirmed_booking_is_found_in_what_was_heard(confirmed: str) -> None:
    """Spellings of a recogniser do not matter."""
    check = check_booking(WANTED, ["Thank you for calling.", confirmed], {TOMORROW})
    assert check.passed, check.detail


@pytest.mark.parametrize(
    ("heard", "wrong"),
    [
        ("A table for four tomorrow at seven thirty, under the name Miller. Is that right?", None),
        ("Your table is booked: five people tomorrow at 7:30 under the name Miller.", "party"),
        ("Your table is booked: four people on Friday at 7:30 under the name Miller.", "day"),
        ("Your table is booked: four people tomorrow at 8:30 under the name Miller.", "time"),
        ("Your table is booked: four people tomorrow at 7:30 under the name Johnson.", "name"),
        ("", None),
    ],
)
def test_anything_else_is_no_booking(heard: str, wrong: str | None) -> None:
    """A booking that is not confirmed, or not this one, does not count."""
    check = check_booking(WANTED, [heard], {TOMORROW})
    assert not check.passed
    if wrong is not None:
        assert f"wrong: {wrong})" in check.detail


@pytest.mark.parametrize("spelt", ["Goodbye.", "good bye", "We look forward to it. Good-bye."])
def test_a_goodbye_counts_however_it_is_spelt(spelt: str) -> None:
    """Recognisers write it in three ways; only the end of the call counts."""
    assert check_goodbye(["Your table is booked.", spelt]).passed
    assert not check_goodbye([spelt, "Your table is booked.", "We look forward to it."]).passed


def test_what_the_app_believes_was_heard_is_held_against_the_ear() -> None:
    """A few words off are a rounding; many are a lie."""
    said = "A table for four tomorrow at seven thirty under the name Miller"
    cut = Item("agent", said, 0, 1, heard="A table for four tomorrow", interrupted=True)
    assert check_barge_in([cut], "A table for four").passed
    assert not check_barge_in([cut], said).passed
    assert not check_barge_in([Item("agent", said, 0, 1, heard=said)], said).passed
    whole = Item("agent", said, 0, 1, heard=said, interrupted=True)
    assert not check_barge_in([whole], said).passed


def test_recordings_are_judged_by_their_words() -> None:
    """One word in twenty is understood, three are not."""
    words = [f"word{chr(97 + n)}" for n in range(20)]

    def check(wrong: int) -> Check:
        text = " ".join(words[:-wrong] + ["nonsense"] * wrong)
        return check_recordings([" ".join(words)], [Item("caller", text, 0, 1)])

    assert check(1).passed
    assert not check(3).passed


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_every_script_can_be_played(name: str) -> None:
    """The simulator takes each script's steps, and each says what must come of it."""
    script = SCRIPTS[name]()
    assert script.name == name
    assert parse_script(script.caller)
    assert script.booking or script.references


# --- the journal ----------------------------------------------------------------------------------


def test_the_journal_is_read_as_it_grows(tmp_path: Path) -> None:
    """Lines come out once, whole, and in order."""
    path = tmp_path / "journal"
    reader = JournalReader(path)
    assert reader.read() == []
    observer = JournalObserver(path)
    info = CallInfo(call_control_id="leg", codec="PCMU", sample_rate=8000)
    observer.on_media(info)
    observer.on_turn(info, Turn(text="hello"), TurnLatency(endpoint=0.5))
    assert [line["what"] for line in reader.read()] == ["media", "turn"]
    observer.on_reply(info, Reply("hi", "hi"), TurnLatency())
    with path.open("a") as file:
        file.write('{"what": "half')
    (line,) = reader.read()
    assert (line["text"], line["interrupted"]) == ("hi", False)
    assert reader.read() == []


# --- the page -------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.labels: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what would be fetched, and what is read out."""
        values = dict(attrs)
        self.links += [values[name] or "" for name in ("src", "href") if name in values]
        self.labels += [values["aria-label"] or ""] if "aria-label" in values else []

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text += data


def a_recording() -> Recording:
    """Make two seconds in which the caller clicks and the agent is silent."""
    return Recording(b"\x00\x40" * 800 + bytes(30400), bytes(32000), 8000)


def a_page(text: str) -> str:
    """Make a page with one turn."""
    items = [
        Item("caller", text, 0.0, 0.1),
        Item("agent", "One two", 0.7, 1.5, heard="One", interrupted=True, latency=0.62,
             parts={"endpoint": 0.5}, stopped_after=0.1),
    ]  # fmt: skip
    figures = Figures(0.62, 0.5, 0.0, 0.12, 0.62, 0.1, 1)
    script = Script("booking", "a table is booked", "agent:answer", ())
    checks = [Check("goodbye was heard", True, "Goodbye")]
    return make_page(
        script, items, figures, checks, a_recording(), "PCMU", dt.datetime(2026, 11, 22, 12)
    )


def test_the_page_fetches_nothing() -> None:
    """Everything is in the one file."""
    outline = Outline()
    page = a_page("hello")
    outline.feed(page)
    assert all(link.startswith("data:") for link in outline.links)
    assert outline.links
    assert not re.search(r"url\(|@import|https?://", page)


def test_the_page_shows_turns_and_figures() -> None:
    """Words, unheard words, latencies and the verdict are in the text."""
    outline = Outline()
    outline.feed(a_page("hello there"))
    for expected in ("hello there", "passed", "620 ms", "100 ms", "PCMU at 8 kHz", "interrupted"):
        assert expected in outline.text
    assert "Loudness of the caller" in outline.labels


def test_words_on_the_page_are_words() -> None:
    """What a recogniser writes is no markup."""
    page = a_page("<script>alert(1)</script> & co")
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_a_waveform_is_as_high_as_the_sound() -> None:
    """Silence is a line, sound is not, and both sides share one time line."""
    recording = a_recording()
    loud, columns = waveform(recording.caller, recording.rate, recording.seconds)
    silent, _ = waveform(recording.agent, recording.rate, recording.seconds)
    assert columns == 60
    assert loud.startswith("M0.5 2.0V")
    assert set(re.findall(r" ([\d.]+)V", silent)) == {"50.0"}
    assert waveform(b"", 8000, 0.0) == ("", 1)


def test_the_recording_is_stereo_in_both_formats() -> None:
    """The caller is on the left, the agent on the right."""
    recording = Recording(b"\x00\x40" * 8000, bytes(8000), 8000)
    for data in (recording.wav(), recording.mp3()):
        with av.open(io.BytesIO(data)) as container:
            stream = container.streams.audio[0]
            assert (stream.channels, stream.sample_rate) == (2, 8000)
    assert len(recording.mp3()) < len(recording.wav()) / 2


def test_the_transcript_is_json(tmp_path: Path) -> None:
    """What the demo leaves can be read by a program."""
    from bridge.demo.play import leave

    items = [Item("agent", "Hello.", 0.5, 1.0, heard="Hello.", latency=0.5)]
    files = leave(
        SCRIPTS["booking"](), items, Figures(0.5, 0.5, 0.0, 0.0, 0.5, None, 1),
        [Check("x", True, "y")], a_recording(), "PCMA", dt.datetime(2026, 11, 22), tmp_path,
    )  # fmt: skip
    assert all(path.exists() for path in files)
    data = json.loads((tmp_path / "transcript.json").read_text())
    assert (data["codec"], data["passed"], data["turns"][0]["text"]) == ("PCMA", True, "Hello.")
    assert "agent:  Hello.  (500 ms)" in (tmp_path / "transcript.txt").read_text()
