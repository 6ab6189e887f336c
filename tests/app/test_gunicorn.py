"""The server as it runs in production: gunicorn, its own process, real signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect

from telnyx_media.frames import Connected, Media, Start, Stop, encode_frame
from tests.app.test_app import ENVIRON, commands
from tests.loopback import PATIENCE, wait_until
from tests.loopback.http import ScriptedHttp
from tests.loopback.servers import WebSocketPeer
from tests.loopback.web import event, post

ROOT = Path(__file__).parents[2]

# Starting takes seconds of importing on a busy machine.
START = PATIENCE * 6

pytestmark = pytest.mark.slow


class Gunicorn:
    """One running server; use it as a ``with`` block.

    Attributes:
        url: its address, once it is ready.
    """

    def __init__(self, output: Path, *arguments: str, **environ: str) -> None:
        self._output = output
        self.url = ""
        # Nothing of the machine's own environment but what a program needs to run.
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *arguments, "wsgi:app"],
                cwd=ROOT,
                env={**kept, "PORT": "0", **environ},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text()

    def wait_ready(self) -> None:
        """Wait until it takes calls."""
        limit = time.monotonic() + START
        while time.monotonic() < limit:
            assert self.process.poll() is None, self.output
            found = re.search(r"Listening at: http://0\.0\.0\.0:(\d+)", self.output)
            if found:
                self.url = f"http://127.0.0.1:{found[1]}"
                try:
                    if self.get("/readyz") == 200:
                        return
                except requests.RequestException:
                    continue
            time.sleep(0.05)
        raise AssertionError(f"not ready in time: {self.output}")

    def get(self, path: str) -> int:
        """Ask for a page on a connection of its own; get the status."""
        headers = {"Connection": "close"}
        return requests.get(self.url + path, headers=headers, timeout=PATIENCE).status_code

    def __enter__(self) -> Gunicorn:
        return self

    def __exit__(self, *_: object) -> None:
        # The whole session, which is this server and its worker.
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


@pytest.fixture
def telnyx() -> Iterator[ScriptedHttp]:
    """Telnyx's REST API; takes every command."""
    with ScriptedHttp() as server:
        yield server


@pytest.fixture
def server(telnyx: ScriptedHttp, tmp_path: Path) -> Iterator[Gunicorn]:
    """The server, ready, with a short patience for calls."""
    with Gunicorn(
        tmp_path / "output",
        **ENVIRON,
        TELNYX_API_URL=telnyx.url,
        BRIDGE_AGENT="bridge.agents.echo:answer",
        BRIDGE_DRAIN_SECONDS="20",
    ) as server:
        server.wait_ready()
        yield server


def test_a_deploy_while_a_call_is_on(server: Gunicorn, telnyx: ScriptedHttp) -> None:
    """SIGTERM: the call goes on with its webhooks, new ones are left to others, then the end."""
    call = event("call.initiated", direction="incoming")
    assert post(server.url, call).status_code == 200
    wait_until(lambda: "answer" in commands(telnyx))
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: server.get("/readyz") == 503, "not ready")
    assert server.get("/healthz") == 200
    new = event("call.initiated", direction="incoming", call_control_id="v3:2", call_leg_id="2")
    assert post(server.url, new).status_code == 503
    assert server.process.poll() is None
    assert post(server.url, event("call.hangup", hangup_source="caller")).status_code == 200
    # Far below the twenty seconds that the call might have taken.
    assert server.process.wait(PATIENCE * 2) == 0
    assert "reject" not in commands(telnyx)


def test_a_call_is_never_cut_by_the_server(telnyx: ScriptedHttp, tmp_path: Path) -> None:
    """Not by ``timeout``, however short, and not by SIGTERM: its media go on until it is over."""
    with (
        WebSocketPeer(lambda stt: stt.hang()) as stt,
        Gunicorn(
            tmp_path / "output",
            "--timeout",
            "2",
            **{**ENVIRON, "TELNYX_STT_URL": stt.url},
            TELNYX_API_URL=telnyx.url,
            BRIDGE_AGENT="tests.loopback.agents:listener",
        ) as server,
    ):
        server.wait_ready()
        post(server.url, event("call.initiated", direction="incoming"))
        wait_until(lambda: "answer" in commands(telnyx))
        token = telnyx.requests[0].body["stream_url"].rpartition("/")[2]
        address = f"{server.url.replace('http', 'ws')}/telnyx/media/{token}"
        with connect(address, compression=None) as media:
            media.send(encode_frame(Connected("1.0.0")))
            media.send(encode_frame(Start(stream_id="s", call_control_id="v3:leg")))
            post(server.url, event("call.answered"))
            # Twice what the server would wait for a request that it watches, and some more.
            send_silence(media, 5.0)
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: server.get("/readyz") == 503, "not ready")
            send_silence(media, 1.0, first=250)
            assert media.state is State.OPEN
            media.send(encode_frame(Stop(call_control_id="v3:leg")))
        post(server.url, event("call.hangup", hangup_source="caller"))
        assert server.process.wait(PATIENCE * 2) == 0
        assert "TIMEOUT" not in server.output
        # Six seconds of 8 kHz in 16 bits or 8, less what was on its way.
        assert sum(stt.conversations[0].sizes) > 8000 * 5.5


