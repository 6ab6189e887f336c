"""The speech services of the chaos calls, in a process of their own.

What they compute would otherwise take the interpreter's lock from the simulated network, whose
clock a phone's ear hears.  Runs until its standard input ends: ``python -m tests.chaos.speechserver
KEY``; prints the variables that point a program at it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.simulator import Simulator
from bridge.simulator.listeners import Listening, Said
from bridge.simulator.synthesis import SynthesisService
from bridge.simulator.transcription import TranscriptionService
from tests.chaos.speech import CountingSpeaker

ROOT = Path(__file__).parents[2]
VARIABLES = ("TELNYX_STT_URL", "TELNYX_TTS_URL")


class _Deaf:
    """Hears nothing; the callers press keys."""

    speaking = False

    def __init__(self, listening: Listening) -> None:
        pass

    def feed(self, pcm: bytes) -> Iterator[Said]:
        """Take audio."""
        return iter(())

    def finalize(self) -> Iterator[Said]:
        """Give nothing."""
        return iter(())


@contextmanager
def speech_server(api_key: str) -> Iterator[dict[str, str]]:
    """Run the services; the variables that point a program at them."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.speechserver", api_key],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline().strip() for _ in VARIABLES]
        yield dict(line.split("=", 1) for line in lines)
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def main(api_key: str) -> None:
    """Serve until standard input ends."""
    with Simulator(
        api_key=api_key,
        transcription=TranscriptionService(api_key=api_key, listen=_Deaf),
        synthesis=SynthesisService(api_key=api_key, make_speaker=CountingSpeaker),
    ) as simulator:
        for name in VARIABLES:
            print(f"{name}={simulator.environ[name]}", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
