# ruff: noqa: RUF001 - several scripts
"""Sentences, cut from text that is still being written."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telnyx_media.sentences import FIRST_CLAUSE, LONGEST, SentenceSplitter, speakable

# How a language model may cut its text: into characters, words, or long stretches.
CUTS = [1, 3, 7, 1000]


def split(text: str, language: str = "en", size: int = 1, first_clause: int = 0) -> list[str]:
    """Feed a text in pieces of one size and gather what comes out."""
    splitter = SentenceSplitter(language, first_clause=first_clause)
    out: list[str] = []
    for at in range(0, len(text), size):
        out += splitter.feed(text[at : at + size])
    return out + splitter.flush()


TEXTS = [
    ("en", ["I am J. Smith. ", "Hi there."]),
    ("en", ["Dr. Smith and Mrs. Jones vs. Mr. Lee, etc. and so on. ", "Fine."]),
    ("en", ["Your total is $3.50. ", "Pay now."]),
    ("en", ["We have 1,000,000.50 of them. ", "Next?"]),
    ("en", ["Version 2.0.1 is out. ", "Good."]),
    ("en", ["Visit www.example.com/a.b?q=c!d. ", "It is good."]),
    ("en", ["Mail me at a.b@c.co.uk please. ", "Thanks."]),
    ("en", ["Come at 10:30 a.m. on Jan. 5. ", "Bye."]),
    ("en", ["See you at 5 p.m. ", "The door is open."]),
    ("en", ["Some fruit, e.g. apples, i.e. food. ", "Ok."]),
    ("en", ["He lives in the U.S. ", "We do too."]),
    ("en", ["Apt. 5B, 12 Main St., Springfield. ", "Fine."]),
    ("en", ["It is No. 5 on the list. ", "Ok."]),
    ("en", ["No. ", "That is wrong. ", "Ok."]),
    ("en", ["Wait... what? ", "No!! ", "Yes?! ", "Ok."]),
    ("en", ['"Stop." ', "He said."]),
    ("en", ["1. First item. ", "2. Second item."]),
    ("en", ["Here is the list:\n", "- apples\n", "- pears\n", "- plums"]),
    ("en", ["Line one\nand on.\n\n", "Another paragraph"]),
    ("en-US", ["Ask Dr. Miller. ", "Bye."]),
    ("de", ["Das ist z. B. gut. ", "Dr. med. Müller kommt am 3. Mai. ", "Gut."]),
    ("fr", ["M. Dupont arrive. ", "Bonjour !"]),
    ("es", ["¿Cómo está Ud.? ", "EE. UU. es grande. ", "Sí."]),
    ("pt-BR", ["O Sr. Silva chegou. ", "Bom dia."]),
    ("ru", ["Это т. е. так. ", "Да."]),
    ("hi", ["नमस्ते। ", "आप कैसे हैं? ", "ठीक।"]),
    ("ar", ["مرحبا. ", "كيف حالك؟ ", "أنا بخير."]),
    ("ja", ["「はい。」", "と言った。", "次へ！"]),
    ("zh", ["你好！", "今天3.5元。", "再见。"]),
    ("no-such-language", ["Hello there. ", "Bye."]),
    ("", ["Hello there. ", "Bye."]),
]


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize(("language", "sentences"), TEXTS)
def test_a_sentence_ends_where_a_reader_would_end_it(
    language: str, sentences: list[str], size: int
) -> None:
    """No number, abbreviation or address is cut, in any language, however the text arrives."""
    assert sentences == split("".join(sentences), language, size)


@given(st.text(max_size=300), st.lists(st.integers(1, 40), min_size=1), st.integers(0, 40))
def test_the_pieces_join_to_the_whole(text: str, sizes: list[int], first_clause: int) -> None:
    """Nothing is lost, added or changed, whatever is cut."""
    splitter = SentenceSplitter(first_clause=first_clause)
    out: list[str] = []
    at = 0
    while at < len(text):
        size = sizes[len(out) % len(sizes)]
        out += splitter.feed(text[at : at + size])
        at += size
    out += splitter.flush()

    assert text == "".join(out)
    assert all(len(piece) <= LONGEST + 100 for piece in out)
    assert all(any(c.isalpha() for c in piece) for piece in out[:-1] if len(piece) < LONGEST)


WORDS = st.sampled_from(
    ["we", "have", "$3.50", "1,000", "10:30", "Dr. Smith", "e.g.", "p.m.", "a.b@c.de", "No. 7"]
)


@given(st.lists(WORDS, min_size=1, max_size=12), st.integers(0, 2**32))
def test_no_piece_ends_within_a_word_that_holds_a_dot_or_comma(words: list[str], seed: int) -> None:
    """Not even an early clause does."""
    text = " ".join(words) + " here. Bye now."
    source = random.Random(seed)
    splitter = SentenceSplitter(first_clause=8)
    ends: list[int] = []
    at = total = 0
    while at < len(text):
        size = source.randint(1, 5)
        for piece in splitter.feed(text[at : at + size]):
            total += len(piece)
            ends.append(total)
        at += size

    for end in ends:
        assert text[end - 1] == " "
        assert not text[:end].endswith(("Dr. ", "No. ", "e.g. "))


def test_a_sentence_leaves_as_soon_as_nothing_can_change_it() -> None:
    """A question at the next letter, a full stop at the next whole word."""
    splitter = SentenceSplitter()

    assert splitter.feed("Really? ") == []
    assert splitter.feed("I") == ["Really? "]
    assert splitter.feed(" think so. We") == []
    assert splitter.feed(" see") == ["I think so. "]


def test_a_number_may_arrive_in_two_parts() -> None:
    """The stop after "3" is no end before the next token is there."""
    splitter = SentenceSplitter()

    assert splitter.feed("It costs 3.") == []
    assert splitter.feed("50 today.") == []
    assert splitter.flush() == ["It costs 3.50 today."]


def test_the_first_clause_leaves_before_its_sentence_is_complete() -> None:
    """The caller hears something while the rest is being written; later clauses wait."""
    splitter = SentenceSplitter()

    assert splitter.feed("Certainly, I can help you with that,") == []
    assert splitter.feed(" and") == ["Certainly, I can help you with that, "]
    assert splitter.feed(" for that I need your name, your address, and") == []
    assert splitter.feed(" more. Thank you") == [
        "and for that I need your name, your address, and more. "
    ]


def test_a_clause_too_short_to_be_worth_speaking_waits() -> None:
    """A lone "Sure," would be spoken as if it were all."""
    splitter = SentenceSplitter()

    assert splitter.feed("Sure, that works, ") == []
    assert splitter.feed("I will book it, then") == ["Sure, that works, I will book it, "]


def test_a_sentence_that_is_complete_is_not_cut_at_its_clause() -> None:
    """With the whole sentence there, it sounds better in one."""
    text = "Certainly, I can help you with that, of course. Goodbye to you."

    assert SentenceSplitter().feed(text) == ["Certainly, I can help you with that, of course. "]


def test_a_clause_of_a_dense_script_may_be_shorter() -> None:
    """Nine characters of Japanese are a clause."""
    splitter = SentenceSplitter("ja")

    assert splitter.feed("かしこまりました、ご") == ["かしこまりました、"]


@pytest.mark.parametrize("mark", [";", " –", " —", "،", "؛", ":"])
def test_other_marks_end_a_clause_too(mark: str) -> None:
    """Not every clause ends in a comma."""
    head = "a" * FIRST_CLAUSE + mark + " "

    assert SentenceSplitter().feed(head + "rest") == [head]


def test_a_first_clause_is_taken_anew_for_each_reply() -> None:
    """A flush ends the reply."""
    splitter = SentenceSplitter()
    first = splitter.feed("Certainly, I can help you with that, and")
    splitter.flush()

    assert first == splitter.feed("Certainly, I can help you with that, and")


def test_a_sentence_without_end_is_cut_at_a_good_place() -> None:
    """Synthesis has a limit, and the caller a patience."""
    clauses = "one two three four five six seven, " * 40
    words = "word " * 300

    assert all(piece.endswith(", ") for piece in split(clauses, size=5))
    assert all(piece.endswith("word ") for piece in split(words, size=5))
    assert all(len(piece) <= LONGEST for piece in split("x" * 2000, size=5))


def test_a_long_text_is_cut_in_time_that_grows_with_its_length() -> None:
    """A whole page may be said at once."""
    sentence = "This is a sentence of an ordinary kind. "

    assert [sentence] * 3000 == SentenceSplitter(first_clause=0).feed(sentence * 3000 + "Now we")


@pytest.mark.parametrize("text", ["Hello", "7", "Sí", "はい", "ठीक", " a ", "$5", "3️⃣"])
def test_letters_and_digits_can_be_spoken(text: str) -> None:
    """In any script."""
    assert speakable(text)


@pytest.mark.parametrize("text", ["", "   ", "...", "—", "🙂", "**", "\n- ", "?!"])
def test_what_has_neither_is_not_worth_a_request(text: str) -> None:
    """Synthesis would answer with an error, or with nothing at all."""
    assert not speakable(text)
