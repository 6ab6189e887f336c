"""MP3 as it arrives: any cut, several files in a row, tags, damage.

The files are made here, by the LAME encoder inside PyAV.
"""

from __future__ import annotations

import functools
import io
import random

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telnyx_media.mp3 import Mp3Decoder
from telnyx_media.pcm import level, seconds
from tests.pure.signals import babble, snr, tone

LENGTH = 1.0


@functools.cache
def mp3(
    rate: int = 24000,
    *,
    seed: int = 1,
    info: bool = True,
    tag: bool = True,
    layout: str = "mono",
    bit_rate: int = 64000,
) -> bytes:
    """Encode a second of sound, with or without an ID3 tag and the bookkeeping frame."""
    file = io.BytesIO()
    options = {"write_xing": str(int(info)), "id3v2_version": "3" if tag else "0"}
    with av.open(file, "w", format="mp3", options=options) as container:
        container.metadata["title"] = "reply"
        stream = container.add_stream("libmp3lame", rate=rate)
        stream.layout = layout
        stream.bit_rate = bit_rate
        pcm = babble(LENGTH, rate, seed)
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.sample_rate = rate
        frame.planes[0].update(pcm)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()


def decode(data: bytes, rate: int = 24000, cuts: int | None = None) -> tuple[bytes, Mp3Decoder]:
    """Decode, in one piece or cut anywhere."""
    decoder = Mp3Decoder(rate)
    if cuts is None:
        return decoder.feed(data) + decoder.close(), decoder
    source = random.Random(cuts)
    out = b""
    while data:
        size = source.choice([1, 2, 3, source.randint(1, 900)])
        out += decoder.feed(data[:size])
        data = data[size:]
    return out + decoder.close(), decoder


