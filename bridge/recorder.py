"""Record a call in stereo: the caller left, what the caller heard of the agent right.

The agent's audio is sent ahead of its playing, and a barge-in throws part of it away.  So it is put
where Telnyx plays it, behind what was sent before and not earlier than it was sent, and what a
``clear`` dropped is cut off again; what lies a second back can no longer change and is written.

Threads: ``recorder``, one per process, does all that touches the disk.  A leg's own threads only
put audio into memory; a disk that hangs costs the recording and never the call.

Rules of this module:

1. The file grows as ``NAME.wav.part`` and gets its name when it is complete; then its call is told,
   and it is brought to where it is kept for good.
2. What the disk does not take in time is dropped and the recording given up, with one log line.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from bridge.observer import Recording
from bridge.storage import DirectoryStorage, Storage
from bridge.uploads import Uploads
from telnyx_media.codecs import Codec
from telnyx_media.pcm import Resampler, stereo, wav_header
from telnyx_media.sync.threads import BoundedQueue, QueueClosed, ThreadGroup

__all__ = ["CallRecorder", "RecordingWriter"]

logger = logging.getLogger(__name__)

# Seconds that are kept back from writing: more than audio is ever sent ahead.
KEPT = 3.0

# Seconds per write.
BLOCK = 1.0

# Seconds by which the caller's audio may lag behind the clock before the hole is filled: a stream
# that was lost and came back.
GAP = 0.5

# Blocks that may wait for the disk, of all calls together.
LIMIT = 2000


class RecordingWriter:
    """Writes the recordings of a process; use it as a ``with`` block, or call :meth:`close`."""

    def __init__(self, place: Path | Storage) -> None:
        """Prepare; the directory is made and the thread started with the first recording.

        Args:
            place: where the recordings go, a directory or a storage.
        """
        self._storage = DirectoryStorage(place) if isinstance(place, Path) else place
        self.directory = self._storage.directory
        self._uploads = Uploads(self._storage) if self._storage.remote else None
        self._queue: BoundedQueue[tuple[_File, bytes | None]] = BoundedQueue(LIMIT)
        self._group = ThreadGroup("bridge")
        # Guards _started.
        self._lock = threading.Lock()
        self._started = False

    def begin(
        self, name: str, sample_rate: int, on_saved: Callable[[Recording], object] | None = None
    ) -> _File:
        """Begin a recording; never waits.

        Args:
            name: of the file, without its ending.
            sample_rate: of the audio, in hertz.
            on_saved: called on the recorder's thread when the recording is complete.
        """
        with self._lock:
            if not self._started:
                self._started = True
                self._group.spawn("recorder", self._run)
        return _File(self.directory / f"{name}.wav", sample_rate, on_saved)

    def write(self, file: _File, audio: bytes | None) -> None:
        """Append stereo audio to a recording, or complete it with ``None``; never waits."""
        try:
            if not file.failed and not self._queue.offer((file, audio)):
                file.failed = True
                logger.error("gave up a recording: the disk is too slow")
        except QueueClosed:
            file.failed = True

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, and end; may be called twice."""
        self._queue.close()
        self._group.join(timeout)
        if self._uploads is not None:
            self._uploads.close(timeout)

    @property
    def waiting(self) -> int:
        """How many pieces of audio wait for the disk."""
        return len(self._queue)

    @property
    def uploads(self) -> int:
        """How many complete recordings are not where they are kept yet."""
        return 0 if self._uploads is None else self._uploads.waiting

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        open_files: set[_File] = set()
        while True:
            try:
                file, audio = self._queue.take()
            except QueueClosed:
                break
            open_files.add(file)
            try:
                if not file.failed:
                    file.append(audio)
            except OSError as error:
                file.failed = True
                logger.error("gave up a recording: %s", error.strerror)
            if audio is None or file.failed:
                file.leave()
                open_files.discard(file)
                if not file.failed:
                    self._saved(file)
        for file in open_files:
            file.leave()

    def _saved(self, file: _File) -> None:
        """Tell whom it concerns where a recording is, and bring it there."""
        if file.on_saved is not None:
            location = self._storage.locate(file.path.name)
            file.on_saved(Recording(location, file.began_at, file.seconds))
        if self._uploads is not None:
            self._uploads.add(file.path)


