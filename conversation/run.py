"""Hold the calls of the suite with one agent or several, and keep what went wrong.

The network, the recogniser and the agent's voice are the simulator's, in this process; an agent is
a process of its own.  The recogniser is a real one; the voice is a real one too, spoken once and
then kept, since how fast a voice is made here says nothing about the agent.

Threads: one for each call that is under way.  Blocks for as long as the calls take.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from bridge.demo.server import AppServer
from bridge.simulator import SimulatedCall, Simulator
from bridge.simulator.audio import resample
from bridge.simulator.offline.voices import AGENT_RATE, Synthesizer
from bridge.simulator.synthesis import SynthesisService
from conversation import sounds
from conversation.calls import AGENT_LEVEL, Heard, Plan, judge
from conversation.judge import Finding, Trace
from telnyx_media.pcm import stereo, wav_header

# Calls at a time; more would load a small machine so much that the load is what is measured.
AT_A_TIME = 2

# Seconds that a call may take.
LONGEST_CALL = 240.0

# Seconds of audio kept before and behind what went wrong.
AROUND = 3.0


@dataclass(frozen=True)
class Outcome:
    """A finding, and where it comes from.

    Attributes:
        agent: whose call it was.
        plan: the call.
        finding: what was found.
    """

    agent: str
    plan: Plan
    finding: Finding


class Voice:
    """The agent's voice at a set level; what was spoken once is kept."""

    sample_rate = AGENT_RATE
    _spoken: dict[str, bytes] = {}  # noqa: RUF012 - shared on purpose: one voice

    def speak(self, text: str, speed: float) -> Iterator[bytes]:
        """Speak it, all at once."""
        if text not in self._spoken:
            pcm = Synthesizer().speak(text).pcm
            level = sounds.active_level(resample(pcm, AGENT_RATE, sounds.RATE))
            gain = 10 ** ((AGENT_LEVEL - level) / 20)
            samples = sounds.samples_of(pcm) * gain
            self._spoken[text] = sounds.pcm_of(samples)
        yield self._spoken[text]


class Line:
    """One agent, ready to be called, as a ``with`` block.

    Attributes:
        name: of the agent.
    """

    def __init__(
        self, name: str, serve: Callable[[Simulator], AbstractContextManager[str]]
    ) -> None:
        """Choose the agent.

        Args:
            name: for the table.
            serve: runs it against a simulator; enters with its webhook URL.
        """
        self.name = name
        self._serve = serve
        self._stack = ExitStack()
        self._simulator: Simulator | None = None

    def __enter__(self) -> Line:
        with ExitStack() as stack:
            simulator = Simulator(synthesis=SynthesisService(make_speaker=Voice))
            stack.enter_context(simulator)
            simulator.webhook_url = stack.enter_context(self._serve(simulator))
            self._simulator = simulator
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def hold(self, plans: Sequence[Plan]) -> list[tuple[Plan, SimulatedCall]]:
        """Hold some calls at the same time, and wait for their end."""
        assert self._simulator is not None
        calls = []
        for plan in plans:
            call = self._simulator.place_call(
                from_=plan.from_number, caller=plan.steps, patience=8.0, **plan.options
            )
            calls.append((plan, call))
        for _, call in calls:
            try:
                call.wait(LONGEST_CALL)
            except TimeoutError:
                call.hang_up()
        return calls


class Ours(AbstractContextManager[str]):
    """The bridge under gunicorn, as it is deployed."""

    def __init__(self, simulator: Simulator, log: Path, variables: Mapping[str, str]) -> None:
        self._server = AppServer("wsgi:app", log)
        self._variables = {
            **simulator.environ,
            "BRIDGE_AGENT": "conversation.agents:answer",
            "BRIDGE_HOME": str(log.parent / "home"),
            **variables,
        }

    def __enter__(self) -> str:
        try:
            self._server.start(self._variables)
        except BaseException:
            self._server.close()
            raise
        return f"{self._server.url}/telnyx/webhook"

    def __exit__(self, *_: object) -> None:
        self._server.close()


def run(
    lines: Sequence[Line], plans: Sequence[Plan], opening: bytes, failures: Path,
    progress: Callable[[str], None],
) -> Iterator[Outcome]:  # fmt: skip
    """Hold every call with every agent, a few at a time, the agents taking turns.

    What was found on a call comes as soon as the call is over.

    Args:
        lines: the agents.
        plans: the calls.
        opening: the first second of what the talking agent says, 8 kHz.
        failures: folder for the audio of what went wrong.
        progress: told how far it is.
    """
    for at in range(0, len(plans), AT_A_TIME):
        batch = plans[at : at + AT_A_TIME]
        load = os.getloadavg()[0]
        progress(f"calls {at + 1} to {at + len(batch)} of {len(plans)} (load {load:.1f})")
        for line in lines:
            for plan, call in line.hold(batch):
                yield from _judge(line.name, plan, call, opening, failures)


def _judge(
    agent: str, plan: Plan, call: SimulatedCall, opening: bytes, failures: Path
) -> list[Outcome]:
    clips = {str(clip.path): clip for clip in plan.clips}
    done = [
        Heard(clips[spoken.text], spoken.started_at, spoken.ended_at or spoken.started_at)
        for spoken in call.speech
        if spoken.started_at is not None
    ]
    trace = Trace(call.heard, call.clears)
    outcomes = []
    for at, finding in judge(plan, trace, done, opening):
        outcomes.append(Outcome(agent, plan, finding))
        if not finding.good:
            _keep(failures / agent, plan, finding, call, at)
    return outcomes


def _keep(folder: Path, plan: Plan, finding: Finding, call: SimulatedCall, at: float) -> None:
    """Write what went wrong as stereo, the caller left and the agent right."""
    folder.mkdir(parents=True, exist_ok=True)
    first = 2 * round(max(0.0, at - AROUND) * call.sample_rate)
    last = None if finding.kind == "echo" else first + 2 * round(12.0 * call.sample_rate)
    pcm = stereo(call.said[first:last], call.heard[first:last])
    name = f"{plan.name} - {finding.name} - {finding.what}".replace(" ", "_").replace(",", "")
    (folder / f"{name}.wav").write_bytes(wav_header(call.sample_rate, 2, len(pcm)) + pcm)
