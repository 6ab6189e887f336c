"""``bridge doctor``: everything that can be wrong, and what to do for each."""

from __future__ import annotations

import click
from rich.console import Console
from rich.text import Text

from bridge.doctor import examine
from bridge.settings import Settings

SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "red"),
         "skipped": ("-", "dim")}  # fmt: skip


@click.command()
@click.option("--explain", is_flag=True, help="List every environment variable and what it means.")
def command(explain: bool) -> int:
    """Check everything that can be wrong, and say what to do for each.

    Looks at the settings, the agent, the database, Redis, the port, the Telnyx account (keys,
    clock, application, numbers, deliveries, engines, voices) and the public address. Changes
    nothing. Exit status 1 if calls would fail.
    """
    console = Console(soft_wrap=True, highlight=False)
    if explain:
        for name, text in Settings.descriptions().items():
            console.print(Text.assemble((f"{name:<28}", "bold"), text))
        return 0
    problems = 0
    for finding in examine():
        sign, style = SIGNS[finding.state]
        console.print(Text.assemble((f"{sign} ", style), f"{finding.subject:<16} ", finding.text))
        if finding.remedy:
            console.print(Text.assemble(" " * 19, ("→ ", style), finding.remedy))
        problems += finding.state == "problem"
    if problems:
        console.print(f"{problems} {'problem' if problems == 1 else 'problems'}")
    return 1 if problems else 0
