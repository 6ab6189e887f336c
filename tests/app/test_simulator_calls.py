"""The simulator's calls: webhooks, commands and their answers, as Telnyx documents them."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Any

import pytest
import requests
from cryptography.exceptions import InvalidSignature

from bridge.simulator import Callee, ScriptError
from tests.app.simulation import World, _sim, error_of, with_behaviour, world  # noqa: F401
from tests.loopback import PATIENCE

COMMON = {
    "call_control_id", "connection_id", "call_leg_id", "call_session_id", "client_state",
}  # fmt: skip
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


# Webhooks


def test_an_inbound_call_is_announced_in_the_documented_envelope(sim: World) -> None:
    """Envelope, ids, stamps and headers of a webhook are those of the webhook pages."""
    sim.ring(to="+12025550100", from_="+12025550142")
    hook = sim.application.wait_hook("call.initiated")
    assert set(hook.envelope) == {"data", "meta"}
    assert set(hook.data) == {"record_type", "event_type", "id", "occurred_at", "payload"}
    assert hook.data["record_type"] == "event"
    assert UUID.fullmatch(hook.data["id"])
    assert STAMP.fullmatch(hook.data["occurred_at"])
    assert hook.envelope["meta"] == {"attempt": 1, "delivered_to": sim.application.webhook_url}
    assert hook.headers["content-type"] == "application/json"
    assert hook.headers["user-agent"] == "telnyx-webhooks"
    assert hook.headers["telnyx-timestamp"].isdecimal()
    payload = hook.payload
    assert set(payload) == COMMON | {
        "from", "to", "direction", "state", "start_time", "tags", "caller_id_name",
        "call_screening_result", "connection_codecs", "offered_codecs",
        "shaken_stir_attestation", "shaken_stir_validated", "custom_headers", "sip_headers",
    }  # fmt: skip
    assert payload["call_control_id"].startswith("v3:")
    assert (payload["from"], payload["to"]) == ("+12025550142", "+12025550100")
    assert (payload["direction"], payload["state"]) == ("incoming", "parked")
    assert payload["client_state"] is None
    assert payload["connection_id"] == sim.simulator.connection_id
    assert datetime.strptime(payload["start_time"], "%Y-%m-%dT%H:%M:%S.%fZ")


def test_every_webhook_is_signed_over_its_raw_body(sim: World) -> None:
    """The signature holds for the bytes as sent, with the key in the environment, and no others."""
    call = sim.answer()
    call.hang_up()
    sim.application.wait_hook("call.hangup")
    assert len(sim.application.hooks) == 3
    for hook in sim.application.hooks:
        hook.verify(sim.simulator.environ["TELNYX_PUBLIC_KEY"])
        hook.body += b" "
        with pytest.raises(InvalidSignature):
            hook.verify(sim.simulator.public_key)


def test_a_webhook_is_tried_again_until_it_is_taken() -> None:
    """The event keeps its id, the attempt counts up, each attempt is signed anew."""
    with with_behaviour(webhook_retry_delays=(0.01, 0.02)) as sim:
        sim.application.statuses = [500, 302]
        sim.simulator.place_call()
        sim.application.wait_hook("call.initiated", count=3)
        hooks = sim.application.of("call.initiated")
        assert [hook.envelope["meta"]["attempt"] for hook in hooks] == [1, 2, 3]
        assert len({hook.data["id"] for hook in hooks}) == 1
        for hook in hooks:
            hook.verify(sim.simulator.public_key)
        deliveries = sim.rest.request("GET", "/webhook_deliveries").json()["data"]
        statuses = [a["http"]["response"]["status"] for a in deliveries[-1]["attempts"]]
        assert statuses[:2] == [500, 302]


def test_the_failover_url_gets_what_the_primary_refuses() -> None:
    """After the last attempt at the primary URL the failover URL is tried, and named in meta."""
    with with_behaviour(webhook_retry_delays=(0.01,)) as sim:
        failover = sim.application.webhook_url + "/failover"
        sim.rest.request(
            "PATCH",
            f"/call_control_applications/{sim.simulator.connection_id}",
            {"webhook_event_failover_url": failover},
        )
        sim.application.statuses = [503, 503]
        sim.simulator.place_call()
        hook = sim.application.wait_hook("call.initiated", count=3)
        assert hook.path == "/hook/failover"
        assert hook.envelope["meta"]["delivered_to"] == failover


def test_a_command_can_send_later_webhooks_elsewhere(sim: World) -> None:
    """The webhook_url of answer holds for the events after it."""
    call = sim.ring()
    other = sim.application.webhook_url + "/other"
    sim.rest.ok(call.call_control_id, "answer", webhook_url=other)
    assert sim.application.wait_hook("call.answered").path == "/hook/other"


@pytest.mark.parametrize("signed", [True, False])
def test_webhooks_come_twice_late_and_unsigned_on_demand(sim: World, signed: bool) -> None:
    """Duplicates keep the id; unsigned ones lack both headers."""
    sim.simulator.faults.duplicate_webhooks = True
    sim.simulator.faults.delay_webhooks = 0.01
    sim.simulator.faults.unsigned_webhooks = not signed
    sim.simulator.place_call()
    sim.application.wait_hook("call.initiated", count=2)
    first, second = sim.application.of("call.initiated")
    assert first.data["id"] == second.data["id"]
    for hook in (first, second):
        assert ("telnyx-signature-ed25519" in hook.headers) is signed
        assert ("telnyx-timestamp" in hook.headers) is signed


def test_webhooks_of_one_leg_keep_their_order(sim: World) -> None:
    """Without a fault the events of a leg arrive in the order in which they happened."""
    calls = [sim.answer() for _ in range(5)]
    for call in calls:
        call.press("123456789")
        call.hang_up()
    for call in calls:
        sim.application.wait_hook("call.hangup", call.call_control_id)
        mine = [
            h for h in sim.application.hooks if h.payload["call_control_id"] == call.call_control_id
        ]
        assert [h.event_type for h in mine] == [
            "call.initiated", "call.answered", *["call.dtmf.received"] * 9, "call.hangup",
        ]  # fmt: skip
        assert "".join(h.payload.get("digit", "") for h in mine) == "123456789"


def test_shuffled_webhooks_overtake_each_other(sim: World) -> None:
    """With the fault on, the order of arrival is another one, and nothing is lost."""
    call = sim.answer()
    sim.simulator.faults.shuffle_webhooks = 0.3
    call.press("0123456789ABCD*#")
    sim.application.wait_hook("call.dtmf.received", count=16)
    digits = "".join(h.payload["digit"] for h in sim.application.of("call.dtmf.received"))
    assert digits != "0123456789ABCD*#"
    assert sorted(digits) == sorted("0123456789ABCD*#")


# Answering and ending


def test_answer_is_acknowledged_and_then_announced(sim: World) -> None:
    """200 with result ok, rate-limit headers, then call.answered with its fields."""
    call = sim.ring()
    state = "c3RhdGU="
    response = sim.rest.act(call.call_control_id, "answer", client_state=state)
    assert response.status_code == 200
    assert response.json() == {"data": {"result": "ok"}}
    for name in ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"):
        assert response.headers[name].isdecimal()
    payload = sim.application.wait_hook("call.answered").payload
    assert set(payload) == COMMON | {
        "from", "to", "state", "start_time", "tags", "custom_headers", "sip_headers",
    }  # fmt: skip
    assert payload["state"] == "answered"
    assert payload["client_state"] == state


def test_the_callers_hangup_is_announced(sim: World) -> None:
    """call.hangup has its documented fields, every leaf of the statistics a string."""
    call = sim.answer()
    call.hang_up()
    call.wait(PATIENCE)
    payload = sim.application.wait_hook("call.hangup").payload
    assert set(payload) == COMMON | {
        "from", "to", "state", "start_time", "hangup_cause", "hangup_source",
        "sip_hangup_cause", "call_quality_stats", "custom_headers", "sip_headers", "tags",
    }  # fmt: skip
    assert payload["state"] == "hangup"
    assert (payload["hangup_cause"], payload["hangup_source"]) == ("normal_clearing", "caller")
    assert payload["sip_hangup_cause"] == "unspecified"
    stats = payload["call_quality_stats"]
    assert set(stats["inbound"]) == {
        "jitter_max_variance", "jitter_packet_count", "mos", "packet_count", "skip_packet_count",
    }  # fmt: skip
    assert set(stats["outbound"]) == {"packet_count", "skip_packet_count"}
    assert all(isinstance(v, str) for side in stats.values() for v in side.values())


def test_our_hangup_names_us_as_its_source(sim: World) -> None:
    """A hang-up by command of an inbound call comes from the callee."""
    call = sim.answer()
    sim.rest.ok(call.call_control_id, "hangup")
    assert sim.application.wait_hook("call.hangup").payload["hangup_source"] == "callee"
    assert call.state == "ended"


@pytest.mark.parametrize(
    ("cause", "hangup_cause", "sip"),
    [
        ("CALL_REJECTED", "call_rejected", "603"),
        ("USER_BUSY", "user_busy", "486"),
        ("NOT_FOUND", "not_found", "404"),
        ("TEMPORARILY_UNAVAILABLE", "unspecified", "480"),
    ],
)
def test_reject_ends_the_call_with_its_cause(
    sim: World, cause: str, hangup_cause: str, sip: str
) -> None:
    """Each cause of reject becomes the hang-up's cause and SIP status."""
    call = sim.ring()
    sim.rest.ok(call.call_control_id, "reject", cause=cause)
    payload = sim.application.wait_hook("call.hangup").payload
    assert payload["hangup_cause"] == hangup_cause
    if hangup_cause != "normal_clearing":
        assert payload["sip_hangup_cause"] == sip


