"""Audio that the pushing thread writes to the socket itself, as long as that needs no waiting."""

from __future__ import annotations

import random
import threading

import pytest

from telnyx_media.sync.stt import SpeechToText
from telnyx_media.sync.sttsession import SttSession
from tests.loopback import PATIENCE, wait_until
from tests.loopback.servers import KEY, Conversation
from tests.loopback.stt import SttPeer

RATE = 48000
CHUNK = 2 * RATE // 10


def open_session(peer: SttPeer) -> SttSession:
    """Open a session that sends by itself and forgets nothing."""
    service = SpeechToText(
        api_key=KEY, base_url=peer.url, buffer_seconds=600.0, ssl_context=peer.client_context
    )
    return service.open(sample_rate=RATE, direct=True)


@pytest.mark.parametrize("tls", [False, True])
def test_everything_arrives_in_order_though_the_peer_reads_late(tls: bool) -> None:
    """A message that the kernel takes in part is finished before anything else is sent."""
    reads = threading.Event()

    def late(conversation: Conversation) -> None:
        assert reads.wait(4 * PATIENCE)
        while not (conversation.texts and conversation.texts[-1].get("type") == "CloseStream"):
            conversation.receive()
        conversation.send({"transcript": "noise", "is_final": True, "speech_final": True})

    # More than the buffers of both ends hold, and no two stretches of it alike.
    audio = random.Random(1).randbytes(CHUNK * 900)
    with SttPeer(late, tls=tls) as peer, open_session(peer) as session:
        wait_until(lambda: peer.conversations, "the connection")
        for at in range(0, len(audio), CHUNK):
            session.send(audio[at : at + CHUNK])
        reads.set()
        session.finish(timeout=4 * PATIENCE)
        assert bytes(peer.conversations[0].audio) == audio
        assert session.connections == 1


def test_a_prompt_peer_is_sent_to_by_whoever_pushes() -> None:
    """Each message leaves with the push that completes it, and the sender sleeps on."""

    def hear(conversation: Conversation) -> None:
        while not (conversation.texts and conversation.texts[-1].get("type") == "CloseStream"):
            conversation.receive()

    with SttPeer(hear) as peer, open_session(peer) as session:
        session.send(bytes(CHUNK))
        wait_until(lambda: peer.conversations and peer.conversations[0].sizes, "the first")
        for count in range(2, 12):
            session.send(bytes(CHUNK))
            wait_until(lambda: len(peer.conversations[0].sizes) >= count, "the next")  # noqa: B023
        assert peer.conversations[0].sizes == [CHUNK] * 11
        assert session.finish(timeout=PATIENCE)
