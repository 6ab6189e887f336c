"""The agent of the chaos calls: it counts aloud, and goes on where the caller heard it last.

It runs inside the server under test and writes down, line by line, when it began and ended and what
history it had, so that the harness can see whether two of them ever held one call.

Threads: the agent's own.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bridge import Call

# Numbers said in one breath, and in one call.
BREATH = 6
COUNT = int(os.environ.get("CHAOS_COUNT", "60"))


def answer(call: Call) -> None:
    """Count to the end, then hang up."""
    note = _notebook(call)
    note("begun", resumed=call.resumed, **_history(call))
    ended = "cut"
    try:
        at = last_heard(call) if call.resumed else 0
        # One long reply: what is measured are the faults, not the pauses between replies.
        call.say(_breaths(at), interruptible=False)
        # The caller's last key may still be on its way.
        call.listen(1)
        ended = "complete"
    finally:
        note(ended, **_history(call))


def _breaths(at: int) -> Iterator[str]:
    while at < COUNT:
        numbers = range(at + 1, min(at + BREATH, COUNT) + 1)
        # Sentences, as of any language, which takes a letter in each: they are synthesised, and
        # known to be heard, one by one.  All words are of one length, like their sounds.
        yield f"{' '.join(f'n{number:03}' for number in numbers)}. "
        at = numbers[-1]


def last_heard(call: Call) -> int:
    """Get the last number that the caller has heard for certain."""
    heard = [remark.heard for remark in call.history if remark.speaker == "agent"]
    numbers = [int(number) for text in heard for number in re.findall(r"\d+", text)]
    return max(numbers, default=0)


def _history(call: Call) -> dict[str, Any]:
    remarks = call.history
    return {
        "keys": "".join(remark.digits for remark in remarks),
        "said": max((int(n) for r in remarks for n in re.findall(r"\d+", r.text)), default=0),
    }


def _notebook(call: Call) -> Callable[..., None]:
    path = Path(os.environ["CHAOS_NOTES"]) / f"{os.getpid()}.jsonl"
    leg = call.info.call_leg_id

    def note(what: str, **facts: Any) -> None:
        line = {"what": what, "leg": leg, "at": time.monotonic(), "process": os.getpid(), **facts}
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    return note
