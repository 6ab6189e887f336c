"""The media path, side by side: echo of 20 ms packets over each server's WebSocket.

    python benchmarks/media.py                     # writes results/media.{md,json}
    python benchmarks/media.py --quick             # one repetition of 3 s; writes nothing
    python benchmarks/media.py --servers ours,flask-sock --streams 50

Each server runs alone on one core, the load generator (``media_generator.py``) alone on another,
each in a process of its own.  CPU time is the server's own, read from the kernel, so it stands on a
busy machine too; latencies and gaps do not, and the generator's lateness says when to doubt them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = ROOT / ".venv-peer" / "bin" / "python"
RESULTS = HERE / "results"


@dataclass(frozen=True)
class Server:
    """How a server is run.

    Attributes:
        what: what it does, for the table.
        command: words after the interpreter; ``{port}`` is filled in.
        peer: whether it runs in the peers' environment.
        needs: the module that has to be there.
        environ: what it is told.
    """

    what: str
    command: tuple[str, ...]
    peer: bool = False
    needs: str = "gunicorn"
    environ: dict[str, str] = field(default_factory=dict)


OURS = ("-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "--bind", "127.0.0.1:{port}",
        "benchmarks.mediaservers.ours:make_app()")  # fmt: skip
UVICORN = ("-m", "uvicorn", "--port", "{port}", "--log-level", "error", "--app-dir",
           str(HERE / "mediaservers"))  # fmt: skip

SERVERS = {
    "ours": Server(
        "the real app and route: ordering, decoding, metrics; no VAD", OURS,
        environ={"BENCH_VAD": "off"},
    ),
    "ours-vad": Server("the same with the voice detector (Silero) and turn taking", OURS),
    "flask-sock": Server(
        "bare: parse, base64, send back; gunicorn gthread",
        ("-m", "gunicorn", "-k", "gthread", "--threads", "460", "--bind", "127.0.0.1:{port}",
         "--no-control-socket", "bare_flask:app"),
        peer=True, needs="flask_sock",
    ),
    "fastapi": Server(
        "bare: parse, base64, send back; uvicorn", (*UVICORN, "bare_fastapi:app"),
        peer=True, needs="fastapi",
    ),
    "pipecat": Server(
        "Telnyx serializer, 8 kHz pipeline, default 40 ms packets; uvicorn",
        (*UVICORN, "pipecat_echo:app"), peer=True, needs="pipecat",
    ),
}  # fmt: skip

KEY = "iB4kfZUoQ7hDsWjvJfhf3M1dn0kQWvuI1mYzCkrN8m8="
COLUMNS = {
    "cpu_us_per_frame": "CPU µs/frame", "cpu_share": "core %", "rss_mb": "RSS MB",
    "echo_p50_ms": "echo p50 ms", "echo_p99_ms": "echo p99 ms", "back_percent": "back %",
    "gaps": "gaps", "late_p99_ms": "generator late p99 ms",
}  # fmt: skip


def interpreter(server: Server) -> Path | None:
    """Get the Python that has what the server needs."""
    python = PEERS if server.peer else Path(sys.executable)
    if not python.exists():
        return None
    looked = subprocess.run(
        [python, "-c", f"import {server.needs}"], capture_output=True, check=False
    )
    return python if looked.returncode == 0 else None


def pinned(core: int | None) -> list[str]:
    """Get the words that pin a command to a core, where that can be done."""
    return [] if core is None else ["taskset", "-c", str(core)]


def measure(
    server: Server, python: Path, streams: int, warmup: float, seconds: float, cores: list[int]
) -> dict[str, float]:
    """Run a server and the generator once."""
    with TemporaryDirectory() as folder, socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        reserved.close()
        url = f"http://127.0.0.1:{port}"
        inherited = {k: os.environ[k] for k in ("PATH", "HOME", "LANG") if k in os.environ}
        environ = {
            **inherited, "PYTHONPATH": str(ROOT), "NO_PROXY": "*", "PUBLIC_URL": url,
            "TELNYX_API_KEY": "KEY0", "TELNYX_PUBLIC_KEY": KEY, "BRIDGE_HOME": folder,
            "BRIDGE_MAX_CALLS": str(streams + 1), "BRIDGE_THREADS": str(streams * 8 // 7 + 64),
            "LOG_LEVEL": "error", **server.environ,
        }  # fmt: skip
        if server.peer:
            del environ["PYTHONPATH"]
        command = [word.format(port=port) for word in server.command]
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*pinned(cores[0] if len(cores) > 1 else None), str(python), *command],
                env=environ, cwd=HERE / "mediaservers" if server.peer else ROOT,
                stdout=out, stderr=out,
            )  # fmt: skip
        try:
            await_server(url, process, log)
            words = [url, *map(str, (streams, warmup, seconds, process.pid))]
            done = subprocess.run(
                [*pinned(cores[1] if len(cores) > 1 else None), sys.executable,
                 str(HERE / "media_generator.py"), *words],
                capture_output=True, text=True, timeout=warmup + seconds + 120, check=False,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"{done.stderr[-600:]}\n{log.read_text()[-1200:]}")
            result: dict[str, float] = json.loads(done.stdout)
            if not result["back_percent"]:
                raise RuntimeError("nothing came back")
            return result
        finally:
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                end_tree(process)


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """End a server that has streams left, and its workers."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for child in children.read_text().split() if children.exists() else ():
        os.kill(int(child), 9)
    process.kill()
    process.wait()


