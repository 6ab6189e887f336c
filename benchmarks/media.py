"""The media path, side by side: echo of 20 ms packets over each server's WebSocket.

    python -m benchmarks.media               # once; 8 minutes; writes results/media.*
    python -m benchmarks.media --capacity    # how many streams each server holds; writes too
    python -m benchmarks.media --quick       # one repetition of 2 s; writes nothing
    python -m benchmarks.media --servers "ours;flask-sock" --streams 50

Each server runs alone on one core, the load generator (``media_generator.py``) alone on another,
each in a process of its own.  CPU time is the server's own, read from the kernel, so it stands on a
busy machine too; latencies and gaps do not, and the generator's lateness says when to doubt them.

With ``--add`` a run's repetitions are put beside those that are written down already.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report import PEERS, Column, Page, Panel, versions

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

Run = dict[str, float | int | None]


@dataclass(frozen=True)
class Server:
    """How a server is run.

    Attributes:
        what: what it does, for the page.
        command: words after the interpreter; ``{port}`` is filled in.
        peer: whether it runs in the peers' environment.
        needs: the module that has to be there; ``""`` for a program in C, made of ``command[0]``.
        environ: what it is told.
        warmup: seconds before it is measured; a pipeline takes a while to be up.  Each stream
            takes 10 ms more.
    """

    what: str
    command: tuple[str, ...]
    peer: bool = False
    needs: str = "gunicorn"
    environ: dict[str, str] = field(default_factory=dict)
    warmup: float = 2.0


OURS = ("-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "--bind", "127.0.0.1:{port}",
        "benchmarks.mediaservers.ours:make_app()")  # fmt: skip
UVICORN = ("-m", "uvicorn", "--port", "{port}", "--log-level", "error", "--app-dir",
           str(HERE / "mediaservers"))  # fmt: skip

SERVERS = {
    "ours": Server(
        "the real app and route: ordering, decoding, metrics; voice detection off", OURS,
        environ={"BENCH_VAD": "off"},
    ),
    "ours, VAD": Server(
        "the same with voice detection (Silero) and turn taking; half of each stream is a voice",
        OURS,
    ),
    "ours, reply": Server(
        "as ours, but sent as an agent's reply is: by playout and pacer, in frames of 100 ms; as "
        "speech that is there ahead of its time, it begins a second late", OURS,
        environ={"BENCH_VAD": "off", "BENCH_ECHO": "reply"},
    ),
    "pipecat": Server(
        "its Telnyx serializer and FastAPI transport in an 8 kHz pipeline, which sends frames of "
        "40 ms, as by default; uvicorn with uvloop; no voice detection",
        (*UVICORN, "pipecat_echo:app"), peer=True, needs="pipecat", warmup=4.0,
    ),
    "flask-sock": Server(
        "bare: parse, base64, send back; gunicorn gthread",
        ("-m", "gunicorn", "-k", "gthread", "--threads", "{threads}", "--bind", "127.0.0.1:{port}",
         "--worker-connections", "4000", "--no-control-socket", "bare_flask:app"),
        peer=True, needs="flask_sock",
    ),
    "FastAPI": Server(
        "bare: parse, base64, send back; uvicorn with uvloop", (*UVICORN, "bare_fastapi:app"),
        peer=True, needs="fastapi",
    ),
    "asyncio": Server(
        "bare: parse, base64, send back; the server of `websockets`", ("bare_asyncio.py", "{port}"),
        peer=True, needs="websockets",
    ),
    "C": Server(
        "bare: parse, base64, send back; one epoll. The limit", ("c_echo.c", "{port}"), needs="",
    ),
}  # fmt: skip

KEY = "iB4kfZUoQ7hDsWjvJfhf3M1dn0kQWvuI1mYzCkrN8m8="

COLUMNS = (
    Column("cpu_us_per_frame", "CPU µs/frame", ratio=True),
    Column("cpu_share", "core %", 0),
    Column("echo_p50_ms", "echo p50 ms"),
    Column("echo_p99_ms", "p99 ms"),
    Column("late_p99_ms", "late p99 ms"),
    Column("gaps", "gaps", 0),
    Column("back_percent", "back %"),
    Column("others_share", "others on its core %", 0),
    Column("rss_mb", "MB", 0),
    Column("generator_late_p99_ms", "generator late p99 ms", 2),
)
CAPACITY = (Column("streams", "streams held", 0, ratio=True),)

# What a stream may be late, in ms, for a server to hold it (and no gap may be heard).
LATENESS = 20.0

# How often a number of streams is tried that was not held while the generator itself was late, or
# others had more than so many percent of the server's core.
TRIES, OTHERS = 4, 8.0

INTRO = """\
Echo of 20 ms PCMU packets over loopback, no TLS. Server and load generator have a core each.

