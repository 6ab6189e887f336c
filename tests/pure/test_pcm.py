"""Plain audio: rates, packets, levels, and WAV files of every kind."""

from __future__ import annotations

import io
import random
import struct
import wave
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telnyx_media.codecs import make_codec
from telnyx_media.errors import ConfigurationError, ProtocolError, UnsupportedCodec
from telnyx_media.pcm import (
    SILENCE_DBFS,
    Packetizer,
    Resampler,
    WavHeader,
    level,
    mono,
    parse_wav_header,
    read_wav,
    rms,
    seconds,
    silence,
    stereo,
    swap_bytes,
    wav_header,
    write_wav,
)
from tests.pure.signals import babble, noise, strength, tone

RATES = [8000, 16000, 22050, 24000, 44100, 48000]


@pytest.mark.parametrize("from_rate", RATES)
@pytest.mark.parametrize("to_rate", [8000, 16000, 24000])
def test_resampled_audio_has_its_length_and_its_tone(from_rate: int, to_rate: int) -> None:
    """A second stays a second, and a kilohertz stays as loud as it was."""
    resampler = Resampler(from_rate, to_rate)

    out = resampler.feed(tone(1.0, from_rate, 1000)) + resampler.flush()

    assert abs(seconds(out, to_rate) - 1.0) < 0.001
    middle = out[len(out) // 4 & ~1 : len(out) // 2 & ~1]
    assert strength(middle, to_rate, 1000) == pytest.approx(8000, rel=0.02)


@pytest.mark.parametrize("from_rate", [16000, 24000, 48000])
def test_what_a_telephone_cannot_carry_is_taken_out(from_rate: int) -> None:
    """A tone above half the new rate would come back as another tone; it is 80 dB down."""
    resampler = Resampler(from_rate, 8000)

    out = resampler.feed(tone(0.5, from_rate, 5000)) + resampler.flush()

    assert rms(out[400:-400]) <= 1


@given(st.sampled_from([(24000, 8000), (22050, 8000), (8000, 16000)]), st.integers(0, 2**32))
def test_resampling_is_the_same_for_every_cut(rates: tuple[int, int], seed: int) -> None:
    """Chunks of synthesis may end in the middle of a sample."""
    pcm = noise(0.05, rates[0], 3000)
    whole, cut = Resampler(*rates), Resampler(*rates)
    source = random.Random(seed)
    out, rest = b"", pcm
    while rest:
        size = source.randint(1, 700)
        out += cut.feed(rest[:size])
        rest = rest[size:]

    assert whole.feed(pcm) + whole.flush() == out + cut.flush()


@given(st.lists(st.binary(max_size=9), max_size=9))
def test_equal_rates_change_nothing_but_hold_back_half_a_sample(chunks: list[bytes]) -> None:
    """Between equal rates there is only the cut to mend."""
    resampler = Resampler(8000, 8000)

    out = [resampler.feed(chunk) for chunk in chunks]

    data = b"".join(chunks)
    assert data[: len(data) & ~1] == b"".join(out)
    assert all(len(piece) % 2 == 0 for piece in out)
    assert resampler.flush() == b""


def test_at_most_three_milliseconds_are_held_back() -> None:
    """The caller hears the difference of every one of them."""
    resampler = Resampler(24000, 8000)

    assert seconds(resampler.feed(silence(0.02, 24000)), 8000) >= 0.017


def test_after_a_flush_a_new_stream_begins() -> None:
    """Nothing of the old one is heard in it."""
    resampler = Resampler(24000, 8000)
    first = resampler.feed(tone(0.1, 24000, 440)) + resampler.flush()
    second = resampler.feed(tone(0.1, 24000, 440)) + resampler.flush()

    assert first == second


def test_a_rate_is_positive() -> None:
    """A zero comes out of somebody's header."""
    with pytest.raises(ConfigurationError):
        Resampler(0, 8000)


@given(st.lists(st.binary(max_size=50)), st.integers(1, 40), st.binary(min_size=1, max_size=3))
def test_packets_join_to_the_whole(chunks: list[bytes], size: int, pad: bytes) -> None:
    """Whatever is cut, all packets have one size and hold all bytes, then padding."""
    packetizer = Packetizer(size)
    packets: list[bytes] = []
    for chunk in chunks:
        packets += packetizer.feed(chunk)
        assert len(packetizer) < size
    packets += packetizer.flush(pad)

    data = b"".join(chunks)
    joined = b"".join(packets)
    assert all(len(packet) == size for packet in packets)
    assert data == joined[: len(data)]
    assert (pad * size)[: len(joined) - len(data)] == joined[len(data) :]
    assert packetizer.flush(pad) == []


def test_without_padding_the_last_packet_is_short() -> None:
    """Some want to know how much there was."""
    packetizer = Packetizer(4)

    assert packetizer.feed(b"abcdef") == [b"abcd"]
    assert packetizer.flush() == [b"ef"]


def test_a_packet_has_a_size() -> None:
    """Zero bytes would never be full."""
    with pytest.raises(ConfigurationError):
        Packetizer(0)


def test_level_is_measured_from_full_scale() -> None:
    """Zero dBFS is a square wave at the limit; silence has a floor and no infinity."""
    assert level(array("h", [-32768] * 100).tobytes()) == pytest.approx(0)
    assert level(tone(0.1, 8000, 400, amplitude=32767)) == pytest.approx(-3, abs=0.1)
    assert level(tone(0.1, 8000, 400, amplitude=3276.7)) == pytest.approx(-23, abs=0.1)
    assert level(bytes(320)) == level(b"") == level(b"\x01") == SILENCE_DBFS


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_channels_are_mixed_with_equal_weight(channels: int) -> None:
    """The same in all channels stays as it is; opposites cancel out."""
    same = array("h", [v for v in (0, 1000, -1000, 30000) for _ in range(channels)])

    mixed = array("h", mono(same.tobytes(), channels))

    assert list(mixed) == pytest.approx([0, 1000, -1000, 30000], abs=channels)


def test_opposite_channels_cancel_out() -> None:
    """Half of the one and half of the other."""
    assert mono(array("h", [1000, -1000, 20, 40]).tobytes(), 2) == array("h", [0, 30]).tobytes()


@given(
    st.lists(st.integers(-32768, 32767), max_size=20),
    st.lists(st.integers(-32768, 32767), max_size=20),
)
def test_two_channels_are_interleaved_and_the_shorter_is_filled_up(
    left: list[int], right: list[int]
) -> None:
    """A recording has the caller on one side and the agent on the other."""
    size = max(len(left), len(right))
    both = array("h", stereo(array("h", left).tobytes(), array("h", right).tobytes()))

    assert left + [0] * (size - len(left)) == list(both[::2])
    assert right + [0] * (size - len(right)) == list(both[1::2])


@given(st.binary(max_size=20).map(lambda b: b[: len(b) & ~1]))
def test_bytes_are_swapped_back_and_forth(pcm: bytes) -> None:
    """Twice is not at all."""
    assert pcm == swap_bytes(swap_bytes(pcm))
    assert pcm[::-1] == b"".join(
        reversed([swap_bytes(pcm)[i : i + 2] for i in range(0, len(pcm), 2)])
    )


def test_seconds_and_silence_are_of_one_mind() -> None:
    """Twenty milliseconds at 8 kHz are 160 samples."""
    assert len(silence(0.02, 8000)) == 320
    assert seconds(silence(1.5, 16000), 16000) == 1.5


@pytest.mark.parametrize("channels", [1, 2])
def test_a_written_file_is_read_by_the_standard_library(tmp_path: Path, channels: int) -> None:
    """Everybody else can open what we write."""
    path = tmp_path / "call.wav"
    pcm = babble(0.1, 8000)
    write_wav(path, pcm, 8000, channels)

    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (
            channels,
            2,
            8000,
        )
        assert pcm == file.readframes(file.getnframes())


def test_a_written_file_is_read_back(tmp_path: Path) -> None:
    """By path and by open file."""
    pcm = babble(0.1, 16000)
    write_wav(tmp_path / "a.wav", pcm, 16000)
    file = io.BytesIO()
    write_wav(file, pcm, 16000)

    assert (pcm, 16000) == read_wav(tmp_path / "a.wav") == read_wav(str(tmp_path / "a.wav"))
    assert (pcm, 16000) == read_wav(io.BytesIO(file.getvalue()))


@given(st.integers(1, 200_000), st.integers(1, 8), st.integers(1, 1 << 30))
def test_a_header_is_parsed_from_its_own_bytes_and_no_fewer(
    rate: int, channels: int, size: int
) -> None:
    """A shorter head asks for more; this one is 44 bytes."""
    head = wav_header(rate, channels, size)

    expected = WavHeader("L16", rate, channels, 16, 44, size)
    assert expected == parse_wav_header(head) == parse_wav_header(head + b"\x01\x02")
    assert all(parse_wav_header(head[:length]) is None for length in range(44))


def test_a_header_for_audio_still_to_come_has_no_length() -> None:
    """Telnyx takes such a one before a stream of PCM, and its own may come back the same way."""
    header = parse_wav_header(wav_header(16000))

    assert header is not None
    assert header.data_bytes is None


def chunk(name: bytes, body: bytes) -> bytes:
    """Make one chunk of a RIFF file."""
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def riff(form: int, channels: int, rate: int, bits: int, audio: bytes, extra: bytes = b"") -> bytes:
    """Make a WAV file of any format, with other chunks about its audio."""
    block = channels * bits // 8
    fmt = struct.pack("<HHIIHH", form, channels, rate, rate * block, block, bits) + extra
    body = chunk(b"LIST", b"odd") + chunk(b"fmt ", fmt) + chunk(b"fact", b"\0\0\0\0")
    body += chunk(b"data", audio) + chunk(b"LIST", b"behind")
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


SAMPLES = [0, 256, -256, 12800, -12800, 32512, -32768]
PCM = array("h", SAMPLES).tobytes()
PCM24 = b"".join((s << 8).to_bytes(3, "little", signed=True) for s in SAMPLES)
# Extensible: 22 more bytes, the format within them.
EXTENSIBLE = struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)


