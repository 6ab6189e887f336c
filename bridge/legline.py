"""What a :class:`~bridge.call.Call` talks on: one leg's parts, as the agent function needs them.

Threads: the agent's, and one more, ``filler``, for as long as something is said while the agent
thinks.  Every method that blocks is woken by the end of the call.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, Protocol

from bridge import sounds
from bridge.background import Background
from bridge.call import Call, CallInfo, Remark, Reply
from bridge.callcontrol import CallControl, CommandResult
from bridge.conversation import Conversation
from bridge.decisions import Interruptible, Turn
from bridge.errors import CallEnded, CommandError
from bridge.events import Event
from bridge.filler import Filler
from bridge.hearing import PRIVATE, Hearing
from bridge.keypad import KEYS, Keypad, KeyRules
from bridge.legevents import LegEvents
from bridge.legreport import LegReport
from bridge.people import OtherLeg, Owner, People
from bridge.recordtap import RecordTap
from bridge.speaking import Speaker
from telnyx_media.codecs import Codec
from telnyx_media.errors import ConfigurationError
from telnyx_media.sync.stt import SpeechToText
from telnyx_media.sync.tts import TextToSpeech

__all__ = ["LegLine", "Leg", "Services"]

# Seconds that a key takes to be sent, with the gap behind it (Telnyx: duration_millis, 250 by
# default), and that a pause between two keys is long.
KEY_SECONDS = 0.35
PAUSES = {"w": 0.5, "W": 1.0}

# What a language looks like (Telnyx: language parameter); engines have words of their own: "multi".
LANGUAGE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*")


class Leg(Owner, Protocol):
    """The leg behind the line, beyond what :mod:`bridge.people` asks of it."""

    def limit(self, seconds: float, words: str | None) -> None:
        """End the call so many seconds after its beginning, with last words."""

    def spawn(self, role: str, target: Callable[[], object]) -> threading.Thread:
        """Start a thread of the leg."""


class Services:
    """The speech services of a leg, by language and by voice."""

    def __init__(
        self,
        language: str,
        voice: str,
        make_stt: Callable[[str], SpeechToText],
        make_tts: Callable[[str], TextToSpeech],
    ) -> None:
        """Begin with the settings' own.

        Args:
            language: of the caller.
            voice: of the agent.
            make_stt: opens transcription sessions in a language.
            make_tts: opens synthesis sessions in a voice.
        """
        self.language = language
        self.voice = voice
        self.make_stt = make_stt
        self.make_tts = make_tts


class LegLine:
    """One leg, to talk on; made once per leg.

    Attributes:
        people: those who are neither caller nor agent.
        excuse: said before the agent's first words, unless it has seen that another agent held the
            call before.
        keep_state: called when the agent is about to wait; keeps its ``call.state``.
    """

    def __init__(
        self,
        leg: Leg,
        *,
        conversation: Conversation,
        speaker: Speaker,
        hearing: Hearing,
        report: LegReport,
        control: CallControl,
        events: LegEvents,
        recording: RecordTap,
        services: Services,
        make_codec: Callable[[], Codec],
    ) -> None:
        """Wire it; nothing happens.

        Args:
            leg: what it is the line of.
            conversation: where both sides meet.
            speaker: speaks the replies.
            hearing: hears the caller.
            report: has the facts.
            control: sends commands.
            events: what webhooks tell.
            recording: the leg's recording.
            services: the speech services.
            make_codec: makes codecs of what the leg speaks.
        """
        self.people = People(leg, control, events)
        self.excuse = ""
        self.keep_state: Callable[[], None] = lambda: None
        self._leg = leg
        self._conversation = conversation
        self._speaker = speaker
        self._hearing = hearing
        self._report = report
        self._control = control
        self._events = events
        self._recording = recording
        self._services = services
        self._make_codec = make_codec
        self._ambience: Background | None = None
        self._telnyx_records = False
        self._filler = Filler(leg.spawn, speaker, report.log)
        self._legs: dict[str, OtherLeg] = {}

    # -- facts ------------------------------------------------------------------------------------

    @property
    def info(self) -> CallInfo:
        """The facts of the call."""
        return self._report.info

    @property
    def history(self) -> tuple[Remark, ...]:
        """What was said and heard so far."""
        self.notice()
        return self._conversation.history

    def notice(self) -> None:
        """The agent knows that the call was held before: it finds its own words."""
        self.excuse = ""

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._conversation.over

    @property
    def events(self) -> tuple[Event, ...]:
        """The webhook events of the leg so far."""
        return self._events.all

    def await_event(self, event_types: tuple[str, ...], timeout: float | None) -> Event | None:
        """Wait for an event from now on."""
        start = len(self._events.all)

        def look() -> Event | None:
            news = self._events.all[start:]
            return next((e for e in news if not event_types or e.event_type in event_types), None)

        return self._events.wait(look, timeout)

    def command(self, name: str, fields: Mapping[str, object]) -> CommandResult:
        """Send any command to the leg."""
        self._check()
        result = self._control.command(name, self.info.call_control_id, **fields)
        if name in ("record_start", "record_stop"):
            self._telnyx_records = name == "record_start"
        return result

    def _check(self) -> None:
        if self.ended:
            raise CallEnded("the call is over")

    # -- talking ----------------------------------------------------------------------------------

    def speak(
        self,
        text: str | Iterable[str],
        *,
        interruptible: Interruptible,
        filler: str | None = None,
        filler_after: float = 0.0,
    ) -> Reply:
        """Say it; see :meth:`bridge.call.Call.say`."""
        self._filler.settle()
        self.keep_state()
        excuse, self.excuse = self.excuse, ""
        if excuse:
            self._speaker.speak(excuse, interruptible=False)
        if filler is None:
            return self._speaker.speak(text, interruptible=interruptible)

        def on_voice(fill: Callable[[str], None]) -> Callable[[], None]:
            return self._filler.later(filler_after, lambda: fill(filler))

        return self._speaker.speak(text, interruptible=interruptible, on_voice=on_voice)

    @contextmanager
    def filling(self, text: str, after: float) -> Iterator[None]:
        """Say something when the block takes long; see :meth:`bridge.call.Call.filler`."""
        self._check()
        with self._filler.filling(text, after):
            yield

    def hear(self, timeout: float | None) -> Turn | None:
        """Wait for a turn; see :meth:`bridge.call.Call.listen`."""
        self.keep_state()
        return self._conversation.hear(timeout, self._speaker.warm_up)

    def stay(self, seconds: float | None) -> None:
        """Wait for the end of the call, or so long; see :meth:`bridge.call.Call.stay`."""
        self.keep_state()
        self._conversation.stay(seconds)

    def leave(self) -> None:
        """Hang up; see :meth:`bridge.call.Call.hangup`."""
        self._leg.end_by_agent("agent")

    def limit(self, seconds: float, words: str | None) -> None:
        """Limit the length of the call; see :meth:`bridge.call.Call.limit`."""
        self._check()
        self._leg.limit(seconds, words)

    # -- sound ------------------------------------------------------------------------------------

    def play(self, sound: sounds.Sound, *, interruptible: bool, loop: bool, volume: float) -> Reply:
        """Play a sound; see :meth:`bridge.call.Call.play`."""
        self._check()
        sounds.check_volume(volume)
        self._filler.settle()
        self.keep_state()
        return self._speaker.play(
            lambda rate: sounds.load(sound, rate),
            interruptible=interruptible,
            loop=loop,
            volume=volume,
        )

    def background(self, sound: sounds.Sound | None, volume: float) -> None:
        """Have a sound under the call; see :meth:`bridge.call.Call.background`."""
        self._check()
        self._ambience = None if sound is None else self._under(sound, volume)
        self._conversation.set_background(self._ambience)

    def hold(self, music: sounds.Sound | None, volume: float) -> None:
        """Let the caller wait; see :meth:`bridge.call.Call.hold`."""
        self._check()
        self._conversation.set_background(None if music is None else self._under(music, volume))
        self._hearing.turn_deaf("hold")

    def unhold(self) -> None:
        """End the wait; see :meth:`bridge.call.Call.unhold`."""
        self._conversation.set_background(self._ambience)
        self._hearing.listen("hold")
        self._check()

    def _under(self, sound: sounds.Sound, volume: float) -> Background:
        sounds.check_volume(volume)
        decoder, encoder = self._make_codec(), self._make_codec()
        pcm = sounds.load(sound, encoder.sample_rate)
        return Background(pcm, decoder, encoder, volume=volume)

    # -- keys -------------------------------------------------------------------------------------

    def gather(
        self,
        prompt: str | Iterable[str] | None,
        rules: KeyRules,
        *,
        attempts: int,
        reprompt: str | None,
        interruptible: bool,
        private: bool,
    ) -> str:
        """Collect keys; see :meth:`bridge.call.Call.gather`."""
        self._check()
        with self._unheard() if private else _nothing():
            words = prompt
            for _ in range(max(1, attempts)):
                keypad = Keypad(rules)
                with self._conversation.keys_to(keypad):
                    if words is not None:
                        reply = self.speak(words, interruptible=interruptible)
                        words = reply.text if reprompt is None else reprompt
                    self._conversation.await_keys(keypad)
                if keypad.digits:
                    return keypad.digits
        return ""

    @contextmanager
    def _unheard(self) -> Iterator[None]:
        """Have nothing of the call recorded or transcribed within the block."""
        key = self.info.call_control_id
        # First, and not to be passed over: what goes on being recorded would hold the keys' tones.
        if self._telnyx_records:
            self._control.record_pause(key)
        self._hearing.turn_deaf(PRIVATE)
        self._recording.blind(PRIVATE)
        try:
            yield
        finally:
            self._recording.see(PRIVATE)
            self._hearing.listen(PRIVATE)
            if self._telnyx_records and not self.ended:
                self._resume_telnyx(key)

    def _resume_telnyx(self, key: str) -> None:
        try:
            self._control.record_resume(key)
        except CommandError as error:
            self._report.log.error("Telnyx's recording could not be resumed: %s", error)

    def press(self, keys: str, duration_ms: int) -> None:
        """Press keys; see :meth:`bridge.call.Call.send_digits`."""
        if not isinstance(keys, str) or not keys or not (KEYS | set(PAUSES)).issuperset(keys):
            # Not which: they may be a code.
            raise ValueError("keys are 0-9, *, #, A-D, and w or W for a pause")
        self._check()
        self._control.send_dtmf(self.info.call_control_id, keys, duration_millis=duration_ms)
        gap = KEY_SECONDS - 0.25 + duration_ms / 1000
        self._conversation.stay(sum(PAUSES.get(key, gap) for key in keys))

    # -- recording, language, voice ---------------------------------------------------------------

    def record(self, action: Literal["on", "off", "pause"]) -> None:
        """Switch the recording; see :meth:`bridge.call.Call.record`."""
        self._check()
        if action == "on":
            self._recording.start()
        elif action == "off":
            self._recording.stop()
        elif action == "pause":
            self._recording.blind("pause")
        else:
            raise ValueError('record is "on", "off" or "pause"')

    @property
    def language(self) -> str:
        """The language of the call."""
        return self._services.language

    @language.setter
    def language(self, language: str) -> None:
        if not isinstance(language, str) or not LANGUAGE.fullmatch(language):
            raise ConfigurationError('language: a tag like "en-US" is needed')
        services = self._services
        self._hearing.renew(services.make_stt(language))
        services.language = language
        self._conversation.speak_language(language)
        self._speaker.use(None, language)

    @property
    def voice(self) -> str:
        """The voice of the agent."""
        return self._services.voice

    @voice.setter
    def voice(self, voice: str) -> None:
        if not isinstance(voice, str) or not voice.strip():
            raise ConfigurationError('voice: a name like "Telnyx.NaturalHD.astra" is needed')
        services = self._services
        self._speaker.use(services.make_tts(voice), services.language)
        services.voice = voice

    # -- other people -----------------------------------------------------------------------------

    def dial(
        self, to: str, *, from_: str | None, timeout: float, fields: Mapping[str, object]
    ) -> Call:
        """Call somebody else; see :meth:`bridge.call.Call.dial`."""
        self._check()
        call, leg = self.people.dial(to, from_=from_, timeout=timeout, fields=fields)
        self._legs[call.info.call_control_id] = leg
        return call

    def connect(self, other: Call) -> None:
        """Connect the caller with a second leg; see :meth:`bridge.call.Call.connect`."""
        self._check()
        leg = self._legs.get(other.info.call_control_id) if isinstance(other, Call) else None
        if leg is None:
            raise ValueError("only a call that this call has dialled can be connected with it")
        self.people.connect(other, leg)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
