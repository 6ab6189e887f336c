"""Draw both sides of a recording, in columns.

Threads: a request's own; blocks on where the recording is kept.  One recording is drawn at a time,
since an hour of a call has a hundred megabytes, and the last ones drawn are kept.
"""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bridge.errors import StorageError
from bridge.storage import Storage

__all__ = ["COLUMNS", "Waveform", "Waveforms", "draw"]

# Columns of a drawing, at most; on a wide screen one is about a pixel.
COLUMNS = 1200

# Drawings that are kept, of some 30 kB each.
KEPT = 64

# Bytes in which the header of a WAV file of ours is.
HEADER = 44

_Peaks = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Waveform:
    """Both sides of a recording as data of SVG paths, ``columns`` wide and 100 high."""

    columns: int
    caller: str
    agent: str


class Waveforms:
    """Draws recordings; any thread may call any method."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        # Guards the drawings, and is held while one is made.
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Waveform] = OrderedDict()

    def get(self, location: str) -> Waveform | None:
        """Draw a recording; ``None`` if it is not there.

        Raises:
            StorageError: it cannot be read, or is no recording of ours.
        """
        with self._lock:
            found = self._kept.pop(location, None)
            if found is None:
                stored = self._storage.read(location)
                if stored is None:
                    return None
                try:
                    found = draw(stored.blocks, stored.size)
                finally:
                    stored.close()
            self._kept[location] = found
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return found


def draw(blocks: Iterator[bytes], size: int) -> Waveform:
    """Draw a stereo WAV file of 16 bits that comes in blocks.

    Args:
        blocks: its bytes.
        size: how many there are.

    Raises:
        StorageError: it is none.
    """
    held = bytearray()
    for block in blocks:
        held += block
        if len(held) >= HEADER:
            break
    _check(bytes(held[:HEADER]))
    del held[:HEADER]
    # Bytes per column, of whole frames.
    step = max(1, -(-(size - HEADER) // 4 // COLUMNS)) * 4
    tops: list[_Peaks] = []
    bottoms: list[_Peaks] = []

    def take(count: int) -> None:
        part = np.frombuffer(bytes(held[: count * step]), "<i2").reshape(count, -1, 2)
        tops.append(part.max(axis=1).astype(np.float64))
        bottoms.append(part.min(axis=1).astype(np.float64))
        del held[: count * step]

    for block in blocks:
        held += block
        if len(held) >= step:
            take(len(held) // step)
    if len(held) >= step:
        take(len(held) // step)
    if len(held) >= 4:
        held += bytes(step - len(held))
        take(1)
    if not tops:
        return Waveform(1, "", "")
    top, bottom = np.concatenate(tops), np.concatenate(bottoms)
    return Waveform(len(top), _path(top[:, 0], bottom[:, 0]), _path(top[:, 1], bottom[:, 1]))


def _check(header: bytes) -> None:
    if len(header) == HEADER and header[:4] == b"RIFF" and header[36:40] == b"data":
        channels, bits = (
            struct.unpack_from("<H", header, 22)[0],
            struct.unpack_from("<H", header, 34),
        )
        if channels == 2 and bits[0] == 16:
            return
    raise StorageError("the recording is not one of ours")


def _path(top: _Peaks, bottom: _Peaks) -> str:
    """Write one side as strokes, one per column; the loudest place fills the height."""
    loudest = max(1.0, float(top.max()), float(-bottom.min()))
    ups = 50 - 48 * np.maximum(top, 0) / loudest
    downs = np.maximum(50 - 48 * np.minimum(bottom, 0) / loudest, ups + 0.8)
    strokes = zip(ups.tolist(), downs.tolist(), strict=True)
    return "".join(f"M{n}.5 {up:.1f}V{down:.1f}" for n, (up, down) in enumerate(strokes))
