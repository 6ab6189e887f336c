"""Keys that are collected, and the sound that lies under a call."""

from __future__ import annotations

import pytest

from bridge.background import Background
from bridge.keypad import Keypad, KeyRules
from bridge.playout import Chunk, Playout
from telnyx_media._audioop import audioop
from telnyx_media.codecs import make_codec
from telnyx_media.pcm import rms


def press(rules: KeyRules, keys: str, *, every: float = 0.1) -> Keypad:
    """Press keys one after another, beginning at 0."""
    keypad = Keypad(rules)
    keypad.wait_from(0.0)
    for number, key in enumerate(keys):
        keypad.press(key, number * every)
    return keypad


@pytest.mark.parametrize(
    ("rules", "keys", "digits"),
    [
        (KeyRules(most=4, least=4), "12345", "1234"),
        (KeyRules(), "12#34", "12"),
        (KeyRules(terminator="*", valid="0123456789#"), "1#2*3", "1#2"),
        (KeyRules(most=3, valid="0123456789"), "1A2B3", "123"),
        (KeyRules(least=4, most=6), "123#", ""),
        (KeyRules(), "#", ""),
    ],
)
def test_keys_are_complete_by_number_or_terminator(rules: KeyRules, keys: str, digits: str) -> None:
    """What comes behind the last one is not taken."""
    keypad = press(rules, keys)
    assert keypad.complete
    assert keypad.digits == digits


def test_silence_ends_them_sooner_after_a_key_than_before_the_first() -> None:
    """The patience for the first key counts from the end of the prompt."""
    rules = KeyRules(timeout=8.0, between=4.0)
    keypad = Keypad(rules)
    assert keypad.due is None
    assert not keypad.poll(1000.0)
    keypad.wait_from(10.0)
    assert not keypad.poll(17.9)
    keypad.press("1", 17.9)
    assert keypad.due == pytest.approx(21.9)
    assert not keypad.poll(21.8)
    assert keypad.poll(21.9)
    assert keypad.digits == "1"


@pytest.mark.parametrize(
    "wrong", [{"most": 0}, {"least": 5, "most": 4}, {"terminator": "##"}, {"valid": "x"},
              {"timeout": 0.0}, {"between": -1.0}]
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    """Before anybody is asked."""
    with pytest.raises(ValueError, match=r"digits|keys|timeouts"):
        KeyRules(**wrong)  # type: ignore[arg-type]


def test_a_background_is_softer_under_a_voice_and_has_no_end() -> None:
    """Alone it has its own volume, under silence a part of it, and it begins again by itself."""
    tone = audioop.lin2lin(bytes(range(0, 250, 2)) * 20, 1, 2)
    background = Background(tone, make_codec("PCMU"), make_codec("PCMU"))
    decoder = make_codec("PCMU")
    alone = [rms(decoder.decode(background.packet())) for _ in range(100)]
    under = rms(decoder.decode(background.mix(make_codec("PCMU").silence(1.0))))
    assert min(alone) > 1000
    assert under < max(alone) / 2


def test_what_fills_the_silence_moves_the_clock_of_a_reply() -> None:
    """A reply behind it is heard later by as much, and not counted before."""
    playout = Playout()
    playout.fill(0.12, 0.0)
    playout.begin()
    segment = playout.add_segment("Hello there.")
    playout.add(segment, [b"x" * 160] * 50)
    playout.end_segment(segment)
    playout.end()
    sent = [item for item in playout.due(0.0) if isinstance(item, Chunk)]
    assert sent
    assert playout.position(0.10) == 0.0
    assert playout.position(0.22) == pytest.approx(0.1, abs=0.021)
