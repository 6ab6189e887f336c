"""A recorded call is cut into what its caller did, and when."""

from __future__ import annotations

import io
import json
import math
import struct
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from bridge.commands.replay import pairs
from bridge.demo.past import (
    MARGIN,
    PAUSE,
    Past,
    Remark,
    Stretch,
    of_directory,
    of_record,
    of_wav,
    steps,
    stretches,
)
from bridge.errors import BridgeError
from bridge.records.schema import CallRecord, RecordingRecord, RemarkRecord
from telnyx_media.pcm import read_wav, stereo, write_wav

RATE = 8000


def tone(seconds: float, level: int = 8000) -> bytes:
    """Make a sound."""
    count = round(seconds * RATE)
    return struct.pack(f"<{count}h", *(round(level * math.sin(at / 3)) for at in range(count)))


def quiet(seconds: float) -> bytes:
    """Make none."""
    return bytes(2 * round(seconds * RATE))


def wav(caller: bytes, agent: bytes) -> bytes:
    """Make a recording."""
    length = max(len(caller), len(agent))
    file = io.BytesIO()
    write_wav(file, stereo(caller.ljust(length, b"\0"), agent.ljust(length, b"\0")), RATE, 2)
    return file.getvalue()


def close(found: Stretch, start: float, end: float, agent: float | None, gap: float) -> bool:
    """Whether a stretch is this one, to a window's length."""
    wanted = (start, end, agent or 0.0, gap)
    values = (found.start, found.end, found.agent or 0.0, found.gap)
    return (found.agent is None) == (agent is None) and all(
        abs(one - other) < 0.05 for one, other in zip(values, wanted, strict=True)
    )


CALLER = quiet(3) + tone(1) + quiet(0.6) + tone(0.5) + quiet(3.9) + tone(1) + quiet(1)
AGENT = quiet(0.5) + tone(2) + quiet(3.5) + tone(4)


def test_the_callers_side_is_cut_where_they_were_silent_for_long() -> None:
    """A pause for thought is none; what the agent did then is known for each stretch."""
    found = stretches(of_wav(wav(CALLER, AGENT), "call"))
    assert len(found) == 2
    # Half a second after the agent's greeting; and three seconds into its answer.
    assert close(found[0], 3.0, 5.1, None, 0.5)
    assert close(found[1], 9.0, 10.0, 3.0, 3.9)


def test_a_click_is_no_stretch() -> None:
    """Nor is a silent line."""
    past = of_wav(wav(quiet(2) + tone(0.04) + quiet(2) + tone(0.5), tone(1)), "call")
    assert [round(found.start, 1) for found in stretches(past)] == [4.0]


def test_the_caller_waits_for_the_agent_or_breaks_in_again(tmp_path: Path) -> None:
    """As long after its end, or its beginning, as they did then; and hangs up."""
    past = of_wav(wav(CALLER, AGENT), "call")
    first, second = stretches(past)
    wait, play, barge_in, hang_up = steps(past, tmp_path)
    assert wait == {"wait": round(first.gap - PAUSE, 2), "when": "agent_stops"}
    assert play["when"] == "now"
    assert barge_in["when"] == {"agent_speaking": round(second.agent or 0.0, 2)}
    assert hang_up == {"hangup": True}
    pcm, rate = read_wav(play["play"])
    assert rate == RATE
    assert len(pcm) / (2 * RATE) == pytest.approx(first.end - first.start + 2 * MARGIN, abs=0.01)


def test_the_callers_side_can_be_played_as_it_was(tmp_path: Path) -> None:
    """In one piece, whatever the agent does."""
    past = of_wav(wav(CALLER, AGENT), "call")
    play, hang_up = steps(past, tmp_path, exact=True)
    assert (play["when"], hang_up) == ("now", {"hangup": True})
    assert read_wav(play["play"]) == (past.caller, RATE)


def test_the_caller_is_on_the_left() -> None:
    """As in all recordings of this project."""
    past = of_wav(wav(tone(1), quiet(1)), "call")
    assert past.caller == tone(1)
    assert past.agent == quiet(1)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no WAV file"),
        (b"RIFFxxxxWAVEjunk", "no WAV file"),
        (wav(quiet(1), tone(1)), "nothing is to be heard of the caller"),
    ],
)
def test_what_is_no_recording_of_a_caller_is_refused(data: bytes, why: str) -> None:
    """In one line that names it."""
    with pytest.raises(BridgeError, match=why):
        of_wav(data, "call")


def test_one_channel_is_not_enough() -> None:
    """Nobody could tell the two apart."""
    file = io.BytesIO()
    write_wav(file, tone(1), RATE)
    with pytest.raises(BridgeError, match="two channels"):
        of_wav(file.getvalue(), "call")


def test_what_the_demo_leaves_can_be_read(tmp_path: Path) -> None:
    """Its recording, and what was said and heard."""
    (tmp_path / "recording.wav").write_bytes(wav(CALLER, AGENT))
    turns = [
        {"speaker": "agent", "text": "Good day to you.", "heard": "Good day", "start": 0.5},
        {"speaker": "caller", "text": "Hello.", "heard": "", "start": 3.0},
    ]
    (tmp_path / "transcript.json").write_text(json.dumps({"turns": turns}))
    past = of_directory(tmp_path)
    assert past.remarks == (Remark("agent", "Good day", 0.5), Remark("caller", "Hello.", 3.0))


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"turns": [{}]}'])
def test_a_directory_of_something_else_is_refused(tmp_path: Path, text: str | None) -> None:
    """In one line that says what is missing."""
    (tmp_path / "recording.wav").write_bytes(wav(CALLER, AGENT))
    if text is not None:
        (tmp_path / "transcript.json").write_text(text)
    with pytest.raises(BridgeError, match="has no recording"):
        of_directory(tmp_path)


def test_a_record_is_laid_over_its_recording() -> None:
    """Times count from the recording's beginning; keys are counted, since no record has them."""
    began = datetime(2026, 11, 22, 10, 0, tzinfo=timezone.utc)
    record = CallRecord(id="leg-1", began_at=began)
    record.remarks = [
        RemarkRecord(id="1", speaker="agent", text="Good day to you.", heard="Good day", digits=0,
                     at=began + timedelta(seconds=2)),
        RemarkRecord(id="2", speaker="caller", text="", heard="", digits=4,
                     at=began + timedelta(seconds=4)),
    ]  # fmt: skip
    recording = RecordingRecord(id="r", location="x", began_at=began + timedelta(seconds=1.5))
    past = of_record(record, recording, wav(CALLER, AGENT))
    assert (past.remarks, past.keys) == ((Remark("agent", "Good day", 0.5),), 4)


def test_two_conversations_are_kept_in_step_by_the_callers_turns() -> None:
    """An agent that says more, or less, than the old one has a row of its own."""
    old = [Remark("agent", "a", 0), Remark("caller", "b", 1), Remark("agent", "c", 2)]
    new = [
        Remark("caller", "b", 1),
        Remark("agent", "c", 2),
        Remark("agent", "d", 3),
    ]
    assert pairs(old, new) == [
        (old[0], None),
        (old[1], new[0]),
        (old[2], new[1]),
        (None, new[2]),
    ]
    assert pairs([], []) == []
    assert Past("x", b"", b"", RATE).remarks == ()