@pytest.mark.parametrize(
    "data",
    [
        riff(1, 1, 8000, 16, PCM),
        riff(1, 1, 8000, 8, bytes((s >> 8) + 128 for s in SAMPLES)),
        riff(
            1, 1, 8000, 24, b"".join((s << 8).to_bytes(3, "little", signed=True) for s in SAMPLES)
        ),
        riff(1, 1, 8000, 32, array("i", [s << 16 for s in SAMPLES]).tobytes()),
        riff(3, 1, 8000, 32, struct.pack("<7f", *(s / 32768 for s in SAMPLES))),
        riff(1, 2, 8000, 16, stereo(PCM, PCM)),
        riff(0xFFFE, 1, 8000, 16, PCM, EXTENSIBLE),
        wav_header(8000) + PCM,
    ],
    ids=["16", "8", "24", "32", "float", "stereo", "extensible", "streaming"],
)
def test_every_kind_of_linear_file_is_read(data: bytes) -> None:
    """Eight bits or thirty-two, one channel or two, other chunks before and behind."""
    pcm, rate = read_wav(io.BytesIO(data))

    assert rate == 8000
    assert list(array("h", pcm)) == SAMPLES


@pytest.mark.parametrize(("form", "encoding"), [(7, "PCMU"), (6, "PCMA")])
def test_files_of_the_telephone_are_read(form: int, encoding: str) -> None:
    """Prompts are kept in mu-law and A-law too."""
    codec = make_codec(encoding)
    payload = codec.encode(PCM)

    assert read_wav(io.BytesIO(riff(form, 1, 8000, 8, payload))) == (codec.decode(payload), 8000)


