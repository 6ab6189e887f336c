"""What is to be heard on a call beside words, and what is recorded of it.

Threads: the agent's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from bridge.callfacts import Reply
from bridge.callline import OnLine

if TYPE_CHECKING:
    from bridge.sounds import Sound

__all__ = ["Sounding"]


class Sounding(OnLine):
    """Sounds, music, and the recording."""

    def play(
        self,
        sound: Sound,
        *,
        interruptible: bool = True,
        loop: bool = False,
        volume: float = 1.0,
    ) -> Reply:
        """Play a file, an address, a ``pydub.AudioSegment``, or a sound by its name.

        A file is read and decoded once per process.  Blocks until it was played to the caller, or
        the caller broke in.

        Args:
            sound: path, ``http(s)://`` address, segment, or ``"music"`` or ``"room"``.
            interruptible: whether the caller may break in, by speech or by a key.
            loop: whether it begins again at its end, until the caller breaks in.
            volume: factor, 0 to 1.

        Raises:
            CallEnded: the call is over.
            AudioUnreadable: it is not there, or no audio.
            ValueError: the volume is no factor from 0 to 1.
        """
        return self._line.play(sound, interruptible=interruptible, loop=loop, volume=volume)

    def background(self, sound: Sound | None, *, volume: float = 0.3) -> None:
        """Have a sound under the whole call, over and over; ``None`` ends it.  Does not block.

        Args:
            sound: as for :meth:`play`; ``"room"`` is a room with people far away.
            volume: factor, 0 to 1.

        Raises:
            CallEnded: the call is over.
            AudioUnreadable: it is not there, or no audio.
            ValueError: the volume is no factor from 0 to 1.
        """
        self._line.background(sound, volume)

    def hold(self, music: Sound | None = "music", *, volume: float = 0.6) -> None:
        """Let the caller wait with music; what they say meanwhile is no turn.  Does not block.

        Args:
            music: as for :meth:`play`; ``None`` for silence.
            volume: factor, 0 to 1.

        Raises:
            CallEnded: the call is over.
            AudioUnreadable: it is not there, or no audio.
            ValueError: the volume is no factor from 0 to 1.
        """
        self._line.hold(music, volume)

    def unhold(self) -> None:
        """End the wait: the music stops and the caller is heard again.

        Raises:
            CallEnded: the call is over.
        """
        self._line.unhold()

    @contextmanager
    def _on_hold(self, music: Sound | None) -> Iterator[None]:
        self.hold(music)
        try:
            yield
        finally:
            if not self.ended:
                self.unhold()

    def record(self, action: Literal["on", "off", "pause"] = "on") -> None:
        """Switch the bridge's own stereo recording; returns at once.

        Telnyx's recording is another one: ``call.command("record_start", channels="dual")``.

        Args:
            action: ``"on"`` begins one or goes on after a pause; ``"pause"`` leaves silence in it;
                ``"off"`` completes it.

        Raises:
            BridgeError: ``BRIDGE_RECORDINGS`` names no place for recordings.
            CallEnded: the call is over.
        """
        self._line.record(action)
