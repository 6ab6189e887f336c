"""The media stream of a leg: Telnyx as the WebSocket client.

Telnyx opens the socket, says ``connected`` and ``start``, then sends the person's audio every 20 ms
and plays what comes back through a queue (Telnyx: media-streaming page).  What we send to it is
counted and timed here, because this is where a bridge's punctuality shows.

Threads: ``sim-media``, one per stream, connects and then reads; it takes the carrier's lock for
whatever touches the leg.  The clock sends, with that lock held, and never waits for the socket.
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bridge.simulator import wire
from bridge.simulator.connection import CLOSE_TIMEOUT, Connection, connect
from bridge.simulator.line import PTIME, PlayQueue
from bridge.simulator.tls import ConnectFailed
from bridge.simulator.webhooks import timestamp
from bridge.simulator.wire import FrameRefused
from telnyx_media.codecs import Codec, PacketEncoder, make_codec
from telnyx_media.mp3 import Mp3Decoder
from telnyx_media.pcm import Resampler, seconds

if TYPE_CHECKING:
    from bridge.simulator.carrier import Carrier
    from bridge.simulator.leg import Leg

logger = logging.getLogger(__name__)

# Seconds in which the socket has to be open.
CONNECT_TIMEOUT = 5.0
# Seconds of audio in one frame (Telnyx: 20 ms to 30 s).
SHORTEST_FRAME = 0.0195
LONGEST_FRAME = 30.0
# Seconds between two clips in the mode mp3.
MP3_INTERVAL = 1.0


@dataclass(frozen=True)
class StreamOptions:
    """The stream parameters of a command, defaults filled in.

    Attributes:
        url: where Telnyx connects to.
        track: ``inbound_track``, ``outbound_track`` or ``both_tracks``.
        codec: of the audio from Telnyx; ``default`` is the leg's own.
        mode: ``mp3`` or ``rtp``, of the audio to Telnyx.
        bidirectional_codec: of the audio to Telnyx in the mode ``rtp``.
        rate: hertz of the audio to Telnyx, and of what ``codec`` transcodes to.
        target_legs: ``self``, ``opposite`` or ``both``.
        auth_token: sent as a header and in ``connected``.
        custom_parameters: sent in ``start``.
    """

    url: str
    track: str = "inbound_track"
    codec: str = "default"
    mode: str = "mp3"
    bidirectional_codec: str = "PCMU"
    rate: int = 8000
    target_legs: str = "opposite"
    auth_token: str | None = None
    custom_parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass
class MarkSeen:
    """A mark that the client sent.

    Attributes:
        name: the client's.
        received_at: seconds on the leg's time line.
        returned_at: the same, or ``None`` while it waits.
        cleared: whether it came back because of ``clear``.
    """

    name: str
    received_at: float
    returned_at: float | None = None
    cleared: bool = False


class MediaStream:
    """One stream.

    Attributes:
        sent: how many frames of each kind went to the client.
        received: how many of each kind came from it.
        media: for each media frame that came, when, and seconds of audio in it.
        marks: every mark that came.
        errors: code of every ``error`` frame sent.
        state: ``connecting``, ``open``, ``closed`` or ``failed``.
    """

    def __init__(self, carrier: Carrier, leg: Leg, options: StreamOptions) -> None:
        self.stream_id = str(uuid.uuid4())
        self.options = options
        self.state = "connecting"
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.media: list[tuple[float, float]] = []
        self.marks: list[MarkSeen] = []
        self.errors: list[int] = []
        self.queue = PlayQueue()
        self._carrier = carrier
        self._leg = leg
        self._connection: Connection | None = None
        # Whether we end it ourselves, so that the reader's end of file is no loss.
        self._stopping = False
        self._sequence = 0
        self._chunks = {"inbound": 0, "outbound": 0}
        self._held: str | None = None
        self._choose_codecs()
        self._reset_player()
        self._last_clip: float | None = None

    def _choose_codecs(self) -> None:
        leg, options = self._leg, self.options
        encoding, rate = leg.codec, leg.rate
        wanted = options.codec
        if wanted != "default" and wanted != leg.codec:
            g711 = {"PCMU", "PCMA"}
            if self._carrier.behaviour.transcoding == "all" or {wanted, leg.codec} <= g711:
                encoding = wanted
                rate = 8000 if wanted in g711 else max(16000, options.rate)
        order = self._carrier.behaviour.l16_byte_order
        codecs = [make_codec(encoding, rate, l16_byte_order=order) for _ in ("inbound", "outbound")]
        self.encoding = encoding
        # Telnyx states the clock of the codec, which for G722 is not the rate of its audio.
        self.clock_rate = 8000 if encoding == "G722" else codecs[0].sample_rate
        self._encoders = {
            track: (Resampler(leg.rate, codec.sample_rate), PacketEncoder(codec))
            for track, codec in zip(self._chunks, codecs, strict=True)
        }

    def _reset_player(self) -> None:
        options = self.options
        order = self._carrier.behaviour.l16_byte_order
        self._decoder: Codec = make_codec(
            options.bidirectional_codec, options.rate, l16_byte_order=order
        )
        self._resampler = Resampler(self._decoder.sample_rate, self._leg.rate)

    # The reading thread.

    def run(self) -> None:
        """Connect, and read until the socket is gone; the whole life of the stream's thread."""
        try:
            connection = self._connect()
        except ConnectFailed as error:
            with self._carrier.lock:
                self.state = "failed"
                self._leg.log("stream", state="failed", reason=str(error))
                if self._leg.stream is self and not self._stopping:
                    self._leg.stream = None
                    self._carrier.stream_failed(self._leg, self, "connection_failed")
            return
        if not self._open(connection):
            connection.finish()
            return
        while (message := connection.receive()) is not None:
            self._take(message)
        with self._carrier.lock:
            self._ended(connection)

    def _connect(self) -> Connection:
        token = self.options.auth_token
        headers = {} if token is None else {"x-telnyx-streaming-auth-token": token}
        return connect(self.options.url, headers=headers, timeout=CONNECT_TIMEOUT)

    def _open(self, connection: Connection) -> bool:
        with self._carrier.lock:
            if self._stopping or self._leg.ended:
                return False
            self._connection = connection
            self._carrier.stream_started(self._leg, self)
            self._push("connected", wire.connected(self.options.auth_token))
            self._push("start", wire.start(self.stream_id, self._next(), self._start_body()))
            self.state = "open"
            self._leg.log("stream", state="open", stream_id=self.stream_id)
            self._carrier.notify()
            return True

    def _start_body(self) -> dict[str, Any]:
        leg = self._leg
        return {
            "user_id": self._carrier.user_id,
            "call_control_id": leg.call_control_id,
            "call_session_id": leg.call_session_id,
            "from": leg.from_number,
            "to": leg.to_number,
            "tags": [],
            "client_state": leg.client_state or "",
            "custom_parameters": dict(self.options.custom_parameters),
            "media_format": {
                "encoding": self.encoding,
                "sample_rate": self.clock_rate,
                "channels": 1,
            },
        }

    def _take(self, message: str | bytes) -> None:
        try:
            command = wire.read(message)
            pcm = self._decode(command.payload) if command and command.event == "media" else b""
        except FrameRefused as refused:
            with self._carrier.lock:
                self._refuse(refused)
            return
        with self._carrier.lock:
            if command is None:
                self.received["unknown"] += 1
                return
            self.received[command.event] += 1
            if command.event == "media":
                self.media.append((self._leg.at(), seconds(pcm, self._leg.rate)))
                self.queue.add(pcm)
            elif command.event == "mark":
                self._take_mark(command.name)
            else:
                self._clear()
            self._carrier.notify()

    def _decode(self, payload: bytes) -> bytes:
        """Get PCM at the leg's rate; runs without the lock."""
        if self.options.mode == "mp3":
            return self._decode_clip(payload)
        if self._decoder.encoding == "L16" and len(payload) % 2:
            raise FrameRefused(wire.INVALID_MEDIA, "half a sample of L16")
        pcm = self._decoder.decode(payload)
        length = seconds(pcm, self._decoder.sample_rate)
        # The first packet of a codec with memory comes out shorter than it went in.
        shortest = SHORTEST_FRAME if self._decoder.joinable else 0.002
        if length < shortest:
            raise FrameRefused(wire.RATE_LIMIT_REACHED, "a frame carries at least 20 ms of audio")
        if length > LONGEST_FRAME:
            raise FrameRefused(wire.INVALID_MEDIA, "a frame carries at most 30 s of audio")
        return self._resampler.feed(pcm)

    def _decode_clip(self, payload: bytes) -> bytes:
        # Raw audio in this mode is ignored in silence.
        if not payload.startswith(b"ID3") and payload[:1] != b"\xff":
            return b""
        at = self._leg.at()
        if self._last_clip is not None and at - self._last_clip < MP3_INTERVAL:
            raise FrameRefused(wire.RATE_LIMIT_REACHED, "one media frame per second in mode mp3")
        decoder = Mp3Decoder(self._leg.rate)
        pcm = decoder.feed(payload) + decoder.close()
        if pcm:
            self._last_clip = at
        return pcm

    def _refuse(self, refused: FrameRefused) -> None:
        self.errors.append(refused.code)
        self.received["refused"] += 1
        self._leg.log("error", code=refused.code, detail=refused.detail)
        self._push("error", wire.error(self.stream_id, refused.code, refused.detail))
        if self._carrier.behaviour.error_ends_stream and self._connection is not None:
            self._connection.close(1008, "error")
        self._carrier.notify()

    def _take_mark(self, name: str) -> None:
        seen = MarkSeen(name, self._leg.at())
        self.marks.append(seen)
        if self.queue.mark(name):
            self._return_mark(name, cleared=False)

    def _clear(self) -> None:
        dropped, names = self.queue.clear()
        self._reset_player()
        self._leg.log("clear", dropped_seconds=round(dropped / (2 * self._leg.rate), 3))
        for name in names:
            self._return_mark(name, cleared=True)

    def _return_mark(self, name: str, *, cleared: bool) -> None:
        for seen in self.marks:
            if seen.name == name and seen.returned_at is None:
                seen.returned_at = self._leg.at()
                seen.cleared = cleared
                break
        self._push("mark", wire.mark(self.stream_id, self._next(), name))
        self._carrier.notify()

    def _ended(self, connection: Connection) -> None:
        """The socket is gone."""
        if self._connection is connection:
            self._connection = None
        self.state = "closed"
        self._leg.log("stream", state="closed", close_code=connection.close_code)
        if not self._stopping and self._leg.stream is self:
            self._leg.stream = None
            self._carrier.stream_gone(self._leg, self, lost=connection.close_code == 1006)
        self._carrier.notify()

    # The clock's thread, with the carrier's lock held.

    def play(self, size: int) -> tuple[bytes, bool, bool]:
        """Play a packet.

        Returns:
            The packet, or nothing; whether the leg's own person hears it; whether the other one of
            a bridge does.
        """
        packet, returned = self.queue.take(size)
        for name in returned:
            self._return_mark(name, cleared=False)
        targets = self.options.target_legs
        bridged = self._leg.peer is not None
        own = targets in ("self", "both") or (
            not bridged and self._carrier.behaviour.opposite_on_single_leg == "heard"
        )
        return packet, own, bridged and targets in ("opposite", "both")

    def send_audio(self, said: bytes, heard: bytes) -> None:
        """Send a packet of each track that was asked for."""
        if self._connection is None or self.state != "open":
            return
        if self.options.track != "outbound_track":
            self._send_track("inbound", said)
        if self.options.track != "inbound_track":
            self._send_track("outbound", heard)

    def _send_track(self, track: str, pcm: bytes) -> None:
        resampler, encoder = self._encoders[track]
        faults = self._carrier.faults
        for payload in encoder.feed(resampler.feed(pcm)):
            self._chunks[track] += 1
            chunk = self._chunks[track]
            frame = wire.media(
                self.stream_id,
                self._next(),
                track=track,
                chunk=chunk,
                timestamp=round((chunk - 1) * PTIME * 1000),
                payload=payload,
            )
            if faults.lose_media and chunk % faults.lose_media == 0:
                self.sent["lost"] += 1
                continue
            if self._held is None and faults.swap_media and chunk % faults.swap_media == 0:
                self._held = frame
                continue
            self._push("media", frame)
            if self._held is not None:
                held, self._held = self._held, None
                self._push("media", held)

    def send_digit(self, digit: str) -> None:
        """Tell the client about a key."""
        if self.state == "open":
            self._push("dtmf", wire.dtmf(self.stream_id, self._next(), timestamp(), digit))

    def stop(self) -> None:
        """End the stream: the ``stop`` frame, then the close; never waits."""
        self._stopping = True
        connection = self._connection
        if connection is not None:
            self._push(
                "stop",
                wire.stop(
                    self.stream_id,
                    self._next(),
                    self._carrier.user_id,
                    self._leg.call_control_id,
                ),
            )
            connection.close(1000)
            # A client that does not answer the close frame is not waited for.
            self._carrier.clock.after(CLOSE_TIMEOUT, connection.abort)

    def cut(self) -> None:
        """Lose the socket, as a network does: no ``stop``, no close frame."""
        if self._connection is not None:
            self._connection.abort()

    def abandon(self) -> None:
        """Lose the socket and do nothing about it."""
        self._stopping = True
        self.cut()

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _push(self, kind: str, text: str) -> None:
        if self._connection is not None and self._connection.push(text):
            self.sent[kind] += 1
