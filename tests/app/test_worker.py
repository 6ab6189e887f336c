"""Every ending of a call, and what a leg survives."""

from __future__ import annotations

import logging
import threading
import time

import pytest
import requests

from bridge import worker
from bridge.call import Call
from bridge.errors import CallEnded
from bridge.simulator import Behaviour, SimulatedCall
from bridge.simulator.speakers import ToneSpeaker
from bridge.simulator.synthesis import SynthesisService
from bridge.simulator.transcription import TranscriptionService
from telnyx_media.errors import TelnyxMediaError
from tests.app.phone import Phone, phone_line
from tests.loopback import PATIENCE

LONG = "This sentence is long enough that nobody has heard the end of it by now. " * 3


class Agent:
    """An agent that notes how it was unwound."""

    def __init__(self, script: str = "listen") -> None:
        self.script = script
        self.begun = threading.Event()
        self.unwound = threading.Event()
        self.error: BaseException | None = None
        self.calls = 0

    def __call__(self, call: Call) -> None:
        """Do what the script says, until the call ends."""
        self.calls += 1
        try:
            self.begun.set()
            if self.script == "say":
                call.say(LONG)
            elif self.script == "turns":
                for _ in call.turns():
                    pass
            else:
                call.listen()
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.unwound.set()


def commands(call: SimulatedCall) -> list[str]:
    """Name the commands that were sent for a leg."""
    return [command["name"] for command in call.commands]


def wait_for(event: threading.Event) -> None:
    """Wait for something that an agent sets."""
    assert event.wait(4 * PATIENCE), "it did not happen"


def errors_of_legs(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Get the errors that legs have logged."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "bridge.worker" and record.levelno >= logging.ERROR
    ]


def assert_over(phone: Phone, agent: Agent, reason: str) -> None:
    """Check that the only call ended once, for this reason, leaving nothing behind."""
    summary = phone.seen.summary()
    assert summary.reason == reason
    assert summary.abandoned == ()
    wait_for(agent.unwound)
    assert phone.bridge.switchboard.legs() == []
    assert phone.bridge.registry.count() == 0


# -- who hangs up ---------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["listen", "say"])
def test_the_caller_hangs_up(script: str) -> None:
    """A blocked method of the agent raises CallEnded, and Telnyx is not told to hang up."""
    agent = Agent(script)
    with phone_line(agent) as phone:
        call = phone.call()
        wait_for(agent.begun)
        if script == "say":
            phone.wait_for_agent_audio(call)
        call.hang_up()
        assert_over(phone, agent, "caller")
        assert phone.seen.summary().hangup_cause == "normal_clearing"
    assert isinstance(agent.error, CallEnded)
    assert commands(call) == ["answer"]


def test_turns_end_with_the_call() -> None:
    """An agent that iterates over turns returns when the caller hangs up."""
    agent = Agent("turns")
    with phone_line(agent) as phone:
        call = phone.call()
        wait_for(agent.begun)
        call.hang_up()
        assert_over(phone, agent, "caller")
    assert agent.error is None


def test_the_agent_hangs_up() -> None:
    """After hangup every method raises CallEnded and Telnyx is told once."""
    seen: list[str] = []

    def agent(call: Call) -> None:
        call.hangup()
        call.hangup()
        with pytest.raises(CallEnded):
            call.say("too late")
        with pytest.raises(CallEnded):
            call.listen(timeout=0)
        assert list(call.turns()) == []
        seen.append("unwound")

    with phone_line(agent) as phone:
        call = phone.call()
        call.wait(4 * PATIENCE)
        assert phone.seen.summary().reason == "agent"
    assert seen == ["unwound"]
    assert commands(call) == ["answer", "hangup"]


def test_an_agent_that_returns_ends_the_call_after_its_last_words() -> None:
    """What the agent says last is heard to its end before the hang-up."""

    def agent(call: Call) -> None:
        call.say("Thank you, goodbye.")

    with phone_line(agent) as phone:
        call = phone.call()
        call.wait(4 * PATIENCE)
        summary = phone.seen.summary()
    assert summary.reason == "agent"
    spoken = sum(seconds for _, seconds in call.media)
    assert spoken == pytest.approx(len("Thank you, goodbye.") * 0.06, abs=0.1)
    assert all(not mark.cleared for mark in call.marks)
    assert call.marks


