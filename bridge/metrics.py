"""Numbers for Prometheus: ``/metrics``.

Numbers and fixed words only: no number of a caller, no id of a call, nothing that was said.

What belongs to a call is counted when it has happened; what is a state, queues and threads, is
looked at when somebody asks and every few seconds.  Nothing is done per packet.

With several processes on one machine each writes its numbers into files of a directory,
``PROMETHEUS_MULTIPROC_DIR``, which the server sets up (:mod:`bridge.server`), and whichever process
is asked adds them up.

Threads: observers' methods on whichever thread it happened; ``metrics``, one per process, looks at
the states; :meth:`Metrics.expose` on a request's own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from bridge.bearer import bears
from bridge.observer import CallObserver, CallSummary, TurnLatency
from telnyx_media.sync.threads import ThreadGroup

if TYPE_CHECKING:
    from bridge.call import CallInfo, Reply
    from bridge.decisions import Turn
    from bridge.events import Event

__all__ = ["Metrics", "make_blueprint"]

# Seconds. A pause between two people is a fifth of a second; from one second on it is felt, from
# two on people ask whether somebody is there.
LATENCIES = (
    0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0,
)  # fmt: skip

# Seconds from the caller's first sound to the silence of the agent.
REACTIONS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0)

# Seconds that a call lasts.
LENGTHS = (5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 14400)

# Seconds by which audio is sent late; the caller hears it from the lead on, 0.3 s by default.
LATENESS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)

# Seconds between two looks at the states.
LOOK_EVERY = 5.0

# A state's name, and how the processes' values become one.
STATES = {
    "calls_active": ("Calls that are held now.", "livesum"),
    "calls_capacity": ("Calls that may be held at once.", "livesum"),
    "draining": ("Processes that take no new calls because they are to end.", "livesum"),
    "threads": ("Threads.", "livesum"),
    "webhooks_waiting": ("Webhook events that are not worked on yet.", "livesum"),
    "webhooks_working": ("Threads that work on webhook events.", "livesum"),
    "histories_waiting": ("Parts of histories that are not in Redis yet.", "livesum"),
    "speaking": ("Calls whose audio is being sent.", "livesum"),
    "records_waiting": ("Entries of call records that are not written yet.", "livesum"),
    "recording_blocks_waiting": ("Seconds of recordings that are not written yet.", "livesum"),
    "uploads_waiting": ("Recordings that are not where they are kept yet.", "livesum"),
}


class Metrics(CallObserver):
    """Counts what happens on the calls of a process."""

    def __init__(
        self,
        look: Callable[[], Mapping[str, float]] = dict,
        *,
        lateness: Callable[[], float] | None = None,
        webhook_wait: Callable[[], float] | None = None,
        look_every: float = LOOK_EVERY,
    ) -> None:
        """Prepare; no thread is started before the first call.

        Args:
            look: gets states by their names in ``STATES``.
            lateness: gets the most by which audio was sent late since it was asked last.
            webhook_wait: gets the longest that a webhook event waited for a thread since then.
            look_every: seconds.
        """
        self._look = look
        self._webhook_wait_of = webhook_wait
        self._lateness_of = lateness
        self._look_every = look_every
        self._several = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self._group = ThreadGroup("bridge")
        # Guards _started.
        self._lock = threading.Lock()
        self._started = False
        self._registry = registry = CollectorRegistry()
        if not self._several:
            ProcessCollector(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"bridge_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"bridge_{name}", text, labels, buckets=buckets, registry=registry)

        self._calls = counter("calls", "Calls that are over.", "direction", "outcome")
        self._refused = counter("calls_refused", "Calls that were not taken.", "why")
        self._seconds = histogram("call_seconds", "Length of calls.", LENGTHS)
        self._events = counter("webhook_events", "Webhook events.", "event_type")
        self._turns = counter("turns", "Turns of callers.", "kind")
        self._replies = counter("replies", "Replies of the agent.", "outcome")
        self._latency = histogram(
            "latency_seconds",
            "From the caller's last word to the agent's first, by stage; total is all of them.",
            LATENCIES,
            "stage",
        )
        self._reaction = histogram(
            "barge_in_seconds", "From a caller's breaking in to the agent's silence.", REACTIONS
        )
        self._false_alarms = counter("false_alarms", "Pauses of replies that were none.")
        self._agent_errors = counter("agent_errors", "Agent functions that raised.")
        self._packets = counter("packets", "Inbound packets.", "outcome")
        self._bad_frames = counter("bad_frames", "Media frames that could not be read.")
        self._streams = counter("stream_losses", "Media streams that replaced a lost one.")
        self._stt = counter("stt_reconnects", "Recogniser connections that replaced a lost one.")
        self._tts = counter("tts_reconnects", "Synthesis connections that replaced a lost one.")
        self._deaf = counter("stt_dropped_seconds", "Audio that never reached the recogniser.")
        self._late = histogram(
            "pacer_lateness_seconds",
            "The most by which audio was sent late, of every few seconds.",
            LATENESS,
        )
        self._waits = histogram(
            "webhook_wait_seconds",
            "The longest that a webhook event waited to be worked on, of every few seconds.",
            LATENESS,
        )
        self._states = {
            name: Gauge(f"bridge_{name}", text, registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]
            for name, (text, mode) in STATES.items()
        }
        # Shown as zero before the first one, so that a rate of them has a beginning.
        for stage in fields(TurnLatency):
            self._latency.labels(stage.name)

    # -- what happens on calls --------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Count it."""
        if event.known:
            self._events.labels(event.event_type).inc()

    def on_refuse(self, info: CallInfo, why: str) -> None:
        """Count it."""
        self._refused.labels(why).inc()

    def on_begin(self, info: CallInfo) -> None:
        """Begin to look at the states."""
        self.start()

    def on_turn(self, info: CallInfo, turn: Turn, latency: TurnLatency) -> None:
        """Count it."""
        self._turns.labels("keys" if turn.digits else "speech").inc()
        if latency.endpoint is not None:
            self._latency.labels("endpoint").observe(latency.endpoint)

    def on_reply(self, info: CallInfo, reply: Reply, latency: TurnLatency) -> None:
        """Count it, and where its time went."""
        self._replies.labels("interrupted" if reply.interrupted else "heard").inc()
        for stage in fields(latency):
            value = getattr(latency, stage.name)
            # The turn has told of its own.
            if value is not None and stage.name != "endpoint":
                self._latency.labels(stage.name).observe(value)

    def on_barge_in(self, info: CallInfo, delay: float) -> None:
        """Count it."""
        self._reaction.observe(delay)

    def on_false_alarm(self, info: CallInfo) -> None:
        """Count it."""
        self._false_alarms.inc()

    def on_agent_error(self, info: CallInfo, error: BaseException) -> None:
        """Count it."""
        self._agent_errors.inc()

    def on_end(self, info: CallInfo, summary: CallSummary) -> None:
        """Count it, and what its media were like."""
        self._calls.labels(info.direction, summary.reason).inc()
        self._seconds.observe(summary.duration)
        self._packets.labels("taken").inc(summary.packets)
        self._packets.labels("lost").inc(summary.lost_packets)
        self._packets.labels("late").inc(summary.late_packets)
        self._bad_frames.inc(summary.bad_frames)
        self._streams.inc(max(0, summary.streams - 1))
        self._stt.inc(summary.stt_reconnects)
        self._tts.inc(summary.tts_reconnects)
        self._deaf.inc(summary.stt_dropped)

    # -- the states -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look at the states every few seconds; may be called again."""
        with self._lock:
            if not self._started and not self._group.stopping.is_set():
                self._started = True
                self._group.spawn("metrics", self._run)

    def _run(self) -> None:
        self.look()
        while not self._group.stopping.wait(self._look_every):
            self.look()
            if self._lateness_of is not None:
                self._late.observe(self._lateness_of())
            if self._webhook_wait_of is not None:
                self._waits.observe(self._webhook_wait_of())

    def look(self) -> None:
        """Look at the states now."""
        for name, value in self._look().items():
            self._states[name].set(value)

    def expose(self) -> bytes:
        """Get all numbers, of all processes of this machine, in Prometheus' text format."""
        self.look()
        if not self._several:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def close(self) -> None:
        """End the thread; may be called twice."""
        with self._lock:
            self._group.stop()
        self._group.join()


def make_blueprint(metrics: Metrics, token: str | None) -> Blueprint:
    """Make the ``/metrics`` route.

    Args:
        metrics: the numbers.
        token: ``BRIDGE_METRICS_TOKEN``; ``None``: whoever asks gets them.
    """
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get("/metrics")
    def expose() -> Response:
        if token is not None and not bears(request.headers.get("Authorization"), token):
            headers = {"WWW-Authenticate": "Bearer"}
            return Response("no\n", 401, headers, mimetype="text/plain")
        return Response(metrics.expose(), content_type=CONTENT_TYPE_LATEST)

    return blueprint
