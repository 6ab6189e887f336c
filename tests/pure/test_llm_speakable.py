"""What a model writes, made fit to be spoken: nothing is read out that nobody would say."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.agents.llm.reasoning import ThoughtFilter
from bridge.agents.llm.speakable import SpeakableText, speakable


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Plain words stay as they are.", "Plain words stay as they are."),
        ("**Hello** there, *you* and __you__ and ~~him~~!", "Hello there, you and you and him!"),
        ("***Really*** important", "Really important"),
        ("a snake_case name", "a snake case name"),
        ("2 * 3 and 3*4", "2 times 3 and 3 times 4"),
        (r"Five \! stars", "Five! stars"),
        ("Use the `start` key.", "Use the start key."),
        ("# Our menu\nToday we have soup.", "Our menu. Today we have soup."),
        ("## Open?\nYes", "Open? Yes"),
        ("You can:\n- walk\n- take a bus\n\nSee you!", "You can: walk. take a bus. See you!"),
        ("* one\n* two", "one. two"),
        ("1. First\n2. Second", "1. First 2. Second"),
        ("> As they say\n> so it is.", "As they say so it is."),
        ("One\ntwo", "One two"),
        ("One paragraph\n\nand another", "One paragraph. and another"),
        ("before\n\n---\n\nafter", "before. after"),
        (
            "| Day | Table |\n|---|:-:|\n| Mon | 2 |\n\nThat is all.",
            "Day, Table. Mon, 2. That is all.",
        ),
        ("Run this:\n```python\nx = 1\n```\nDone.", "Run this: Done."),
        ("See [our menu](https://example.com/m?x=1), please.", "See our menu, please."),
        ("![a photo of the room](room.png) Nice.", "a photo of the room Nice."),
        ("It is so.[1] And so[^2].", "It is so. And so."),
        ("A [bracket] in a text", "A bracket in a text"),
        ("An [open bracket", "An [open bracket"),
        ("Line<br>break and <b>bold</b>.", "Line break and bold."),
        ("a < b", "a less than b"),
        ("<https://example.com>", "example dot com"),
        ("Great 😀👍🏽! Welcome 🇫🇷.", "Great! Welcome."),
        ("☎️ Call us", "Call us"),
        ("Press 1️⃣ now", "Press 1 now"),
        ("R&D & more", "R&D and more"),
        ("home → work", "home to work"),
        ("", ""),
        ("  \n\n ", ""),
        ("...", ""),
    ],
)
def test_markup_is_not_read_out(written: str, said: str) -> None:
    """Markdown, emoji, HTML and code."""
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("https://www.example.com/", "example dot com"),
        ("Go to www.example.com/menu.", "Go to example dot com slash menu."),
        (
            "(https://shop.example.org/a_b/c-d?x=1#y)",
            "(shop dot example dot org slash a b slash c d)",
        ),
        ("example.com, for one", "example dot com, for one"),
        ("e.g. this", "e.g. this"),
        ("http://x.com/" + "long/" * 20, "x dot com"),
        ("http://localhost:8000/x", "localhost slash x"),
        ("jane_doe@mail.example.com!", "jane underscore doe at mail dot example dot com!"),
        ("mailto:a.b@example.com", "a dot b at example dot com"),
    ],
)
def test_addresses_are_said(written: str, said: str) -> None:
    """As one would dictate them, without what nobody dictates."""
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("$5", "5 dollars"),
        ("$1", "1 dollar"),
        ("It is $12.50.", "It is 12 dollars and 50 cents."),
        ("$0.99", "99 cents"),
        ("$1.01", "1 dollar and 1 cent"),
        ("-$3", "minus 3 dollars"),
        ("€1,200", "1,200 euros"),
        ("12,50€ or 12€", "12 euros and 50 cents or 12 euros"),
        ("£2.05", "2 pounds and 5 pence"),
        ("$1.5 million, really", "1.5 million dollars, really"),
        ("$2M and $3k", "2 million dollars and 3 thousand dollars"),
        ("$10-20", "10 dollars to 20 dollars"),
        ("50% or 12.5 %", "50 percent or 12.5 percent"),
        ("1%", "1 percent"),
        ("5 km, 1 kg, 2 lbs", "5 kilometers, 1 kilogram, 2 pounds"),
        ("20°C, 70 °F", "20 degrees Celsius, 70 degrees Fahrenheit"),
        ("1 mph", "1 mile per hour"),
        ("-5°C", "minus 5 degrees Celsius"),
        ("in 5 minutes", "in 5 minutes"),
        ("7pm, 7:30 p.m. and 11:15AM", "7 PM, 7:30 PM and 11:15 AM"),
        ("19:30", "19:30"),
        ("7:00-9:30", "7:00 to 9:30"),
        ("10-12 guests, 3\u20134 days", "10 to 12 guests, 3 to 4 days"),
        ("2026-11-22", "November 22, 2026"),
        ("1/2 or 3/4", "one half or three quarters"),
        ("open 24/7", "open 24 7"),
        ("#5", "number 5"),
        ("1,234", "1,234"),
        ("In 1999", "In 1999"),
        ("the 1st", "the 1st"),
        ("version 1.2.3", "version 1.2.3"),
        ("a 5-star hotel", "a 5-star hotel"),
    ],
)  # fmt: skip
def test_figures_are_said(written: str, said: str) -> None:
    """Money, units, times, dates and ranges."""
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("202-555-0100", "2 0 2, 5 5 5, 0 1 0 0"),
        ("+1-202-555-0100.", "plus 1, 2 0 2, 5 5 5, 0 1 0 0."),
        ("+12025550100", "plus 1 2, 0 2 5, 5 5 0, 1 0 0"),
        ("(202) 555-0100", "2 0 2, 5 5 5, 0 1 0 0"),
        ("(202)555-0100,", "2 0 2, 5 5 5, 0 1 0 0,"),
        ("Call 202.555.0100 now", "Call 2 0 2, 5 5 5, 0 1 0 0 now"),
        ("order 12345678", "order 1 2, 3 4 5, 6 7 8"),
        ("192.168.0.1", "192.168.0.1"),
        ("3.14159265", "3.14159265"),
        ("12345", "12345"),
    ],
)
def test_long_numbers_are_said_digit_by_digit(written: str, said: str) -> None:
    """As telephone numbers and order numbers are."""
    assert speakable(written) == said


def test_other_languages_keep_their_figures() -> None:
    """Saying a number is grammar; saying an address is not."""
    assert speakable("Das kostet **5 €** auf www.beispiel.de 😀", "de-DE") == (
        "Das kostet 5 € auf beispiel Punkt de"
    )


PIECES = st.lists(
    st.sampled_from(
        ["**", "*", "_", "`", "```", "# ", "- ", "|", "\n", " ", "[", "](", ")", "<", ">", "b>",
         "www.", "a.com", "$5", ".50", " million", "%", "km", "(202)", " 555-0100", "😀", "word",
         ".", "!", ", ", "2026-11-22", "7", ":30", "pm", "1/2", "\\", "~~", "---", "@x.com", "1️⃣"]
    ),
    max_size=25,
)  # fmt: skip


@given(PIECES.map("".join), st.randoms(use_true_random=False))
@example("a [b](c) d", None)
@example("| a | b |\n|--|--|\nx", None)
def test_it_does_not_matter_how_the_text_is_cut(text: str, random: object) -> None:
    """Token by token, letter by letter or at once: the same words come out."""
    whole = speakable(text)
    single = SpeakableText()
    assert "".join([single.feed(letter) for letter in text] + [single.flush()]) == whole
    if random is not None:
        cuts = SpeakableText()
        out = ""
        at = 0
        while at < len(text):
            step = random.randint(1, 7)  # type: ignore[attr-defined]
            out += cuts.feed(text[at : at + step])
            at += step
        assert out + cuts.flush() == whole


@given(st.text(alphabet="ab1.,*_[]()<>|#`~\n $%-+😀", max_size=60))
def test_any_text_is_taken(text: str) -> None:
    """Nothing makes it fail, nothing is held back for ever, and no mark of Markdown is left."""
    single = SpeakableText()
    pieces = [single.feed(letter) for letter in text]
    said = "".join([*pieces, single.flush()])
    assert said == speakable(text)
    assert "**" not in said
    assert "\n" not in said
    assert "😀" not in said


def test_a_word_leaves_when_the_next_one_begins() -> None:
    """The caller does not wait for a sentence because of a star."""
    text = SpeakableText()
    assert text.feed("**Thank") == ""
    assert text.feed(" you") == "Thank"
    assert text.feed("** for ") == " you for"
    assert text.feed("calling.") == ""
    assert text.flush() == " calling."


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("<think>Hmm, who is it?</think>Hello.", "Hello."),
        ("Hello.<think>What now?</think> How are you?", "Hello. How are you?"),
        ("<THINKING>x</THINKING>A", "A"),
        ("<think>never ended", ""),
        ("left over</think> Hello.", "left over Hello."),
        ("a < b, <b>c</b> and <thin air", "a < b, <b>c</b> and <thin air"),
        ("ends with <", "ends with <"),
    ],
)
def test_thoughts_are_not_spoken(written: str, said: str) -> None:
    """However the tags are cut."""
    whole = ThoughtFilter()
    assert whole.feed(written) + whole.flush() == said
    single = ThoughtFilter()
    assert "".join([single.feed(letter) for letter in written] + [single.flush()]) == said
