"""The simulator as a server: its port, its control routes, its resources, its command."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import wave
from pathlib import Path

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

from bridge.simulator import Simulator
from bridge.simulator.connection import connect as open_connection
from bridge.simulator.pytest_plugin import telnyx_fixture  # noqa: F401
from bridge.simulator.speakers import ToneSpeaker
from bridge.simulator.tls import ConnectFailed
from telnyx_media.pcm import rms, write_wav
from telnyx_media.sync.threads import ThreadGroup
from tests.app.simulation import TONE, World, _sim, error_of, world  # noqa: F401
from tests.loopback import PATIENCE
from tests.loopback.servers import certificate

# Control routes


def _control(sim: World, method: str, path: str, body: object = None) -> requests.Response:
    return requests.request(
        method, f"{sim.simulator.url}/simulator{path}", json=body, timeout=PATIENCE
    )


def test_a_call_is_placed_and_looked_at_over_http(sim: World, tmp_path: Path) -> None:
    """The id leads to state, frames, marks, commands, times, and the audio as WAV."""
    path = tmp_path / "caller.wav"
    write_wav(path, TONE * 10, 8000)
    placed = _control(
        sim,
        "POST",
        "/calls",
        {
            "to": "+12025550100",
            "from": "+12025550155",
            "codec": "PCMA",
            "caller": [{"play": str(path), "when": "now"}, {"dtmf": "4", "when": "now"},
                       {"hangup": True, "when": 0.1}],
        },
    )  # fmt: skip
    assert placed.status_code == 201
    call_id = placed.json()["id"]
    hook = sim.application.wait_hook("call.initiated")
    assert hook.payload["from"] == "+12025550155"
    leg = hook.payload["call_control_id"]
    sim.rest.ok(leg, "answer", stream_url=sim.application.stream_url)
    sim.application.wait_hook("call.hangup")
    report = _control(sim, "GET", f"/calls/{call_id}").json()
    assert report["state"] == "ended"
    assert report["script_done"] is True
    assert [c["name"] for c in report["commands"]] == ["answer"]
    assert report["frames"]["sent"]["start"] == 1
    assert report["frames"]["sent"]["dtmf"] == 1
    assert report["frames"]["sent"]["media"] > 5
    (spoken,) = report["speech"]
    assert 0 < spoken["started_at"] < spoken["ended_at"]
    ats = [event["at"] for event in report["timeline"]]
    assert ats == sorted(ats)
    audio = requests.get(report["audio"]["said"], timeout=PATIENCE)
    assert audio.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(audio.content)) as file:
        pcm = file.readframes(file.getnframes())
        assert file.getframerate() == 8000
    at = round(spoken["started_at"] * 8000) * 2
    assert rms(pcm[at : at + 320]) > 1000
    both = requests.get(report["audio"]["both"], timeout=PATIENCE).content
    with wave.open(io.BytesIO(both)) as file:
        assert file.getnchannels() == 2
    listed = _control(sim, "GET", "/calls").json()["calls"]
    assert [c["id"] for c in listed] == [call_id]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"caller": [{"sing": "la"}]}, "step 1"),
        ({"caller": [{"play": "/nowhere.wav"}]}, "nowhere.wav: no such file"),
        ({"codec": "GSM"}, "GSM"),
        ({"colour": "red"}, "unknown field"),
        ({"to": 5}, "wrong type"),
    ],
)
def test_a_wrong_order_is_refused_in_one_sentence(
    sim: World, body: dict[str, object], problem: str
) -> None:
    """400, and what is wrong."""
    response = _control(sim, "POST", "/calls", body)
    assert response.status_code == 400
    assert problem in response.json()["error"]
    assert not sim.simulator.calls


def test_callees_and_faults_are_set_over_http(sim: World) -> None:
    """What the Python API does, the control routes do too."""
    callee = {"number": "+12025550177", "outcome": "busy", "after": 0.01}
    assert _control(sim, "POST", "/callees", callee).status_code == 201
    body = {"connection_id": sim.simulator.connection_id, "to": "+12025550177",
            "from": "+12025550100"}  # fmt: skip
    leg = sim.rest.request("POST", "/calls", body).json()["data"]["call_control_id"]
    assert sim.application.wait_hook("call.hangup", leg).payload["hangup_cause"] == "user_busy"
    faults = {"slow_rest": 0.01, "fail": [{"command": "dial", "status": 500}]}
    assert _control(sim, "POST", "/faults", faults).status_code == 200
    assert error_of(sim.rest.request("POST", "/calls", body)) == (500, "10007")
    assert _control(sim, "POST", "/faults", {"gremlins": 1}).status_code == 400
    assert _control(sim, "GET", "/calls/nobody").status_code == 404


def test_a_call_is_hung_up_and_its_media_cut_over_http(sim: World) -> None:
    """DELETE is the caller's hang-up."""
    call, socket_ = sim.stream()
    assert _control(sim, "POST", f"/calls/{call.id}/cut_media").status_code == 200
    socket_.wait_closed()
    assert _control(sim, "DELETE", f"/calls/{call.id}").json() == {"state": "ended"}