@functools.cache
def glued() -> bytes:
    """Make an answer of several files, one of each kind."""
    return b"".join(
        [
            mp3(),
            mp3(seed=2, info=False),
            mp3(seed=3, tag=False),
            mp3(16000, seed=4, layout="stereo"),
            mp3(44100, seed=5),
        ]
    )


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 44100])
@pytest.mark.parametrize("info", [True, False], ids=["info", "no info"])
@pytest.mark.parametrize("tag", [True, False], ids=["tag", "no tag"])
def test_what_comes_out_is_what_went_in_from_its_first_sample(
    rate: int, info: bool, tag: bool
) -> None:
    """The delay of encoder and decoder is cut off, stated or not; a little padding stays behind."""
    out, decoder = decode(mp3(rate, info=info, tag=tag), rate)

    assert snr(babble(LENGTH, rate)[: 2 * (rate // 4)], out) > 10
    assert 0 <= seconds(out, rate) - LENGTH < 0.08
    assert (decoder.files, decoder.damaged, decoder.source_rate) == (1, 0, rate)


def test_stereo_is_mixed_down() -> None:
    """Some voices come in two channels."""
    out, _ = decode(mp3(layout="stereo"))

    # The encoder's own way from one channel to two, and back, takes 3 dB.
    assert level(out) == pytest.approx(level(babble(LENGTH, 24000)) - 3, abs=1)
    assert snr(babble(LENGTH, 24000), out) > 8


def test_one_file_sounds_as_a_reader_of_whole_files_has_it() -> None:
    """Sample for sample."""
    expected = b""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=24000)
    with av.open(io.BytesIO(mp3())) as container:
        for frame in [*container.decode(audio=0), None]:
            for piece in resampler.resample(frame):
                expected += bytes(piece.planes[0])[: piece.samples * 2]

    out, _ = decode(mp3())

    assert seconds(expected, 24000) == pytest.approx(LENGTH)
    assert expected == out


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([8000, 24000]))
def test_any_cut_gives_the_same_audio(cuts: int, rate: int) -> None:
    """Across tags, files, rates and layouts, down to single bytes."""
    whole, _ = whole_glued(rate)
    out, decoder = decode(glued(), rate, cuts)

    assert whole == out
    assert (decoder.files, decoder.damaged) == (5, 0)


@functools.cache
def whole_glued(rate: int) -> tuple[bytes, Mp3Decoder]:
    """Decode the answer of several files in one piece."""
    return decode(glued(), rate)


def test_every_file_of_several_is_heard_whole() -> None:
    """Readers of files stop at the second one; this one goes on, and adds no silence between."""
    files = [mp3(seed=seed) for seed in range(1, 5)]
    out, decoder = decode(b"".join(files))

    expected = b"".join(decode(file)[0] for file in files)
    assert decoder.files == 4
    assert seconds(out, 24000) == pytest.approx(seconds(expected, 24000), abs=0.001)
    # Each begins where the one before ends, but for the padding at its end.
    assert 0 <= seconds(out, 24000) - 4 * LENGTH < 4 * 0.05
    one = len(decode(files[0])[0])
    assert snr(babble(LENGTH, 24000, 2), out[one:]) > 10


def test_files_without_tags_are_told_apart_by_their_first_frame() -> None:
    """The bookkeeping frame is no audio, in the middle of a stream either."""
    out, decoder = decode(mp3(tag=False) + mp3(seed=2, tag=False))

    assert (decoder.files, decoder.damaged) == (2, 0)
    assert 0 <= seconds(out, 24000) - 2 * LENGTH < 0.1


def test_audio_comes_with_the_first_frames() -> None:
    """The caller waits for the first frame that is heard and for nothing else."""
    decoder = Mp3Decoder(8000)
    data = mp3(tag=False)
    # A frame of 24 ms has 192 bytes: bookkeeping, two of delay, and the first that is heard.
    out = decoder.feed(data[: 4 * 192])

    assert seconds(out, 8000) > 0.02
    assert level(out[80:]) > -40


def test_audio_is_resampled_to_one_rate_whatever_the_files_have() -> None:
    """The line has one rate; the voices have several."""
    out, decoder = whole_glued(8000)

    assert seconds(out, 8000) == pytest.approx(5 * LENGTH, abs=0.3)
    assert decoder.source_rate == 44100


@given(st.integers(200, 7000), st.binary(min_size=1, max_size=300))
def test_damage_costs_the_frames_it_touches(at: int, junk: bytes) -> None:
    """Whatever is in the middle, the rest is heard."""
    data = bytearray(mp3(info=False, tag=False))
    data[at : at + len(junk)] = junk

    out, _ = decode(bytes(data))

    assert seconds(out, 24000) > LENGTH - 0.2


def test_damage_is_counted() -> None:
    """An operator sees it in the numbers, not in a traceback."""
    data = bytearray(mp3(info=False, tag=False))
    # The side information of three frames, their heads left as they are.
    for frame in (10, 11, 12):
        data[frame * 192 + 4 : frame * 192 + 20] = b"\xff" * 16

    out, decoder = decode(bytes(data))

    assert decoder.damaged > 0
    assert seconds(out, 24000) > LENGTH - 0.2


@given(st.binary(max_size=2000))
def test_nonsense_is_silence(data: bytes) -> None:
    """What is no MP3 raises nothing."""
    out, _ = decode(data)

    assert len(out) % 2 == 0


@given(st.integers(0, 9000))
def test_a_stream_that_is_cut_off_gives_what_it_had(length: int) -> None:
    """A socket that closes early costs the end alone."""
    data = mp3()[:length]
    out, decoder = decode(data)
    whole, _ = decode(mp3())

    assert len(out) <= len(whole)
    # The last frame may be half there.
    assert whole.startswith(out[: max(0, len(out) - 2 * 2 * 576)])
    assert decoder.files <= 1


def test_a_tag_may_be_longer_than_a_message() -> None:
    """With a picture in it, and with a footer behind it."""
    size = 5000
    head = bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])
    tag = b"ID3\x04\x00\x10" + head + b"\xff\xfb\x90\x00" * (size // 4)
    footer = b"3DI\x04\x00\x10" + head
    expected, _ = decode(mp3(tag=False))

    assert expected == decode(tag + footer + mp3(tag=False))[0]
    assert expected == decode(tag + footer + mp3(tag=False), cuts=5)[0]


def test_letters_that_only_look_like_a_tag_are_passed_on() -> None:
    """A tag's head has more to it than three letters."""
    data = b"ID3 is not ID3\xff ID" + mp3(tag=False) + b"ID3"

    assert decode(data)[0] == decode(data, cuts=3)[0]
    assert seconds(decode(data)[0], 24000) > LENGTH - 0.05


def test_an_old_tag_at_the_end_is_no_audio() -> None:
    """ID3v1 is 128 bytes behind the last frame."""
    old = b"TAG" + b"title".ljust(125, b"\0")

    assert decode(mp3())[0] == decode(mp3() + old)[0]
    both, decoder = decode(mp3() + old + mp3())
    assert seconds(both, 24000) == pytest.approx(2 * LENGTH, abs=0.06)
    assert decoder.files == 2


def test_a_closed_decoder_begins_anew() -> None:
    """Nothing of the utterance before is heard in the next."""
    decoder = Mp3Decoder(24000)
    first = decoder.feed(mp3()) + decoder.close()

    assert first == decoder.feed(mp3()) + decoder.close()
    assert decoder.close() == b""


def test_silence_before_the_sound_is_kept() -> None:
    """Only the codec's own delay is cut off, no pause that the voice makes."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=24000)
        pcm = bytes(2 * 4800) + tone(0.3, 24000, 440)
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.sample_rate = 24000
        frame.planes[0].update(pcm)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)

    out, _ = decode(file.getvalue())

    assert level(out[: 2 * 4600]) < -40
    assert level(out[2 * 4900 : 2 * 5500]) > -20


@pytest.mark.parametrize("source", [16000, 22050, 24000, 44100])
@pytest.mark.parametrize("rate", [8000, 24000])
def test_a_file_that_says_its_length_is_as_long_as_what_went_in(source: int, rate: int) -> None:
    """The padding at its end is no audio; several such files make no more of it."""
    for count in (1, 3):
        pcm, _ = decode(mp3(source) * count, rate, cuts=700)
        assert seconds(pcm, rate) == pytest.approx(count * LENGTH, abs=0.004)


def test_what_follows_the_stated_length_is_audio_and_so_was_the_padding() -> None:
    """A file that goes on behind its stated end loses nothing there."""
    lying, silent = bytearray(mp3()), bytearray(mp3())
    at = lying.find(b"Info") + 8
    count = int.from_bytes(lying[at : at + 4], "big")
    lying[at : at + 4] = (count // 2).to_bytes(4, "big")
    silent[at : at + 4] = bytes(4)

    assert count > 20
    assert decode(bytes(lying), cuts=5)[0] == decode(bytes(silent))[0]
    assert len(decode(bytes(silent))[0]) > len(decode(mp3())[0])
