"""What the simulated recogniser is told of speech while it goes on."""

from __future__ import annotations

from bridge.endpointing import WORDLESS
from bridge.simulator.segments import WINDOW, Segmenter

RATE = 8000
PCM = bytes(2 * round(RATE * WINDOW))


def test_a_sentence_in_one_breath_is_reported_as_it_goes_on() -> None:
    """So often that nobody takes the voice for noise because it brings no new word."""
    segmenter = Segmenter(RATE, endpoint=0.1)
    at = [0.0]
    for number in range(round(9 / WINDOW)):
        at += [number * WINDOW for moment in segmenter.feed(PCM, [0.9]) if moment.kind == "growing"]
    assert max(later - before for before, later in zip(at, [*at[1:], 9.0], strict=True)) < WORDLESS
