"""The receptionist's conversation, read as text."""

from __future__ import annotations

import datetime as dt

import pytest

from bridge.agents.frontdesk import PATIENCE, Booking, FrontDesk, spoken_date, spoken_time

# A Sunday afternoon.
NOW = dt.datetime(2026, 11, 22, 15, 0)
MONDAY = dt.date(2026, 11, 23)
WHOLE = "A table for four tomorrow at half past seven, name is Miller"
BOOKED = Booking(4, MONDAY, dt.time(19, 30), "Miller")


@pytest.fixture
def desk() -> FrontDesk:
    """A desk that has greeted its caller."""
    desk = FrontDesk(NOW)
    desk.greeting()
    return desk


def hear(desk: FrontDesk, *sentences: str) -> str:
    """Say several things to the desk and get its last answer."""
    answer = ""
    for sentence in sentences:
        answer = desk.hear(sentence)
    return answer


def test_a_booking_in_one_sentence(desk: FrontDesk) -> None:
    """Everything at once is read back, confirmed, booked and taken leave of."""
    answer = desk.hear(WHOLE)
    assert answer == (
        "A table for four, tomorrow, Monday, November twenty-third, at seven thirty in the "
        "evening, under the name Miller. Is that right?"
    )
    assert not desk.booked
    assert "Your table is booked" in desk.hear("Yes, that's right.")
    assert (desk.booked, desk.done, desk.booking) == (True, False, BOOKED)
    assert desk.hear("No, thank you. Goodbye.").endswith("Goodbye.")
    assert desk.done


def test_a_booking_question_by_question(desk: FrontDesk) -> None:
    """What is missing is asked for, and each answer is said back."""
    assert desk.hear("Hello") == "Of course. For how many people?"
    assert desk.hear("Four.") == "A table for four. For which day?"
    assert desk.hear("Tomorrow.").startswith("Tomorrow, Monday, November twenty-third. At what")
    assert desk.hear("730.").startswith("At seven thirty in the evening. And what name")
    assert "under the name Miller. Is that right?" in desk.hear("Miller")
    assert "is booked" in desk.hear("Yes.")
    assert desk.booking == BOOKED


@pytest.mark.parametrize(
    "order",
    [
        ("name is Miller", "tomorrow", "at 7:30", "four people"),
        ("at half past seven", "for four", "under Miller", "on Monday"),
        ("four people tomorrow", "under Miller at 7.30 p.m."),
    ],
)
def test_facts_come_in_any_order(desk: FrontDesk, order: tuple[str, ...]) -> None:
    """Nobody has to answer the question that was asked."""
    assert hear(desk, *order).endswith("Is that right?")
    assert desk.booking == BOOKED


def test_a_correction_before_the_confirmation(desk: FrontDesk) -> None:
    """``No, five people`` changes the party and reads everything back again."""
    answer = hear(desk, WHOLE, "No, five people.")
    assert answer.startswith("A table for five, tomorrow")
    assert desk.booking.party == 5
    assert not desk.booked


def test_a_no_asks_what_to_change(desk: FrontDesk) -> None:
    """A bare no leads to the fact that is wrong, and to its question."""
    assert hear(desk, WHOLE, "No.") == "All right. What would you like to change?"
    assert desk.hear("The time.") == "All right. At what time?"
    assert "at eight o'clock in the evening" in desk.hear("eight")
    assert "is booked" in desk.hear("yes")


def test_a_change_after_the_booking(desk: FrontDesk) -> None:
    """A booked table can still be changed, and is confirmed anew."""
    answer = hear(desk, WHOLE, "yes", "actually, make it Tuesday")
    assert "Tuesday, November twenty-fourth" in answer
    assert not desk.booked
    desk.hear("yes")
    assert desk.booked
    assert desk.booking.date == dt.date(2026, 11, 24)


def test_a_number_that_may_be_two_things_is_asked_about(desk: FrontDesk) -> None:
    """``Make it five`` may be guests or an hour."""
    assert "people, or the time?" in hear(desk, WHOLE, "make it five")
    assert desk.hear("The number of people.").startswith("A table for five")
    assert "people, or the time?" in desk.hear("make it six")
    assert "at six o'clock" in desk.hear("the time")


@pytest.mark.parametrize(
    ("sentence", "reason", "slot"),
    [
        ("a table for twenty", "one to twelve", "party"),
        ("at eleven p.m.", "from noon until half past nine", "time"),
        ("at nine in the morning", "from noon until half past nine", "time"),
        ("today at one", "over for today", "time"),
        ("yesterday", "that day is over", "date"),
        ("on the first of August", "further ahead", "date"),
    ],
)
def test_what_cannot_be_is_refused(desk: FrontDesk, sentence: str, reason: str, slot: str) -> None:
    """A fact that can't be is told why and asked for again."""
    assert reason in desk.hear(sentence)
    assert getattr(desk.booking, slot) is None


