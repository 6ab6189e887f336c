"""The caller's voice as a process of its own: text on standard input, PCM on standard output.

Started by :class:`bridge.simulator.offline.voices.CallerVoice` and by nobody else.  Both ways a
message is four bytes of length, big-endian, and as many bytes: JSON with ``text`` and ``voice`` in,
16 kHz PCM out.  The end of the input ends the process.

It imports nothing of the project, so that it starts in milliseconds.
"""

from __future__ import annotations

import json
import os
import struct
import sys

from py_nanotts import NanoTTS


def main() -> None:
    """Answer until the input ends."""
    # The native library may print; its words must not get between ours.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    voice = NanoTTS()
    while header := sys.stdin.buffer.read(4):
        (length,) = struct.unpack(">I", header)
        request = json.loads(sys.stdin.buffer.read(length))
        text = request["text"]
        pcm = voice.speak(text, voice=request["voice"]) if text.strip() else b""
        answers.write(struct.pack(">I", len(pcm)) + pcm)
        answers.flush()


if __name__ == "__main__":
    main()