def test_an_agent_that_raises_is_logged_and_apologised_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The caller hears an apology; the log names the error and its place, and not its words."""

    def agent(call: Call) -> None:
        raise KeyError("what the caller said in confidence")

    with phone_line(agent) as phone:
        call = phone.call()
        call.wait(4 * PATIENCE)
        summary = phone.seen.summary()
        [(reply, _)] = phone.seen.replies
        [error] = phone.seen.errors
    assert summary.reason == "agent failed"
    assert reply.heard.startswith("I'm sorry")
    assert isinstance(error, KeyError)
    lines = errors_of_legs(caplog)
    assert len(lines) == 1
    assert "KeyError" in lines[0]
    assert "test_worker.py" in lines[0]
    assert "confidence" not in caplog.text
    assert commands(call) == ["answer", "hangup"]


def test_the_caller_hangs_up_before_the_call_is_answered() -> None:
    """A call that is over before it was answered never reaches the agent."""
    agent = Agent()
    with phone_line(agent) as phone:
        phone.simulator.faults.slow_rest = 0.5
        call = phone.call()
        phone.seen.wait_for(lambda: phone.seen.began)
        call.hang_up()
        assert phone.seen.summary().reason == "caller"
        assert phone.bridge.registry.count() == 0
    assert agent.calls == 0
    assert "hangup" not in commands(call)


def test_a_hangup_that_overtakes_its_call_keeps_it_from_beginning() -> None:
    """An event order that is upside down begins no leg."""
    agent = Agent()
    with phone_line(agent) as phone:
        phone.simulator.faults.delay_webhooks = 0.3
        call = phone.call()
        call.hang_up()
        call.wait_for(lambda c: len([w for w in c.webhooks if w["delivered"]]) >= 2, PATIENCE * 4)
        assert phone.bridge.registry.count() == 0
    assert agent.calls == 0


def test_webhooks_twice_and_shuffled_change_nothing() -> None:
    """A call whose webhooks come twice and out of order is one call with one end."""
    agent = Agent()
    with phone_line(agent) as phone:
        phone.simulator.faults.duplicate_webhooks = True
        phone.simulator.faults.shuffle_webhooks = 0.2
        call = phone.call()
        wait_for(agent.begun)
        call.hang_up()
        assert_over(phone, agent, "caller")
    assert agent.calls == 1
    assert len(phone.seen.began) == 1


def test_the_hangup_webhook_may_never_come() -> None:
    """A stream that Telnyx stopped ends the call too, and Telnyx is told to hang up."""
    agent = Agent()
    with phone_line(agent) as phone:
        phone.simulator.faults.drop_webhooks = frozenset({"call.hangup"})
        call = phone.call()
        wait_for(agent.begun)
        call.hang_up()
        wait_for(agent.unwound)
        assert_over(phone, agent, "caller")
    assert isinstance(agent.error, CallEnded)
    assert commands(call) == ["answer", "hangup"]


def test_the_hangup_webhook_may_come_late() -> None:
    """The agent is unwound by the end of the stream, long before the webhook arrives."""
    agent = Agent()
    with phone_line(agent) as phone:
        call = phone.call()
        wait_for(agent.begun)
        phone.simulator.faults.delay_webhooks = 0.4
        call.hang_up()
        wait_for(agent.unwound)
        assert phone.seen.summaries == []
        assert_over(phone, agent, "caller")
        assert phone.seen.summary().hangup_cause == "normal_clearing"
    assert commands(call) == ["answer"]


def test_hanging_up_from_both_sides_at_once_ends_the_call_once() -> None:
    """Agent and caller hang up together: one reason, one end."""
    agent_ready, go = threading.Event(), threading.Event()

    def agent(call: Call) -> None:
        agent_ready.set()
        go.wait(PATIENCE)
        call.hangup()

    with phone_line(agent) as phone:
        call = phone.call()
        wait_for(agent_ready)
        go.set()
        call.hang_up()
        summary = phone.seen.summary()
    assert summary.reason in ("agent", "caller")
    assert len(phone.seen.summaries) == 1


# -- the media socket -----------------------------------------------------------------------------


def test_telnyx_comes_back_to_a_lost_socket() -> None:
    """A socket that is lost and comes back by itself goes on with the same agent."""
    agent = Agent()
    with phone_line(agent, behaviour=Behaviour(stream_lost="reconnect")) as phone:
        call = phone.call()
        wait_for(agent.begun)
        call.cut_media()
        phone.seen.wait_for(lambda: len(phone.seen.media) == 2)
        call.hang_up()
        assert_over(phone, agent, "caller")
        assert phone.seen.summary().streams == 2
    assert agent.calls == 1
    assert commands(call) == ["answer"]


@pytest.mark.parametrize("lost", ["failed", "stopped", "nothing"])
def test_a_lost_socket_is_asked_for_again(lost: str) -> None:
    """When Telnyx does not come back, the bridge asks for a new stream and the agent goes on."""
    agent = Agent()
    behaviour = Behaviour(stream_lost=lost)  # type: ignore[arg-type]
    with phone_line(agent, behaviour=behaviour) as phone:
        call = phone.call()
        wait_for(agent.begun)
        call.cut_media()
        phone.seen.wait_for(lambda: len(phone.seen.media) == 2)
        call.hang_up()
        assert_over(phone, agent, "caller")
    assert agent.calls == 1
    assert commands(call) == ["answer", "streaming_start"]


@pytest.mark.slow
def test_a_reply_goes_on_after_a_lost_socket() -> None:
    """What was being said is said to its end on the new stream, and counts as heard."""
    heard: list[str] = []
    text = "One two three four five six seven eight nine ten eleven twelve."

    def agent(call: Call) -> None:
        heard.append(call.say(text).heard)

    with phone_line(agent, behaviour=Behaviour(stream_lost="reconnect")) as phone:
        call = phone.call()
        phone.wait_for_agent_audio(call, 1.0)
        call.cut_media()
        call.wait(4 * PATIENCE)
        assert phone.seen.summary().reason == "agent"
        assert phone.seen.summary().streams == 2
    assert heard == [text]


def test_a_stream_that_is_gone_for_good_ends_the_call() -> None:
    """When a new stream is refused, the call is hung up and the agent unwound."""
    agent = Agent()
    with phone_line(agent, behaviour=Behaviour(stream_lost="nothing")) as phone:
        call = phone.call()
        wait_for(agent.begun)
        phone.simulator.faults.fail("streaming_start", 422, code="90046")
        call.cut_media()
        assert_over(phone, agent, "command refused")
    assert isinstance(agent.error, CallEnded)
    assert commands(call)[-1] == "hangup"


# -- the process ----------------------------------------------------------------------------------


def test_a_call_too_many_is_busy() -> None:
    """Call N+1 is refused with busy, and the calls that are there do not notice."""
    agent = Agent()
    with phone_line(agent, BRIDGE_MAX_CALLS="1") as phone:
        first = phone.call()
        wait_for(agent.begun)
        assert not phone.bridge.switchboard.accepting
        second = phone.call()
        second.wait(4 * PATIENCE)
        assert second.hangup_cause == "user_busy"
        assert commands(second) == ["reject"]
        assert not first.ended
        first.hang_up()
        assert_over(phone, agent, "caller")
        assert phone.bridge.switchboard.accepting
    assert agent.calls == 1


def test_draining_waits_and_then_hangs_up() -> None:
    """Calls may go on until the time is over; then they are hung up and the agents unwound."""
    agent = Agent()
    with phone_line(agent) as phone:
        call = phone.call()
        wait_for(agent.begun)
        assert phone.bridge.drain(0.2)
        assert requests.get(f"{phone.url}/readyz", timeout=PATIENCE).status_code == 503
        assert_over(phone, agent, "drain")
    assert isinstance(agent.error, CallEnded)
    assert commands(call) == ["answer", "hangup"]


def test_closing_ends_everything_at_once() -> None:
    """A process that ends leaves no thread, whatever its calls are doing."""
    agent = Agent("say")
    with phone_line(agent) as phone:
        call = phone.call()
        phone.wait_for_agent_audio(call)
        began = time.monotonic()
        phone.bridge.close()
        assert time.monotonic() - began < PATIENCE
        assert [name for name in thread_names() if name.startswith(("agent/", "leg-"))] == []
    assert isinstance(agent.error, CallEnded)


def thread_names() -> list[str]:
    """Name the threads that are alive."""
    return [thread.name for thread in threading.enumerate()]


def test_threads_carry_the_leg_s_tag() -> None:
    """While a call lasts its threads are named by role and tag."""
    agent = Agent()
    with phone_line(agent) as phone:
        call = phone.call()
        wait_for(agent.begun)
        [info] = phone.bridge.switchboard.legs()
        names = [name for name in thread_names() if name.endswith(f"/{info.tag}")]
        assert {"leg-main", "leg-recv", "agent"} <= {name.split("/")[0] for name in names}
        assert all(len(name) <= 15 for name in names)
        call.hang_up()
        assert_over(phone, agent, "caller")


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "L16", "G722"])
def test_the_codec_of_the_leg_is_spoken(codec: str) -> None:
    """A conversation works in each codec, decoded by what the stream says it is."""
    turns: list[str] = []

    def agent(call: Call) -> None:
        call.say("Hello.")
        for turn in call.turns():
            turns.append(turn.text)
            return

    with phone_line(agent, texts=["yes"], BRIDGE_CODEC=codec) as phone:
        call = phone.call({"play": phone.speech}, codec=codec)
        call.wait(4 * PATIENCE)
        [info] = phone.seen.media
    assert turns == ["yes"]
    assert info.codec == codec


def test_a_codec_that_is_not_what_was_asked_for_is_decoded() -> None:
    """A leg that cannot be transcoded is decoded as it comes, and spoken to as it was asked."""
    turns: list[str] = []

    def agent(call: Call) -> None:
        for turn in call.turns():
            turns.append(turn.text)
            return

    behaviour = Behaviour(transcoding="g711")
    with phone_line(agent, texts=["yes"], behaviour=behaviour) as phone:
        call = phone.call({"play": phone.speech, "when": "now"}, codec="G722")
        call.wait(4 * PATIENCE)
        [info] = phone.seen.media
    assert turns == ["yes"]
    assert info.codec == "G722"


def test_an_agent_that_does_not_let_go_is_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread of an agent that ignores the end is named in a warning and in the summary."""
    monkeypatch.setattr(worker, "JOIN", 0.3)
    let_go = threading.Event()

    def agent(call: Call) -> None:
        let_go.wait(6 * PATIENCE)

    with phone_line(agent) as phone:
        call = phone.call()
        phone.seen.wait_for(lambda: phone.seen.media)
        call.hang_up()
        summary = phone.seen.summary()
        let_go.set()
    assert [name.split("/")[0] for name in summary.abandoned] == ["agent"]
    assert any("did not end in time" in record.getMessage() for record in caplog.records)


