"""Recognise English speech in this process, without a network.

The model is Moonshine tiny-en, whose files lie inside the wheel of ``moonshine-voice`` 0.1.0 (later
versions carry none).  They are run by onnxruntime; the package itself, its native library and its
microphone code are never imported.

Blocks: :meth:`Recognizer.recognise` computes for about 4 % of the audio's length.  Any
number of threads may call it; as many as ``PARALLEL`` compute at a time and the others wait.

Rules of this module:

1. Give it speech only.  On noise or music this model invents sentences, so whoever calls it first
   asks a voice activity detector.
2. Give it at most 100 ms of silence in front and 200 ms behind: long silences make it miss words.
3. It writes at most 6.5 tokens per second of audio, which speech never reaches and a model that
   repeats itself does.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.simulator.offline import packages

logger = logging.getLogger(__name__)

SAMPLE_RATE = 16000
"""Hertz of the PCM that :meth:`Recognizer.recognise` takes."""

PACKAGE = "moonshine-voice==0.1.0"

# How many recognitions compute at a time in one process.  One runs 30 times faster than real time,
# and as many as there are cores would only make each other, and the call, late.
PARALLEL = max(1, (os.cpu_count() or 1) // 2)

# The encoder's convolutions see no frame in anything shorter.
_SHORTEST = 0.1
_TOKENS_PER_SECOND = 6.5
_START, _STOP = 1, 2
_LAYERS, _HEADS, _HEAD_SIZE = 6, 8, 36


@dataclass(frozen=True)
class Recognition:
    """What was recognised.

    Attributes:
        text: the words, with capitals and punctuation; empty when nothing was.
        confidence: 0 to 1, the geometric mean of the model's probability of its own words.
        seconds: time it took to compute.
    """

    text: str
    confidence: float
    seconds: float


class Recognizer:
    """The recogniser of this process; every instance shares one loaded model."""

    _lock = threading.Lock()
    # Guarded by _lock until it is set, read-only from then on.
    _model: _Model | None = None
    _turns = threading.Semaphore(PARALLEL)

    def warm_up(self) -> None:
        """Load the model and run it once; blocks for about half a second the first time.

        Raises:
            OfflineSpeechMissing: a package is missing; the message says what to install.
        """
        if self._model is None:
            self.recognise(bytes(SAMPLE_RATE))

    def transcribe(self, pcm: bytes) -> str:
        """Get the words of ``pcm``; see :meth:`recognise`."""
        return self.recognise(pcm).text

    def recognise(self, pcm: bytes) -> Recognition:
        """Recognise one stretch of speech.

        Blocks while it computes, and while other threads' recognitions do.

        Args:
            pcm: 16-bit little-endian mono at 16 kHz; speech with little silence around it.

        Raises:
            OfflineSpeechMissing: a package is missing; the message says what to install.
        """
        model = self._get_model()
        with self._turns:
            return model.run(pcm)

    def try_recognise(self, pcm: bytes) -> Recognition | None:
        """Recognise like :meth:`recognise` if nobody else is computing; else ``None`` at once."""
        model = self._get_model()
        if not self._turns.acquire(blocking=False):
            return None
        try:
            return model.run(pcm)
        finally:
            self._turns.release()

    @classmethod
    def _get_model(cls) -> _Model:
        with cls._lock:
            if cls._model is None:
                cls._model = _Model(packages.locate("moonshine_voice", PACKAGE))
            return cls._model


class _Model:
    """The encoder, the decoder and the vocabulary.  Its sessions may be run by many threads."""

    def __init__(self, folder: Path) -> None:
        started = time.monotonic()
        files = folder / "assets" / "tiny-en"
        if not (files / "encoder_model.ort").is_file():
            raise packages.OfflineSpeechMissing(
                f"this moonshine-voice carries no model, {PACKAGE} does: run `{packages.INSTALL}`"
            )
        self._np: Any = packages.load("numpy", "numpy")
        # Before it is imported: it would tell its makers how it is used.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        runtime: Any = packages.load("onnxruntime", "onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3

        def session(name: str) -> Any:
            return runtime.InferenceSession(
                str(files / name), options, providers=["CPUExecutionProvider"]
            )

        self._encoder = session("encoder_model.ort")
        self._decoder = session("decoder_model_merged.ort")
        self._outputs = [output.name for output in self._decoder.get_outputs()]
        self._changing = [name for name in self._outputs if ".encoder." not in name]
        self._words = _read_vocabulary((files / "tokenizer.bin").read_bytes())
        logger.debug("loaded the recogniser in %.0f ms", 1000 * (time.monotonic() - started))

    def run(self, pcm: bytes) -> Recognition:
        np = self._np
        started = time.monotonic()
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768.0
        if len(samples) < _SHORTEST * SAMPLE_RATE:
            return Recognition("", 0.0, 0.0)
        tokens, logs = self._decode(samples[None, :])
        text = b"".join(self._words[token] for token in tokens if token < len(self._words))
        confidence = float(np.exp(np.mean(logs))) if logs else 0.0
        return Recognition(
            text.decode("utf-8", "replace").replace("\u2581", " ").strip(),
            round(confidence, 3),
            time.monotonic() - started,
        )

    def _decode(self, samples: Any) -> tuple[list[int], list[float]]:
        np = self._np
        # The masks count samples, in the decoder too.
        mask = np.ones(samples.shape, np.int64)
        (hidden,) = self._encoder.run(None, {"input_values": samples, "attention_mask": mask})
        inputs: dict[str, Any] = {
            "encoder_hidden_states": hidden,
            "encoder_attention_mask": mask,
            "use_cache_branch": np.array([False]),
            "input_ids": np.array([[_START]], np.int64),
        }
        empty = np.zeros((0, _HEADS, 1, _HEAD_SIZE), np.float32)
        for name in self._outputs[1:]:
            inputs[name.replace("present", "past_key_values")] = empty
        tokens: list[int] = []
        logs: list[float] = []
        wanted = self._outputs
        for _ in range(max(1, int(samples.shape[1] / SAMPLE_RATE * _TOKENS_PER_SECOND))):
            logits, *states = self._decoder.run(wanted, inputs)
            row = logits[0, -1]
            token = int(row.argmax())
            if token == _STOP:
                break
            tokens.append(token)
            top = row[token]
            logs.append(-float(np.log(np.exp(row - top).sum())))
            for name, state in zip(wanted[1:], states, strict=True):
                inputs[name.replace("present", "past_key_values")] = state
            # The encoder's half is computed by the first step, and copied for nothing by others.
            wanted = self._changing
            inputs["use_cache_branch"] = np.array([True])
            inputs["input_ids"] = np.array([[token]], np.int64)
        return tokens, logs


def _read_vocabulary(data: bytes) -> list[bytes]:
    """Read the tokens: each is a length, in one byte or two, and its bytes."""
    words: list[bytes] = []
    at = 0
    while at < len(data):
        length = data[at]
        at += 1
        if length >= 128:
            length = length - 128 + 128 * data[at]
            at += 1
        words.append(data[at : at + length])
        at += length
    return words
