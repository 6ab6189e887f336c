"""What takes time once in a process, done before the first caller waits for it."""

from __future__ import annotations

import contextlib
import ssl

from telnyx_media.errors import ConfigurationError
from telnyx_media.mp3 import Mp3Decoder
from telnyx_media.sentences import SentenceSplitter
from telnyx_media.sync.access import default_context
from telnyx_media.sync.threads import ThreadGroup

# Any rate does.
SAMPLE_RATE = 16000

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
    # Each loads what it needs at its first use: 10 to 100 ms.
    SentenceSplitter().flush()
    SentenceSplitter().feed("One. Two three.")
    Mp3Decoder(SAMPLE_RATE).close()
    if needs_context:
        with contextlib.suppress(ConfigurationError):
            default_context()
