"""Codecs of a call: both ways, for every cut, whatever the bytes are."""

from __future__ import annotations

import random
from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telnyx_media.codecs import ENCODINGS, PTIME, Codec, PacketEncoder, make_codec
from telnyx_media.errors import ConfigurationError, UnsupportedCodec
from telnyx_media.pcm import SILENCE_DBFS, level, rms
from tests.pure.signals import aligned_snr, babble, tone

# Encoding, the rate Telnyx states, the rate of the PCM, the least ratio, the longest delay.
KINDS = [
    ("PCMU", 8000, 8000, 30, 0),
    ("PCMA", 8000, 8000, 30, 0),
    ("L16", 16000, 16000, 90, 0),
    ("L16", 8000, 8000, 90, 0),
    ("G722", 8000, 16000, 18, 30),
    ("OPUS", 8000, 8000, 12, 100),
    ("OPUS", 16000, 16000, 12, 200),
    ("OPUS", 48000, 48000, 12, 600),
]
IDS = [f"{encoding}-{rate}" for encoding, rate, *_ in KINDS]


def through(encoder: Codec, decoder: Codec, pcm: bytes) -> bytes:
    """Send PCM over the line, packet by packet."""
    packets = PacketEncoder(encoder)
    return b"".join(decoder.decode(p) for p in [*packets.feed(pcm), *packets.flush()])


@pytest.mark.parametrize(("encoding", "stated", "rate", "least", "delay"), KINDS, ids=IDS)
def test_speech_like_sound_survives_the_line(
    encoding: str, stated: int, rate: int, least: float, delay: int
) -> None:
    """What is decoded is what was encoded, as well as the codec can."""
    encoder, decoder = make_codec(encoding, stated), make_codec(encoding, stated)
    pcm = babble(0.5, rate)

    out = through(encoder, decoder, pcm)

    assert rate == encoder.sample_rate == decoder.sample_rate
    # A tenth of a second from the middle, when the codec knows the sound.
    head, tail = 2 * round(0.25 * rate), 2 * round(0.35 * rate)
    ratio, shift = aligned_snr(pcm[head:tail], out[head:], delay)
    assert ratio > least, f"{ratio:.1f} dB at a delay of {shift}"
    assert abs(len(out) - len(pcm)) <= 2 * PTIME * rate


@pytest.mark.parametrize(("encoding", "stated", "rate", "least", "delay"), KINDS, ids=IDS)
def test_packets_are_the_same_however_the_audio_is_cut(
    encoding: str, stated: int, rate: int, least: float, delay: int
) -> None:
    """Chunks of synthesis have any length, odd ones too."""
    pcm = babble(0.2, rate)
    whole = PacketEncoder(make_codec(encoding, stated))
    expected = whole.feed(pcm) + whole.flush()
    cut = PacketEncoder(make_codec(encoding, stated))
    source = random.Random(7)
    packets: list[bytes] = []
    rest = pcm
    while rest:
        size = source.randint(1, 1500)
        packets += cut.feed(rest[:size])
        rest = rest[size:]
    packets += cut.flush()

    assert expected == packets
    if whole.codec.packet_bytes is not None:
        assert {whole.codec.packet_bytes} == {len(packet) for packet in packets}


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA", "L16", "G722"])
def test_joinable_packets_may_be_cut_anywhere(encoding: str) -> None:
    """Telnyx promises no size of its payloads."""
    encoder, decoder, other = (make_codec(encoding, 16000) for _ in range(3))
    packets = PacketEncoder(encoder)
    stream = b"".join(packets.feed(babble(0.3, encoder.sample_rate)))
    expected = decoder.decode(stream)

    pieces = [other.decode(stream[i : i + 37]) for i in range(0, len(stream), 37)]

    assert encoder.joinable
    assert expected == b"".join(pieces)
    assert all(len(piece) % 2 == 0 for piece in pieces)


@pytest.mark.parametrize(("encoding", "value"), [("PCMU", b"\xff"), ("PCMA", b"\xd5")])
def test_silence_of_g711_is_the_documented_byte(encoding: str, value: bytes) -> None:
    """It is padded with 0xFF for mu-law and 0xD5 for A-law."""
    codec = make_codec(encoding)

    assert value * 160 == codec.silence()
    assert value * 800 == codec.silence(0.1)
    assert rms(codec.decode(codec.silence())) <= 8


@pytest.mark.parametrize(("encoding", "stated"), [(e, r) for e, r, *_ in KINDS], ids=IDS)
def test_silence_sounds_like_nothing(encoding: str, stated: int) -> None:
    """For a codec with memory too, right behind a loud sound."""
    encoder, decoder = make_codec(encoding, stated), make_codec(encoding, stated)
    through(encoder, decoder, tone(0.1, encoder.sample_rate, 440))

    quiet = [decoder.decode(encoder.silence()) for _ in range(20)][10:]

    assert level(b"".join(quiet)) < -60


