"""Whatever a voice sends becomes PCM, at once and without a click."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from telnyx_media._audioop import audioop
from telnyx_media.errors import UnsupportedCodec
from telnyx_media.mp3 import Mp3Decoder
from telnyx_media.pcm import stereo, wav_header
from telnyx_media.speechdecoder import SpeechDecoder, mp3_frame_bytes, sniff
from tests.loopback.tts import mp3, spoken, words_in

TEXT = "w1 w2 w3 w4 w5 w6"
RATE = 16000


def decoded(data: bytes, size: int, decoder: SpeechDecoder | None = None) -> bytes:
    """Decode ``data`` in pieces of ``size``."""
    decoder = decoder or SpeechDecoder(RATE)
    return b"".join(decoder.feed(piece) for piece in cut(data, size)) + decoder.close()


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """Cut ``data`` into pieces."""
    for at in range(0, len(data), size):
        yield data[at : at + size]


@pytest.mark.parametrize("size", [1, 7, 191, 192, 1000, 10**6])
@pytest.mark.parametrize("tag", [True, False])
def test_mp3_however_it_is_cut(size: int, tag: bool) -> None:
    """The same PCM comes out as from decoding it at once, several files in a row too."""
    data = mp3(spoken(TEXT, 24000), tag=tag) + mp3(spoken("w7 w8", 24000), tag=tag)
    whole = Mp3Decoder(RATE)

    assert decoded(data, size) == whole.feed(data) + whole.close()


def test_mp3_that_was_not_asked_for() -> None:
    """A voice that ignores the request for linear16 is understood all the same."""
    data = mp3(spoken(TEXT, 24000), tag=False)
    whole = Mp3Decoder(RATE)

    for asked in ("linear16", "mulaw", "wav"):
        decoder = SpeechDecoder(RATE, asked=asked, asked_rate=8000)
        assert decoded(data, 100, decoder) == whole.feed(data) + whole.close()
        assert decoder.kind == "mp3"


@pytest.mark.parametrize("size", [1, 3, 320, 10**6])
def test_wav_files_one_behind_the_other(size: int) -> None:
    """Each file's own rate and channels count; what stands between them is no audio."""
    first, second = spoken("w1 w2"), spoken("w3 w4")
    data = wav_header(RATE, data_bytes=len(first)) + first + b"LIST\x04\x00\x00\x00abcd"
    data += wav_header(RATE, channels=2, data_bytes=2 * len(second)) + stereo(second, second)

    assert words_in(decoded(data, size)) == ["w1", "w2", "w3", "w4"]


def test_wav_whose_writer_did_not_know_the_length() -> None:
    """A streaming header runs until the next file begins a message."""
    decoder = SpeechDecoder(RATE)
    pcm = b"".join(
        decoder.feed(piece)
        for piece in (wav_header(RATE), spoken("w1 w2"), wav_header(RATE) + spoken("w3"))
    )

    assert words_in(pcm + decoder.close()) == ["w1", "w2", "w3"]


def test_wav_of_mulaw() -> None:
    """The format inside the file counts."""
    audio = audioop.lin2ulaw(spoken("w1 w2", 8000), 2)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 7, 1, 8000, 8000, 1, 8)
    data = b"RIFF" + struct.pack("<I", 36 + len(audio)) + b"WAVE" + form
    data += b"data" + struct.pack("<I", len(audio)) + audio

    assert len(words_in(decoded(data, 50))) == 2


@pytest.mark.parametrize("size", [1, 3, 640])
def test_raw_audio_is_passed_through_untouched(size: int) -> None:
    """At the rate that is wanted, raw PCM comes out as it went in, odd bytes and all."""
    decoder = SpeechDecoder(RATE, asked="linear16", asked_rate=RATE)

    assert decoded(spoken(TEXT), size, decoder) == spoken(TEXT)
    assert decoder.kind == "raw"


def test_raw_audio_nobody_asked_for() -> None:
    """Voices that send raw PCM unasked send it at 24 kHz."""
    out = decoded(spoken(TEXT, 24000), 480)

    assert abs(len(out) - len(spoken(TEXT))) <= 2
    assert len(words_in(out)) == len(TEXT.split())


def test_mulaw_and_alaw() -> None:
    """The telephone's own codecs, at 8 kHz unless another rate was asked for."""
    pcm = spoken(TEXT, 8000)
    for asked, encode in (("mulaw", audioop.lin2ulaw), ("alaw", audioop.lin2alaw)):
        decoder = SpeechDecoder(8000, asked=asked)
        out = decoded(encode(pcm, 2), 160, decoder)
        assert len(out) == len(pcm)
        assert len(words_in(out, 8000)) == len(TEXT.split())


def test_raw_audio_that_looks_like_mp3_for_a_moment() -> None:
    """One legal header by chance is not enough when raw audio was asked for."""
    pcm = b"\xff\xfb\x90\x00" + spoken(TEXT)
    decoder = SpeechDecoder(RATE, asked="linear16", asked_rate=RATE)

    assert decoded(pcm, 100, decoder) == pcm


def test_ogg_is_refused() -> None:
    """What cannot be decoded is said, not played as noise."""
    with pytest.raises(UnsupportedCodec, match="Ogg"):
        SpeechDecoder(RATE).feed(b"OggS" + bytes(100))


def test_nothing_comes_of_nothing() -> None:
    """An empty stream and a torn first byte are no audio."""
    assert decoded(b"", 1) == b""
    assert SpeechDecoder(RATE).feed(b"I") == b""


def test_first_pcm_after_the_first_whole_frame() -> None:
    """No more is waited for than one MP3 frame behind the decoder's delay."""
    data = mp3(spoken(TEXT, 24000), tag=False)
    decoder = SpeechDecoder(RATE)
    needed = next(n for n in range(0, len(data), 64) if decoder.feed(data[n : n + 64]))

    # Bookkeeping frame, 46 ms of delay in two frames, and the one that sounds.
    assert needed <= 5 * 192


def test_lengths_of_mp3_frames() -> None:
    """The header tells the length of its frame; what is no header tells nothing."""
    assert mp3_frame_bytes(bytes.fromhex("fff384c4")) == 192
    assert mp3_frame_bytes(bytes.fromhex("fffb9064")) == 417
    for wrong in ("fffbf064", "fffb9c64", "ffeb9064", "fff99064", "fe000000", "ff"):
        assert mp3_frame_bytes(bytes.fromhex(wrong)) is None


def test_decision_waits_only_for_what_can_decide() -> None:
    """A torn magic number is waited for; the end decides."""
    assert sniff(b"RI", raw_expected=False) is None
    assert sniff(b"RI", raw_expected=False, whole=True) == "raw"
    assert sniff(b"\x00\x01", raw_expected=True) == "raw"
    assert sniff(bytes.fromhex("fff384c4"), raw_expected=True) is None
    assert sniff(bytes.fromhex("fff384c4"), raw_expected=False) == "mp3"
    assert sniff(b"junk" + mp3(spoken("w1", 24000), tag=False), raw_expected=False) == "mp3"
