"""Commands to Telnyx, against a real HTTP server that answers as it is told."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from bridge.callcontrol import CallControl, is_call_ended
from bridge.errors import CommandError, SettingsError
from bridge.failures import where
from bridge.settings import Settings
from telnyx_media.sync.threads import ThreadGroup
from tests.loopback import PATIENCE, wait_until
from tests.loopback.http import Answer, ScriptedHttp, refusal

LEG = "v3:T02llQxIyaRkhfRKxgAP8nY511EhFLizdvdUKJiSw8d6A9BborherQ/+="
QUOTED = "v3%3AT02llQxIyaRkhfRKxgAP8nY511EhFLizdvdUKJiSw8d6A9BborherQ%2F%2B%3D"
KEY = "KEY0123456789ABCDEF_not_a_real_one"


@pytest.fixture
def http() -> Iterator[ScriptedHttp]:
    """Telnyx's REST API, scripted."""
    with ScriptedHttp() as server:
        yield server


@pytest.fixture
def control(http: ScriptedHttp) -> Iterator[CallControl]:
    """Commands that go there, and are patient for as long as a test may take."""
    with CallControl(KEY, base_url=http.url, patience=PATIENCE, timeout=PATIENCE) as control:
        yield control


def ids(http: ScriptedHttp) -> list[str]:
    """Get the command id of each request."""
    return [request.body["command_id"] for request in http.requests]


# -- what is sent ---------------------------------------------------------------------------------

COMMANDS: list[tuple[str, Callable[[CallControl], object], dict[str, Any]]] = [
    ("answer", lambda c: c.answer(LEG, client_state="YQ=="), {"client_state": "YQ=="}),
    ("reject", lambda c: c.reject(LEG, "CALL_REJECTED"), {"cause": "CALL_REJECTED"}),
    ("hangup", lambda c: c.hangup(LEG), {}),
    ("streaming_start", lambda c: c.streaming_start(LEG, stream_url="wss://x"),
     {"stream_url": "wss://x"}),
    ("streaming_stop", lambda c: c.streaming_stop(LEG), {}),
    ("speak", lambda c: c.speak(LEG, "Sorry.", "AWS.Polly.Joanna"),
     {"payload": "Sorry.", "voice": "AWS.Polly.Joanna"}),
    ("playback_start", lambda c: c.playback_start(LEG, audio_url="https://x/a.mp3"),
     {"audio_url": "https://x/a.mp3"}),
    ("playback_stop", lambda c: c.playback_stop(LEG, stop="all"), {"stop": "all"}),
    ("record_start", lambda c: c.record_start(LEG), {"format": "wav", "channels": "dual"}),
    ("record_stop", lambda c: c.record_stop(LEG), {}),
    ("record_pause", lambda c: c.record_pause(LEG), {}),
    ("record_resume", lambda c: c.record_resume(LEG), {}),
    ("send_dtmf", lambda c: c.send_dtmf(LEG, "12w#"), {"digits": "12w#"}),
    ("gather", lambda c: c.gather(LEG, maximum_digits=4), {"maximum_digits": 4}),
    ("gather_stop", lambda c: c.gather_stop(LEG), {}),
    ("transfer", lambda c: c.transfer(LEG, "+15550100001", from_="+15550100002"),
     {"to": "+15550100001", "from": "+15550100002"}),
    ("refer", lambda c: c.refer(LEG, "sip:desk@example.com"),
     {"sip_address": "sip:desk@example.com"}),
    ("bridge", lambda c: c.bridge(LEG, "v3:other"), {"call_control_id": "v3:other"}),
    ("enqueue", lambda c: c.enqueue(LEG, "support", max_wait_time_secs=60),
     {"queue_name": "support", "max_wait_time_secs": 60}),
    ("leave_queue", lambda c: c.leave_queue(LEG), {}),
    ("suppression_start", lambda c: c.suppression_start(LEG), {"direction": "inbound"}),
    ("suppression_stop", lambda c: c.suppression_stop(LEG), {}),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "send", "body"), COMMANDS, ids=[c[0] for c in COMMANDS])
def test_a_command_is_posted_to_its_leg(
    http: ScriptedHttp,
    control: CallControl,
    verb: str,
    send: Callable[[CallControl], object],
    body: dict[str, Any],
) -> None:
    """The leg's id is one percent-encoded path segment; key, fields and a fresh id go along."""
    send(control)
    (request,) = http.requests
    assert (request.method, request.path) == ("POST", f"/v2/calls/{QUOTED}/actions/{verb}")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert len(request.body.pop("command_id")) == 36
    assert request.body == body