def test_the_last_packet_is_filled_up_with_silence() -> None:
    """Telnyx wants at least 20 ms in a frame."""
    encoder = PacketEncoder(make_codec("PCMU"))
    packets = encoder.feed(tone(0.03, 8000, 440))
    last = encoder.flush()

    assert [len(packet) for packet in packets] == [160]
    assert [len(packet) for packet in last] == [160]
    assert last[0][80:] == b"\xff" * 80
    assert encoder.flush() == []


@given(st.lists(st.integers(-32768, 32767), max_size=100))
def test_l16_big_endian_is_the_reverse_of_little_endian(samples: list[int]) -> None:
    """One setting swaps the bytes both ways."""
    pcm = array("h", samples).tobytes()
    little, big = make_codec("L16", 16000), make_codec("L16", 16000, l16_byte_order="big")
    swapped = array("h", samples)
    swapped.byteswap()

    assert pcm == little.encode(pcm) == little.decode(pcm)
    assert swapped.tobytes() == big.encode(pcm)
    assert pcm == big.decode(big.encode(pcm))


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_an_odd_byte_of_l16_waits_for_the_next_payload(data: bytes, cuts: list[int]) -> None:
    """Wherever a sample is cut in two, none is lost and none is swapped."""
    codec = make_codec("L16", 16000, l16_byte_order="big")
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]

    pieces = [codec.decode(data[a:b]) for a, b in pairwise(edges)]

    whole = make_codec("L16", 16000, l16_byte_order="big").decode(data[: len(data) & ~1])
    assert whole == b"".join(pieces)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(payloads=st.lists(st.binary(max_size=100), max_size=10))
def test_no_payload_makes_decoding_raise(encoding: str, payloads: list[bytes]) -> None:
    """Whatever the bytes are, there is PCM in whole samples."""
    codec = make_codec(encoding, 16000)
    for payload in payloads:
        assert len(codec.decode(payload)) % 2 == 0


def test_a_damaged_opus_packet_is_silence_and_counted() -> None:
    """The caller's clock goes on by 20 ms."""
    codec = make_codec("OPUS", 16000)
    codec.decode(make_codec("OPUS", 16000).silence())

    # Code 3 with no frames in it is against RFC 6716.
    pcm = codec.decode(b"\xff\x00")

    assert codec.damaged == 1
    assert len(pcm) == 640
    assert level(pcm) == SILENCE_DBFS


def test_opus_takes_one_packet_at_a_time() -> None:
    """Two packets in one payload could not be told apart."""
    codec = make_codec("OPUS", 16000)

    assert not codec.joinable
    assert codec.packet_bytes is None
    with pytest.raises(ValueError, match="640 bytes, not 642"):
        codec.encode(bytes(642))


@pytest.mark.parametrize("name", ["PCMU", "pcmu", " PcMu "])
def test_the_name_of_a_codec_is_taken_in_any_case(name: str) -> None:
    """Telnyx's own spelling varies."""
    assert make_codec(name).encoding == "PCMU"


@pytest.mark.parametrize("stated", [8000, 16000])
def test_g722_has_a_clock_of_8000_and_audio_of_16000(stated: int) -> None:
    """RFC 3551 states the clock, not the rate of the audio; both are understood."""
    assert make_codec("G722", stated).sample_rate == 16000


@pytest.mark.parametrize(
    ("name", "rate", "message"),
    [
        ("AMR-WB", 16000, "AMR-WB is not supported: .* PCMU, PCMA, G722, OPUS or L16"),
        ("amr_wb", 8000, "AMR-WB is not supported"),
        ("MP3", 8000, "unknown codec 'MP3'; known are PCMU, PCMA, L16, G722, OPUS"),
        ("OPUS", 44100, "OPUS at 44100 Hz; possible are 8000, 12000"),
        ("PCMU", 0, "PCMU at 0 Hz"),
    ],
)
def test_what_cannot_be_handled_is_one_error_that_says_what_can(
    name: str, rate: int, message: str
) -> None:
    """The operator reads what to set instead."""
    with pytest.raises(UnsupportedCodec, match=message) as caught:
        make_codec(name, rate)

    assert isinstance(caught.value, ConfigurationError)


def test_a_byte_order_is_big_or_little() -> None:
    """Anything else is a mistake in the settings."""
    with pytest.raises(ConfigurationError, match="'little' and 'big'"):
        make_codec("L16", 16000, l16_byte_order="middle")
