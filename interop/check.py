"""Start our simulator, let each client use it, and hold what both sides saw against each other.

check.py PYTHON: the Python of the environment that the clients are installed in.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from bridge.demo.verdict import recognise
from bridge.simulator import SimulatedCall, Simulator
from bridge.simulator.offline.accuracy import word_errors
from telnyx_media.pcm import read_wav

HERE = Path(__file__).parent
VOICES = HERE.parent / "tests" / "data" / "voices"
# Seconds for one client, which takes a few to import.
PATIENCE = 90.0


def expect(what: str, found: object, wanted: object) -> None:
    """Say that something is as it must be, or end."""
    if found != wanted:
        raise SystemExit(f"  ✗ {what}: {found!r}, expected {wanted!r}")
    print(f"  ✓ {what}: {found!r}")


def expect_words(what: str, found: str, wanted: str) -> None:
    """Say that words were understood, give or take one in ten, however they are joined."""
    # A recogniser writes "to-morrow" and "half-past" on one day and not on the other.
    same = SequenceMatcher(None, letters(wanted), letters(found), autojunk=False).ratio() > 0.97
    if not same and word_errors(wanted, found).rate > 0.1:
        raise SystemExit(f"  ✗ {what}: {found!r}, expected {wanted!r}")
    print(f"  ✓ {what}: {found!r}")


def letters(text: str) -> str:
    """Get the letters and digits of a text, in lower case."""
    return "".join(character for character in text.lower() if character.isalnum())


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def client(
    python: str, script: str, telnyx: Simulator, arguments: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run a client's script beside the simulator; its own settings come from the environment."""
    port = free_port()
    telnyx.webhook_url = f"http://127.0.0.1:{port}/webhook"
    environ = {
        **os.environ,
        **telnyx.environ,
        "NUMBER": telnyx.number,
        "WEBHOOK_PORT": str(port),
        "NO_PROXY": "127.0.0.1",
    }
    process = subprocess.Popen(
        [python, str(HERE / script), *arguments], env=environ, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_ready(process: subprocess.Popen[str]) -> None:
    """Wait until the client serves webhooks."""
    assert process.stdout is not None
    while line := process.stdout.readline():
        if line.strip() == "ready":
            return
    raise SystemExit(f"  ✗ the client ended: {process.communicate()[1][-2000:]}")


def result_of(process: subprocess.Popen[str]) -> Mapping[str, Any]:
    """Wait for a client and get what it reports."""
    try:
        out, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise SystemExit(f"  ✗ the client hangs: {process.communicate()[1][-2000:]}") from None
    if process.returncode:
        raise SystemExit(f"  ✗ the client failed: {errors[-2000:]}")
    result: Mapping[str, Any] = json.loads(out.strip().splitlines()[-1])
    return result


def words_heard(call: SimulatedCall) -> str:
    """Recognise what the person at the far end heard."""
    return " ".join(recognise(call.heard, call.sample_rate))


def check_sdk(python: str, telnyx: Simulator) -> None:
    """The vendor's SDK: commands, webhooks, errors."""
    with client(python, "telnyx_sdk.py", telnyx) as process:
        wait_ready(process)
        call = telnyx.place_call(caller=[{"wait": 60}])
        result = result_of(process)
    expect("answer", result["answer"], "ok")
    expect("the same command again", result["again"], "ok")
    expect("direction", result["direction"], "incoming")
    expect("client_state came back", result["client_state"], "aW50ZXJvcA==")
    expect("status", result["is_alive"], True)
    hangup = (result["hangup_cause"], result["hangup_source"])
    expect("hangup", hangup, ("normal_clearing", "callee"))
    expect("a command behind the end", result["late_error"]["status"], 422)
    expect("its code", result["late_error"]["body"]["errors"][0]["code"], "90018")
    expect("a wrong key", result["wrong_key"], 401)
    expect("dial", (result["outgoing"], result["same_leg"]), ("outgoing", True))
    expect("forged webhooks refused", result["forged_refused"] >= len(result["events"]), True)
    kinds = [webhook["event_type"] for webhook in call.webhooks]
    expect("answered once", kinds.count("call.answered"), 1)
    expect("keys heard", call.keys_heard, "12#")
    expect_words("heard", words_heard(call), "Hello from the software development kit.")


def check_livekit(python: str, telnyx: Simulator) -> None:
    """LiveKit's plugin: transcripts and speech."""
    name = "austen-0920.wav"
    reference = json.loads((VOICES / "transcripts.json").read_text())[name]
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "speech.wav")
        with client(python, "livekit_plugin.py", telnyx, [str(VOICES / name), out]) as process:
            result = result_of(process)
        pcm, rate = read_wav(out)
    expect_words("transcript", " ".join(result["finals"]), reference)
    # The plugin never asks for interim results, so the service sends none.
    expect("events", result["kinds"], ["end_of_speech", "final_transcript", "start_of_speech"])
    expect_words("speech", " ".join(recognise(pcm, rate)), result["sentence"])


def check_pipecat(python: str, telnyx: Simulator) -> None:
    """Pipecat's serializer: media frames both ways."""
    words = "I would like a table for four tomorrow at half past seven."
    with client(python, "pipecat_serializer.py", telnyx) as process:
        wait_ready(process)
        call = telnyx.place_call(
            caller=[
                {"say": words, "when": 0.5},
                {"wait": 0.5},
                {"dtmf": "1"},
                {"wait": 6.0},
                {"dtmf": "2"},
                {"wait": 2.5},
                {"hangup": True},
            ]
        )
        result = result_of(process)
    expect("answer", result["answer"], 200)
    expect("first frame", result["connected"], "connected")
    expect("codec", result["encoding"], "PCMU")
    expect("keys", result["keys"], "12")
    # Its resampler keeps the first packets and a little more for itself.
    missing = call.frames["sent"]["media"] * 0.02 - result["seconds"]
    expect("audio read, but for less than 0.2 s", 0 <= missing < 0.2, True)
    expect("refused frames", call.errors, [])
    expect("clear frames", len(call.clears), 1)
    first, _, last = words_heard(call).partition("seven")
    expect_words("said back", f"{first}seven", words)
    expect("cut off behind the interruption", len(last.split()) < 6, True)


def main() -> None:
    """Check every client."""
    python = sys.argv[1]
    checks = {
        "telnyx (the vendor's SDK)": check_sdk,
        "livekit-plugins-telnyx": check_livekit,
        "pipecat-ai (TelnyxFrameSerializer)": check_pipecat,
    }
    for name, check in checks.items():
        began = time.monotonic()
        print(name, flush=True)
        with Simulator(caller_voice="low") as telnyx:
            check(python, telnyx)
        print(f"  {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
