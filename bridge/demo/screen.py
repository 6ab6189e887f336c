"""The call in the terminal, turn by turn as it goes, and its summary.

Pure, but that it prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
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
        self._console.print(f"[bold]{script.title.capitalize()}[/], over {codec}")

    def step(self, text: str) -> None:
        """Say what is being done."""
        self._console.print(Text(text, "dim"), soft_wrap=True)

    def turn(self, item: Item) -> None:
        """Show one turn."""
        color = "cyan" if item.speaker == "caller" else "yellow"
        line = Text(f"{item.start:6.1f} s  ", "dim")
        line.append(f"{item.speaker:<6}  ", f"bold {color}")
        if item.interrupted:
            line.append(item.heard)
            line.append(item.text[len(item.heard) :], "dim strike")
        else:
            line.append(item.text)
        # Behind the name, also where the words go over several lines.
        self._console.print(line)
        notes = []
        if item.latency is not None:
            notes.append(f"{item.latency * 1000:.0f} ms after the caller's last packet")
        if item.stopped_after is not None:
            notes.append(
                f"silent {item.stopped_after * 1000:.0f} ms after the caller's first sound"
            )
        if notes:
            self._console.print(Padding(Text("; ".join(notes), "dim"), (0, 0, 0, 18)))

    def summary(self, figures: Figures, checks: Sequence[Check], files: Sequence[Path]) -> None:
        """Show what the call came to."""
        self._console.print()
        table = Table.grid(padding=(0, 2))
        if figures.reply is not None and figures.beyond is not None:
            table.add_row(
                "caller's last packet to first reply frame",
                f"[bold]{figures.reply * 1000:.0f} ms[/]",
                f"median of {figures.replies}: {figures.endpoint * 1000:.0f} ms endpointing delay "
                f"and {figures.beyond * 1000:.0f} ms",
            )
        if figures.stopped is not None:
            table.add_row(
                "caller's first sound to clear", f"[bold]{figures.stopped * 1000:.0f} ms[/]", ""
            )
        self._console.print(table)
        for check in checks:
            mark = "[green]✓[/]" if check.passed else "[red]✗[/]"
            line = Text.from_markup(f"{mark} {check.what}: ")
            line.append(check.detail, "dim")
            self._console.print(line)
        for path in files:
            self._console.print(Text(str(path), "dim"))
