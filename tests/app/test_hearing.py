"""From a packet of the caller's to what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from bridge.hearing import Hearing
from telnyx_media.codecs import make_codec
from telnyx_media.frames import Media, MediaFormat
from telnyx_media.pcm import Resampler, read_wav
from telnyx_media.sync.stt import SpeechToText
from telnyx_media.transcripts import Transcript
from telnyx_media.vad import VoiceDetector, VoiceRound

VOICE = sorted((Path(__file__).parent.parent / "data" / "voices").glob("*.wav"))[0]


class Conversation:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.windows: list[float] = []
        self.levels: list[float] = []
        self.error: Exception | None = None
        self.raises = False

    def hear_voice(
        self, windows: Sequence[float], seconds: float, levels: Sequence[float], packet: float
    ) -> None:
        """Voice activity."""
        if self.raises:
            raise ValueError("as told")
        self.windows += windows
        self.levels += levels

    def hear_transcript(self, transcript: Transcript) -> None:
        """Not tested here."""

    def fail_hearing(self, error: Exception) -> None:
        """The caller can no longer be understood."""
        self.error = error


class Recogniser:
    """A service, and its session, that takes everything."""

    reconnects = 0
    dropped = 0.0

    def __init__(self) -> None:
        self.heard = b""

    def open(self, **_: object) -> Recogniser:
        """Open a session."""
        return self

    def send(self, audio: bytes) -> None:
        """Take audio."""
        self.heard += audio


def packets() -> list[Media]:
    """Cut two seconds of a voice into packets."""
    pcm, rate = read_wav(VOICE)
    data = make_codec("PCMU").encode(Resampler(rate, 8000).feed(pcm))[:16_000]
    return [Media(data[at : at + 160], chunk_number=at // 160) for at in range(0, 16_000, 160)]


def make_hearing(conversation: Conversation, together: VoiceRound | None) -> Hearing:
    """Make the inbound path of a leg whose stream has begun."""
    hearing = Hearing(
        conversation,
        cast("SpeechToText", Recogniser()),
        tag="test",
        make_detector=VoiceDetector if together is None else together.detector,
    )
    hearing.start(MediaFormat())
    return hearing


def test_voices_are_told_alike_at_once_and_after_the_round() -> None:
    """What is judged at the end of a round is what would have been judged at once."""
    at_once, later, together = Conversation(), Conversation(), VoiceRound()
    one, other = make_hearing(at_once, None), make_hearing(later, together)
    for packet in packets():
        one.packet(packet)
        told = len(later.windows)
        other.packet(packet)
        assert len(later.windows) == told
        together.judge()

    assert later.windows == pytest.approx(at_once.windows, abs=1e-4)
    assert later.levels == at_once.levels
    assert max(later.windows) > 0.9


def test_a_conversation_that_fails_fails_alone() -> None:
    """What one conversation raises keeps no other from being told."""
    broken, whole, together = Conversation(), Conversation(), VoiceRound()
    broken.raises = True
    hearings = [make_hearing(broken, together), make_hearing(whole, together)]
    for packet in packets()[:10]:
        for hearing in hearings:
            hearing.packet(packet)
        together.judge()

    assert isinstance(broken.error, ValueError)
    assert len(whole.windows) == 6
    assert whole.error is None
