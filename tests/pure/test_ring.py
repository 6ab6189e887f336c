"""What is kept to be heard again, and what is forgotten."""

from __future__ import annotations

from telnyx_media._audioop import audioop
from telnyx_media.ring import AudioRing
from tests.loopback.stt import silence, word


def ring(limit: float = 30.0, encoding: str = "linear16") -> AudioRing:
    """Make an empty ring."""
    return AudioRing(encoding=encoding, sample_rate=8000, limit=limit)


def at(seconds: float) -> int:
    """Get a position in linear16."""
    return int(seconds * 16000)


def test_everything_is_kept_without_a_final() -> None:
    """Speech that nobody has transcribed stays."""
    audio = word(1) + word(2) + silence(0.5) + word(3)
    kept = ring()
    kept.append(audio)

    assert kept.read(kept.start, len(audio)) == audio
    assert kept.end == len(audio)


def test_the_oldest_goes_when_the_limit_is_reached() -> None:
    """The ring is bounded in seconds."""
    kept = ring(limit=1.0)
    for number in range(20):
        kept.append(word(number))

    assert kept.end - kept.start <= at(1.0)
    assert kept.read(kept.start, at(2.0)) == b"".join(word(n) for n in range(20))[-at(1.0) :]


def test_a_final_covers_the_first_utterance_and_leaves_the_next() -> None:
    """What was sent quickly is cut behind the first utterance, in the pause."""
    first, second = word(1) + word(2) + silence(0.6), word(3) + silence(0.6)
    kept = ring()
    kept.append(first + second)

    kept.cover(sent=kept.end, sent_before=0, endpoint=True)

    left = kept.read(kept.start, at(5.0))
    assert left.endswith(second)
    assert 0 < len(left) - len(second) <= at(0.21)


def test_a_final_covers_whatever_was_sent_long_ago() -> None:
    """An engine answers within seconds: utterances from before have been heard."""
    kept = ring()
    for number in range(4):
        kept.append(word(number) + silence(0.4))

    kept.cover(sent=kept.end, sent_before=at(1.4), endpoint=True)

    # The pauses that began by then are those behind the first two words.
    assert kept.read(kept.start, at(5.0)).endswith(word(2) + silence(0.4) + word(3) + silence(0.4))
    assert kept.speech_seconds(kept.end) < 0.52


def test_a_cut_is_never_made_within_speech() -> None:
    """Without a pause nothing is forgotten, whatever the final says."""
    kept = ring()
    kept.append(word(1) + word(2) + word(3))

    kept.cover(sent=kept.end, sent_before=kept.end, endpoint=True)

    assert kept.start == 0


def test_a_final_in_the_middle_of_an_utterance_covers_only_what_is_old() -> None:
    """A final that ends no utterance may stop anywhere: only old pauses are cut."""
    kept = ring()
    kept.append(word(1) + silence(0.4) + word(2) + silence(0.4))

    kept.cover(sent=kept.end, sent_before=0, endpoint=False)
    assert kept.start == 0

    kept.cover(sent=kept.end, sent_before=at(0.5), endpoint=False)
    assert kept.read(kept.start, at(5.0)).endswith(word(2) + silence(0.4))


def test_silence_is_not_kept() -> None:
    """A silent line needs no ring."""
    kept = ring()
    kept.append(silence(10.0))

    kept.drop_silence(kept.end)

    assert kept.end - kept.start <= at(0.21)


def test_speech_keeps_the_silence_behind_it() -> None:
    """While speech is unanswered, nothing is dropped."""
    kept = ring()
    kept.append(silence(0.3) + word(1) + silence(5.0))

    kept.drop_silence(kept.end)

    assert kept.start == 0


def test_where_speech_is() -> None:
    """Speech is placed to the packet."""
    kept = ring()
    kept.append(silence(1.0) + word(1) + silence(0.3))

    found = kept.speech(kept.end)

    assert found is not None
    assert abs(found.start - 1.0) <= 0.02
    assert abs(found.end - 1.24) <= 0.02
    assert kept.speech(at(0.9)) is None


def test_the_noise_of_the_line_is_no_speech() -> None:
    """Constant comfort noise lifts the floor; speech above it is still found."""
    kept = ring()
    for _ in range(600):
        kept.append(
            word(0)[:320].replace(b"\x40\x1f", b"\xf4\x01").replace(b"\xc0\xe0", b"\x0c\xfe")
        )
    noise_end = kept.end
    kept.append(word(5))

    assert kept.speech(noise_end, after=at(9.0)) is None
    assert kept.speech(kept.end, after=noise_end) is not None


def test_the_calls_own_codecs_are_understood() -> None:
    """µ-law and A-law are judged as what they mean."""
    pcm = silence(0.5) + word(7) + silence(0.5)
    for encoding, encode in (("mulaw", audioop.lin2ulaw), ("alaw", audioop.lin2alaw)):
        kept = ring(encoding=encoding)
        kept.append(encode(pcm, 2))

        found = kept.speech(kept.end)

        assert found is not None
        assert abs(found.start - 0.5) <= 0.02
        assert kept.seconds(kept.end) == 1.3
