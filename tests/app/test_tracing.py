"""Traces of calls: what the spans say, and that they reach a collector."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from bridge.call import Call, Reply
from bridge.decisions import Turn
from bridge.observer import CallSummary, TurnLatency
from bridge.tracing import Tracer, make_tracer
from telnyx_media.sync.threads import ThreadGroup
from tests.app.databases import INFO
from tests.app.phone import phone_line
from tests.loopback import PATIENCE


def test_a_call_is_a_span_with_its_parts() -> None:
    """Turns, replies and what each waited for, where they were in time; no words, no numbers."""
    exporter = InMemorySpanExporter()
    tracer = Tracer(lambda: exporter, clock=lambda: 1100.0, steady=lambda: 100.0)
    tracer.on_begin(INFO)
    tracer.on_turn(
        INFO, Turn(text="secret words", started_at=90.0, ended_at=92.0), TurnLatency(endpoint=0.5)
    )
    tracer.on_barge_in(INFO, 0.2)
    tracer.on_reply(
        INFO,
        Reply("secret answer", "secret", interrupted=True, started_at=93.5, ended_at=95.0),
        TurnLatency(0.5, 0.25, 0.25, 0.25, 0.25, 1.5),
    )
    tracer.on_end(INFO, CallSummary("agent failed", turns=1))
    tracer.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    times = {
        name: ((span.start_time or 0) / 1e9, (span.end_time or 0) / 1e9)
        for name, span in spans.items()
    }
    assert times == {
        "call": (1100.0, 1100.0),
        "turn": (1090.0, 1092.5),
        "endpointing": (1092.0, 1092.5),
        "agent": (1092.5, 1092.75),
        "reply": (1092.75, 1095.0),
        "first text": (1092.75, 1093.0),
        "synthesis": (1093.0, 1093.25),
        "first frame": (1093.25, 1093.5),
    }
    identities = {span.context.span_id: name for name, span in spans.items() if span.context}
    parents = {name: identities[span.parent.span_id] for name, span in spans.items() if span.parent}
    assert parents == {
        "turn": "call", "agent": "call", "reply": "call", "endpointing": "turn",
        "first text": "reply", "synthesis": "reply", "first frame": "reply",
    }  # fmt: skip
    assert spans["call"].status.status_code is StatusCode.ERROR
    assert [event.name for event in spans["call"].events] == ["barge-in"]
    assert dict(spans["reply"].attributes or {})["reply.interrupted"] is True
    told = " ".join(span.to_json() for span in spans.values())
    for secret in ("secret", "5550123", "leg-1", "v3:one"):
        assert secret not in told


def test_without_a_collector_there_are_no_traces() -> None:
    """Nothing is loaded and nothing is started."""
    assert make_tracer(None) is None
    before = threading.active_count()
    tracer = make_tracer("http://127.0.0.1:1")
    assert tracer is not None
    assert threading.active_count() == before
    tracer.close()
    tracer.on_begin(INFO)
    assert threading.active_count() == before


def test_a_real_call_reaches_the_collector() -> None:
    """As the environment says, over HTTP."""
    bodies: list[bytes] = []
    paths: set[str] = set()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            paths.add(self.path)
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            return

    def agent(call: Call) -> None:
        call.say("Goodbye.")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.daemon_threads = False
    group = ThreadGroup("collector")
    group.spawn("http", server.serve_forever, 0.02)
    try:
        endpoint = f"http://127.0.0.1:{server.server_port}"
        with phone_line(agent, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as phone:
            phone.call()
            phone.seen.summary()
    finally:
        server.shutdown()
        server.server_close()
        group.join(PATIENCE)
    assert paths == {"/v1/traces"}
    names: list[str] = []
    for body in bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {a.key: a.value.string_value for a in resource.resource.attributes}
            assert service["service.name"] == "telnyx-bridge"
            names += [span.name for scope in resource.scope_spans for span in scope.spans]
    assert names.count("call") == 1
    assert {"reply", "synthesis"} <= set(names)


def test_a_collector_that_is_away_does_not_keep_the_process_from_ending(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The end waits as long as it says, not for all the tries of the SDK."""

    def make_exporter() -> OTLPSpanExporter:
        return OTLPSpanExporter(endpoint="http://127.0.0.1:9/v1/traces")

    tracer = Tracer(make_exporter, flush=0.2)
    tracer.on_begin(INFO)
    tracer.on_end(INFO, CallSummary("agent"))
    began = time.monotonic()
    tracer.close()
    assert time.monotonic() - began < PATIENCE
    assert "did not send the last spans" in caplog.text
