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
from typing import Protocol

from bridge.call import Remark, Reply
from bridge.decisions import (
    BargeIn,
    Decision,
    FalseAlarm,
    Interrupted,
    SpeechPaused,
    SpeechStarted,
    Turn,
    TurnEnded,
)
from bridge.errors import CallEnded
from bridge.mediasocket import SocketClosed
from bridge.observer import TurnLatency
from bridge.pacer import Pacer
from bridge.playout import Chunk, Playout
from bridge.segments import Segment
from bridge.turns import TurnTaking
from telnyx_media.frames import encode_clear, encode_mark, encode_media
from telnyx_media.transcripts import Transcript

# Seconds of synthesised audio that may wait to be sent; then the synthesiser's socket is read no
# further.  Enough for any sentence, so that a reply is rarely held up half-way through one.
ROOM = 30.0

# Turns that may wait for an agent that does not listen; beyond that the oldest is dropped.
WAITING_TURNS = 64


# Seconds after which a peer that was slow to take what was sent is tried again.
FLUSH_AGAIN = 0.05


class Outbound(Protocol):
    """The sending half of a media socket; never blocks."""

    def send(self, text: str | bytes) -> None:
        """Send one message."""

    def flush(self) -> int:
        """Try again to send what waits; the bytes that still do."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye."""


class Tap(Protocol):
    """Gets what is sent of the agent's voice, for a recording; must not block."""

    def outbound(self, payload: bytes) -> None:
        """Audio was sent."""

    def cleared(self) -> None:
        """What was sent and not played yet was thrown away."""


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

    def pump_failed(self, error: Exception) -> None:
        """Sending raised what it should not; a bug."""


@dataclass
class Counts:
    """What a leg's summary counts of its conversation."""

    turns: int = 0
    replies: int = 0
    barge_ins: int = 0
    false_alarms: int = 0


