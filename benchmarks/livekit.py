"""Our LiveKit plugin and the published one, side by side.

    python benchmarks/livekit.py            # some four minutes; writes results/livekit.{md,json}
    python benchmarks/livekit.py --quick    # one repetition, shorter; writes nothing
    python benchmarks/livekit.py --only "fifty streams"     # measures these rows anew

Both plugins use the same speech service on loopback, in a process of its own
(``livekit_service.py``); each measurement of each plugin has a process of its own too, so that
threads, memory and CPU are its alone.  Which of the two comes first changes from one repetition to
the next, and the median of the repetitions counts.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# This file is called like the package that it measures, and must not be found in its place.
sys.path[:] = [str(HERE.parent), *(p for p in sys.path if Path(p or ".").resolve() != HERE)]

RATE = 16000
FRAME_SECONDS = 0.02
BLOCK_SECONDS = 0.1
BASE, STEP = 8000, 16
KEY = "KEY-of-the-benchmark"

SENTENCES = (
    "Thank you for calling, I have found your order.",
    "It left our kitchen ten minutes ago and is on its way to you.",
    "The driver has two stops before yours, so expect it within a quarter of an hour.",
    "Is there anything else that I can do for you today?",
)
# What a language model writes, in tokens a second.
TOKENS_PER_SECOND = 25.0

PLUGINS = ("ours", "published")


# -- what is measured, in a process of its own -----------------------------------------------------


def make(plugin: str, url: str, fault: str = "") -> tuple[Any, Any]:
    """Make the STT and the TTS of ``plugin``."""
    base = f"{url}/{fault}" if fault else url
    stt_url = f"{base}/v2/speech-to-text/transcription"
    tts_url = f"{base}/v2/text-to-speech/speech"
    if plugin == "ours":
        from telnyx_media.livekit_compat import STT, TTS
    else:
        from livekit.plugins.telnyx import STT, TTS  # type: ignore[assignment]
    stt = STT(api_key=KEY, base_url=stt_url, transcription_engine="deepgram")
    tts = TTS(api_key=KEY, base_url=tts_url)
    # As a session does when it starts.
    stt.prewarm()
    tts.prewarm()
    time.sleep(0.5)
    return stt, tts


def speech(seconds: float) -> bytes:
    """Make speech whose blocks are numbered by their height."""
    out = array.array("h")
    for number in range(int(seconds / BLOCK_SECONDS)):
        height = BASE + STEP * number
        out.extend(([height] * 8 + [-height] * 8) * int(RATE * BLOCK_SECONDS / 16))
    return out.tobytes()


async def paced(stream: Any, pcm: bytes) -> None:
    """Push ``pcm`` into a stream as fast as it was spoken."""
    import livekit.rtc as rtc

    size = int(RATE * FRAME_SECONDS) * 2
    began = time.perf_counter()
    for number, at in enumerate(range(0, len(pcm), size)):
        wait = began + number * FRAME_SECONDS - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        piece = pcm[at : at + size]
        stream.push_frame(rtc.AudioFrame(piece, RATE, 1, len(piece) // 2))


@contextlib.asynccontextmanager
async def closing(*plugins: Any) -> AsyncIterator[None]:
    """Close what was made."""
    try:
        yield
    finally:
        for plugin in plugins:
            await plugin.aclose()


async def first_transcript(plugin: str, url: str, seconds: float) -> dict[str, float]:
    """Measure from the first audio to the first transcript."""
    stt, _ = make(plugin, url)
    async with closing(stt):
        stream = stt.stream()
        # The connection is there before the caller speaks, as in a session.
        await asyncio.sleep(0.3)
        began = time.perf_counter()
        pushing = asyncio.create_task(paced(stream, speech(3.0)))
        async for event in stream:
            if event.alternatives:
                break
        took = time.perf_counter() - began
        pushing.cancel()
        await stream.aclose()
    return {"first_transcript_ms": took * 1000}


async def first_audio(plugin: str, url: str, seconds: float) -> dict[str, float]:
    """Measure from the first token to the first audio of a reply that is being written."""
    _, tts = make(plugin, url)
    async with closing(tts):
        stream = tts.stream()
        began = time.perf_counter()

        async def write() -> None:
            for number, token in enumerate(" ".join(SENTENCES).split(" ")):
                wait = began + number / TOKENS_PER_SECOND - time.perf_counter()
                await asyncio.sleep(max(0.0, wait))
                stream.push_text(token + " ")
            stream.end_input()

        writing = asyncio.create_task(write())
        first = 0.0
        heard = 0.0
        async for audio in stream:
            first = first or time.perf_counter() - began
            heard += audio.frame.duration
        await writing
        await stream.aclose()
    whole = sum(sum(c.isalnum() for c in s) for s in SENTENCES) / 15.0
    return {"first_audio_ms": first * 1000, "speech_lost_s": max(0.0, whole - heard)}


async def reset(plugin: str, url: str, seconds: float) -> dict[str, float]:
    """Reset a connection that has swallowed two seconds; measure what was never heard."""
    stt, _ = make(plugin, url, f"reset{os.getpid()}")
    async with closing(stt):
        stream = stt.stream()
        pcm = speech(6.0)
        pushing = asyncio.create_task(paced(stream, pcm))

        async def listen() -> None:
            async for _ in stream:
                pass

        listening = asyncio.create_task(listen())
        await pushing
        stream.end_input()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(listening, 5.0)
        await stream.aclose()
    return {"audio_blocks": len(pcm) / 2 / RATE / BLOCK_SECONDS}


async def swallowed(plugin: str, url: str, seconds: float) -> dict[str, float]:
    """Close with 1011 in place of the last transcript; see whether anybody is told."""
    import livekit.rtc as rtc
    from livekit.agents import APIConnectOptions

    stt, _ = make(plugin, url, "broken")
    pcm = speech(1.0)
    async with closing(stt):
        try:
            await stt.recognize(
                rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2),
                conn_options=APIConnectOptions(max_retry=0, timeout=3.0),
            )
        except Exception:  # noqa: BLE001 - whatever the plugin raises is an error that was told
            return {"told": 1.0}
    return {"told": 0.0}


async def closing_service(plugin: str, url: str, seconds: float) -> dict[str, float]:
    """Recognise against a service that closes each connection, with three retries."""
    import livekit.rtc as rtc
    from livekit.agents import APIConnectOptions

    stt, _ = make(plugin, url, "closing")
    pcm = speech(1.0)
    async with closing(stt):
        with contextlib.suppress(Exception):
            await stt.recognize(
                rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2),
                conn_options=APIConnectOptions(max_retry=3, timeout=3.0, retry_interval=0.1),
            )
    return {}


async def busy_once(plugin: str, url: str, seconds: float) -> dict[str, float]:
    """Answer one handshake with 503; see whether the stream hears again."""
    stt, _ = make(plugin, url, f"busy{os.getpid()}")
    heard = 0.0
    async with closing(stt):
        stream = stt.stream()
        pushing = asyncio.create_task(paced(stream, speech(2.5)))

        async def listen() -> None:
            nonlocal heard
            async for event in stream:
                heard = heard or float(bool(event.alternatives))

        with contextlib.suppress(Exception):
            await asyncio.wait_for(listen(), 4.0)
        pushing.cancel()
        await stream.aclose()
    return {"heard": heard}


async def many_streams(
    plugin: str, url: str, seconds: float, streams: int = 50
) -> dict[str, float]:
    """Transcribe fifty callers at once, in real time."""
    stt, _ = make(plugin, url)
    pcm = speech(seconds)
    lag = Lag()
    peak: list[int] = []

    async def caller(number: int) -> None:
        # Callers do not speak in step.
        await asyncio.sleep(number * BLOCK_SECONDS / streams)
        stream = stt.stream()

        async def listen() -> None:
            async for _ in stream:
                pass

        listening = asyncio.create_task(listen())
        await paced(stream, pcm)
        peak.append(threading.active_count())
        await stream.aclose()
        listening.cancel()

    async with closing(stt):
        # Connections are made and modules loaded before it is counted.
        await asyncio.gather(*(caller_for(stt, 0.5) for _ in range(streams)))
        cpu = time.process_time()
        with lag:
            await asyncio.gather(*(caller(number) for number in range(streams)))
        cpu = time.process_time() - cpu
    return {
        "stt_cpu_ms_per_stream_s": 1000 * cpu / (streams * seconds),
        "loop_lag_p99_ms": lag.p99 * 1000,
        "threads": float(max(peak)),
        "memory_mb": memory_mb(),
    }


async def caller_for(stt: Any, seconds: float) -> None:
    """Open a stream, push a little, close it."""
    stream = stt.stream()
    await paced(stream, speech(seconds))
    await stream.aclose()


async def many_replies(plugin: str, url: str, seconds: float) -> dict[str, float]:
    """Speak replies, several at once, as fast as they come."""
    _, tts = make(plugin, url)
    heard = 0.0
    lag = Lag()

    async def reply(sentence: str) -> None:
        nonlocal heard
        stream = tts.stream()
        for token in sentence.split(" "):
            stream.push_text(token + " ")
        stream.end_input()
        async for audio in stream:
            heard += audio.frame.duration
        await stream.aclose()

    async with closing(tts):
        await asyncio.gather(*(reply(SENTENCES[2]) for _ in range(4)))
        heard = 0.0
        cpu = time.process_time()
        began = time.perf_counter()
        with lag:
            while time.perf_counter() - began < seconds:
                # One sentence each: of several, the published plugin speaks the first.
                await asyncio.gather(*(reply(SENTENCES[2]) for _ in range(8)))
        cpu = time.process_time() - cpu
    return {
        "tts_cpu_ms_per_audio_s": 1000 * cpu / heard,
        "tts_loop_lag_p99_ms": lag.p99 * 1000,
        "tts_memory_mb": memory_mb(),
    }


class Lag:
    """How late a loop comes to what is due, every five milliseconds."""

    def __init__(self) -> None:
        self._late: list[float] = []

    @property
    def p99(self) -> float:
        """What is exceeded once in a hundred times, in seconds."""
        return statistics.quantiles(self._late, n=100)[98] if len(self._late) > 100 else 0.0

    def __enter__(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def __exit__(self, *_: object) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            due = time.perf_counter() + 0.005
            await asyncio.sleep(0.005)
            self._late.append(time.perf_counter() - due)


def memory_mb() -> float:
    """Get what this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


