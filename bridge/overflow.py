"""What a call gets that is one too many: busy, a line, another number, or music to wait by.

Such a call has no worker and holds no thread.  What is to be done with it next is written into its
``client_state``, which Telnyx sends back with each of its events, so that whichever process gets
the event can do it.  A call that waits is entered in the registry, too: its place is in one
process, and another one takes it over if that dies.

Threads: any may call; commands are sent on the caller's, which is one of the webhooks' pool.

Rules of this module:

1. A call that cannot be given what it was to get is hung up, not left in silence.
2. Who waits longest is next.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from bridge.call import CallInfo, Remark
from bridge.callcontrol import CallControl, is_call_ended
from bridge.errors import BridgeError, CommandError
from bridge.events import CallAnswered, CallHangup, Event, Speak
from bridge.settings import Settings
from bridge.sounds import load
from telnyx_media.pcm import wav_header

__all__ = ["Overflow", "Waiting"]

logger = logging.getLogger(__name__)

# Calls that may wait in one process; beyond that they are busy.
LONGEST_QUEUE = 100

# Hertz of the music.
MUSIC_RATE = 8000


@dataclass
class Waiting:
    """A call that waits for room.

    Attributes:
        info: its facts.
        since: when it came, on the monotonic clock.
        answered: whether it hears music already, and may be taken.
        talking: no agent holds it.
        history: nothing was said.
    """

    info: CallInfo
    since: float = field(default_factory=time.monotonic)
    answered: bool = False
    talking: bool = False
    history: tuple[Remark, ...] = ()

    @property
    def age(self) -> float:
        """Seconds since it came."""
        return time.monotonic() - self.since


class Overflow:
    """The calls that are one too many."""

    def __init__(self, settings: Settings, control: CallControl) -> None:
        """Prepare.

        Args:
            settings: ``BRIDGE_OVERFLOW`` says what they get.
            control: sends the commands.
        """
        self._control = control
        self._kind, _, self._argument = settings.overflow.partition(":")
        self._voice = settings.tts_voice
        self._music_url = settings.queue_music
        # Guards what follows.
        self._lock = threading.Lock()
        self._queue: OrderedDict[str, Waiting] = OrderedDict()

    @property
    def queues(self) -> bool:
        """Whether a call may wait, and there is room for one more."""
        return self._kind == "queue" and len(self._queue) < LONGEST_QUEUE

    def refuse(self, info: CallInfo) -> None:
        """Give a call what it gets instead of an agent; blocks while that is asked for."""
        key = info.call_control_id
        try:
            if self._kind in ("say", "transfer"):
                self._control.answer(key, client_state=_state(self._kind))
            else:
                self._control.reject(key, "USER_BUSY")
        except CommandError as error:
            logger.warning("could not refuse a call: %s", error)

    def part(self, key: str, line: str) -> bool:
        """Have a call hear a line and end behind it, whoever is told that it was said.

        Returns:
            Whether Telnyx has taken that on.
        """
        try:
            self._control.speak(key, line, self._voice, client_state=_state("say"))
        except CommandError as error:
            logger.warning("could not say goodbye: %s", error)
            return False
        return True

    def queue(self, info: CallInfo) -> None:
        """Have a call wait, which is in the registry already; blocks while it is answered."""
        key = info.call_control_id
        with self._lock:
            self._queue[key] = Waiting(info)
        try:
            self._control.answer(key)
        except CommandError as error:
            logger.warning("could not have a call wait: %s", error)
            self.remove(key)

    def remove(self, key: str) -> Waiting | None:
        """Take a call out of the queue."""
        with self._lock:
            return self._queue.pop(key, None)

    def next(self) -> Waiting | None:
        """Take out who waits longest of those that can be talked to."""
        with self._lock:
            for key, waiting in self._queue.items():
                if waiting.answered:
                    return self._queue.pop(key)
        return None

    def waiting(self) -> list[Waiting]:
        """Get the calls that wait, the longest first."""
        with self._lock:
            return list(self._queue.values())

    def stop_music(self, waiting: Waiting) -> None:
        """Let a call hear the music no longer."""
        try:
            self._control.playback_stop(waiting.info.call_control_id, stop="all")
        except CommandError as error:
            logger.debug("could not stop the music: %s", error)

    # -- events -----------------------------------------------------------------------------------

    def handle(self, event: Event) -> bool:
        """Act on an event of a call that is one too many; whether it is of one."""
        payload = event.payload
        with self._lock:
            waiting = self._queue.get(event.call_control_id)
        if waiting is not None:
            if isinstance(payload, CallAnswered):
                self._play(waiting)
            return not isinstance(payload, CallHangup)
        kind, _, leg = _read_state(payload.client_state).partition(":")
        if kind not in ("say", "transfer", "target"):
            return False
        key = event.call_control_id
        if isinstance(payload, CallAnswered) and kind != "target":
            self._give(key, kind)
        elif isinstance(payload, Speak) and event.event_type == "call.speak.ended":
            self._hang_up(key)
        elif isinstance(payload, CallHangup) and kind == "target":
            # Nobody answered, or the two have finished: the caller is not left alone.
            self._hang_up(leg)
        return True

    def _give(self, key: str, kind: str) -> None:
        try:
            if kind == "say":
                self._control.speak(key, self._argument, self._voice)
            else:
                target = _state(f"target:{key}")
                self._control.transfer(key, self._argument, target_leg_client_state=target)
        except CommandError as error:
            if not is_call_ended(error):
                logger.warning("could not tell a caller that there is no room: %s", error)
            self._hang_up(key)

    def _play(self, waiting: Waiting) -> None:
        fields: dict[str, object] = {"loop": "infinity"}
        try:
            if self._music_url is not None:
                fields["audio_url"] = self._music_url
            else:
                fields |= {"playback_content": _music(), "audio_type": "wav"}
            self._control.playback_start(waiting.info.call_control_id, **fields)
        except BridgeError as error:
            # In silence, then.
            logger.warning("could not play music to a caller who waits: %s", error)
        with self._lock:
            waiting.answered = True

    def _hang_up(self, key: str) -> None:
        try:
            self._control.hangup(key)
        except CommandError as error:
            logger.warning("could not hang up: %s", error)


def _music() -> str:
    """Make music as the command takes it: base64 of a WAV file."""
    pcm = load("music", MUSIC_RATE)
    file = io.BytesIO()
    file.write(wav_header(MUSIC_RATE, data_bytes=len(pcm)))
    file.write(pcm)
    return base64.b64encode(file.getvalue()).decode()


def _state(what: str) -> str:
    return base64.b64encode(json.dumps({"overflow": what}).encode()).decode()


def _read_state(text: str) -> str:
    try:
        found = json.loads(base64.b64decode(text, validate=True))
    except ValueError:
        return ""
    what = found.get("overflow") if isinstance(found, dict) else None
    return what if isinstance(what, str) else ""
