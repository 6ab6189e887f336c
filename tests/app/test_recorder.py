"""The stereo recording of a call."""

from __future__ import annotations

import stat
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.recorder import CallRecorder, RecordingWriter
from telnyx_media.codecs import make_codec

RATE = 8000
PACKET = 160


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RecordingWriter]:
    """A writer into a directory that does not exist yet."""
    with RecordingWriter(tmp_path / "calls" / "today") as made:
        yield made


def packet(value: int) -> bytes:
    """20 ms of one value."""
    return value.to_bytes(2, "little", signed=True) * PACKET


def payload(value: int) -> bytes:
    """The same as L16 on the wire."""
    return packet(value)


def make(writer: RecordingWriter, clock: Clock, name: str = "call") -> CallRecorder:
    """A recorder whose agent speaks L16 at 8 kHz, so that values survive."""
    return CallRecorder(writer, name, make_codec("L16", RATE), clock=clock)


def channels(path: Path) -> tuple[list[int], list[int]]:
    """Read one value per packet of each channel."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, RATE)
        frames = file.getnframes()
        samples = memoryview(file.readframes(frames)).cast("h")
    at = range(PACKET // 2, frames, PACKET)
    return [samples[2 * i] for i in at], [samples[2 * i + 1] for i in at]


def run(recorder: CallRecorder, clock: Clock, packets: int, value: int = 1) -> None:
    """Let the caller's audio come for so many packets."""
    for _ in range(packets):
        recorder.inbound(packet(value), RATE)
        clock.now += 0.02


def test_both_sides_are_where_they_were(writer: RecordingWriter) -> None:
    """The caller is left and the agent right, each at the time it was heard."""
    clock = Clock()
    recorder = make(writer, clock)
    run(recorder, clock, 10)
    for value in (21, 22, 23):
        recorder.outbound(payload(value))
    run(recorder, clock, 10, 2)
    recorder.close()
    writer.close()
    assert recorder.path is not None
    left, right = channels(recorder.path)
    assert left == [1] * 10 + [2] * 10
    assert right == [0] * 10 + [21, 22, 23] + [0] * 7


def test_what_was_cleared_was_not_heard(writer: RecordingWriter) -> None:
    """Audio that was sent ahead and thrown away is not in the recording."""
    clock = Clock()
    recorder = make(writer, clock)
    run(recorder, clock, 5)
    for value in range(30, 40):
        recorder.outbound(payload(value))
    run(recorder, clock, 4)
    recorder.cleared()
    run(recorder, clock, 3)
    recorder.outbound(payload(50))
    run(recorder, clock, 3)
    recorder.close()
    writer.close()
    assert recorder.path is not None
    _, right = channels(recorder.path)
    assert right == [0] * 5 + [30, 31, 32, 33] + [0] * 3 + [50] + [0] * 2


def test_a_lost_stream_leaves_a_hole_of_its_length(writer: RecordingWriter) -> None:
    """What the caller said while there was no stream is silence of the same length."""
    clock = Clock()
    recorder = make(writer, clock)
    run(recorder, clock, 5)
    clock.now += 1.0
    run(recorder, clock, 5, 2)
    recorder.close()
    writer.close()
    assert recorder.path is not None
    left, _ = channels(recorder.path)
    assert left == [1] * 5 + [0] * 50 + [2] * 5


def test_a_long_call_is_written_as_it_goes(writer: RecordingWriter) -> None:
    """Memory holds seconds of a call, whatever its length, and nothing is lost by that."""
    clock = Clock()
    recorder = make(writer, clock)
    held = 0
    for second in range(60):
        recorder.outbound(payload(100 + second))
        run(recorder, clock, 50, second)
        held = max(held, len(recorder._caller) + len(recorder._agent))
    recorder.close()
    writer.close()
    assert held < 2 * 2 * RATE * 6
    assert recorder.path is not None
    left, right = channels(recorder.path)
    assert left == [second for second in range(60) for _ in range(50)]
    # The agent spoke once before the caller's first packet, when nothing was recorded yet.
    assert [value for value in right if value] == [100 + second for second in range(1, 60)]
    assert [i // 50 for i, value in enumerate(right) if value] == list(range(1, 60))


def test_a_recording_is_private(writer: RecordingWriter) -> None:
    """Nobody but the owner may read it, and it has its name only when it is complete."""
    clock = Clock()
    recorder = make(writer, clock)
    run(recorder, clock, 5)
    recorder.close()
    recorder.close()
    writer.close()
    assert recorder.path is not None
    assert stat.S_IMODE(recorder.path.stat().st_mode) == 0o600
    assert [file.name for file in recorder.path.parent.iterdir()] == ["call.wav"]


def test_a_call_without_audio_has_no_recording(writer: RecordingWriter, tmp_path: Path) -> None:
    """A leg whose media never came leaves no file."""
    recorder = make(writer, Clock())
    recorder.close()
    writer.close()
    assert recorder.path is None
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_costs_the_recording_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory that cannot be made is one log line; the call's audio is taken all the same."""
    (tmp_path / "file").write_text("in the way")
    clock = Clock()
    with RecordingWriter(tmp_path / "file") as writer:
        recorder = make(writer, clock)
        run(recorder, clock, 400)
        recorder.close()
    assert recorder.path is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]
