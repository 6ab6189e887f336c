"""Telnyx speech for LiveKit Agents: the classes of ``livekit.plugins.telnyx``, on threads.

    from telnyx_media.livekit_compat import STT, TTS

    session = AgentSession(stt=STT(transcription_engine="deepgram"), tts=TTS(), ...)

The sockets are those of :mod:`telnyx_media.sync`: blocking, each on threads of its own.  The event
loop gets what they bring by way of :class:`~telnyx_media.livekit_compat.crossing.Crossing`, and
waits for none of them.

Importing registers the plugin with LiveKit, which wants that on the main thread.  No thread, socket
or event loop is made by importing, nor by making an ``STT`` or a ``TTS``.
"""

from .stt import STT
from .sttstream import SpeechStream
from .tts import TTS
from .ttsstream import ChunkedStream, SynthesizeStream
from .version import __version__

__all__ = ["STT", "TTS", "SpeechStream", "SynthesizeStream", "ChunkedStream", "__version__"]

from livekit.agents import Plugin

from .log import logger


class TelnyxThreadsPlugin(Plugin):
    """What LiveKit lists, and what its workers import before they fork."""

    def __init__(self) -> None:
        super().__init__(__name__, __version__, __package__ or __name__, logger)


Plugin.register_plugin(TelnyxThreadsPlugin())
