"""Audio whose every packet says which one it is.

A test of loss, order and timing has to know which packet arrived.  A numbered packet holds its
number as pulses that survive G.711 and resampling, so it may be cut into chunks of any length,
encoded and decoded on its way.

Pure.

Rules of this module:

1. A packet is 20 ms in 20 slots of a millisecond: a loud one that marks its begin, 15 for the
   number, highest bit first, and 4 to check it.
2. Numbers run from 0 to 32767 and then begin again.
"""

from __future__ import annotations

import functools
import struct

from telnyx_media.pcm import rms

PTIME = 0.02
NUMBERS = 1 << 15

_BITS = 15
_SLOTS = 20
_MARK, _PULSE = 24000, 8000
# Between a pulse and the mark, and between silence and a pulse, with room for a resampler's ripple.
_MARK_LIMIT, _PULSE_LIMIT = 15000, 3000


@functools.lru_cache(maxsize=4096)
def numbered_packet(number: int, sample_rate: int = 8000) -> bytes:
    """Make the packet of ``number``: 20 ms of 16-bit PCM.

    Args:
        number: taken modulo 32768.
        sample_rate: a multiple of 1000, hertz.
    """
    number %= NUMBERS
    bits = number << 4 | _check(number)
    slot = sample_rate // 1000
    samples = [_MARK] * slot
    for at in reversed(range(_SLOTS - 1)):
        samples += [_PULSE if bits >> at & 1 else -_PULSE] * slot
    return struct.pack(f"<{len(samples)}h", *samples)


def numbered_audio(first: int, count: int, sample_rate: int = 8000) -> bytes:
    """Make the packets of ``count`` numbers in a row."""
    return b"".join(numbered_packet(first + i, sample_rate) for i in range(count))


class NumberReader:
    """Finds the numbers in a stream of PCM that was cut anywhere."""

    def __init__(self, sample_rate: int = 8000) -> None:
        """Begin a stream.

        Args:
            sample_rate: a multiple of 1000, hertz; may differ from the one it was made at.
        """
        self._slot = sample_rate // 1000
        self._rest = b""

    def feed(self, pcm: bytes) -> list[int]:
        """Take PCM in and return the numbers of the packets that are complete, as they came."""
        data = self._rest + pcm
        if len(data) > 4 * _SLOTS * self._slot and rms(data) < 100:
            # Silence: looking for marks in it would cost more than everything else.
            data = data[-2 * _SLOTS * self._slot :]
        samples = memoryview(data[: len(data) & ~1]).cast("h")
        size = _SLOTS * self._slot
        numbers = []
        at = 0
        while at + size <= len(samples):
            number = self._read(samples, at)
            if number is None:
                # Steps of a third of a slot cannot jump over the middle of a mark.
                at += max(1, self._slot // 3)
            else:
                numbers.append(number)
                # Half a slot short, so that a stretched stream is found again at its next mark.
                at += size - self._slot // 2
        self._rest = data[2 * at :]
        return numbers

    def _read(self, samples: memoryview, at: int) -> int | None:
        slot = self._slot
        if samples[at + slot // 2] < _MARK_LIMIT:
            return None
        # The mark begins where the loud samples do; a slot's middle is safest from there.
        while at > 0 and samples[at - 1] >= _MARK_LIMIT:
            at -= 1
        while samples[at] < _MARK_LIMIT:
            at += 1
        middle = at + slot // 2
        if middle + (_SLOTS - 1) * slot >= len(samples):
            return None
        bits = 0
        for i in range(1, _SLOTS):
            sample = samples[middle + i * slot]
            if not _PULSE_LIMIT < abs(sample) < _MARK_LIMIT:
                return None
            bits = bits << 1 | (sample > 0)
        number = bits >> 4
        return number if _check(number) == bits & 15 else None


def _check(number: int) -> int:
    return (number ^ number >> 4 ^ number >> 8 ^ number >> 12 ^ 0b1010) & 15
