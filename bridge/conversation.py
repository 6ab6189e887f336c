"""Both sides of a leg's conversation, under one lock.

What the caller does comes in on the media socket's thread and the recogniser's; what the agent says
comes from the agent's thread and the synthesiser's, and leaves on the pacer's.  A barge-in has to
stop the audio between two of those frames, so everything that decides or sends shares one lock, and
nothing that can wait is done while it is held: the media socket never blocks, and the rest is pure.

Threads: any, as each method says.  :meth:`Conversation.hear`, :meth:`Conversation.add_audio` and
:meth:`Conversation.wait` block; all of them are woken by :meth:`Conversation.end`.

Rules of this module:

1. Audio is taken from the playout and sent under one hold of the lock, and so are a pause or an
   interruption and their ``clear``: nothing is sent behind a ``clear`` that was cut before it.
2. What concerns others (observers, the recogniser) is told after the lock was let go.
3. ``end`` is the end: set once, and every wait sees it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bridge.background import Background
from bridge.call import Remark, Reply
from bridge.decisions import (
    BargeIn,
    Decision,
    DetectorAsked,
    FalseAlarm,
    Guard,
    Interrupted,
    Interruptible,
    SpeechPaused,
    SpeechStarted,
    Turn,
    TurnEnded,
    TurnExpected,
    TurnRevoked,
)
from bridge.delivery import Delivery, Outbound, Tap
from bridge.earlyturn import EarlyTurn
from bridge.errors import CallEnded
from bridge.keypad import Keypad
from bridge.observer import TurnLatency
from bridge.pacer import Pacer
from bridge.playout import Playout
from bridge.segments import Segment
from bridge.speech import Speech
from bridge.turns import TurnTaking
from telnyx_media.transcripts import Transcript

# Seconds of synthesised audio that may wait to be sent; then the synthesiser's socket is read no
# further.  Enough for any sentence, so that a reply is rarely held up half-way through one.
ROOM = 30.0

# Turns that may wait for an agent that does not listen; beyond that the oldest is dropped.
WAITING_TURNS = 64


class Listener:
    """What a conversation tells its leg, never while its lock is held; does nothing by default."""

    def speech_paused(self) -> None:
        """The caller fell silent; the recogniser may hurry."""

    def turn_ended(self, turn: Turn, latency: TurnLatency) -> None:
        """The caller's turn is complete."""

    def reply_ended(self, reply: Reply, latency: TurnLatency) -> None:
        """A reply is over."""

    def barged_in(self, delay: float) -> None:
        """The caller broke in on a reply; ``delay`` seconds from speech start to ``clear``."""

    def false_alarm(self) -> None:
        """A reply that was paused goes on."""

    def remarked(self, number: int, remark: Remark) -> None:
        """The history has one more entry, of that number."""

    def hearing(self, remark: Remark) -> None:
        """The caller's turn has grown, or is over; ``remark`` is what it would be, cut here."""

    def saying(self, remark: Remark) -> None:
        """A reply has grown, or more of it was heard."""

    def pump_failed(self, error: Exception) -> None:
        """Sending raised what it should not; a bug."""


@dataclass
class Counts:
    """What a leg's summary counts of its conversation."""

    turns: int = 0
    replies: int = 0
    barge_ins: int = 0
    false_alarms: int = 0

    @classmethod
    def of(cls, history: Sequence[Remark]) -> Counts:
        """Count what happened in processes that held this call before."""
        said = [remark for remark in history if remark.speaker == "agent"]
        broken = sum(remark.interrupted for remark in said)
        return cls(turns=len(history) - len(said), replies=len(said), barge_ins=broken)