def test_a_caller_who_is_not_answered_gives_up(sim: World) -> None:
    """A call that nobody answers ends by the caller's cancelling."""
    call = sim.ring(ring_seconds=0.1)
    call.wait(PATIENCE)
    payload = sim.application.wait_hook("call.hangup").payload
    assert (payload["hangup_cause"], payload["hangup_source"]) == ("originator_cancel", "caller")
    assert payload["sip_hangup_cause"] == "487"


def test_the_status_of_a_call_can_be_read_after_it_ended(sim: World) -> None:
    """GET /calls/{id} tells is_alive, and the end once there is one."""
    call = sim.ring()
    path = f"/calls/{call.call_control_id}"
    assert sim.rest.request("GET", path).json()["data"]["is_alive"] is False
    sim.rest.ok(call.call_control_id, "answer")
    data = sim.rest.request("GET", path).json()["data"]
    assert data["is_alive"] is True
    assert data["record_type"] == "call"
    active = sim.rest.request("GET", f"/connections/{sim.simulator.connection_id}/active_calls")
    assert [c["call_control_id"] for c in active.json()["data"]] == [call.call_control_id]
    call.hang_up()
    data = sim.rest.request("GET", path).json()["data"]
    assert data["is_alive"] is False
    assert STAMP.fullmatch(data["end_time"])


