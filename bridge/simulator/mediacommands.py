"""The commands that make or take sound: streams, prompts, digits and recordings.

Telnyx: call-commands reference pages of each.

Threads: commands run with the carrier's lock held; ``sim-prompt`` makes or fetches the audio of one
prompt without it and hands it over.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable
from typing import Any

import requests

from bridge.errors import BridgeError
from bridge.simulator.apierrors import ApiError
from bridge.simulator.audio import AudioError, read_audio, resample
from bridge.simulator.carrier import Carrier
from bridge.simulator.fields import Fields
from bridge.simulator.gather import Gather
from bridge.simulator.leg import Leg
from bridge.simulator.prompts import Prompt
from bridge.simulator.recordings import Recording
from bridge.simulator.speakers import MakeSpeaker
from bridge.simulator.stream import MediaStream, StreamOptions
from bridge.simulator.webhooks import timestamp
from telnyx_media.errors import UnsupportedCodec

# Characters of one speak command; the pages contradict each other, and this is the stricter.
SPEAK_LIMIT = 3000
# Seconds in which a prompt's file has to be there.
DOWNLOAD_TIMEOUT = 10.0


class MediaCommands:
    """The actions about sound."""

    def __init__(self, carrier: Carrier, make_speaker: MakeSpeaker) -> None:
        """Make the actions.

        Args:
            carrier: the network.
            make_speaker: makes the voice of ``speak``.
        """
        self._carrier = carrier
        self._make_speaker = make_speaker

    def actions(self) -> dict[str, Callable[[Leg, Fields], dict[str, Any] | None]]:
        """Get the actions by name."""
        return {
            "streaming_start": self._streaming_start,
            "streaming_stop": self._streaming_stop,
            "speak": self._speak,
            "playback_start": self._playback_start,
            "playback_stop": self._playback_stop,
            "gather": self._gather,
            "gather_using_speak": self._gather_using_speak,
            "gather_using_audio": self._gather_using_audio,
            "gather_stop": self._gather_stop,
            "send_dtmf": self._send_dtmf,
            "record_start": self._record_start,
            "record_stop": self._record_stop,
            "record_pause": self._record_pause,
            "record_resume": self._record_resume,
        }

    # Streams.

    def begin_stream(self, leg: Leg, options: StreamOptions) -> MediaStream:
        """Begin a stream on an answered leg."""
        try:
            return self._carrier.begin_stream(leg, options)
        except UnsupportedCodec as error:
            raise ApiError("90046", str(error)) from None

    def _streaming_start(self, leg: Leg, fields: Fields) -> None:
        self.begin_stream(leg, fields.stream())

    def _streaming_stop(self, leg: Leg, fields: Fields) -> None:
        wanted = fields.text("stream_id")
        if leg.stream is None or (wanted and wanted != leg.stream.stream_id):
            raise ApiError("90048", "There is no media stream to stop on this call.")
        self._carrier.end_stream(leg)

    # Prompts.

    def _speak(self, leg: Leg, fields: Fields) -> None:
        text = str(fields.require("payload"))
        fields.require("voice")
        if len(text) > SPEAK_LIMIT:
            raise ApiError(
                "90010", f"The payload is limited to {SPEAK_LIMIT} characters.", pointer="/payload"
            )
        self._stop_first(leg, fields, "speak")
        prompt = Prompt("speak", loops=_loops(fields))
        self._begin_prompt(leg, prompt, lambda: self._spoken(text, fields, leg))

    def _spoken(self, text: str, fields: Fields, leg: Leg) -> bytes:
        if fields.choice("payload_type", ("text", "ssml"), "text") == "ssml":
            text = re.sub(r"<[^>]*>", " ", text)
        speaker = self._make_speaker()
        pcm = b"".join(speaker.speak(text, 1.0)) if text.strip() else b""
        return resample(pcm, speaker.sample_rate, leg.rate)

    def _playback_start(self, leg: Leg, fields: Fields) -> None:
        self._stop_first(leg, fields, "playback")
        url, name = fields.text("audio_url"), fields.text("media_name")
        content = fields.text("playback_content")
        shown = {"media_url": url} if url else {"media_name": name} if name else {}
        if not (url or name or content):
            raise ApiError(
                "10004", "One of audio_url, media_name and playback_content is required."
            )
        prompt = Prompt(
            "playback",
            {**shown, "overlay": bool(fields.body.get("overlay"))},
            loops=_loops(fields),
            overlay=bool(fields.body.get("overlay")),
        )
        self._begin_prompt(leg, prompt, lambda: self._clip(url, name, content, leg.rate))

    def _clip(self, url: str, name: str, content: str, rate: int) -> bytes:
        if content:
            try:
                return read_audio(base64.b64decode(content, validate=True), rate)
            except binascii.Error:
                raise AudioError("playback_content is not base64") from None
        if name:
            raise FileNotFoundError(name)
        with requests.Session() as http:
            http.trust_env = False
            response = http.get(url, timeout=DOWNLOAD_TIMEOUT)
        if response.status_code == 404:
            raise FileNotFoundError(url)
        if response.status_code >= 400:
            raise AudioError(f"HTTP {response.status_code}")
        return read_audio(response.content, rate)

    def _stop_first(self, leg: Leg, fields: Fields, kind: str) -> None:
        stop = fields.choice("stop", ("current", "all"), None)
        if stop is not None and leg.prompts is not None:
            leg.prompts.stop(kind=kind, everything=stop == "all")

    def _begin_prompt(self, leg: Leg, prompt: Prompt, load: Callable[[], bytes]) -> None:
        if leg.prompts is not None:
            leg.prompts.add(prompt)
            self._carrier.group.spawn("sim-prompt", self._load, leg, prompt, load)

    def _load(self, leg: Leg, prompt: Prompt, load: Callable[[], bytes]) -> None:
        """Get a prompt's audio; runs on a thread of its own."""
        pcm, status, detail = b"", "", ""
        try:
            pcm = load()
        except FileNotFoundError:
            status, detail = "file_not_found", "the file does not exist"
        except (AudioError, BridgeError, requests.RequestException) as error:
            status, detail = "failed", type(error).__name__
        with self._carrier.lock:
            if leg.prompts is None:
                return
            if status:
                leg.prompts.fail(prompt, status, detail)
            else:
                leg.prompts.loaded(prompt, pcm)

    def _playback_stop(self, leg: Leg, fields: Fields) -> None:
        everything = fields.choice("stop", ("current", "all"), "all") == "all"
        if leg.prompts is not None:
            overlay = bool(fields.body.get("overlay"))
            leg.prompts.stop(kind="playback", everything=everything, overlay=overlay)
            if not overlay:
                leg.prompts.stop(kind="speak", everything=everything)

    # Digits.

    def _gather(self, leg: Leg, fields: Fields) -> None:
        leg.gather = _make_gather(fields)
        self._carrier.begin_gather(leg)

    def _gather_using_speak(self, leg: Leg, fields: Fields) -> None:
        self._gather(leg, fields)
        self._speak(leg, fields)

    def _gather_using_audio(self, leg: Leg, fields: Fields) -> None:
        self._gather(leg, fields)
        self._playback_start(leg, fields)

    def _gather_stop(self, leg: Leg, fields: Fields) -> None:
        if leg.gather is None:
            raise ApiError("10015", "No gather is active on this call.")
        self._carrier.end_gather(leg, "cancelled")

    def _send_dtmf(self, leg: Leg, fields: Fields) -> None:
        digits = str(fields.require("digits"))
        fields.number("duration_millis", 100, 500, 250)
        if not set(digits) <= set("0123456789ABCD*#wW"):
            raise ApiError("10032", "The digits may be 0-9, A-D, *, #, w and W.", pointer="/digits")
        leg.keys_heard += "".join(d for d in digits if d not in "wW")

    # Recordings.

    def recording_from_answer(self, leg: Leg, fields: Fields) -> Recording | None:
        """Make the recording that ``answer`` or ``dial`` asked for; it begins at the answer."""
        if fields.choice("record", ("record-from-answer",), None) is None:
            return None
        return self._make_recording(leg, fields, prefix="record_")

    def begin_recording(self, leg: Leg, recording: Recording) -> None:
        """Begin a recording now."""
        recording.started_at = timestamp()
        leg.recordings.append(recording)

    def _make_recording(self, leg: Leg, fields: Fields, *, prefix: str = "") -> Recording:
        """Make a recording from a command's fields, which ``answer`` and ``dial`` prefix."""
        track = "record_track" if prefix else "recording_track"
        return Recording(
            channels=fields.choice(f"{prefix}channels", ("single", "dual"), "dual"),
            format=fields.choice(f"{prefix}format", ("wav", "mp3"), "mp3"),
            track=fields.choice(track, ("both", "inbound", "outbound"), "both"),
            rate=leg.rate,
            max_length=fields.number(f"{prefix}max_length", 0, 43200, 0),
        )

    def _record_start(self, leg: Leg, fields: Fields) -> None:
        fields.require("format")
        fields.require("channels")
        self.begin_recording(leg, self._make_recording(leg, fields))

    def _active(self, leg: Leg, fields: Fields) -> list[Recording]:
        wanted = fields.text("recording_id")
        found = [r for r in leg.recordings if r.active and (not wanted or r.recording_id == wanted)]
        if not found:
            raise ApiError("10015", "No recording is active on this call.")
        return found

    def _record_stop(self, leg: Leg, fields: Fields) -> None:
        for recording in self._active(leg, fields):
            self._carrier.save_recording(leg, recording)

    def _record_pause(self, leg: Leg, fields: Fields) -> None:
        for recording in self._active(leg, fields):
            recording.paused = True

    def _record_resume(self, leg: Leg, fields: Fields) -> None:
        for recording in self._active(leg, fields):
            recording.paused = False


def _loops(fields: Fields) -> int | None:
    value = fields.body.get("loop")
    if value is None:
        return 1
    if value == "infinity":
        return None
    return int(fields.number("loop", 1, 100, 1))


def _make_gather(fields: Fields) -> Gather:
    def seconds(name: str, default: float) -> float:
        return fields.number(name, 0, 600_000, default * 1000) / 1000

    initial = "initial_timeout_millis"
    return Gather(
        minimum=int(fields.number("minimum_digits", 1, 128, 1)),
        maximum=int(fields.number("maximum_digits", 1, 128, 128)),
        timeout=seconds("timeout_millis", 60.0),
        inter_digit=seconds("inter_digit_timeout_millis", 5.0),
        initial=seconds(initial, 5.0) if initial in fields else None,
        terminator=fields.text("terminating_digit", "#"),
        valid=fields.text("valid_digits", "0123456789#*"),
        gather_id=fields.text("gather_id") or None,
        begun_at=time.monotonic(),
    )
