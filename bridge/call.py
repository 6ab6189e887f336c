"""What an agent function sees of a phone call.

An agent is one blocking function that is called once per phone call, on a thread of its own, with a
:class:`Call`.  Everything here may be called from that thread only.  When the call ends, whichever
way, a method that is waiting is woken at once: ``turns()`` simply ends, every other one raises
:class:`~bridge.errors.CallEnded`, so ``try/finally`` in the agent does what it always does.

Threads: the agent's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from bridge.decisions import Guard, Interruptible, Turn
from bridge.errors import CallEnded
from bridge.keypad import KeyRules

if TYPE_CHECKING:
    from bridge.callcontrol import CommandResult
    from bridge.events import Event
    from bridge.people import People
    from bridge.sounds import Sound

__all__ = ["Agent", "Call", "CallInfo", "Remark", "Reply", "Turn"]


@dataclass(frozen=True)
class CallInfo:
    """The facts of a call, known from its first webhook event.

    Attributes:
        call_control_id: the address for commands to this leg.
        call_leg_id: the leg's own id.
        call_session_id: shared by legs that belong together.
        connection_id: the Call Control application.
        direction: ``"inbound"`` (they called us) or ``"outbound"``.
        from_number: who calls, as Telnyx writes it (E.164 mostly).
        to_number: who is called.
        headers: custom and SIP headers of the call, by name.
        client_state: our own tag as Telnyx echoes it, base64, or ``""``.
        tag: six characters that stand for this leg in log lines and thread names.
        codec: the codec of the audio we hear, ``"PCMU"``; ``""`` until the media stream starts.
        sample_rate: its rate in hertz; 0 until then.
        answered_by: who answered a call of ours, if that was to be detected and is known:
            ``"human"``, ``"machine"``, ``"screening"``, ``"fax"``, ``"silence"``, ``"unknown"``.
    """

    call_control_id: str = field(repr=False)
    call_leg_id: str = ""
    call_session_id: str = ""
    connection_id: str = ""
    direction: Literal["inbound", "outbound"] = "inbound"
    # Numbers and what came with the call stay out of every log line, also through a repr.
    from_number: str = field(default="", repr=False)
    to_number: str = field(default="", repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    client_state: str = field(default="", repr=False)
    tag: str = ""
    codec: str = ""
    sample_rate: int = 0
    answered_by: str = ""


@dataclass(frozen=True)
class Reply:
    """What became of something the agent said.

    Attributes:
        text: what it was to say, as far as the text had been made.
        heard: the part of it that was played to the caller.
        interrupted: whether the caller broke in.
        started_at: when it began to be sent, on the clock of a turn's times; 0 if it never was.
        ended_at: when it was over, on the same clock.
    """

    text: str
    heard: str
    interrupted: bool = False
    started_at: float = field(default=0.0, compare=False)
    ended_at: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Remark:
    """One entry of a call's history.

    Attributes:
        speaker: ``"caller"`` or ``"agent"``.
        text: what was said.  For the agent: what it was to say.
        heard: what the other one heard of it; for the caller's words the same as ``text``.
        interrupted: whether the caller broke in on it.
        at: when it began, seconds since the media stream started.
        digits: keys the caller pressed instead of speaking.
    """

    speaker: Literal["caller", "agent"]
    text: str
    heard: str
    interrupted: bool = False
    at: float = 0.0
    digits: str = field(default="", repr=False)


class Line(Protocol):
    """What a :class:`Call` needs of the worker behind it; every method wakes when the call ends."""

    @property
    def info(self) -> CallInfo:
        """The facts of the call."""

    @property
    def history(self) -> tuple[Remark, ...]:
        """What was said and heard so far."""

    @property
    def ended(self) -> bool:
        """Whether the call is over."""

    @property
    def events(self) -> tuple[Event, ...]:
        """The webhook events so far."""

    @property
    def people(self) -> People:
        """Everybody but caller and agent."""

    # What the agent says and the caller hears

    def speak(
        self,
        text: str | Iterable[str],
        *,
        interruptible: Interruptible,
        filler: str | None = None,
        filler_after: float = 0.0,
    ) -> Reply:
        """Say it; block until it was heard or interrupted."""

    def play(self, sound: Sound, *, interruptible: bool, loop: bool, volume: float) -> Reply:
        """Play it; block until it was heard or interrupted."""

    def filling(self, text: str, after: float) -> AbstractContextManager[None]:
        """Say something while the block takes long."""

    def background(self, sound: Sound | None, volume: float) -> None:
        """Have a sound under the call."""

    def hold(self, music: Sound | None, volume: float) -> None:
        """Let the caller wait with music, unheard."""

    def unhold(self) -> None:
        """End that."""

    # What the caller says and presses

    def hear(self, timeout: float | None) -> Turn | None:
        """Wait for a turn; ``None`` after ``timeout`` seconds."""

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
        """Collect keys."""

    # The call

    def stay(self, seconds: float | None) -> None:
        """Wait for the end, or so long."""

    def leave(self) -> None:
        """Hang up; return at once."""

    def limit(self, seconds: float, words: str | None) -> None:
        """Limit the call's length."""

    def record(self, action: Literal["on", "off", "pause"]) -> None:
        """Switch the recording."""

    def press(self, keys: str, duration_ms: int) -> None:
        """Press keys."""

    def command(self, name: str, fields: Mapping[str, object]) -> CommandResult:
        """Send a command."""

    def await_event(self, event_types: tuple[str, ...], timeout: float | None) -> Event | None:
        """Wait for a webhook event."""

    def dial(
        self, to: str, *, from_: str | None, timeout: float, fields: Mapping[str, object]
    ) -> Call:
        """Call somebody else."""

    def connect(self, other: Call) -> None:
        """Connect the caller with them."""

    language: str
    voice: str


