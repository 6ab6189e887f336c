"""Telnyx speech and media streams, in blocking Python.

``from telnyx_media import SpeechToText, TextToSpeech`` gives blocking sessions for Telnyx's
streaming speech recognition and synthesis; the other names are what those speak of, and the pieces
of a media stream: frames, codecs, resampling, voice detection.

Importing this package opens nothing, starts nothing and needs no other package: a name is looked up
in its module when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from telnyx_media.codecs import Codec as Codec
    from telnyx_media.codecs import PacketEncoder as PacketEncoder
    from telnyx_media.codecs import make_codec as make_codec
    from telnyx_media.errors import AuthenticationError as AuthenticationError
    from telnyx_media.errors import ConfigurationError as ConfigurationError
    from telnyx_media.errors import ConnectionLost as ConnectionLost
    from telnyx_media.errors import DeadlineExceeded as DeadlineExceeded
    from telnyx_media.errors import FrameError as FrameError
    from telnyx_media.errors import ProtocolError as ProtocolError
    from telnyx_media.errors import ServiceError as ServiceError
    from telnyx_media.errors import SessionEnded as SessionEnded
    from telnyx_media.errors import SpeechCutShort as SpeechCutShort
    from telnyx_media.errors import TelnyxMediaError as TelnyxMediaError
    from telnyx_media.errors import UnsupportedCodec as UnsupportedCodec
    from telnyx_media.frames import Clear as Clear
    from telnyx_media.frames import Connected as Connected
    from telnyx_media.frames import Dtmf as Dtmf
    from telnyx_media.frames import Frame as Frame
    from telnyx_media.frames import Mark as Mark
    from telnyx_media.frames import Media as Media
    from telnyx_media.frames import MediaFormat as MediaFormat
    from telnyx_media.frames import Start as Start
    from telnyx_media.frames import Stop as Stop
    from telnyx_media.frames import StreamError as StreamError
    from telnyx_media.frames import encode_clear as encode_clear
    from telnyx_media.frames import encode_mark as encode_mark
    from telnyx_media.frames import encode_media as encode_media
    from telnyx_media.frames import parse_frame as parse_frame
    from telnyx_media.mp3 import Mp3Decoder as Mp3Decoder
    from telnyx_media.pcm import Packetizer as Packetizer
    from telnyx_media.pcm import Resampler as Resampler
    from telnyx_media.pcm import read_wav as read_wav
    from telnyx_media.pcm import write_wav as write_wav
    from telnyx_media.reorder import ReorderBuffer as ReorderBuffer
    from telnyx_media.rest import SpeechRest as SpeechRest
    from telnyx_media.sentences import SentenceSplitter as SentenceSplitter
    from telnyx_media.sync.retry import RetryPolicy as RetryPolicy
    from telnyx_media.sync.speechcache import SpeechCache as SpeechCache
    from telnyx_media.sync.stt import SpeechToText as SpeechToText
    from telnyx_media.sync.sttsession import SttSession as SttSession
    from telnyx_media.sync.tts import TextToSpeech as TextToSpeech
    from telnyx_media.sync.ttssession import SpeechAudio as SpeechAudio
    from telnyx_media.sync.ttssession import TtsSession as TtsSession
    from telnyx_media.transcripts import Transcript as Transcript
    from telnyx_media.vad import VoiceDetector as VoiceDetector

# Module of each public name, in reading order.
_MODULES = {
    "telnyx_media.sync.stt": ("SpeechToText",),
    "telnyx_media.sync.sttsession": ("SttSession",),
    "telnyx_media.transcripts": ("Transcript",),
    "telnyx_media.sync.tts": ("TextToSpeech",),
    "telnyx_media.sync.ttssession": ("TtsSession", "SpeechAudio"),
    "telnyx_media.sync.retry": ("RetryPolicy",),
    "telnyx_media.sync.speechcache": ("SpeechCache",),
    "telnyx_media.rest": ("SpeechRest",),
    "telnyx_media.errors": (
        "TelnyxMediaError",
        "ConfigurationError",
        "UnsupportedCodec",
        "ServiceError",
        "AuthenticationError",
        "ConnectionLost",
        "DeadlineExceeded",
        "SpeechCutShort",
        "ProtocolError",
        "FrameError",
        "SessionEnded",
    ),
    "telnyx_media.frames": (
        "Frame",
        "Connected",
        "Start",
        "MediaFormat",
        "Media",
        "Dtmf",
        "Mark",
        "Clear",
        "Stop",
        "StreamError",
        "parse_frame",
        "encode_media",
        "encode_mark",
        "encode_clear",
    ),
    "telnyx_media.codecs": ("Codec", "PacketEncoder", "make_codec"),
    "telnyx_media.pcm": ("Packetizer", "Resampler", "read_wav", "write_wav"),
    "telnyx_media.mp3": ("Mp3Decoder",),
    "telnyx_media.reorder": ("ReorderBuffer",),
    "telnyx_media.sentences": ("SentenceSplitter",),
    "telnyx_media.vad": ("VoiceDetector",),
}

_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = list(_HOME)


if not TYPE_CHECKING:
    # Hidden from type checkers, which would take every misspelt name for one that is there.

    def __getattr__(name: str) -> object:
        """Import the module of a public name at its first use."""
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(home), name)
        # From now on it is found without asking here.
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
