"""Who has the floor, and what follows when it changes hands.

Turn-taking decides; here its decisions are carried out: audio is stopped and goes on, replies end,
turns are given to the agent, and everybody who waits is woken.

Threads: any.  Everything that begins with ``_`` needs the lock to be held.

Rules of this module:

1. What concerns others (observers, the recogniser) is noted, and told after the lock was let go.
2. Every wait sees the end of the call.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bridge.call import Remark
from bridge.decisions import (
    BargeIn,
    Decision,
    DetectorAsked,
    FalseAlarm,
    Interrupted,
    SpeechPaused,
    SpeechStarted,
    Turn,
    TurnEnded,
    TurnExpected,
    TurnRevoked,
)
from bridge.delivery import Delivery, Tap
from bridge.earlyturn import EarlyTurn
from bridge.listener import Counts, Listener
from bridge.observer import TurnLatency
from bridge.pacer import Pacer
from bridge.playout import Playout
from bridge.speech import Speech
from bridge.turns import TurnTaking

__all__ = ["ROOM", "Floor"]

# Seconds of synthesised audio that may wait to be sent; then the synthesiser's socket is read no
# further.  Enough for any sentence, so that a reply is rarely held up half-way through one.
ROOM = 30.0

# Turns that may wait for an agent that does not listen; beyond that the oldest is dropped.
WAITING_TURNS = 64


class Floor:
    """The state of one leg's conversation, its lock, and what its decisions lead to."""

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

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._ended

    @property
    def over(self) -> bool:
        """Whether the agent can do nothing more: the call is over, or about to be."""
        return self._ended or self._leaving

    @property
    def history(self) -> tuple[Remark, ...]:
        """What was said and heard, oldest first."""
        with self._lock:
            return tuple(self._history)

    # -- what is due, lock held -------------------------------------------------------------------

    def _arm(self, now: float) -> None:
        """Have the pacer call again if something is due before it would."""
        if not self._ended and self._next_due(now) < self._pump_at - 0.001:
            self._pump_at = now
            self._pacer.wake(self)

    def _next_due(self, now: float) -> float:
        deadline = self._turns.deadline
        due = self._delivery.next_due(now)
        return due if deadline is None else min(due, deadline)

    def _send_due(self, now: float) -> None:
        speech = self._speech
        if self._delivery.send_due(now) and speech is not None and speech.frame_at is None:
            speech.frame_at = self._clock()
        if self._playout.buffered < ROOM:
            self._room.notify_all()

    def _poll(self, now: float) -> None:
        for decision in self._turns.poll(now):
            self._apply(decision, now)
        self._note_hearing(now)
        quiet_since = self._turns.quiet_since
        if quiet_since != self._quiet_since:
            self._quiet_since = quiet_since
            self._changed.notify_all()
        self._arm(now)

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

    # -- decisions, lock held ---------------------------------------------------------------------

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

    def _turns_begin(self, speech: Speech, now: float) -> None:
        speech.early = False
        self.counts.replies += not speech.wordless
        self._turns.agent_started(
            now,
            interruptible=speech.interruptible,
            min_speech=speech.guard.min_speech,
            min_words=speech.guard.min_words,
        )

    # -- the end of a reply, lock held ------------------------------------------------------------

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

    # -- what is told of it, lock held ------------------------------------------------------------

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
