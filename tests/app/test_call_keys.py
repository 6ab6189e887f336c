"""Keys: collected from the caller, and pressed for a machine."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from bridge.call import Call
from bridge.errors import CallEnded
from examples import gather, menu
from telnyx_media._audioop import audioop
from telnyx_media.pcm import level
from tests.app.phone import phone_line
from tests.loopback import PATIENCE


def test_a_pin_is_taken_and_is_nowhere_to_be_found(caplog: pytest.LogCaptureFixture) -> None:
    """The example gets the keys; log, history and turns have none of them."""
    caplog.set_level("DEBUG")
    histories: list[str] = []

    def agent(call: Call) -> None:
        gather.answer(call)
        histories.append(repr(call.history) + "".join(r.digits for r in call.history))

    with phone_line(agent) as phone:
        call = phone.call({"dtmf": "1234"})
        call.wait(4 * PATIENCE)
        said = [reply.text for reply, _ in phone.seen.replies]
        assert phone.seen.turns == []
    assert said == ["Please enter your four digit PIN.", "Thank you. You are in."]
    assert "1234" not in caplog.text
    assert "1234" not in histories[0]


def test_a_key_ends_the_prompt_and_the_terminator_the_keys() -> None:
    """Whoever knows the menu need not hear it out."""
    got: list[str] = []

    def agent(call: Call) -> None:
        got.append(call.gather("A very long menu follows, with many words. " * 4, digits=(1, 6)))

    with phone_line(agent) as phone:
        call = phone.call({"dtmf": "42#", "when": {"agent_speaking": 0.3}})
        call.wait(4 * PATIENCE)
        [(reply, _)] = phone.seen.replies
    assert got == ["42"]
    assert reply.interrupted
    assert call.clears


def test_too_few_keys_are_asked_for_again() -> None:
    """Each attempt begins anew; what never came is an empty answer."""
    got: list[str] = []

    def agent(call: Call) -> None:
        got.append(
            call.gather(
                "Four keys.", digits=4, timeout=0.4, between=0.4, attempts=2, reprompt="Again."
            )
        )

    with phone_line(agent) as phone:
        call = phone.call({"dtmf": "12"})
        call.wait(4 * PATIENCE)
        said = [reply.text for reply, _ in phone.seen.replies]
    assert said == ["Four keys.", "Again."]
    assert got == [""]


def test_keys_after_a_gather_are_turns_again() -> None:
    """Only what is pressed within it belongs to it."""
    got: list[str] = []

    def agent(call: Call) -> None:
        got.append(call.gather("One key.", digits=1))
        got.append(call.ask("Another one.").digits)

    with phone_line(agent) as phone:
        call = phone.call({"dtmf": "7"}, {"dtmf": "8#"})
        call.wait(6 * PATIENCE)
    assert [digits.rstrip("#") for digits in got] == ["7", "8"]


def test_a_hang_up_ends_a_gather() -> None:
    """The agent is unwound while it waits for keys."""
    unwound: list[bool] = []

    def agent(call: Call) -> None:
        try:
            call.gather(None, digits=4, timeout=60)
        except CallEnded:
            unwound.append(True)
            raise

    with phone_line(agent) as phone:
        call = phone.call()
        phone.seen.wait_for(lambda: phone.seen.media)
        call.hang_up()
        assert phone.seen.summary().reason == "caller"
    assert unwound == [True]


def test_what_is_private_is_neither_recorded_nor_transcribed(tmp_path: Path) -> None:
    """The caller's voice during a private gather is silence in the recording, and no turn."""

    def agent(call: Call) -> None:
        call.gather("Your PIN.", digits=4, timeout=3, attempts=1, private=True)

    with phone_line(agent, texts=["one two"], BRIDGE_RECORDINGS=str(tmp_path)) as phone:
        call = phone.call({"play": phone.speech})
        call.wait(4 * PATIENCE)
        phone.seen.summary()
        assert phone.seen.turns == []
    assert level(call.said) > -40
    [path] = tmp_path.glob("*.wav")
    with wave.open(str(path)) as file:
        frames = file.readframes(file.getnframes())
    assert level(audioop.tomono(frames, 2, 1, 0)) < -70


def test_a_menu_is_walked_through() -> None:
    """The example's keys reach the person, and not a log line."""
    with phone_line(menu.answer, texts=["press one for billing"]) as phone:
        call = phone.call({"play": phone.speech, "when": "now"})
        call.wait(6 * PATIENCE)
    assert call.keys_heard == "14711#"
    assert "send_dtmf" in [command["name"] for command in call.commands]


def test_what_is_no_key_is_refused_without_being_quoted() -> None:
    """A wrong key is the agent's mistake, told at once."""

    def agent(call: Call) -> None:
        with pytest.raises(ValueError, match="keys are") as error:
            call.send_digits("4711x")
        assert "4711" not in str(error.value)
        with pytest.raises(ValueError, match="digits"):
            call.gather("Nothing.", digits=0)

    with phone_line(agent) as phone:
        call = phone.call()
        call.wait(4 * PATIENCE)
        assert phone.seen.errors == []
        assert phone.seen.summary().reason == "agent"