class Call:
    """A phone call, to talk on.

    Attributes:
        state: a dictionary for the agent's own use during this call.
        resumed: whether an earlier agent already held this call, in a process that is gone;
            ``history`` then has what was said.
    """

    def __init__(
        self,
        line: Line,
        *,
        resumed: bool = False,
        on_notice: Callable[[], object] = lambda: None,
    ) -> None:
        self._line = line
        self.state: dict[str, Any] = {}
        self._resumed = resumed
        # Told when the agent asks whether the call is a resumed one.
        self._on_notice = on_notice

    @property
    def resumed(self) -> bool:
        """Whether an earlier agent already held this call, in a process that is gone."""
        self._on_notice()
        return self._resumed

    @property
    def info(self) -> CallInfo:
        """The facts of the call: numbers, direction, ids, headers, codec."""
        return self._line.info

    @property
    def history(self) -> tuple[Remark, ...]:
        """What was said and *heard* so far, oldest first."""
        return self._line.history

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._line.ended

    def say(
        self,
        text: str | Iterable[str],
        *,
        interruptible: bool = True,
        min_speech: float | None = None,
        min_words: int | None = None,
        filler: str | None = None,
        filler_after: float = 1.0,
    ) -> Reply:
        """Say something and get what the caller heard of it.

        Speaking begins with the first complete sentence or clause, while an iterator still yields.
        An iterator that has a ``close`` method is closed when the caller breaks in or hangs up.

        Blocks until the last of it was played to the caller, or until the caller broke in.

        Args:
            text: a string, or an iterable of strings as they are generated.
            interruptible: whether the caller may break in.
            min_speech: seconds of their speech that stop it, if not as the settings say.
            min_words: words that make that an interruption, likewise; with fewer it goes on.
            filler: said first when an iterator has not brought a sentence after a while.
            filler_after: that while, in seconds.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: nothing could be synthesised.
        """
        guard: Interruptible = interruptible
        if interruptible and (min_speech is not None or min_words is not None):
            guard = Guard(min_speech, min_words)
        return self._line.speak(text, interruptible=guard, filler=filler, filler_after=filler_after)

    def listen(self, timeout: float | None = None) -> Turn | None:
        """Wait for the caller's next turn.

        A turn that was completed while the agent did something else is returned at once.

        Args:
            timeout: seconds to wait; ``None`` waits as long as the call lasts.

        Returns:
            The turn, or ``None`` when ``timeout`` seconds went by without one having *begun*.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: the caller's speech can no longer be transcribed.
        """
        return self._line.hear(timeout)

    def ask(
        self,
        prompt: str | Iterable[str],
        *,
        timeout: float | None = None,
        attempts: int = 2,
        reprompt: str | None = None,
        interruptible: bool = True,
    ) -> Turn:
        """Say something and get the caller's answer.

        Args:
            prompt: what to say.
            timeout: seconds of silence after which it is said again; ``None`` waits for ever.
            attempts: how often it is said in all, when there is no answer.
            reprompt: what to say instead of ``prompt`` from the second attempt on.
            interruptible: whether the caller may answer before the end of the prompt.

        Returns:
            The answer; a turn with neither text nor digits when there was none.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: nothing could be synthesised or transcribed.
        """
        words: str | Iterable[str] = prompt
        for _ in range(max(1, attempts)):
            reply = self.say(words, interruptible=interruptible)
            turn = self.listen(timeout)
            if turn is not None:
                return turn
            # An iterator has been used up by now.
            words = reply.text if reprompt is None else reprompt
        return Turn()

    def turns(
        self,
        *,
        silence: float | None = None,
        prompts: Sequence[str] = (),
        give_up: str | None = None,
    ) -> Iterator[Turn]:
        """Iterate over the caller's turns; the iterator ends when the call ends.

        Args:
            silence: seconds of quiet after which the next of ``prompts`` is said; ``None`` waits as
                long as the call lasts.  Noise on the line does not count as the caller, words do.
            prompts: what is said, one after another, to a caller who says nothing.
            give_up: what is said behind the last of them, before the call is hung up; with ``None``
                the iterator ends and the call goes on.

        Raises:
            TelnyxMediaError: the caller's speech can no longer be transcribed.
        """
        left = list(prompts)
        try:
            while True:
                turn = self._line.hear(silence)
                if turn is not None:
                    left = list(prompts)
                    yield turn
                elif left:
                    self.say(left.pop(0))
                elif give_up is None:
                    return
                else:
                    reply = self.say(give_up)
                    # Who is still there says so now, or in the second after it.
                    late = self._line.hear(0.0 if not reply.interrupted else silence)
                    if late is None:
                        self.hangup()
                        return
                    left = list(prompts)
                    yield late
        except CallEnded:
            return

    def filler(self, text: str, *, after: float = 1.0) -> AbstractContextManager[None]:
        """Say something when what is done within the block takes long.

        ::

            with call.filler("One moment, I'm looking that up."):
                order = database.find(number)

        The block is not stopped; leaving it waits until the words were heard.

        Args:
            text: what to say.
            after: seconds from the beginning of the block; nothing is said when it is over by then.

        Raises:
            CallEnded: the call is over.
        """
        return self._line.filling(text, after)

    # -- sound ------------------------------------------------------------------------------------

    def play(
        self,
        sound: Sound,
        *,
        interruptible: bool = True,
        loop: bool = False,
        volume: float = 1.0,
    ) -> Reply:
        """Play a file, an address, a ``pydub.AudioSegment``, or a sound by its name.

        A file is read and decoded once per process.  Blocks until it was played to the caller, or
        the caller broke in.

        Args:
            sound: path, ``http(s)://`` address, segment, or ``"music"`` or ``"room"``.
            interruptible: whether the caller may break in, by speech or by a key.
            loop: whether it begins again at its end, until the caller breaks in.
            volume: factor, 0 to 1.

        Raises:
            CallEnded: the call is over.
            AudioUnreadable: it is not there, or no audio.
        """
        return self._line.play(sound, interruptible=interruptible, loop=loop, volume=volume)

    def background(self, sound: Sound | None, *, volume: float = 0.3) -> None:
        """Have a sound under the whole call, over and over; ``None`` ends it.  Does not block.

        Args:
            sound: as for :meth:`play`; ``"room"`` is a room with people far away.
            volume: factor, 0 to 1.

        Raises:
            CallEnded: the call is over.
            AudioUnreadable: it is not there, or no audio.
        """
        self._line.background(sound, volume)

    def hold(self, music: Sound | None = "music", *, volume: float = 0.6) -> None:
        """Let the caller wait with music; what they say meanwhile is no turn.  Does not block.

        Args:
            music: as for :meth:`play`; ``None`` for silence.
            volume: factor, 0 to 1.

        Raises:
            CallEnded: the call is over.
            AudioUnreadable: it is not there, or no audio.
        """
        self._line.hold(music, volume)

    def unhold(self) -> None:
        """End the wait: the music stops and the caller is heard again.

        Raises:
            CallEnded: the call is over.
        """
        self._line.unhold()

    # -- keys -------------------------------------------------------------------------------------

    def gather(
        self,
        prompt: str | Iterable[str] | None = None,
        *,
        digits: int | tuple[int, int] = 32,
        terminator: str = "#",
        timeout: float = 8.0,
        between: float = 4.0,
        valid: str = "0123456789*#",
        attempts: int = 2,
        reprompt: str | None = None,
        interruptible: bool = True,
        private: bool = False,
    ) -> str:
        """Ask for keys: a choice from a menu, an account number, a PIN.

        The first key ends the prompt.  What is pressed is in no log, history or record.

        Args:
            prompt: what to say; ``None`` says nothing.
            digits: how many are wanted: exactly so many, as ``4``, or from and to, as ``(4, 6)``;
                they are complete with the last one.  Left out: any number, up to the terminator.
            terminator: the key that ends them; ``""`` for none.
            timeout: seconds to wait for the first key, from the end of the prompt.
            between: seconds to wait for each further key.
            valid: keys that count.
            attempts: how often to ask in all.
            reprompt: what to say instead of ``prompt`` from the second attempt on.
            interruptible: whether a key or a voice ends the prompt.
            private: whether recording and transcription pause meanwhile.

        Returns:
            The keys, without the terminator; ``""`` when there were too few in every attempt.

        Raises:
            CallEnded: the call is over.
            ValueError: what is asked for makes no sense.
        """
        least, most = digits if isinstance(digits, tuple) else (digits, digits)
        if digits == 32:
            least = 1
        rules = KeyRules(most, least, terminator, timeout, between, valid.replace(terminator, ""))
        return self._line.gather(
            prompt,
            rules,
            attempts=attempts,
            reprompt=reprompt,
            interruptible=interruptible,
            private=private,
        )

    def send_digits(self, keys: str, *, duration_ms: int = 250) -> None:
        """Press keys, for a machine at the other end; blocks for as long as that takes.

        Args:
            keys: ``0-9 * # A-D``; ``w`` waits half a second, ``W`` a whole one.
            duration_ms: of each key, 100 to 500.

        Raises:
            CallEnded: the call is over.
            CommandError: Telnyx refused.
            ValueError: there is something else in ``keys``.
        """
        self._line.press(keys, duration_ms)

    # -- other people -----------------------------------------------------------------------------

    def transfer(
        self,
        to: str,
        *,
        from_: str | None = None,
        timeout: float = 30.0,
        music: Sound | None = "music",
        **fields: object,
    ) -> None:
        """Connect the caller with somebody else, and leave the call to the two of them.

        Blocks until they talk to each other.  The call is over for the agent then: every method
        raises ``CallEnded``, and the function's return hangs nobody up.

        Args:
            to: E.164 number or SIP URI.
            from_: the number shown to them; the one that was called, if ``None``.
            timeout: seconds that their phone may ring.
            music: what the caller hears meanwhile; ``None`` for nothing.
            **fields: further fields of Telnyx's ``transfer``.

        Raises:
            TransferFailed: nobody answered, or the number is busy or wrong; the call goes on.
            CallEnded: the caller has hung up meanwhile.
        """
        with self._on_hold(music):
            self._line.people.transfer(to, from_=from_, timeout=timeout, fields=fields)

    def refer(self, sip_address: str, *, timeout: float = 30.0, **fields: object) -> None:
        """Hand the call over to a SIP address by REFER, and leave it.

        Args:
            sip_address: where the caller's provider is to call.
            timeout: seconds until it has said what came of it.
            **fields: further fields of Telnyx's ``refer``.

        Raises:
            TransferFailed: it was refused; the call goes on.
            CallEnded: the caller has hung up meanwhile.
        """
        self._line.people.refer(sip_address, timeout=timeout, fields=fields)

    def dial(
        self, to: str, *, from_: str | None = None, timeout: float = 30.0, **fields: object
    ) -> Call:
        """Call somebody else, on a second leg, and get that as a call to talk on here.

        Blocks until they have answered.  The second call is hung up when this one ends.

        Args:
            to: E.164 number or SIP URI.
            from_: the number shown to them; the one that was called, if ``None``.
            timeout: seconds that their phone may ring.
            **fields: further fields of Telnyx's ``dial``.

        Raises:
            DialFailed: nobody answered, or the number is busy or wrong; this call goes on.
            CallEnded: the caller has hung up meanwhile.
        """
        return self._line.dial(to, from_=from_, timeout=timeout, fields=fields)

    def connect(self, other: Call) -> None:
        """Connect the caller with a call that :meth:`dial` has made, and leave both.

        Args:
            other: the second call.

        Raises:
            TransferFailed: they have hung up; this call goes on.
            CallEnded: the caller has hung up meanwhile.
        """
        self._line.connect(other)

    def consult(
        self,
        to: str,
        brief: str | Callable[[Call], object],
        *,
        from_: str | None = None,
        timeout: float = 30.0,
        music: Sound | None = "music",
        **fields: object,
    ) -> bool:
        """Call a colleague while the caller waits, brief them, and connect the two.

        Args:
            to: E.164 number or SIP URI of the colleague.
            brief: what to tell them before they are connected; or a function that talks with them
                on a call of its own and returns ``False`` if they won't take the caller.
            from_: the number shown to them; the one that was called, if ``None``.
            timeout: seconds that their phone may ring.
            music: what the caller hears meanwhile; ``None`` for nothing.
            **fields: further fields of Telnyx's ``dial``.

        Returns:
            Whether the two are connected, and the call is over for the agent; if not, the colleague
            declined or hung up, and the caller is back.

        Raises:
            DialFailed: nobody answered; the caller is back.
            CallEnded: the caller has hung up meanwhile.
        """
        with self._on_hold(music):
            colleague = self.dial(to, from_=from_, timeout=timeout, **fields)
            try:
                willing = self._brief(colleague, brief)
                if willing:
                    self.connect(colleague)
            finally:
                colleague.hangup()
            return willing

    def _brief(self, colleague: Call, brief: str | Callable[[Call], object]) -> bool:
        try:
            if callable(brief):
                return brief(colleague) is not False and not colleague.ended
            colleague.say(brief, interruptible=False)
        except CallEnded:
            # Theirs, or ours?
            if self.ended:
                raise
            return False
        return True

    @contextmanager
    def _on_hold(self, music: Sound | None) -> Iterator[None]:
        self.hold(music)
        try:
            yield
        finally:
            if not self.ended:
                self.unhold()

    # -- calls of ours ----------------------------------------------------------------------------

    def who_answered(self, timeout: float = 8.0) -> str:
        """Wait until it is known who has answered a call that was dialled with detection.

        After ``"screening"``, a robot that asks who calls and why, say so and ask here again: who
        picks up then is another question.

        Args:
            timeout: seconds to wait.

        Returns:
            ``"human"``, ``"machine"``, ``"screening"``, ``"fax"``, ``"silence"``, or ``"unknown"``:
            it was not to be detected, or could not be.

        Raises:
            CallEnded: the call is over.
        """
        return self._line.people.who_answered(timeout)

    def await_beep(self, timeout: float = 60.0) -> bool:
        """Wait until an answering machine has played its greeting, and its beep if it has one.

        Returns:
            Whether it has; ``False`` after ``timeout`` seconds.

        Raises:
            CallEnded: the call is over.
        """
        return self._line.people.await_beep(timeout)

    def leave_message(self, text: str | Iterable[str], *, timeout: float = 60.0) -> Reply:
        """Wait for the beep, then say something that nobody interrupts.

        Args:
            text: the message.
            timeout: seconds to wait for the beep; then it is said all the same.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: nothing could be synthesised.
        """
        self.await_beep(timeout)
        return self.say(text, interruptible=False)

    # -- the call ---------------------------------------------------------------------------------

    @property
    def language(self) -> str:
        """The language of the call, ``"en-US"``; set it, and the caller is understood in it.

        Takes effect at once for what the caller says, and from the next reply on for the agent,
        whose :attr:`voice` has to fit.
        """
        return self._line.language

    @language.setter
    def language(self, language: str) -> None:
        self._line.language = language

    @property
    def voice(self) -> str:
        """The agent's voice, ``"Telnyx.NaturalHD.astra"``; set it, and the next reply is in it."""
        return self._line.voice

    @voice.setter
    def voice(self, voice: str) -> None:
        self._line.voice = voice

    def record(self, action: Literal["on", "off", "pause"] = "on") -> None:
        """Switch the bridge's own stereo recording; returns at once.

        Telnyx's recording is another one: ``call.command("record_start", channels="dual")``.

        Args:
            action: ``"on"`` begins one or goes on after a pause; ``"pause"`` leaves silence in it;
                ``"off"`` completes it.

        Raises:
            BridgeError: ``BRIDGE_RECORDINGS`` names no place for recordings.
            CallEnded: the call is over.
        """
        self._line.record(action)

    def limit(self, seconds: float, last_words: str | None = None) -> None:
        """Let the call last no longer than so many seconds from its beginning; returns at once.

        When they are over, the reply that is spoken is dropped, the last words are said, and the
        call is hung up.  The agent gets ``CallEnded``.

        Args:
            seconds: the limit; ``BRIDGE_MAX_SECONDS`` is the one of every call.
            last_words: what is said; ``BRIDGE_LAST_WORDS`` if ``None``.

        Raises:
            CallEnded: the call is over.
        """
        self._line.limit(seconds, last_words)

    @property
    def events(self) -> tuple[Event, ...]:
        """Every webhook event of this leg so far, oldest first; ``event.raw`` is all of one."""
        return self._line.events

    def wait_for_event(self, *event_types: str, timeout: float | None = None) -> Event | None:
        """Wait for a webhook event that comes from now on.

        Args:
            *event_types: ``"call.recording.saved"``, …
            timeout: seconds; ``None`` waits as long as the call lasts.

        Returns:
            The event; ``None`` after ``timeout`` seconds.

        Raises:
            CallEnded: the call is over.
        """
        return self._line.await_event(event_types, timeout)

    def command(self, name: str, **fields: object) -> CommandResult:
        """Send any Call Control command to this leg: ``call.command("record_start", …)``.

        Args:
            name: Telnyx's name of it, the last word of its address.
            **fields: its fields.

        Raises:
            CallEnded: the call is over.
            CommandError: Telnyx refused.
        """
        return self._line.command(name, fields)

    def stay(self, seconds: float | None = None) -> None:
        """Do nothing until the call ends, or for so many seconds.

        Raises:
            CallEnded: the call is over.
        """
        self._line.stay(seconds)

    def hangup(self) -> None:
        """End the call; return at once.  Every later method raises ``CallEnded``."""
        self._line.leave()


Agent = Callable[[Call], object]
"""A function that is called once per phone call, with the call."""