# Refusals


def test_a_wrong_key_is_refused(sim: World) -> None:
    """No key, another key, another scheme: 401 with 10009."""
    for headers in ({}, {"Authorization": "Bearer KEYwrong"}, {"Authorization": "Basic abc"}):
        response = requests.get(
            f"{sim.simulator.api_url}/whoami", headers=headers, timeout=PATIENCE
        )
        assert error_of(response) == (401, "10009")


def test_refusals_of_commands_carry_telnyx_codes(sim: World) -> None:
    """Each wrong command gets the status and the code of the error page."""
    call = sim.ring()
    leg = call.call_control_id
    act = sim.rest.act
    assert error_of(act("v3:unknown", "answer")) == (422, "90015")
    assert error_of(act(leg, "levitate")) == (404, "10005")
    assert error_of(sim.rest.request("GET", "/calls/v3:unknown")) == (404, "10005")
    assert error_of(sim.rest.request("GET", "/nowhere")) == (404, "10005")
    assert error_of(act(leg, "answer", client_state="not base64!")) == (422, "90017")
    assert error_of(act(leg, "speak", payload="x", voice="y")) == (422, "90034")
    assert error_of(act(leg, "streaming_start", stream_url="ws://x")) == (422, "90034")
    assert error_of(act(leg, "record_start", format="wav", channels="dual")) == (422, "90020")
    assert error_of(act(leg, "reject")) == (422, "10004")
    assert error_of(act(leg, "reject", cause="BORED")) == (422, "10032")
    assert error_of(act(leg, "answer", stream_url="http://x")) == (400, "10015")
    assert error_of(act(leg, "answer", stream_url="ws://x", stream_bidirectional_codec="pcmu")) == (
        422,
        "10032",
    )
    assert call.state == "ringing"
    sim.rest.ok(leg, "answer")
    assert error_of(act(leg, "streaming_stop")) == (422, "90048")
    assert error_of(act(leg, "transfer", to="12025550111")) == (422, "10016")
    assert error_of(act(leg, "send_dtmf", digits="x")) == (422, "10032")
    assert error_of(act(leg, "playback_start", audio_url="x", loop=101)) == (422, "10033")
    sim.rest.ok(leg, "hangup")
    assert error_of(act(leg, "hangup")) == (422, "90018")
    assert error_of(act(leg, "speak", payload="x", voice="y")) == (422, "90018")


