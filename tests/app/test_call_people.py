"""Other people: transfer, refer, a second leg, a colleague who is asked first, and who gets in."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from bridge.call import Call, CallInfo
from bridge.errors import CallEnded, DialFailed, TransferFailed
from bridge.simulator import Callee, SimulatedCall
from examples import consult, refer, screen, second_leg, transfer
from telnyx_media.pcm import level
from tests.app.phone import Phone, phone_line
from tests.loopback import PATIENCE

DESK = transfer.DESK
LONG = 6 * PATIENCE


def dialled(phone: Phone) -> SimulatedCall:
    """Wait for the leg that the application dialled."""
    return phone.simulator.wait_for_call(lambda call: call.direction == "outgoing", LONG)


def commands(call: SimulatedCall) -> list[str]:
    """Name the commands that were sent for a leg."""
    return [command["name"] for command in call.commands]


def texts(phone: Phone) -> list[str]:
    """Get what was said on all legs, in order."""
    return [reply.text for reply, _ in phone.seen.replies]


# -- transfer -------------------------------------------------------------------------------------


def test_a_caller_is_put_through() -> None:
    """The example: the two are connected, and the end of the agent function hangs nobody up."""
    with phone_line(transfer.answer) as phone:
        call = phone.call()
        summary = phone.seen.summary()
        desk = dialled(phone)
        assert call.bridged_to == desk.call_control_id
        assert not call.ended
        assert not desk.ended
        call.hang_up()
        desk.wait(LONG)
    assert summary.reason == "transferred"
    assert "hangup" not in commands(call)
    assert commands(call)[:2] == ["answer", "transfer"]


def test_after_a_transfer_the_call_is_over_for_the_agent() -> None:
    """The function goes on, and cannot talk any more."""
    after: list[bool] = []

    def agent(call: Call) -> None:
        call.transfer(DESK, music=None)
        after.append(call.ended)
        with pytest.raises(CallEnded):
            call.say("Too late.")

    with phone_line(agent) as phone:
        phone.call()
        assert phone.seen.summary().reason == "transferred"
        phone.seen.wait_for(lambda: after)
        assert phone.seen.errors == []
    assert after == [True]


@pytest.mark.parametrize(("outcome", "cause"), [("busy", "user busy"), ("reject", "call rejected")])
def test_a_transfer_that_fails_leaves_the_caller_with_the_agent(outcome: str, cause: str) -> None:
    """The example: the agent is told why, and goes on."""
    with phone_line(transfer.answer) as phone:
        phone.simulator.add_callee(DESK, Callee(outcome, after=0.1))  # type: ignore[arg-type]
        call = phone.call()
        call.wait(LONG)
        assert phone.seen.summary().reason == "agent"
        said = texts(phone)
    assert said == ["I will put you through.", f"I am sorry, they are {cause}. Please call later."]
    assert call.hangup_source == "callee"


def test_a_number_that_telnyx_refuses_fails_the_transfer() -> None:
    """A refused command is a failed transfer, and the call goes on."""
    causes: list[str] = []

    def agent(call: Call) -> None:
        with pytest.raises(TransferFailed) as failure:
            call.transfer("not a number")
        causes.append(failure.value.cause)
        call.say("Still here.")

    with phone_line(agent) as phone:
        phone.call().wait(LONG)
        assert texts(phone) == ["Still here."]
    assert causes == ["refused"]


def test_a_caller_who_hangs_up_ends_a_transfer() -> None:
    """The agent is unwound, and the phone that rang for nobody stops ringing."""
    unwound = threading.Event()

    def agent(call: Call) -> None:
        try:
            call.transfer(DESK, timeout=60)
        except CallEnded:
            unwound.set()
            raise

    with phone_line(agent) as phone:
        phone.simulator.add_callee(DESK, Callee("no_answer"))
        call = phone.call()
        desk = dialled(phone)
        call.hang_up()
        assert unwound.wait(LONG)
        desk.wait(LONG)
        assert phone.seen.summary().reason == "caller"


def test_the_media_stream_may_stop_during_a_transfer() -> None:
    """Telnyx's `stop` is no hang-up then, and a stream is there again if the transfer fails."""

    def agent(call: Call) -> None:
        with pytest.raises(TransferFailed):
            call.transfer(DESK, music=None)
        call.say("Here again.")

    with phone_line(agent) as phone:
        phone.simulator.add_callee(DESK, Callee("busy", after=1.0))
        call = phone.call()
        dialled(phone)
        phone.bridge.control.streaming_stop(call.call_control_id)
        call.wait(LONG)
        assert texts(phone) == ["Here again."]
        assert phone.seen.summary().reason == "agent"
        assert phone.seen.errors == []


