"""The webhook route, under a real server."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask

from bridge.events import Event
from bridge.webhooks import BODY_LIMIT, WebhookReceiver, make_blueprint
from bridge.workpool import WorkPool
from telnyx_media.sync.threads import ThreadGroup
from tests.loopback import PATIENCE, wait_until
from tests.loopback.web import PUBLIC_KEY, event, post, serving, signed


class Desk:
    """What the webhooks are passed on to.

    Attributes:
        events: that came, in order of arrival.
        gate: closed, it holds up the events of one leg.
        slow_leg: whose events wait at the gate.
        takes_calls: whether a new call may begin.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.gate = threading.Event()
        self.slow_leg = ""
        self.takes_calls = True

    def handle(self, event: Event) -> None:
        """Take an event."""
        if event.payload.call_leg_id == self.slow_leg:
            assert self.gate.wait(PATIENCE)
        self.events.append(event)

    def types(self) -> list[str]:
        """Name what came."""
        return [event.event_type for event in self.events]


@pytest.fixture
def desk() -> Desk:
    """Where events end up."""
    return Desk()


@pytest.fixture
def pool() -> Iterator[WorkPool]:
    """A small pool."""
    with WorkPool(size=4, limit=8) as pool:
        yield pool


@pytest.fixture
def url(desk: Desk, pool: WorkPool) -> Iterator[str]:
    """The route, served."""
    app = Flask("bridge.test")
    receiver = WebhookReceiver(PUBLIC_KEY, desk.handle, pool, takes_calls=lambda: desk.takes_calls)
    app.register_blueprint(make_blueprint(receiver))
    with serving(app) as url:
        yield url


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Get our warnings."""
    return [r.getMessage() for r in caplog.records if r.name == "bridge.webhooks"]


def test_a_signed_webhook_is_acknowledged_and_passed_on(url: str, desk: Desk) -> None:
    """200 and next to no body."""
    answer = post(url, event("call.initiated", "e1", direction="incoming"))
    assert answer.status_code == 200
    assert len(answer.content) < 10
    wait_until(lambda: desk.events)
    assert desk.events[0].id == "e1"
    assert desk.events[0].payload.from_number == "+15550100001"


def test_the_answer_does_not_wait_for_the_work(url: str, desk: Desk) -> None:
    """However slow it is; and the events of other legs go on."""
    desk.slow_leg = "leg"
    assert post(url, event("call.initiated")).status_code == 200
    assert post(url, event("call.hangup")).status_code == 200
    assert post(url, event("call.answered", call_leg_id="other")).status_code == 200
    wait_until(lambda: desk.types() == ["call.answered"])
    desk.gate.set()
    wait_until(lambda: desk.types() == ["call.answered", "call.initiated", "call.hangup"])


# Made when the test runs: a signature is good for five minutes only.
REFUSED: dict[str, tuple[Callable[[], dict[str, str]], str]] = {
    "unsigned": (dict, "not signed"),
    "other body": (lambda: signed(b"another body"), "does not hold"),
    "bad time": (
        lambda: {**signed(event("call.initiated", "e1")), "Telnyx-Timestamp": "soon"},
        "not a number",
    ),
    "stale": (lambda: signed(event("call.initiated", "e1"), at=1_000_000_000), "s old"),
    "no base64": (
        lambda: {**signed(b""), "Telnyx-Signature-Ed25519": "!!"},
        "not base64",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_webhook_that_is_not_telnyxs_is_refused(
    url: str, desk: Desk, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """401, one log line that quotes nothing, and nobody hears of it."""
    headers, says = REFUSED[kind]
    answer = post(url, event("call.initiated", "e1"), headers())
    assert answer.status_code == 401
    (line,) = refusals(caplog)
    assert line.startswith("refused a webhook: ")
    assert says in line
    assert "e1" not in line
    assert desk.events == []


def test_a_changed_body_is_refused(url: str, desk: Desk) -> None:
    """The raw bytes are what is signed: re-serialised JSON does not hold."""
    body = event("call.initiated")
    assert post(url, body.replace(b": ", b":"), signed(body)).status_code == 401
    assert post(url, body, signed(body)).status_code == 200
    wait_until(lambda: len(desk.events) == 1)


def test_an_unknown_event_is_acknowledged_and_ignored(
    url: str, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Telnyx adds types without notice."""
    caplog.set_level(logging.INFO, "bridge")
    assert post(url, event("call.levitated")).status_code == 200
    assert post(url, event("call.hangup")).status_code == 200
    wait_until(lambda: desk.types() == ["call.hangup"])
    assert refusals(caplog) == []


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"event_type": "call_initiated"}'])
def test_a_signed_body_that_is_no_event_is_a_bad_request(
    url: str, desk: Desk, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    """An application set to API version 1, for one."""
    assert post(url, body).status_code == 400
    assert len(refusals(caplog)) == 1
    assert desk.events == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_only_post(url: str, method: str) -> None:
    """What is signed of a GET webhook is not documented."""
    answer = requests.request(method, f"{url}/telnyx/webhook", timeout=PATIENCE)
    assert answer.status_code == 405


def test_a_long_body_is_refused(url: str, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """By its length, before it is read."""
    body = event("call.initiated", filler="x" * BODY_LIMIT)
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    # The headers only: the answer comes although the body never does.
    connection.putrequest("POST", "/telnyx/webhook")
    for name, value in signed(body).items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    (line,) = refusals(caplog)
    assert "longer than" in line
    assert desk.events == []


def test_a_full_pool_asks_to_come_again(
    url: str, desk: Desk, pool: WorkPool, caplog: pytest.LogCaptureFixture
) -> None:
    """503: Telnyx brings it again, and then it is taken."""
    desk.slow_leg = "leg"
    for _ in range(pool.limit):
        assert post(url, event("call.answered")).status_code == 200
    body = event("call.hangup", "again")
    answer = post(url, body)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert len(refusals(caplog)) == 1
    desk.gate.set()
    wait_until(lambda: len(pool) == 0)
    assert post(url, body).status_code == 200
    wait_until(lambda: desk.types()[-1] == "call.hangup")


def test_a_stopping_process_leaves_new_calls_to_others(url: str, desk: Desk) -> None:
    """The events of its own calls it takes."""
    desk.takes_calls = False
    assert post(url, event("call.initiated", direction="incoming")).status_code == 503
    assert post(url, event("call.hangup")).status_code == 200
    assert post(url, event("call.initiated", direction="outgoing")).status_code == 200
    wait_until(lambda: sorted(desk.types()) == ["call.hangup", "call.initiated"])


def test_a_recording_keeps_its_place_among_its_legs_events(url: str, desk: Desk) -> None:
    """Although it has no ``call_control_id``: the leg is what orders them."""
    desk.slow_leg = "leg"
    post(url, event("call.hangup"))
    post(url, event("call.recording.saved", call_control_id=None))
    desk.gate.set()
    wait_until(lambda: desk.types() == ["call.hangup", "call.recording.saved"])


def test_two_hundred_webhooks_at_once(desk: Desk) -> None:
    """From many connections: every one is acknowledged, every leg's in order."""
    app = Flask("bridge.test")
    answers: list[int] = []
    with WorkPool(size=4) as pool:
        app.register_blueprint(make_blueprint(WebhookReceiver(PUBLIC_KEY, desk.handle, pool)))
        with serving(app) as url, ThreadGroup("test") as group:

            def leg(number: int) -> None:
                for step in ("call.initiated", "call.answered", "streaming.started", "call.hangup"):
                    body = event(step, call_leg_id=str(number))
                    answers.append(post(url, body).status_code)

            for number in range(50):
                group.spawn("leg", leg, number)
            wait_until(lambda: len(desk.events) == 200)
    assert answers == [200] * 200
    for number in range(50):
        mine = [e.event_type for e in desk.events if e.payload.call_leg_id == str(number)]
        assert mine == ["call.initiated", "call.answered", "streaming.started", "call.hangup"]


def test_a_peer_that_vanishes_while_sending_harms_nobody(url: str, desk: Desk) -> None:
    """Half a webhook is none."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port or 0), PATIENCE) as sock:
        sock.sendall(b"POST /telnyx/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")
    assert post(url, event("call.hangup")).status_code == 200
    wait_until(lambda: desk.types() == ["call.hangup"])


def test_the_clock_is_read_for_each_webhook(desk: Desk) -> None:
    """A receiver that lives long does not grow deaf."""
    now = time.time()
    clock = iter([now, now + 301])
    with WorkPool(size=1) as pool:
        receiver = WebhookReceiver(PUBLIC_KEY, desk.handle, pool, clock=lambda: next(clock))
        body = event("call.hangup")
        headers = signed(body, at=now)
        arguments = (headers["Telnyx-Signature-Ed25519"], headers["Telnyx-Timestamp"], body)
        assert receiver.receive(*arguments) == 200
        assert receiver.receive(*arguments) == 401
