"""What a leg's line does with audio: the queue in front of an ear, and mixing several sources.

Telnyx queues what a stream sends and plays it in order, returns a mark when the audio before it was
played, and on ``clear`` drops the rest and returns all marks at once (Telnyx: media-streaming).

Pure: time passes by taking one packet after the other.
"""

from __future__ import annotations

from collections import deque

from telnyx_media._audioop import audioop

# Seconds that pass between two ticks of a line; the packet time of the phone network.
PTIME = 0.02

# The root mean square above which a packet counts as sound: about -44 dBFS, over any line noise the
# simulator adds and under any speech.
SOUND = 200


def is_sound(pcm: bytes) -> bool:
    """Whether somebody who listens to this packet hears something."""
    return audioop.rms(pcm, 2) > SOUND


def mix(parts: list[bytes]) -> bytes:
    """Add up packets of one length, clipping what is too loud."""
    mixed = parts[0]
    for part in parts[1:]:
        mixed = audioop.add(mixed, part, 2)
    return mixed


class PlayQueue:
    """Audio and marks that wait to be played at one ear, in order."""

    def __init__(self) -> None:
        self._items: deque[bytes | str] = deque()
        self._bytes = 0
        # Marks whose audio is being played in the packet that was taken last.
        self._passed: list[str] = []
        self._playing = False

    def __len__(self) -> int:
        """Get the number of bytes that wait."""
        return self._bytes

    @property
    def idle(self) -> bool:
        """Whether nothing is being played and nothing waits."""
        return not self._items and not self._playing

    def add(self, pcm: bytes) -> None:
        """Put audio behind what waits."""
        if pcm:
            self._items.append(pcm)
            self._bytes += len(pcm)

    def mark(self, name: str) -> bool:
        """Put a mark behind what waits.

        Returns:
            True when nothing waits, so that the mark comes back at once.
        """
        if self.idle:
            return True
        if self._items:
            self._items.append(name)
        else:
            self._passed.append(name)
        return False

    def clear(self) -> tuple[int, list[str]]:
        """Drop everything; get the bytes dropped and every mark, in order."""
        names = self._passed + [item for item in self._items if isinstance(item, str)]
        dropped = self._bytes
        self._items.clear()
        self._passed = []
        self._bytes = 0
        return dropped, names

    def take(self, size: int) -> tuple[bytes, list[str]]:
        """Play one packet.

        Args:
            size: its length in bytes; what is missing is silence.

        Returns:
            The packet (empty when nothing waits), and the marks whose audio has been played before
            it.
        """
        returned, self._passed = self._passed, []
        pieces: list[bytes] = []
        missing = size
        while self._items and missing:
            item = self._items[0]
            if isinstance(item, str):
                (self._passed if pieces else returned).append(item)
                self._items.popleft()
            elif len(item) <= missing:
                pieces.append(item)
                missing -= len(item)
                self._items.popleft()
            else:
                pieces.append(item[:missing])
                self._items[0] = item[missing:]
                missing = 0
        # A mark right behind the packet belongs to it.
        while pieces and self._items and isinstance(self._items[0], str):
            self._passed.append(self._items.popleft())  # type: ignore[arg-type]
        self._playing = bool(pieces)
        if not pieces:
            return b"", returned
        self._bytes -= size - missing
        return b"".join(pieces) + bytes(missing), returned
