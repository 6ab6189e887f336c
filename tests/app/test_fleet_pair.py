"""Two processes with one call between them: who holds it, who lets go, and what is kept."""

from __future__ import annotations

import json
import threading
import time

import pytest

from bridge import Call, CallEnded
from bridge.errors import BridgeError, TransferFailed
from bridge.fleet.membership import SILENT
from bridge.simulator import Callee, SimulatedCall
from tests.app.pair import NOBODY, Pair, pair
from tests.loopback import PATIENCE, wait_until

DESK = "+12025550177"

LONG = 6 * PATIENCE


class Spans:
    """Which agents held the call, from when to when; of any process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.open = 0
        self.most = 0
        self.began = 0

    def __enter__(self) -> Spans:
        with self._lock:
            self.began += 1
            self.open += 1
            self.most = max(self.most, self.open)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.open -= 1


def hand_over(line: Pair) -> None:
    """Have the first process leave its calls to the second one."""
    line.both_to(1)
    assert line.bridges[0].drain(0.1)


def test_what_the_agent_keeps_goes_over_with_its_history() -> None:
    """The next agent finds `call.state` and what was said; the summary counts both processes."""
    states: list[str] = []
    histories: list[list[str]] = []

    def agent(call: Call) -> None:
        states.append(json.dumps(call.state))
        call.state.setdefault("orders", []).append("funghi")
        if call.resumed:
            histories.append([remark.text or remark.digits for remark in call.history])
            call.say("Then goodbye.")
            return
        call.say("Anything else?")
        call.state["what JSON cannot hold"] = call
        for _ in call.turns():
            pass

    with pair(agent) as line:
        call = line.simulator.place_call(caller=[{"dtmf": "7#", "when": "agent_stops"}])
        line.seen[0].wait_for(lambda: line.seen[0].turns, LONG)
        hand_over(line)
        call.wait(LONG)
        summary = line.seen[1].summary()
    assert states == ["{}", '{"orders": ["funghi"]}']
    assert histories == [["Anything else?", "7#"]]
    assert (summary.turns, summary.replies) == (1, 2)
    assert line.seen[0].summaries == []


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "silent"])
def test_a_process_that_redis_has_lost_lets_go_of_what_others_took(how: str) -> None:
    """It lives, cannot ask, hears its stream stop, and does not hang up on the call's new agent."""
    spans = Spans()
    done = threading.Event()

    def agent(call: Call) -> None:
        with spans:
            if call.resumed:
                call.say("Here I am again.")
                done.wait(LONG)
            else:
                call.say("Good day.")
                call.listen()

    with pair(agent) as line:
        call = line.simulator.place_call()
        line.seen[0].wait_for(lambda: line.seen[0].replies, LONG)
        line.both_to(1)
        with line.roads[0].cut() if how == "cut" else line.roads[0].silent():
            line.seen[1].wait_for(lambda: line.seen[1].replies, LONG)
            # More than the old one waits for a webhook before it hangs up.
            call_is_up_for(call, 3.0)
        line.wait_joined()
        assert spans.began == 2
        assert [leg.call_leg_id for leg in line.bridges[1].switchboard.legs()] == [call.id]
        assert line.bridges[0].switchboard.legs() == []
        assert line.seen[0].summaries == []
        done.set()
        call.wait(LONG)
        assert line.seen[1].summary().reason == "agent"
    assert spans.most == 1
    assert [command["name"] for command in call.commands].count("hangup") == 1


