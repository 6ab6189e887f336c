"""Hold more and more calls with the app, and measure each step from the callers' side.

Threads: the simulator's; the caller's own thread places the calls and waits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Literal

from bridge.demo.server import AppServer
from bridge.errors import BridgeError
from bridge.loadtest.figures import (
    CallSeen,
    Measured,
    count_gaps,
    percentile,
    reply_times,
    threads_for,
)
from bridge.loadtest.usage import Usage, usage
from bridge.loadtest.voice import voice
from bridge.simulator import SimulatedCall, Simulator
from bridge.simulator.listeners import BurstListener
from bridge.simulator.speakers import ToneSpeaker
from bridge.simulator.synthesis import SynthesisService
from bridge.simulator.transcription import TranscriptionService
from telnyx_media.pcm import write_wav
from telnyx_media.sync.threads import Deadline

Speech = Literal["scripted", "offline"]

# Seconds between two new calls.
SPACING = 0.1
# Seconds for which a step is held before it is measured: greetings are over by then.
SETTLE = 3.0
# Seconds in which a call has to be answered.
ANSWER = 15.0
# What a caller says, in seconds of voice, and in words where speech is real.
SAID = 1.2
WORDS = "I would like to book a table for two, please."
# Seconds that a caller waits for a greeting.
PATIENCE = 4.0
# How often a step is measured before it counts as bad: a busy moment of the machine is no limit.
ATTEMPTS = 2
# Seconds between two looks at one's own punctuality, and at whether calls have ended.
LOOK = 0.02
KEEP = 0.1


class Load:
    """Calls from the simulator to an app, as many at once as asked for.

    Made by :func:`running_app`.
    """

    def __init__(self, telnyx: Simulator, app: AppServer, codec: str, step: Mapping[str, str]):
        """Begin without a call; see :func:`running_app`."""
        self._telnyx = telnyx
        self._app = app
        self._codec = codec
        self._step = step
        self._live: list[SimulatedCall] = []
        self._over: list[SimulatedCall] = []
        self._failed = 0
        self._lateness: list[float] = []
        self._probe(time.monotonic())

    def _probe(self, due: float) -> None:
        """Note on the simulator's own clock how late it is, again and again."""
        now = time.monotonic()
        self._lateness.append(max(0.0, now - due))
        again = max(due + LOOK, now)
        self._telnyx.carrier.clock.at(again, lambda: self._probe(again))

    def measure(self, calls: int, seconds: float, left: float) -> Measured:
        """Hold so many calls for so many seconds; blocks until then.

        Args:
            calls: how many at once.
            seconds: how long they are measured, once they are there.
            left: seconds for which the test as a whole will last, at most.
        """
        self._failed = 0
        self._fill(calls, left)
        self._keep(calls, SETTLE, left)
        self._over.clear()
        self._lateness.clear()
        before, began, own = self._usage(), time.monotonic(), time.process_time()
        self._keep(calls, seconds, left)
        end = time.monotonic()
        after, own = self._usage(), time.process_time() - own
        seen = [see(call) for call in (*self._live, *self._over)]
        waits = [reply_times(call, began, end) for call in seen]
        length = end - began
        return Measured(
            calls=calls,
            replies=[wait for replies, _ in waits for wait in replies],
            unanswered=sum(missing for _, missing in waits),
            gaps=sum(count_gaps(call, began, end) for call in seen),
            failed=self._failed,
            cpu=None if before is None or after is None else (after.cpu - before.cpu) / length,
            memory=None if after is None else after.memory,
            lateness=percentile(self._lateness, 99) or 0.0,
            own_cpu=own / length,
        )

    def _usage(self) -> Usage | None:
        return None if self._app.pid is None else usage(self._app.pid)

    def _fill(self, calls: int, left: float) -> None:
        """Place calls until there are enough, and wait until they are answered."""
        while len(self._live) < calls:
            self._live.append(self._place(left))
            time.sleep(SPACING)
        deadline = Deadline(ANSWER)
        for call in list(self._live):
            try:
                call.wait_for(lambda c: c.state != "ringing", deadline.remaining() or 0.0)
            except TimeoutError:
                self._failed += 1
                call.hang_up()

    def _place(self, left: float) -> SimulatedCall:
        # As many things to say as fit into the time.
        turns = max(1, round(left / SAID))
        return self._telnyx.place_call(
            codec=self._codec, caller=[self._step] * turns, patience=PATIENCE
        )

    def _keep(self, calls: int, seconds: float, left: float) -> None:
        """Let time pass; who hung up is replaced by the next caller."""
        deadline = Deadline(seconds)
        while not deadline.expired:
            time.sleep(min(KEEP, deadline.remaining() or 0.0))
            for call in [call for call in self._live if call.ended]:
                self._live.remove(call)
                self._over.append(call)
                if call.answered_at is None or call.hangup_cause not in ("", "normal_clearing"):
                    self._failed += 1
            while len(self._live) < calls:
                self._live.append(self._place(left))

    def hang_up(self) -> None:
        """End every call, and wait for it."""
        for call in self._live:
            call.hang_up()
        for call in self._live:
            call.wait(PATIENCE)


