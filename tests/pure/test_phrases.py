"""What the end of a phrase, a backchannel and an echo look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.phrases import (
    LANGUAGES,
    Ending,
    ending,
    is_backchannel,
    is_echo,
    language_of,
    words,
)

ENGLISH = language_of("en-US")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Uh-huh. I'm O\u2019Neill!", ["uhhuh", "im", "oneill"]),
        ("Ähm, ja…", ["ähm", "ja"]),
        ("", []),
        ("—", []),
    ],
)
def test_words_are_normalized(text: str, expected: list[str]) -> None:
    """Case, punctuation and apostrophes make no difference."""
    assert words(text) == expected


@pytest.mark.parametrize("name", sorted(LANGUAGES))
def test_lists_are_normalized(name: str) -> None:
    """Every entry of every list can be met by what is recognised."""
    language = LANGUAGES[name]
    for phrases in (
        language.backchannels,
        language.hesitations,
        language.dangling,
        language.closings,
        language.digits,
    ):
        assert phrases
        assert [phrase for phrase in phrases if " ".join(words(phrase)) != phrase] == []


@pytest.mark.parametrize("text", ["Uh-huh", "mm-hmm, right", "Okay. I see!", "yeah yeah yeah"])
def test_listening_is_a_backchannel(text: str) -> None:
    """One or several words that ask the other to go on."""
    assert is_backchannel(text, ENGLISH)


@pytest.mark.parametrize("text", ["no", "stop", "yes", "okay but wait", "right, at seven"])
def test_wanting_the_floor_is_none(text: str) -> None:
    """An answer, or anything behind the "okay", is not."""
    assert not is_backchannel(text, ENGLISH)


def test_unknown_language_has_no_rules() -> None:
    """In a language nothing is known of, only punctuation counts."""
    unknown = language_of("xx")
    assert not is_backchannel("uh-huh", unknown)
    assert ending("and", unknown) is Ending.PLAIN
    assert ending("and,", unknown) is Ending.HESITATION
    assert ending("是吗？", unknown) is Ending.COMPLETE  # noqa: RUF001


@pytest.mark.parametrize("tag", ["en", "en-US", "en_GB", "EN"])
def test_language_is_found_by_its_tag(tag: str) -> None:
    """Regions and spellings of the tag make no difference."""
    assert language_of(tag) is LANGUAGES["en"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I would like a table for four", Ending.PLAIN),
        ("I would like a table for four.", Ending.PLAIN),
        ("I would like a table for.", Ending.HESITATION),
        ("I would like a table, sir..", Ending.HESITATION),
        ("Can you tell me?", Ending.HESITATION),
        ("Is that what it is for?", Ending.COMPLETE),
        ("yes please", Ending.COMPLETE),
        ("I would like to", Ending.HESITATION),
        ("and then, um.", Ending.HESITATION),
        ("on Friday,", Ending.HESITATION),
        ("five five five", Ending.NUMBER),
        ("my number is 555 0", Ending.NUMBER),
        ("5550123456", Ending.PLAIN),
        ("at 7", Ending.PLAIN),
    ],
)
def test_ending_tells_what_to_expect(text: str, expected: Ending) -> None:
    """The end of a text tells whether more is to come."""
    assert ending(text, ENGLISH) is expected


def test_echo_is_the_agents_words_in_order() -> None:
    """A text is an echo if most of it is what the agent says, in that order."""
    said = words("We have a table for four at half past seven.")
    assert is_echo("a table for for at half", said)
    assert is_echo("a table for four at half pa-", said)
    assert not is_echo("half four table a", said)
    assert not is_echo("No, for five at eight please", said)


def test_short_text_is_an_echo_only_on_other_evidence() -> None:
    """One or two words of the agent may be the caller's choice."""
    said = words("Soup or salad?")
    assert not is_echo("Salad.", said)
    assert is_echo("Salad.", said, faint=True)
    assert not is_echo("Steak.", said, faint=True)
    assert not is_echo("", said, faint=True)
    said = words("Our cook recommends the mushroom soup and the pizza with artichokes.")
    assert is_echo("Our cuff recommends the mushroom suit.", said, faint=True)
    assert not is_echo("Our cuff recommends the mushroom suit.", said)


@given(st.text(max_size=80), st.sampled_from([*sorted(LANGUAGES), "xx"]))
def test_any_text_is_judged(text: str, name: str) -> None:
    """Whatever a recogniser writes, there is a verdict."""
    language = language_of(name)
    assert ending(text, language) in Ending
    assert is_backchannel(text, language) in {True, False}
    assert is_echo(text, words(text)) == (len(words(text)) >= 3)