class _File:
    """One WAV file; touched by the writer's thread only, but for its making."""

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        on_saved: Callable[[Recording], object] | None = None,
    ) -> None:
        self.path = path
        self.failed = False
        self.on_saved = on_saved
        self.began_at = time.time()
        self._sample_rate = sample_rate
        self._part = path.with_name(path.name + ".part")
        self._file: BinaryIO | None = None
        self._size = 0

    def append(self, audio: bytes | None) -> None:
        """Write stereo audio, or complete the file with ``None``."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Somebody's conversation: for the owner's eyes only.
            self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT, 0o600), "wb")
            self._file.write(wav_header(self._sample_rate, 2))
        if audio is not None:
            self._file.write(audio)
            self._size += len(audio)
            return
        self._file.seek(0)
        self._file.write(wav_header(self._sample_rate, 2, self._size))
        self._file.close()
        self._part.rename(self.path)

    @property
    def seconds(self) -> float:
        """How long it is by now: two channels of 16 bits."""
        return self._size / (4 * self._sample_rate)

    def leave(self) -> None:
        """Give up the file handle; an incomplete recording keeps its ``.part``."""
        if self._file is not None:
            self._file.close()


class Begun(Protocol):
    """A recording that was begun; ``failed`` once it was given up."""

    @property
    def failed(self) -> bool:
        """Whether it was given up."""

    @property
    def path(self) -> Path:
        """Where it will be."""


class Sink(Protocol):
    """Where the audio of a leg goes: to a file, or to somebody who listens."""

    def begin(
        self, name: str, sample_rate: int, on_saved: Callable[[Recording], object] | None = None
    ) -> Any:
        """Begin a recording; never waits."""

    def write(self, file: Any, audio: bytes | None) -> None:
        """Append stereo audio, or complete it with ``None``; never waits."""


class CallRecorder:
    """The recording of one leg; any thread may call any method, and none blocks."""

    def __init__(
        self,
        writer: Sink,
        name: str,
        decoder: Codec,
        *,
        on_saved: Callable[[Recording], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        kept: float = KEPT,
        block: float = BLOCK,
    ) -> None:
        """Prepare; the recording begins with the first audio of the caller.

        Args:
            writer: writes it.
            name: of the file, without its ending.
            decoder: decodes what the agent says; nobody else may use it.
            on_saved: called on the writer's thread when the recording is complete.
            clock: the time in seconds.
            kept: seconds that are kept back, since a ``clear`` may drop them.
            block: seconds that are written at a time.
        """
        self._writer = writer
        self._kept = kept
        self._block = block
        self._name = name
        self._decoder = decoder
        self._on_saved = on_saved
        self._clock = clock
        # Guards everything below.
        self._lock = threading.Lock()
        self._file: Begun | None = None
        self._rate = decoder.sample_rate
        self._zero = 0.0
        # Samples written so far, and what follows them: bytes of the caller and of the agent.
        self._written = 0
        self._caller = bytearray()
        self._agent = bytearray()
        self._resampler: Resampler | None = None
        self._closed = False

    @property
    def path(self) -> Path | None:
        """Where the recording is or will be, if one was begun."""
        return None if self._file is None or self._file.failed else self._file.path

    def inbound(self, pcm: bytes, sample_rate: int) -> None:
        """Take what the caller said, in order."""
        now = self._clock()
        with self._lock:
            if self._closed:
                return
            if self._file is None:
                self._zero = now
                self._file = self._writer.begin(self._name, self._rate, self._on_saved)
            if sample_rate != self._rate:
                if self._resampler is None:
                    self._resampler = Resampler(sample_rate, self._rate)
                pcm = self._resampler.feed(pcm)
            gap = self._place(now) - len(self._caller)
            if gap > GAP * self._rate * 2:
                self._caller += bytes(gap)
            self._caller += pcm
            self._write(self._place(now) - 2 * int(self._kept * self._rate))

    def outbound(self, payload: bytes) -> None:
        """Take what was sent of the agent's voice, as it was sent."""
        now = self._clock()
        with self._lock:
            if self._closed or self._file is None:
                return
            self._agent += bytes(max(0, self._place(now) - len(self._agent)))
            self._agent += self._decoder.decode(payload)

    def cleared(self) -> None:
        """Take back what was sent and not played yet."""
        now = self._clock()
        with self._lock:
            if self._file is not None:
                del self._agent[max(0, self._place(now)) :]

    def close(self) -> None:
        """Complete the recording; may be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._file is not None:
                now = self._clock()
                # What was sent and could not be played any more was not heard.
                del self._agent[max(0, self._place(now)) :]
                self._write(max(len(self._caller), len(self._agent)), at_least=1)
                self._writer.write(self._file, None)

    # The lock is held in the two below.

    def _place(self, now: float) -> int:
        """Tell where ``now`` lies in what is not written yet, in bytes of one channel."""
        return 2 * (int((now - self._zero) * self._rate) - self._written)

    def _write(self, size: int, *, at_least: int | None = None) -> None:
        """Hand the first ``size`` bytes of each channel to the writer, if that is worth it."""
        least = 2 * int(self._block * self._rate) if at_least is None else at_least
        if self._file is None or size < least:
            return
        left, right = bytes(self._caller[:size]), bytes(self._agent[:size])
        del self._caller[:size], self._agent[:size]
        self._written += size // 2
        # The shorter one is filled up; a side that is behind the other goes on behind the filling.
        self._writer.write(self._file, stereo(left.ljust(size, b"\0"), right.ljust(size, b"\0")))
