"""What a simulated person says and does, and when.

A script is a list of steps, each a mapping with one action and perhaps a ``when``:

    {"say": "text"}         speak it with the caller's voice
    {"play": "file.wav"}    play a recording
    {"dtmf": "12#"}         press keys; ``w`` waits half a second
    {"wait": 1.5}           do nothing for so many seconds
    {"hangup": true}        hang up

``when`` says what the step waits for after the step before it is done:

    "agent_stops"           the agent has spoken since this person last did something, and has been
                            silent for ``pause`` seconds; given up after ``patience`` seconds
    "now"                   nothing
    2.5                     so many seconds
    {"agent_speaking": 1.2} the agent has been speaking for so long: this is how to barge in

The default is ``agent_stops``, but ``now`` for ``wait`` and for what follows a ``wait``.

Pure: the person is asked for a packet every 20 ms and told what it heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.simulator.line import PTIME, is_sound

# Seconds between two keys: 100 ms of tone and a gap, as a phone dials.
KEY_SECONDS = 0.16

# A pause inside the agent's speech (sent as silence, not as nothing) has to be this much longer to
# count as its end: a full stop takes a synthesiser up to half a second.
SENT_SILENCE_FACTOR = 3.0

ACTIONS = ("say", "play", "dtmf", "wait", "hangup")


class ScriptError(ValueError):
    """A step that makes no sense; the message says which and why."""


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Attributes:
        action: ``say``, ``play``, ``dtmf``, ``wait`` or ``hangup``.
        text: what is said, the file that is played, or the keys.
        seconds: how long to wait.
        when: ``agent_stops``, ``now``, ``after`` or ``agent_speaking``.
        when_seconds: the number that belongs to the last two.
    """

    action: str
    text: str = ""
    seconds: float = 0.0
    when: str = "agent_stops"
    when_seconds: float = 0.0


def parse_script(steps: Sequence[Mapping[str, Any]], *, speaks_first: bool = False) -> list[Step]:
    """Check a script and put in its defaults.

    Args:
        steps: the script.
        speaks_first: whether the first step waits for nothing unless it says so: who is called
            says hello, who calls waits for that.

    Raises:
        ScriptError: a step is wrong.
    """
    parsed: list[Step] = []
    for number, step in enumerate(steps, 1):
        at_once = parsed[-1].action == "wait" if parsed else speaks_first
        default = "now" if at_once else "agent_stops"
        try:
            parsed.append(_parse_step(step, default))
        except ScriptError as error:
            raise ScriptError(f"step {number}: {error}") from None
    return parsed


def _parse_step(step: object, default: str) -> Step:
    if not isinstance(step, Mapping):
        raise ScriptError("not an object")
    actions = [name for name in step if name != "when"]
    if len(actions) != 1 or actions[0] not in ACTIONS:
        raise ScriptError(f"needs exactly one of {', '.join(ACTIONS)}")
    action, value = actions[0], step[actions[0]]
    if action == "wait":
        default = "now"
    when, when_seconds = _parse_when(step.get("when", default))
    if action == "wait":
        return Step(action, seconds=_number(value, "wait"), when=when, when_seconds=when_seconds)
    if action == "hangup":
        if value is not True:
            raise ScriptError('"hangup" takes true')
        return Step(action, when=when, when_seconds=when_seconds)
    if not isinstance(value, str) or not value.strip():
        raise ScriptError(f'"{action}" takes a text')
    if action == "dtmf" and not set(value.upper()) <= set("0123456789*#ABCDWw"):
        raise ScriptError('"dtmf" takes 0-9, *, #, A-D and w')
    return Step(action, text=value, when=when, when_seconds=when_seconds)


def _parse_when(value: object) -> tuple[str, float]:
    if value in ("agent_stops", "now"):
        return str(value), 0.0
    if isinstance(value, Mapping) and set(value) == {"agent_speaking"}:
        return "agent_speaking", _number(value["agent_speaking"], "agent_speaking")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "after", _number(value, "when")
    raise ScriptError('"when" is "agent_stops", "now", seconds or {"agent_speaking": seconds}')


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise ScriptError(f'"{name}" takes seconds')
    return float(value)


@dataclass
class Spoken:
    """A stretch of the person's speech, in seconds from the begin of the leg's time line.

    Attributes:
        step: its number in the script from 0, or -1 for speech on demand.
        text: what was said, or the file.
        started_at: of the first packet with sound.
        ended_at: of the end of the last packet with sound; grows while it is spoken.
    """

    step: int
    text: str
    started_at: float | None = None
    ended_at: float | None = None