Measure = Callable[[str, str, float], Coroutine[Any, Any, dict[str, float]]]

MEASURES: dict[str, tuple[Measure, float]] = {
    "first transcript": (first_transcript, 0.0),
    "first audio": (first_audio, 0.0),
    "reset": (reset, 0.0),
    "swallowed": (swallowed, 0.0),
    "closing": (closing_service, 0.0),
    "busy once": (busy_once, 0.0),
    "fifty streams": (many_streams, 10.0),
    "replies": (many_replies, 6.0),
}

# Name of a figure, what it is called, and whether it is measured once or repeated.
ROWS = (
    ("first_transcript_ms", "first transcript, ms after the first audio"),
    ("first_audio_ms", "first audio of a reply that is being written, ms after the first token"),
    ("speech_lost_s", "speech lost of a reply of four sentences, s"),
    ("lost_s", "audio never heard around a reset after 2 s, s"),
    ("told", "1011 in place of the last transcript is an error (1 = yes)"),
    ("connections", "connections of `recognize` where each is closed, 3 retries allowed"),
    ("heard", "hears again after one 503 (1 = yes)"),
    ("stt_cpu_ms_per_stream_s", "STT CPU, ms per stream-second (50 streams)"),
    ("loop_lag_p99_ms", "loop lag p99 meanwhile, ms"),
    ("threads", "threads meanwhile"),
    ("memory_mb", "memory meanwhile, MB"),
    ("tts_cpu_ms_per_audio_s", "TTS CPU, ms per second of audio"),
    ("tts_loop_lag_p99_ms", "loop lag p99 meanwhile, ms"),
    ("tts_memory_mb", "memory meanwhile, MB"),
)