def test_a_broken_observer_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An observer that raises is logged once and told no more; the call goes on."""

    def agent(call: Call) -> None:
        call.say("Hello.")

    with phone_line(agent) as phone:
        del phone.seen.media  # on_media raises from now on
        call = phone.call()
        call.wait(4 * PATIENCE)
    lines = errors_of_legs(caplog)
    assert len(lines) == 1
    assert lines[0].startswith("Watcher failed")
    assert sum(seconds for _, seconds in call.media) > 0.2


def test_packets_out_of_order_are_put_in_order() -> None:
    """Frames that overtake each other lose nothing."""
    with phone_line(Agent("turns"), texts=["all of it"]) as phone:
        phone.simulator.faults.swap_media = 7
        call = phone.call({"play": phone.speech, "when": "now"})
        phone.seen.wait_for(lambda: phone.seen.turns)
        call.hang_up()
        summary = phone.seen.summary()
    assert summary.packets > 50
    assert (summary.lost_packets, summary.late_packets) == (0, 0)


def test_packets_that_are_lost_are_silence() -> None:
    """The recogniser's clock keeps time over lost frames, which are counted."""
    with phone_line(Agent("turns"), texts=["most of it"]) as phone:
        phone.simulator.faults.lose_media = 10
        call = phone.call({"play": phone.speech, "when": "now"})
        phone.seen.wait_for(lambda: phone.seen.turns)
        call.hang_up()
        summary = phone.seen.summary()
        [session] = phone.simulator.transcription.sessions
    assert summary.lost_packets >= 5
    expected = (summary.packets + summary.lost_packets) * 0.02
    assert session.audio_seconds == pytest.approx(expected, abs=0.3)


