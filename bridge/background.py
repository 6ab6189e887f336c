"""Sound under a call: music for a caller who waits, a room around the agent's voice.

It is mixed into what is sent and fills the silence between replies, so that Telnyx has no part
in it, and a reply's marks and clock stay what they were.

Pure.

Rules of this module:

1. What is under a voice is turned down, and up again behind it.
2. It is endless: at its end it begins again.
"""

from __future__ import annotations

from telnyx_media._audioop import audioop
from telnyx_media.codecs import Codec

__all__ = ["Background", "LEAD"]

# Seconds by which silence is filled ahead of its playing; a reply that begins waits that long.
LEAD = 0.12

# What is left of the volume under a voice.
DUCKED = 0.35


class Background:
    """An endless sound of one leg, at the rate and in the codec that the leg speaks."""

    def __init__(self, pcm: bytes, decoder: Codec, encoder: Codec, *, volume: float = 1.0) -> None:
        """Begin at its beginning.

        Args:
            pcm: 16-bit mono at the codec's rate.
            decoder: decodes the agent's packets; nobody else may use it.
            encoder: encodes what is sent instead; nobody else may use it.
            volume: factor, 0 to 1.

        Raises:
            ValueError: there is no sound in it, or the volume is out of range.
        """
        if len(pcm) < 2:
            raise ValueError("there is no sound in it")
        if not 0 <= volume <= 1:
            raise ValueError("the volume is a factor from 0 to 1")
        self._loud = audioop.mul(pcm[: len(pcm) & ~1], 2, volume)
        self._soft = audioop.mul(self._loud, 2, DUCKED)
        self._at = 0
        self._decoder = decoder
        self._encoder = encoder
        self._packet = 2 * round(encoder.sample_rate * 0.02)

    def mix(self, payload: bytes) -> bytes:
        """Put it under packets of a voice, softly."""
        voice = self._decoder.decode(payload)
        return self._encoder.encode(audioop.add(voice, self._take(self._soft, len(voice)), 2))

    def packet(self) -> bytes:
        """Get the payload of the next 20 ms of it alone."""
        return self._encoder.encode(self._take(self._loud, self._packet))

    def _take(self, pcm: bytes, size: int) -> bytes:
        piece = pcm[self._at : self._at + size]
        while len(piece) < size:
            piece += pcm[: size - len(piece)]
        self._at = (self._at + size) % len(pcm)
        return piece
