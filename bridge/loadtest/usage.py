"""What a process and its children have used: read from ``/proc``, where there is one."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """Of a process and all below it.

    Attributes:
        cpu: seconds of CPU time so far.
        memory: bytes in memory.
    """

    cpu: float
    memory: int


def usage(pid: int) -> Usage | None:
    """Get what a process tree has used; ``None`` on a system without ``/proc``."""
    if not (PROC / "self/stat").exists():
        return None
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    found: dict[int, tuple[int, float, int]] = {}
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        # A process may end while it is looked at.
        with contextlib.suppress(OSError):
            # The name before the last bracket may hold anything.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            cpu = (int(fields[11]) + int(fields[12])) / tick
            found[int(folder.name)] = int(fields[1]), cpu, int(fields[21]) * page
    tree = {pid}
    while True:
        grown = tree | {child for child, (parent, _, _) in found.items() if parent in tree}
        if grown == tree:
            break
        tree = grown
    seen = [found[member] for member in tree if member in found]
    return Usage(sum(cpu for _, cpu, _ in seen), sum(memory for _, _, memory in seen))
