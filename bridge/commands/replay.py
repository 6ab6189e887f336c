"""``bridge replay``: a call that was held once, its caller played to an agent again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.commands.calls import find
from bridge.commands.simulated import (
    agent_option,
    call_own_agent,
    codec_option,
    out_option,
    require_words,
)
from bridge.demo import past
from bridge.demo.scripts import Script
from bridge.demo.timeline import Item
from bridge.errors import BridgeError
from bridge.records.store import RecordStore
from bridge.settings import Settings
from bridge.storage import make_storage


@click.command("replay")
@click.argument("call")
@agent_option
@codec_option()
@click.option(
    "--exact",
    is_flag=True,
    help="Play the caller's side as it was, in one piece, whatever the agent does.",
)
@out_option("replayed-call")
def command(call: str, agent: str | None, codec: str | None, exact: bool, out: Path) -> None:
    """Play the caller of an earlier call to the agent again, and print both conversations.

    CALL is the id of a recorded call, or its beginning; a directory that demo, simulate or replay
    has left; or a WAV file with the caller left and the agent right. The caller speaks when the
    agent has stopped, or breaks in where they did. The agent is called through the real app over
    simulated Telnyx, with the BRIDGE_ settings of the environment.
    """
    settings = Settings.from_environ()
    before = _load(call, settings)
    if out.exists() and Path(call).exists() and out.samefile(call):
        raise click.UsageError("--out is the directory of the call itself")
    if before.keys:
        click.echo(f"{before.keys} keys were pressed, which no record has: left out", err=True)
    name = agent or settings.agent
    with TemporaryDirectory(prefix="bridge-replay-") as folder:
        caller = past.steps(before, Path(folder), exact=exact)
        script = Script(name="replay", title=f"{before.name} again", agent=name, caller=caller)
        outcome = call_own_agent(script, codec, out, settings)
    show(before, outcome.items)
    require_words(outcome, out)


def _load(call: str, settings: Settings) -> past.Past:
    path = Path(call)
    if path.is_dir():
        return past.of_directory(path)
    if path.is_file():
        return past.of_wav(path.read_bytes(), call)
    if path.suffix or os.sep in call:
        raise click.UsageError(f"there is no file or directory {call}")
    store = RecordStore.of(settings.database_url, settings.home)
    try:
        record = find(store, call)
    finally:
        store.close()
    recording = next((found for found in record.recordings if found.channels == 2), None)
    if recording is None or settings.recordings is None:
        raise BridgeError(
            "that call has no recording"
            if recording is None
            else "BRIDGE_RECORDINGS does not say where recordings are"
        )
    stored = make_storage(settings.recordings, settings.home).read(recording.location)
    if stored is None:
        raise BridgeError("the recording of that call is not there any more")
    try:
        data = b"".join(stored.blocks)
    finally:
        stored.close()
    return past.of_record(record, recording, data)


def show(before: past.Past, items: Sequence[Item], console: Console | None = None) -> None:
    """Print two conversations beside each other, turn by turn."""
    table = Table(title=None, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("before", ratio=1)
    table.add_column("now", ratio=1)
    now = [
        past.Remark(item.speaker, item.heard if item.speaker == "agent" else item.text, item.start)
        for item in items
    ]
    for old, new in pairs(before.remarks, now):
        table.add_row(*(_cell(remark) for remark in (old, new)))
    (console or Console(highlight=False)).print(table)


def pairs(
    old: Sequence[past.Remark], new: Sequence[past.Remark]
) -> list[tuple[past.Remark | None, past.Remark | None]]:
    """Put what answers the same turn of the caller into one row, as far as there is such a turn."""
    rows: list[tuple[past.Remark | None, past.Remark | None]] = []
    one, other = list(old), list(new)
    while one or other:
        left, right = one[:1], other[:1]
        if left and right and left[0].speaker != right[0].speaker:
            # Whoever spoke twice in a row does so here; the caller's turns keep the two in step.
            if left[0].speaker == "agent":
                right = []
            else:
                left = []
        rows.append((left[0] if left else None, right[0] if right else None))
        del one[: len(left)], other[: len(right)]
    return rows


def _cell(remark: past.Remark | None) -> Text:
    if remark is None:
        return Text("")
    cell = Text(f"{remark.at:6.1f} s  ", "dim")
    cell.append(f"{remark.speaker}: ", "cyan" if remark.speaker == "caller" else "yellow")
    # Not what a terminal would obey rather than show.
    cell.append("".join(sign if sign.isprintable() else " " for sign in remark.text))
    return cell
