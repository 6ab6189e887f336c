"""One call leg, from its first webhook event to hang-up.

Telnyx tells of a leg on two roads, webhooks and the media socket, in any order, and a leg outlives
its socket (Telnyx: receiving-webhooks and media-streaming pages).  So a leg has a thread of its own
that answers, waits for the stream, brings back one that is lost, and ends everything once, whoever
ended the call and however often it is said.

Threads, all of them joined before the leg counts as ended:

    leg-main    made by :meth:`CallWorker.start`; the leg's life from answer to summary
    leg-recv    the web server's, in :meth:`CallWorker.serve`; opens and closes the media socket
    agent       the agent function
    stt-…       of the transcription session; transcripts are handed over there
    tts-…       of each reply's synthesis session; audio is handed over there

and the process's reader and pacer, which receive and send the audio of all legs.

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
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from bridge.agentrun import AgentRun
from bridge.arrivals import KeyArrivals, pressed_at
from bridge.call import Agent, Call, CallInfo, Remark
from bridge.callcontrol import (
    CallControl,
    RejectCause,
    is_call_ended,
    stream_parameters,
    streams_on_answer,
)
from bridge.conversation import Conversation
from bridge.decisions import Detector
from bridge.errors import BridgeError, CallEnded, CommandError
from bridge.events import CallAnswered, CallHangup, DtmfReceived, Event, MachineDetection, Streaming
from bridge.failures import where
from bridge.hearing import Hearing
from bridge.inheritance import Inheritance
from bridge.judging import Judge
from bridge.legevents import LegEvents
from bridge.legline import LegLine, Services
from bridge.legreport import LegReport
from bridge.listenin import Ear, listen
from bridge.logs import LegLogger, leg_logger
from bridge.observer import CallObserver, CallSummary, Recording
from bridge.pacer import Pacer
from bridge.people import ANSWERERS, Guest, OtherLeg, People
from bridge.playout import Playout
from bridge.recorder import CallRecorder, RecordingWriter
from bridge.recordtap import RecordTap
from bridge.resumption import Resumption
from bridge.settings import Settings
from bridge.speaking import Speaker
from bridge.stream import INTERNAL_ERROR, NORMAL, POLICY, MediaStream, StreamSocket
from bridge.streams import Streams
from bridge.turns import TurnTaking
from bridge.understudy import Understudy
from telnyx_media.codecs import Codec, make_codec
from telnyx_media.errors import TelnyxMediaError
from telnyx_media.frames import Media, Start
from telnyx_media.sync.stt import SpeechToText
from telnyx_media.sync.threads import Deadline, ThreadGroup
from telnyx_media.sync.tts import TextToSpeech
from telnyx_media.vad import VoiceDetector

logger = logging.getLogger(__name__)

# Seconds from an answered call to its media stream; then one is asked for again.
STREAM_WAIT = 10.0

# Seconds that Telnyx has to come back by itself to a socket that was lost; then a new stream is
# asked for.  Its Call Control pages do not say whether it does; the caller hears silence meanwhile.
RECONNECT_WAIT = 1.0

# Seconds from having asked for a stream again to its start.
RESTART_WAIT = 5.0

# Seconds for the last words of a call that has lasted too long.
LAST_WORDS_WAIT = 15.0

# The reasons of a leg that has not ended: it was passed on to somebody else.
PASSED_ON = frozenset({"transferred", "referred", "connected"})

# Seconds from the media stream's `stop` to the `call.hangup` that belongs to it; then we hang up.
HANGUP_WAIT = 2.0

# Seconds that a phone rings to which somebody in the dashboard transfers a call.
TRANSFER_RING = 30.0

# Seconds for everything of a leg to end.
JOIN = 5.0

# Seconds for another process to take a leg that is handed over.
HANDOVER_WAIT = 2.0

# Causes that a screening may name.
REJECTIONS: dict[str, RejectCause] = {
    "CALL_REJECTED": "CALL_REJECTED",
    "USER_BUSY": "USER_BUSY",
    "NOT_FOUND": "NOT_FOUND",
    "TEMPORARILY_UNAVAILABLE": "TEMPORARILY_UNAVAILABLE",
}

# The reason of a leg that has not ended: another process holds it.
MOVED = "moved"

# Telnyx's code for a command to a call that is not answered yet (Telnyx: error-codes page).
NOT_ANSWERED = "90034"

# Seconds that a command may take with all its retries; a stream may start meanwhile.
COMMAND_WAIT = 60.0

# Seconds that a `call.answered` may be late, where it has to be waited for.
ANSWERED_WAIT = 10.0


Screen = Callable[[CallInfo], object]
"""Asked before a call is answered: ``True``, ``None``: yes; ``False``, or a cause: reject it."""


class Dial(Protocol):
    """Makes a further leg."""

    def __call__(
        self,
        to: str,
        agent: Agent,
        *,
        from_: str,
        timeout: float,
        linked: CallInfo | None,
        fields: Mapping[str, object],
    ) -> CallWorker:
        """Dial; raise ``DialFailed`` when that was refused."""


class CallWorker:
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
        on_ended: Callable[[CallWorker], bool],
        on_gone: Callable[[CallWorker], None],
        observers: Sequence[CallObserver] = (),
        recordings: RecordingWriter | None = None,
        inheritance: Inheritance | None = None,
        streaming: bool = True,
        on_departed: Callable[[CallWorker], None] = lambda worker: None,
        in_touch: Callable[[], bool] = lambda: True,
        services: Services | None = None,
        dial: Dial | None = None,
        screen: Screen | None = None,
        ring_timeout: float = 30.0,
        detector: Detector | None = None,
        make_detector: Callable[[int], VoiceDetector] = VoiceDetector,
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
            on_ended: called on leg-main as soon as the leg takes nothing more; tells whether it is
                still this process's to hang up.
            on_gone: called on leg-main when everything of the leg has ended but that thread itself.
            observers: told what happens.
            recordings: writes the leg's recording, if it is to be recorded.
            inheritance: the leg as another process left it, if one held it before.
            streaming: whether the media stream of such a leg is on its way here already.
            on_departed: called on leg-main when the agent has let go of a leg that goes over to
                another process.
            in_touch: whether it would be known if another process had taken the leg.
            services: makes speech services of other languages and voices; these only, if ``None``.
            dial: makes further legs; none, if ``None``.
            screen: asked, on leg-main, whether an inbound leg is to be answered.
            ring_timeout: seconds that an outbound leg may ring.
            detector: judges whether the caller's turns are over; nobody does, if ``None``.
            make_detector: makes a voice detector for audio of a rate.
        """
        self.log: LegLogger = leg_logger(logger, info.tag)
        self._report = LegReport(info, self.log, observers, lambda: self._hearing.finalize())
        self._settings = settings
        self._control = control
        self._make_stream_url = stream_url
        self._asked_url = ""
        self._keys = KeyArrivals(() if inheritance is None else inheritance.keys)
        self._on_ended = on_ended
        self._on_gone = on_gone
        self._on_departed = on_departed
        self._in_touch = in_touch
        self._inheritance = inheritance
        self._streaming = streaming
        age = 0.0 if inheritance is None else inheritance.age
        self._began = time.monotonic() - age
        self._group = ThreadGroup(info.tag, timeout=JOIN)
        saved = self._report.recorded
        self._recorder = RecordTap(
            None
            if recordings is None
            else lambda n: _recorder(info, settings, recordings, saved, n),
            on=settings.record_calls,
        )
        self._events = LegEvents()
        self._services = services or Services(
            settings.language, settings.tts_voice, lambda language: stt, lambda voice: tts
        )
        self._dial = dial
        self._screen = screen
        self._ring_timeout = ring_timeout
        self._judge = None if detector is None else self._make_judge(detector)
        self.conversation = Conversation(
            TurnTaking.from_settings(settings, detector=detector is not None),
            Playout.from_settings(settings, joinable=_outbound_codec(settings).joinable),
            pacer,
            self._report,
            tap=self._recorder,
            history=() if inheritance is None else inheritance.history,
            age=age,
            judge=None if self._judge is None else self._judge.ask,
        )
        self._hearing = Hearing(
            self.conversation,
            stt,
            tag=info.tag,
            l16_byte_order=settings.l16_byte_order,
            make_detector=make_detector,
            tap=self._judge or self._recorder,
        )
        self._speaker = Speaker(
            self.conversation,
            tts,
            lambda: _outbound_codec(settings),
            language=settings.language,
            tag=info.tag,
            understudy=self._make_understudy(),
        )
        self._talking = False
        self._run_agent = AgentRun(
            agent,
            self._make_line(),
            self._speaker,
            self._report,
            self.end_by_agent,
            resumption=self._resumption() if self.talking else None,
            state=None if inheritance is None else inheritance.state,
        )
        # Guards everything below; leg-main waits on it.
        self._life = threading.Condition()
        self._reason: str | None = None
        self._hangup_cause: str | None = None
        self._answered = False
        self._handing_over = False
        self._passing_on = False
        self._taking_leave = False
        self._stream_failures = 0
        self._streams = Streams()
        self._followers: list[Callable[[], object]] = []
        # When the call has lasted too long, and what is said then.
        self._limit_at = self._began + settings.max_seconds if settings.max_seconds else None
        self._last_words = settings.last_words
        # Words with which the call is to be ended at once, and seconds for them.
        self._goodbye: tuple[str, float] | None = None

    def _make_line(self) -> LegLine:
        return LegLine(
            self,
            conversation=self.conversation,
            speaker=self._speaker,
            hearing=self._hearing,
            report=self._report,
            control=self._control,
            events=self._events,
            recording=self._recorder,
            services=self._services,
            make_codec=lambda: _outbound_codec(self._settings),
        )

    def _make_understudy(self) -> Understudy:
        return Understudy(
            self.info.call_control_id,
            conversation=self.conversation,
            control=self._control,
            events=self._events,
            spawn=self._group.spawn,
            voice=lambda: self._services.voice,
            log=self.log,
        )

    def _resumption(self) -> Resumption:
        settings = self._settings
        return Resumption(settings.resume, settings.resume_line, transfer=self._put_through)

    def _put_through(self, call: Call, number: str) -> None:
        """Transfer the caller for good; the agent's thread waits for the end of the call."""
        self._control.transfer(self.info.call_control_id, number)
        for _ in call.turns():
            pass

    def _make_judge(self, detector: Detector) -> Judge:
        return Judge(
            detector,
            spawn=self._group.spawn,
            answer=lambda asked, verdict: self.conversation.judged(asked, verdict),
            failed=lambda error: self.log.error("the turn detector failed: %s", where(error)),
            tap=self._recorder,
        )

    # -- any thread -------------------------------------------------------------------------------

    @property
    def reason(self) -> str:
        """Why the leg ends; ``""`` while it does not."""
        return self._reason or ""

    @property
    def info(self) -> CallInfo:
        """The leg's facts, as they are known by now."""
        return self._report.info

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
            followers = list(self._followers)
        self.conversation.end()
        self._events.close()
        for tell in followers:
            tell()
        return True

    def end_by_agent(self, reason: str) -> bool:
        """End the leg for its agent, unless the last words are being said already."""
        return not self._taking_leave and self.end(reason)

    def when_over(self, tell: Callable[[], object]) -> None:
        """Call ``tell``, which must not block, when the leg ends; at once if it has."""
        with self._life:
            over = self._ending
            if not over:
                self._followers.append(tell)
        if over:
            tell()

    @property
    def answered(self) -> bool:
        """Whether the leg is known to have been answered."""
        return self._answered

    @property
    def is_over(self) -> bool:
        """Whether the leg has ended, or is about to."""
        return self._ending

    @property
    def hangup_cause(self) -> str:
        """Why the leg ended, in Telnyx's words; ``""`` while that is not known."""
        return self._hangup_cause or ""

    def relate(self, event: Event) -> None:
        """Take note of an event of a leg that belongs to this one; returns at once."""
        self._events.add(event, related=True)

    # -- the agent's thread -----------------------------------------------------------------------

    def spawn(self, role: str, target: Callable[[], object]) -> threading.Thread:
        """Start a thread of the leg."""
        return self._group.spawn(role, target)

    def limit(self, seconds: float, words: str | None) -> None:
        """End the call so many seconds after its beginning, with last words."""
        with self._life:
            self._limit_at = self._began + seconds
            self._last_words = self._last_words if words is None else words
            self._life.notify_all()

    def pass_on(self, begun: bool) -> None:
        """Take the media stream's end for nothing, as long as the leg is being passed on."""
        with self._life:
            self._passing_on = begun
            if not begun and self._streams.current is None and self._talking:
                self._streams.expect(time.monotonic())
            self._life.notify_all()

    def dial(
        self, to: str, guest: Guest, *, from_: str, timeout: float, fields: Mapping[str, object]
    ) -> OtherLeg:
        """Dial somebody, on whose leg ``guest`` will be; that leg ends with this one.

        Raises:
            DialFailed: the dial was refused.
        """
        if self._dial is None:
            raise BridgeError("no further legs can be dialled here")
        leg = self._dial(to, guest, from_=from_, timeout=timeout, linked=self.info, fields=fields)
        self.when_over(lambda: leg.end("not wanted"))
        return leg

    # -- any thread, again ------------------------------------------------------------------------

    def transfer(self, to: str) -> None:
        """Put the caller through while the agent talks on; returns at once.

        What comes of it is logged; if nobody answers, the call goes on here.

        Args:
            to: E.164 number or SIP URI.
        """
        self._group.spawn("transfer", self._transfer, to)

    def _transfer(self, to: str) -> None:
        people = People(self, self._control, self._events)
        try:
            people.transfer(to, from_=None, timeout=TRANSFER_RING, fields={})
        except CallEnded:
            return
        except BridgeError as error:
            self.log.warning("could not transfer a call: %s", error)

    def say_goodbye(self, words: str, timeout: float) -> None:
        """End the leg as ``"drain"`` with some last words; returns at once.

        Args:
            words: what is said in the agent's place.
            timeout: seconds for it.
        """
        with self._life:
            self._goodbye = (words, timeout)
            self._life.notify_all()

    def listen_in(self) -> Ear:
        """Have somebody in the dashboard hear the call, from now on."""
        return listen(self._recorder, _outbound_codec(self._settings))

    def let_go(self) -> bool:
        """Leave the leg to another process, which has it already; the call goes on."""
        return self.end(MOVED)

    def hand_over(self) -> None:
        """Have the media stream opened to another process; returns at once.

        The leg goes on until that process asks for it.  If none does in time, the leg is hung up.
        """
        with self._life:
            self._handing_over = True
            self._life.notify_all()

    @property
    def history(self) -> tuple[Remark, ...]:
        """What was said and heard so far."""
        return self.conversation.history

    @property
    def talking(self) -> bool:
        """Whether the agent has begun to hold this call, here or in an earlier process."""
        return self._talking or (self._inheritance is not None and self._inheritance.resumed)

    @property
    def age(self) -> float:
        """Seconds since the leg began."""
        return time.monotonic() - self._began

    def join(self, timeout: float) -> bool:
        """Wait until the leg has ended and its threads with it."""
        return self._group.join(timeout)

    def handle(self, event: Event) -> None:
        """Act on a webhook event of this leg; returns at once."""
        payload = event.payload
        self._events.add(event)
        if isinstance(payload, CallHangup):
            with self._life:
                if self._hangup_cause is None:
                    self._hangup_cause = payload.hangup_cause
                self._life.notify_all()
            rang = self.info.direction == "outbound" and not self._answered
            self.end("not answered" if rang else "caller")
        elif isinstance(payload, MachineDetection):
            self._note_answerer(event.event_type, payload.result)
        elif isinstance(payload, CallAnswered):
            with self._life:
                self._answered = True
                self._life.notify_all()
        elif isinstance(payload, DtmfReceived):
            # The stream brings the same key, when there is one; both would make it two.
            at = pressed_at(event.occurred_at, time.time())
            with self._life:
                since = self._streams.since
                if since is not None:
                    since += time.time() - time.monotonic()
                news = self._keys.by_webhook(payload.digit, at, since)
            if news:
                self._hear_key(payload.digit)
        elif isinstance(payload, Streaming) and event.event_type != "streaming.started":
            url = payload.stream_url or payload.stream_params.stream_url
            if url and self._asked_url and url != self._asked_url:
                # What became of an earlier stream is no news.
                return
            with self._life:
                self._stream_failures += 1
                self._streams.hurry(time.monotonic())
                self._life.notify_all()

    def _hear_key(self, digit: str) -> None:
        known = self.conversation.hear_digit(digit)
        with self._life:
            if not known:
                self._keys.hide_last()
            heard = self._keys.heard
        self._report.pressed(heard)

    def _note_answerer(self, event_type: str, result: str) -> None:
        if event_type.endswith((".detection.ended", ".call_screening.detected")):
            self._report.note(answered_by=ANSWERERS.get(result, "unknown"))
        elif event_type.endswith(".greeting.ended"):
            self._report.note(answered_by="machine")

    # -- leg-main ---------------------------------------------------------------------------------

    def _run(self) -> None:
        if not self.talking:
            self._report.began()
        else:
            self._report.arrived()
        try:
            if self._inheritance is None:
                self._answer()
            else:
                self._take_up()
            self._stand_by()
            if self._handing_over and not self._ending:
                self._await_successor()
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
            try:
                self._wind_up()
            finally:
                self._on_gone(self)

    def _answer(self) -> None:
        """Answer an inbound leg, and have its media stream opened."""
        key, settings = self.info.call_control_id, self._settings
        if self.info.direction == "outbound":
            self._await_answer()
        elif self._screened():
            return
        elif streams_on_answer(settings):
            # The stream may start, or fail, before the command has been answered.
            self._expect_stream(COMMAND_WAIT)
            url = self._stream_url()
            self._control.answer(key, **stream_parameters(settings, url, command="answer"))
            self._expect_stream(STREAM_WAIT)
        else:
            self._control.answer(key)
            with self._life:
                self._life.wait_for(lambda: self._answered or self._ending, ANSWERED_WAIT)
            if not self._ending:
                self._start_stream()
                self._expect_stream(STREAM_WAIT)

    def _await_answer(self) -> None:
        """Wait until somebody picks up, then have the media stream opened.

        Not with the dial itself: the stream's token names its leg, which has no name before.
        """
        with self._life:
            patience = self._ring_timeout + ANSWERED_WAIT
            self._life.wait_for(lambda: self._answered or self._ending, patience)
        if self._ending:
            return
        if self._answered:
            self._start_stream()
            self._expect_stream(STREAM_WAIT)
        else:
            self.end("not answered")

    def _screened(self) -> bool:
        """Ask whether to answer at all; True when the call was refused."""
        verdict: object = True
        try:
            verdict = True if self._screen is None else self._screen(self.info)
        except Exception as error:  # noqa: BLE001 - a user's function; its failure costs no call
            self.log.error("screening failed, so the call is answered: %s", where(error))
        if verdict is None or verdict is True:
            return False
        cause = REJECTIONS.get(str(verdict).upper(), "CALL_REJECTED")
        self._control.reject(self.info.call_control_id, cause)
        self.end("rejected")
        return True

    def _take_leave(self, words: str, timeout: float, reason: str) -> None:
        """End the call with last words, in its agent's place."""
        self._taking_leave = True
        self.conversation.take_leave()
        try:
            if words and self._streams.current is not None:
                self._speaker.speak(words, interruptible=False, parting=True, timeout=timeout)
        except CallEnded:
            pass
        except TelnyxMediaError as error:
            self.log.warning("the last words could not be said: %s", error)
        self.end(reason)

    def _take_up(self) -> None:
        """Go on where another process left the leg."""
        if self._streaming:
            self._expect_stream(STREAM_WAIT)
            return
        try:
            self._start_stream()
        except CommandError as error:
            if error.code != NOT_ANSWERED:
                raise
            self._answer()
            return
        self._expect_stream(RESTART_WAIT)

    def _await_successor(self) -> None:
        """Have the stream opened to another process until one has taken the leg; or hang up."""
        deadline = Deadline(HANDOVER_WAIT)
        while not (self._ending or deadline.expired):
            with self._life:
                failures = self._stream_failures
            self._start_stream()
            with self._life:
                self._life.wait_for(
                    lambda: self._ending or self._stream_failures != failures,  # noqa: B023
                    deadline.remaining(),
                )
        self.end("drain")

    def _expect_stream(self, wait: float) -> None:
        with self._life:
            self._streams.expect(time.monotonic() + wait)

    def _stream_url(self) -> str:
        self._asked_url = self._make_stream_url()
        return self._asked_url

    def _start_stream(self) -> None:
        self._expect_stream(COMMAND_WAIT)
        url = self._stream_url()
        parameters = stream_parameters(self._settings, url, command="streaming_start")
        self._control.streaming_start(self.info.call_control_id, **parameters)

    @property
    def _ending(self) -> bool:
        return self._reason is not None

    def _stand_by(self) -> None:
        """Stay until the leg ends; ask again for a stream that does not come, or not back."""
        while True:
            with self._life:
                if self._ending or self._handing_over:
                    return
                now = time.monotonic()
                due = None if self._passing_on else self._streams.due
                limit = self._limit_at
                too_long = limit is not None and limit <= now
                goodbye = self._goodbye
                if goodbye is None and not too_long and (due is None or due > now):
                    times = [at for at in (due, limit) if at is not None]
                    self._life.wait(min(times) - now if times else None)
                    continue
                leave = too_long or goodbye is not None
                again = not leave and self._streams.restart(now + COMMAND_WAIT)
                unstarted = [stream for stream in self._streams.open if not stream.started]
            if goodbye is not None:
                self._take_leave(*goodbye, "drain")
                return
            if too_long:
                self.log.info("call has lasted too long")
                self._take_leave(self._last_words, LAST_WORDS_WAIT, "too long")
                return
            for stream in unstarted:
                stream.socket.close(POLICY, "no start frame")
            if not again:
                self.end("media lost")
                return
            self.log.info("asked for the media stream again")
            self._start_stream()
            self._expect_stream(RESTART_WAIT)

    def _wind_up(self) -> None:
        """End what is left of the leg, in order, within one deadline."""
        deadline = Deadline(JOIN)
        self.end("failed")
        moved = not self._on_ended(self) or self._reason == MOVED
        passed_on = self._reason in PASSED_ON
        ours = self._reason not in ("caller", "rejected") and not moved and not passed_on
        if ours:
            self._hang_up()
        elif passed_on:
            self._stop_streaming()
        self._hearing.close()
        self._speaker.close()
        if moved:
            # Nobody else may speak to the caller before this agent has fallen silent.
            self._group.join(deadline.remaining())
            self._on_departed(self)
        if self._judge is not None:
            self._judge.close()
        self._recorder.close()
        with self._life:
            streams = list(self._streams.open)
        for stream in streams:
            stream.socket.close(NORMAL)
        if self._reason == "caller" and not moved:
            # A stream also stops when another process has taken the leg, which goes on there.
            moved = not (self._await_hangup() or self._in_touch())
            if not moved:
                self._hang_up()
        with self._life:
            self._life.wait_for(lambda: not self._streams.open, deadline.remaining())
        self._group.join(deadline.remaining())
        if moved:
            self._report.departed()
        else:
            self._report.ended(self._summary())

    def _stop_streaming(self) -> None:
        """Have no part any more in a call that others go on with."""
        try:
            self._control.streaming_stop(self.info.call_control_id)
        except CommandError as error:
            self.log.debug("could not stop the media stream of a call passed on: %s", error)

    def _await_hangup(self) -> bool:
        """Wait for the webhook that goes with a stream that Telnyx stopped; whether it came."""
        with self._life:
            return self._life.wait_for(lambda: self._hangup_cause is not None, HANGUP_WAIT)

    def _hang_up(self) -> None:
        if self._hangup_cause is not None:
            return
        try:
            self._control.hangup(self.info.call_control_id)
        except CommandError as error:
            self.log.warning("could not hang up: %s", error)

    def _summary(self) -> CallSummary:
        counts = self.conversation.counts
        return CallSummary(
            reason=self._reason or "",
            hangup_cause=self._hangup_cause or "",
            duration=time.monotonic() - self._began,
            turns=counts.turns,
            replies=counts.replies,
            barge_ins=counts.barge_ins,
            false_alarms=counts.false_alarms,
            streams=self._streams.started,
            packets=self._hearing.packets,
            lost_packets=self._hearing.lost,
            late_packets=self._hearing.late,
            bad_frames=self._streams.bad_frames,
            stt_reconnects=self._hearing.reconnects,
            tts_reconnects=counts.tts_reconnects,
            stt_dropped=self._hearing.dropped,
            abandoned=tuple(self._group.abandoned),
            recording=self._recorder.path,
        )

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
            if self._ending:
                socket.close(NORMAL)
            self._streams.open.add(stream)
        try:
            closed = stream.read()
            self.log.debug("media socket closed: %s", closed)
        except Exception as error:  # noqa: BLE001 - the top of the request's thread, as it were
            self.log.error("reading the media stream failed: %s", where(error))
            socket.close(INTERNAL_ERROR)
        finally:
            thread.name = name
            lost = self._stream_closed(stream)
        return lost

    def _stream_closed(self, stream: MediaStream) -> bool:
        self.conversation.disconnect(stream.socket, stream.clock.ended)
        if stream.current:
            self._hearing.flush()
        with self._life:
            now = time.monotonic()
            current = self._streams.close(stream, now)
            untold = self._keys.stream_lost(time.time()) if current else []
            lost = not stream.stopped and not self._ending
            if current and lost and not self._passing_on:
                self._streams.expect(now + min(RECONNECT_WAIT, self._settings.grace_seconds))
            self._life.notify_all()
        for digit in untold:
            self._hear_key(digit)
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
        with self._life:
            if self._ending:
                return False
            before = self._streams.start(stream, time.monotonic())
            begin, self._talking = not self._talking, True
        self.conversation.connect(stream.socket)
        if before is not None:
            before.socket.close(NORMAL, "superseded")
        media_format = start.media_format
        self._report.stream_started(
            dataclasses.replace(
                self.info, codec=media_format.encoding, sample_rate=media_format.sample_rate
            )
        )
        if begin:
            self._group.spawn("agent", self._run_agent.run)
        return True

    def stream_media(self, media: Media) -> None:
        """Take in the caller's audio."""
        self._hearing.packet(media)

    def stream_mark(self, name: str) -> None:
        """Take note of a mark that came back."""
        self.conversation.mark_returned(name)

    def stream_digit(self, digit: str, occurred_at: str) -> None:
        """Take in a key that the caller pressed."""
        at = pressed_at(occurred_at, time.time())
        with self._life:
            news = self._keys.by_stream(digit, at)
        if news:
            self._hear_key(digit)

    def stream_stopped(self, stream: MediaStream) -> None:
        """Telnyx ended the stream: the caller has hung up, as the webhook will say too."""
        # Unless it goes on in another process, or with somebody else.
        if not self._handing_over and not self._passing_on:
            self.end("caller")


def _outbound_codec(settings: Settings) -> Codec:
    """Make an encoder for what we asked for; what we hear may be of another codec."""
    return make_codec(settings.codec, settings.sample_rate, l16_byte_order=settings.l16_byte_order)


def _recorder(
    info: CallInfo,
    settings: Settings,
    writer: RecordingWriter,
    on_saved: Callable[[Recording], None],
    number: int = 1,
) -> CallRecorder:
    name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{info.tag}"
    if number > 1:
        name += f"-{number}"
    return CallRecorder(writer, name, _outbound_codec(settings), on_saved=on_saved)
