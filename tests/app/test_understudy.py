"""Replies that no voice can synthesise: Telnyx speaks them, past our media stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from bridge.call import Call, Remark, Reply
from bridge.simulator import SimulatedCall
from bridge.simulator.speakers import ToneSpeaker
from bridge.simulator.synthesis import SynthesisFault, SynthesisService
from telnyx_media.pcm import level
from tests.app.phone import phone_line
from tests.loopback import PATIENCE

VOICE = "Telnyx.NaturalHD.astra"
FIRST, SECOND = "There is one for you.", "There is another one, too."


def mute() -> SynthesisService:
    """Make a synthesis service that knows no voice."""
    service = SynthesisService(make_speaker=ToneSpeaker)
    service.refused_voices = frozenset({VOICE})
    return service


def spoken(call: SimulatedCall) -> int:
    """Count what Telnyx was asked to speak."""
    return sum(command["name"] == "speak" for command in call.commands)


def seconds_heard(call: SimulatedCall) -> float:
    """Measure the sound that came to the caller."""
    packets = [call.heard[at : at + 320] for at in range(0, len(call.heard), 320)]
    return 0.02 * sum(level(packet) > -60 for packet in packets if packet)


def test_telnyx_says_what_no_voice_can_synthesise() -> None:
    """The caller hears every word, and the agent is told that they were heard."""
    replies: list[Reply] = []
    history: list[Remark] = []

    def agent(call: Call) -> None:
        replies.append(call.say(f"{FIRST} {SECOND}"))
        history.extend(call.history)

    with phone_line(agent, synthesis=mute()) as phone:
        call = phone.call()
        call.wait(6 * PATIENCE)
        assert phone.seen.summary().reason == "agent"

    assert spoken(call) == 2
    assert replies == [Reply(f"{FIRST} {SECOND}", f"{FIRST} {SECOND}")]
    assert " ".join(remark.heard for remark in history).split() == f"{FIRST} {SECOND}".split()
    # The tone has 60 ms for each character.
    assert seconds_heard(call) == pytest.approx(0.06 * len(FIRST + SECOND), abs=0.3)


def test_a_text_that_is_still_written_is_said_to_its_end() -> None:
    """What comes after the voice was given up is said too, and nothing twice."""
    replies: list[Reply] = []
    refused = threading.Event()

    def words() -> Iterator[str]:
        yield FIRST + " "
        assert refused.wait(4 * PATIENCE)
        yield SECOND

    def agent(call: Call) -> None:
        replies.append(call.say(words()))

    with phone_line(agent, synthesis=mute()) as phone:
        call = phone.call()
        phone.seen.wait_for(lambda: phone.seen.replies)
        refused.set()
        call.wait(6 * PATIENCE)

    assert spoken(call) == 2
    assert [reply.heard for reply in replies] == [f"{FIRST} {SECOND}"]


@pytest.mark.parametrize("frames", [3, 12])
def test_what_was_synthesised_is_not_said_again(frames: int) -> None:
    """A voice that breaks off within a sentence leaves that one, and what follows, to Telnyx."""
    replies: list[Reply] = []

    def agent(call: Call) -> None:
        replies.append(call.say(f"{FIRST} {SECOND}"))

    service = SynthesisService(make_speaker=ToneSpeaker)
    service.fail(SynthesisFault(after=frames, kind="error"))
    with phone_line(agent, synthesis=service) as phone:
        call = phone.call()
        call.wait(6 * PATIENCE)

    [reply] = replies
    assert not reply.interrupted
    said = [FIRST, SECOND][-spoken(call) :]
    begun = reply.heard.removesuffix(" ".join(said)).strip()
    # The sentence that broke off is begun anew: of that one a part was heard twice.
    whole = " ".join([FIRST, SECOND][: 2 - spoken(call)])
    assert begun.startswith(whole)
    assert said[0].startswith(begun.removeprefix(whole).strip())
    assert begun != f"{whole} {said[0]}".strip()


def test_a_caller_breaks_in_on_telnyx() -> None:
    """Telnyx is stopped; a sentence that was not said to its end does not count as heard."""
    replies: list[Reply] = []
    turns: list[str] = []

    def agent(call: Call) -> None:
        replies.append(call.say(f"{FIRST} {SECOND * 5}"))
        turn = call.listen()
        assert turn is not None
        turns.append(turn.text)

    with phone_line(agent, texts=["stop that please"], synthesis=mute()) as phone:
        call = phone.call()
        call.wait_for(lambda c: spoken(c) == 2, 4 * PATIENCE)
        call.play(phone.speech)
        call.wait(6 * PATIENCE)

    [reply] = replies
    assert reply.interrupted
    assert reply.heard == FIRST
    assert turns == ["stop that please"]
    assert "playback_stop" in [command["name"] for command in call.commands]
