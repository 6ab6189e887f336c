"""The parts of one call leg, wired together, and what everybody may ask of it.

Threads: any, as each method says.

Rules of this module:

1. The leg ends once: the first reason stays, the rest is ignored.
2. What ends the leg only sets the reason and wakes; the winding up is leg-main's.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from bridge.agentrun import AgentRun
from bridge.arrivals import KeyArrivals
from bridge.call import Agent, Call, CallInfo, Remark
from bridge.callcontrol import CallControl
from bridge.conversation import Conversation
from bridge.decisions import Detector
from bridge.errors import BridgeError
from bridge.events import Event
from bridge.failures import where
from bridge.hearing import Hearing
from bridge.inheritance import Inheritance
from bridge.judging import Judge
from bridge.legevents import LegEvents
from bridge.legline import LegLine, Services
from bridge.legreport import LegReport
from bridge.listenin import Ear, listen
from bridge.logs import LegLogger, leg_logger
from bridge.observer import CallObserver, Recording
from bridge.pacer import Pacer
from bridge.people import Guest, OtherLeg
from bridge.playout import Playout
from bridge.recorder import CallRecorder, RecordingWriter
from bridge.recordtap import RecordTap
from bridge.resumption import Resumption
from bridge.settings import Settings
from bridge.speaking import Speaker
from bridge.streams import Streams
from bridge.turns import TurnTaking
from bridge.understudy import Understudy
from telnyx_media.codecs import Codec, make_codec
from telnyx_media.sync.stt import SpeechToText
from telnyx_media.sync.threads import ThreadGroup
from telnyx_media.sync.tts import TextToSpeech
from telnyx_media.vad import VoiceDetector

if TYPE_CHECKING:
    from bridge.worker import CallWorker

__all__ = ["JOIN", "Dial", "LegParts", "Screen"]

logger = logging.getLogger("bridge.worker")

# The reason of a leg that has not ended: another process holds it.
MOVED = "moved"

# Seconds for everything of a leg to end.
JOIN = 5.0

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


class LegParts:
    """One leg's parts, and its state."""

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
        part: Callable[[], bool] = lambda: False,
        holds: Callable[[], bool | None] = lambda: True,
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
            part: called on leg-main in place of hanging up when no other process has taken a leg
                that was to be handed over; whether the call will end without us.
            holds: whether the leg is this process's still; ``None`` if that cannot be known now.
                May block.
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
        self._part = part
        self._holds = holds
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
    def streaming(self) -> bool:
        """Whether there is a media stream; Telnyx keeps one per call, so nobody else has it."""
        return self._streams.current is not None

    @property
    def hangup_cause(self) -> str:
        """Why the leg ended, in Telnyx's words; ``""`` while that is not known."""
        return self._hangup_cause or ""

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

    @property
    def _ending(self) -> bool:
        return self._reason is not None

    def relate(self, event: Event) -> None:
        """Take note of an event of a leg that belongs to this one; returns at once."""
        self._events.add(event, related=True)

    def join(self, timeout: float) -> bool:
        """Wait until the leg has ended and its threads with it."""
        return self._group.join(timeout)

    def listen_in(self) -> Ear:
        """Have somebody in the dashboard hear the call, from now on."""
        return listen(self._recorder, _outbound_codec(self._settings))

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
