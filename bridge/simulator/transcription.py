"""Telnyx's streaming speech-to-text, on loopback.

Speaks the wire of ``/v2/speech-to-text/transcription`` (Telnyx: websocket-streaming pages):
refusals at the handshake, error messages on the open socket, interims and finals, ``Finalize``,
``KeepAlive``, ``CloseStream``, each as the engine that was asked for handles it.  The words come
from a listener: the embedded recogniser, or a script.

Threads: :meth:`TranscriptionService.serve` runs on the connection's own thread and makes no other.
While it recognises it does not read; audio waits in the socket meanwhile, and since recognition is
thirty times faster than real time it never waits long.  ``sessions`` and :meth:`fail` may be used
from any thread.

Rules of this module:

1. What a session said is kept as lengths and counts, never as words.
2. A fault strikes one connection, the next one, and then is over.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from bridge.simulator.audioinput import AudioInput, AudioUnreadable
from bridge.simulator.engines import (
    RequestError,
    TranscriptionRequest,
    check_query,
    read_request,
)
from bridge.simulator.listeners import (
    Listener,
    Listening,
    MakeListener,
    OfflineListener,
    Said,
)
from bridge.simulator.socket import (
    Handshake,
    Refusal,
    SpeechSocket,
    check_access,
    errors_text,
)

logger = logging.getLogger(__name__)

PATH = "/v2/speech-to-text/transcription"

# What an engine without endpointing takes for "the audio stopped".
_AUDIO_STOPPED = 1.0
# A refused request is closed as a breach of policy, which no client may retry.
_POLICY = 1008


@dataclass(frozen=True)
class TranscriptionFault:
    """What goes wrong on one connection.

    Attributes:
        refusal: the handshake is answered with this.
        error: an error with this code is sent as soon as the socket is open, and then it closes.
        deaf: audio is taken and nothing is said, and the socket closes with 1000 after that many
            seconds of audio: the dead-on-arrival connection that clients report.
        abort_after: the connection is cut after that many seconds of audio, without a close frame.
        close_after: the socket closes with ``close_code`` after that many seconds of audio.
        close_code: see ``close_after``.
        mute: nothing is ever sent, and nothing ever closed.
        arrays: messages come wrapped in a JSON array.
    """

    refusal: Refusal | None = None
    error: str | None = None
    deaf: float | None = None
    abort_after: float | None = None
    close_after: float | None = None
    close_code: int = 1011
    mute: bool = False
    arrays: bool = False


@dataclass
class TranscriptionRecord:
    """What one session was asked and did; kept after its end.

    Attributes:
        request: the query that was accepted.
        listener: what listened.
        opened_at: when it began, on the monotonic clock.
        closed_at: when it ended, or ``None``.
        messages: audio messages received.
        audio_bytes: bytes of them.
        audio_seconds: length of the audio in them.
        controls: how often each control message came.
        interims: interim transcripts sent.
        finals: final transcripts with words in them sent.
        final_times: when each of those was sent, on the monotonic clock.
    """

    request: TranscriptionRequest
    listener: Listener | None = None
    opened_at: float = field(default_factory=time.monotonic)
    closed_at: float | None = None
    messages: int = 0
    audio_bytes: int = 0
    audio_seconds: float = 0.0
    controls: Counter[str] = field(default_factory=Counter)
    interims: int = 0
    finals: int = 0
    final_times: list[float] = field(default_factory=list)


class TranscriptionService:
    """The transcription server behind any number of sockets.

    Attributes:
        sessions: what every accepted session did, the oldest first.
        make_listener: makes what listens to a session.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        listen: MakeListener = OfflineListener,
        idle_timeout: float | None = None,
    ) -> None:
        """Make a server.

        Args:
            api_key: the only key that is let in; ``None`` lets in any that is not empty.
            listen: makes the listener of a session, with the session's :class:`Listening`.
            idle_timeout: seconds without audio or ``KeepAlive`` after which an engine that knows
                ``KeepAlive`` closes; Telnyx publishes none, and ``None`` is never.
        """
        self.sessions: list[TranscriptionRecord] = []
        self._api_key = api_key
        self.make_listener = listen
        self._idle_timeout = idle_timeout
        # Guards _faults and appending to sessions.
        self._lock = threading.Lock()
        self._faults: deque[TranscriptionFault] = deque()

    def fail(self, fault: TranscriptionFault, times: int = 1) -> None:
        """Let the next ``times`` connections go wrong."""
        with self._lock:
            self._faults.extend([fault] * times)

    def check(self, handshake: Handshake) -> Refusal | None:
        """Get the answer that refuses this handshake, or ``None``."""
        with self._lock:
            if self._faults and self._faults[0].refusal is not None:
                return self._faults.popleft().refusal
        return check_access(handshake, self._api_key) or check_query(handshake)

    def serve(self, socket: SpeechSocket) -> None:
        """Serve one socket; blocks until it is closed, and leaves it closed.

        Raises:
            OfflineSpeechMissing: a package is missing; the message says what to install.
        """
        with self._lock:
            fault = self._faults.popleft() if self._faults else TranscriptionFault()
        if fault.error is not None:
            socket.send(errors_text(fault.error, "Simulated failure", "as ordered"))
            socket.close(_POLICY)
            return
        try:
            request = read_request(socket.handshake)
        except RequestError as error:
            socket.send(error.text)
            socket.close(_POLICY)
            logger.debug("refused a transcription session: %s", error.code)
            return
        record = TranscriptionRecord(request)
        with self._lock:
            self.sessions.append(record)
        try:
            _Session(socket, record, self.make_listener, fault, self._idle_timeout).run()
        except AudioUnreadable as error:
            socket.send(errors_text("40002", "Format not supported", str(error), "input_format"))
            socket.close(_POLICY)
        finally:
            record.closed_at = time.monotonic()
            logger.debug(
                "ended a transcription session: %.1f s of audio, %d finals",
                record.audio_seconds,
                record.finals,
            )