# -- refer ----------------------------------------------------------------------------------------


def test_a_call_is_referred() -> None:
    """The example: the other phone system takes the call, and it is over here."""
    with phone_line(refer.answer) as phone:
        call = phone.call()
        call.wait(LONG)
        assert phone.seen.summary().reason in ("referred", "caller")
    assert commands(call)[:2] == ["answer", "refer"]
    assert "hangup" not in commands(call)


def test_a_refer_that_is_refused_leaves_the_caller_with_the_agent() -> None:
    """The example goes on."""
    with phone_line(refer.answer) as phone:
        phone.simulator.add_callee("sip:desk@example.com", Callee("reject", after=0.1))
        phone.call().wait(LONG)
        assert texts(phone) == ["I could not reach the desk. What can I do for you?"]


# -- a second leg ---------------------------------------------------------------------------------


def test_two_calls_are_talked_on_and_connected() -> None:
    """The example: each hears its own words, then each other; nobody is hung up."""
    with phone_line(second_leg.answer) as phone:
        call = phone.call()
        driver = dialled(phone)
        phone.seen.wait_for(lambda: len(phone.seen.summaries) == 2)
        assert call.bridged_to == driver.call_control_id
        assert not call.ended
        assert {summary.reason for summary in phone.seen.summaries} == {"connected"}
        assert driver.call_session_id == call.call_session_id
        assert texts(phone) == ["Your customer is on the line.", "Here is your driver."]
        assert level(driver.heard) > -40
        call.hang_up()
        driver.wait(LONG)


def test_a_second_leg_ends_with_the_first() -> None:
    """A caller who hangs up ends what the agent says to somebody else."""
    unwound = threading.Event()

    def agent(call: Call) -> None:
        other = call.dial(DESK)
        try:
            other.say("A long story. " * 30)
        finally:
            unwound.set()

    with phone_line(agent) as phone:
        call = phone.call()
        desk = dialled(phone)
        phone.wait_for_agent_audio(desk, 0.3)
        call.hang_up()
        assert unwound.wait(LONG)
        desk.wait(LONG)
        phone.seen.wait_for(lambda: len(phone.seen.summaries) == 2)
        assert phone.seen.errors == []


def test_a_second_leg_is_hung_up_when_the_agent_is_done() -> None:
    """Whoever was not connected is not left on the line."""

    def agent(call: Call) -> None:
        call.dial(DESK).say("Hello.")
        call.say("Goodbye.")

    with phone_line(agent) as phone:
        call = phone.call()
        desk = dialled(phone)
        call.wait(LONG)
        desk.wait(LONG)
        phone.seen.wait_for(lambda: len(phone.seen.summaries) == 2)


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [("busy", "user_busy"), ("unknown", "not_found"), ("reject", "call_rejected")],
)
def test_nobody_answers_a_second_leg(outcome: str, cause: str) -> None:
    """The agent is told why, and the caller is still there."""
    causes: list[str] = []

    def agent(call: Call) -> None:
        with pytest.raises(DialFailed) as failure:
            call.dial(DESK)
        causes.append(failure.value.cause)
        call.say("Nobody.")

    with phone_line(agent) as phone:
        phone.simulator.add_callee(DESK, Callee(outcome, after=0.05))  # type: ignore[arg-type]
        phone.call().wait(LONG)
        phone.seen.wait_for(lambda: len(phone.seen.summaries) == 2)
        assert texts(phone) == ["Nobody."]
    assert causes == [cause]


def test_a_caller_who_hangs_up_ends_a_dial() -> None:
    """The second phone stops ringing."""
    unwound = threading.Event()

    def agent(call: Call) -> None:
        try:
            call.dial(DESK, timeout=60)
        except CallEnded:
            unwound.set()

    with phone_line(agent) as phone:
        phone.simulator.add_callee(DESK, Callee("no_answer"))
        call = phone.call()
        desk = dialled(phone)
        call.hang_up()
        assert unwound.wait(LONG)
        desk.wait(LONG)
        phone.seen.wait_for(lambda: len(phone.seen.summaries) == 2)


