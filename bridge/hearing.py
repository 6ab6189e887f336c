"""What the caller says: packets to voice activity and transcripts.

Telnyx's media frames may arrive out of order and in a codec that only ``start.media_format`` tells
(Telnyx: media-streaming page), so each packet is put in order, decoded, shown to the voice detector
and sent to the recogniser.  The recogniser's session gets G.711 as it is, since many engines take
it; decoding it for them would cost the call and gain nothing.

Threads: :meth:`Hearing.start`, :meth:`Hearing.packet` and :meth:`Hearing.flush` on the media
socket's thread; transcripts arrive on the recogniser's and are handed on there; ``close`` from any.
Nothing here waits.

Rules of this module:

1. A packet that never came is silence for the recogniser and the recording, so that their clocks
   keep time; the voice detector is told nothing.
2. A stream that comes back in the same format goes on in the same transcription session.
3. While it is deaf the recogniser and, for what is private, the recording get silence.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from telnyx_media.codecs import Codec, make_codec
from telnyx_media.errors import TelnyxMediaError
from telnyx_media.frames import Media, MediaFormat
from telnyx_media.pcm import level, silence
from telnyx_media.reorder import ReorderBuffer
from telnyx_media.sync.stt import SpeechToText, SttSession
from telnyx_media.transcripts import Transcript
from telnyx_media.vad import WINDOW_SECONDS, VoiceDetector

__all__ = ["PRIVATE", "Hearing", "Tap"]

# What is passed on as it is, and how it is called where speech is recognised (Telnyx: input_format
# parameter).
FORMATS = {"PCMU": "mulaw", "PCMA": "alaw"}

# Seconds of audio that a packet is taken to have had which never came.
PACKET = 0.02

# The reason not to listen for which a recording may not listen either.
PRIVATE = "private"


class Tap(Protocol):
    """Gets the caller's audio as it was heard, for a recording; must not block."""

    def inbound(self, pcm: bytes, sample_rate: int) -> None:
        """Take PCM, in order; what never came is silence."""


class Conversational(Protocol):
    """Whom the caller's doings are told."""

    def hear_voice(
        self, windows: Sequence[float], seconds: float, levels: Sequence[float], packet: float
    ) -> None:
        """Voice activity of so many windows, and how loud the packets since the last ones were."""

    def hear_transcript(self, transcript: Transcript) -> None:
        """What the recogniser says."""

    def fail_hearing(self, error: Exception) -> None:
        """The recogniser has given up."""