class Listener:
    """What a person makes of what it hears: when the agent began and when it stopped."""

    def __init__(self, pause: float) -> None:
        """Begin to listen.

        Args:
            pause: seconds of silence that end the agent's speech.
        """
        self.pause = pause
        self.spoke = False
        self._speaking_since: float | None = None
        self._last_sound = 0.0
        self._last_audio = 0.0

    def hear(self, now: float, heard: bytes, playing: bool) -> None:
        """Take one packet of what is heard.

        Args:
            now: seconds.
            heard: the packet.
            playing: whether the agent sent it, even if it is silence.
        """
        if playing:
            self._last_audio = now
        if is_sound(heard):
            if self._speaking_since is None or now - self._last_sound > self.pause:
                self._speaking_since = now
            self._last_sound = now
            self.spoke = True

    def forget(self) -> None:
        """Begin anew: what the agent said so far was answered."""
        self.spoke = False

    def has_stopped(self, now: float) -> bool:
        """Whether the agent has spoken and is done."""
        if not self.spoke:
            return False
        quiet = now - self._last_sound
        if now - self._last_audio >= self.pause:
            return quiet >= self.pause
        return quiet >= self.pause * SENT_SILENCE_FACTOR

    def speaking_for(self, now: float) -> float:
        """Get the seconds for which the agent has been speaking, 0 when it is silent."""
        if self._speaking_since is None or now - self._last_sound > self.pause:
            return 0.0
        return now - self._speaking_since


@dataclass
class Person:
    """Plays a script, packet by packet.

    Attributes:
        steps: what to do.
        clips: PCM for each ``say`` and ``play`` step, by its number.
        packet_bytes: bytes of 20 ms.
        press: called with each key, as it is pressed.
        hang_up: called once when the script hangs up.
        pause: seconds of the agent's silence that mean it has finished.
        patience: seconds after which a person that waits for the agent gives up waiting.
        spoken: every stretch of speech so far.
        script_done: whether every step is done.
    """

    steps: Sequence[Step]
    clips: Mapping[int, bytes]
    packet_bytes: int
    press: Callable[[str], None]
    hang_up: Callable[[], None]
    pause: float = 0.3
    patience: float = 20.0
    spoken: list[Spoken] = field(default_factory=list)
    script_done: bool = False

    def __post_init__(self) -> None:
        self._listener = Listener(self.pause)
        self._now = 0.0
        self._play = self._run()
        self._extra: list[tuple[str, bytes]] = []
        self._extra_play: Iterator[bytes] | None = None
        self._silence = bytes(self.packet_bytes)

    def tick(self, now: float, heard: bytes, playing: bool) -> bytes:
        """Hear one packet and say one.

        Args:
            now: seconds on the leg's time line.
            heard: the packet that reached the ear.
            playing: whether somebody played it, even if it is silence.
        """
        self._now = now
        self._listener.hear(now, heard, playing)
        packet = next(self._play, None)
        if packet is None:
            self.script_done = True
            packet = b""
        if not packet and self._extra_play is None and self._extra:
            self._extra_play = self._speak(-1, *self._extra.pop(0))
        if not packet and self._extra_play is not None:
            packet = next(self._extra_play, b"")
            if not packet:
                self._extra_play = None
        return packet or self._silence

    def add(self, text: str, pcm: bytes) -> None:
        """Say something that is not in the script as soon as the script is silent."""
        self._extra.append((text, pcm))

    # The script, as a generator that yields a packet, or nothing for silence, every 20 ms.

    def _run(self) -> Iterator[bytes]:
        for number, step in enumerate(self.steps):
            yield from self._wait_for(step)
            if step.action in ("say", "play"):
                yield from self._speak(number, step.text, self.clips[number])
                self._listener.forget()
            elif step.action == "dtmf":
                yield from self._press(step.text)
                self._listener.forget()
            elif step.action == "wait":
                yield from self._pass(step.seconds)
            else:
                self.hang_up()
                return

    def _wait_for(self, step: Step) -> Iterator[bytes]:
        if step.when == "now":
            return
        since = self._now
        limit = step.when_seconds if step.when == "after" else self.patience
        while self._now - since < limit - PTIME / 2:
            if step.when == "agent_stops" and self._listener.has_stopped(self._now):
                return
            if step.when == "agent_speaking":
                speaking = self._listener.speaking_for(self._now)
                if speaking and speaking >= step.when_seconds:
                    return
            yield b""

    def _speak(self, number: int, text: str, pcm: bytes) -> Iterator[bytes]:
        spoken = Spoken(number, text)
        self.spoken.append(spoken)
        size = self.packet_bytes
        for at in range(0, len(pcm), size):
            packet = pcm[at : at + size].ljust(size, b"\0")
            if is_sound(packet):
                if spoken.started_at is None:
                    spoken.started_at = self._now
                spoken.ended_at = self._now + PTIME
            yield packet

    def _press(self, keys: str) -> Iterator[bytes]:
        for key in keys:
            if key in "wW":
                yield from self._pass(0.5 if key == "w" else 1.0)
            else:
                self.press(key)
                yield from self._pass(KEY_SECONDS)

    def _pass(self, seconds: float) -> Iterator[bytes]:
        for _ in range(round(seconds / PTIME)):
            yield b""