class _Session:
    """One socket; everything here runs on its connection's thread."""

    def __init__(
        self,
        socket: SpeechSocket,
        record: TranscriptionRecord,
        listen: MakeListener,
        fault: TranscriptionFault,
        idle_timeout: float | None,
    ) -> None:
        self._socket = socket
        self._record = record
        self._request = record.request
        self._engine = record.request.engine
        self._listen = listen
        self._fault = fault
        self._idle_timeout = idle_timeout if self._engine.controls else None
        self._audio = AudioInput(self._request.input_format, self._request.sample_rate)

    def run(self) -> None:
        while True:
            try:
                message = self._socket.receive(self._patience())
            except TimeoutError:
                if self._idle_timeout is not None:
                    self._socket.close(_POLICY)
                    return
                self._finalize()
                continue
            if message is None:
                return
            done = self._take_text(message) if isinstance(message, str) else self._take(message)
            if done:
                return

    def _patience(self) -> float | None:
        """How long to wait for the next message; ``None`` is for ever."""
        if self._idle_timeout is not None:
            return self._idle_timeout
        # An engine that takes no commands has only this to tell that nothing more will come.
        listener = self._record.listener
        waits = not self._engine.controls and listener is not None and listener.speaking
        return _AUDIO_STOPPED if waits else None

    def _take(self, data: bytes) -> bool:
        """Take audio; whether the session is over."""
        record = self._record
        record.messages += 1
        record.audio_bytes += len(data)
        pcm = self._audio.feed(data)
        if not pcm:
            return False
        record.audio_seconds += len(pcm) / 2 / self._audio.sample_rate
        if self._breaks():
            return True
        if record.listener is None:
            # Not earlier: the head of a WAV file says the rate.
            request = self._request
            rate = self._audio.sample_rate
            record.listener = self._listen(Listening(rate, request.interims, request.endpoint))
        if self._fault.deaf is None:
            self._say(record.listener.feed(pcm))
        return False

    def _breaks(self) -> bool:
        """Let the fault strike if its time has come; whether it ended the session."""
        fault, now = self._fault, self._record.audio_seconds
        if fault.abort_after is not None and now >= fault.abort_after:
            self._socket.abort()
        elif fault.close_after is not None and now >= fault.close_after:
            self._socket.close(fault.close_code)
        elif fault.deaf is not None and now >= fault.deaf:
            self._socket.close(1000)
        else:
            return False
        return True

    def _take_text(self, text: str) -> bool:
        """Take a control message; whether the session is over."""
        try:
            value = json.loads(text)
        except ValueError:
            return False
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str):
            return False
        self._record.controls[kind] += 1
        if kind == "Finalize" and self._engine.controls:
            self._finalize()
        elif kind == "CloseStream" and self._fault.deaf is None:
            self._finalize()
            if self._engine.closes and not self._fault.mute:
                self._socket.close(1000)
                return True
        return False

    def _finalize(self) -> None:
        if self._record.listener is not None:
            self._say(self._record.listener.finalize())

    def _say(self, transcripts: Iterable[Said]) -> None:
        engine = self._engine
        for said in transcripts:
            if said.utterance_end and not engine.marks_endpoints:
                continue
            if not said.text and not engine.marks_endpoints:
                continue
            message: dict[str, object] = {"transcript": said.text, "is_final": said.is_final}
            if said.utterance_end:
                message["utterance_end"] = True
            else:
                if said.speech_final and self._request.endpointing:
                    message["speech_final"] = True
                message["confidence"] = said.confidence if engine.confident else None
            if said.event:
                message["event"] = said.event
            self._send(message)
            if said.text and said.is_final:
                self._record.finals += 1
                self._record.final_times.append(time.monotonic())
            elif said.text:
                self._record.interims += 1

    def _send(self, message: dict[str, object]) -> None:
        if not self._fault.mute:
            self._socket.send(json.dumps([message] if self._fault.arrays else message))