class Speech:
    """One reply on its way to the caller.

    Its fields are guarded by the conversation's lock, but for ``text``, which the agent's thread
    alone writes.

    Attributes:
        text: what has been made of the reply so far.
        segments: what of it was handed to synthesis, in order.
        heard: what the caller heard; final once ``over``.
        interrupted: whether the caller broke in.
        over: whether it was heard to its end, interrupted, or cut off by the end of the call.
        error: why synthesis failed, if it did.
        turn: the caller's turn that it answers, if it is the first reply to one.
        turn_at: when that turn was decided to be over.
        asked_at: when the agent asked for it.
        text_at: when its first segment was handed to synthesis.
        audio_at: when its first audio came from there.
        frame_at: when its first media frame was sent.
        over_at: when it was over; 0 until then.
    """

    def __init__(self) -> None:
        self.text = ""
        self.segments: list[Segment] = []
        self.heard = ""
        self.interrupted = False
        self.over = False
        self.error: Exception | None = None
        self.turn: Turn | None = None
        self.turn_at: float | None = None
        self.asked_at: float | None = None
        self.text_at: float | None = None
        self.audio_at: float | None = None
        self.frame_at: float | None = None
        self.over_at = 0.0

    @property
    def reply(self) -> Reply:
        """What the agent gets."""
        return Reply(
            self.text.strip(), self.heard, self.interrupted, self.frame_at or 0.0, self.over_at
        )

    def latency(self) -> TurnLatency:
        """Tell where the time went."""
        spoken = self.turn is not None and not self.turn.digits
        ended = self.turn.ended_at if self.turn is not None and spoken else None
        return TurnLatency(
            endpoint=_between(ended, self.turn_at),
            agent=_between(self.turn_at, self.asked_at),
            first_text=_between(self.asked_at, self.text_at),
            first_audio=_between(self.text_at, self.audio_at),
            first_frame=_between(self.audio_at, self.frame_at),
            total=_between(ended, self.frame_at),
        )


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start


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
    ) -> None:
        """Begin in silence.

        Args:
            turns: decides whose turn it is.
            playout: decides what to send when.
            pacer: calls :meth:`pump` when something is due.
            listener: told of what happened.
            tap: gets what is sent, too.
            clock: the clock of all ``now``.
        """
        self.counts = Counts()
        self._turns = turns
        self._playout = playout
        self._pacer = pacer
        self._listener = listener
        self._tap = tap
        self._clock = clock
        # Guards everything below, and the turns and playout above.
        self._lock = threading.Lock()
        # The agent's thread waits on the first, a synthesis thread on the second.
        self._changed = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._after: list[Callable[[], None]] = []
        self._socket: Outbound | None = None
        self._began = clock()
        self._ended = False
        self._error: Exception | None = None
        self._speech: Speech | None = None
        # Two reasons to pause a reply; it goes on when neither holds.
        self._barged_in = False
        self._cut_off = False
        self._paused = False
        self._waiting: deque[Turn] = deque(maxlen=WAITING_TURNS)
        self._last_turn: tuple[Turn, float] | None = None
        self._history: list[Remark] = []
        self._stirs = 0
        self._quiet_since: float | None = None
        # When the pacer will call next, so that it is woken only for what is due earlier.
        self._pump_at = math.inf
        # When to try again to send what the peer was slow to take.
        self._flush_at = math.inf

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
            if self._speech is not None:
                self._finish(self._speech, self._playout.interrupt(now).text, now)
            self._socket = None
            self._changed.notify_all()
            self._room.notify_all()
        self._pacer.remove(self)
        return True

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
            before = self._socket
            if before is not None:
                self._lose(now)
            self._socket = None if self._ended else socket
            self._cut_off = False
            self._resume(now)
            self._arm(now)
        return before

    def disconnect(self, socket: Outbound) -> None:
        """Stop sending to ``socket``; a reply waits where the caller had heard it to."""
        with self._locked() as now:
            if self._socket is socket:
                self._lose(now)

    def hear_voice(
        self, windows: Sequence[float], seconds: float, level: float | None = None
    ) -> None:
        """Take in voice activity: probabilities of windows of so many ``seconds``."""
        with self._locked() as now:
            playing = None if self._speech is None else self._playout.level(now)
            for back, probability in zip(range(len(windows) - 1, -1, -1), windows, strict=True):
                at = now - back * seconds
                self._turns.voice(probability, at, seconds=seconds, level=level, playing=playing)
            self._poll(now)

    def hear_digit(self, digit: str) -> None:
        """Take in a key that was pressed."""
        with self._locked() as now:
            self._turns.digit(digit, now)
            self._poll(now)

    def mark_returned(self, name: str) -> None:
        """Take note of a mark that came back."""
        with self._locked() as now:
            self._playout.mark_returned(name, now)
            self._check_finished(now)
            self._arm(now)

    # -- the recogniser's thread ------------------------------------------------------------------

    def hear_transcript(self, transcript: Transcript) -> None:
        """Take in what the recogniser says."""
        with self._locked() as now:
            self._turns.transcript(transcript, now)
            self._poll(now)

    # -- the pacer's thread -----------------------------------------------------------------------

    def pump(self, now: float) -> float | None:
        """Send what is due and take the decisions that are due; when to be called next."""
        with self._locked():
            if self._ended:
                return None
            self._pump_at = math.inf
            self._poll(now)
            if self._socket is not None:
                self._send_due(now)
            self._check_finished(now)
            due = self._next_due(now)
            self._pump_at = due
        return None if due == math.inf else due

    def fail(self, error: Exception) -> None:
        """Note that :meth:`pump` raised: a bug.  The stream is given up, and its reader sees it."""
        with self._locked() as now:
            socket = self._socket
            self._lose(now)
        self._listener.pump_failed(error)
        if socket is not None:
            socket.close(1011)

    def _send_due(self, now: float) -> None:
        speech = self._speech
        for item in self._playout.due(now):
            if not isinstance(item, Chunk):
                self._send(encode_mark(item.name), now)
                continue
            self._send(encode_media(item.payload), now)
            if self._tap is not None:
                self._tap.outbound(item.payload)
            if speech is not None and speech.frame_at is None:
                speech.frame_at = self._clock()
        if self._playout.buffered < ROOM:
            self._room.notify_all()
        self._flush(now)

    def _flush(self, now: float) -> None:
        try:
            waiting = self._socket.flush() if self._socket is not None else 0
        except SocketClosed:
            self._lose(now)
            return
        self._flush_at = now + FLUSH_AGAIN if waiting else math.inf

    def _send(self, message: str, now: float) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send(message)
        except SocketClosed:
            # The thread that reads it sees the same, and the leg takes it from there.
            self._lose(now)

    def _lose(self, now: float) -> None:
        """Be without a media socket: the reply waits where the caller had heard it to."""
        self._socket = None
        self._flush_at = math.inf
        self._cut_off = True
        self._pause(now)

    def _next_due(self, now: float) -> float:
        dues: list[float | None] = [self._turns.deadline, self._flush_at]
        if self._speech is not None:
            if self._socket is not None:
                dues.append(self._playout.next_due(now))
            dues.append(self._playout.finish_by(now))
        return min((due for due in dues if due is not None), default=math.inf)

    def _arm(self, now: float) -> None:
        """Have the pacer call again if something is due before it would."""
        if not self._ended and self._next_due(now) < self._pump_at - 0.001:
            self._pump_at = now
            self._pacer.wake(self)

    # -- decisions, lock held ---------------------------------------------------------------------

    def _poll(self, now: float) -> None:
        for decision in self._turns.poll(now):
            self._apply(decision, now)
        quiet_since = self._turns.quiet_since
        if quiet_since != self._quiet_since:
            self._quiet_since = quiet_since
            self._changed.notify_all()
        self._arm(now)

    def _apply(self, decision: Decision, now: float) -> None:
        if isinstance(decision, TurnEnded):
            self._end_turn(decision.turn, now)
        elif isinstance(decision, BargeIn):
            self._barged_in = True
            self._pause(now)
            at = decision.at
            self._after.append(lambda: self._listener.barged_in(now - at))
        elif isinstance(decision, Interrupted):
            self._interrupt(now)
        elif isinstance(decision, FalseAlarm):
            self._barged_in = False
            self.counts.false_alarms += 1
            self._resume(now)
            self._after.append(self._listener.false_alarm)
        elif isinstance(decision, SpeechStarted):
            self._stir()
        elif isinstance(decision, SpeechPaused):
            self._stir()
            self._after.append(self._listener.speech_paused)

    def _stir(self) -> None:
        """Wake an agent that listens: a reply will be asked for soon."""
        self._stirs += 1
        self._changed.notify_all()

    def _end_turn(self, turn: Turn, now: float) -> None:
        self.counts.turns += 1
        self._waiting.append(turn)
        self._last_turn = (turn, now)
        at = max(0.0, turn.started_at - self._began)
        self._history.append(Remark("caller", turn.text, turn.text, at=at, digits=turn.digits))
        self._changed.notify_all()
        latency = TurnLatency(endpoint=None if turn.digits else now - turn.ended_at)
        self._after.append(lambda: self._listener.turn_ended(turn, latency))

    def _pause(self, now: float) -> None:
        if self._speech is not None and not self._paused:
            self._paused = True
            self._playout.pause(now)
            self._send_clear(now)

    def _resume(self, now: float) -> None:
        if self._paused and not (self._barged_in or self._cut_off):
            self._paused = False
            if self._speech is not None:
                self._playout.resume(now)
                self._arm(now)

    def _drop(self, now: float) -> str:
        """End the reply that is spoken; what was heard of it."""
        heard = self._playout.interrupt(now).text
        if not self._paused:
            self._send_clear(now)
        return heard

    def _send_clear(self, now: float) -> None:
        self._send(encode_clear(), now)
        if self._tap is not None:
            self._tap.cleared()

    def _interrupt(self, now: float) -> None:
        self._barged_in = False
        speech = self._speech
        if speech is None:
            return
        heard = self._drop(now)
        speech.interrupted = True
        self.counts.barge_ins += 1
        self._finish(speech, heard, now)

    def _check_finished(self, now: float) -> None:
        if self._speech is not None and self._playout.finished(now):
            self._turns.agent_stopped(now)
            whole = self._speech.error is None
            heard = self._speech.text.strip() if whole else self._playout.heard(now).text
            self._finish(self._speech, heard, now)

    def _finish(self, speech: Speech, heard: str, now: float) -> None:
        speech.heard = heard
        speech.over = True
        speech.over_at = now
        self._speech = None
        self._paused = self._barged_in = False
        at = max(0.0, (speech.frame_at or now) - self._began)
        reply = speech.reply
        self._history.append(Remark("agent", reply.text, heard, reply.interrupted, at))
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
        while True:
            with self._locked() as now:
                if self._ended:
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
        quiet_since = self._turns.quiet_since
        if timeout is None or quiet_since is None:
            return None
        return max(began, quiet_since) + timeout - now

    def begin(self, speech: Speech, *, interruptible: bool) -> None:
        """Make ``speech`` the reply that is spoken.

        Raises:
            CallEnded: the call is over.
        """
        with self._locked() as now:
            if self._ended:
                raise CallEnded("the call is over")
            assert self._speech is None, "two replies at once"
            self._playout.begin()
            self._speech = speech
            self.counts.replies += 1
            speech.asked_at = now
            if self._last_turn is not None:
                speech.turn, speech.turn_at = self._last_turn
                self._last_turn = None
            self._turns.agent_started(now, interruptible=interruptible)
            self._poll(now)

    def add_segment(self, speech: Speech, text: str) -> Segment | None:
        """Append a sentence to the reply; ``None`` when the reply is over."""
        with self._locked() as now:
            if speech.over:
                return None
            if speech.text_at is None:
                speech.text_at = now
            self._turns.agent_says(text)
            segment = self._playout.add_segment(text)
            speech.segments.append(segment)
            return segment

    def abandon(self, speech: Speech) -> None:
        """End a reply whose text could not be made: its iterator raised."""
        with self._locked() as now:
            if not speech.over:
                self._turns.agent_stopped(now)
                self._finish(speech, self._drop(now), now)

    def wait(self, speech: Speech) -> Reply:
        """Wait until the reply is over.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: synthesis failed; what there was of it was played.
        """
        with self._changed:
            self._changed.wait_for(lambda: speech.over or self._ended)
            if self._ended:
                raise CallEnded("the call is over")
            if speech.error is not None:
                raise speech.error
            return speech.reply

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
            if not speech.over:
                speech.error = error
                self._playout.end()
                self._check_finished(now)
                self._arm(now)
