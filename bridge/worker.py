"""One call leg, from its first webhook event to hang-up.

Telnyx tells of a leg on two roads, webhooks and the media socket, in any order, and a leg outlives
its socket (Telnyx: receiving-webhooks and media-streaming pages).  So a leg has a thread of its own
that answers, waits for the stream, brings back one that is lost, and ends everything once, whoever
ended the call and however often it is said.

Threads, all of them joined before the leg counts as ended:

    leg-main    made by :meth:`CallWorker.start`; the leg's life from answer to summary
    leg-recv    the web server's, in :meth:`CallWorker.serve`; reads the media socket
    agent       the agent function
    stt-…       of the transcription session; transcripts are handed over there
    tts-…       of each reply's synthesis session; audio is handed over there

and the process's pacer, which sends.

Rules of this module:

1. The leg ends once: the first reason stays, the rest is ignored.
2. What ends the leg only sets the reason and wakes; the winding up is leg-main's.
3. Telnyx is told to hang up unless it told us.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from bridge.call import Call, CallInfo, Remark, Reply
from bridge.callcontrol import (
    CallControl,
    is_call_ended,
    stream_parameters,
    streams_on_answer,
)
from bridge.conversation import Conversation, Listener
from bridge.decisions import Turn
from bridge.errors import CallEnded, CommandError
from bridge.events import CallAnswered, CallHangup, DtmfReceived, Event
from bridge.failures import where
from bridge.hearing import Hearing
from bridge.logs import LegLogger, leg_logger
from bridge.observer import Audience, CallObserver, CallSummary, TurnLatency
from bridge.pacer import Pacer
from bridge.playout import Playout
from bridge.recorder import CallRecorder, RecordingWriter
from bridge.settings import Settings
from bridge.speaking import Speaker
from bridge.stream import MediaStream, StreamSocket
from bridge.turns import TurnTaking
from telnyx_media.codecs import Codec, make_codec
from telnyx_media.errors import TelnyxMediaError
from telnyx_media.frames import Media, Start
from telnyx_media.sync.stt import SpeechToText
from telnyx_media.sync.threads import Deadline, ThreadGroup
from telnyx_media.sync.tts import TextToSpeech

logger = logging.getLogger(__name__)

# Seconds from an answered call to its media stream; then one is asked for again.
STREAM_WAIT = 10.0

# Seconds that Telnyx has to come back by itself to a socket that was lost; then a new stream is
# asked for.  Its Call Control pages do not say whether it does; the caller hears silence meanwhile.
RECONNECT_WAIT = 1.0

# Seconds from asking for a stream again to its start.
RESTART_WAIT = 5.0

# How often in a row a stream may be lost before it has lasted STEADY seconds.
RESTARTS = 1
STEADY = 2.0

# Seconds from the media stream's `stop` to the `call.hangup` that belongs to it; then we hang up.
HANGUP_WAIT = 2.0

# Seconds for everything of a leg to end.
JOIN = 5.0

# Seconds that a `call.answered` may be late, where it has to be waited for.
ANSWERED_WAIT = 10.0

APOLOGY = "I'm sorry, something went wrong on our side. Goodbye."

Agent = Callable[[Call], object]


class CallWorker(Listener):
    """One leg: its life, its threads, and the parts of the conversation wired together."""

    def __init__(
        self,
        info: CallInfo,
        *,
        settings: Settings,
        control: CallControl,
        pacer: Pacer,
        agent: Agent,
        stt: SpeechToText,
        tts: TextToSpeech,
        stream_url: Callable[[], str],
        on_ended: Callable[[CallWorker], None],
        on_gone: Callable[[CallWorker], None],
        observers: Sequence[CallObserver] = (),
        recordings: RecordingWriter | None = None,
    ) -> None:
        """Prepare a leg; nothing happens before :meth:`start`.

        Args:
            info: the leg's facts.
            settings: the bridge's settings.
            control: sends the commands.
            pacer: sends the audio.
            agent: called once, on a thread of its own, when the media stream starts.
            stt: opens the transcription session.
            tts: opens the synthesis sessions.
            stream_url: makes an address with a fresh token for this leg's media stream.
            on_ended: called on leg-main as soon as the leg takes nothing more.
            on_gone: called on leg-main when everything of the leg has ended but that thread itself.
            observers: told what happens.
            recordings: writes the leg's recording, if it is to be recorded.
        """
        self.info = info
        self.log: LegLogger = leg_logger(logger, info.tag)
        self._settings = settings
        self._control = control
        self._agent = agent
        self._stream_url = stream_url
        self._on_ended = on_ended
        self._on_gone = on_gone
        self._audience = Audience(observers, self.log)
        self._began = time.monotonic()
        self._group = ThreadGroup(info.tag, timeout=JOIN)
        self._recorder = None if recordings is None else _recorder(info, settings, recordings)
        self.conversation = Conversation(
            TurnTaking.from_settings(settings),
            Playout.from_settings(settings, joinable=_outbound_codec(settings).joinable),
            pacer,
            self,
            tap=self._recorder,
        )
        self._hearing = Hearing(
            self.conversation,
            stt,
            tag=info.tag,
            l16_byte_order=settings.l16_byte_order,
            tap=self._recorder,
        )
        self._speaker = Speaker(
            self.conversation,
            tts,
            lambda: _outbound_codec(settings),
            language=settings.language,
            tag=info.tag,
        )
        # Guards everything below; leg-main waits on it.
        self._life = threading.Condition()
        self._reason: str | None = None
        self._hangup_cause: str | None = None
        self._answered = False
        self._talking = False
        self._stream: MediaStream | None = None
        self._stream_since = 0.0
        # When a stream has to be there; None while one is, or none is asked for.
        self._stream_by: float | None = None
        self._restarts = 0
        self._streams = 0
        self._sockets: set[MediaStream] = set()
        self._bad_frames = 0

    # -- any thread -------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the leg up; returns at once."""
        self._group.spawn("leg-main", self._run)

    def end(self, reason: str) -> bool:
        """Begin to end the leg; False if that was begun before.  Returns at once.

        Args:
            reason: a word or two for the summary.
        """
        with self._life:
            if self._reason is not None:
                return False
            self._reason = reason
            self._life.notify_all()
        self.conversation.end()
        return True

    def join(self, timeout: float) -> bool:
        """Wait until the leg has ended and its threads with it."""
        return self._group.join(timeout)

    def handle(self, event: Event) -> None:
        """Act on a webhook event of this leg; returns at once."""
        payload = event.payload
        if isinstance(payload, CallHangup):
            with self._life:
                if self._hangup_cause is None:
                    self._hangup_cause = payload.hangup_cause
                self._life.notify_all()
            self.end("caller")
        elif isinstance(payload, CallAnswered):
            with self._life:
                self._answered = True
                self._life.notify_all()
        elif isinstance(payload, DtmfReceived):
            # The stream brings the same key, when there is one; both would make it two.
            if self._stream is None:
                self.conversation.hear_digit(payload.digit)
        elif event.event_type in ("streaming.failed", "streaming.stopped"):
            self._hurry()

    def _hurry(self) -> None:
        """Do not wait any longer for a stream that Telnyx says will not come."""
        with self._life:
            if self._stream is None and self._stream_by is not None:
                self._stream_by = time.monotonic()
                self._life.notify_all()

    # -- leg-main ---------------------------------------------------------------------------------

    def _run(self) -> None:
        self._audience.tell(lambda observer: observer.on_begin(self.info))
        try:
            self._answer()
            self._stand_by()
        except CommandError as error:
            if not self.end("caller" if is_call_ended(error) else "command refused"):
                self.log.debug("a command came too late: %s", error)
            elif not is_call_ended(error):
                self.log.error("could not go on with the call: %s", error)
        except Exception as error:
            self.end("failed")
            self.log.error("leg failed: %s", where(error))
            raise
        finally:
            self._wind_up()

    def _answer(self) -> None:
        """Answer an inbound leg, and have its media stream opened."""
        key, settings = self.info.call_control_id, self._settings
        if self.info.direction == "outbound":
            self._expect_stream(STREAM_WAIT)
            return
        if streams_on_answer(settings):
            self._expect_stream(STREAM_WAIT)
            url = self._stream_url()
            self._control.answer(key, **stream_parameters(settings, url, command="answer"))
            return
        self._control.answer(key)
        with self._life:
            self._life.wait_for(lambda: self._answered or self._reason is not None, ANSWERED_WAIT)
            if self._reason is not None:
                return
        self._start_stream(STREAM_WAIT)

    def _expect_stream(self, wait: float) -> None:
        with self._life:
            if self._stream is None:
                self._stream_by = time.monotonic() + wait

    def _start_stream(self, wait: float) -> None:
        self._expect_stream(wait)
        url = self._stream_url()
        parameters = stream_parameters(self._settings, url, command="streaming_start")
        self._control.streaming_start(self.info.call_control_id, **parameters)

    def _stand_by(self) -> None:
        """Stay until the leg ends; ask again for a stream that does not come, or not back."""
        while True:
            with self._life:
                if self._reason is not None:
                    return
                left = None if self._stream_by is None else self._stream_by - time.monotonic()
                if left is None or left > 0:
                    self._life.wait(left)
                    continue
                again = self._restarts < RESTARTS
                self._restarts += 1
                unstarted = [stream for stream in self._sockets if not stream.started]
            for stream in unstarted:
                stream.socket.close(1008, "no start frame")
            if not again:
                self.end("media lost")
                return
            self.log.info("asked for the media stream again")
            self._start_stream(RESTART_WAIT)

    def _wind_up(self) -> None:
        """End what is left of the leg, in order, within one deadline."""
        deadline = Deadline(JOIN)
        self.end("failed")
        self._on_ended(self)
        ours = self._reason not in ("caller",)
        if ours:
            self._hang_up()
        self._hearing.close()
        self._speaker.close()
        if self._recorder is not None:
            self._recorder.close()
        with self._life:
            sockets = list(self._sockets)
        for stream in sockets:
            stream.socket.close(1000)
        if not ours:
            self._await_hangup()
        with self._life:
            self._life.wait_for(lambda: not self._sockets, deadline.remaining())
        self._group.join(deadline.remaining())
        self._summarise()
        self._on_gone(self)

    def _await_hangup(self) -> None:
        """Wait for the webhook that goes with a stream that Telnyx stopped; then hang up."""
        with self._life:
            self._life.wait_for(lambda: self._hangup_cause is not None, HANGUP_WAIT)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._hangup_cause is not None:
            return
        try:
            self._control.hangup(self.info.call_control_id)
        except CommandError as error:
            self.log.warning("could not hang up: %s", error)

    def _summarise(self) -> None:
        counts = self.conversation.counts
        summary = CallSummary(
            reason=self._reason or "",
            hangup_cause=self._hangup_cause or "",
            duration=time.monotonic() - self._began,
            turns=counts.turns,
            replies=counts.replies,
            barge_ins=counts.barge_ins,
            false_alarms=counts.false_alarms,
            streams=self._streams,
            packets=self._hearing.packets,
            lost_packets=self._hearing.lost,
            late_packets=self._hearing.late,
            bad_frames=self._bad_frames,
            abandoned=tuple(self._group.abandoned),
            recording=self._recorder.path if self._recorder is not None else None,
        )
        self.log.info(
            "leg ended: %s, %.1f s, %d turns, %d replies, %d barge-ins, %d packets, %d lost",
            summary.reason,
            summary.duration,
            summary.turns,
            summary.replies,
            summary.barge_ins,
            summary.packets,
            summary.lost_packets,
        )
        self._audience.tell(lambda observer: observer.on_end(self.info, summary))

    # -- leg-recv ---------------------------------------------------------------------------------

    def serve(self, socket: StreamSocket) -> bool:
        """Read a media socket of this leg on the calling thread until it is closed.

        Returns:
            Whether it was lost: closed without ``stop`` while the leg lives.
        """
        thread = threading.current_thread()
        name, thread.name = thread.name, f"leg-recv/{self.info.tag}"[:15]
        stream = MediaStream(socket, self, self.log)
        with self._life:
            if self._reason is not None:
                socket.close(1000)
            self._sockets.add(stream)
        try:
            closed = stream.read()
            self.log.debug("media socket closed: %s", closed)
        finally:
            thread.name = name
            lost = self._stream_closed(stream)
        return lost

    def _stream_closed(self, stream: MediaStream) -> bool:
        self.conversation.disconnect(stream.socket)
        if stream.current:
            self._hearing.flush()
        with self._life:
            self._sockets.discard(stream)
            self._bad_frames += stream.bad_frames
            current = self._stream is stream
            lost = not stream.stopped and self._reason is None
            if current:
                self._stream = None
                now = time.monotonic()
                if now - self._stream_since > STEADY:
                    self._restarts = 0
                if lost:
                    self._stream_by = now + min(RECONNECT_WAIT, self._settings.grace_seconds)
            self._life.notify_all()
        if current and lost:
            self.log.warning("media socket lost; waiting for it to come back")
        return lost

    def stream_started(self, stream: MediaStream, start: Start) -> bool:
        """Take up a stream that names this leg; it supersedes an older one."""
        if start.call_control_id != self.info.call_control_id:
            self.log.warning("refused a media stream: its start frame names another leg")
            return False
        try:
            self._hearing.start(start.media_format)
        except TelnyxMediaError as error:
            self.log.error("refused a media stream: %s", error)
            self.end("codec")
            return False
        media_format = start.media_format
        self.info = dataclasses.replace(
            self.info, codec=media_format.encoding, sample_rate=media_format.sample_rate
        )
        with self._life:
            if self._reason is not None:
                return False
            before, self._stream = self._stream, stream
            if before is not None:
                before.current = False
            stream.current = True
            self._stream_by = None
            self._stream_since = time.monotonic()
            self._streams += 1
            begin, self._talking = not self._talking, True
        self.conversation.connect(stream.socket)
        if before is not None:
            before.socket.close(1000, "superseded")
        self.log.info(
            "media stream started: %s at %d Hz", media_format.encoding, media_format.sample_rate
        )
        self._audience.tell(lambda observer: observer.on_media(self.info))
        if begin:
            self._group.spawn("agent", self._talk)
        return True

    def stream_media(self, media: Media) -> None:
        """Take in the caller's audio."""
        self._hearing.packet(media)

    def stream_mark(self, name: str) -> None:
        """Take note of a mark that came back."""
        self.conversation.mark_returned(name)

    def stream_digit(self, digit: str) -> None:
        """Take in a key that the caller pressed."""
        self.conversation.hear_digit(digit)

    def stream_stopped(self, stream: MediaStream) -> None:
        """Telnyx ended the stream: the caller has hung up, as the webhook will say too."""
        self.end("caller")

    # -- the agent's thread -----------------------------------------------------------------------

    def _talk(self) -> None:
        call = Call(self)
        try:
            self._speaker.warm_up()
            self._agent(call)
        except CallEnded:
            self.end("agent")
        except BaseException as error:  # noqa: BLE001 - the top of the user's thread
            self._apologise(error)
        else:
            self.end("agent")

    def _apologise(self, error: BaseException) -> None:
        """Log what the agent raised, say that something went wrong, and end the call."""
        # Not the message, and no traceback: either may hold what was said.
        self.log.error("agent failed: %s", where(error))
        self._audience.tell(lambda observer: observer.on_agent_error(self.info, error))
        try:
            if not self.ended:
                self._speaker.speak(APOLOGY, interruptible=False)
        except CallEnded:
            pass
        except TelnyxMediaError as failure:
            self.log.error("could not apologise to the caller: %s", failure)
        finally:
            self.end("agent failed")

    @property
    def history(self) -> tuple[Remark, ...]:
        """What was said and heard so far."""
        return self.conversation.history

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self.conversation.ended

    def speak(self, text: str | Iterable[str], *, interruptible: bool) -> Reply:
        """Say it; see :meth:`bridge.call.Call.say`."""
        return self._speaker.speak(text, interruptible=interruptible)

    def hear(self, timeout: float | None) -> Turn | None:
        """Wait for a turn; see :meth:`bridge.call.Call.listen`."""
        return self.conversation.hear(timeout, self._speaker.warm_up)

    def leave(self) -> None:
        """Hang up; see :meth:`bridge.call.Call.hangup`."""
        self.end("agent")

    # -- told by the conversation -----------------------------------------------------------------

    def speech_paused(self) -> None:
        """The caller fell silent: the recogniser may hurry."""
        self._hearing.finalize()

    def turn_ended(self, turn: Turn, latency: TurnLatency) -> None:
        """The caller's turn is complete."""
        self._audience.tell(lambda observer: observer.on_turn(self.info, turn, latency))

    def reply_ended(self, reply: Reply, latency: TurnLatency) -> None:
        """A reply is over."""
        self._audience.tell(lambda observer: observer.on_reply(self.info, reply, latency))

    def barged_in(self, delay: float) -> None:
        """The caller broke in."""
        self._audience.tell(lambda observer: observer.on_barge_in(self.info, delay))

    def false_alarm(self) -> None:
        """A paused reply goes on."""
        self._audience.tell(lambda observer: observer.on_false_alarm(self.info))

    def pump_failed(self, error: Exception) -> None:
        """Sending raised what it should not."""
        self.log.error("sending audio failed: %s", where(error))


def _outbound_codec(settings: Settings) -> Codec:
    """Make an encoder for what we asked for; what we hear may be of another codec."""
    return make_codec(settings.codec, settings.sample_rate, l16_byte_order=settings.l16_byte_order)


def _recorder(info: CallInfo, settings: Settings, writer: RecordingWriter) -> CallRecorder:
    name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return CallRecorder(writer, f"{name}-{info.tag}", _outbound_codec(settings))
