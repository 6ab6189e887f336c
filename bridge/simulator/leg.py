"""One person's connection to the simulated network, and all that happens on it.

A leg joins what Telnyx joins: the person (a script), the media stream, prompts, the other leg of a
bridge, recordings and the digits of a gather.  Every 20 ms it moves one packet between them and
writes down what was said and heard, so its audio and its events share one time line whose zero is
the begin of the leg.

Threads: everything here is called with the carrier's lock held.
"""

from __future__ import annotations

import base64
import secrets
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bridge.simulator.line import PTIME, mix
from bridge.simulator.webhooks import Route, timestamp
from telnyx_media.codecs import Codec, make_codec
from telnyx_media.pcm import Resampler

if TYPE_CHECKING:
    from bridge.simulator.gather import Gather
    from bridge.simulator.prompts import Prompts
    from bridge.simulator.recordings import Recording
    from bridge.simulator.script import Person
    from bridge.simulator.stream import MediaStream
    from bridge.simulator.surroundings import Surroundings
    from bridge.simulator.trunk import Trunk

# Packets that may wait between two bridged legs; more would be a delay that only grows.
PIPE_LIMIT = 5


def new_call_control_id() -> str:
    """Make an address as Telnyx writes them: it holds a colon, which URLs want encoded."""
    return "v3:" + base64.urlsafe_b64encode(secrets.token_bytes(40)).decode().rstrip("=")


def leg_codec(encoding: str) -> Codec:
    """Make the codec of a leg: wideband where the codec can.

    Raises:
        UnsupportedCodec: there is no such codec here.
    """
    wide = encoding.upper() in ("L16", "OPUS", "G722")
    return make_codec(encoding, 16000 if wide else 8000)


@dataclass
class Event:
    """Something that happened on a leg.

    Attributes:
        at: seconds on the leg's time line.
        what: ``state``, ``command``, ``webhook``, ``frame``, ``mark``, ``clear``, ….
        details: what is known of it.
    """

    at: float
    what: str
    details: dict[str, Any] = field(default_factory=dict)


