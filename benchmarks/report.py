"""Write down what was measured: a table, its numbers as JSON, and a plot, in ``results/``.

A benchmark makes a :class:`Page` and calls :meth:`Page.write`, again after each repetition if it
likes, so that an interrupted run leaves what it has.  Every figure stands as the median of its
repetitions with their spread, and as a ratio to the row that it is compared with.

Plots are drawn by matplotlib, which lives with the peers (``requirements-peers.txt``); without it
a page has no plot, and says so.  ``python benchmarks/report.py results/NAME.json`` draws a page's
plot again.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["PEERS", "RESULTS", "Column", "Page", "Panel", "Row", "machine", "spread", "versions"]

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PEERS = HERE.parent / ".venv-peer" / "bin" / "python"

Figure = float | int | None


@dataclass(frozen=True)
class Column:
    """What is shown of each row.

    Attributes:
        key: of the figure in a repetition.
        title: heads the column; names the unit.
        digits: behind the point.
        ratio: whether a column beside it tells each row's share of the base row's.
    """

    key: str
    title: str
    digits: int = 1
    ratio: bool = False


@dataclass
class Row:
    """One thing under one condition, as often as it was measured.

    Attributes:
        name: of the thing.
        runs: a mapping of figures for each repetition.
        group: the condition; rows of one group are compared with each other.
    """

    name: str
    runs: list[dict[str, Figure]] = field(default_factory=list)
    group: str = ""

    def values(self, key: str) -> list[float]:
        """Get one figure of all repetitions that have it."""
        return [float(run[key]) for run in self.runs if run.get(key) is not None]  # type: ignore[arg-type]

    def median(self, key: str) -> float | None:
        """Get the median of a figure's repetitions."""
        values = self.values(key)
        return statistics.median(values) if values else None


@dataclass
class Panel:
    """One diagram.

    Attributes:
        title: above it.
        x: what the horizontal axis counts; ``""`` for bars, which have names instead.
        y: what the vertical axis counts, with its unit.
        lines: for each name its points ``(x, median, lowest, highest)``; for bars one point with
            any ``x``.
        log: whether the axes are logarithmic (bars: the vertical one).
        goal: a height to mark.
    """

    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float, float, float]]] = field(default_factory=dict)
    log: bool = False
    goal: float | None = None

    @classmethod
    def of(cls, title: str, x: str, y: str, key: str, rows: Iterable[Row], **more: Any) -> Panel:
        """Make a diagram of one figure: a line for each name over the groups, which are numbers.

        With ``x`` empty it has a bar for each row.
        """
        lines: dict[str, list[tuple[float, float, float, float]]] = {}
        for row in rows:
            values = row.values(key)
            if values:
                at = float(row.group) if x else 0.0
                point = (at, statistics.median(values), min(values), max(values))
                lines.setdefault(row.name, []).append(point)
        return cls(title, x, y, lines, **more)


@dataclass
class Page:
    """One benchmark's results.

    Attributes:
        name: of the files, without an ending.
        title: the headline.
        intro: what was measured and how, a paragraph or more.
        columns: of the table.
        rows: of the table, in order.
        base: the name of the row that the others of its group are compared with.
        groups: heads the column of the groups; ``""`` for none.
        panels: the plot's diagrams, side by side.
        notes: below the table, one line each.
        versions: name to version of what took part.
    """

    name: str
    title: str
    intro: str
    columns: Sequence[Column]
    rows: list[Row] = field(default_factory=list)
    base: str = ""
    groups: str = ""
    panels: list[Panel] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def row(self, name: str, group: object = "") -> Row:
        """Get the row of that name and group, made if need be."""
        for row in self.rows:
            if (row.name, row.group) == (name, str(group)):
                return row
        self.rows.append(Row(name, group=str(group)))
        return self.rows[-1]

    def note(self, line: str) -> None:
        """Put a line below the table, once."""
        if line not in self.notes:
            self.notes.append(line)

    @contextlib.contextmanager
    def if_there(self, name: str) -> Iterator[None]:
        """Do without a server that is not installed, and say so below the table."""
        try:
            yield
        except FileNotFoundError as error:
            self.note(f"{name} was skipped: {error}")

    def restore(self) -> None:
        """Take back the rows and notes that were written under this name, if there are any."""
        file = RESULTS / f"{self.name}.json"
        if file.exists():
            body = json.loads(file.read_text())
            self.rows = [Row(**row) for row in body["rows"]]
            self.notes = body["notes"]

    def table(self) -> str:
        """Write the table in Markdown."""
        heads = ["", *([self.groups] if self.groups else [])]
        for column in self.columns:
            heads.append(column.title)
            if column.ratio and self.base:
                heads.append(f"/ {self.base}")
        left = 2 if self.groups else 1
        lines = ["| " + " | ".join(heads) + " |"]
        lines.append("|" + " --- |" * left + " ---: |" * (len(heads) - left))
        for row in self.rows:
            cells = [row.name, *([row.group] if self.groups else [])]
            for column in self.columns:
                cells.append(spread(row.values(column.key), column.digits))
                if column.ratio and self.base:
                    cells.append(self._ratio(row, column.key))
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def _ratio(self, row: Row, key: str) -> str:
        base = next((r for r in self.rows if (r.name, r.group) == (self.base, row.group)), None)
        of, to = row.median(key), None if base is None else base.median(key)
        return "-" if of is None or not to else f"{of / to:.2f}"

    def markdown(self, plotted: bool = True) -> str:
        """Write the page."""
        facts = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        repeated = sorted({len(row.runs) for row in self.rows}) or [0]
        times = str(repeated[-1]) if len(repeated) == 1 else f"{repeated[0]} to {repeated[-1]}"
        parts = [
            f"# {self.title}",
            self.intro.strip(),
            f"Median of {times} repetitions (lowest to highest). {_sentence(machine())}"
            + (f" {facts}." if facts else ""),
            self.table(),
        ]
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes))
        if plotted:
            parts.append(f"![{self.title}]({self.name}.svg)")
        return "\n\n".join(parts) + "\n"

    def write(self) -> None:
        """Write ``results/NAME.json``, ``.svg`` and ``.md``."""
        RESULTS.mkdir(exist_ok=True)
        file = RESULTS / f"{self.name}.json"
        body = asdict(self) | {"machine": machine()}
        file.write_text(json.dumps(body, indent=1) + "\n")
        plotted = bool(self.panels) and draw(file)
        file.with_suffix(".md").write_text(self.markdown(plotted))


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Write the median of the repetitions, and their range if they differ."""
    if not values:
        return "-"
    middle, low, high = (
        f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values))
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def machine() -> dict[str, str]:
    """Get what this machine is, and how busy it has been in the last minute."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cores": str(os.cpu_count()),
        "processor": models[0] if models else platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _sentence(facts: Mapping[str, str]) -> str:
    return (
        f"Machine: {facts['cores']} cores, {facts['processor']}, {facts['system']}; "
        f"Python {facts['python']}; load average at the end {facts['load']}."
    )


