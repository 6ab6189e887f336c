"""Speech is cut where a listener would cut it."""

from __future__ import annotations

from bridge.simulator.segments import LEAD, TAIL, WINDOW, Moment, Segmenter

RATE = 8000
WINDOW_BYTES = round(2 * RATE * WINDOW)


def feed(segmenter: Segmenter, *runs: tuple[float, float]) -> list[Moment]:
    """Feed runs of (probability, seconds)."""
    moments: list[Moment] = []
    for probability, seconds in runs:
        for _ in range(round(seconds / WINDOW)):
            moments += segmenter.feed(bytes(WINDOW_BYTES), [probability])
    return moments


def kinds(moments: list[Moment]) -> list[str]:
    """Get the kinds of moments without those of growing."""
    return [moment.kind for moment in moments if moment.kind != "growing"]


def test_silence_ends_speech_at_the_endpoint() -> None:
    """A pause is reported at once, the end after the endpoint, the quiet after a second."""
    moments = feed(Segmenter(RATE, endpoint=0.3), (0.0, 1.0), (0.9, 1.0), (0.0, 2.0))

    assert kinds(moments) == ["paused", "ended", "quiet"]
    ended = moments[-2]
    assert ended.by_silence
    assert abs(ended.start - 1.0) < 0.05
    assert abs(ended.end - 2.0) < 0.05


def test_a_stretch_has_little_silence_around_it() -> None:
    """What the recogniser gets is the speech, a tenth of a second before, and a bit behind."""
    moments = feed(Segmenter(RATE, endpoint=0.5), (0.0, 3.0), (0.9, 1.0), (0.0, 1.0))

    ended = next(m for m in moments if m.kind == "ended")
    length = len(ended.pcm) / 2 / RATE
    assert abs(length - (ended.end - ended.start + LEAD + TAIL)) < 0.01


def test_a_short_pause_does_not_end_a_stretch() -> None:
    """Speech that resumes before the endpoint is one stretch, and its pause was a guess."""
    moments = feed(Segmenter(RATE, endpoint=0.3), (0.9, 0.5), (0.0, 0.16), (0.9, 0.5), (0.0, 0.5))

    assert kinds(moments) == ["paused", "paused", "ended"]
    assert moments[-1].end > 1.0


def test_a_click_is_passed_over() -> None:
    """Less than a tenth of a second of voice says nothing, and is not followed by a quiet."""
    assert feed(Segmenter(RATE, endpoint=0.1), (0.9, WINDOW), (0.0, 3.0)) == []


def test_long_speech_is_ended_without_a_silence() -> None:
    """Somebody who never stops gets a final now and then, unmarked."""
    moments = feed(Segmenter(RATE, endpoint=0.1, longest=5.0), (0.9, 12.0))

    ended = [m for m in moments if m.kind == "ended"]
    assert len(ended) == 2
    assert not any(m.by_silence for m in ended)


def test_what_is_open_can_be_asked_for() -> None:
    """A flush gives what was said so far, once."""
    segmenter = Segmenter(RATE, endpoint=0.5)
    feed(segmenter, (0.0, 0.5), (0.9, 0.5))

    assert segmenter.speaking
    assert kinds(segmenter.flush()) == ["ended"]
    assert not segmenter.speaking
    assert segmenter.flush() == []


def test_growing_speech_is_reported_ever_more_rarely() -> None:
    """Interims over a long stretch cost no more than a few times the stretch."""
    moments = feed(Segmenter(RATE, endpoint=0.5), (0.9, 12.0))

    lengths = [len(m.pcm) / 2 / RATE for m in moments if m.kind == "growing"]
    assert 0.5 < lengths[0] < 0.8
    assert sum(lengths) < 4 * 12.0


def test_memory_does_not_grow_in_silence() -> None:
    """An hour on hold keeps a second of audio."""
    segmenter = Segmenter(RATE, endpoint=0.1)
    for _ in range(3600):
        segmenter.feed(bytes(2 * RATE), [0.0] * 31)

    assert len(segmenter._audio) < 4 * 2 * RATE * 40