# Name of a figure, and title and unit of its bars.
PLOTTED = (
    ("first_transcript_ms", "first transcript", "ms after the first audio"),
    ("first_audio_ms", "first audio of a reply", "ms after the first token"),
    ("stt_cpu_ms_per_stream_s", "STT, 50 streams", "CPU ms per stream-second"),
    ("tts_cpu_ms_per_audio_s", "TTS", "CPU ms per second of audio"),
)


# -- the run ---------------------------------------------------------------------------------------


def main() -> int:
    """Measure everything and print the table."""
    if importlib.util.find_spec("livekit.plugins.telnyx") is None:
        if not (python := HERE.parent / ".venv-livekit" / "bin" / "python").exists():
            print("livekit: skipped, for want of LiveKit's plugin (make test-livekit)")
            return 0
        return subprocess.run([python, __file__, *sys.argv[1:]], check=False).returncode
    parser = argparse.ArgumentParser(description="Our LiveKit plugin and the published one.")
    parser.add_argument("--quick", action="store_true", help="one short repetition")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=MEASURES, help="one measurement")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        logging.disable(logging.CRITICAL)
        plugin, name, url, seconds = args.measure
        print(json.dumps(asyncio.run(MEASURES[name][0](plugin, url, float(seconds)))))
        return 0
    names = [args.only] if args.only else list(MEASURES)
    figures = run(names, 1 if args.quick else args.repeat, 0.4 if args.quick else 1.0)
    print(report(figures))
    if not args.quick:
        keep(figures)
    return 0


