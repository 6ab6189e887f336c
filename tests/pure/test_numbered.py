"""Numbered audio can be read wherever it has been."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.simulator.numbered import NUMBERS, NumberReader, numbered_audio, numbered_packet
from telnyx_media.codecs import make_codec
from telnyx_media.pcm import Resampler, silence


@given(
    first=st.integers(0, NUMBERS - 1),
    count=st.integers(1, 20),
    cuts=st.lists(st.integers(1, 700), min_size=1, max_size=20),
)
def test_numbers_come_back_whatever_the_cuts(first: int, count: int, cuts: list[int]) -> None:
    """Chunks of any length, odd ones too, give the same numbers."""
    pcm = numbered_audio(first, count)
    reader = NumberReader()
    numbers: list[int] = []
    turn = 0
    while pcm:
        size = cuts[turn % len(cuts)]
        numbers += reader.feed(pcm[:size])
        pcm = pcm[size:]
        turn += 1

    assert [(first + i) % NUMBERS for i in range(count)] == numbers


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA"])
@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_numbers_survive_g711_and_resampling(encoding: str, rate: int) -> None:
    """The way through a leg and up to a 24 kHz recogniser loses none."""
    codec = make_codec(encoding)
    pcm = codec.decode(codec.encode(silence(0.033, 8000) + numbered_audio(32700, 150)))
    resampler = Resampler(8000, rate)

    numbers = NumberReader(rate).feed(resampler.feed(pcm) + resampler.flush() + bytes(64))

    assert [(32700 + i) % NUMBERS for i in range(150)] == numbers


def test_a_lost_packet_is_missing_and_the_others_are_not() -> None:
    """Each packet stands for itself."""
    packets = [numbered_packet(i) for i in range(10)]

    numbers = NumberReader().feed(b"".join(packets[:3] + packets[5:]))

    assert numbers == [0, 1, 2, 5, 6, 7, 8, 9]


def test_silence_and_half_a_packet_are_no_number() -> None:
    """Only a whole packet counts."""
    reader = NumberReader()

    assert reader.feed(silence(2.0, 8000) + numbered_packet(7)[:200]) == []
    assert reader.feed(numbered_packet(7)[200:]) == [7]
