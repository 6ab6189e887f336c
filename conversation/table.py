"""The findings as a table, one row for each thing that is promised.

Pure.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from conversation.judge import Finding, Kind
from conversation.run import Outcome

TITLES: dict[Kind, str] = {
    "interruption": "Interruption: speech start to clear, wanted within 200 ms",
    "false alarm": "False alarm: end of the sound to the agent's going on, wanted within 300 ms",
    "echo": "Self-interruption, wanted never",
    "complete": "Endpointing after complete phrases: last sound to the answer's first, "
    "wanted under 700 ms at the median",
    "hesitation": "Endpointing in hesitations: cut in on, wanted under 5 %",
}


def rows(outcomes: Sequence[Outcome], agents: Sequence[str]) -> list[list[str]]:
    """Make the table's cells, the heads first; a row with one cell is a heading."""
    table: list[list[str]] = [["", *agents]]
    for kind, title in TITLES.items():
        names = list(dict.fromkeys(o.plan.row for o in outcomes if o.plan.kind == kind))
        if not names:
            continue
        table.append([title])
        for name in names:
            cells = []
            for agent in agents:
                found = [o.finding for o in outcomes if (o.agent, o.plan.row) == (agent, name)]
                cells.append(cell(kind, found))
            table.append([name, *cells])
    return table


def cell(kind: Kind, found: Sequence[Finding]) -> str:
    """Sum up what was found in one row for one agent."""
    if not found:
        return "-"
    times = sorted(f.seconds for f in found if f.seconds is not None)
    good = sum(f.good for f in found)
    if kind == "echo":
        return f"{round(sum(times))} stops"
    if kind == "hesitation":
        return f"{len(found) - good} of {len(found)} ({(len(found) - good) / len(found):.0%})"
    if kind == "false alarm":
        stopped = sorted(f.seconds for f in found if f.seconds)
        lost = len(found) - len(times)
        text = f"{good} of {len(found)}; stopped for {len(stopped)}"
        if stopped:
            text += f", {spread(stopped)}"
        anew = sum(f.what == "began anew" for f in found)
        return (
            text
            + (f"; fell silent {lost}" if lost else "")
            + (f"; began anew {anew}" if anew else "")
        )
    missed = len(found) - len(times)
    text = spread(times) if times else "never"
    if kind == "interruption":
        text = f"{good} of {len(found)}; {text}"
    return text + (f"; missed {missed}" if missed else "")


def spread(times: Sequence[float]) -> str:
    """Say median, ninth decile and worst in ms."""
    ninth = times[min(len(times) - 1, round(0.9 * (len(times) - 1)))]
    return f"{1000 * statistics.median(times):.0f} / {1000 * ninth:.0f} / {1000 * times[-1]:.0f} ms"


def misses(outcomes: Sequence[Outcome], agent: str) -> list[str]:
    """Say which promises one agent does not keep."""
    missed = []
    for kind in TITLES:
        found = [o.finding for o in outcomes if o.agent == agent and o.plan.kind == kind]
        bad = [f for f in found if not f.good]
        if kind == "hesitation":
            if found and len(bad) >= 0.05 * len(found):
                missed.append(f"cut in on {len(bad)} of {len(found)} hesitations")
        elif kind == "complete":
            times = [f.seconds for f in found if f.seconds is not None]
            if found and (bad or statistics.median(times) >= 0.7):
                missed.append("answered complete phrases too late, or not at all")
        elif bad:
            missed.append(f"{kind}: {len(bad)} of {len(found)} not as wanted")
    return missed


def markdown(table: Sequence[Sequence[str]]) -> str:
    """Write the table as Markdown."""
    head, *body = table
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in body:
        cells = [f"**{row[0]}**", *[""] * (len(head) - 1)] if len(row) == 1 else list(row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def heard_line(errors: Sequence[float]) -> str:
    """Say how far what the agent is told was heard is from what was."""
    sizes = sorted(abs(error) for error in errors)
    within = sum(size < 0.1 for size in sizes)
    return (
        f"what was heard, told against played, wanted within 100 ms: "
        f"{within} of {len(sizes)}; {spread(sizes)}"
    )
