"""Calls of ours: who answers, what is left behind the beep, and one dial for one call."""

from __future__ import annotations

import threading

import pytest

from bridge.call import Call
from bridge.errors import DialFailed, SettingsError
from bridge.simulator import Callee, SimulatedCall
from examples import reminder
from telnyx_media.pcm import level
from tests.app.phone import Phone, phone_line
from tests.loopback import PATIENCE

LONG = 6 * PATIENCE
NUMBER = "+12025550143"


def dial(phone: Phone, **options: object) -> SimulatedCall:
    """Dial, and get the leg as the simulator sees it."""
    worker = phone.bridge.switchboard.dial(NUMBER, **options)  # type: ignore[arg-type]
    call = phone.simulator.find_call(worker.info.call_control_id)
    assert call is not None
    return call


def texts(phone: Phone) -> list[str]:
    """Get what was said, in order."""
    return [reply.text for reply, _ in phone.seen.replies]


def test_somebody_is_called_and_talked_to() -> None:
    """The agent is called once they have answered, with the facts of an outbound call."""
    facts: list[tuple[str, str, str]] = []

    def agent(call: Call) -> None:
        facts.append((call.info.direction, call.info.to_number, call.info.answered_by))
        call.say("Hello, this is a call of ours.")

    with phone_line(agent) as phone:
        call = dial(phone)
        call.wait(LONG)
        assert phone.seen.summary().reason == "agent"
    assert facts == [("outbound", NUMBER, "")]
    assert call.direction == "outgoing"
    assert level(call.heard) > -40


def test_a_person_hears_the_message_at_once() -> None:
    """The example, answered by a human."""
    who: list[str] = []

    def agent(call: Call) -> None:
        reminder.answer(call)
        who.append(call.info.answered_by)

    with phone_line(agent) as phone:
        phone.simulator.add_callee(NUMBER, Callee(detection=0.3))
        dial(phone, detect=True).wait(LONG)
        assert texts(phone) == [reminder.MESSAGE]
    assert who == ["human"]


def test_who_answers_with_a_sentence_hears_the_message_all_the_same() -> None:
    """The example: what they say when they pick up breaks in on it, and it is said again."""
    with phone_line(reminder.answer, texts=["hello who is this"]) as phone:
        greeting = [{"play": phone.speech, "when": "now"}]
        phone.simulator.add_callee(NUMBER, Callee(script=greeting, detection=0.3))
        dial(phone, detect=True).wait(LONG)
        replies = [reply for reply, _ in phone.seen.replies]
    assert replies[0].interrupted
    assert replies[-1].heard == reminder.MESSAGE


def test_a_machine_gets_the_message_behind_its_beep() -> None:
    """The example, answered by a voicemail box: nothing is said before the beep."""
    with phone_line(reminder.answer, texts=["leave a message"]) as phone:
        greeting = [{"play": phone.speech, "when": "now"}]
        phone.simulator.add_callee(
            NUMBER, Callee(machine=True, beep=True, script=greeting, detection=0.3)
        )
        call = dial(phone, detect=True)
        call.wait(LONG)
        assert texts(phone) == [reminder.MESSAGE]
        [greeted] = [w for w in call.webhooks if w["event_type"].endswith(".greeting.ended")]
    assert greeted["payload"]["result"] == "beep_detected"
    assert call.media[0][0] >= greeted["at"]


def test_a_robot_that_screens_calls_is_told_who_calls_and_why() -> None:
    """The example states its purpose, and then talks to whoever picks up."""
    with phone_line(reminder.answer) as phone:
        phone.simulator.add_callee(NUMBER, Callee(screening=True, detection=0.3))
        dial(phone, detect="premium_ios_call_screening_detection").wait(LONG)
        assert texts(phone) == ["Corner Pizza, about a booking.", reminder.MESSAGE]


def test_without_detection_nobody_knows_who_answered() -> None:
    """Asking costs the timeout, and is no error."""
    who: list[str] = []

    def agent(call: Call) -> None:
        who.append(call.who_answered(timeout=0.2))
        assert not call.await_beep(timeout=0.2)

    with phone_line(agent) as phone:
        dial(phone).wait(LONG)
        assert phone.seen.errors == []
    assert who == ["unknown"]


@pytest.mark.parametrize(("outcome", "cause"), [("busy", "user_busy"), ("reject", "call_rejected")])
def test_nobody_answers(outcome: str, cause: str) -> None:
    """The agent is never called, and the summary says why."""
    called = threading.Event()

    with phone_line(lambda call: called.set()) as phone:
        phone.simulator.add_callee(NUMBER, Callee(outcome, after=0.1))  # type: ignore[arg-type]
        dial(phone).wait(LONG)
        summary = phone.seen.summary()
    assert (summary.reason, summary.hangup_cause) == ("not answered", cause)
    assert not called.is_set()


def test_a_ringing_call_may_be_hung_up() -> None:
    """An operator's hang-up ends the ringing."""
    with phone_line(lambda call: None) as phone:
        phone.simulator.add_callee(NUMBER, Callee("no_answer"))
        call = dial(phone)
        assert phone.bridge.switchboard.hang_up(call.call_control_id)
        call.wait(LONG)
        assert phone.seen.summary().reason == "operator"


def test_webhooks_may_overtake_the_answer_to_the_dial() -> None:
    """A slow answer of Telnyx's API loses nothing."""
    with phone_line(lambda call: call.say("Hello.") and None) as phone:
        phone.simulator.add_callee(NUMBER, Callee(after=0.0))
        phone.simulator.faults.slow_rest = 0.5
        call = dial(phone)
        call.wait(LONG)
        assert texts(phone) == ["Hello."]


def test_a_dial_whose_answer_is_lost_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    """One phone rings, once; the dial counts as failed, and the leg is hung up when it shows."""
    caplog.set_level("DEBUG")
    with phone_line(lambda call: None) as phone:
        phone.simulator.add_callee(NUMBER, Callee("no_answer"))
        phone.simulator.faults.slow_rest = 4.5
        with pytest.raises(DialFailed):
            dial(phone)
        phone.simulator.faults.slow_rest = 0.0
        call = phone.simulator.wait_for_call(lambda c: c.direction == "outgoing", LONG)
        call.wait(LONG)
        assert len(phone.simulator.calls) == 1
    assert NUMBER not in caplog.text


def test_from_whom_has_to_be_known() -> None:
    """Without a number and an application there is no dial, and one line says what to set."""
    with phone_line(lambda call: None, BRIDGE_FROM_NUMBER="") as phone:
        with pytest.raises(SettingsError, match="BRIDGE_FROM_NUMBER"):
            phone.bridge.switchboard.dial(NUMBER)
        assert phone.simulator.calls == []


def test_a_call_too_many_is_not_dialled() -> None:
    """The limit of calls holds for ours too."""
    with phone_line(lambda call: call.stay(), BRIDGE_MAX_CALLS="1") as phone:
        phone.call()
        phone.seen.wait_for(lambda: phone.seen.media)
        with pytest.raises(DialFailed, match="busy"):
            dial(phone)
        assert len(phone.simulator.calls) == 1


@pytest.mark.parametrize("codec", ["PCMA", "L16"])
def test_an_outbound_leg_speaks_what_was_asked_for(codec: str) -> None:
    """The stream of a dialled leg has the codec of the settings."""
    with phone_line(lambda call: call.say("Hello.") and None, BRIDGE_CODEC=codec) as phone:
        phone.simulator.add_callee(NUMBER, Callee(codec=codec))
        call = dial(phone)
        call.wait(LONG)
        assert phone.seen.media[0].codec == codec
    assert level(call.heard) > -40