def call_is_up_for(call: object, seconds: float) -> None:
    """Watch a call for a while: the while is what is tested."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert not call.ended  # type: ignore[attr-defined]
        time.sleep(0.05)


def test_a_call_is_ended_from_another_process() -> None:
    """Whoever is asked tells the process that has it."""

    def agent(call: Call) -> None:
        call.listen()

    with pair(agent) as line:
        call = line.simulator.place_call()
        line.seen[0].wait_for(lambda: line.seen[0].media, LONG)
        assert not line.bridges[1].switchboard.hang_up("nobody")
        assert line.bridges[1].switchboard.hang_up(call.id)
        call.wait(LONG)
        assert line.seen[0].summary().reason == "operator"


def test_a_call_is_put_through_from_another_process() -> None:
    """The caller hears the agent until somebody has picked up."""

    def agent(call: Call) -> None:
        call.listen()

    with pair(agent) as line:
        call = line.simulator.place_call()
        line.seen[0].wait_for(lambda: line.seen[0].media, LONG)
        assert not line.bridges[1].switchboard.transfer("nobody", DESK)
        assert line.bridges[1].switchboard.transfer(call.id, DESK)
        assert line.seen[0].summary().reason == "transferred"
        assert not call.ended
        call.hang_up()


@pytest.mark.parametrize(("outcome", "cause"), [("busy", "user_busy"), ("reject", "call_rejected")])
def test_a_transfer_fails_as_it_did_though_another_process_hears_of_it(
    outcome: str, cause: str
) -> None:
    """Its leg is nobody's; what becomes of it belongs to the leg that it was made for."""
    causes: list[str] = []

    def agent(call: Call) -> None:
        try:
            call.transfer(DESK, timeout=60)
        except TransferFailed as failed:
            causes.append(failed.cause)
            call.say("Still here.")
        except CallEnded:
            causes.append("ended")

    with pair(agent) as line:
        line.simulator.add_callee(DESK, Callee(outcome, after=0.1))  # type: ignore[arg-type]
        line.to = lambda environ: int(
            environ["PATH_INFO"].endswith("/webhook") and bool(line.seen[0].media)
        )
        line.simulator.place_call().wait(LONG)
    assert causes == [cause]


def good_day(call: Call) -> None:
    """Say so, and wait for an answer."""
    call.say("Good day.")
    call.listen()


@pytest.mark.parametrize("how", ["stream", "command"])
def test_a_call_that_no_process_takes_ends_with_a_line_that_telnyx_says(how: str) -> None:
    """The process that stops is gone by the end of it; whoever hears of that hangs up."""
    with pair(good_day, BRIDGE_DRAIN_LINE="Bye now.") as line:
        call = line.simulator.place_call()
        line.seen[0].wait_for(lambda: line.seen[0].replies, LONG)
        if how == "command":
            line.simulator.faults.fail("streaming_start", 422, code="10015", times=9)
        line.to = lambda environ: 1 if environ["PATH_INFO"].endswith("/webhook") else NOBODY
        assert line.bridges[0].drain(0.1)
        assert line.seen[0].summary().reason == "drain"
        line.bridges[0].close()
        call.wait(LONG)
    assert names(call)[-2:] == ["speak", "hangup"]
    assert line.seen[1].summaries == []


