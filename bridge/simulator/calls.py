"""One simulated call, as a test or a demo sees it.

Threads: any thread may ask; the methods that wait say so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from bridge.simulator.audio import read_audio
from bridge.simulator.carrier import Carrier
from bridge.simulator.leg import Leg
from bridge.simulator.script import Spoken
from bridge.simulator.stream import MarkSeen, MediaStream
from telnyx_media.pcm import stereo, wav_header

Side = Literal["said", "heard", "both"]


class SimulatedCall:
    """A call that the simulator placed, or a leg that the application dialled.

    All times are seconds on one time line, whose zero is the moment the call began to ring; the
    audio has the same zero, so a time is also a position in it.
    """

    def __init__(self, carrier: Carrier, leg: Leg, speak: Callable[[str, int], bytes]) -> None:
        """Watch a leg; :meth:`Simulator.place_call` makes these."""
        self._carrier = carrier
        self._leg = leg
        self._speak = speak

    # Who.

    @property
    def id(self) -> str:
        """The id under ``/simulator/calls``, which is the ``call_leg_id``."""
        return self._leg.call_leg_id

    @property
    def call_control_id(self) -> str:
        """The address for commands to the leg."""
        return self._leg.call_control_id

    @property
    def call_session_id(self) -> str:
        """What the legs that belong together have in common."""
        return self._leg.call_session_id

    @property
    def direction(self) -> str:
        """``incoming`` for a call to the application, ``outgoing`` for one that it dialled."""
        return self._leg.direction

    @property
    def from_number(self) -> str:
        """Who calls."""
        return self._leg.from_number

    @property
    def to_number(self) -> str:
        """Who is called."""
        return self._leg.to_number

    # How it stands.

    @property
    def state(self) -> str:
        """``ringing``, ``answered`` or ``ended``."""
        return self._leg.state

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self._leg.ended

    @property
    def begun_at(self) -> float:
        """The zero of the time line on the monotonic clock."""
        return self._leg.begun_at

    @property
    def answered_at(self) -> float | None:
        """When it was answered, seconds on the time line."""
        at = self._leg.answered_at
        return None if at is None else self._leg.at(at)

    @property
    def ended_at(self) -> float | None:
        """When it ended, seconds on the time line."""
        at = self._leg.ended_at
        return None if at is None else self._leg.at(at)

    @property
    def hangup_cause(self) -> str:
        """Why it ended, in Telnyx's words; ``""`` while it lasts."""
        return self._leg.hangup_cause

    @property
    def hangup_source(self) -> str:
        """Who ended it: ``caller``, ``callee`` or ``unknown``."""
        return self._leg.hangup_source

    @property
    def bridged_to(self) -> str | None:
        """The ``call_control_id`` of the leg it is bridged to."""
        peer = self._leg.peer
        return None if peer is None else peer.call_control_id

    @property
    def keys_heard(self) -> str:
        """Keys that ``send_dtmf`` or the other leg sent to this person."""
        return self._leg.keys_heard

    # What was seen.

    @property
    def frames(self) -> dict[str, dict[str, int]]:
        """How many media-stream frames of each kind were ``sent`` to and ``received`` from it."""
        with self._carrier.lock:
            totals: dict[str, dict[str, int]] = {"sent": {}, "received": {}}
            for stream in self._leg.streams:
                for side, counts in (("sent", stream.sent), ("received", stream.received)):
                    for kind, count in counts.items():
                        totals[side][kind] = totals[side].get(kind, 0) + count
            return totals

    @property
    def media(self) -> list[tuple[float, float]]:
        """For each media frame from the client: when it came, and seconds of audio in it."""
        with self._carrier.lock:
            return [entry for stream in self._leg.streams for entry in stream.media]

    @property
    def marks(self) -> list[MarkSeen]:
        """Every mark from the client, with when it came, went back, and whether it was cleared."""
        with self._carrier.lock:
            return [mark for stream in self._leg.streams for mark in stream.marks]

    @property
    def clears(self) -> list[float]:
        """When each ``clear`` came."""
        return [event["at"] for event in self.timeline if event["what"] == "clear"]

    @property
    def errors(self) -> list[int]:
        """Code of every ``error`` frame sent to the client."""
        with self._carrier.lock:
            return [code for stream in self._leg.streams for code in stream.errors]

    @property
    def commands(self) -> list[dict[str, Any]]:
        """Every REST command for this leg: ``at``, ``name``, ``status``, ``code`` if refused."""
        return [event for event in self.timeline if event["what"] == "command"]

    @property
    def webhooks(self) -> list[dict[str, Any]]:
        """Every webhook of this leg: ``at``, ``id``, ``event_type``, ``payload``, ``attempts``."""
        with self._carrier.lock:
            key = self._leg.call_control_id
            return [
                {
                    "at": self._leg.at(webhook.emitted_at),
                    "id": webhook.event["id"],
                    "event_type": webhook.event_type,
                    "payload": webhook.event["payload"],
                    "delivered": webhook.delivered,
                    "given_up": webhook.given_up,
                    "attempts": [
                        {"at": self._leg.at(attempt.at), "status": attempt.status}
                        for attempt in webhook.attempts
                    ],
                }
                for webhook in self._carrier.webhooks.of(key)
            ]

    @property
    def speech(self) -> list[Spoken]:
        """Every stretch of the person's speech, with when its sound began and ended."""
        with self._carrier.lock:
            person = self._leg.person
            return list(person.spoken) if person is not None else []

    @property
    def script_done(self) -> bool:
        """Whether the person has done everything in the script."""
        person = self._leg.person
        return person is not None and person.script_done

    @property
    def timeline(self) -> list[dict[str, Any]]:
        """Everything that happened, oldest first: ``at``, ``what``, and what is known of it."""
        with self._carrier.lock:
            return [{"at": e.at, "what": e.what, **e.details} for e in self._leg.events]

    @property
    def streams(self) -> list[MediaStream]:
        """The media streams of the leg, oldest first."""
        with self._carrier.lock:
            return list(self._leg.streams)

    # Audio.

    @property
    def sample_rate(self) -> int:
        """Hertz of :attr:`said` and :attr:`heard`."""
        return self._leg.rate

    @property
    def said(self) -> bytes:
        """What the person said, PCM16 mono, from the begin of the time line."""
        with self._carrier.lock:
            return bytes(self._leg.said)

    @property
    def heard(self) -> bytes:
        """What the person heard, PCM16 mono, from the begin of the time line."""
        with self._carrier.lock:
            return bytes(self._leg.heard)

    def wav(self, side: Side = "both") -> bytes:
        """Get the audio as a WAV file.

        Args:
            side: ``said``, ``heard``, or ``both`` with the person left and what it heard right.
        """
        if side == "both":
            pcm = stereo(self.said, self.heard)
            return wav_header(self.sample_rate, 2, len(pcm)) + pcm
        pcm = self.said if side == "said" else self.heard
        return wav_header(self.sample_rate, 1, len(pcm)) + pcm

    def write_wav(self, path: str | os.PathLike[str], side: Side = "both") -> None:
        """Write the audio as a WAV file; see :meth:`wav`."""
        Path(path).write_bytes(self.wav(side))

    # Waiting.

    def wait(self, timeout: float = 120.0) -> None:
        """Wait until the call has ended.

        Raises:
            TimeoutError: it has not within ``timeout`` seconds.
        """
        self.wait_for(lambda call: call.ended, timeout)

    def wait_for(
        self, condition: Callable[[SimulatedCall], object], timeout: float = 120.0
    ) -> None:
        """Wait until a condition on this call holds.

        It is asked after everything that happens, and after each packet of audio.

        Raises:
            TimeoutError: it does not within ``timeout`` seconds.
        """
        if not self._carrier.wait_for(lambda: condition(self), timeout):
            raise TimeoutError(f"the call is still {self.state} after {timeout:g} s")

    # What the person does beyond the script.

    def hang_up(self) -> None:
        """Let the person hang up, now."""
        with self._carrier.lock:
            self._carrier.hung_up(self._leg)

    def press(self, keys: str) -> None:
        """Let the person press keys, all at once."""
        with self._carrier.lock:
            for key in keys:
                self._carrier.pressed(self._leg, key)

    def say(self, text: str) -> None:
        """Let the person say something as soon as the script is silent; blocks to synthesise it."""
        self._add(text, self._speak(text, self._leg.rate))

    def play(self, path: str | os.PathLike[str]) -> None:
        """Let the person play a recording as soon as the script is silent.

        Raises:
            AudioError: the file cannot be read.
        """
        self._add(os.fspath(path), read_audio(path, self._leg.rate))

    def play_pcm(self, pcm: bytes) -> None:
        """Let the person play PCM16 mono at :attr:`sample_rate` as soon as the script is silent."""
        self._add("", pcm)

    def _add(self, text: str, pcm: bytes) -> None:
        with self._carrier.lock:
            if self._leg.person is not None:
                self._leg.person.add(text, pcm)

    # What goes wrong.

    def cut_media(self) -> None:
        """Lose the media socket without ``stop`` or close frame; the call goes on."""
        with self._carrier.lock:
            if self._leg.stream is not None:
                self._leg.stream.cut()

    # All of it.

    def report(self) -> dict[str, Any]:
        """Get everything as JSON values, as ``GET /simulator/calls/<id>`` answers."""
        base = f"{self._carrier.public_url}/simulator/calls/{self.id}"
        streams = [
            {
                "stream_id": stream.stream_id,
                "state": stream.state,
                "encoding": stream.encoding,
                "frames_sent": dict(stream.sent),
                "frames_received": dict(stream.received),
                "errors": list(stream.errors),
            }
            for stream in self.streams
        ]
        return {
            "id": self.id,
            "call_control_id": self.call_control_id,
            "call_session_id": self.call_session_id,
            "direction": self.direction,
            "from": self.from_number,
            "to": self.to_number,
            "codec": self._leg.codec,
            "state": self.state,
            "start_time": self._leg.start_time,
            "end_time": self._leg.end_time,
            "seconds": len(self._leg.said) / (2 * self.sample_rate),
            "answered_at": self.answered_at,
            "ended_at": self.ended_at,
            "hangup_cause": self.hangup_cause,
            "hangup_source": self.hangup_source,
            "bridged_to": self.bridged_to,
            "keys_heard": self.keys_heard,
            "frames": self.frames,
            "media": [{"at": at, "seconds": round(length, 4)} for at, length in self.media],
            "marks": [vars(mark) for mark in self.marks],
            "commands": self.commands,
            "webhooks": self.webhooks,
            "speech": [vars(spoken) for spoken in self.speech],
            "script_done": self.script_done,
            "streams": streams,
            "timeline": self.timeline,
            "audio": {side: f"{base}/{side}.wav" for side in ("said", "heard", "both")},
        }