def versions(*packages: str, python: Path | str = sys.executable) -> dict[str, str]:
    """Get the versions of those packages that an interpreter has."""
    script = (
        "import sys, json\nfrom importlib.metadata import version, PackageNotFoundError\nv = {}\n"
        "for name in sys.argv[1:]:\n try: v[name] = version(name)\n"
        " except PackageNotFoundError: pass\nprint(json.dumps(v))"
    )
    if not Path(python).exists():
        return {}
    done = subprocess.run(
        [str(python), "-c", script, *packages], capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def draw(file: Path) -> bool:
    """Draw the plot that goes with a page's JSON; False where matplotlib is not installed."""
    if not PEERS.exists():
        return False
    done = subprocess.run([PEERS, __file__, file], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"no plot: {done.stderr.strip().splitlines()[-1]}", flush=True)
    return not done.returncode


def _draw_here(file: Path) -> None:
    # Not imported by name: it is not there where types are checked.
    mpl: Any = importlib.import_module("matplotlib")
    mpl.use("svg")
    # Text stays text, and the same figures give the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9})
    pyplot: Any = importlib.import_module("matplotlib.pyplot")

    panels = json.loads(file.read_text())["panels"]
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(5.4 * len(panels), 3.8), squeeze=False, layout="constrained"
    )
    names = list(dict.fromkeys(name for panel in panels for name in panel["lines"]))
    for axis, panel in zip(axes[0], panels, strict=True):
        _draw_panel(axis, panel, {name: f"C{i % 10}" for i, name in enumerate(names)})
    figure.savefig(file.with_suffix(".svg"), metadata={"Date": None})


def _draw_panel(axis: Any, panel: dict[str, Any], colours: dict[str, str]) -> None:
    axis.set(title=panel["title"], ylabel=panel["y"])
    for number, (name, points) in enumerate(panel["lines"].items()):
        at, middle, low, high = zip(*sorted(points), strict=True)
        errors = [
            [m - edge for m, edge in zip(middle, low, strict=True)],
            [edge - m for m, edge in zip(middle, high, strict=True)],
        ]
        if panel["x"]:
            axis.errorbar(
                at, middle, errors, label=name, color=colours[name], marker="o", markersize=3,
                capsize=2, linewidth=2 if number == 0 else 1,
            )  # fmt: skip
        else:
            axis.bar(name, middle[0], yerr=[errors[0][:1], errors[1][:1]], color=colours[name],
                     capsize=3)  # fmt: skip
            axis.annotate(f"{middle[0]:.3g}", (number, middle[0]), xytext=(0, 3), ha="center",
                          textcoords="offset points")  # fmt: skip
    if panel["goal"] is not None:
        axis.axhline(panel["goal"], color="grey", linestyle=":", linewidth=1)
        axis.annotate("goal", (0, panel["goal"]), xycoords=("axes fraction", "data"),
                      xytext=(3, 2), textcoords="offset points", color="grey")  # fmt: skip
    if panel["log"]:
        axis.set_yscale("log")
        if panel["x"]:
            axis.set_xscale("log")
    if panel["x"]:
        axis.set_xlabel(panel["x"])
        axis.legend(frameon=False)
    else:
        axis.tick_params(axis="x", labelrotation=25)
    axis.grid(axis="y", alpha=0.3)


if __name__ == "__main__":
    for word in sys.argv[1:]:
        _draw_here(Path(word))
