"""Where the offline speech packages are, and one clear error when they are not.

Recognition and synthesis without a network come from packages whose wheels carry their models.
None of them is needed to run the bridge, so none is imported before it is used.

Pure.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from bridge.errors import BridgeError

INSTALL = "pip install telnyx-bridge[offline]"


class OfflineSpeechMissing(BridgeError):
    """A package of the ``offline`` extra is not installed; the message says how to install it."""


def load(module: str, package: str) -> ModuleType:
    """Import ``module``.

    Args:
        module: what is imported.
        package: what pip calls it.

    Raises:
        OfflineSpeechMissing: it is not there, or cannot be loaded here.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise OfflineSpeechMissing(f"offline speech needs {package}: run `{INSTALL}`") from error


def locate(module: str, package: str) -> Path:
    """Get the folder of ``module`` without importing it.

    Args:
        module: name of an importable package.
        package: what pip calls it.

    Raises:
        OfflineSpeechMissing: it is not installed.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise OfflineSpeechMissing(f"offline speech needs {package}: run `{INSTALL}`")
    return Path(spec.origin).parent