def test_client_state_update_has_no_command_id(http: ScriptedHttp, control: CallControl) -> None:
    """It is the one action without; setting the state twice changes nothing."""
    control.client_state_update(LEG, "YQ==")
    assert http.requests[0].body == {"client_state": "YQ=="}


def test_a_field_that_is_none_is_left_out(http: ScriptedHttp, control: CallControl) -> None:
    """So that optional arguments can be passed through."""
    control.answer(LEG, client_state=None, send_silence_when_idle=True, command_id="mine")
    assert http.requests[0].body == {"send_silence_when_idle": True, "command_id": "mine"}


def test_every_command_has_an_id_of_its_own(http: ScriptedHttp, control: CallControl) -> None:
    """Two intended commands are two, even with equal fields."""
    control.send_dtmf(LEG, "1")
    control.send_dtmf(LEG, "1")
    first, second = ids(http)
    assert first != second


def test_a_recording_that_was_asked_for_is_named(http: ScriptedHttp, control: CallControl) -> None:
    """``answer`` says which recording it began."""
    http.answers.append(Answer(body={"data": {"result": "ok", "recording_id": "rec-1"}}))
    assert control.answer(LEG, record="record-from-answer").recording_id == "rec-1"


def test_a_dial_names_the_new_leg(http: ScriptedHttp, control: CallControl) -> None:
    """Before anybody has picked up."""
    http.answers.append(
        Answer(
            body={
                "data": {
                    "call_control_id": "v3:new",
                    "call_leg_id": "leg",
                    "call_session_id": "session",
                    "is_alive": False,
                    "record_type": "call",
                    "client_state": None,
                }
            }
        )
    )
    leg = control.dial(["+15550100001", "sip:a@b"], "+15550100002", "conn", timeout_secs=30)
    assert (leg.call_control_id, leg.call_leg_id, leg.is_alive) == ("v3:new", "leg", False)
    (request,) = http.requests
    assert request.path == "/v2/calls"
    assert len(request.body.pop("command_id")) == 36
    assert request.body == {
        "to": ["+15550100001", "sip:a@b"],
        "from": "+15550100002",
        "connection_id": "conn",
        "timeout_secs": 30,
    }


def test_the_state_of_a_leg(http: ScriptedHttp, control: CallControl) -> None:
    """Alive, or over; unknown is ``None``."""
    http.answers.extend(
        [
            Answer(body={"data": {"call_leg_id": "l", "is_alive": True, "call_duration": 7}}),
            refusal(404, "10005"),
        ]
    )
    status = control.status(LEG)
    assert status is not None
    assert (status.is_alive, status.duration, status.call_control_id) == (True, 7, LEG)
    assert control.status(LEG) is None
    assert [(r.method, r.path) for r in http.requests] == [("GET", f"/v2/calls/{QUOTED}")] * 2


# -- what is sent again ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        refusal(500, "10007"),
        refusal(503, "10037"),
        Answer(502, b"<html>bad gateway</html>"),
        Answer(504, b""),
        Answer(fault="drop"),
        Answer(fault="break off"),
    ],
    ids=["500", "503", "502 html", "504", "drop", "break off"],
)
def test_a_command_is_sent_again_with_the_same_id(
    http: ScriptedHttp, control: CallControl, failure: Answer
) -> None:
    """Server errors and lost answers: the same command, so that Telnyx does it once."""
    http.answers.extend([failure, failure])
    assert control.answer(LEG).result == "ok"
    assert len(http.requests) == 3
    assert len(set(ids(http))) == 1
    assert http.requests[0].body == http.requests[2].body


def test_no_answer_is_sent_again(http: ScriptedHttp) -> None:
    """A server that reads and says nothing is asked again."""
    http.answers.append(Answer(fault="hang"))
    with CallControl(KEY, base_url=http.url, patience=PATIENCE, timeout=0.1) as control:
        control.answer(LEG)
    assert len(set(ids(http))) == 1
    assert len(http.requests) == 2


def test_a_kept_connection_that_was_closed_costs_nothing(
    http: ScriptedHttp, control: CallControl
) -> None:
    """The server hung up between two commands; the second one is carried out all the same."""
    control.answer(LEG)
    http.drop_connections()
    control.hangup(LEG)
    assert [request.path.rpartition("/")[2] for request in http.requests] == ["answer", "hangup"]