def test_a_body_that_is_no_json_is_a_bad_request(sim: World) -> None:
    """Malformed JSON is answered with 400, and the connection goes on."""
    call = sim.ring()
    url = f"{sim.simulator.api_url}/calls/{call.call_control_id}/actions/answer"
    headers = {"Authorization": f"Bearer {sim.simulator.api_key}"}
    for body in (b"{", b"[]", b"\xff"):
        response = requests.post(url, data=body, headers=headers, timeout=PATIENCE)
        assert error_of(response) == (400, "10015")


def test_a_chunked_body_is_read(sim: World) -> None:
    """A client may send its body in chunks."""
    call = sim.ring()
    url = f"{sim.simulator.api_url}/calls/{call.call_control_id}/actions/answer"
    headers = {"Authorization": f"Bearer {sim.simulator.api_key}"}
    chunks = iter([b'{"client_', b'state": ', b'"YQ=="}'])
    response = requests.post(url, data=chunks, headers=headers, timeout=PATIENCE)
    assert response.status_code == 200
    assert sim.application.wait_hook("call.answered").payload["client_state"] == "YQ=="


def test_an_id_may_be_percent_encoded_or_not(sim: World) -> None:
    """The colon of a call_control_id is understood either way."""
    call = sim.ring()
    assert "%3A" not in call.call_control_id
    encoded = call.call_control_id.replace(":", "%3A")
    for text in (encoded, call.call_control_id):
        data = sim.rest.request("GET", f"/calls/{text}").json()["data"]
        assert data["call_control_id"] == call.call_control_id


def test_a_repeated_command_id_is_ignored(sim: World) -> None:
    """The repeat is answered ok and does nothing, even after the call has ended."""
    call = sim.ring()
    for _ in range(3):
        sim.rest.ok(call.call_control_id, "hangup", command_id="one")
    sim.application.wait_hook("call.hangup")
    assert error_of(sim.rest.act(call.call_control_id, "hangup", command_id="two")) == (
        422,
        "90018",
    )
    assert len(sim.application.of("call.hangup")) == 1


def test_a_dial_with_a_repeated_command_id_makes_one_call(sim: World) -> None:
    """The same answer comes back, and one phone rings."""
    body = {
        "connection_id": sim.simulator.connection_id,
        "to": "+12025550177",
        "from": sim.simulator.number,
        "command_id": "dial-1",
    }
    first = sim.rest.request("POST", "/calls", body).json()
    assert sim.rest.request("POST", "/calls", body).json() == first
    assert len(sim.simulator.calls) == 1


