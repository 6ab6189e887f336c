"""Recordings made by ``record_start`` or ``record: record-from-answer``.

Telnyx: record-start reference page and the ``call.recording.saved`` callback.

Pure.
"""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass, field

import av

from bridge.simulator.line import mix
from telnyx_media.pcm import stereo, wav_header


@dataclass
class Recording:
    """One recording.

    Attributes:
        recording_id: Telnyx's id of it.
        channels: ``single`` or ``dual``; dual has the person of the leg left.
        format: ``wav`` or ``mp3``.
        track: ``both``, ``inbound`` or ``outbound``.
        rate: hertz.
        max_length: seconds after which it ends; 0 is no limit.
        started_at: ISO 8601.
        ended_at: ISO 8601 once it has ended.
        paused: whether what is heard now is left out.
    """

    channels: str
    format: str
    track: str
    rate: int
    max_length: float = 0.0
    started_at: str = ""
    ended_at: str = ""
    paused: bool = False
    recording_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    _said: bytearray = field(default_factory=bytearray, repr=False)
    _heard: bytearray = field(default_factory=bytearray, repr=False)

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return not self.ended_at

    @property
    def full(self) -> bool:
        """Whether it has reached its length."""
        return bool(self.max_length) and len(self._said) >= 2 * self.rate * self.max_length

    def add(self, said: bytes, heard: bytes) -> None:
        """Write one packet of each side."""
        if self.paused or self.ended_at or self.full:
            return
        self._said += said
        self._heard += heard

    def wav(self) -> bytes:
        """Get it as a WAV file."""
        said, heard = bytes(self._said), bytes(self._heard)
        if self.track == "inbound":
            heard = bytes(len(heard))
        elif self.track == "outbound":
            said = bytes(len(said))
        if self.channels == "dual":
            pcm = stereo(said, heard)
            return wav_header(self.rate, 2, len(pcm)) + pcm
        pcm = mix([said, heard])
        return wav_header(self.rate, 1, len(pcm)) + pcm

    def mp3(self) -> bytes:
        """Get it as an MP3 file; takes a moment for a long one."""
        out = io.BytesIO()
        with av.open(io.BytesIO(self.wav())) as source, av.open(out, "w", format="mp3") as target:
            stream = target.add_stream("libmp3lame", rate=self.rate)
            for frame in source.decode(audio=0):
                target.mux(stream.encode(frame))
            target.mux(stream.encode(None))
        return out.getvalue()
