"""A recording cut by random disconnects: every word arrives exactly once."""

from __future__ import annotations

import random

import pytest

from telnyx_media._audioop import audioop
from telnyx_media.sync.retry import RetryPolicy
from telnyx_media.sync.stt import SpeechToText
from tests.loopback import PATIENCE, faults
from tests.loopback.faults import Fault
from tests.loopback.servers import KEY, Conversation
from tests.loopback.stt import RATE, SttPeer, paced, recognise, recording

LOSSES: list[Fault] = [
    faults.vanish,
    faults.reset,
    faults.close(1000),
    faults.close(1006 + 5),
    faults.garbage,
]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("latency", [0.0, 0.4])
def test_sixty_seconds_with_five_random_disconnects(seed: int, latency: float) -> None:
    """Each word is numbered; none is missing, none comes twice, none out of order."""
    chance = random.Random(seed)
    audio, words = recording(60.0)
    # How much each connection hears before it is lost, replayed audio included.
    lives = [chance.uniform(1.0, 11.0) for _ in LOSSES]
    losses = chance.sample(LOSSES, len(LOSSES))
    behaviours = [
        recognise(until=life, then=loss, latency=latency)
        for life, loss in zip(lives, losses, strict=True)
    ]
    policy = RetryPolicy(delays=(0.02,), jitter=0.01)
    with SttPeer([*behaviours, recognise(latency=latency)]) as peer:
        stt = SpeechToText(api_key=KEY, base_url=peer.url, retry=policy)
        with stt.open(sample_rate=RATE) as session:
            paced(audio, speed=25, send=session.send)
            assert session.finish(PATIENCE)
            finals = [t for t in session if t.is_final and t.text]

    assert " ".join(t.text for t in finals).split() == words
    assert session.connections == 6
    assert session.dropped == 0
    # The audio clock runs on across the connections.
    assert [t.start for t in finals] == sorted(t.start for t in finals)
    assert all(0 <= t.start <= t.end <= session.audio_seconds for t in finals)


def test_noise_on_the_line_does_not_matter() -> None:
    """Pauses are found against comfort noise too."""
    chance = random.Random(7)
    audio, words = recording(20.0)
    noise = b"".join(
        chance.randint(-150, 150).to_bytes(2, "little", signed=True) for _ in range(RATE)
    )
    noisy = audioop.add(audio, (noise * 30)[: len(audio)], 2)
    with SttPeer([recognise(until=6.0, then=faults.vanish), recognise()]) as peer:
        stt = SpeechToText(
            api_key=KEY, base_url=peer.url, retry=RetryPolicy(delays=(0.02,), jitter=0.0)
        )
        with stt.open(sample_rate=RATE) as session:
            paced(noisy, speed=25, send=session.send)
            session.finish(PATIENCE)
            heard = " ".join(t.text for t in session if t.is_final).split()

    # Noise lifts the height by which the words are numbered; their count is what matters here.
    assert len(heard) == len(words)


def test_an_engine_that_loses_the_same_utterance_again_and_again_is_given_up() -> None:
    """Interims are no progress: the next engine hears the utterance, and no word is missing."""
    audio, words = recording(6.0)

    def lose(conversation: Conversation) -> None:
        engine = conversation.parameters["transcription_engine"]
        until = 1.9 if engine == "Deepgram" else None
        recognise(until=until, then=faults.close(1011))(conversation)

    with SttPeer(lose) as peer:
        stt = SpeechToText(
            api_key=KEY,
            base_url=peer.url,
            fallbacks=["Soniox"],
            retry=RetryPolicy(attempts=2, delays=(0.02,), jitter=0.0),
        )
        with stt.open(sample_rate=RATE) as session:
            paced(audio, speed=10, send=session.send)
            assert session.finish(PATIENCE)
            finals = " ".join(t.text for t in session if t.is_final).split()

    assert finals == words
    assert session.engine == "Soniox"
