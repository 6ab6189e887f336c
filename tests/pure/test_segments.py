"""Which text a piece of audio belongs to, however little the service tells."""

from __future__ import annotations

from telnyx_media.segments import SegmentTracker

TEXTS = ("Hello there, how are you?", "Fine!", "What can I do for you today?")


def tracker(*texts: str) -> SegmentTracker:
    """Make a tracker to which ``texts`` were sent."""
    made = SegmentTracker()
    for text in texts or TEXTS:
        made.add(text)
    return made


def test_text_behind_its_audio_closes_it() -> None:
    """A frame that names the text ends the segment."""
    segments = tracker()

    assert segments.audio(1.0) == 0
    assert segments.text(TEXTS[0]) == 1
    assert segments.audio(0.3) == 1
    assert segments.text(TEXTS[1]) == 1
    assert segments.audio(1.0) == 2
    assert segments.text(TEXTS[2], keep_last=True) == 0
    assert segments.named
    assert segments.finish() == 1
    assert segments.certain


def test_service_may_cut_a_text_into_several() -> None:
    """A segment is complete when all of its text was named."""
    segments = tracker()
    segments.audio(0.5)

    assert segments.text("Hello there,") == 0
    segments.audio(0.5)
    assert segments.text(" how are you?") == 1
    assert segments.current == 1


def test_service_may_join_several_texts() -> None:
    """One name may complete several segments."""
    segments = tracker()
    segments.audio(2.0)

    assert segments.text(" ".join(TEXTS[:2])) == 2
    assert segments.current == 2


def test_markup_that_the_service_strips_does_not_matter() -> None:
    """Only letters and digits count, and a few may be missing."""
    segments = tracker("**Hello** _there_, `how` are you?!", "Next.")
    segments.audio(1.0)

    assert segments.text("Hello there how are you") == 1


def test_text_before_its_audio_announces_it() -> None:
    """Where the name comes first, the next name ends the segment."""
    segments = tracker()

    assert segments.text(TEXTS[0]) == 0
    assert segments.audio(1.0) == 0
    assert segments.text(TEXTS[1]) == 1
    assert segments.audio(0.3) == 1
    assert not segments.named
    assert segments.text(TEXTS[2]) == 1
    assert segments.audio(0.3) == 2


def test_is_final_after_each_text_closes_it_once() -> None:
    """Whether or not the text was named before."""
    segments = tracker()
    segments.audio(1.0)
    segments.text(TEXTS[0])

    assert segments.final() == 0
    segments.audio(0.3)
    assert segments.final() == 1
    assert segments.current == 2


def test_without_any_sign_the_length_decides() -> None:
    """Audio far longer than its text can be belongs to the next."""
    segments = tracker()

    first = [segments.audio(0.1) for _ in range(60)]

    assert first[0] == 0
    assert first[-1] == 2
    assert first == sorted(first)
    assert not segments.certain


def test_the_end_closes_what_is_open() -> None:
    """Several at once were not told apart."""
    segments = tracker()
    segments.audio(1.0)

    assert segments.finish() == 3
    assert not segments.outstanding
    assert not segments.certain


def test_whether_the_audio_can_be_all_there_is() -> None:
    """Half of what the text lets one expect is plausible, less is not."""
    segments = tracker("x" * 26)
    segments.audio(0.5)
    assert not segments.plausible
    segments.audio(0.6)
    assert segments.plausible


def test_nothing_sent_is_nothing_outstanding() -> None:
    """A name or an end without a text does no harm."""
    segments = SegmentTracker()

    assert segments.text("x") == segments.final() == segments.finish() == 0
    assert not segments.outstanding