def test_it_asks_differently_each_time_and_gives_up_kindly(desk: FrontDesk) -> None:
    """Who is not understood hears other words, and in the end a goodbye."""
    answers = [desk.hear("fish fish fish") for _ in range(PATIENCE)]
    assert len(set(answers)) == PATIENCE
    assert desk.done
    assert answers[-1].endswith("Goodbye.")


def test_understanding_something_renews_its_patience(desk: FrontDesk) -> None:
    """Misses count in a row only."""
    hear(desk, "fish", "fish", "four people", "fish", "fish")
    assert not desk.done


def test_silence_is_asked_about_and_ends_the_call(desk: FrontDesk) -> None:
    """A silent caller is asked, asked again, and left."""
    assert desk.silence().startswith("Are you still there?")
    desk.silence()
    assert desk.silence().endswith("Goodbye.")
    assert desk.done


def test_silence_after_the_booking_is_a_goodbye(desk: FrontDesk) -> None:
    """Nothing more to say after the booking: no questions asked."""
    hear(desk, WHOLE, "yes")
    assert "Goodbye" in desk.silence()
    assert desk.done
    assert desk.booked


def test_the_last_sentence_is_repeated(desk: FrontDesk) -> None:
    """Who did not get it hears it again."""
    answer = desk.hear("a table for four")
    assert desk.hear("Sorry?") == answer
    assert desk.hear("Can you say that again?") == answer


@pytest.mark.parametrize("sentence", ["Never mind.", "Please cancel it.", "I changed my mind"])
def test_a_caller_may_change_their_mind(desk: FrontDesk, sentence: str) -> None:
    """A booking that is no longer wanted is dropped."""
    assert "won't book" in hear(desk, WHOLE, sentence)
    assert desk.done
    assert not desk.booked


def test_a_booked_table_can_be_cancelled(desk: FrontDesk) -> None:
    """Cancelling after the booking takes it out again."""
    assert "taken the booking out" in hear(desk, WHOLE, "yes", "please cancel")
    assert not desk.booked


def test_never_mind_after_the_booking_cancels_nothing(desk: FrontDesk) -> None:
    """``Never mind`` answers ``is there anything else``."""
    hear(desk, WHOLE, "yes", "oh, never mind")
    assert desk.booked
    assert desk.done


def test_a_question_is_answered_and_the_booking_goes_on(desk: FrontDesk) -> None:
    """A question in between loses nothing of what was said."""
    answer = hear(desk, "a table for four", "What time do you close?")
    assert "noon to eleven" in answer
    assert "day" in answer
    assert desk.booking.party == 4


def test_a_yes_to_what_was_not_heard_is_no_yes(desk: FrontDesk) -> None:
    """A caller who breaks in on the facts with a yes hears them again."""
    read_back = desk.hear(WHOLE)
    unheard = read_back[read_back.index("at seven thirty") :]
    again = desk.hear("Yes, yes.", unheard=unheard)
    assert "seven thirty in the evening" in again
    assert not desk.booked
    desk.hear("Yes.")
    assert desk.booked


def test_a_yes_over_the_question_is_a_yes(desk: FrontDesk) -> None:
    """A caller who has heard the facts need not wait for the question."""
    desk.hear(WHOLE)
    desk.hear("Yes.", unheard=" Is that right?")
    assert desk.booked


def test_breaking_in_with_a_correction(desk: FrontDesk) -> None:
    """What the caller says over the read-back counts."""
    read_back = desk.hear(WHOLE)
    answer = desk.hear("No, five people.", unheard=read_back[20:])
    assert answer.startswith("A table for five")


def test_breaking_in_with_nothing_gives_the_caller_the_word(desk: FrontDesk) -> None:
    """An interruption that means nothing is answered by listening."""
    assert desk.hear("hm, er", unheard="and how many will you be?") == "Yes, please?"


def test_the_same_words_lead_to_the_same_place(desk: FrontDesk) -> None:
    """A conversation that was cut off is picked up where it was."""
    hear(desk, "a table for four", "tomorrow")
    assert desk.welcome_back().startswith("Sorry, the line was gone")
    assert "time" in desk.welcome_back()


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (dt.time(12), "noon"),
        (dt.time(12, 30), "twelve thirty in the afternoon"),
        (dt.time(17), "five o'clock in the evening"),
        (dt.time(19, 5), "seven oh five in the evening"),
        (dt.time(21, 45), "nine forty-five in the evening"),
    ],
)
def test_a_time_in_words(time: dt.time, words: str) -> None:
    """Times are written for a voice."""
    assert spoken_time(time) == words


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (0, "today, Sunday, November twenty-second"),
        (1, "tomorrow, Monday, November twenty-third"),
        (9, "Tuesday, December first"),
    ],
)
def test_a_day_in_words(ahead: int, words: str) -> None:
    """Days are written for a voice."""
    assert spoken_date(NOW.date() + dt.timedelta(days=ahead), NOW.date()) == words
