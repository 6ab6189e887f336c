"""Run the benchmarks: ``python -m benchmarks [NAME …] [--quick]``, ``make bench ARGS=…``.

Each writes ``results/NAME.md``, ``.json`` and ``.svg``; with ``--quick`` each runs once and
shortly, prints its table, and writes nothing.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Page

# In this process, with a page each; and programs of their own.
PAGES = ("agent", "bargein", "memory", "neighbour", "stall", "webhooks", "scaling")
PROGRAMS = ("media", "livekit")


def main() -> None:
    """Run what the command line asks for."""
    assert __doc__
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join((*PROGRAMS, *PAGES)))
    parser.add_argument("--quick", action="store_true", help="a smoke run; writes nothing")
    parser.add_argument("--repeat", type=int, help="repetitions of each")
    parser.add_argument("--add", action="store_true", help="go on with what is written down")
    options = parser.parse_args()
    names = options.names or [*PROGRAMS, *PAGES]
    unknown = set(names) - {*PROGRAMS, *PAGES}
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    # What is running is ended with this, not left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = []
    for name in names:
        print(f"== {name}", flush=True)
        begun = time.monotonic()
        if name in PROGRAMS:
            well = program(name, options.quick, options.repeat)
        else:
            well = measured(name, options.quick, options.repeat, options.add)
        if not well:
            failed.append(name)
        print(f"== {name}: {time.monotonic() - begun:.0f} s", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def program(name: str, quick: bool, repeat: int | None) -> bool:
    """Run one that is a program of its own; whether it went well."""
    words = ["--quick"] * quick + ([] if repeat is None else ["--repeat", str(repeat)])
    # Called like the package that it measures: it cannot be found as a module.
    file = str(Path(__file__).with_name("livekit.py"))
    command = [sys.executable, *([file] if name == "livekit" else ["-m", f"benchmarks.{name}"])]
    command += words
    return subprocess.run(command, check=False).returncode == 0


def measured(name: str, quick: bool, repeat: int | None, add: bool) -> bool:
    """Run one that makes a page; whether it went well."""
    benchmark: Any = importlib.import_module(f"benchmarks.{name}")
    page: Page = benchmark.page()
    if add:
        page.restore()
    try:
        for _ in range(1 if quick else repeat or benchmark.REPEAT):
            benchmark.run(page, quick)
            if not quick:
                page.write()
    except (RuntimeError, OSError) as error:
        print(f"{name} failed: {error}", flush=True)
        return False
    print(page.table())
    print("\n".join(page.notes))
    return True


if __name__ == "__main__":
    main()