class Hearing:
    """The inbound path of one leg.

    Attributes:
        packets: media frames taken in.
        lost: packets that never came.
        late: packets that came too late and were dropped.
    """

    def __init__(
        self,
        conversation: Conversational,
        stt: SpeechToText,
        *,
        tag: str,
        l16_byte_order: str = "little",
        make_detector: Callable[[int], VoiceDetector] = VoiceDetector,
        tap: Tap | None = None,
    ) -> None:
        """Prepare; nothing is opened before :meth:`start`.

        Args:
            conversation: told what the caller does.
            stt: opens the transcription session.
            tag: the leg's, for the names of the session's threads.
            l16_byte_order: of L16 audio.
            make_detector: makes a voice detector for audio of a rate.  It may judge later, on any
                one thread.
            tap: gets the caller's audio too.
        """
        self.packets = 0
        self._lost_before = 0
        self._late_before = 0
        self._reconnects_before = 0
        self._dropped_before = 0.0
        self._conversation = conversation
        self._stt = stt
        self._tag = tag
        self._byte_order = l16_byte_order
        self._make_detector = make_detector
        self._detector = make_detector(8000)
        self._tap = tap
        self._session: SttSession | None = None
        self._session_format = ("", 0)
        # Of the packets that the detector has not judged yet, in dBFS.
        self._levels: list[float] = []
        # A session that takes nothing any more.
        self._deaf: SttSession | None = None
        self._reorder = ReorderBuffer()
        self._codec: Codec = make_codec("PCMU")
        # Why nothing is listened to, and whether even a recording may not have it.
        self._deaf_for: set[str] = set()
        # A stream that is superseded may still be at its last packet when the next one starts.
        self._lock = threading.Lock()
        self._closed = False

    # -- the media socket's thread ----------------------------------------------------------------

    def start(self, media_format: MediaFormat) -> None:
        """Begin, or begin again, with a stream of this format.

        Raises:
            UnsupportedCodec: it cannot be decoded.
            TelnyxMediaError: the recogniser cannot take it.
        """
        codec = make_codec(
            media_format.encoding, media_format.sample_rate, l16_byte_order=self._byte_order
        )
        encoding = FORMATS.get(codec.encoding, "linear16")
        with self._lock:
            self._lost_before += self._reorder.lost
            self._late_before += self._reorder.late
            self._codec = codec
            self._reorder = ReorderBuffer()
            # Not reset: what it was shown last may still be judged, on another thread.
            self._detector = self._make_detector(codec.sample_rate)
            self._open_session(encoding, codec.sample_rate)

    def _open_session(self, encoding: str, rate: int) -> None:
        if self._closed or (self._session is not None and self._session_format == (encoding, rate)):
            return
        if self._session is not None:
            self._reconnects_before += self._session.reconnects
            self._dropped_before += self._session.dropped
            self._session.close()
        self._session_format = (encoding, rate)
        self._session = self._stt.open(
            sample_rate=rate,
            encoding=encoding,
            on_transcript=self._conversation.hear_transcript,
            on_error=self._conversation.fail_hearing,
            # Ten times a second: waking the sender would cost more than sending.
            direct=True,
            tag=self._tag,
        )

    def packet(self, media: Media) -> None:
        """Take in one media frame of the caller."""
        with self._lock:
            self.packets += 1
            for payload in self._reorder.push(media.order, media.payload):
                self._take(payload)

    def flush(self) -> None:
        """Take in what still waited for a packet before it: the stream is over."""
        with self._lock:
            for payload in self._reorder.flush():
                self._take(payload)

    def _take(self, payload: bytes | None) -> None:
        codec = self._codec
        session = None if self._session is self._deaf else self._session
        heard = b"" if payload is None else codec.decode(payload)
        pcm = heard or silence(PACKET, codec.sample_rate)
        if self._deaf_for:
            # As long as what was said: the recogniser's clock keeps time.
            pcm = bytes(len(pcm))
        elif heard:
            self._detect(heard)
        if session is not None:
            audio = pcm
            if self._session_format[0] != "linear16":
                as_it_is = payload is not None and not self._deaf_for
                length = len(pcm) / 2 / codec.sample_rate
                audio = payload if as_it_is and payload else codec.silence(length)
            try:
                session.send(audio)
            except TelnyxMediaError:
                # Given up or closed; whoever listens was told by the session itself.
                self._deaf = session
        if self._tap is not None:
            self._tap.inbound(pcm if PRIVATE in self._deaf_for else heard or pcm, codec.sample_rate)

    def _detect(self, pcm: bytes) -> None:
        seconds = len(pcm) / 2 / self._codec.sample_rate
        self._detector.hear(pcm, partial(self._hear_voice, level(pcm), seconds))

    def _hear_voice(self, loudness: float, packet: float, windows: list[float]) -> None:
        """Tell what was made of a packet, of so many dBFS and seconds; never raises."""
        self._levels.append(loudness)
        if not windows:
            return
        levels, self._levels = self._levels, []
        try:
            self._conversation.hear_voice(windows, WINDOW_SECONDS, levels, packet)
        except Exception as error:  # noqa: BLE001 - other legs are judged in the same round
            self._conversation.fail_hearing(error)

    # -- any thread -------------------------------------------------------------------------------

    def turn_deaf(self, reason: str) -> None:
        """Listen to nothing, for one reason more: no voice, no words, until :meth:`listen`."""
        with self._lock:
            self._deaf_for.add(reason)

    def listen(self, reason: str) -> None:
        """Listen again, unless there is another reason not to."""
        with self._lock:
            self._deaf_for.discard(reason)

    def renew(self, stt: SpeechToText) -> None:
        """Go on with another recogniser, or another language; what it has not told yet is lost."""
        with self._lock:
            self._stt = stt
            encoding, rate = self._session_format
            if rate:
                self._session_format = ("", 0)
                self._open_session(encoding, rate)

    def finalize(self) -> None:
        """Ask the recogniser for what it has: the caller fell silent."""
        if self._session is not None:
            self._session.finalize()

    def close(self) -> None:
        """End the transcription session and join its threads; may be called twice."""
        with self._lock:
            self._closed = True
            session = self._session
        if session is not None:
            with session:
                pass

    @property
    def lost(self) -> int:
        """Packets that never came."""
        return self._lost_before + self._reorder.lost

    @property
    def late(self) -> int:
        """Packets that came too late."""
        return self._late_before + self._reorder.late

    @property
    def reconnects(self) -> int:
        """Connections to the recogniser that replaced a lost one."""
        session = self._session
        return self._reconnects_before + (0 if session is None else session.reconnects)

    @property
    def dropped(self) -> float:
        """Seconds of audio that never reached the recogniser."""
        session = self._session
        return self._dropped_before + (0.0 if session is None else session.dropped)