class Pipe:
    """Carries audio from one leg to the other one of a bridge."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._resampler = Resampler(from_rate, to_rate)
        self._bytes = bytearray()
        self._limit = PIPE_LIMIT * round(to_rate * PTIME) * 2

    def put(self, pcm: bytes) -> None:
        """Send a packet on."""
        self._bytes += self._resampler.feed(pcm)
        if len(self._bytes) > self._limit:
            del self._bytes[: len(self._bytes) - self._limit]

    def take(self, size: int) -> bytes:
        """Get a packet, or nothing if it has not come."""
        if len(self._bytes) < size:
            return b""
        packet = bytes(self._bytes[:size])
        del self._bytes[:size]
        return packet


class Leg:
    """The state of one leg.

    Attributes:
        state: ``ringing``, ``answered`` or ``ended``.
        direction: ``incoming`` or ``outgoing``, as the application sees it.
        rate: hertz of the leg's own audio, which is its codec's.
        packet_bytes: bytes of a packet at that rate.
        said: PCM of what the person said since the leg began.
        heard: PCM of what the person heard since then.
        events: what happened, oldest first.
        keys_heard: digits that reached the person.
    """

    def __init__(
        self,
        *,
        direction: str,
        connection_id: str,
        from_number: str,
        to_number: str,
        codec: str,
        call_session_id: str | None = None,
        begun_at: float | None = None,
        keep_audio: bool = True,
    ) -> None:
        self.call_control_id = new_call_control_id()
        self.call_leg_id = str(uuid.uuid4())
        self.call_session_id = call_session_id or str(uuid.uuid4())
        self.connection_id = connection_id
        self.direction = direction
        self.from_number = from_number
        self.to_number = to_number
        self.client_state: str | None = None
        self.custom_headers: list[dict[str, str]] = []
        self.sip_headers: list[dict[str, str]] = []
        self.caller_name = ""
        self.route = Route()
        self.state = "ringing"
        self.codec = codec.upper()
        self.rate = leg_codec(self.codec).sample_rate
        self.packet_bytes = 2 * round(self.rate * PTIME)

        self.begun_at = time.monotonic() if begun_at is None else begun_at
        self.start_time = timestamp()
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.end_time: str | None = None
        self.hangup_cause = ""
        self.hangup_source = ""
        self.ticks = 0

        self.person: Person | Trunk | None = None
        # The leg at the other end of a call from one of the account's numbers to another.
        self.far: Leg | None = None
        self.stream: MediaStream | None = None
        self.streams: list[MediaStream] = []
        self.prompts: Prompts | None = None
        self.gather: Gather | None = None
        self.recordings: list[Recording] = []
        self.recording_from_answer: Recording | None = None
        self.peer: Leg | None = None
        self.from_peer: Pipe | None = None
        self.park_after_unbridge = False
        self.queue_name: str | None = None
        self.queued_at = 0.0
        self.commanded = False

        self.events: list[Event] = []
        self.said = bytearray()
        self.heard = bytearray()
        self._keep_audio = keep_audio
        self._silence = bytes(self.packet_bytes)
        self.keys_heard = ""
        self.surroundings: Surroundings | None = None
        # Audio of this leg's stream that is meant for the other leg's ear.
        self._for_peer: deque[bytes] = deque()

    # What is known about it.

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state == "ended"

    def at(self, now: float | None = None) -> float:
        """Get a point of the monotonic clock as seconds on the leg's time line."""
        # A leg begins on the clock's next point, a few milliseconds after its first webhook.
        return max(0.0, round((time.monotonic() if now is None else now) - self.begun_at, 4))

    def log(self, what: str, **details: Any) -> None:
        """Write down that something happened now."""
        self.events.append(Event(self.at(), what, details))

    def common(self) -> dict[str, Any]:
        """Get the fields that nearly every webhook of this leg carries."""
        return {
            "call_control_id": self.call_control_id,
            "connection_id": self.connection_id,
            "call_leg_id": self.call_leg_id,
            "call_session_id": self.call_session_id,
            "client_state": self.client_state,
            "from": self.from_number,
            "to": self.to_number,
        }

    def summary(self) -> dict[str, Any]:
        """Get what ``GET /calls/{id}`` says of it."""
        end = self.ended_at or time.monotonic()
        return {
            "record_type": "call",
            "call_control_id": self.call_control_id,
            "call_leg_id": self.call_leg_id,
            "call_session_id": self.call_session_id,
            "client_state": self.client_state,
            "is_alive": self.state == "answered",
            "call_duration": int(end - self.answered_at) if self.answered_at else 0,
            "start_time": self.start_time,
            "end_time": self.end_time,
        }

    # One packet of time.

    def tick(self) -> None:
        """Let 20 ms pass."""
        now = self.ticks * PTIME
        self.ticks += 1
        if self.state != "answered":
            self._keep(self._silence, self._silence)
            return
        parts = self._sources()
        heard = mix(parts) if parts else self._silence
        person = self.person
        said = person.tick(now, heard, bool(parts)) if person is not None else self._silence
        if self.surroundings is not None:
            said = self.surroundings.add(said, heard)
        self._keep(said, heard)
        if self.peer is not None and self.peer.from_peer is not None:
            outgoing = [said, *self._for_peer] if self._for_peer else [said]
            self.peer.from_peer.put(mix(outgoing))
        self._for_peer.clear()
        for recording in self.recordings:
            recording.add(said, heard)
        # The person may have hung up in this very tick.
        if self.stream is not None:
            self.stream.send_audio(said, heard)

    def _sources(self) -> list[bytes]:
        """Get what plays at the person's ear now."""
        size = self.packet_bytes
        parts: list[bytes] = []
        if self.stream is not None:
            packet, own, other = self.stream.play(size)
            if packet and own:
                parts.append(packet)
            if packet and other:
                self._for_peer.append(packet)
        if self.prompts is not None:
            packet = self.prompts.play(size)
            if packet:
                parts.append(packet)
        if self.from_peer is not None:
            packet = self.from_peer.take(size)
            if packet:
                parts.append(packet)
        return parts

    def _keep(self, said: bytes, heard: bytes) -> None:
        if self._keep_audio:
            self.said += said
            self.heard += heard
