"""Who may hear a live call, what they hear, and that the call does not notice."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from bridge import Call
from bridge.listenin import MOST
from bridge.simulator import SimulatedCall
from telnyx_media.pcm import rms
from tests.app.dashboards import PASSWORD, Visitor
from tests.app.pair import pair
from tests.app.phone import Phone, phone_line
from tests.loopback import PATIENCE, wait_until

LONG = 6 * PATIENCE
ON = {"BRIDGE_DASHBOARD_PASSWORD": PASSWORD, "BRIDGE_LISTEN_IN": "on"}


@contextlib.contextmanager
def signed_in(url: str) -> Iterator[requests.Session]:
    """Sign in as a person would."""
    with Visitor(url) as visitor:
        assert visitor.sign_in().status_code == 303
        yield visitor.session


def address(url: str, call: SimulatedCall) -> str:
    """Where a call is listened to."""
    return f"{url}/dashboard/calls/{call.id}/live.wav"


def talker(done: threading.Event) -> object:
    """Make an agent that says a long thing."""

    def agent(call: Call) -> None:
        call.say("There is much to be told about this. " * 20, interruptible=False)
        done.wait(LONG)

    return agent


@contextlib.contextmanager
def talking(**variables: str) -> Iterator[tuple[Phone, SimulatedCall, threading.Event]]:
    """Have a call on which the agent talks."""
    done = threading.Event()
    with phone_line(talker(done), **variables) as phone:  # type: ignore[arg-type]
        try:
            call = phone.call({"play": phone.speech, "when": "now"}, {"wait": 60})
            phone.wait_for_agent_audio(call)
            wait_until(lambda: phone.bridge.books.store.call(call.id) is not None)
            yield phone, call, done
        finally:
            done.set()


def heard(stream: Iterator[bytes], seconds: float) -> tuple[int, int]:
    """Read so much of a stereo WAV stream of 8 kHz; how loud each side was."""
    data = b""
    while len(data) < 44 + int(4 * 8000 * seconds):
        data += next(stream)
    assert data[:4] == b"RIFF"
    pcm = data[44:]
    left = b"".join(pcm[at : at + 2] for at in range(0, len(pcm), 4))
    right = b"".join(pcm[at + 2 : at + 4] for at in range(0, len(pcm), 4))
    return rms(left), rms(right)


def test_both_sides_are_heard_while_the_call_goes_on() -> None:
    """As a WAV file that grows; it ends with the call, and nothing of it is on a disk."""
    with talking(**ON) as (phone, call, _), signed_in(phone.url) as session:
        answer = session.get(address(phone.url, call), stream=True, timeout=LONG)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "audio/wav"
        stream = answer.iter_content(4096)
        assert heard(stream, 2.0)[1] > 500
        call.hang_up()
        for _ in stream:
            pass
        assert phone.seen.summary().reason == "caller"
        home = phone.bridge.settings.home
        assert not list(Path(home).rglob("*.wav*"))


def test_it_is_off_unless_it_was_switched_on() -> None:
    """There is no such route, and the page does not speak of it."""
    only = {"BRIDGE_DASHBOARD_PASSWORD": PASSWORD}
    with talking(**only) as (phone, call, _), signed_in(phone.url) as session:
        assert session.get(address(phone.url, call), timeout=LONG).status_code == 404
        page = session.get(f"{phone.url}/dashboard/calls/{call.id}", timeout=LONG)
        assert "Listen in" not in page.text


def test_nobody_hears_anything_without_the_password() -> None:
    """They are sent to where they could type it."""
    with talking(**ON) as (phone, call, _):
        answer = requests.get(address(phone.url, call), allow_redirects=False, timeout=LONG)
        assert answer.status_code in (302, 303, 401, 403)
        assert "audio" not in answer.headers["Content-Type"]


def test_a_few_may_listen_at_once() -> None:
    """Each holds a thread of the server; whoever leaves makes room for another."""
    with talking(**ON) as (phone, call, _):
        listeners = phone.bridge.switchboard.listeners
        ears = [listeners.open(call.id) for _ in range(MOST)]
        assert listeners.open(call.id) == "busy"
        assert listeners.open("somebody else") == "nobody"
        first = ears[0]
        assert not isinstance(first, str)
        first.leave()
        first.leave()
        again = listeners.open(call.id)
        assert not isinstance(again, str)
        again.leave()
        call.hang_up()
        phone.seen.summary()
        # Those who stayed hear the end.
        for ear in ears[1:]:
            assert not isinstance(ear, str)
            assert list(ear.hear())


@pytest.mark.parametrize("held_by", [0, 1])
def test_a_call_of_another_process_is_heard(held_by: int, tmp_path: Path) -> None:
    """The listener's connection goes to the process that holds the call."""
    done = threading.Event()
    shared = {**ON, "DATABASE_URL": f"sqlite:///{tmp_path}/calls.db"}
    with pair(talker(done), **shared) as line, signed_in(line.url) as session:  # type: ignore[arg-type]
        line.to = lambda environ: 1 if environ["PATH_INFO"].startswith("/dashboard") else held_by
        try:
            call = line.simulator.place_call()
            call.wait_for(lambda c: c.media, LONG)
            wait_until(lambda: line.bridges[1].books.store.call(call.id) is not None)
            answer = session.get(address(line.url, call), stream=True, timeout=LONG)
            assert answer.status_code == 200
            assert heard(answer.iter_content(4096), 1.0)[1] > 500
            answer.close()
        finally:
            done.set()
            call.hang_up()
        assert line.seen[held_by].summary().reason == "caller"