def test_a_process_that_is_slow_is_still_there_to_take_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A busy machine delays its signs of life; a call is not ended for that, but handed over."""

    def agent(call: Call) -> None:
        call.say("Here I am again." if call.resumed else "Good day.")
        if not call.resumed:
            call.listen()

    with pair(agent) as line:
        call = line.simulator.place_call()
        line.seen[0].wait_for(lambda: line.seen[0].replies, LONG)
        fleets = [bridge.fleet for bridge in line.bridges]
        assert fleets[0] is not None
        assert fleets[1] is not None
        monkeypatch.setattr(fleets[1]._membership, "_beat", lambda: None)
        members = fleets[0]._membership
        wait_until(lambda: any(m.silent > 2 * SILENT for m in members.others()))
        hand_over(line)
        call.wait(LONG)
        assert line.seen[1].summary().reason == "agent"
    assert line.seen[0].summaries == []


def test_without_redis_a_stopping_process_says_goodbye_itself() -> None:
    """Others may live, but nothing can be handed over to them."""
    with pair(good_day, BRIDGE_DRAIN_LINE="Bye now.") as line:
        call = line.simulator.place_call()
        line.seen[0].wait_for(lambda: line.seen[0].replies, LONG)
        with line.redis.away():
            wait_until(lambda: not line.bridges[0].fleet.joined)  # type: ignore[union-attr]
            assert line.bridges[0].drain(2 * PATIENCE)
            call.wait(LONG)
        assert [reply.text for reply, _ in line.seen[0].replies] == ["Good day.", "Bye now."]
    assert "speak" not in names(call)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["away", "frozen"])
def test_a_process_that_has_lost_a_call_asks_for_no_stream_of_it(how: str) -> None:
    """Neither while it cannot ask whose the call is, nor when it hears that it is another's."""
    spans = Spans()
    done = threading.Event()
    handles: list[Call] = []
    errors: list[Exception] = []

    def agent(call: Call) -> None:
        handles.append(call)
        with spans:
            call.say("Here I am.")
            if call.resumed:
                done.wait(LONG)
                return
            call.listen()

    with pair(agent) as line:
        call = line.simulator.place_call()
        line.seen[0].wait_for(lambda: line.seen[0].replies, LONG)
        line.both_to(1)
        before = names(call).count("streaming_start")
        if how == "away":
            with line.roads[0].cut():
                wait_until(lambda: not line.bridges[0].fleet.joined)  # type: ignore[union-attr]
                call.cut_media()
                line.seen[1].wait_for(lambda: line.seen[1].replies, LONG)
                try:
                    handles[0].transfer(DESK)
                except BridgeError as error:
                    errors.append(error)
            wait_until(lambda: not line.bridges[0].switchboard.legs())
            assert len(errors) == 1
        else:
            # As if it had stood still for a while: it has heard nothing of this.
            old, new = (bridge.fleet for bridge in line.bridges)
            assert old is not None
            assert new is not None
            left = new.registry.adopt(old.process, 1 << 60)
            assert left is not None
            call.cut_media()
            wait_until(lambda: not line.bridges[0].switchboard.legs())
            line.bridges[1].switchboard.take_over(left)
            line.seen[1].wait_for(lambda: line.seen[1].replies, LONG)
        assert names(call).count("streaming_start") == before + 1
        assert not call.ended
        done.set()
        call.wait(LONG)
    # Who cannot ask keeps its agent, which nobody hears.
    assert spans.most == 1 or how == "away"
    assert line.seen[0].summaries == []
    assert line.seen[1].summary().reason == "agent"
    assert names(call).count("hangup") == 1
    assert "transfer" not in names(call)


@pytest.mark.slow
def test_a_webhook_that_a_process_has_not_lived_to_act_on_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Telnyx was told 200 and brings it no second time; another process answers the call."""

    def agent(call: Call) -> None:
        call.say("Good day.")

    with pair(agent) as line:
        monkeypatch.setattr(line.bridges[0].pool, "submit", lambda key, job: True)
        call = line.simulator.place_call()
        wait_until(lambda: any(hook["delivered"] for hook in call.webhooks))
        line.both_to(1)
        line.bridges[0].close()
        call.wait(LONG)
        assert line.seen[1].summary().reason == "agent"
    assert [reply.text for reply, _ in line.seen[1].replies] == ["Good day."]


def test_who_hangs_up_while_redis_is_away_has_hung_up() -> None:
    """The webhook says so, whatever Redis would; the call is complete in the records."""

    def agent(call: Call) -> None:
        call.say("Good day.")
        call.listen()

    with pair(agent) as line:
        call = line.simulator.place_call()
        line.seen[0].wait_for(lambda: line.seen[0].replies, LONG)
        with line.redis.away():
            wait_until(lambda: not line.bridges[0].fleet.joined)  # type: ignore[union-attr]
            call.hang_up()
            assert line.seen[0].summary().reason == "caller"


def names(call: SimulatedCall) -> list[str]:
    """Get the commands that a call was given."""
    return [command["name"] for command in call.commands]
