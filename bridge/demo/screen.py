"""The call in the terminal, turn by turn as it goes, and its summary.

Pure, but that it prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.demo.scripts import Script
from bridge.demo.timeline import Figures, Item
from bridge.demo.verdict import Check


class Screen:
    """Prints a call."""

    def __init__(self, console: Console | None = None) -> None:
        """Print to ``console``, standard output if there is none."""
        self._console = Console(highlight=False) if console is None else console

    def begin(self, script: Script, codec: str) -> None:
        """Say what will happen."""
        self._console.print(f"[bold]{script.title[0].upper()}{script.title[1:]}[/], over {codec}")

    def step(self, text: str) -> None:
        """Say what is being done."""
        self._console.print(Text(text, "dim"), soft_wrap=True)

    def turn(self, item: Item) -> None:
        """Show one turn."""
        color = "cyan" if item.speaker == "caller" else "yellow"
        words = Text(item.text)
        if item.interrupted:
            words = Text(item.heard)
            words.append(item.text[len(item.heard) :], "dim strike")
        notes = []
        if item.latency is not None:
            notes.append(f"{item.latency * 1000:.0f} ms after the caller's last packet")
        if item.stopped_after is not None:
            notes.append(
                f"silent {item.stopped_after * 1000:.0f} ms after the caller's first sound"
            )
        if notes:
            words.append("\n" + "; ".join(notes), "dim")
        row = Table.grid(padding=(0, 2), pad_edge=True)
        row.add_column(width=9, justify="right", no_wrap=True)
        row.add_column(width=6, no_wrap=True)
        row.add_column()
        row.add_row(Text(f"{item.start:.1f} s", "dim"), Text(item.speaker, f"bold {color}"), words)
        self._console.print(row)

    def summary(self, figures: Figures, checks: Sequence[Check], files: Sequence[Path]) -> None:
        """Show what the call came to."""
        self._console.print()
        table = Table.grid(padding=(0, 2))
        for figure, what, note in (
            (figures.reply, "caller's last packet to first reply frame",
             f"median of {figures.replies}"),
            (figures.chosen, "  of that, the chosen endpointing delay", ""),
            (figures.voice, "  of that, the simulated voice's computing", ""),
            (figures.beyond, "  and the rest", ""),
            (figures.stopped, "caller's first sound to clear", ""),
        ):  # fmt: skip
            if figure is not None:
                table.add_row(what, f"[bold]{figure * 1000:.0f} ms[/]", f"[dim]{note}[/]")
        self._console.print(table)
        for check in checks:
            mark = "[green]✓[/]" if check.passed else "[red]✗[/]"
            line = Text.from_markup(f"{mark} {check.what}: ")
            line.append(check.detail, "dim")
            self._console.print(line, soft_wrap=True)
        for path in files:
            self._console.print(Text(str(path), "dim"), soft_wrap=True)
