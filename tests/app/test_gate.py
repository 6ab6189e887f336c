"""Who knocks too often, and who takes too long."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from bridge.call import Call
from bridge.gate import BURST, SOURCES, Gate
from tests.app.phone import phone_line
from tests.app.test_app import ENVIRON
from tests.app.test_gunicorn import Gunicorn
from tests.loopback import PATIENCE
from tests.loopback.http import ScriptedHttp
from tests.loopback.web import event, post


def quiet(call: Call) -> None:
    """Hear the caller out."""
    for _ in call.turns():
        pass


def test_a_source_is_let_in_again_after_a_while() -> None:
    """The gate shuts after a burst, says so once, and forgives with time."""
    now = 1000.0
    gate = Gate(burst=3, per_minute=60, clock=lambda: now)
    assert [gate.refuse("a") for _ in range(5)] == [False, False, True, False, False]
    assert gate.is_shut("a")
    assert not gate.is_shut("b")
    now += 1.5
    assert not gate.is_shut("a")


def test_sources_are_not_remembered_without_end() -> None:
    """A hundred thousand addresses take no more room than ten thousand."""
    gate = Gate()
    for number in range(SOURCES + 100):
        gate.refuse(f"source {number}")
    assert len(gate._refused) == SOURCES


def get(address: str, **headers: str) -> int:
    """Ask for a page on a connection of its own; get the status."""
    headers["Connection"] = "close"
    return requests.get(address, headers=headers, timeout=4 * PATIENCE).status_code


def test_guessing_tokens_is_answered_with_429_and_calls_go_on() -> None:
    """Webhooks that are signed are let through even from the same address."""
    with phone_line(quiet) as phone:
        guess = f"{phone.url}/telnyx/media/guess"
        # A few are forgiven meanwhile.
        statuses = iter(lambda: get(guess), 429)
        assert {status for status, _ in zip(statuses, range(10 * BURST), strict=False)} == {426}
        assert get(guess) == 429
        assert get(f"{phone.url}/healthz") == 200
        # Another address is not concerned.
        assert get(guess, **{"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}) == 426
        call = phone.call()
        call.wait_for(lambda c: c.answered_at is not None, 4 * PATIENCE)
        call.hang_up()
        phone.seen.summary()


def test_an_unsigned_webhook_is_refused_however_often() -> None:
    """401 each time: nothing else would be true."""
    with phone_line(quiet) as phone:
        answers = [post(phone.url, event("call.hangup"), {}).status_code for _ in range(BURST + 3)]
    assert set(answers) == {401}


@pytest.mark.slow
def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    """A client who stops half-way holds a thread for some seconds, under the real server."""
    with (
        ScriptedHttp() as telnyx,
        Gunicorn(tmp_path / "output", **ENVIRON, TELNYX_API_URL=telnyx.url) as server,
    ):
        server.wait_ready()
        where = urlsplit(server.url)
        with socket.create_connection((where.hostname, where.port or 0), 4 * PATIENCE) as client:
            client.sendall(
                b"POST /telnyx/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
            )
            assert client.recv(1000).startswith(b"HTTP/1.1 408")
        assert "Traceback" not in server.output
