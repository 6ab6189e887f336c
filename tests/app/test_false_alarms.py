"""After a false alarm the agent goes on where it was: packet by packet, at the caller's ear.

The agent plays audio in which every packet holds its number, in words of 0.4 s with pauses between
them, and what the simulated caller heard is read back.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from bridge.call import Call, Reply
from bridge.simulator.numbered import NumberReader, numbered_audio
from telnyx_media.pcm import silence, write_wav
from tests.app.phone import phone_line
from tests.loopback import PATIENCE

# Packets of a word, which a caller hears as numbers, and of the pause behind it.
WORD, PAUSE = 20, 5
WORDS = 14


def spoken(folder: Path) -> str:
    """Write the words as a file."""
    path = folder / "words.wav"
    pause = silence(PAUSE * 0.02, 8000)
    pcm = b"".join(numbered_audio(n * WORD, WORD) + pause for n in range(WORDS))
    write_wav(path, pcm, 8000)
    return str(path)


def uh_huh(sound: str, when: float) -> tuple[dict[str, object], dict[str, object]]:
    """Make a caller who lets the agent talk for so many seconds and then makes a sound."""
    return {"play": sound, "when": {"agent_speaking": when}}, {"wait": 0.5}


def runs_of(numbers: list[int]) -> list[tuple[int, int]]:
    """Get the first and last of each run of numbers that follow each other."""
    starts = [0, *(at for at, (a, b) in enumerate(pairwise(numbers), 1) if b != a + 1)]
    ends = [*(at - 1 for at in starts[1:]), len(numbers) - 1]
    return [(numbers[a], numbers[b]) for a, b in zip(starts, ends, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["PCMU", "L16"])
def test_speech_goes_on_from_the_word_that_was_cut_packet_by_packet(
    codec: str, tmp_path: Path
) -> None:
    """No packet is missing at the ear, and none is heard twice but those of the word in hand."""
    replies: list[Reply] = []
    sound = spoken(tmp_path)

    def agent(call: Call) -> None:
        replies.append(call.play(sound))

    with phone_line(agent, texts=["uh-huh"] * 9, BRIDGE_CODEC=codec) as phone:
        alarms: list[dict[str, object]] = [
            step for when in (1.5, 1.27) for step in uh_huh(phone.speech, when)
        ]
        call = phone.call(*alarms, codec=codec)
        call.wait(12 * PATIENCE)
        false_alarms = phone.seen.summary().false_alarms

    runs = runs_of(NumberReader(call.sample_rate).feed(call.heard))
    assert false_alarms >= 2
    assert len(call.clears) == false_alarms
    # The clear fell into a pause, or cut a word in two.
    assert 1 < len(runs) <= false_alarms + 1
    assert runs[0][0] == 0
    assert runs[-1][1] == WORDS * WORD - 1
    for (_, cut), (again, _) in pairwise(runs):
        assert again % WORD == 0, "it goes on in the middle of a word"
        assert 0 <= cut + 1 - again <= WORD
    assert [reply.interrupted for reply in replies] == [False]