def test_samples_beyond_full_scale_and_no_numbers_are_bounded() -> None:
    """Floats know no limit; 16 bits do."""
    audio = struct.pack("<4f", 2.0, -2.0, float("nan"), float("inf"))

    pcm, _ = read_wav(io.BytesIO(riff(3, 1, 8000, 32, audio)))

    assert list(array("h", pcm)) == [32767, -32768, 0, 32767]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"ID3\x03 and so on", "not a WAV file"),
        (b"RIFF\0\0\0\0AVI fmt ", "not a WAV file"),
        (b"", "cut off before its data"),
        (wav_header(8000)[:40], "cut off before its data"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"data", b"\0\0"), "data comes before its format"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", b"\1\0"), "format chunk is too short"),
        (b"RIFF\0\0\0\0WAVE" + b"junk" + b"\xff" * 4, "no data within the first megabyte"),
    ],
)
def test_what_is_no_wav_file_is_one_clear_error(data: bytes, message: str) -> None:
    """The user gave the path; the user is told in one line."""
    with pytest.raises(ProtocolError, match=message):
        read_wav(io.BytesIO(data))


@pytest.mark.parametrize(
    ("form", "channels", "bits"), [(2, 1, 4), (1, 1, 12), (3, 1, 64), (1, 0, 16)]
)
def test_a_wav_file_of_another_kind_is_unsupported(form: int, channels: int, bits: int) -> None:
    """Compressed ones, and those that contradict themselves."""
    with pytest.raises(UnsupportedCodec, match=f"format {form} with {bits} bits"):
        read_wav(io.BytesIO(riff(form, channels, 8000, bits, b"\0\0")))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_header_or_an_error_of_ours(data: bytes) -> None:
    """Sniffing at a stream raises nothing else."""
    for head in (data, b"RIFF\0\0\0\0WAVE" + data, b"RIFF\0\0\0\0WAVEfmt " + data):
        try:
            parse_wav_header(head)
        except (ProtocolError, UnsupportedCodec):
            continue