def test_connections_are_kept(http: ScriptedHttp, control: CallControl) -> None:
    """A command does not pay for a handshake that an earlier one paid for."""
    for _ in range(5):
        control.send_dtmf(LEG, "1")
    assert http.connections == 1


def test_patience_has_an_end(http: ScriptedHttp, control: CallControl) -> None:
    """The last failure is the error; 0 seconds means once."""
    http.answers.append(refusal(503, "10037", "Service unavailable", "Try later"))
    with pytest.raises(CommandError) as caught:
        control.answer(LEG, patience=0)
    assert len(http.requests) == 1
    error = caught.value
    assert (error.command, error.code, error.http_status) == ("answer", "10037", 503)
    assert error.retryable
    assert str(error) == "answer: Service unavailable: Try later (HTTP 503, code 10037)"
    assert "patience" not in http.requests[0].body


def test_nobody_there() -> None:
    """A refused connection is said in one line, without the address."""
    with (
        CallControl(KEY, base_url="http://127.0.0.1:1/v2", patience=0.3) as control,
        pytest.raises(CommandError) as caught,
    ):
        control.hangup(LEG)
    assert str(caught.value) == "hangup: no answer from Telnyx: no connection could be made"
    assert caught.value.retryable
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("header", ["x-ratelimit-reset", "retry-after"])
def test_a_rate_limit_is_waited_for(http: ScriptedHttp, control: CallControl, header: str) -> None:
    """As long as Telnyx says, and no shorter."""
    http.answers.append(
        Answer(429, {"errors": [{"code": "10011", "title": "Too many"}]}, {header: "0.3"})
    )
    started = time.monotonic()
    control.answer(LEG)
    assert time.monotonic() - started >= 0.3
    assert len(set(ids(http))) == 1


def test_a_rate_limit_beyond_patience_is_an_error_at_once(
    http: ScriptedHttp, control: CallControl
) -> None:
    """Nobody waits for what will come too late."""
    http.answers.append(Answer(429, {}, {"x-ratelimit-reset": "3600"}))
    with pytest.raises(CommandError) as caught:
        control.answer(LEG)
    assert caught.value.retryable
    assert caught.value.http_status == 429
    assert len(http.requests) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "10009"), (403, "10010"), (422, "10015"), (422, "90017"), (422, "10011"),
     (422, "90018"), (404, "10005")],
)  # fmt: skip
def test_a_refusal_is_final(
    http: ScriptedHttp, control: CallControl, status: int, code: str
) -> None:
    """Asking again would not change it."""
    http.answers.append(refusal(status, code))
    with pytest.raises(CommandError) as caught:
        control.answer(LEG)
    assert (caught.value.http_status, caught.value.code) == (status, code)
    assert not caught.value.retryable
    assert len(http.requests) == 1


@pytest.mark.parametrize("code", ["90034", "90020"])
def test_too_early_may_be_tried_later(http: ScriptedHttp, control: CallControl, code: str) -> None:
    """Not by us: after the event that the caller waits for."""
    http.answers.append(refusal(422, code))
    with pytest.raises(CommandError) as caught:
        control.streaming_start(LEG)
    assert caught.value.retryable
    assert len(http.requests) == 1


def test_a_redirect_is_not_followed(http: ScriptedHttp, control: CallControl) -> None:
    """The key would go along."""
    http.answers.append(Answer(307, {}, {"Location": f"{http.url}/elsewhere"}))
    with pytest.raises(CommandError) as caught:
        control.answer(LEG)
    assert caught.value.http_status == 307
    assert len(http.requests) == 1


# -- a dial happens once --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        refusal(500, "10007"),
        refusal(503, "10037"),
        Answer(fault="drop"),
        Answer(fault="break off"),
    ],
    ids=["500", "503", "drop", "break off"],
)
def test_a_dial_that_may_have_arrived_is_never_sent_again(
    http: ScriptedHttp, control: CallControl, failure: Answer
) -> None:
    """Rather an error than two phones that ring."""
    http.answers.append(failure)
    with pytest.raises(CommandError):
        control.dial("+15550100001", "+15550100002", "conn")
    assert len(http.requests) == 1


