"""Recordings of real people, and how they sound behind a telephone line."""

from __future__ import annotations

import json
from pathlib import Path

from telnyx_media.codecs import make_codec
from telnyx_media.pcm import read_wav, silence

FOLDER = Path(__file__).parent.parent / "data" / "voices"

TRANSCRIPTS: dict[str, str] = json.loads((FOLDER / "transcripts.json").read_text())
"""What is said, by the name of the file."""


def recording(name: str, *, before: float = 0.5, after: float = 0.0) -> bytes:
    """Read a recording as it comes through G.711: 8 kHz PCM, with seconds of silence around it."""
    pcm, rate = read_wav(FOLDER / name)
    assert rate == 8000
    codec = make_codec("PCMU")
    return codec.decode(codec.encode(silence(before, 8000) + pcm + silence(after, 8000)))