def await_server(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until it answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    limit = time.monotonic() + 90
    while time.monotonic() < limit and process.poll() is None:
        try:
            opener.open(f"{url}/healthz", timeout=5)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-1500:]}")


def summary(runs: list[dict[str, float]], column: str) -> str:
    """Write the median of the repetitions, and their range if they differ."""
    values = [run[column] for run in runs if run[column] is not None]
    if not values:
        return "-"
    middle, low, high = statistics.median(values), min(values), max(values)
    digits = 0 if column in ("gaps", "cpu_share", "rss_mb") else 1
    text = f"{middle:.{digits}f}"
    return text if low == high else f"{text} ({low:.{digits}f}-{high:.{digits}f})"


def table(results: dict[str, dict[str, list[dict[str, float]]]]) -> str:
    """Write the results as a table."""
    lines = [
        "| server | streams | " + " | ".join(COLUMNS.values()) + " |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    for name, by_streams in results.items():
        for streams, runs in by_streams.items():
            cells = [summary(runs, column) for column in COLUMNS]
            lines.append(f"| {name} | {streams} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report(
    results: dict[str, dict[str, list[dict[str, float]]]], skipped: list[str], seconds: float
) -> str:
    """Write the page of results."""
    loads = [run["load"] for by in results.values() for runs in by.values() for run in runs]
    cpu = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    what = "\n".join(f"- **{name}**: {SERVERS[name].what}." for name in results)
    notes = "".join(f"- {line}\n" for line in skipped)
    return f"""# Media path

Echo of 20 ms PCMU packets over loopback, no TLS, {seconds:g} s a run; median of the repetitions
(lowest-highest). Machine: {len(cpu)} x {cpu[0] if cpu else platform.machine()},
{platform.system()} {platform.release()}, Python {platform.python_version()}.
Load average during the runs: {min(loads):.1f} to {max(loads):.1f}; where it is above the number of
cores, only CPU time per frame can be compared, not latencies and gaps.

{table(results)}

{what}
{notes}"""


def write(
    results: dict[str, dict[str, list[dict[str, float]]]], skipped: list[str], seconds: float
) -> None:
    """Write what there is so far."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "media.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "media.md").write_text(report(results, skipped, seconds))


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--streams", default="1,50,200")
    parser.add_argument("--seconds", type=float, default=10)
    # A pipeline takes a while to be up, and fifty of them longer.
    parser.add_argument("--warmup", type=float, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-pin", action="store_true", help="let the system choose the cores")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    seconds, repeat = (3.0, 1) if options.quick else (options.seconds, options.repeat)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if options.no_pin:
        cores = []
    results: dict[str, dict[str, list[dict[str, float]]]] = {}
    skipped: list[str] = []
    for name in options.servers.split(","):
        python = interpreter(SERVERS[name])
        if python is None:
            skipped.append(f"{name} was skipped: {SERVERS[name].needs} is not installed.")
            print(skipped[-1], flush=True)
            continue
        for streams in options.streams.split(","):
            for _ in range(repeat):
                try:
                    run = measure(
                        SERVERS[name], python, int(streams), options.warmup, seconds, cores
                    )
                except RuntimeError as error:
                    line = str(error).strip().splitlines()[-1]
                    skipped.append(f"{name} at {streams} streams failed: {line}")
                    print(error if options.quick else skipped[-1], flush=True)
                    break
                results.setdefault(name, {}).setdefault(streams, []).append(run)
                print(name, streams, json.dumps(run), flush=True)
                if not options.quick:
                    write(results, skipped, seconds)
    if not results:
        sys.exit("nothing was measured")
    print(table(results))
    if not options.quick:
        write(results, skipped, seconds)


if __name__ == "__main__":
    main()
