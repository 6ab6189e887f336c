"""Hold one call and leave what it was: recording, transcript, page.

Blocks for the length of the call and a few seconds more.

Threads: the caller's own; the simulator and the app have theirs.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from bridge.demo.journal import JournalReader
from bridge.demo.page import Recording, make_page, milliseconds
from bridge.demo.screen import Screen
from bridge.demo.scripts import Script
from bridge.demo.server import AppServer
from bridge.demo.timeline import Figures, Item, Seen, Speech, Timeline
from bridge.demo.verdict import Check, judge, recognise
from bridge.errors import BridgeError
from bridge.simulator import SimulatedCall, Simulator
from bridge.simulator.offline.recognition import Recognizer
from bridge.simulator.offline.voices import Synthesizer
from telnyx_media.sync.threads import Deadline

# Seconds after which a call that does not end is given up.
LONGEST_CALL = 120.0
# Seconds between two looks at the app's journal, which grows a few times a minute.
LOOK = 0.1
# Seconds that the app may take to tell that the call has ended, after it has.
LAST_WORDS = 5.0

# The voice of the caller: the one that the recogniser understands best.
CALLER_VOICE = "low"

# The silence, in milliseconds, that ends a turn, as far as the words do not say otherwise.
ENDPOINT_MS = 500


@dataclass(frozen=True)
class Outcome:
    """What a call came to.

    Attributes:
        items: its turns.
        figures: its latencies.
        checks: what was judged.
        files: what was written.
    """

    items: Sequence[Item]
    figures: Figures
    checks: Sequence[Check]
    files: Sequence[Path]

    @property
    def passed(self) -> bool:
        """Whether everything came to what it should."""
        return all(check.passed for check in self.checks)


def play(
    script: Script,
    codec: str,
    out: Path,
    screen: Screen,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Outcome:
    """Hold a call as a script tells.

    Args:
        script: what is played.
        codec: of the leg, and asked for by the app.
        out: the directory for what is left; made if it is not there.
        screen: shows the call as it goes.
        variables: further settings of the app.

    Raises:
        BridgeError: the app did not start, or the call did not begin or end.
    """
    out.mkdir(parents=True, exist_ok=True)
    journal = out / "journal.jsonl"
    journal.unlink(missing_ok=True)
    screen.begin(script, codec)
    screen.step("loading the recogniser and the voices")
    Recognizer().warm_up()
    Synthesizer().warm_up()
    application = f"bridge.demo.wsgi:make_app({str(journal.resolve())!r})"
    settings = {
        "BRIDGE_AGENT": script.agent,
        "BRIDGE_CODEC": codec,
        "BRIDGE_HOME": str((out / "home").resolve()),
        "BRIDGE_ENDPOINT_MS": str(ENDPOINT_MS),
        "LOG_FORMAT": "json",
        **variables,
    }
    with (
        AppServer(application, out / "app.log") as app,
        Simulator(caller_voice=CALLER_VOICE) as telnyx,
    ):
        telnyx.webhook_url = f"{app.url}/telnyx/webhook"
        app.start({**settings, **telnyx.environ})
        screen.step(f"Telnyx is simulated at {telnyx.url}, the app answers at {app.url}")
        began = dt.datetime.now()
        call = telnyx.place_call(codec=codec, caller=script.caller)
        timeline = Timeline(call.begun_at)
        follow(call, telnyx, timeline, JournalReader(journal), screen)
        recording = Recording(call.said, call.heard, call.sample_rate)
    screen.step("recognising again what the caller heard")
    checks = judge_recording(script, timeline.items, recording, began)
    figures = timeline.figures(fading=bool(script.references))
    files = leave(script, timeline.items, figures, checks, recording, codec, began, out)
    return Outcome(timeline.items, figures, checks, files)


def follow(
    call: SimulatedCall,
    telnyx: Simulator,
    timeline: Timeline,
    journal: JournalReader,
    screen: Screen,
) -> None:
    """Show a call, and lay its time line, until it has ended.

    Raises:
        BridgeError: it never began, or does not end, or the agent failed.
    """
    deadline = Deadline(LONGEST_CALL)
    last: Deadline | None = None
    while True:
        entries = journal.read()
        for item in timeline.add(entries, seen(call, telnyx)):
            screen.turn(item)
        for entry in entries:
            if entry["what"] == "agent-error":
                raise BridgeError(f"the agent failed: {entry['error']}")
        if any(entry["what"] == "end" for entry in entries):
            return
        if call.ended and last is None:
            last = Deadline(LAST_WORDS)
        if last is not None and last.expired:
            if not journal.entries:
                raise BridgeError(f"the call was not answered ({call.hangup_cause})")
            return
        if deadline.expired:
            raise BridgeError(f"the call has not ended after {LONGEST_CALL:.0f} s")
        time.sleep(LOOK)


def seen(call: SimulatedCall, telnyx: Simulator) -> Seen:
    """Get what the simulated network has seen so far."""
    return Seen(
        speeches=[
            Speech(spoken.started_at, spoken.ended_at, spoken.text)
            for spoken in call.speech
            if spoken.started_at is not None and spoken.ended_at is not None
        ],
        frames=call.media,
        clears=call.clears,
        voices=[
            (session.opened_at - call.begun_at, session.first_audio[0])
            for session in telnyx.synthesis.sessions
            if session.first_audio
        ],
    )


def judge_recording(
    script: Script, items: Sequence[Item], recording: Recording, began: dt.datetime
) -> list[Check]:
    """Recognise what the caller heard and judge the call by it."""
    heard = recognise(recording.agent, recording.rate) if script.booking else []
    cut = ""
    for item in items:
        if item.interrupted:
            first, last = (2 * int(at * recording.rate) for at in (item.start, item.end))
            cut = " ".join(recognise(recording.agent[first:last], recording.rate))
    # Midnight may pass during a call.
    days = {day.date() + dt.timedelta(days=1) for day in (began, dt.datetime.now())}
    return judge(script, items, heard, days, cut)


def leave(
    script: Script,
    items: Sequence[Item],
    figures: Figures,
    checks: Sequence[Check],
    recording: Recording,
    codec: str,
    began: dt.datetime,
    out: Path,
) -> list[Path]:
    """Write the recording, the transcript and the page, and name the files."""
    names = ("recording.wav", "transcript.txt", "transcript.json", "call.html")
    audio, text, data, page = (out / name for name in names)
    audio.write_bytes(recording.wav())
    text.write_text("".join(f"{written(item)}\n" for item in items))
    data.write_text(
        json.dumps(
            {
                "script": script.name,
                "codec": codec,
                "began": began.isoformat(timespec="seconds"),
                "seconds": round(recording.seconds, 3),
                "passed": all(check.passed for check in checks),
                "figures": asdict(figures),
                "checks": [asdict(check) for check in checks],
                "turns": [asdict(item) for item in items],
            },
            indent=2,
        )
        + "\n"
    )
    page.write_text(make_page(script, items, figures, checks, recording, codec, began))
    return [audio, text, data, page]


def written(item: Item) -> str:
    """Write a turn as a line of text."""
    words = item.text
    if item.interrupted:
        words = f"{item.heard} [interrupted: {item.text[len(item.heard) :].strip()}]"
    note = "" if item.latency is None else f"  ({milliseconds(item.latency)})"
    return f"{item.start:6.1f} s  {item.speaker + ':':<7} {words}{note}"