def test_commands_fail_on_demand(sim: World) -> None:
    """A fault strikes as often as asked; what it strikes is done only if that was asked too."""
    call = sim.ring()
    faults = sim.simulator.faults
    faults.fail("answer", 503, code="10037", times=2)
    for _ in range(2):
        assert error_of(sim.rest.act(call.call_control_id, "answer")) == (503, "10037")
    assert call.state == "ringing"
    faults.fail("answer", 0, executed=True)
    with pytest.raises(requests.ConnectionError):
        sim.rest.act(call.call_control_id, "answer", command_id="a")
    assert call.state == "answered"
    sim.rest.ok(call.call_control_id, "answer", command_id="a")
    faults.fail("*", 429, code="10011")
    response = sim.rest.request("GET", "/whoami")
    assert error_of(response) == (429, "10011")
    assert response.headers["retry-after"] == "1"


def test_a_webhook_can_be_lost_for_good(sim: World) -> None:
    """A dropped event type never arrives, and what comes after it does."""
    sim.simulator.faults.drop_webhooks = frozenset({"call.answered"})
    call = sim.answer()
    call.hang_up()
    sim.application.wait_hook("call.hangup")
    assert sim.application.of("call.answered") == []


def test_retries_of_an_event_type_can_be_chosen(sim: World) -> None:
    """webhook_retries_policies replaces the delays, webhook_urls the address."""
    call = sim.ring()
    sim.rest.ok(
        call.call_control_id,
        "answer",
        webhook_urls={"call.hangup": [sim.application.webhook_url + "/hangups"]},
        webhook_retries_policies={"call.hangup": {"retries_ms": [10]}},
    )
    sim.application.wait_hook("call.answered")
    sim.application.statuses = [500, 500]
    call.hang_up()
    hook = sim.application.wait_hook("call.hangup", count=2)
    assert hook.path == "/hook/hangups"
    call.wait_for(lambda c: c.webhooks[-1]["given_up"], PATIENCE)
    assert len(call.webhooks[-1]["attempts"]) == 2


def test_the_clients_state_is_changed_alone(sim: World) -> None:
    """client_state_update shows in the next event."""
    call = sim.answer(caller_name="Corner Pizza")
    sim.rest.ok(call.call_control_id, "client_state_update", client_state="bmV3")
    call.press("1")
    assert sim.application.wait_hook("call.dtmf.received").payload["client_state"] == "bmV3"
    assert sim.application.of("call.initiated")[0].payload["caller_id_name"] == "Corner Pizza"


def test_a_call_to_an_application_without_a_webhook_is_a_mistake(sim: World) -> None:
    """It is named instead of ringing at nobody's."""
    sim.simulator.webhook_url = ""
    with pytest.raises(ValueError, match="no webhook URL"):
        sim.simulator.place_call()


# Outbound


def _dial(sim: World, to: str, **more: object) -> dict[str, Any]:
    body = {
        "connection_id": sim.simulator.connection_id,
        "to": to,
        "from": sim.simulator.number,
        **more,
    }
    response = sim.rest.request("POST", "/calls", body)
    assert response.status_code == 200, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


def test_a_dialled_callee_answers(sim: World) -> None:
    """Dial answers with the leg, not alive yet; then initiated, answered, and our hang-up."""
    sim.simulator.add_callee("+12025550177", Callee(after=0.02))
    data = _dial(sim, "+12025550177", client_state="YQ==")
    assert data["record_type"] == "call"
    assert data["is_alive"] is False
    assert data["client_state"] == "YQ=="
    leg = data["call_control_id"]
    initiated = sim.application.wait_hook("call.initiated", leg).payload
    assert (initiated["direction"], initiated["state"]) == ("outgoing", "bridging")
    assert initiated["call_session_id"] == data["call_session_id"]
    sim.application.wait_hook("call.answered", leg)
    assert error_of(sim.rest.act(leg, "answer")) == (422, "90102")
    sim.rest.ok(leg, "hangup")
    assert sim.application.wait_hook("call.hangup", leg).payload["hangup_source"] == "caller"