# -- a colleague ----------------------------------------------------------------------------------


def test_a_colleague_who_agrees_is_connected() -> None:
    """The example: the caller hears music, the colleague says yes, the two are connected."""
    with phone_line(consult.answer, texts=["yes of course"]) as phone:
        phone.simulator.add_callee(
            DESK, Callee(script=[{"play": phone.speech, "when": "agent_stops"}])
        )
        call = phone.call()
        desk = dialled(phone)
        phone.seen.wait_for(lambda: len(phone.seen.summaries) == 2)
        assert call.bridged_to == desk.call_control_id
        assert texts(phone) == ["A caller with a broken oven. Will you take them?"]
        assert level(call.heard) > -40
        call.hang_up()
        desk.wait(LONG)


def test_a_colleague_who_declines_is_let_go() -> None:
    """The example: the caller is back with the agent."""
    with phone_line(consult.answer, texts=["no I am busy"]) as phone:
        phone.simulator.add_callee(
            DESK, Callee(script=[{"play": phone.speech, "when": "agent_stops"}])
        )
        call = phone.call()
        desk = dialled(phone)
        call.wait(LONG)
        desk.wait(LONG)
        phone.seen.wait_for(lambda: len(phone.seen.summaries) == 2)
        assert texts(phone)[-1] == "They are busy. May I help?"


def test_a_colleague_who_hangs_up_brings_the_caller_back() -> None:
    """Nobody is connected with nobody."""
    with phone_line(consult.answer) as phone:
        phone.simulator.add_callee(
            DESK, Callee(script=[{"hangup": True, "when": {"agent_speaking": 0.2}}])
        )
        phone.call().wait(LONG)
        phone.seen.wait_for(lambda: len(phone.seen.summaries) == 2)
        assert texts(phone)[-1] == "They are busy. May I help?"


def test_nobody_is_there_to_be_consulted() -> None:
    """The example: the caller is back."""
    with phone_line(consult.answer) as phone:
        phone.simulator.add_callee(DESK, Callee("busy", after=0.1))
        phone.call().wait(LONG)
        phone.seen.wait_for(lambda: len(phone.seen.summaries) == 2)
        assert texts(phone) == ["Nobody is there. May I help?"]


def test_a_text_is_brief_enough() -> None:
    """A colleague who is told something is connected then."""

    def agent(call: Call) -> None:
        assert call.consult(DESK, "A caller with a broken oven.")

    with phone_line(agent) as phone:
        call = phone.call()
        phone.seen.wait_for(lambda: len(phone.seen.summaries) == 2)
        assert call.bridged_to is not None
        assert phone.seen.errors == []


# -- before the answer ----------------------------------------------------------------------------


def screened_line(function: Callable[[CallInfo], object]) -> str:
    """Name a screening function of this module, as BRIDGE_SCREEN does."""
    return f"{__name__}:{function.__name__}"


def fails(info: CallInfo) -> bool:
    """Fail."""
    raise RuntimeError("no opinion")


def test_who_may_not_call_is_rejected_before_the_answer() -> None:
    """The example: busy for one number, answered for another."""
    with phone_line(screen.answer, BRIDGE_SCREEN="examples.screen:screen") as phone:
        call = phone.call(from_="+12025550166")
        call.wait(LONG)
        assert (call.answered_at, call.hangup_cause) == (None, "user_busy")
        assert phone.seen.summary().reason == "rejected"
        other = phone.call()
        other.wait(LONG)
    assert commands(call) == ["reject"]
    assert other.answered_at is not None


def test_a_screening_that_fails_costs_no_call(caplog: pytest.LogCaptureFixture) -> None:
    """The call is answered, and the failure is one log line without its words."""
    with phone_line(screen.answer, BRIDGE_SCREEN=screened_line(fails)) as phone:
        phone.call().wait(LONG)
        assert texts(phone) == ["Good to hear from you."]
    assert "screening failed" in caplog.text
    assert "no opinion" not in caplog.text
