"""What takes time once in a process, done before the first caller waits for it."""

from __future__ import annotations

import contextlib
import importlib
import ssl

from telnyx_media.errors import ConfigurationError
from telnyx_media.sync.connection import default_context
from telnyx_media.sync.threads import ThreadGroup

# Loaded with the first speech otherwise, at 10 to 100 ms each.
MODULES = ("av", "sentencex")

_done = False


def warm(context: ssl.SSLContext | None) -> None:
    """Load certificates and decoders on a thread; returns at once, does it once."""
    global _done
    if _done:
        return
    _done = True
    with contextlib.suppress(RuntimeError):
        # The interpreter may be ending, and start no more threads.
        ThreadGroup("warm").spawn("lk", _load, context is None)


def _load(needs_context: bool) -> None:
    for module in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    if needs_context:
        with contextlib.suppress(ConfigurationError):
            default_context()
