"""The simulated phone network: every leg, and what happens between them.

Threads: one lock for all legs.  REST threads, stream readers and the clock take it for moments; no
socket is written to or waited for under it but by ``push``, which never waits.

Rules of this module:

1. Methods are called with :attr:`Carrier.lock` held, those excepted that say they take it.
2. A leg ends once, by :meth:`Carrier.end`, whoever ends it.
3. Webhooks are emitted in the order in which things happened.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from bridge.simulator import events
from bridge.simulator.account import Account
from bridge.simulator.behaviour import Behaviour
from bridge.simulator.clock import Clock
from bridge.simulator.faults import Faults
from bridge.simulator.leg import Leg, Pipe
from bridge.simulator.line import PTIME
from bridge.simulator.prompts import Prompts
from bridge.simulator.recordings import Recording
from bridge.simulator.stream import MediaStream, StreamOptions
from bridge.simulator.webhooks import Webhooks, timestamp
from telnyx_media.sync.threads import ThreadGroup

logger = logging.getLogger(__name__)

# Longest call, in seconds (Telnyx: dial reference page).
TIME_LIMIT = 14400


class Carrier:
    """Every leg of one simulator.

    Attributes:
        lock: guards every leg and the account.
        legs: by ``call_control_id``, ended ones included.
        recordings: finished ones by id.
        user_id: Telnyx's id of the account's user.
    """

    def __init__(
        self, behaviour: Behaviour, faults: Faults, account: Account, group: ThreadGroup
    ) -> None:
        """Make an idle network.

        Args:
            behaviour: answers to what the documentation leaves open.
            faults: what goes wrong.
            account: applications and numbers.
            group: the owner of the threads.
        """
        self.lock = threading.RLock()
        self.behaviour = behaviour
        self.faults = faults
        self.account = account
        self.group = group
        self.clock = Clock(group)
        self.legs: dict[str, Leg] = {}
        self.recordings: dict[str, Recording] = {}
        self.user_id = str(uuid.uuid4())
        self.organization_id = str(uuid.uuid4())
        # Woken whenever something happened on some leg.
        self._changed = threading.Condition(self.lock)
        # How many wait; without them a packet of audio wakes nobody.
        self._waiting = 0
        self.webhooks = Webhooks(group, faults, self._notify_unlocked)

    def start(self) -> None:
        """Start the clock; takes no lock."""
        self.clock.start()

    def stop(self) -> None:
        """Cut every stream and forget every leg; takes the lock."""
        self.webhooks.stop()
        self.clock.stop()
        with self.lock:
            for leg in self.legs.values():
                for stream in leg.streams:
                    stream.abandon()
                leg.state = "ended"
            self.notify()

    # Waiting.

    def notify(self) -> None:
        """Wake everybody who waits for something to happen."""
        self._changed.notify_all()

    def _notify_unlocked(self) -> None:
        with self.lock:
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], object], timeout: float | None) -> bool:
        """Wait until a condition holds; takes the lock.

        The condition is asked after everything that happens, and after each packet of audio.

        Returns:
            False when ``timeout`` seconds went by and it does not.
        """
        with self.lock:
            self._waiting += 1
            try:
                return bool(self._changed.wait_for(condition, timeout))
            finally:
                self._waiting -= 1

    # Webhooks.

    def emit(self, leg: Leg, event_type: str, fields: dict[str, Any] | None = None) -> None:
        """Send a webhook about a leg."""
        leg.log("webhook", event_type=event_type)
        payload = events.payload(leg, event_type, fields or {})
        self.webhooks.emit(leg.call_control_id, event_type, payload, leg.route)
        self.notify()

    # Beginning.

    def add(self, leg: Leg) -> None:
        """Put a leg on the network and let its time run."""
        leg.route = self.account.route(leg.connection_id)
        leg.prompts = Prompts(lambda event_type, fields: self.emit(leg, event_type, fields))
        self.legs[leg.call_control_id] = leg
        leg.begun_at = Clock.next_grid(time.monotonic())
        self.clock.at(leg.begun_at, lambda: self._tick(leg, leg.begun_at))

    def _tick(self, leg: Leg, due: float) -> None:
        with self.lock:
            if leg.ended:
                return
            leg.tick()
            if self._waiting:
                self.notify()
            for recording in leg.recordings:
                if recording.active and recording.full:
                    self.save_recording(leg, recording)
            if not leg.ended:
                self.clock.at(due + PTIME, lambda: self._tick(leg, due + PTIME))

    def initiated(self, leg: Leg) -> None:
        """Announce a new leg."""
        self.emit(leg, "call.initiated", events.initiated(leg))

    def arrive(self, leg: Leg, ring_seconds: float) -> None:
        """Let an inbound leg ring."""
        self.add(leg)
        self.initiated(leg)
        self.clock.after(ring_seconds, lambda: self._unanswered(leg))
        application = self.account.applications.get(leg.connection_id)
        if application is not None and application.fields["first_command_timeout"]:
            seconds = application.fields["first_command_timeout_secs"]
            self.clock.after(float(seconds), lambda: self._uncommanded(leg))

    def _unanswered(self, leg: Leg) -> None:
        with self.lock:
            if leg.state == "ringing":
                self.end(leg, "originator_cancel", "caller")

    def _uncommanded(self, leg: Leg) -> None:
        with self.lock:
            if leg.state == "ringing" and not leg.commanded:
                self.end(leg, "timeout", "unknown")

    def answered(self, leg: Leg) -> None:
        """The leg is answered, by whichever side had to."""
        leg.state = "answered"
        leg.answered_at = time.monotonic()
        leg.log("state", state="answered")
        self.emit(leg, "call.answered", events.answered(leg))

    def limit(self, leg: Leg, seconds: float) -> None:
        """Hang a leg up when it has lasted so long."""
        self.clock.after(seconds, lambda: self._time_limit(leg))

    def _time_limit(self, leg: Leg) -> None:
        with self.lock:
            self.end(leg, "time_limit", "unknown")

    # Streams.

    def begin_stream(self, leg: Leg, options: StreamOptions) -> MediaStream:
        """Begin a stream; an earlier one of the leg is replaced."""
        stream = MediaStream(self, leg, options)
        if leg.stream is not None:
            self.end_stream(leg)
        leg.stream = stream
        leg.streams.append(stream)
        self.group.spawn("sim-media", stream.run)
        return stream

    def end_stream(self, leg: Leg) -> None:
        """End the leg's stream, if it has one."""
        stream, leg.stream = leg.stream, None
        if stream is None:
            return
        stream.stop()
        if stream.state == "open":
            self.emit(leg, "streaming.stopped", self._stream_fields(leg, stream))

    @staticmethod
    def _stream_fields(leg: Leg, stream: MediaStream) -> dict[str, Any]:
        return {"stream_url": stream.options.url}

    def stream_started(self, leg: Leg, stream: MediaStream) -> None:
        """The socket is open."""
        self.emit(leg, "streaming.started", self._stream_fields(leg, stream))

    def stream_failed(self, leg: Leg, stream: MediaStream, reason: str) -> None:
        """The socket was not opened, or was lost."""
        self.emit(leg, "streaming.failed", events.stream_failed(stream, reason))

    def stream_gone(self, leg: Leg, stream: MediaStream, *, lost: bool) -> None:
        """The client closed the socket, or it was lost; the call goes on."""
        does = self.behaviour.stream_lost if lost else self.behaviour.stream_closed
        if does == "failed":
            self.stream_failed(leg, stream, "connection_lost" if lost else "connection_closed")
        elif does == "stopped":
            self.emit(leg, "streaming.stopped", self._stream_fields(leg, stream))
        elif does == "reconnect":
            self.begin_stream(leg, stream.options)

    # The person.

    def pressed(self, leg: Leg, key: str) -> None:
        """The person pressed a key; the person calls this within a tick."""
        leg.log("key")
        if leg.stream is not None:
            leg.stream.send_digit(key)
        self.emit(leg, "call.dtmf.received", {"digit": key})
        if leg.peer is not None:
            leg.peer.keys_heard += key
        if leg.gather is not None:
            status = leg.gather.press(key, time.monotonic())
            if status is not None:
                self.end_gather(leg, status)
            else:
                self._watch_gather(leg)

    def hung_up(self, leg: Leg) -> None:
        """The person hung up."""
        caller = leg.direction == "incoming"
        cause = "originator_cancel" if caller and leg.state == "ringing" else "normal_clearing"
        self.end(leg, cause, "caller" if caller else "callee")

    # Gathering.

    def begin_gather(self, leg: Leg) -> None:
        """Watch the leg's gather until it has ended."""
        self._watch_gather(leg)

    def _watch_gather(self, leg: Leg) -> None:
        gather = leg.gather
        if gather is not None:
            self.clock.at(gather.deadline, lambda: self._poll_gather(leg))

    def _poll_gather(self, leg: Leg) -> None:
        with self.lock:
            status = leg.gather.poll(time.monotonic()) if leg.gather is not None else None
            if status is not None:
                self.end_gather(leg, status)

    def end_gather(self, leg: Leg, status: str) -> None:
        """End the leg's gather, if it has one."""
        gather, leg.gather = leg.gather, None
        if gather is None:
            return
        fields: dict[str, Any] = {"digits": gather.digits, "status": status}
        if gather.gather_id is not None:
            fields["gather_id"] = gather.gather_id
        self.emit(leg, "call.gather.ended", fields)

    # Recordings.

    def save_recording(self, leg: Leg, recording: Recording) -> None:
        """End a recording and announce where it is."""
        if not recording.active:
            return
        recording.ended_at = timestamp()
        self.recordings[recording.recording_id] = recording
        url = f"{self.public_url}/simulator/recordings/{recording.recording_id}"
        self.emit(leg, "call.recording.saved", events.recording_saved(recording, url))

    # Where the server can be reached; set once it listens.
    public_url = ""

    # Two legs.

    def join(self, one: Leg, other: Leg) -> None:
        """Bridge two legs: their persons hear each other."""
        for leg in (one, other):
            if leg.peer is not None:
                self.part(leg)
        one.peer, other.peer = other, one
        one.from_peer = Pipe(other.rate, one.rate)
        other.from_peer = Pipe(one.rate, other.rate)
        self.emit(one, "call.bridged")
        self.emit(other, "call.bridged")

    def part(self, leg: Leg) -> Leg | None:
        """Undo a bridge; get the other leg."""
        other, leg.peer, leg.from_peer = leg.peer, None, None
        if other is not None:
            other.peer = other.from_peer = None
        return other

    # Ending.

    def end(self, leg: Leg, cause: str, source: str, *, sip: str | None = None) -> None:
        """End a leg once, whoever ends it; further calls do nothing.

        Args:
            leg: the leg.
            cause: one of :data:`~bridge.simulator.events.CAUSES`.
            source: ``caller``, ``callee`` or ``unknown``.
            sip: the SIP status, if not the one that goes with the cause.
        """
        if leg.ended:
            return
        other = self.part(leg)
        leg.state = "ended"
        leg.ended_at = time.monotonic()
        leg.end_time = timestamp()
        leg.hangup_cause, leg.hangup_source = cause, source
        leg.log("state", state="ended", cause=cause, source=source)
        self.end_gather(leg, "call_hangup")
        if leg.prompts is not None:
            leg.prompts.end_all("call_hangup")
        if leg.queue_name is not None:
            self.leave_queue(leg, "hangup")
        self.end_stream(leg)
        self.emit(leg, "call.hangup", events.hangup(leg, sip))
        for recording in leg.recordings:
            self.save_recording(leg, recording)
        application = self.account.applications.get(leg.connection_id)
        if application is not None and application.fields["call_cost_in_webhooks"]:
            self.emit(leg, "call.cost", events.cost(leg))
        if other is not None and not other.ended and not other.park_after_unbridge:
            self.end(other, "normal_clearing", source)
        far, leg.far = leg.far, None
        if far is not None:
            # It is the same person's phone: what ends one side ends the other, for the same reason.
            self.end(far, cause, source, sip=sip)
        self.notify()

    # Queues.

    def leave_queue(self, leg: Leg, reason: str) -> None:
        """Take a leg out of the queue it waits in."""
        name, leg.queue_name = leg.queue_name, None
        waited = time.monotonic() - leg.queued_at
        self.emit(
            leg,
            "call.dequeued",
            {
                "queue": name,
                "queue_position": 1,
                "reason": reason,
                "wait_time_secs": int(waited),
            },
        )
