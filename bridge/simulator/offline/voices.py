"""Speak English in this process and beside it, without a network.

The agent's voice is ``hibari-tts``, a small neural voice whose model lies inside its wheel.  The
caller's is ``py-nanotts`` (SVOX Pico), which keeps the interpreter's lock while it computes and so
lives in a child process of its own.  A third voice is the first one, lowered.

Blocks: ``speak`` computes for about 1 % of the audio's length.  Any thread may call it; of one
voice, one call computes at a time and the others wait.

Rules of this module:

1. Audio is 16-bit little-endian mono PCM; :class:`Speech` says at which rate.
2. The same text gives the same bytes, so that what was spoken may be compared and cached.
3. The child process ends with :meth:`CallerVoice.close`, with the end of the ``with`` block, and
   when this process is gone, because its standard input then ends.
"""

from __future__ import annotations

import json
import logging
import os
import select
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from bridge.errors import BridgeError
from bridge.simulator.offline import packages
from telnyx_media._audioop import audioop
from telnyx_media.pcm import Resampler
from telnyx_media.sync.threads import Deadline

logger = logging.getLogger(__name__)

AGENT_RATE = 24000
"""Hertz of what :class:`Synthesizer` speaks."""

CALLER_RATE = 16000
"""Hertz of what :class:`CallerVoice` speaks."""

CALLER_VOICES = ("en-US", "en-GB", "low")

# The pace that the voice's model was trained for; outside of it words get lost.
_SLOWEST, _FASTEST = 0.5, 2.0
# The voices put a third of a second of silence before a sentence and half a second behind it; a
# person who answers so late sounds absent.  What is left is seconds, and a pause between sentences.
_LEAD = 0.04
_AGENT_TAIL, _CALLER_TAIL = 0.2, 0.1
# Samples below this are silence: -40 dBFS.
_SILENCE = 330
# How far the "low" voice is lowered: about three semitones, a different speaker to the ear.
_LOW = 0.84


class VoiceFailed(BridgeError):
    """A voice's process ended or fell silent in the middle of its work."""


@dataclass(frozen=True)
class Speech:
    """Spoken text.

    Attributes:
        pcm: 16-bit little-endian mono.
        sample_rate: hertz.
    """

    pcm: bytes
    sample_rate: int

    @property
    def seconds(self) -> float:
        """How long it takes to play."""
        return len(self.pcm) / 2 / self.sample_rate


