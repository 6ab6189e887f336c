"""A trace of each call for OpenTelemetry: its turns, its replies and what they waited for.

Off unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set and the extra ``otel`` is installed.  The SDK
reads its other variables (``OTEL_EXPORTER_OTLP_HEADERS``, ``OTEL_SERVICE_NAME``, …) itself.

Spans hold lengths and counts, never numbers of callers nor what was said.

Threads: observers' methods on whichever thread it happened; the SDK's own thread sends, and is
started by the first call.  ``traces`` sends the last spans when the process stops.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bridge.observer import CallObserver, CallSummary, Recording, TurnLatency
from telnyx_media.sync.threads import ThreadGroup

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from bridge.call import CallInfo, Reply
    from bridge.decisions import Turn

__all__ = ["Tracer", "make_tracer"]

logger = logging.getLogger(__name__)

# Seconds that the end may wait for spans to be sent, and then for the SDK to see that it is over.
FLUSH = 2.0
BREAK_OFF = 1.0


def make_tracer(endpoint: str | None) -> Tracer | None:
    """Make the observer, if traces are wanted and can be made.

    Args:
        endpoint: of the collector, ``http://localhost:4318``.
    """
    if endpoint is None:
        return None
    if importlib.util.find_spec("opentelemetry") is None:
        # Some hosts set the variable for every program.
        logger.warning("made no traces: they need pip install 'telnyx-bridge[otel]'")
        return None

    def make_exporter() -> SpanExporter:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")

    return Tracer(make_exporter)


class Tracer(CallObserver):
    """Makes a span of each call and of what belongs to it."""

    def __init__(
        self,
        make_exporter: Callable[[], SpanExporter],
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        flush: float = FLUSH,
    ) -> None:
        """Prepare; nothing is started before the first call.

        Args:
            make_exporter: makes what sends the spans.
            clock: the time of day, Unix seconds.
            steady: the clock of the turns' times, in seconds.
            flush: seconds that the end may wait for spans to be sent.
        """
        self._make_exporter = make_exporter
        self._clock = clock
        self._steady = steady
        self._flush = flush
        self._threads = ThreadGroup("bridge")
        # Guards what follows.
        self._lock = threading.Lock()
        self._provider: Any = None
        self._exporter: Any = None
        self._spans: dict[str, Any] = {}
        self._closed = False

    def on_begin(self, info: CallInfo) -> None:
        """Begin the call's span."""
        tracer = self._tracer()
        if tracer is None:
            return
        from opentelemetry.trace import SpanKind

        span = tracer.start_span(
            "call",
            kind=SpanKind.SERVER,
            attributes={"call.direction": info.direction, "call.leg": info.tag},
            start_time=self._ns(self._clock()),
        )
        with self._lock:
            self._spans[info.call_control_id] = span

    def on_media(self, info: CallInfo) -> None:
        """Note it on the call's span."""
        self._event(info, "media stream started", codec=info.codec, sample_rate=info.sample_rate)

    def on_turn(self, info: CallInfo, turn: Turn, latency: TurnLatency) -> None:
        """Add a span of the caller's turn, until it was decided to be over."""
        if not turn.started_at:
            return
        end = self._wall(turn.ended_at)
        span = self._span(
            info, "turn", self._wall(turn.started_at), end + (latency.endpoint or 0.0),
            characters=len(turn.text), keys=len(turn.digits),
        )  # fmt: skip
        if latency.endpoint is not None:
            self._span(info, "endpointing", end, end + latency.endpoint, parent=span)

    def on_reply(self, info: CallInfo, reply: Reply, latency: TurnLatency) -> None:
        """Add a span of the reply, and of the agent's and the synthesiser's part in it."""
        ended = self._wall(reply.ended_at) if reply.ended_at else self._clock()
        parts = [
            ("first text", latency.first_text),
            ("synthesis", latency.first_audio),
            ("first frame", latency.first_frame),
        ]
        started = self._wall(reply.started_at) if reply.started_at else ended
        started -= sum(length or 0.0 for _, length in parts)
        span = self._span(
            info, "reply", started, ended,
            characters=len(reply.text), heard=len(reply.heard), interrupted=reply.interrupted,
            **({} if latency.total is None else {"latency": latency.total}),
        )  # fmt: skip
        if latency.agent is not None:
            self._span(info, "agent", started - latency.agent, started, parent=None)
        for name, length in parts:
            if length is not None:
                self._span(info, name, started, started + length, parent=span)
                started += length

    def on_barge_in(self, info: CallInfo, delay: float) -> None:
        """Note it on the call's span."""
        self._event(info, "barge-in", delay=delay)

    def on_false_alarm(self, info: CallInfo) -> None:
        """Note it on the call's span."""
        self._event(info, "false alarm")

    def on_agent_error(self, info: CallInfo, error: BaseException) -> None:
        """Note it on the call's span; the error's own words may hold what was said."""
        self._event(info, "agent failed", type=type(error).__name__)

    def on_end(self, info: CallInfo, summary: CallSummary) -> None:
        """End the call's span."""
        with self._lock:
            span = self._spans.pop(info.call_control_id, None)
        if span is None:
            return
        from opentelemetry.trace import StatusCode

        span.set_attributes(
            {
                "call.reason": summary.reason,
                "call.hangup_cause": summary.hangup_cause,
                "call.turns": summary.turns,
                "call.replies": summary.replies,
                "call.barge_ins": summary.barge_ins,
                "call.lost_packets": summary.lost_packets,
                "call.stt_reconnects": summary.stt_reconnects,
            }
        )
        if summary.reason in ("agent failed", "failed", "media lost", "command refused"):
            span.set_status(StatusCode.ERROR, summary.reason)
        span.end(self._ns(self._clock()))

    def on_recording(self, info: CallInfo, recording: Recording) -> None:
        """Do nothing: it is no part of the call's time."""

    # -- spans ------------------------------------------------------------------------------------

    def _tracer(self) -> Any:
        with self._lock:
            if self._closed:
                return None
            if self._provider is None:
                from opentelemetry.sdk.resources import SERVICE_NAME, Resource
                from opentelemetry.sdk.trace import TracerProvider
                from opentelemetry.sdk.trace.export import BatchSpanProcessor

                # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come first.
                resource = Resource.create()
                if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
                    resource = resource.merge(Resource({SERVICE_NAME: "telnyx-bridge"}))
                self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
                self._exporter = self._make_exporter()
                self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
            return self._provider.get_tracer("bridge")

    def _span(
        self,
        info: CallInfo,
        name: str,
        start: float,
        end: float,
        *,
        parent: Any = None,
        **attributes: Any,
    ) -> Any:
        with self._lock:
            above = parent or self._spans.get(info.call_control_id)
            provider = self._provider
        if above is None or provider is None:
            return None
        from opentelemetry.trace import set_span_in_context

        span = provider.get_tracer("bridge").start_span(
            name,
            context=set_span_in_context(above),
            attributes={f"{name}.{key}": value for key, value in attributes.items()},
            start_time=self._ns(start),
        )
        span.end(self._ns(max(start, end)))
        return span

    def _event(self, info: CallInfo, name: str, **attributes: Any) -> None:
        with self._lock:
            span = self._spans.get(info.call_control_id)
        if span is not None:
            span.add_event(name, attributes, self._ns(self._clock()))

    def _wall(self, steady: float) -> float:
        return self._clock() - (self._steady() - steady)

    @staticmethod
    def _ns(seconds: float) -> int:
        return int(seconds * 1e9)

    def close(self) -> None:
        """Send what waits, as long as ``flush``, and end the SDK's thread; may be called twice."""
        with self._lock:
            self._closed = True
            provider, self._provider = self._provider, None
            spans, self._spans = list(self._spans.values()), {}
        for span in spans:
            span.end(self._ns(self._clock()))
        if provider is None:
            return
        # The SDK tries a collector that is away for ten seconds, whatever limit it is given here.
        thread = self._threads.spawn("traces", provider.shutdown)
        thread.join(self._flush)
        if thread.is_alive():
            logger.warning("did not send the last spans: the collector does not take them")
            self._exporter.shutdown()
        self._threads.join(BREAK_OFF)
