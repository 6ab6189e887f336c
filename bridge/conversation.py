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

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bridge.background import Background
from bridge.call import Reply
from bridge.decisions import DetectorAsked, Guard, Interruptible, Turn
from bridge.delivery import Outbound
from bridge.errors import CallEnded
from bridge.floor import ROOM, Floor
from bridge.keypad import Keypad
from bridge.listener import Counts, Listener
from bridge.segments import Segment
from bridge.speech import Speech
from telnyx_media.transcripts import Transcript

__all__ = ["Conversation", "Counts", "Listener"]


class Conversation(Floor):
    """Whose turn it is, what is being said, and who waits for it."""

    # Gets the keys, while somebody collects them.
    _keypad: Keypad | None = None

    # Why the caller can no longer be understood.
    _error: Exception | None = None

    # -- any thread -------------------------------------------------------------------------------

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
            self._arm(now)
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

    def fail_hearing(self, error: Exception) -> None:
        """Note that the caller can no longer be understood; raised where the agent listens."""
        with self._locked():
            self._error = error
            self._changed.notify_all()

    def judged(self, asked: DetectorAsked, verdict: bool | float) -> None:
        """Take in a detector's answer; from any thread."""
        with self._locked() as now:
            self._turns.judged(asked, verdict, now)
            self._poll(now)

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
        turns = self._turns
        with self._lock:
            now = self._clock()
            back = len(levels)
            for loud in levels:
                back -= 1
                turns.sound(loud, now - back * packet)
            level = levels[-1] if levels else None
            playing = None if self._speech is None else self._playout.level(now)
            self._note_echo(now)
            # What is due without news, the pacer asks for.
            news = now >= self._pump_at
            back = len(windows)
            for probability in windows:
                back -= 1
                at = now - back * seconds
                news |= turns.voice(probability, at, seconds=seconds, level=level, playing=playing)
        if news:
            with self._locked() as now:
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
                self._arm(now)
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
                raise RuntimeError(
                    "a reply is being spoken: only the agent's thread may say or play something, "
                    "and not from within the iterator of a reply"
                )
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
                self._arm(now)

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