def keep(figures: dict[str, dict[str, list[float]]]) -> None:
    """Write table, numbers and plot; rows that were not measured stay as they are."""
    from benchmarks.report import RESULTS, Panel, draw, machine

    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "livekit.json"
    kept = json.loads(file.read_text())["figures"] if file.exists() else {}
    whole = {plugin: {**kept.get(plugin, {}), **figures[plugin]} for plugin in PLUGINS}
    panels = []
    for figure, title, unit in PLOTTED:
        panel = Panel(title, "", unit)
        for plugin in PLUGINS:
            values = whole[plugin].get(figure, [])
            if values:
                middle = statistics.median(values)
                panel.lines[plugin] = [(0.0, middle, min(values), max(values))]
        panels.append(asdict(panel))
    body = {"figures": whole, "machine": machine(), "panels": panels}
    file.write_text(json.dumps(body, indent=1) + "\n")
    plot = "\n![LiveKit plugins side by side](livekit.svg)\n" if draw(file) else ""
    file.with_suffix(".md").write_text(report(whole) + plot)


def run(names: list[str], repetitions: int, share: float) -> dict[str, dict[str, list[float]]]:
    """Measure ``names``; gets the figures of each plugin."""
    figures: dict[str, dict[str, list[float]]] = {plugin: {} for plugin in PLUGINS}
    with subprocess.Popen(
        [sys.executable, str(HERE / "livekit_service.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as service:
        assert service.stdout is not None
        port = service.stdout.readline().strip()
        url = f"ws://127.0.0.1:{port}"
        counts(port)
        for repetition in range(repetitions):
            order = PLUGINS if repetition % 2 == 0 else PLUGINS[::-1]
            for name in names:
                for plugin in order:
                    found = measure(plugin, name, url, MEASURES[name][1] * share)
                    seen = counts(port)
                    if name == "reset":
                        blocks = found.pop("audio_blocks")
                        found["lost_s"] = (blocks - seen["blocks"]) * BLOCK_SECONDS
                    if name == "closing":
                        found["connections"] = float(seen["connections"])
                    for figure, value in found.items():
                        figures[plugin].setdefault(figure, []).append(value)
                    print(f"{repetition + 1} {name:>16} {plugin:>9}: {found}", file=sys.stderr)
        assert service.stdin is not None
        service.stdin.close()
    return figures


def measure(plugin: str, name: str, url: str, seconds: float) -> dict[str, float]:
    """Measure in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--measure", plugin, name, url, str(seconds)],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    if done.returncode:
        raise SystemExit(f"{name} of {plugin} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def counts(port: str) -> dict[str, int]:
    """Get what the service has seen since it was last asked."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts") as answer:
        found: dict[str, int] = json.load(answer)
    return found


def report(figures: dict[str, dict[str, list[float]]]) -> str:
    """Make the table."""
    from importlib.metadata import version

    lines = [
        "# LiveKit plugins side by side",
        "",
        f"livekit-agents {version('livekit-agents')}, livekit-plugins-telnyx "
        f"{version('livekit-plugins-telnyx')}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores; medians (smallest to largest) of "
        f"{max(len(v) for f in figures.values() for v in f.values())} repetitions; "
        "made by `benchmarks/livekit.py`.",
        "",
        "| | ours | published | ours / published |",
        "| --- | ---: | ---: | ---: |",
    ]
    for figure, title in ROWS:
        if figure not in figures["ours"]:
            continue
        ours, theirs = (figures[plugin][figure] for plugin in PLUGINS)
        other = statistics.median(theirs)
        ratio = f"{statistics.median(ours) / other:.2f}" if other else ""
        lines.append(f"| {title} | {spread(ours)} | {spread(theirs)} | {ratio} |")
    return "\n".join(lines) + "\n"


def spread(values: list[float]) -> str:
    """Write the median, and the range where there is one."""
    text = f"{statistics.median(values):.3g}"
    if max(values) - min(values) > 0.005 * abs(max(values)):
        text += f" ({min(values):.3g} to {max(values):.3g})"
    return text


if __name__ == "__main__":
    sys.exit(main())
