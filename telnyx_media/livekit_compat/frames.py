"""Audio frames of LiveKit as the bytes that sessions take.

Threads: everything here is the event loop's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import livekit.rtc as rtc
from livekit.agents.utils import aio

from telnyx_media.pcm import mono

SAMPLE_WIDTH = 2

# As long as the messages of the session's sender.
CHUNK_SECONDS = 0.1

# Seconds after which a rest leaves that nothing has followed.
PATIENCE = 0.15


def pcm_of(frame: rtc.AudioFrame) -> bytes:
    """Get the samples of ``frame``, its channels mixed into one."""
    pcm = bytes(frame.data)
    return pcm if frame.num_channels == 1 else mono(pcm, frame.num_channels)


def to_mono(frame: rtc.AudioFrame) -> rtc.AudioFrame:
    """Get ``frame`` with its channels mixed into one.

    The framework resamples what is pushed as if it had one channel, whatever it has.
    """
    if frame.num_channels == 1:
        return frame
    return rtc.AudioFrame(pcm_of(frame), frame.sample_rate, 1, frame.samples_per_channel)


def join(buffer: rtc.AudioFrame | Sequence[rtc.AudioFrame]) -> tuple[bytes, int]:
    """Get the samples of a whole buffer, and their rate; no samples and 0 for an empty one."""
    frames = [buffer] if isinstance(buffer, rtc.AudioFrame) else list(buffer)
    if not frames:
        return b"", 0
    return b"".join(pcm_of(frame) for frame in frames), frames[0].sample_rate


class FrameChannel(aio.Chan[Any]):
    """The input of a stream, in chunks of :data:`CHUNK_SECONDS`.

    Frames of 10 or 20 ms come one by one; waking a task for each costs more than all that is done
    with them.  The sender's messages are of the same length, so nothing is later for it.  The first
    frame passes at once, and a rest that nothing follows leaves after :data:`PATIENCE`.

    Attributes:
        sink: gets the chunks while the channel is empty, in place of whoever reads from it: no task
            is woken at all.  ``None`` for no sink.
    """

    def __init__(self, sample_rate: int) -> None:
        """Belong to the running loop.

        Args:
            sample_rate: of the frames, in Hz; they have one channel.
        """
        super().__init__()
        self.sink: Callable[[bytes], None] | None = None
        self._clock = asyncio.get_running_loop()
        self._chunk = round(CHUNK_SECONDS * sample_rate)
        self._pieces: list[bytes] = []
        # Samples until the next chunk is complete; the first frame is one.
        self._missing = 0
        self._timer: asyncio.TimerHandle | None = None

    def send_nowait(self, value: Any) -> None:
        """Put a frame, or what asks for a flush."""
        if not isinstance(value, rtc.AudioFrame):
            self.pass_on()
            super().send_nowait(value)
            return
        # Copied: whoever pushes may fill the same frame anew.
        self._pieces.append(value.data.tobytes())
        self._missing -= value.samples_per_channel
        if self._missing <= 0:
            self.pass_on()
        elif self._timer is None:
            self._timer = self._clock.call_later(PATIENCE, self.pass_on)

    def pass_on(self) -> None:
        """Let go of what is there."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._missing = self._chunk
        if not self._pieces:
            return
        pcm = b"".join(self._pieces)
        self._pieces.clear()
        if self.closed:
            return
        if self.sink is not None and self.empty():
            self.sink(pcm)
        else:
            super().send_nowait(pcm)

    def close(self) -> None:
        """Let go of what is there, and end."""
        self.pass_on()
        super().close()