def test_the_recogniser_may_fail() -> None:
    """An agent that listens to a recogniser that is gone is told, and the caller hears why not."""
    errors: list[BaseException] = []

    def agent(call: Call) -> None:
        try:
            call.listen()
        except TelnyxMediaError as error:
            errors.append(error)
            raise

    transcription = TranscriptionService(api_key="another key")
    with phone_line(agent, transcription=transcription) as phone:
        call = phone.call()
        call.wait(4 * PATIENCE)
        assert phone.seen.summary().reason == "agent failed"
        [(reply, _)] = phone.seen.replies
    assert len(errors) == 1
    assert reply.heard.startswith("I'm sorry")


def test_the_voice_may_fail() -> None:
    """When nobody can speak, not even Telnyx, the agent is told, and the call ends wordless."""
    errors: list[BaseException] = []

    def agent(call: Call) -> None:
        try:
            call.say("Hello.")
        except TelnyxMediaError as error:
            errors.append(error)
            raise

    synthesis = SynthesisService(make_speaker=ToneSpeaker)
    synthesis.refused_voices = frozenset({"Telnyx.NaturalHD.astra"})
    with phone_line(agent, synthesis=synthesis) as phone:
        phone.simulator.faults.fail("speak", 422, code="90010", times=10)
        call = phone.call()
        call.wait(4 * PATIENCE)
        assert phone.seen.summary().reason == "agent failed"
    assert len(errors) == 1
    assert call.heard.strip(b"\0") == b""