class Synthesizer:
    """The agent's voice; every instance shares one loaded model."""

    # Guards the loading, and then every use: one sentence takes 20 ms, and two at a time on a small
    # machine would both be late.
    _lock = threading.Lock()
    _engine: Any = None

    def warm_up(self) -> None:
        """Load the model and speak once; blocks for about a second the first time.

        Raises:
            OfflineSpeechMissing: a package is missing; the message says what to install.
        """
        if self._engine is None:
            self.speak("Ready.")

    def speak(self, text: str, *, speed: float = 1.0) -> Speech:
        """Speak ``text`` as a whole.

        Args:
            text: English, in words as they are written; may be empty.
            speed: 1 is the voice's own pace, 2 twice as fast; kept within 0.5 and 2.

        Raises:
            OfflineSpeechMissing: a package is missing; the message says what to install.
        """
        return Speech(b"".join(self.stream(text, speed=speed)), AGENT_RATE)

    def stream(self, text: str, *, speed: float = 1.0) -> Iterator[bytes]:
        """Speak ``text`` sentence by sentence: PCM at 24 kHz of each as soon as it is computed.

        Raises:
            OfflineSpeechMissing: a package is missing; the message says what to install.
        """
        np: Any = packages.load("numpy", "numpy")
        speed = min(_FASTEST, max(_SLOWEST, speed))
        engine = self._get_engine()
        with self._lock:
            sentences = engine.phonemize(text)
        for phonemes in sentences:
            with self._lock:
                # The seed fixes the voice's noise: the same text, the same bytes.
                samples = engine.from_phonemes(phonemes, speed=speed, seed=0)
            pcm = (np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
            yield _trim(pcm, AGENT_RATE, _AGENT_TAIL)

    @classmethod
    def _get_engine(cls) -> Any:
        with cls._lock:
            if cls._engine is None:
                # No `voice=`: the default one is inside the wheel, any other would be fetched.
                cls._engine = packages.load("hibari", "hibari-tts").Hibari(threads=1)
            return cls._engine


class CallerVoice:
    """A caller's voice; a context manager that ends its child process.

    The child starts with the first ``speak`` and is reused until :meth:`close`.
    """

    # A whole paragraph takes a tenth of a second; a child that is silent for this long is stuck.
    TIMEOUT = 20.0

    def __init__(self, voice: str = "en-US") -> None:
        """Choose the voice; nothing is started or loaded yet.

        Args:
            voice: ``"en-US"`` or ``"en-GB"``, Pico's voices, or ``"low"``, the agent's lowered.

        Raises:
            ValueError: there is no such voice.
        """
        if voice not in CALLER_VOICES:
            raise ValueError(f"no caller voice {voice!r}: there are {', '.join(CALLER_VOICES)}")
        self.voice = voice
        # Guards the child: one request and its answer at a time.
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        child = self._child
        return None if child is None else child.pid

    def speak(self, text: str) -> Speech:
        """Speak ``text`` as a whole.

        Raises:
            OfflineSpeechMissing: a package is missing; the message says what to install.
            VoiceFailed: the child process ended or does not answer.
        """
        if self.voice == "low":
            return _speak_low(text)
        with self._lock:
            if self._child is not None and self._child.poll() is not None:
                self._end_child()
            if self._child is None:
                self._child = self._start_child()
            try:
                pcm = self._ask(self._child, text)
            except (OSError, TimeoutError) as error:
                self._end_child()
                raise VoiceFailed(f"the process of voice {self.voice} failed") from error
        return Speech(_trim(pcm, CALLER_RATE, _CALLER_TAIL), CALLER_RATE)

    def close(self) -> None:
        """End the child process and wait until it has ended; may be called twice.

        A later :meth:`speak` starts a new one.
        """
        with self._lock:
            self._end_child()

    def _start_child(self) -> subprocess.Popen[bytes]:
        packages.locate("py_nanotts", "py-nanotts")
        script = Path(__file__).with_name("nanotts_child.py")
        # -I: neither the environment nor the working directory may add modules to the child.
        return subprocess.Popen(
            [sys.executable, "-I", "-W", "ignore", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )

    def _ask(self, child: subprocess.Popen[bytes], text: str) -> bytes:
        assert child.stdin is not None
        request = json.dumps({"text": text, "voice": self.voice}).encode()
        child.stdin.write(struct.pack(">I", len(request)) + request)
        deadline = Deadline(self.TIMEOUT)
        (length,) = struct.unpack(">I", self._read(child, 4, deadline))
        return self._read(child, length, deadline)

    def _read(self, child: subprocess.Popen[bytes], size: int, deadline: Deadline) -> bytes:
        assert child.stdout is not None
        pipe = child.stdout.fileno()
        # Not select(), which cannot look at descriptors above 1023.
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        data = bytearray()
        while len(data) < size:
            if not poll.poll(1000 * (deadline.remaining() or 0.0)):
                raise TimeoutError
            part = os.read(pipe, size - len(data))
            if not part:
                raise ConnectionError("the child ended")
            data += part
        return bytes(data)

    def _end_child(self) -> None:
        """Take the child's input away, which ends it; the lock is held."""
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.close()
        try:
            child.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()

    def __enter__(self) -> CallerVoice:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _speak_low(text: str) -> Speech:
    """Speak faster and play slower, which lowers the pitch and keeps the pace."""
    speech = Synthesizer().speak(text, speed=1 / _LOW)
    resampler = Resampler(round(AGENT_RATE * _LOW), CALLER_RATE)
    pcm = resampler.feed(speech.pcm) + resampler.flush()
    return Speech(_trim(pcm, CALLER_RATE, _CALLER_TAIL), CALLER_RATE)


def _trim(pcm: bytes, sample_rate: int, tail: float) -> bytes:
    """Cut the silence around speech down to ``_LEAD`` in front and ``tail`` behind."""
    step = 2 * (sample_rate // 100)
    blocks = range(0, len(pcm), step)
    loud = [at for at in blocks if audioop.max(pcm[at : at + step], 2) > _SILENCE]
    if not loud:
        return b""
    first = loud[0] - 2 * round(_LEAD * sample_rate)
    last = loud[-1] + step + 2 * round(tail * sample_rate)
    return pcm[max(0, first) : last]