- **CPU**: of the server, from the kernel, per packet that came in, sending it back included.
- **echo**: from sending a packet to having it back. What packs packets together has the first of
  them back later.
- **late**: how much later a message came back than at the steady pace of its stream, which its
  promptest message sets; 99th percentile of all. What the generator sends late is counted from then
  on, and a search for the most streams tries again where it was late itself, or where others used
  the server's core.
- **gaps**: times that a player at the far end that holds 60 ms back had nothing to play."""

HELD = f"""\
So many streams at a time came back with a 99th percentile of lateness of at most {LATENESS:g} ms,
no gap at the far end and nothing lost; found by doubling, then halving the interval."""


class Failed(Exception):
    """A server did not start, or did not stand what it was given."""


def program(server: Server, folder: str, port: int, streams: int) -> list[str] | None:
    """Get the command that runs a server; ``None`` where what it needs is not there."""
    words = [word.format(port=port, threads=streams + 60) for word in server.command]
    if not server.needs:
        built = Path(folder) / "server"
        made = subprocess.run(
            ["cc", "-O2", "-o", built, HERE / "mediaservers" / words[0]], check=False
        )
        return None if made.returncode else [str(built), *words[1:]]
    python = PEERS if server.peer else Path(sys.executable)
    if not python.exists():
        return None
    looked = subprocess.run(
        [python, "-c", f"import {server.needs}"], capture_output=True, check=False
    )
    return None if looked.returncode else [str(python), *words]


def pinned(core: int) -> list[str]:
    """Get the words that pin a command to one of the cores, where there are two."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return ["taskset", "-c", str(cores[core])] if len(cores) > 1 else []