# Resources


def test_an_application_is_made_changed_and_attached_to_a_number(sim: World) -> None:
    """What `bridge setup` does; the next call goes to the new application's webhook."""
    rest = sim.rest
    url = sim.application.webhook_url + "/new"
    made = rest.request(
        "POST",
        "/call_control_applications",
        {"application_name": "bridge", "webhook_event_url": url, "webhook_api_version": "2"},
    ).json()["data"]
    assert made["record_type"] == "call_control_application"
    assert made["webhook_event_url"] == url
    path = f"/call_control_applications/{made['id']}"
    assert rest.request("GET", path).json()["data"] == made
    changed = rest.request("PATCH", path, {"webhook_timeout_secs": 5, "unknown": 1})
    assert changed.json()["data"]["webhook_timeout_secs"] == 5
    assert "unknown" not in changed.json()["data"]
    (number,) = rest.request("GET", "/phone_numbers?filter[phone_number]=12025550100").json()[
        "data"
    ]
    assert number["connection_id"] == sim.simulator.connection_id
    rest.request("PATCH", f"/phone_numbers/{number['id']}", {"connection_id": made["id"]})
    sim.simulator.place_call()
    assert sim.application.wait_hook("call.initiated").path == "/hook/new"
    assert rest.request("DELETE", path).status_code == 200
    assert error_of(rest.request("GET", path)) == (404, "10005")


def test_wrong_applications_are_refused(sim: World) -> None:
    """A missing name, a URL that is none, an unknown version."""
    for body, expected in [
        ({"webhook_event_url": "https://x"}, (422, "10004")),
        ({"application_name": "x"}, (422, "10004")),
        ({"application_name": "x", "webhook_event_url": "ftp://x"}, (400, "10015")),
        (
            {"application_name": "x", "webhook_event_url": "https://x", "webhook_api_version": "3"},
            (422, "10032"),
        ),
    ]:
        assert error_of(sim.rest.request("POST", "/call_control_applications", body)) == expected


def test_lists_come_in_pages(sim: World) -> None:
    """page[size] and page[number] are obeyed, meta counts."""
    for index in range(4):
        sim.rest.request(
            "POST",
            "/call_control_applications",
            {"application_name": f"app {index}", "webhook_event_url": "https://x"},
        )
    page = sim.rest.request("GET", "/call_control_applications?page[size]=2&page[number]=3").json()
    assert len(page["data"]) == 1
    assert page["meta"] == {
        "page_number": 3, "page_size": 2, "total_pages": 3, "total_results": 5,
    }  # fmt: skip


def test_voices_and_engines_are_listed(sim: World) -> None:
    """In the shapes of the SDK's types."""
    voices = sim.rest.request("GET", "/text-to-speech/voices?provider=telnyx").json()["voices"]
    assert "Telnyx.NaturalHD.astra" in [voice["voice_id"] for voice in voices]
    assert {voice["provider"] for voice in voices} == {"telnyx"}
    engines = sim.rest.request("GET", "/speech-to-text/providers").json()["data"]
    assert ("Deepgram", "nova-3") in [(e["provider"], e["model"]) for e in engines]
    assert sim.rest.request("GET", "/whoami").json()["data"]["user_id"]


# The port


def test_speech_sockets_are_on_the_same_port() -> None:
    """Text in, audio out; and a wrong key is refused at the handshake."""
    with world(speaker=ToneSpeaker) as sim:
        environ = sim.simulator.environ
        url = environ["TELNYX_TTS_URL"] + "?voice=Telnyx.NaturalHD.astra"
        headers = {"Authorization": f"Bearer {environ['TELNYX_API_KEY']}"}
        with connect(url, additional_headers=headers) as tts:
            for text in (" ", "Hello.", ""):
                tts.send(json.dumps({"text": text}))
            frames = [json.loads(message) for message in tts]
            assert any(frame.get("audio") for frame in frames)
            assert frames[-1]["isFinal"] is True
        for url in (environ["TELNYX_STT_URL"], environ["TELNYX_TTS_URL"] + "?voice=x"):
            with pytest.raises(InvalidStatus) as refused:
                connect(url, additional_headers={"Authorization": "Bearer wrong"}).__enter__()
            assert refused.value.response.status_code == 401
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://127.0.0.1:{sim.simulator.port}/nothing").__enter__()
        assert refused.value.response.status_code == 404