def test_a_dial_without_an_answer_is_never_sent_again(http: ScriptedHttp) -> None:
    """The phone may be ringing."""
    http.answers.append(Answer(fault="hang"))
    with (
        CallControl(KEY, base_url=http.url, patience=PATIENCE, timeout=0.1) as control,
        pytest.raises(CommandError, match="did not answer in time"),
    ):
        control.dial("+15550100001", "+15550100002", "conn")
    assert len(http.requests) == 1


def test_a_dial_that_cannot_have_arrived_is_sent_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As long as no connection was made, nobody's phone rings."""
    with (
        CallControl(KEY, base_url="http://127.0.0.1:1/v2", patience=0.5) as control,
        pytest.raises(CommandError, match="no connection could be made"),
    ):
        control.dial("+15550100001", "+15550100002", "conn")
    assert "sending a command again" in caplog.text


def test_a_dial_refused_for_its_rate_is_sent_again(
    http: ScriptedHttp, control: CallControl
) -> None:
    """429 says that nothing was dialled."""
    http.answers.extend(
        [
            Answer(429, {"errors": [{"code": "90103"}]}, {"x-ratelimit-reset": "0"}),
            Answer(body={"data": {"call_control_id": "v3:new"}}),
        ]
    )
    assert control.dial("+15550100001", "+15550100002", "conn").call_control_id == "v3:new"
    assert len(set(ids(http))) == 1


def test_a_dial_has_a_connection_of_its_own(http: ScriptedHttp, control: CallControl) -> None:
    """A kept one may be dead without telling, and then nobody knows whether the dial arrived."""
    control.answer(LEG)
    http.answers.append(Answer(body={"data": {"call_control_id": "v3:new"}}))
    control.dial("+15550100001", "+15550100002", "conn")
    first, second = (request.connection for request in http.requests)
    assert first != second


def test_an_answer_to_a_dial_that_names_no_leg_is_an_error(
    http: ScriptedHttp, control: CallControl
) -> None:
    """There would be nothing to hang up."""
    http.answers.append(Answer(body=b"OK"))
    with pytest.raises(CommandError, match="names no call"):
        control.dial("+15550100001", "+15550100002", "conn")


# -- what counts as done --------------------------------------------------------------------------

OVER = [refusal(422, "90018"), refusal(422, "90015"), refusal(404, "10005"), Answer(404, b"")]


@pytest.mark.parametrize("answer", OVER, ids=["90018", "90015", "10005", "404"])
@pytest.mark.parametrize("verb", ["hangup", "reject"])
def test_ending_a_leg_that_is_over_succeeds(
    http: ScriptedHttp, control: CallControl, answer: Answer, verb: str
) -> None:
    """The purpose is reached."""
    http.answers.append(answer)
    assert getattr(control, verb)(LEG).result == "ok"
    assert len(http.requests) == 1


@pytest.mark.parametrize("answer", OVER, ids=["90018", "90015", "10005", "404"])
def test_other_commands_say_that_the_call_is_over(
    http: ScriptedHttp, control: CallControl, answer: Answer
) -> None:
    """Whoever wants to speak has to know."""
    http.answers.append(answer)
    with pytest.raises(CommandError) as caught:
        control.speak(LEG, "Hello", "voice")
    assert is_call_ended(caught.value)


def test_stopping_no_stream_succeeds(http: ScriptedHttp, control: CallControl) -> None:
    """90048; a call that is over is another matter."""
    http.answers.extend([refusal(422, "90048"), refusal(422, "90018")])
    assert control.streaming_stop(LEG).result == "ok"
    with pytest.raises(CommandError):
        control.streaming_stop(LEG)


def test_a_long_text_is_refused_here(http: ScriptedHttp, control: CallControl) -> None:
    """Before Telnyx cuts it or refuses it; the text is not in the error."""
    with pytest.raises(CommandError, match="limit is 3000") as caught:
        control.speak(LEG, "secret words " * 300, "voice")
    assert "secret" not in str(caught.value)
    assert http.requests == []


# -- many at once, and the end --------------------------------------------------------------------


def test_many_threads_share_one_control(http: ScriptedHttp, control: CallControl) -> None:
    """Nobody gets another's answer."""
    count = 24
    http.answers.extend(
        Answer(body={"data": {"result": "ok", "recording_id": "same"}}) for _ in range(count)
    )
    results: list[str] = []
    with ThreadGroup("commands") as group:
        for number in range(count):
            group.spawn(
                "cmd",
                lambda n: results.append(control.answer(f"leg-{n}").recording_id),
                number,
            )
        wait_until(lambda: len(results) == count)
    assert results == ["same"] * count
    assert {request.path for request in http.requests} == {
        f"/v2/calls/leg-{n}/actions/answer" for n in range(count)
    }