@pytest.mark.parametrize(
    ("outcome", "cause", "sip"),
    [
        ("busy", "user_busy", "486"),
        ("reject", "call_rejected", "603"),
        ("unknown", "not_found", "404"),
    ],
)
def test_a_callee_may_refuse(sim: World, outcome: Any, cause: str, sip: str) -> None:
    """Busy, rejected, unknown: call.hangup with the cause and the SIP status."""
    sim.simulator.add_callee("+12025550177", Callee(outcome, after=0.02))
    leg = _dial(sim, "+12025550177")["call_control_id"]
    payload = sim.application.wait_hook("call.hangup", leg).payload
    assert (payload["hangup_cause"], payload["sip_hangup_cause"]) == (cause, sip)
    assert payload["hangup_source"] == "callee"


def test_wrong_dials_are_refused(sim: World) -> None:
    """Missing fields, numbers that are none, an unknown connection."""
    good = {
        "connection_id": sim.simulator.connection_id, "to": "+12025550177", "from": "+12025550100",
    }  # fmt: skip

    def refused(**changes: object) -> tuple[int, str]:
        return error_of(sim.rest.request("POST", "/calls", {**good, **changes}))

    assert refused(to=None) == (422, "10004")
    assert refused(to="555") == (422, "10016")
    assert refused(to=["+12025550177", "nobody"]) == (422, "10016")
    assert refused(connection_id="1") == (400, "10015")
    assert refused(answering_machine_detection="perhaps") == (422, "10032")
    assert not sim.simulator.calls


@pytest.mark.parametrize(
    ("mode", "machine", "events"),
    [
        ("detect", False, {"call.machine.detection.ended": "human"}),
        ("detect", True, {"call.machine.detection.ended": "machine"}),
        (
            "detect_beep",
            True,
            {
                "call.machine.detection.ended": "machine",
                "call.machine.greeting.ended": "beep_detected",
            },
        ),
        (
            "premium",
            True,
            {
                "call.machine.premium.detection.ended": "machine",
                "call.machine.premium.greeting.ended": "beep_detected",
            },
        ),
        ("premium", False, {"call.machine.premium.detection.ended": "human_residence"}),
    ],
)
def test_answering_machines_are_detected(
    sim: World, mode: str, machine: bool, events: dict[str, str]
) -> None:
    """Each mode gives its events with its results, the greeting's end after the beep."""
    callee = Callee(
        after=0.02, machine=machine, beep=machine, script=[{"wait": 0.1}], detection=0.05
    )
    sim.simulator.add_callee("+12025550177", callee)
    leg = _dial(sim, "+12025550177", answering_machine_detection=mode)["call_control_id"]
    for event_type, result in events.items():
        assert sim.application.wait_hook(event_type, leg).payload["result"] == result


def test_dialling_an_own_number_comes_back_as_an_inbound_call(sim: World) -> None:
    """The application hears of two legs; answering the one answers the other, and both end."""
    leg = _dial(sim, sim.simulator.number)["call_control_id"]
    inbound = sim.simulator.wait_for_call(lambda c: c.direction == "incoming", PATIENCE)
    sim.application.wait_hook("call.initiated", inbound.call_control_id)
    sim.rest.ok(inbound.call_control_id, "answer")
    sim.application.wait_hook("call.answered", leg)
    sim.rest.ok(leg, "hangup")
    sim.application.wait_hook("call.hangup", inbound.call_control_id)


def test_dials_can_be_refused_by_the_far_end_of_an_own_number(sim: World) -> None:
    """Rejecting the inbound leg is what the dialling leg hears of."""
    leg = _dial(sim, sim.simulator.number)["call_control_id"]
    inbound = sim.simulator.wait_for_call(lambda c: c.direction == "incoming", PATIENCE)
    sim.rest.ok(inbound.call_control_id, "reject", cause="USER_BUSY")
    payload = sim.application.wait_hook("call.hangup", leg).payload
    assert (payload["hangup_cause"], payload["sip_hangup_cause"]) == ("user_busy", "486")