class Conversation:
    """Whose turn it is, what is being said, and who waits for it."""

    def __init__(
        self,
        turns: TurnTaking,
        playout: Playout,
        pacer: Pacer,
        listener: Listener,
        *,
        tap: Tap | None = None,
        clock: Callable[[], float] = time.monotonic,
        history: Sequence[Remark] = (),
        age: float = 0.0,
        judge: Callable[[DetectorAsked], None] | None = None,
    ) -> None:
        """Begin in silence.

        Args:
            turns: decides whose turn it is.
            playout: decides what to send when.
            pacer: calls :meth:`pump` when something is due.
            listener: told of what happened.
            history: what was said before, in a process that held this call.
            age: seconds since the call began.
            judge: asked whether a turn is over; answers by :meth:`judged`. Never waits.
            tap: gets what is sent, too.
            clock: the clock of all ``now``.
        """
        self.counts = Counts.of(history)
        self._turns = turns
        self._playout = playout
        self._delivery = Delivery(playout, tap)
        self._pacer = pacer
        self._listener = listener
        self._clock = clock
        # Guards everything below, and the turns and playout above.
        self._lock = threading.Lock()
        # The agent's thread waits on the first, a synthesis thread on the second.
        self._changed = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._after: list[Callable[[], None]] = []
        self._began = clock() - age
        self._ended = False
        # Whether the agent has had its say; what is said still are the bridge's last words.
        self._leaving = False
        self._keypad: Keypad | None = None
        self._error: Exception | None = None
        self._speech: Speech | None = None
        self._waiting: deque[Turn] = deque(maxlen=WAITING_TURNS)
        self._early = EarlyTurn()
        self._judge = judge
        # The turn that nobody has answered, when it was over, and the silence chosen for that.
        self._last_turn: tuple[Turn, float, float | None] | None = None
        self._history: list[Remark] = list(history)
        self._pending = ("", "")
        self._stirs = 0
        self._quiet_since: float | None = None
        # When the pacer will call next, so that it is woken only for what is due earlier.
        self._pump_at = math.inf

    @contextmanager
    def _locked(self) -> Iterator[float]:
        """Hold the lock, with the time; afterwards tell what was noted meanwhile."""
        after: list[Callable[[], None]] = []
        try:
            with self._lock:
                try:
                    yield self._clock()
                finally:
                    after, self._after = self._after, []
        finally:
            for tell in after:
                tell()

    # -- any thread -------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._ended

    @property
    def history(self) -> tuple[Remark, ...]:
        """What was said and heard, oldest first."""
        with self._lock:
            return tuple(self._history)

    def end(self) -> bool:
        """Note that the call is over and wake everybody; False if it was already."""
        with self._locked() as now:
            if self._ended:
                return False
            self._ended = True
            self._delivery.socket = None
            self._abandon(now)
            self._changed.notify_all()
            self._room.notify_all()
        self._pacer.remove(self)
        return True

    def take_leave(self) -> None:
        """Let the agent say and hear nothing more; the reply that is spoken is dropped."""
        with self._locked() as now:
            self._leaving = True
            self._turns.agent_stopped(now)
            self._abandon(now)
            self._changed.notify_all()
            self._room.notify_all()

    def set_background(self, background: Background | None) -> None:
        """Have a sound under everything that is sent from now on, or none."""
        with self._locked() as now:
            self._delivery.set_background(background, now)
            self._arm(now)

    def speak_language(self, language: str) -> None:
        """Take the caller to speak another language from now on."""
        with self._locked():
            self._turns.speak_language(language)

    @property
    def over(self) -> bool:
        """Whether the agent can do nothing more: the call is over, or about to be."""
        return self._ended or self._leaving

    def fail_hearing(self, error: Exception) -> None:
        """Note that the caller can no longer be understood; raised where the agent listens."""
        with self._locked():
            self._error = error
            self._changed.notify_all()

    # -- the media socket's thread ----------------------------------------------------------------

    def connect(self, socket: Outbound) -> Outbound | None:
        """Send to ``socket`` from now on; a reply that was cut off goes on.

        Returns:
            The socket that was sent to until now, if any.
        """
        with self._locked() as now:
            before = self._delivery.connect(None if self._ended else socket, now)
            self._arm(now)
        return before

    def disconnect(self, socket: Outbound, ended: Callable[[float], float] | None = None) -> None:
        """Stop sending to ``socket``; a reply waits where the caller had heard it to.

        Args:
            socket: that is gone.
            ended: tells since when, given the time.
        """
        with self._locked() as now:
            if self._delivery.socket is socket:
                self._delivery.disconnect(now if ended is None else ended(now))

    def hear_voice(
        self,
        windows: Sequence[float],
        seconds: float,
        levels: Sequence[float] = (),
        packet: float = 0.02,
    ) -> None:
        """Take in voice activity.

        Args:
            windows: probabilities of the windows that are complete now.
            seconds: length of a window.
            levels: how loud the packets since the last time were, in dBFS.
            packet: seconds of a packet.
        """
        with self._locked() as now:
            for back, loud in zip(range(len(levels) - 1, -1, -1), levels, strict=True):
                self._turns.sound(loud, now - back * packet)
            level = levels[-1] if levels else None
            playing = None if self._speech is None else self._playout.level(now)
            self._note_echo(now)
            for back, probability in zip(range(len(windows) - 1, -1, -1), windows, strict=True):
                at = now - back * seconds
                self._turns.voice(probability, at, seconds=seconds, level=level, playing=playing)
            self._poll(now)

    def _note_echo(self, now: float) -> None:
        """Tell what may come back as an echo from now on: what the caller has begun to hear."""
        for text in self._playout.begun(now):
            self._turns.agent_says(text)

    def hear_digit(self, digit: str) -> bool:
        """Take in a key that was pressed; whether it is part of what was said."""
        with self._locked() as now:
            if self._keypad is not None:
                self._press(self._keypad, digit, now)
                return False
            self._turns.digit(digit, now)
            self._poll(now)
        return True

    def _press(self, keypad: Keypad, digit: str, now: float) -> None:
        """Give a key to whoever collects keys, and let it end the prompt."""
        keypad.press(digit, now)
        if self._speech is not None and self._speech.interruptible:
            self._turns.agent_stopped(now)
            self._interrupt(now)
        self._changed.notify_all()

    def mark_returned(self, name: str) -> None:
        """Take note of a mark that came back."""
        with self._locked() as now:
            self._playout.mark_returned(name, now)
            self._note_saying(now)
            self._check_finished(now)
            self._arm(now)

    # -- the recogniser's thread ------------------------------------------------------------------

    def hear_transcript(self, transcript: Transcript) -> None:
        """Take in what the recogniser says."""
        with self._locked() as now:
            self._note_echo(now)
            self._turns.transcript(transcript, now)
            self._poll(now)

    # -- the pacer's thread -----------------------------------------------------------------------

    def pump(self, now: float) -> float | None:
        """Send what is due and take the decisions that are due; when to be called next."""
        with self._locked():
            if self._ended:
                return None
            # This is the call: nothing that happens in it has to ask for another.
            self._pump_at = -math.inf
            self._poll(now)
            self._send_due(now)
            self._check_finished(now)
            due = self._next_due(now)
            self._pump_at = due
        return None if due == math.inf else due

    def fail(self, error: Exception) -> None:
        """Note that :meth:`pump` raised: a bug.  The stream is given up, and its reader sees it."""
        with self._locked() as now:
            socket = self._delivery.socket
            self._delivery.disconnect(now)
        self._listener.pump_failed(error)
        if socket is not None:
            socket.close(1011)

    def _send_due(self, now: float) -> None:
        speech = self._speech
        if self._delivery.send_due(now) and speech is not None and speech.frame_at is None:
            speech.frame_at = self._clock()
        if self._playout.buffered < ROOM:
            self._room.notify_all()

    def _next_due(self, now: float) -> float:
        deadline = self._turns.deadline
        due = self._delivery.next_due(now)
        return due if deadline is None else min(due, deadline)

    def _arm(self, now: float) -> None:
        """Have the pacer call again if something is due before it would."""
        if not self._ended and self._next_due(now) < self._pump_at - 0.001:
            self._pump_at = now
            self._pacer.wake(self)

    # -- decisions, lock held ---------------------------------------------------------------------

    def _poll(self, now: float) -> None:
        for decision in self._turns.poll(now):
            self._apply(decision, now)
        self._note_hearing(now)
        quiet_since = self._turns.quiet_since
        if quiet_since != self._quiet_since:
            self._quiet_since = quiet_since
            self._changed.notify_all()
        self._arm(now)

    def _apply(self, decision: Decision, now: float) -> None:
        if isinstance(decision, TurnEnded):
            self._end_turn(decision, now)
        elif isinstance(decision, BargeIn):
            self._delivery.hold("barge-in", now)
            at = decision.at
            self._after.append(lambda: self._listener.barged_in(now - at))
        elif isinstance(decision, Interrupted):
            self._interrupt(now)
        elif isinstance(decision, FalseAlarm):
            self.counts.false_alarms += 1
            self._delivery.release("barge-in", now)
            self._after.append(self._listener.false_alarm)
        elif isinstance(decision, TurnExpected):
            self._early.expect(decision.turn, self._waiting)
            self._last_turn = (decision.turn, now, None)
            self._changed.notify_all()
        elif isinstance(decision, TurnRevoked):
            self._take_back(now)
        elif isinstance(decision, DetectorAsked):
            if self._judge is not None:
                judge = self._judge
                self._after.append(lambda: judge(decision))
        elif isinstance(decision, SpeechStarted):
            self._stir()
        elif isinstance(decision, SpeechPaused):
            self._stir()
            self._after.append(self._listener.speech_paused)

    def _stir(self) -> None:
        """Wake an agent that listens: a reply will be asked for soon."""
        self._stirs += 1
        self._changed.notify_all()

    def _end_turn(self, ended: TurnEnded, now: float) -> None:
        turn = ended.turn
        self.counts.turns += 1
        if self._early.confirm(turn, self._waiting):
            self._let_speak(ended, now)
        else:
            self._waiting.append(turn)
            self._last_turn = (turn, now, ended.chosen)
        at = max(0.0, turn.started_at - self._began)
        self._remember(Remark("caller", turn.text, turn.text, at=at, digits=turn.digits))
        self._changed.notify_all()
        latency = TurnLatency(
            endpoint=None if turn.digits else now - turn.ended_at, chosen=ended.chosen
        )
        self._after.append(lambda: self._listener.turn_ended(turn, latency))

    def _let_speak(self, ended: TurnEnded, now: float) -> None:
        """Say the reply that was begun early, if there is one: its turn is sure."""
        speech = self._speech
        if speech is None or not speech.early:
            self._last_turn = (ended.turn, now, ended.chosen)
            return
        speech.be_asked(ended.turn, now, ended.chosen)
        self._turns_begin(speech, now)
        self._delivery.release("early", now)
        self._check_finished(now)

    def _take_back(self, now: float) -> None:
        """Forget the turn that was expected, and what the agent makes of it."""
        if self._early.revoke(self._waiting):
            self._last_turn = None
            if self._speech is not None and self._speech.early:
                self._speech.interrupted = True
                self._abandon(now)

    def judged(self, asked: DetectorAsked, verdict: bool | float) -> None:
        """Take in a detector's answer; from any thread."""
        with self._locked() as now:
            self._turns.judged(asked, verdict, now)
            self._poll(now)

    def _remember(self, remark: Remark) -> None:
        """Add to the history."""
        number = len(self._history)
        self._history.append(remark)
        self._after.append(lambda: self._listener.remarked(number, remark))

    def _note_hearing(self, now: float) -> None:
        """Tell what has been heard of a turn that is not over."""
        pending = self._turns.pending
        if pending == self._pending:
            return
        self._pending = pending
        text, digits = pending
        at = now - self._began
        remark = Remark("caller", text, text, interrupted=True, at=at, digits=digits)
        self._after.append(lambda: self._listener.hearing(remark))

    def _note_saying(self, now: float) -> None:
        """Tell what is being said, and what was heard of it so far."""
        speech = self._speech
        if speech is None or speech.early or not speech.text.strip():
            return
        heard = self._playout.heard(now).text
        remark = Remark("agent", speech.text.strip(), heard, interrupted=True, at=now - self._began)
        self._after.append(lambda: self._listener.saying(remark))

    def _interrupt(self, now: float) -> None:
        if self._speech is not None:
            self._speech.interrupted = True
            self.counts.barge_ins += 1
            self._abandon(now)

    def _abandon(self, now: float) -> None:
        """End the reply that is spoken, if there is one, where it is."""
        if self._speech is not None:
            self._finish(self._speech, self._delivery.drop(now), now)

    def _check_finished(self, now: float) -> None:
        speech = self._speech
        heard = self._delivery.finish(now) if speech is not None else None
        if speech is None or heard is None:
            return
        self._turns.agent_stopped(now)
        # All of it, also what synthesis had nothing to say for.
        self._finish(speech, speech.reply.text if speech.error is None else heard, now)

    def _finish(self, speech: Speech, heard: str, now: float) -> None:
        speech.heard = heard
        speech.over = True
        speech.over_at = now
        self._speech = None
        if not speech.wordless and not speech.early:
            at = max(0.0, (speech.frame_at or now) - self._began)
            reply = speech.reply
            self._remember(Remark("agent", reply.text, heard, reply.interrupted, at))
            latency = speech.latency()
            self._after.append(lambda: self._listener.reply_ended(reply, latency))
        self._changed.notify_all()
        self._room.notify_all()

    # -- the agent's thread -----------------------------------------------------------------------

    def hear(self, timeout: float | None, stirred: Callable[[], None]) -> Turn | None:
        """Wait for the caller's next turn.

        Args:
            timeout: seconds of quiet to wait for one to begin; ``None`` for ever.
            stirred: called, lock not held, when the caller begins or ceases to speak meanwhile.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: the caller can no longer be understood.
        """
        began = self._clock()
        stirs = self._stirs
        self._early.revoked = False
        while True:
            with self._locked() as now:
                if self.over:
                    raise CallEnded("the call is over")
                if self._waiting:
                    return self._waiting.popleft()
                if self._error is not None:
                    raise self._error
                if self._stirs == stirs:
                    left = self._patience(timeout, began, now)
                    if left is not None and left <= 0:
                        return None
                    self._changed.wait(left)
                stir = self._stirs != stirs
                stirs = self._stirs
            if stir:
                stirred()

    def _patience(self, timeout: float | None, began: float, now: float) -> float | None:
        """Get the seconds left to wait; ``None`` for ever, as while a turn is open."""
        if timeout is None or self._turns.engaged:
            return None
        # A line that has brought no sound at all yet is quiet too.
        return max(began, self._turns.quiet_since or began) + timeout - now

    def begin(self, speech: Speech, *, interruptible: Interruptible) -> None:
        """Make ``speech`` the reply that is spoken.

        Raises:
            CallEnded: the call is over.
        """
        with self._locked() as now:
            if self._ended or (self._leaving and not speech.parting):
                raise CallEnded("the call is over")
            if self._speech is not None:
                raise RuntimeError("a reply is being spoken: call say from the agent's thread only")
            self._delivery.begin()
            self._speech = speech
            speech.asked_at = now
            if self._last_turn is not None:
                speech.turn, speech.turn_at, speech.chosen = self._last_turn
                self._last_turn = None
            speech.interruptible = interruptible is not False
            speech.guard = interruptible if isinstance(interruptible, Guard) else Guard()
            if self._early.revoked and not speech.parting:
                # The turn that it answers was none.
                speech.early = speech.interrupted = True
                self._abandon(now)
            elif self._early.turn is not None and not speech.parting:
                speech.early = True
                self._delivery.hold_back(now)
            else:
                self._turns_begin(speech, now)
            self._poll(now)

    def _turns_begin(self, speech: Speech, now: float) -> None:
        speech.early = False
        self.counts.replies += not speech.wordless
        self._turns.agent_started(
            now,
            interruptible=speech.interruptible,
            min_speech=speech.guard.min_speech,
            min_words=speech.guard.min_words,
        )

    def add_segment(self, speech: Speech, text: str) -> Segment | None:
        """Append a sentence to the reply; ``None`` when the reply is over."""
        with self._locked() as now:
            if speech.over:
                return None
            if speech.text_at is None:
                speech.text_at = now
            segment = self._playout.add_segment(text)
            speech.segments.append(segment)
            self._note_saying(now)
            return segment

    def abandon(self, speech: Speech) -> None:
        """End a reply whose text could not be made: its iterator raised."""
        with self._locked() as now:
            if self._speech is speech:
                self._turns.agent_stopped(now)
                self._abandon(now)

    def wait(self, speech: Speech, timeout: float | None = None) -> Reply:
        """Wait until the reply is over, at most ``timeout`` seconds.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: synthesis failed; what there was of it was played.
        """
        with self._changed:
            self._changed.wait_for(lambda: speech.over or self._ended, timeout)
            if self._ended:
                raise CallEnded("the call is over")
            if speech.error is not None:
                raise speech.error
            return speech.reply

    @contextmanager
    def keys_to(self, keypad: Keypad) -> Iterator[None]:
        """Give the keys that are pressed within the block to ``keypad``; they make no turn."""
        with self._locked():
            self._keypad = keypad
        try:
            yield
        finally:
            with self._locked():
                self._keypad = None

    def await_keys(self, keypad: Keypad) -> None:
        """Wait until ``keypad`` has ended; its patience counts from now.

        Raises:
            CallEnded: the call is over.
        """
        with self._locked() as now:
            keypad.wait_from(now)
            while not self.over and not keypad.poll(self._clock()):
                due = keypad.due
                self._changed.wait(None if due is None else max(0.0, due - self._clock()))
            if self.over:
                raise CallEnded("the call is over")

    def stay(self, seconds: float | None = None) -> None:
        """Wait for the end of the call, or for so many seconds.

        Raises:
            CallEnded: the call is over.
        """
        with self._changed:
            if self._changed.wait_for(lambda: self.over, seconds):
                raise CallEnded("the call is over")

    # -- a synthesis thread -----------------------------------------------------------------------

    def add_audio(
        self, speech: Speech, segment: Segment, packets: Sequence[bytes], levels: Sequence[float]
    ) -> bool:
        """Append packets to a segment, waiting while much is unsent; False when that is over."""
        with self._locked() as now:
            if speech.audio_at is None:
                speech.audio_at = now
            self._room.wait_for(lambda: speech.over or self._playout.buffered < ROOM)
            if speech.over or not self._playout.add(segment, packets, levels):
                return False
            self._arm(self._clock())
            return True

    def end_segment(self, speech: Speech, segment: Segment) -> None:
        """Note that a segment's audio is complete."""
        with self._locked() as now:
            if not speech.over:
                self._playout.end_segment(segment)
                self._check_finished(now)
                self._arm(now)

    def end_audio(self, speech: Speech, error: Exception | None = None) -> None:
        """Note that no more audio comes; what there is is played before the agent is told."""
        with self._locked() as now:
            speech.error = error
            if self._speech is speech:
                self._playout.end()
                self._check_finished(now)
                self._arm(now)