def test_a_connection_carries_many_requests(sim: World) -> None:
    """Keep-alive: the same connection serves one request after another."""
    with socket.create_connection(("127.0.0.1", sim.simulator.port), PATIENCE) as sock:
        request = (
            f"GET /v2/whoami HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {sim.simulator.api_key}\r\n\r\n"
        ).encode()
        file = sock.makefile("rb")
        for _ in range(3):
            sock.sendall(request)
            assert file.readline() == b"HTTP/1.1 200 OK\r\n"
            while (line := file.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length"):
                    length = int(line.split(b":")[1])
            assert json.loads(file.read(length))["data"]["user_id"]
        file.close()


@pytest.mark.parametrize(
    "garbage",
    [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"POST /v2/calls HTTP/1.1\r\nContent-Le",
     b"POST /v2/calls HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
     b"POST /v2/calls HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
)  # fmt: skip
def test_garbage_on_the_port_hurts_nobody_else(sim: World, garbage: bytes) -> None:
    """The connection ends; the next one is served."""
    with socket.create_connection(("127.0.0.1", sim.simulator.port), PATIENCE) as sock:
        sock.sendall(garbage)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass
    assert sim.rest.request("GET", "/whoami").status_code == 200


def test_a_port_that_is_taken_is_an_os_error(sim: World) -> None:
    """Starting a second simulator on it raises and leaves nothing behind."""
    other = Simulator(port=sim.simulator.port)
    with pytest.raises(OSError, match="in use"):
        other.start()
    other.stop()


def test_a_stream_goes_over_tls() -> None:
    """A wss URL is connected, verified, written and read; a certificate nobody knows is refused."""
    server_tls, client_tls = certificate()
    got: list[str | bytes] = []

    def echo(connection: object) -> None:
        for message in connection:  # type: ignore[attr-defined]
            got.append(message)
            connection.send(message)  # type: ignore[attr-defined]

    server = serve(echo, "127.0.0.1", 0, ssl=server_tls)
    url = f"wss://127.0.0.1:{server.socket.getsockname()[1]}/media"
    with ThreadGroup("tls") as group:
        group.spawn("tls", server.serve_forever)
        try:
            connection = open_connection(url, timeout=PATIENCE, tls=client_tls)
            big = "x" * 300_000
            for message in ("hello", big):
                connection.send(message)
                assert connection.receive(PATIENCE) == message
            assert connection.push("pushed")
            assert connection.receive(PATIENCE) == "pushed"
            connection.finish()
            assert connection.close_code == 1000
            assert got == ["hello", big, "pushed"]
            with pytest.raises(ConnectFailed):
                open_connection(url, timeout=PATIENCE)
            with pytest.raises(ConnectFailed):
                open_connection("wss://127.0.0.1:9/x", timeout=PATIENCE, tls=client_tls)
        finally:
            server.shutdown()


def test_a_peer_that_reads_nothing_is_cut_off_and_holds_up_nobody() -> None:
    """The backlog is bounded, and pushing never waits."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def deaf() -> None:
            from websockets.server import ServerProtocol

            sock, _ = listener.accept()
            with sock:
                protocol = ServerProtocol()
                protocol.receive_data(sock.recv(4096))
                protocol.send_response(protocol.accept(protocol.events_received()[0]))  # type: ignore[arg-type]
                sock.sendall(b"".join(protocol.data_to_send()))
                stop.wait(PATIENCE)

        with ThreadGroup("deaf") as group:
            group.spawn("deaf", deaf)
            url = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
            connection = open_connection(url, timeout=PATIENCE)
            frame = "x" * 10_000
            assert any(not connection.push(frame) for _ in range(10_000))
            assert connection.overflowed
            assert connection.receive(PATIENCE) is None
            stop.set()


# The command and the fixture


def test_the_command_prints_the_environment_and_stops_on_sigterm() -> None:
    """NAME=value lines first, then ready; exit status 0."""
    with subprocess.Popen(
        [sys.executable, "-m", "bridge", "simulator", "--webhook", "http://127.0.0.1:9/hook"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if lines[-1] == "ready":
                break
        environ = dict(line.split("=", 1) for line in lines[:-1])
        assert set(environ) == {
            "TELNYX_API_KEY", "TELNYX_PUBLIC_KEY", "TELNYX_API_URL", "TELNYX_STT_URL",
            "TELNYX_TTS_URL",
        }  # fmt: skip
        headers = {"Authorization": f"Bearer {environ['TELNYX_API_KEY']}"}
        answer = requests.get(
            environ["TELNYX_API_URL"] + "/whoami", headers=headers, timeout=PATIENCE
        )
        assert answer.status_code == 200
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE * 2)
    assert process.returncode == 0
    assert errors == ""


def test_the_fixture_points_the_environment_at_itself(telnyx: Simulator) -> None:
    """A program that reads the environment finds the simulator."""
    assert os.environ["TELNYX_API_URL"] == telnyx.api_url
    headers = {"Authorization": f"Bearer {os.environ['TELNYX_API_KEY']}"}
    answer = requests.get(f"{telnyx.api_url}/whoami", headers=headers, timeout=PATIENCE)
    assert answer.status_code == 200
