"""The real app whose legs send the caller's audio straight back, for ``benchmarks/media.py``.

What runs is what runs in a deployment: gunicorn's threaded worker with the project's configuration,
the ``/telnyx/media`` route with its tokens, the leg's worker and threads, ordering, decoding, turn
taking and metrics.  What is put in: each leg's first socket is fetched from ``/bench/legs`` instead
of being told to Telnyx; the recogniser takes audio and says nothing; and each packet is sent back,
behind the leg's own handling of it.

With ``BENCH_ECHO=reply`` what the leg hears is its agent's reply instead, which goes by the playout
and the pacer as any reply does, in frames of 100 ms.  Synthesised speech is there ahead of its time
and comes in pieces, so it is handed over by 100 ms and begins a second late.

``BENCH_VAD=off`` leaves the voice detector out.
"""

from __future__ import annotations

import os
import queue
import threading
from typing import Any

from flask import Flask, Response, jsonify, request

from bridge.app import Bridge, create_app
from bridge.call import Call, CallInfo
from bridge.conversation import Conversation
from bridge.speech import Speech
from bridge.worker import CallWorker
from telnyx_media.frames import Media, Start, encode_media
from telnyx_media.vad import VoiceDetector

# Packets that are handed over together, and those with which a reply begins.
TOGETHER, AHEAD = 5, 50


class SilentSession:
    """A transcription session that takes everything and says nothing."""

    reconnects = 0
    dropped = 0.0

    def send(self, audio: bytes) -> None:
        """Take audio."""

    def finalize(self) -> None:
        """Have nothing to say."""

    def close(self) -> None:
        """End."""

    def __enter__(self) -> SilentSession:
        return self

    def __exit__(self, *_: object) -> None:
        """End."""


class SilentStt:
    """Opens such sessions."""

    def open(self, **_: object) -> SilentSession:
        """Open one."""
        return SilentSession()


class Reply:
    """The reply of one leg: what it hears."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._speech = Speech(wordless=True)
        self._packets: list[bytes] = []
        self._enough = AHEAD
        conversation.begin(self._speech, interruptible=False)
        self._segment = conversation.add_segment(self._speech, "")

    def add(self, packet: bytes) -> None:
        """Say one packet more."""
        self._packets.append(packet)
        if len(self._packets) == self._enough and self._segment is not None:
            packets, self._packets, self._enough = self._packets, [], TOGETHER
            self._conversation.add_audio(self._speech, self._segment, packets, ())


def echo(worker: Any) -> None:
    """Have the legs of this class send back what they hear."""
    take, begin = worker.stream_media, worker.stream_started
    by_reply = os.environ.get("BENCH_ECHO") == "reply"

    def stream_started(self: Any, stream: Any, start: Start) -> bool:
        begun = bool(begin(self, stream, start))
        if begun and by_reply:
            self.bench_echo = Reply(self.conversation).add
        elif begun:
            send = stream.socket.send
            self.bench_echo = lambda packet: send(encode_media(packet))
        return begun

    def stream_media(self: Any, media: Media) -> None:
        take(self, media)
        self.bench_echo(media.payload)

    worker.stream_started, worker.stream_media = stream_started, stream_media


def listen(call: Call) -> None:
    """Be an agent that says nothing."""
    for _ in call.turns():
        pass


def make_app() -> Flask:
    """Make the app."""
    if os.environ.get("BENCH_VAD") == "off":
        VoiceDetector.hear = lambda self, pcm, tell: None  # type: ignore[method-assign]
    echo(CallWorker)
    app = create_app(agent=listen)
    bridge: Bridge = app.extensions["bridge"]
    board: Any = bridge.switchboard
    board._maker.stt = SilentStt()
    opened: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()

    def answer(key: str, **fields: Any) -> None:
        opened.put((key, fields["stream_url"]))

    control: Any = bridge.control
    control.answer = control.streaming_start = answer
    control.hangup = lambda key, **fields: None
    numbers = iter(range(10**9))
    lock = threading.Lock()

    @app.get("/bench/legs")
    def legs() -> Response:
        count = int(request.args["count"])
        with lock:
            for _ in range(count):
                key = f"v3:bench-{next(numbers)}"
                board.begin(
                    CallInfo(
                        call_control_id=key,
                        call_leg_id=key,
                        call_session_id=key,
                        direction="inbound",
                        from_number="+12025550123",
                        to_number="+12025550100",
                        tag=key[-6:],
                    )
                )
            return jsonify([opened.get(timeout=30) for _ in range(count)])

    return app
