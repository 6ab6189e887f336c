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

import time

from bridge.arrivals import pressed_at
from bridge.callcontrol import is_call_ended
from bridge.errors import BridgeError, CallEnded, CommandError
from bridge.events import CallAnswered, CallHangup, DtmfReceived, Event, MachineDetection, Streaming
from bridge.failures import where
from bridge.leganswer import COMMAND_WAIT, HANDOVER_WAIT, RESTART_WAIT, Answering
from bridge.legparts import JOIN, MOVED, Dial, Screen
from bridge.legreceive import Receiving
from bridge.observer import CallSummary
from bridge.people import ANSWERERS, People
from bridge.stream import NORMAL, POLICY
from telnyx_media.errors import TelnyxMediaError
from telnyx_media.sync.threads import Deadline

__all__ = ["HANDOVER_WAIT", "JOIN", "MOVED", "CallWorker", "Dial", "Screen"]

# Seconds for the last words of a call that has lasted too long.
LAST_WORDS_WAIT = 15.0

# The reasons of a leg that has not ended: it was passed on to somebody else.
PASSED_ON = frozenset({"transferred", "referred", "connected"})

# Seconds from the media stream's `stop` to the `call.hangup` that belongs to it; then we hang up.
HANGUP_WAIT = 2.0

# Seconds until it is asked again whose a leg is, when Redis was away.
ASK_AGAIN = 0.5

# Seconds that a phone rings to which somebody in the dashboard transfers a call.
TRANSFER_RING = 30.0


class CallWorker(Answering, Receiving):
    """One leg: its life, from the first webhook event to the summary."""

    # Whether the stream is gone and nobody can tell whose the leg is.
    _out_of_touch = False

    def start(self) -> None:
        """Take the leg up; returns at once."""
        self._group.spawn("leg-main", self._run)

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

    def let_go(self) -> bool:
        """Leave the leg to another process, which has it already; the call goes on."""
        with self._life:
            stream = self._streams.current
        if stream is not None:
            # Nobody hears it any more, and perhaps its end is not read yet: what was heard is what
            # had been when the caller's last packet came.
            self.conversation.disconnect(stream.socket, stream.clock.ended)
        return self.end(MOVED)

    def hand_over(self) -> None:
        """Have the media stream opened to another process; returns at once.

        The leg goes on until that process asks for it.  If none does in time, the caller hears from
        Telnyx itself that the call has to end, and it ends.
        """
        with self._life:
            self._handing_over = True
            self._life.notify_all()

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
            if not leave and not self._is_held():
                continue
            with self._life:
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

    def _is_held(self) -> bool:
        """Whether a stream may be asked for; if it is another's by now, the leg is let go.

        While that cannot be known, waits a moment: another process may talk with the caller.
        """
        held = self._holds()
        if held is None:
            with self._life:
                if not self._out_of_touch:
                    self.log.warning("media socket lost while Redis is away; waiting for Redis")
                self._out_of_touch = True
                self._life.wait(ASK_AGAIN)
        elif not held:
            self.log.warning("another process has taken the call")
            self.end(MOVED)
        else:
            self._out_of_touch = False
        return bool(held)

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
        if self._handing_over and self._reason == "drain" and self._part():
            self.log.warning("no other process took the call: it ends with a line that Telnyx says")
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
