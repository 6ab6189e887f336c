"""``/metrics``: what is counted, by one process and by several."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from bridge.app import Bridge, create_app
from bridge.call import Call, Reply
from bridge.decisions import Turn
from bridge.metrics import Metrics
from bridge.observer import CallSummary, TurnLatency
from bridge.simulator.synthesis import SynthesisFault
from bridge.workpool import WorkPool
from tests.app.databases import INFO
from tests.app.phone import phone_line
from tests.app.test_app import ENVIRON, settings, silent
from tests.app.test_gunicorn import START, Gunicorn
from tests.loopback import PATIENCE, wait_until
from tests.loopback.http import ScriptedHttp
from tests.loopback.web import event, post, serving

ROOT = Path(__file__).parents[2]


def numbers(text: str) -> dict[str, float]:
    """Read the exposition: ``name{label="value"}`` to value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def scrape(url: str, token: str | None = None) -> requests.Response:
    """Ask as Prometheus does."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return requests.get(f"{url}/metrics", headers=headers, timeout=PATIENCE)


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    """Numbers of nobody yet, and states that are made up."""
    made = Metrics(lambda: {"calls_active": 3, "threads": 12}, lateness=lambda: 0.03)
    yield made
    made.close()


def tell(metrics: Metrics) -> None:
    """Tell of a call."""
    metrics.on_begin(INFO)
    metrics.on_turn(INFO, Turn(text="secret words"), TurnLatency(endpoint=0.55))
    metrics.on_turn(INFO, Turn(digits="42"), TurnLatency())
    latency = TurnLatency(0.55, 0.01, 0.2, 0.15, 0.002, 0.912)
    metrics.on_reply(INFO, Reply("secret answer", "secret"), latency)
    metrics.on_reply(INFO, Reply("more", "m", interrupted=True), TurnLatency())
    metrics.on_barge_in(INFO, 0.18)
    metrics.on_false_alarm(INFO)
    metrics.on_agent_error(INFO, ValueError("secret"))
    metrics.on_refuse(INFO, "all lines are busy")
    metrics.on_end(
        INFO,
        CallSummary("caller", duration=42.0, streams=3, packets=2100, lost_packets=7,
                    late_packets=2, bad_frames=1, stt_reconnects=2,
                    tts_reconnects=3, stt_dropped=0.75),
    )  # fmt: skip


def test_what_happens_on_calls_is_counted(metrics: Metrics) -> None:
    """By outcome, by stage, in seconds; nothing of a call but numbers."""
    tell(metrics)
    text = metrics.expose().decode()
    found = numbers(text)
    expected = {
        "bridge_calls_total{direction=inbound,outcome=caller}": 1,
        "bridge_calls_refused_total{why=all lines are busy}": 1,
        "bridge_call_seconds_sum": 42,
        "bridge_turns_total{kind=speech}": 1,
        "bridge_turns_total{kind=keys}": 1,
        "bridge_replies_total{outcome=heard}": 1,
        "bridge_replies_total{outcome=interrupted}": 1,
        "bridge_latency_seconds_count{stage=endpoint}": 1,
        "bridge_latency_seconds_sum{stage=total}": 0.912,
        "bridge_latency_seconds_bucket{le=0.9,stage=total}": 0,
        "bridge_latency_seconds_bucket{le=1.0,stage=total}": 1,
        "bridge_latency_seconds_count{stage=first_text}": 1,
        "bridge_barge_in_seconds_count": 1,
        "bridge_false_alarms_total": 1,
        "bridge_agent_errors_total": 1,
        "bridge_packets_total{outcome=taken}": 2100,
        "bridge_packets_total{outcome=lost}": 7,
        "bridge_packets_total{outcome=late}": 2,
        "bridge_bad_frames_total": 1,
        "bridge_stream_losses_total": 2,
        "bridge_stt_reconnects_total": 2,
        "bridge_tts_reconnects_total": 3,
        "bridge_stt_dropped_seconds_total": 0.75,
        "bridge_calls_active": 3,
        "bridge_threads": 12,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found["process_resident_memory_bytes"] > 0
    for secret in ("secret", "5550123", "leg-1", "aaaaaa"):
        assert secret not in text


def test_the_states_are_looked_at_now_and_then() -> None:
    """While there are calls; lateness is kept as the worst of each look."""
    metrics = Metrics(lateness=lambda: 0.03, look_every=0.01)
    metrics.on_begin(INFO)
    wait_until(lambda: numbers(metrics.expose().decode())["bridge_pacer_lateness_seconds_count"])
    metrics.close()
    metrics.close()
    metrics.on_begin(INFO)


def test_a_real_call_is_counted() -> None:
    """From the webhook to the first frame of a reply, with the states of the application."""

    def agent(call: Call) -> None:
        call.say("Hello there.")
        for turn in call.turns():
            call.say(f"You said {turn.text}.")

    with phone_line(agent, texts=["a table for two"]) as phone:
        call = phone.call({"play": phone.speech}, {"hangup": True, "when": "agent_stops"})
        phone.seen.wait_for(lambda: phone.seen.media)
        found = numbers(scrape(phone.url).text)
        assert found["bridge_calls_active"] == 1
        assert found["bridge_calls_capacity"] == phone.bridge.settings.max_calls
        assert found["bridge_threads"] > 3
        call.wait(PATIENCE * 4)
        phone.seen.summary()
        found = numbers(scrape(phone.url).text)
        assert found["bridge_webhook_events_total{event_type=call.initiated}"] == 1
        assert found["bridge_calls_total{direction=inbound,outcome=caller}"] == 1
        assert found["bridge_latency_seconds_count{stage=total}"] == 1
        assert found["bridge_packets_total{outcome=taken}"] > 50
        assert found["bridge_calls_active"] == 0


def test_a_call_that_is_refused_is_counted() -> None:
    """A full process says so in its numbers."""
    with ScriptedHttp() as telnyx:
        app = create_app(settings(telnyx, BRIDGE_MAX_CALLS="1"), agent=silent)
        bridge: Bridge = app.extensions["bridge"]
        with serving(app) as url:
            for leg in ("one", "two"):
                post(url, event("call.initiated", direction="incoming",
                                call_control_id=f"v3:{leg}", call_leg_id=leg))  # fmt: skip
            name = "bridge_calls_refused_total{why=all lines are busy}"
            wait_until(lambda: numbers(scrape(url).text).get(name) == 1)
            bridge.close()


def test_the_numbers_can_be_behind_a_token() -> None:
    """Without one set, whoever reaches the application reads them, as with its health."""
    token = "token-for-the-metrics"
    for given, asked, status in (
        (None, None, 200), (token, None, 401), (token, token[:-1], 401), (token, token, 200),
    ):  # fmt: skip
        app = create_app(settings(None, BRIDGE_METRICS_TOKEN=given or ""), agent=silent)
        with serving(app) as url:
            assert scrape(url, asked).status_code == status
        app.extensions["bridge"].close()


@pytest.mark.slow
def test_several_processes_add_up(tmp_path: Path) -> None:
    """Counts of all, also of one that is gone; states of those that live."""
    code = (
        "import os, sys; from tests.app import test_metrics as t;"
        "m = t.Metrics(lambda: {'calls_active': 3}); t.tell(m); m.look(); m.close();"
        "print(os.getpid(), flush=True); sys.stdin.read()"
    )
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, env=environ, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    with start() as one, start() as two:
        assert one.stdout is not None
        assert two.stdout is not None
        pids = [one.stdout.readline().strip(), two.stdout.readline().strip()]
        expose = (
            "import sys; from prometheus_client.multiprocess import mark_process_dead;"
            "from bridge.metrics import Metrics;"
            "[mark_process_dead(pid) for pid in sys.argv[1:]];"
            "print(Metrics().expose().decode())"
        )

        def ask(*gone: str) -> dict[str, float]:
            command = [sys.executable, "-W", "ignore", "-c", expose, *gone]
            done = subprocess.run(
                command, cwd=ROOT, env=environ, text=True, capture_output=True, check=True
            )
            return numbers(done.stdout)

        name = "bridge_calls_total{direction=inbound,outcome=caller}"
        before = ask()
        assert (before[name], before["bridge_calls_active"]) == (2, 6)
        one.kill()
        one.wait(PATIENCE)
        after = ask(pids[0])
        assert (after[name], after["bridge_calls_active"]) == (2, 3)
        two.kill()


@pytest.mark.slow
def test_the_server_sets_several_processes_up(tmp_path: Path) -> None:
    """Whichever is asked knows of all; one that was killed is not counted for ever."""
    folders = tmp_path / "folders"
    folders.mkdir()
    with ScriptedHttp() as telnyx:
        environ = {**ENVIRON, "TELNYX_API_URL": telnyx.url, "BRIDGE_MAX_CALLS": "7"}
        environ["TMPDIR"] = str(folders)
        with Gunicorn(tmp_path / "output", "--workers", "2", **environ) as server:
            server.wait_ready()

            def capacity() -> float:
                answer = requests.get(
                    f"{server.url}/metrics", headers={"Connection": "close"}, timeout=PATIENCE
                )
                return numbers(answer.text).get("bridge_calls_capacity", 0)

            wait_for(lambda: capacity() == 14)
            assert list(folders.glob("bridge-metrics-*"))
            workers = [int(pid) for pid in re.findall(r"pid: (\d+)", server.output)]
            assert len(workers) == 2
            os.kill(workers[0], signal.SIGKILL)
            wait_for(lambda: server.output.count("Booting worker") == 3)
            wait_for(lambda: capacity() == 14)
            server.process.terminate()
            assert server.process.wait(PATIENCE * 4) == 0
    assert not list(folders.glob("bridge-metrics-*"))


def wait_for(condition: Callable[[], object]) -> None:
    """Wait as long as a server takes to start on a busy machine."""
    limit = time.monotonic() + START
    while True:
        with contextlib.suppress(requests.RequestException):
            if condition():
                return
        assert time.monotonic() < limit, "it did not come"
        time.sleep(0.05)


def test_a_voice_that_had_to_connect_again_is_counted() -> None:
    """Its first connection was lost before it had said anything."""

    def agent(call: Call) -> None:
        call.say("Hello there.")

    with phone_line(agent) as phone:
        phone.simulator.synthesis.fail(SynthesisFault(kind="abort"))
        call = phone.call()
        call.wait(PATIENCE * 4)
        assert phone.seen.summary().tts_reconnects == 1
        wait_until(lambda: numbers(scrape(phone.url).text).get("bridge_tts_reconnects_total") == 1)


def test_how_long_webhooks_wait_for_a_thread_is_kept() -> None:
    """One thread, two events of different legs: the second one waits for the first."""
    free = threading.Event()
    with WorkPool(1) as pool:
        pool.submit("one", lambda: free.wait(PATIENCE))
        wait_until(lambda: pool.working == 1)
        pool.submit("two", lambda: None)
        assert len(pool) - pool.working == 1
        pool.take_wait()
        free.set()
        wait_until(lambda: not len(pool))
        assert pool.take_wait() > 0
        assert pool.take_wait() == 0
