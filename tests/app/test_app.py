"""The application, wired: from the environment to the first command of a call."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest
import requests

import bridge
from bridge.app import Bridge, create_app, load_app
from bridge.call import Call
from bridge.errors import AgentError, SettingsError
from bridge.settings import Settings
from tests.loopback import PATIENCE, wait_until
from tests.loopback.http import ScriptedHttp
from tests.loopback.web import PUBLIC_KEY, event, post, serving

_home = TemporaryDirectory(prefix="bridge-home-")
atexit.register(_home.cleanup)

ENVIRON = {
    "TELNYX_API_KEY": "KEY0123456789ABCDEF_not_a_real_one",
    "TELNYX_PUBLIC_KEY": PUBLIC_KEY,
    "PUBLIC_URL": "https://calls.example.com",
    # Nobody listens there; these tests have no media.
    "TELNYX_STT_URL": "ws://127.0.0.1:1/stt",
    "TELNYX_TTS_URL": "ws://127.0.0.1:1/tts",
    # What is kept of their calls goes with the process.
    "BRIDGE_HOME": _home.name,
}


def silent(call: Call) -> None:
    """Be an agent that says nothing."""
    for _ in call.turns():
        pass


@pytest.fixture
def telnyx() -> Iterator[ScriptedHttp]:
    """Telnyx's REST API; takes every command."""
    with ScriptedHttp() as server:
        yield server


def settings(telnyx: ScriptedHttp | None = None, **environ: str) -> Settings:
    """Make settings that are enough to take calls."""
    given = {**ENVIRON, **environ}
    if telnyx is not None:
        given["TELNYX_API_URL"] = telnyx.url
    return Settings.from_environ(given)


def commands(telnyx: ScriptedHttp) -> list[str]:
    """Name the commands that Telnyx got."""
    return [request.path.rpartition("/")[2] for request in telnyx.requests]


@pytest.fixture
def served(telnyx: ScriptedHttp) -> Iterator[tuple[str, Bridge]]:
    """The application with room for one call, served."""
    app = create_app(settings(telnyx, BRIDGE_MAX_CALLS="1"), agent=silent)
    made = app.extensions["bridge"]
    assert isinstance(made, Bridge)
    with serving(app) as url:
        try:
            yield url, made
        finally:
            made.close()


def ready(url: str) -> tuple[int, str]:
    """Ask whether calls are taken."""
    answer = requests.get(f"{url}/readyz", timeout=PATIENCE)
    return answer.status_code, answer.text.strip()


def test_public_names_are_where_users_look_for_them() -> None:
    """``from bridge import Call, CallEnded, Turn, Reply``."""
    assert bridge.Call is Call
    assert {"Call", "CallEnded", "Turn", "Reply"} <= set(dir(bridge))
    assert issubclass(bridge.CallEnded, Exception)
    with pytest.raises(AttributeError, match="no attribute 'Calls'"):
        _ = bridge.Calls


def test_alive_and_ready(served: tuple[str, Bridge]) -> None:
    """Two questions: is the process there, and does it take calls."""
    url, _ = served
    assert requests.get(f"{url}/healthz", timeout=PATIENCE).status_code == 200
    assert ready(url) == (200, "ready")


def test_an_incoming_call_is_answered_with_a_stream(
    served: tuple[str, Bridge], telnyx: ScriptedHttp
) -> None:
    """Once, however often the webhook is delivered; to an address with a token of its own."""
    url, made = served
    body = event("call.initiated", direction="incoming", state="parked")
    assert [post(url, body).status_code for _ in range(3)] == [200] * 3
    wait_until(lambda: telnyx.requests)
    assert len(made.switchboard.legs()) == 1
    assert post(url, event("call.hangup", hangup_cause="normal_clearing")).status_code == 200
    wait_until(lambda: not made.switchboard.legs())
    (answer, *more) = telnyx.requests
    assert [request.path.rpartition("/")[2] for request in more] in ([], ["hangup"])
    assert answer.path == "/v2/calls/v3%3Aleg/actions/answer"
    assert answer.body["stream_url"].startswith("wss://calls.example.com/telnyx/media/")
    assert len(answer.body["stream_url"].rpartition("/")[2]) >= 32
    assert answer.body["stream_bidirectional_mode"] == "rtp"
    assert answer.body["stream_bidirectional_target_legs"] == "self"


