"""Words that come twice are recognised, words that are said twice are not lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from telnyx_media.overlap import Overlap

LEFT = 10.0


def after_reconnect(*delivered: str, left: float = LEFT) -> Overlap:
    """Make the overlap of a session that has reconnected."""
    overlap = Overlap()
    for text in delivered:
        overlap.delivered(text, left=left)
    overlap.arm()
    return overlap


def test_nothing_is_taken_off_without_a_reconnect() -> None:
    """A caller who says the same twice has said it twice."""
    overlap = Overlap()
    overlap.delivered("No.", left=LEFT)

    assert overlap.new_in("No.", is_final=True) == "No."


def test_nothing_is_taken_off_when_all_was_covered() -> None:
    """With no speech left in the ring, nothing can come twice."""
    overlap = after_reconnect("Yes.", left=0.0)

    assert overlap.new_in("Yes.", is_final=True) == "Yes."


def test_a_whole_final_that_comes_again_is_dropped_once() -> None:
    """The duplicate is used up; the same words a third time are new."""
    overlap = after_reconnect("One two, three.")

    assert overlap.new_in("one two three", is_final=True) == ""
    assert overlap.new_in("One two three.", is_final=True) == "One two three."


def test_the_beginning_that_comes_again_is_taken_off() -> None:
    """What goes on beyond the delivered words is kept, as it was spelt."""
    overlap = after_reconnect("I'd like two pizzas")

    assert overlap.new_in("two pizzas, please. Large ones!", is_final=True) == (
        "please. Large ones!"
    )


def test_interims_do_not_use_anything_up() -> None:
    """Each interim repeats the one before, and so may the final."""
    overlap = after_reconnect("one two")

    assert overlap.new_in("one", is_final=False) == ""
    assert overlap.new_in("one two three", is_final=False) == "three"
    assert overlap.new_in("one two three", is_final=True) == "three"


def test_several_finals_come_again() -> None:
    """Each uses up its own words."""
    overlap = after_reconnect("a b c", "d e f")

    assert overlap.new_in("a b c", is_final=True) == ""
    assert overlap.new_in("d e f", is_final=True) == ""
    assert overlap.new_in("d e f", is_final=True) == "d e f"


def test_words_come_a_third_time_after_a_second_loss() -> None:
    """A connection that is lost while it repeats leaves all of it to be repeated."""
    overlap = after_reconnect("a b c", "d e f")
    assert overlap.new_in("a b c", is_final=True) == ""
    overlap.delivered("", left=LEFT)
    overlap.arm()

    assert overlap.new_in("a b c", is_final=True) == ""
    assert overlap.new_in("d e f", is_final=True) == ""


def test_words_delivered_while_nothing_is_repeated_come_again_after_a_loss() -> None:
    """The end of one repetition is not the end of all."""
    overlap = after_reconnect("a b c")
    assert overlap.new_in("a b c d e f", is_final=True) == "d e f"
    overlap.delivered("d e f", left=LEFT)
    overlap.rest()
    assert overlap.new_in("d e f", is_final=True) == "d e f"
    overlap.arm()

    assert overlap.new_in("d e f", is_final=True) == ""


def test_only_the_end_of_a_final_comes_again() -> None:
    """The ring began in the middle of it."""
    overlap = after_reconnect("one two three four")

    assert overlap.new_in("three four", is_final=True) == ""


def test_a_word_heard_differently_is_forgiven() -> None:
    """A recogniser that starts elsewhere hears one word in four differently."""
    overlap = after_reconnect("the quick brown fox jumps")

    assert overlap.new_in("The quick brown box jumps.", is_final=True) == ""


def test_other_words_are_kept() -> None:
    """What was not delivered is delivered."""
    overlap = after_reconnect("the quick brown fox")

    assert overlap.new_in("over the lazy dog", is_final=True) == "over the lazy dog"


def test_a_sentence_that_resembles_the_one_before_is_kept() -> None:
    """Words amid the delivered ones are no reason to take the beginning off."""
    overlap = after_reconnect("he might have been made still more respectable than he was")

    said = "he might even have been made amiable himself"
    assert overlap.new_in(said, is_final=True) == said


def test_only_as_many_words_as_the_ring_can_hold_are_remembered() -> None:
    """An old word is not confused with a new one."""
    overlap = after_reconnect("yes", "this is the other thing", left=0.5)

    assert overlap.new_in("yes", is_final=True) == "yes"


@given(st.text(), st.text(), st.booleans())
def test_what_is_left_is_the_end_of_what_came(first: str, second: str, is_final: bool) -> None:
    """Nothing is ever invented."""
    assert second.endswith(after_reconnect(first).new_in(second, is_final=is_final))
