"""The plugin under the name that LiveKit's plugins have: ``from livekit.plugins import …``."""

from telnyx_media.livekit_compat import (
    STT,
    TTS,
    ChunkedStream,
    SpeechStream,
    SynthesizeStream,
    __version__,
)

__all__ = ["STT", "TTS", "SpeechStream", "SynthesizeStream", "ChunkedStream", "__version__"]
