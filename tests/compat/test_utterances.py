"""Transcripts to speech events, without a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telnyx_media.livekit_compat.utterances import LOSS_PATIENCE, MARK_PATIENCE, Utterances
from telnyx_media.transcripts import Transcript
from tests.compat.helpers import kinds

pytestmark = pytest.mark.livekit

INTERIM = Transcript("so", is_final=False)
FINAL = Transcript("so it is")
LAST = Transcript("so it is", speech_final=True)
MARK = Transcript("", utterance_end=True)


def test_a_mark_that_does_not_come_is_not_waited_for_for_ever() -> None:
    """The utterance ends by itself, and the engine's finals are ends from then on."""
    utterances = Utterances("en", marks=True)
    assert kinds(utterances.take(FINAL)) == ["START", "FINAL"]
    assert utterances.patience == MARK_PATIENCE
    assert kinds(utterances.out_of_patience()) == ["END"]
    assert kinds(utterances.take(FINAL)) == ["START", "FINAL", "END"]
    assert utterances.patience is None


def test_a_mark_teaches_that_there_are_marks() -> None:
    """An engine that was not known to give marks is believed when it does."""
    utterances = Utterances("en", marks=False)
    assert kinds(utterances.take(LAST)) == ["START", "FINAL", "END"]
    assert kinds(utterances.take(FINAL)) == ["START", "FINAL"]
    assert kinds(utterances.take(MARK)) == ["END"]


def test_words_call_off_the_wait() -> None:
    """Whoever goes on speaking has not finished."""
    utterances = Utterances("en", marks=True)
    utterances.take(FINAL)
    assert kinds(utterances.take(INTERIM)) == ["INTERIM"]
    assert utterances.patience is None


def test_an_utterance_outlives_its_connection_for_a_while() -> None:
    """Its audio is sent again; if no word comes of that, it has ended."""
    utterances = Utterances("en", marks=True)
    utterances.take(INTERIM)
    utterances.reconnected()
    assert utterances.patience == LOSS_PATIENCE
    assert kinds(utterances.out_of_patience()) == ["END"]
    utterances.reconnected()
    assert utterances.patience is None


def test_an_eager_end_is_a_preflight_transcript() -> None:
    """A reply may be prepared before the turn is over."""
    utterances = Utterances("en", marks=True)
    eager = Transcript("so it is", is_final=False, eager=True)
    assert kinds(utterances.take(eager)) == ["START", "PREFLIGHT"]
    assert kinds(utterances.take(INTERIM)) == ["INTERIM"]


@given(
    st.booleans(),
    st.lists(
        st.one_of(
            st.sampled_from([INTERIM, FINAL, LAST, MARK]),
            st.sampled_from(["reconnected", "patience", "end"]),
        )
    ),
)
def test_starts_and_ends_alternate_whatever_comes(marks: bool, story: list[object]) -> None:
    """There is never a second start without an end, nor an end without a start."""
    utterances = Utterances("en", marks=marks)
    seen: list[str] = []
    for step in story:
        if isinstance(step, Transcript):
            seen += kinds(utterances.take(step))
        elif step == "reconnected":
            utterances.reconnected()
        elif step == "patience" and utterances.patience is not None:
            seen += kinds(utterances.out_of_patience())
        elif step == "end":
            seen += kinds(utterances.end())
        assert utterances.speaking == (seen.count("START") > seen.count("END"))
    marked = [kind for kind in seen if kind in ("START", "END")]
    assert marked == (["START", "END"] * len(marked))[: len(marked)]
    spoken = [i for i, kind in enumerate(seen) if kind in ("INTERIM", "FINAL")]
    for index in spoken:
        before = seen[:index]
        assert before.count("START") == before.count("END") + 1
