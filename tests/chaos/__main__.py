"""Run the chaos table: ``python -m tests.chaos [--calls N] [--workers N] [fault …]``."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence

from tests.chaos.measure import Outcome
from tests.chaos.scene import FAULTS, scene
from tests.loopback.postgres import find_binary

HEAD = ("fault", "calls", "ended", "silence", "unheard", "unknown", "doubled", "agents")
ROW = "{:<38} {:>5} {:>6} {:>8} {:>8} {:>8} {:>8} {:>7}"


def main() -> int:
    """Run it; 0 if every goal was met."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--log", action="store_true", help="print the server's log of each run")
    parser.add_argument("faults", nargs="*", help="parts of the names of what is to be run")
    options = parser.parse_args()
    chosen = [
        name
        for name in FAULTS
        if not options.faults or any(part in name for part in options.faults)
    ]
    redis_server, initdb = shutil.which("redis-server"), find_binary()
    if redis_server is None or initdb is None:
        print("chaos: redis-server and postgresql have to be installed", file=sys.stderr)
        return 1
    began = time.monotonic()
    print(f"{options.calls} calls on {options.workers} workers; {os.cpu_count()} cores")
    print("silence: longest at a caller's ear, s; unheard: numbers; unknown: keys; doubled: s\n")
    print(ROW.format(*HEAD), flush=True)
    met = True
    for name in chosen:
        with scene(redis_server=redis_server, initdb=initdb, workers=options.workers) as stage:
            stage.place(options.calls)
            FAULTS[name](stage)
            outcomes = stage.finish()
            load = os.getloadavg()[0]
            print(f"{_row(name, outcomes)}   load {load:.1f}", flush=True)
            met = met and all(_good(outcome) for outcome in outcomes)
            if options.log:
                for call, outcome in zip(stage.calls, outcomes, strict=True):
                    print(call.id, call.state, call.hangup_source, outcome, file=sys.stderr)
                print(stage.fleet.output, file=sys.stderr)
    print(f"\n{'every goal was met' if met else 'NOT every goal was met'}", end="")
    print(f" ({time.monotonic() - began:.0f} s)")
    return 0 if met else 1


def _row(name: str, outcomes: Sequence[Outcome]) -> str:
    return ROW.format(
        name,
        len(outcomes),
        f"{100 * sum(o.ended for o in outcomes) // max(1, len(outcomes))} %",
        f"{max(o.silence for o in outcomes):.2f}",
        sum(o.unheard for o in outcomes),
        sum(o.unknown for o in outcomes),
        f"{sum(o.duplicates for o in outcomes):.2f}",
        max(o.agents for o in outcomes),
    )


def _good(outcome: Outcome) -> bool:
    lost = outcome.unheard + outcome.unknown
    return outcome.ended and outcome.silence <= 3 and not lost and not outcome.duplicates


if __name__ == "__main__":
    sys.exit(main())