def environment(server: Server, folder: str, url: str, streams: int) -> dict[str, str]:
    """Get the environment of a server."""
    environ = {k: os.environ[k] for k in ("PATH", "HOME", "LANG") if k in os.environ}
    environ |= {"NO_PROXY": "*", "LOG_LEVEL": "error", **server.environ}
    if not server.peer:
        environ |= {
            "PYTHONPATH": str(ROOT), "PUBLIC_URL": url, "BRIDGE_HOME": folder,
            "TELNYX_API_KEY": "KEY0", "TELNYX_PUBLIC_KEY": KEY,
            "BRIDGE_MAX_CALLS": str(streams + 1), "BRIDGE_THREADS": str(streams * 8 // 7 + 64),
        }  # fmt: skip
    return environ


def measure(server: Server, streams: int, options: argparse.Namespace) -> Run | None:
    """Run a server and the generator once; ``None`` where what it needs is not there.

    Raises:
        Failed: the server did not stand it.
    """
    seconds = options.seconds
    warmup = options.warmup or server.warmup + streams / 100
    with TemporaryDirectory() as folder, socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        reserved.close()
        url = f"http://127.0.0.1:{port}"
        command = program(server, folder, port, streams)
        if command is None:
            return None
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*pinned(0), *command], env=environment(server, folder, url, streams),
                cwd=HERE / "mediaservers" if server.peer else ROOT, stdout=out, stderr=out,
            )  # fmt: skip
        try:
            await_server(url, process, log)
            words = [url, *map(str, (streams, warmup, seconds, process.pid))]
            done = subprocess.run(
                [*pinned(1), sys.executable, "-m", "benchmarks.media_generator", *words],
                cwd=ROOT, capture_output=True, text=True, timeout=warmup + seconds + 120,
                check=False,
            )  # fmt: skip
        finally:
            end_tree(process)
        if done.returncode:
            lines = [*log.read_text().splitlines()[-1:], *done.stderr.splitlines()[-1:]]
            raise Failed("; ".join(lines))
        figures: Run = json.loads(done.stdout)
        return figures | {"streams": streams}


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """End a server, which may have streams left, and its workers."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    below = children.read_text().split() if children.exists() else []
    process.kill()
    process.wait()
    for child in below:
        os.kill(int(child), 9)


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
    raise Failed(f"it did not start: {log.read_text()[-1500:]}")


def measure_all(page: Page, options: argparse.Namespace) -> None:
    """Measure each server at each number of streams, one repetition after the other."""
    for _ in range(options.repeat):
        for streams in options.streams:
            for name in options.servers:
                try:
                    run = measure(SERVERS[name], streams, options)
                except Failed as error:
                    note(page, f"{name} at {streams} streams failed: {error}")
                    continue
                if run is None:
                    note(page, f"{name} was left out: what it needs is not installed")
                    continue
                page.row(name, streams).runs.append(run)
                print(name, json.dumps(run), flush=True)
            save(page, options)


def note(page: Page, line: str) -> None:
    """Put a line below the table, once."""
    print(line, flush=True)
    if line not in page.notes:
        page.notes.append(line)


def holds(name: str, streams: int, options: argparse.Namespace) -> bool:
    """Whether a server holds so many streams; tried again where it was not to blame.

    Raises:
        Failed: the generator was late, or others used the server's core, each time; or what the
            server needs is not there.
    """
    for _ in range(TRIES):
        try:
            run = measure(SERVERS[name], streams, options)
        except Failed as error:
            print(name, streams, f"failed: {error}", flush=True)
            return False
        if run is None:
            raise Failed("what it needs is not installed")
        late = run["late_p99_ms"]
        held = run["gaps"] == 0 and run["back_percent"] == 100 and (late or 0) <= LATENESS
        print(name, "holds" if held else "does not hold", json.dumps(run), flush=True)
        generator, others = run["generator_late_max_ms"] or 0, run["others_share"] or 0
        if held or (generator <= LATENESS and others <= OTHERS):
            return held
    raise Failed(f"the machine was too busy with other things to tell about {streams} streams")


def search(name: str, options: argparse.Namespace) -> int:
    """Find how many streams a server holds, to some 8 %."""
    low, high = 0, 100
    while high <= options.most and holds(name, high, options):
        low, high = high, 2 * high
    while high - low > max(2, low // 12):
        middle = (low + high) // 2
        low, high = (middle, high) if holds(name, middle, options) else (low, middle)
    return low


def search_all(page: Page, options: argparse.Namespace) -> None:
    """Find how many streams each server holds, one repetition after the other."""
    for _ in range(options.repeat):
        for name in options.servers:
            try:
                page.row(name).runs.append({"streams": search(name, options)})
            except Failed as error:
                note(page, f"{name} was left out: {error}")
                continue
            save(page, options)


def save(page: Page, options: argparse.Namespace) -> None:
    """Write down what there is, unless it is a try."""
    page.rows.sort(key=lambda row: (int(row.group or 0), list(SERVERS).index(row.name)))
    names = {row.name for row in page.rows}
    servers = [f"- **{name}**: {SERVERS[name].what}." for name in SERVERS if name in names]
    page.intro = "\n\n".join([HELD if options.capacity else INTRO, "\n".join(servers)])
    if options.capacity:
        page.panels = [
            Panel.of("Streams on one core", "", "streams", "streams", page.rows, log=True, goal=500)
        ]
    else:
        rows = page.rows
        page.panels = [
            Panel.of(
                "CPU per packet", "streams", "µs", "cpu_us_per_frame", rows, log=True, goal=60
            ),
            Panel.of("Lateness, p99", "streams", "ms", "late_p99_ms", rows, log=True, goal=20),
        ]
    if not options.quick:
        page.write()


def make_page(options: argparse.Namespace) -> Page:
    """Make the page, with what stands on it already if that was asked for."""
    if options.capacity:
        page = Page("media-capacity", "Media path: streams on one core", HELD, CAPACITY)
    else:
        page = Page("media", "Media path", INTRO, COLUMNS, groups="streams")
    page.base = "ours"
    page.versions = versions("gunicorn", "msgspec", "websockets") | versions(
        "pipecat-ai", "fastapi", "uvicorn", "uvloop", "flask-sock", python=PEERS
    )
    if options.add:
        page.restore()
    return page


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", default=";".join(SERVERS), help="names, with ';' between")
    parser.add_argument("--streams", default="1,50,200,400")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--warmup", type=float, help="seconds (each server's own)")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--capacity", action="store_true", help="find how many streams are held")
    parser.add_argument("--most", type=int, default=1600, help="streams to try at most")
    parser.add_argument("--add", action="store_true", help="go on with what is written down")
    parser.add_argument("--quick", action="store_true", help="one short repetition; writes nothing")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.repeat = min(options.seconds, 2.0), 1
        options.most = min(options.most, 100)
    options.servers = options.servers.split(";")
    options.streams = [int(number) for number in options.streams.split(",")]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    page = make_page(options)
    try:
        (search_all if options.capacity else measure_all)(page, options)
    except KeyboardInterrupt:
        print("interrupted; what there is is written down", flush=True)
        save(page, options)
    print(page.table())
    if not any(row.runs for row in page.rows):
        sys.exit("nothing was measured")


if __name__ == "__main__":
    main()