def send_silence(media: ClientConnection, seconds: float, *, first: int = 0) -> None:
    """Send packets of silence at the pace of a call; the time it takes is what is tested."""
    started = time.monotonic()
    for number in range(int(seconds * 50)):
        media.send(encode_frame(Media(b"\xff" * 160, chunk_number=first + number + 1)))
        time.sleep(max(0.0, started + number * 0.02 - time.monotonic()))


def test_a_server_without_calls_ends_at_once(server: Gunicorn) -> None:
    """Nothing is waited for that is not there."""
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE * 2) == 0


def test_nobody_waits_for_a_call_for_ever(telnyx: ScriptedHttp, tmp_path: Path) -> None:
    """When the time to drain is over, the calls that are left are hung up."""
    with Gunicorn(
        tmp_path / "output",
        **ENVIRON,
        TELNYX_API_URL=telnyx.url,
        BRIDGE_AGENT="bridge.agents.echo:answer",
        BRIDGE_DRAIN_SECONDS="0.5",
    ) as server:
        server.wait_ready()
        post(server.url, event("call.initiated", direction="incoming"))
        wait_until(lambda: "answer" in commands(telnyx))
        # As some hosts do: every process of the group, not only the first.
        os.killpg(server.process.pid, signal.SIGTERM)
        assert server.process.wait(PATIENCE * 2) == 0
        assert "hangup" in commands(telnyx)
        assert "SIGKILL" not in server.output


def test_the_keyboard_ends_it_and_its_calls(server: Gunicorn, telnyx: ScriptedHttp) -> None:
    """Ctrl-C reaches every process of the group, and the worker twice, the second within the first.

    gunicorn's own handler would wait for itself.
    """
    post(server.url, event("call.initiated", direction="incoming"))
    wait_until(lambda: "answer" in commands(telnyx))
    os.killpg(server.process.pid, signal.SIGINT)
    os.killpg(server.process.pid, signal.SIGQUIT)
    assert server.process.wait(PATIENCE * 2) == 0
    assert "hangup" in commands(telnyx)
    assert "Traceback" not in server.output


def test_every_line_is_ours(server: Gunicorn, telnyx: ScriptedHttp) -> None:
    """JSON where nobody watches, gunicorn's lines too; no number, no key, no token."""
    post(server.url, event("call.initiated", direction="incoming"))
    wait_until(lambda: "answer" in commands(telnyx))
    assert server.get("/telnyx/media/a-token-that-nobody-made") in (404, 426)
    assert server.get("/healthz") == 200
    assert post(server.url, event("call.hangup"), {}).status_code == 401
    wait_until(lambda: "/telnyx/media/" in server.output)
    post(server.url, event("call.hangup"))
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE * 2) == 0
    lines = [json.loads(line) for line in server.output.splitlines()]
    loggers = {line["logger"] for line in lines}
    assert {"gunicorn.error", "gunicorn.access", "bridge.webhooks"} <= loggers
    access = [line["message"] for line in lines if line["logger"] == "gunicorn.access"]
    assert any(text.startswith("POST /telnyx/webhook answered 200") for text in access)
    assert any(text.startswith("GET /telnyx/media/… answered ") for text in access)
    assert not any("healthz" in text for text in access)
    token = telnyx.requests[0].body["stream_url"].rpartition("/")[2]
    for secret in ("a-token-that-nobody-made", token, "5550100001", ENVIRON["TELNYX_API_KEY"]):
        assert secret not in server.output


def test_the_command_line_may_change_the_threads(telnyx: ScriptedHttp, tmp_path: Path) -> None:
    """The application counts those that there are."""
    with Gunicorn(
        tmp_path / "output",
        "--threads",
        "6",
        **ENVIRON,
        TELNYX_API_URL=telnyx.url,
        BRIDGE_MAX_CALLS="30",
    ) as server:
        assert server.process.wait(START) == 4
        assert "bridge: BRIDGE_MAX_CALLS: 30 calls need more than the 6 threads" in server.output
        assert "Traceback" not in server.output


def test_a_server_without_settings_says_so_and_ends(tmp_path: Path) -> None:
    """One line per variable, before anything listens."""
    with Gunicorn(tmp_path / "output", PUBLIC_URL="http://calls.example.com") as server:
        assert server.process.wait(START) == 4
        lines = server.output.splitlines()
    assert [line.split()[1] for line in lines] == [
        "PUBLIC_URL",
        "TELNYX_API_KEY",
        "TELNYX_PUBLIC_KEY",
    ]


def test_an_agent_that_is_not_there_ends_the_server(telnyx: ScriptedHttp, tmp_path: Path) -> None:
    """The worker is not started again and again."""
    with Gunicorn(tmp_path / "output", **ENVIRON, BRIDGE_AGENT="nobody.here:answer") as server:
        assert server.process.wait(START) == 4
        assert "bridge: BRIDGE_AGENT" in server.output
        assert "Traceback" not in server.output


def test_several_processes_are_not_started_on_state_in_memory(tmp_path: Path) -> None:
    """Hosts set WEB_CONCURRENCY by themselves; a call's parts must meet all the same."""
    with Gunicorn(tmp_path / "output", **ENVIRON, WEB_CONCURRENCY="3") as server:
        server.wait_ready()
        assert "running one process, not the 3 of WEB_CONCURRENCY" in server.output
        assert server.output.count("Booting worker") == 1