def test_closing_ends_the_waiting(http: ScriptedHttp) -> None:
    """Whoever waits for another attempt is told within that moment."""
    http.answers.append(Answer(429, {}, {"retry-after": "40"}))
    control = CallControl(KEY, base_url=http.url)
    errors: list[CommandError] = []
    done = threading.Event()

    def command() -> None:
        try:
            control.answer(LEG)
        except CommandError as error:
            errors.append(error)
        done.set()

    with ThreadGroup("commands") as group:
        group.spawn("cmd", command)
        wait_until(lambda: http.requests)
        control.close()
        control.close()
        assert done.wait(PATIENCE)
    assert "the bridge is stopping" in str(errors[0])
    assert len(http.requests) == 1


@pytest.mark.parametrize("once", [False, True], ids=["command", "dial"])
@pytest.mark.parametrize(
    "answer",
    [Answer(), refusal(422, "10015"), Answer(503), Answer(fault="break off")],
    ids=["done", "refused", "failed", "broken off"],
)
def test_close_closes_though_somebody_still_holds_what_came(
    http: ScriptedHttp, answer: Answer, once: bool
) -> None:
    """An error that is kept, with its traceback, keeps no connection open."""

    def served() -> bool:
        return any("process_request" in thread.name for thread in threading.enumerate())

    http.answers.append(answer)
    kept: list[object] = []
    with CallControl(KEY, base_url=http.url, patience=0.0) as control:
        try:
            kept.append(control.dial("+1", "+2", "3") if once else control.answer(LEG))
        except CommandError as error:
            kept.append(error)
    wait_until(lambda: not served())
    assert len(kept) == 1


def test_an_error_leads_to_no_request(http: ScriptedHttp, control: CallControl) -> None:
    """Neither its causes nor the frames of its traceback hold what was sent, or the key."""
    http.answers.append(refusal(422, "10015"))
    with pytest.raises(CommandError) as caught:
        control.answer(LEG)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    held = [value for frame in frames for value in frame.f_locals.values()]
    assert not [value for value in held if isinstance(value, requests.Response)]


# -- what is kept quiet ---------------------------------------------------------------------------


def test_nothing_of_a_call_is_logged(
    http: ScriptedHttp, control: CallControl, caplog: pytest.LogCaptureFixture
) -> None:
    """Numbers, words, keys and tokens, in log lines and in errors."""
    caplog.set_level(logging.DEBUG)
    http.answers.extend(
        [
            refusal(500, "10007", "Internal", "could not dial +15550100001"),
            Answer(),
            refusal(422, "10016", "Not E.164", f"+15550100001 with Bearer {KEY} at"
                    " wss://x.example/telnyx/media/tokentoken"),
        ]
    )  # fmt: skip
    control.transfer(LEG, "+15550100001")
    with pytest.raises(CommandError) as caught:
        control.transfer(LEG, "+15550100001")
    said = str(caught.value) + "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("bridge")
    )
    assert "sending a command again" in said
    for secret in ("5550100001", KEY, "tokentoken"):
        assert secret not in said


# -- settings -------------------------------------------------------------------------------------


def test_it_is_made_from_settings(http: ScriptedHttp) -> None:
    """Key and address of the environment."""
    environ = {"TELNYX_API_KEY": KEY, "TELNYX_API_URL": http.url}
    with CallControl.from_settings(Settings.from_environ(environ)) as control:
        control.hangup(LEG)
    assert http.requests[0].headers["authorization"] == f"Bearer {KEY}"
    with pytest.raises(SettingsError, match="TELNYX_API_KEY"):
        CallControl.from_settings(Settings.from_environ({}))


def test_what_telnyx_says_is_in_no_log_line(http: ScriptedHttp, control: CallControl) -> None:
    """It may repeat what it was sent: a number, keys, the text that was to be spoken."""
    http.answers.append(refusal(422, "90020", "Invalid", "digits 4711 are not keys"))
    with pytest.raises(CommandError) as caught:
        control.send_dtmf(LEG, "4711")
    assert "4711" in str(caught.value)
    assert where(caught.value).startswith("CommandError at ")
    assert "4711" not in where(caught.value)
