"""Words are compared as they are spoken."""

from __future__ import annotations

import pytest

from bridge.simulator.offline.accuracy import WordErrors, spoken_words, total, word_errors


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("At 7:30 p.m., please!", "at seven thirty p m please"),
        ("8:05 or 9:00", "eight oh five or nine"),
        ("the 22nd, the 3rd and the 20th", "the twenty second the third and the twentieth"),
        ("$12.50 & 15%", "twelve dollars fifty and fifteen per cent"),
        ("1,234 people", "one thousand two hundred thirty four people"),
        ("call 5550100", "call five five five zero one zero zero"),
        ("Mr. Dashwood isn't ill-disposed", "mister dashwood isnt ill disposed"),
        ("3.5 miles", "three point five miles"),
        ("Goodbye. OK?", "good bye okay"),
        ("", ""),
    ],
)
def test_spelling_is_no_error(written: str, spoken: str) -> None:
    """Numbers, signs, contractions and punctuation become the words that are said."""
    assert spoken.split() == spoken_words(written)


def test_errors_are_words_changed_dropped_and_added() -> None:
    """The fewest edits count, per word said."""
    assert WordErrors(0, 3) == word_errors("A table, please.", "a table please")
    assert WordErrors(1, 3) == word_errors("a table please", "the table please")
    assert WordErrors(1, 3) == word_errors("a table please", "table please")
    assert WordErrors(2, 3) == word_errors("a table please", "a big red table please")
    assert WordErrors(3, 3) == word_errors("a table please", "")


def test_errors_of_several_transcripts_add_up() -> None:
    """A long transcript weighs more than a short one."""
    both = total([WordErrors(1, 3), WordErrors(0, 7)])

    assert both.rate == 0.1
    assert WordErrors(2, 0).rate == 2.0