# The rest


def test_keys_are_gathered(sim: World) -> None:
    """Each key is a webhook, and the gather ends by its terminator."""
    call = sim.answer()
    sim.rest.ok(call.call_control_id, "gather", minimum_digits=2, gather_id="g1")
    call.press("12#")
    payload = sim.application.wait_hook("call.gather.ended").payload
    assert (payload["digits"], payload["status"]) == ("12", "valid")
    assert payload["gather_id"] == "g1"
    digits = [h.payload["digit"] for h in sim.application.of("call.dtmf.received")]
    assert digits == ["1", "2", "#"]


def test_a_gather_ends_by_waiting_or_by_the_call(sim: World) -> None:
    """Without keys it times out; a hang-up ends it too."""
    call = sim.answer()
    sim.rest.ok(call.call_control_id, "gather", timeout_millis=100)
    assert sim.application.wait_hook("call.gather.ended").payload["status"] == "timeout"
    sim.rest.ok(call.call_control_id, "gather")
    call.hang_up()
    ended = sim.application.wait_hook("call.gather.ended", count=2).payload
    assert ended["status"] == "call_hangup"


def test_a_caller_can_wait_in_a_queue(sim: World) -> None:
    """Enqueue and leave_queue give their events."""
    call = sim.answer()
    sim.rest.ok(call.call_control_id, "enqueue", queue_name="support")
    enqueued = sim.application.wait_hook("call.enqueued").payload
    assert (enqueued["queue"], enqueued["current_position"]) == ("support", 1)
    sim.rest.ok(call.call_control_id, "leave_queue")
    assert sim.application.wait_hook("call.dequeued").payload["reason"] == "leave"


def test_commands_without_an_effect_here_are_accepted(sim: World) -> None:
    """Noise suppression and transcription are answered ok."""
    call = sim.answer()
    for action in ("suppression_start", "suppression_stop", "transcription_start"):
        assert sim.rest.ok(call.call_control_id, action) == {"result": "ok"}


def test_a_call_is_referred(sim: World) -> None:
    """Refer starts, completes, and the leg is over."""
    call = sim.answer()
    sim.rest.ok(call.call_control_id, "refer", sip_address="sip:desk@example.com")
    sim.application.wait_hook("call.refer.started")
    assert sim.application.wait_hook("call.refer.completed").payload["sip_notify_response"] == 200
    call.wait(PATIENCE)


def test_call_costs_come_when_the_application_wants_them(sim: World) -> None:
    """call.cost follows the hang-up."""
    path = f"/call_control_applications/{sim.simulator.connection_id}"
    sim.rest.request("PATCH", path, {"call_cost_in_webhooks": True})
    call = sim.answer()
    call.hang_up()
    payload = sim.application.wait_hook("call.cost").payload
    assert payload["status"] == "success"
    assert isinstance(payload["total_cost"], str)


def test_a_call_that_gets_no_command_in_time_is_hung_up(sim: World) -> None:
    """The application's first-command time limit."""
    path = f"/call_control_applications/{sim.simulator.connection_id}"
    body = {"first_command_timeout": True, "first_command_timeout_secs": 0.1}
    assert sim.rest.request("PATCH", path, body).status_code == 200
    call = sim.simulator.place_call()
    call.wait(PATIENCE)
    assert call.hangup_cause == "timeout"


def test_stopping_with_live_calls_ends_at_once() -> None:
    """The block ends within its deadline although calls and sockets are open."""
    with world() as sim:
        for _ in range(3):
            sim.stream()
        began = time.monotonic()
        sim.simulator.stop()
        sim.simulator.stop()
        assert time.monotonic() - began < PATIENCE


def test_a_wrong_script_is_refused_before_the_call(sim: World) -> None:
    """The step is named, and nothing rings."""
    with pytest.raises(ScriptError, match="step 2"):
        sim.simulator.place_call(caller=[{"wait": 1}, {"sing": "la"}])
    assert not sim.simulator.calls
