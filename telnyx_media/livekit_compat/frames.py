"""Audio frames of LiveKit as the bytes that sessions take.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import livekit.rtc as rtc

from telnyx_media.pcm import mono

SAMPLE_WIDTH = 2


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