def see(call: SimulatedCall) -> CallSeen:
    """Get what was seen of a call, on the monotonic clock."""
    zero = call.begun_at
    speaking = call.speech[-1:] if not call.script_done else []
    ends = [
        zero + spoken.ended_at
        for spoken in call.speech
        if spoken.ended_at is not None
        # What is being said right now has not ended.
        and not (spoken in speaking and time.monotonic() - zero - spoken.ended_at < KEEP)
    ]
    return CallSeen(
        speech_ends=ends,
        media=[(zero + at, length) for at, length in call.media],
        marks=[zero + mark.received_at for mark in call.marks],
    )


@contextmanager
def running_app(
    agent: str,
    calls: int,
    *,
    speech: Speech = "scripted",
    codec: str = "PCMU",
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Load]:
    """Run the app in a process of its own, with Telnyx simulated in this one.

    Args:
        agent: ``module:callable``.
        calls: the most that will be held at once.
        speech: ``scripted`` for services that answer at once and cost next to nothing, ``offline``
            for the embedded recogniser and voice, which compute in this process.
        codec: of the legs.
        variables: further settings of the app.

    Raises:
        BridgeError: the app did not start.
    """
    with TemporaryDirectory(prefix="bridge-loadtest-") as name:
        folder = Path(name)
        recording = folder / "caller.wav"
        write_wav(str(recording), voice(SAID), 8000)
        step = {"play": str(recording)} if speech == "scripted" else {"say": WORDS}
        with (
            AppServer("bridge.app:load_app()", folder / "app.log") as app,
            _simulator(speech) as telnyx,
        ):
            telnyx.webhook_url = f"{app.url}/telnyx/webhook"
            app.start({
                "LOG_LEVEL": "warning",
                **variables,
                "BRIDGE_AGENT": agent,
                "BRIDGE_CODEC": codec,
                "BRIDGE_HOME": str(folder / "home"),
                "BRIDGE_MAX_CALLS": str(calls),
                "BRIDGE_THREADS": str(max(64, threads_for(calls + 1))),
                # The agent may be a file of the current directory.
                "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), os.getenv("PYTHONPATH")])),
                **telnyx.environ,
            })  # fmt: skip
            load = Load(telnyx, app, codec, step)
            try:
                yield load
            finally:
                load.hang_up()


def _simulator(speech: Speech) -> Simulator:
    if speech == "offline":
        return Simulator()
    return Simulator(
        transcription=TranscriptionService(listen=BurstListener),
        synthesis=SynthesisService(make_speaker=ToneSpeaker),
    )


def run(
    load: Load, steps: Sequence[int], seconds: float, on_step: Callable[[Measured], object]
) -> list[Measured]:
    """Measure step after step; blocks for a few seconds more than ``seconds`` each.

    Args:
        load: the running app.
        steps: calls at once, growing.
        seconds: how long each step is measured.
        on_step: told of each as it is done; after a false answer the step is measured once more,
            and after a second one the test ends there.

    Raises:
        BridgeError: no step was measured.
    """
    measured: list[Measured] = []
    lasts = sum(ATTEMPTS * (seconds + SETTLE) + SPACING * calls + ANSWER for calls in steps)
    for calls in steps:
        for _ in range(ATTEMPTS):
            measured.append(load.measure(calls, seconds, lasts))
            if on_step(measured[-1]):
                break
        else:
            break
    if not measured:
        raise BridgeError("nothing was measured")
    return measured
