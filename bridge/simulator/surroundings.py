"""What the phone picks up besides the person: noise on the line, and the agent's own voice.

Pure.
"""

from __future__ import annotations

import random
import struct
from collections import deque

from telnyx_media._audioop import audioop

# Seconds of noise that are made and then repeated; long enough for no ear or detector to notice.
NOISE_SECONDS = 2.0
# Packets between what a speakerphone plays and what its microphone picks up: 60 ms.
ECHO_PACKETS = 3


class Surroundings:
    """Adds noise and echo to what a person says."""

    def __init__(
        self, packet_bytes: int, sample_rate: int, *, noise: float | None, echo: float | None
    ) -> None:
        """Choose what is picked up.

        Args:
            packet_bytes: bytes of 20 ms.
            sample_rate: hertz.
            noise: level of constant white noise in dBFS; about -35 was measured on a real line.
            echo: how much quieter than heard the agent's voice comes back, in dB, -20 for one.
        """
        self._packet_bytes = packet_bytes
        self._noise = b"" if noise is None else _white(noise, sample_rate)
        self._at = 0
        self._gain = 0.0 if echo is None else 10 ** (echo / 20)
        self._heard: deque[bytes] = deque([bytes(packet_bytes)] * ECHO_PACKETS)

    def add(self, said: bytes, heard: bytes) -> bytes:
        """Get what the phone picks up while one packet is said and one heard."""
        if self._noise:
            noise = self._noise[self._at : self._at + self._packet_bytes]
            self._at = (self._at + self._packet_bytes) % len(self._noise)
            said = audioop.add(said, noise, 2)
        if self._gain:
            self._heard.append(heard)
            said = audioop.add(said, audioop.mul(self._heard.popleft(), 2, self._gain), 2)
        return said


def _white(level: float, sample_rate: int) -> bytes:
    """Make white noise whose root mean square is at ``level`` dBFS."""
    source = random.Random(35)
    deviation = 32768 * 10 ** (level / 20)
    # Whole packets, so that none is cut where the noise begins anew.
    count = round(NOISE_SECONDS * 50) * (sample_rate // 50)
    samples = (max(-32768, min(32767, round(source.gauss(0, deviation)))) for _ in range(count))
    return struct.pack(f"<{count}h", *samples)