def test_a_full_process_is_not_ready(served: tuple[str, Bridge], telnyx: ScriptedHttp) -> None:
    """The call beyond the limit hears that the line is busy; the one before it does not notice."""
    url, made = served
    post(url, event("call.initiated", direction="incoming"))
    wait_until(lambda: ready(url) == (503, "full"))
    post(
        url,
        event("call.initiated", direction="incoming", call_control_id="v3:2", call_leg_id="2"),
    )
    wait_until(lambda: "reject" in commands(telnyx))
    reject = next(r for r in telnyx.requests if r.path.endswith("/reject"))
    assert reject.path == "/v2/calls/v3%3A2/actions/reject"
    assert reject.body["cause"] == "USER_BUSY"
    assert len(made.switchboard.legs()) == 1
    post(url, event("call.hangup"))
    wait_until(lambda: ready(url) == (200, "ready"))


def test_draining_waits_for_calls_and_takes_no_new_ones(
    served: tuple[str, Bridge], telnyx: ScriptedHttp
) -> None:
    """A call that is left when time is up is hung up."""
    url, made = served
    post(url, event("call.initiated", direction="incoming"))
    wait_until(lambda: made.switchboard.legs())
    made.drain(0.05)
    assert ready(url) == (503, "draining")
    assert made.switchboard.legs() == []
    assert "hangup" in commands(telnyx)
    new = event("call.initiated", direction="incoming", call_control_id="v3:2", call_leg_id="2")
    assert post(url, new).status_code == 503
    assert requests.get(f"{url}/healthz", timeout=PATIENCE).status_code == 200


def test_closing_ends_calls_and_threads(served: tuple[str, Bridge], telnyx: ScriptedHttp) -> None:
    """Twice is once; what comes afterwards is refused."""
    url, made = served
    post(url, event("call.initiated", direction="incoming"))
    wait_until(lambda: made.switchboard.legs())
    made.close()
    made.close()
    assert made.switchboard.legs() == []
    assert post(url, event("call.hangup")).status_code == 503


def test_making_the_application_starts_no_thread() -> None:
    """So it may be made before a server forks; the thread guard of the tests sees to the rest."""
    create_app(settings(), agent=silent)


def test_an_application_without_settings_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of it."""
    for name in Settings.variables().values():
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError) as caught:
        create_app()
    assert [line.split()[0] for line in str(caught.value).splitlines()] == [
        "TELNYX_API_KEY",
        "TELNYX_PUBLIC_KEY",
        "PUBLIC_URL",
    ]


def test_an_agent_that_cannot_be_loaded_is_one_error() -> None:
    """Found when the process starts, not by the first caller."""
    with pytest.raises(AgentError, match="BRIDGE_AGENT"):
        create_app(settings(BRIDGE_AGENT="bridge.nobody:answer"))


def test_a_server_gets_lines_instead_of_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is the one that keeps gunicorn from trying again for ever."""
    for name in Settings.variables().values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BRIDGE_CODEC", "mp3")
    with pytest.raises(SystemExit) as caught:
        load_app()
    assert caught.value.code == 4
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 4
    assert all(line.startswith("bridge: ") for line in printed)


def test_pages_that_are_not_there(served: tuple[str, Bridge]) -> None:
    """No route but ours."""
    url, _ = served
    for path in ("/", "/dashboard", "/api/calls", "/static/x"):
        assert requests.get(url + path, timeout=PATIENCE).status_code == 404
