"""Words, keys, numbers and secrets of a whole call, and where none of them may be found."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from bridge import logs
from bridge.call import Call
from bridge.settings import Settings
from bridge.simulator import SimulatedCall
from tests.app.phone import Phone, phone_line
from tests.loopback import PATIENCE

CALLER, CALLED = "+12025550142", "+12025550100"
KEYS = "48151623"
HEARD = "marmalade"
SAID = "kingfisher"
THROWN = "Wollongong"
PASSWORD, API_TOKEN = "correct-horse-battery", "token-of-the-api-0123456789"

pytestmark = pytest.mark.slow


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, at the finest level, as it would be written."""
    root = logging.getLogger()
    before = root.level, {name: logging.getLogger(name).level for name in ("bridge", "urllib3")}
    written = io.StringIO()
    logs.set_up(Settings.from_environ({"LOG_LEVEL": "debug"}), stream=written)
    yield written
    for handler in [h for h in root.handlers if isinstance(h, logs.LogHandler)]:
        root.removeHandler(handler)
    root.setLevel(before[0])
    for name, level in before[1].items():
        logging.getLogger(name).setLevel(level)


def agent(call: Call) -> None:
    """Talk, listen to words and keys, and break with something private in the error."""
    call.say(f"Hello {SAID}.")
    seen = ""
    for turn in call.turns():
        seen += turn.text + turn.digits
        if HEARD in seen and KEYS in seen:
            raise KeyError(THROWN + seen)


def pages(phone: Phone) -> str:
    """Get what anybody can look at, errors included."""
    paths = (
        "/healthz", "/readyz", "/metrics", "/telnyx/webhook", f"/telnyx/media/{HEARD}", "/nowhere",
        "/dashboard", "/dashboard/login", "/api/calls", "/api/calls/1",
    )  # fmt: skip
    found = []
    for path in paths:
        answer = requests.get(
            phone.url + path, headers={"Connection": "close"}, timeout=4 * PATIENCE
        )
        found += [answer.url if path != f"/telnyx/media/{HEARD}" else "", answer.text]
        found += [f"{name}: {value}" for name, value in answer.headers.items()]
    return "\n".join(found)


def tokens(call: SimulatedCall) -> list[str]:
    """Get the stream tokens that Telnyx was given."""
    return [stream.options.url.rpartition("/")[2] for stream in call.streams]


def test_nothing_private_is_found_anywhere(log: io.StringIO) -> None:
    """Not in a log line, a metric, an error page or an address, however the call went."""
    with phone_line(
        agent,
        texts=[HEARD],
        BRIDGE_DASHBOARD_PASSWORD=PASSWORD,
        BRIDGE_API_TOKEN=API_TOKEN,
    ) as phone:
        call = phone.call(
            {"play": phone.speech}, {"dtmf": KEYS}, from_=CALLER, to=CALLED, patience=3
        )
        call.wait(8 * PATIENCE)
        summary = phone.seen.summary()
        assert summary.reason == "agent failed"
        looked_at = pages(phone)
        private = [
            CALLER, CALLED, CALLER[1:], KEYS, HEARD, SAID, THROWN, PASSWORD, API_TOKEN,
            phone.simulator.api_key, *tokens(call),
        ]  # fmt: skip
        key = phone.simulator.api_key
    assert tokens(call)
    written = log.getvalue()
    assert "agent failed" in written
    assert "leg ended" in written
    for canary in private:
        shown = canary if canary not in (key, *tokens(call)) else "a secret"
        assert canary not in written, f"{shown} was logged"
        assert canary not in looked_at, f"{shown} is on a page"


def test_the_voice_detector_tells_nobody_of_itself(tmp_path: Path) -> None:
    """Its runtime keeps no device id and no database of events, and has no thread to send them."""
    code = (
        "import os; from telnyx_media.vad import VoiceDetector; VoiceDetector();"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    kept = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={**kept, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=12 * PATIENCE,
        check=True,
    )
    assert done.stdout == "1\n"
    assert done.stderr == ""
    assert list(tmp_path.rglob("*")) == []
