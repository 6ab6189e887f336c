"""What a caller meant, from what a recogniser wrote."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.agents.frontdesk import spoken_date, spoken_time
from bridge.agents.heard import Slot, Understood, understand
from bridge.agents.heard.numbers import normalized, spelled, spelled_ordinal

# A Sunday.
TODAY = dt.date(2026, 11, 22)


def heard(text: str, asked: Slot | None = None) -> Understood:
    """Understand a sentence said on that Sunday."""
    return understand(text, today=TODAY, asked=asked)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A table for four on the twenty-third", "a table for 4 on the 23rd"),
        ("half past seven p.m.", "half past 7 pm"),
        ("seven-thirty", "7 30"),
        ("7:30 P.M.", "7:30 pm"),
        ("at 7pm", "at 7 pm"),
        ("seven oh five", "7 05"),
        ("eight o'clock", "8 oclock"),
        ("twenty first of December", "21st of december"),
        ("a hundred and thirty five", "a hundred and 35"),
        ("two hundred", "200"),
        ("a table for for, please", "a table for 4 , please"),
        ("party of to at ate", "party of 2 at 8"),
        ("just a second", "just a second"),
        ("the second of May", "the 2nd of may"),
    ],
)
def test_numbers_become_digits(text: str, expected: str) -> None:
    """Every spelling of a number ends as the same digits."""
    assert normalized(text) == expected


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("at seven thirty", "19:30"),
        ("at 7:30", "19:30"),
        ("at 7.30 p.m.", "19:30"),
        ("at 730", "19:30"),
        ("half past seven", "19:30"),
        ("half past seven in the evening", "19:30"),
        ("half seven", "19:30"),
        ("seven thirty pm", "19:30"),
        ("19:30", "19:30"),
        ("at nineteen thirty", "19:30"),
        ("quarter past eight", "20:15"),
        ("a quarter to nine", "20:45"),
        ("quarter too nine", "20:45"),
        ("ten to eight", "19:50"),
        ("twenty past six", "18:20"),
        ("five minutes after six", "18:05"),
        ("seven o'clock", "19:00"),
        ("7 p.m.", "19:00"),
        ("around eight", "20:00"),
        ("say about eight", "20:00"),
        ("eight in the evening", "20:00"),
        ("at noon", "12:00"),
        ("twelve thirty", "12:30"),
        ("at twelve", "12:00"),
        ("at one", "13:00"),
        ("11 a.m.", "11:00"),
        ("eleven in the morning", "11:00"),
        ("at midnight", "00:00"),
        ("seven oh five", "19:05"),
        ("tomorrow at 8 p.m. for 2", "20:00"),
    ],
)
def test_a_time_in_many_words(text: str, time: str) -> None:
    """Whatever way a time is said, it is the same time."""
    assert heard(text).time == dt.time.fromisoformat(time)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("today", "2026-11-22"),
        ("tonight", "2026-11-22"),
        ("this evening", "2026-11-22"),
        ("tomorrow", "2026-11-23"),
        ("to morrow", "2026-11-23"),
        ("tomorrow night", "2026-11-23"),
        ("the day after tomorrow", "2026-11-24"),
        ("on Monday", "2026-11-23"),
        ("Wednesday", "2026-11-25"),
        ("this Saturday", "2026-11-28"),
        ("next Saturday", "2026-11-28"),
        ("this Sunday", "2026-11-22"),
        ("Sunday", "2026-11-29"),
        ("the fifth of December", "2026-12-05"),
        ("December 5th", "2026-12-05"),
        ("December fifth", "2026-12-05"),
        ("5 December", "2026-12-05"),
        ("on the thirtieth", "2026-11-30"),
        ("on the 5th", "2026-12-05"),
        ("the thirty first", "2026-12-31"),
        ("January 2nd", "2027-01-02"),
        ("Friday the 27th", "2026-11-27"),
        ("Friday, November twenty-seventh", "2026-11-27"),
        ("12/24", "2026-12-24"),
        ("Christmas Eve", "2026-12-24"),
        ("New Year's Eve", "2026-12-31"),
        ("in three days", "2026-11-25"),
        ("in a week", "2026-11-29"),
        ("a week from today", "2026-11-29"),
        ("yesterday", "2026-11-21"),
    ],
)
def test_a_day_in_many_words(text: str, date: str) -> None:
    """Whatever way a day is said, it is the same day."""
    assert heard(text).date == dt.date.fromisoformat(date)


def test_the_weekday_of_next_week() -> None:
    """Said on a Wednesday, Friday is in two days and next Friday in nine."""
    wednesday = dt.date(2026, 11, 25)
    assert understand("on Friday", today=wednesday).date == dt.date(2026, 11, 27)
    assert understand("next Friday", today=wednesday).date == dt.date(2026, 12, 4)


@pytest.mark.parametrize(
    ("text", "party"),
    [
        ("a table for four", 4),
        ("a table for for", 4),
        ("a table for 4 please", 4),
        ("party of six", 6),
        ("for two people", 2),
        ("six of us", 6),
        ("the two of us", 2),
        ("we're five", 5),
        ("there will be about seven people", 7),
        ("just me", 1),
        ("for one", 1),
        ("me and my wife", 2),
        ("me and three friends", 4),
        ("two adults and three children", 5),
        ("a dozen", 12),
        ("seats for nine", 9),
        ("a table for twenty five", 25),
    ],
)
def test_a_party_in_many_words(text: str, party: int) -> None:
    """Whatever way a party is counted, it is the same number."""
    assert heard(text).party == party


@pytest.mark.parametrize(
    ("text", "asked", "name"),
    [
        ("my name is Miller", None, "Miller"),
        ("name is miller", None, "Miller"),
        ("The name's Miller, please.", None, "Miller"),
        ("under Miller", None, "Miller"),
        ("under the name of Anna Miller please", None, "Anna Miller"),
        ("This is Anna Miller, I'd like a table.", None, "Anna Miller"),
        ("a table for two under O'Brien tomorrow", None, "O'Brien"),
        ("Miller.", "name", "Miller"),
        ("It's Miller, thank you.", "name", "Miller"),
        ("uh, Anna Miller please", "name", "Anna Miller"),
        ("McDonald", "name", "McDonald"),
        ("M-I-L-L-E-R", "name", "Miller"),
        ("Miller, m i l l e r", "name", "Miller"),
        ("Jean-Luc", "name", "Jean-Luc"),
        ("Müller", "name", "Müller"),
        ("June", "name", "June"),
        ("I'm calling to book a table", None, None),
        ("I'm sorry", "name", None),
        ("this is wrong", None, None),
        ("What?", "name", None),
        ("Goodbye", "name", None),
        ("tomorrow", "name", None),
        ("I do not want to say", "name", None),
        ("", "name", None),
    ],
)
def test_a_name(text: str, asked: Slot | None, name: str | None) -> None:
    """A name is found where it is said, and not where other words stand."""
    assert heard(text, asked).name == name


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (
            "A table for four tomorrow at half past seven, name is Miller",
            (4, 23, "19:30", "Miller"),
        ),
        ("A table for 4 tomorrow at 7:30. Name is Miller.", (4, 23, "19:30", "Miller")),
        ("Miller is the name", (None, None, None, None)),
        ("tomorrow at eight for two, under Smith", (2, 23, "20:00", "Smith")),
        ("at 7 on Friday for three people", (3, 27, "19:00", None)),
        ("me and my husband, tonight around eight", (2, 22, "20:00", None)),
        ("Could I get a table for seven at seven on the twenty seventh?", (7, 27, "19:00", None)),
        ("a table for 2, Thursday, 8 30 pm, under O'Brien", (2, 26, "20:30", "O'Brien")),
        ("four tonight", (None, 22, None, None)),
    ],
)
def test_several_facts_in_any_order(
    text: str, facts: tuple[int | None, int | None, str | None, str | None]
) -> None:
    """One sentence may hold the whole booking."""
    said = heard(text)
    party, day, time, name = facts
    assert (said.party, said.name) == (party, name)
    assert said.date == (day and dt.date(2026, 11, day))
    assert said.time == (time and dt.time.fromisoformat(time))


@pytest.mark.parametrize(
    ("text", "asked", "slot", "value"),
    [
        ("no, five people", None, "party", 5),
        ("not four, five people", None, "party", 5),
        ("five people, not four", None, "party", 5),
        ("seven, no, eight people", None, "party", 8),
        ("at seven. Sorry, eight.", None, "time", dt.time(20)),
        ("at seven, I mean half past seven", None, "time", dt.time(19, 30)),
        ("Saturday instead of Friday", None, "date", dt.date(2026, 11, 28)),
        ("actually make it Saturday", None, "date", dt.date(2026, 11, 28)),
        ("change it to six thirty", None, "time", dt.time(18, 30)),
        ("No, the name is Smith", None, "name", "Smith"),
    ],
)
def test_a_correction_holds(text: str, asked: Slot | None, slot: Slot, value: object) -> None:
    """What was taken back in the same breath is not understood."""
    assert getattr(heard(text, asked), slot) == value


@pytest.mark.parametrize(
    ("text", "asked", "slot", "value"),
    [
        ("four", "party", "party", 4),
        ("Four.", "party", "party", 4),
        ("eight", "time", "time", dt.time(20)),
        ("for eight", "time", "time", dt.time(20)),
        ("730", "time", "time", dt.time(19, 30)),
        ("seven thirty", "party", "time", dt.time(19, 30)),
        ("the twenty seventh", "date", "date", dt.date(2026, 11, 27)),
        ("27", "date", "date", dt.date(2026, 11, 27)),
        ("make it five", "date", "number", 5),
        ("make it five", None, "number", 5),
    ],
)
def test_a_number_alone_is_what_was_asked_for(
    text: str, asked: Slot | None, slot: str, value: object
) -> None:
    """A number without a noun takes its meaning from the question."""
    assert getattr(heard(text, asked), slot) == value


@pytest.mark.parametrize(
    ("text", "wants"),
    [
        ("Yes, that's right.", {"yes"}),
        ("yeah perfect", {"yes"}),
        ("no problem", {"yes"}),
        ("No, that's not right.", {"no"}),
        ("that is not correct", {"no"}),
        ("wrong", {"no"}),
        ("no thanks, goodbye", {"no", "goodbye"}),
        ("No, that's all.", {"no", "goodbye"}),
        ("bye bye", {"goodbye"}),
        ("please cancel", {"cancel"}),
        ("never mind", {"never_mind"}),
        ("Can you repeat that?", {"repeat"}),
        ("what?", {"repeat"}),
        ("Pardon?", {"repeat"}),
        ("I didn't catch that", {"repeat"}),
        ("hello", {"greeting"}),
        ("what a fine mess", {"yes"}),
        ("the weather in Spain", set()),
        ("", set()),
    ],
)
def test_intentions(text: str, wants: set[str]) -> None:
    """The few things that turn a conversation are told apart."""
    said = heard(text)
    names = ("yes", "no", "goodbye", "cancel", "never_mind", "repeat", "greeting")
    assert {name for name in names if getattr(said, name)} == wants


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("What time do you close?", "hours"),
        ("are you open on Sunday", "hours"),
        ("Where are you?", "address"),
        ("what's your address", "address"),
        ("can I speak to a human", "person"),
        ("I want to talk to the manager", "person"),
        ("a table for two", None),
    ],
)
def test_questions_of_the_caller(text: str, question: str | None) -> None:
    """A question about the restaurant is known as one."""
    assert heard(text).question == question


def test_nothing_is_understood_from_nothing() -> None:
    """Silence and noise words hold no fact."""
    assert heard("").nothing
    assert heard("hmm").nothing
    assert not heard("yes").nothing


@given(st.text(max_size=80), st.sampled_from([None, "party", "date", "time", "name"]))
def test_any_text_is_survived(text: str, asked: Slot | None) -> None:
    """A recogniser may write anything at all."""
    understand(text, today=TODAY, asked=asked)


SPEECH = st.lists(
    st.sampled_from(
        "a table for four at seven half past quarter to thirty the first of may december tomorrow "
        "no not sorry name is miller people friday next 7:30 730 12/31 31st 0 99 , . pm in days "
        "hundred oh five noon yes".split()
    ),
    max_size=12,
).map(" ".join)


@given(SPEECH, st.sampled_from([None, "party", "date", "time", "name"]))
def test_any_order_of_the_words_is_survived(text: str, asked: Slot | None) -> None:
    """Words of a booking in an order that nobody would say."""
    understand(text, today=TODAY, asked=asked)


@given(
    st.integers(1, 12),
    st.integers(0, 180),
    st.integers(12, 21),
    st.sampled_from(range(0, 60, 5)),
    st.sampled_from(["Miller", "Anna Smith", "O'Brien"]),
)
def test_what_we_say_is_what_we_understand(
    party: int, ahead: int, hour: int, minute: int, name: str
) -> None:
    """The sentence that reads a booking back, heard, is the same booking."""
    day, time = TODAY + dt.timedelta(days=ahead), dt.time(hour, minute)
    said = heard(
        f"A table for {spelled(party)}, {spoken_date(day, TODAY)}, at {spoken_time(time)}, under "
        f"the name {name}."
    )
    assert (said.party, said.date, said.time, said.name) == (party, day, time, name)


@pytest.mark.parametrize(
    ("number", "words"), [(1, "first"), (12, "twelfth"), (20, "twentieth"), (30, "thirtieth"),
                          (31, "thirty-first"), (23, "twenty-third")],
)  # fmt: skip
def test_ordinals_in_words(number: int, words: str) -> None:
    """Days of the month are spelled for the voice."""
    assert spelled_ordinal(number) == words
