"""A phone line into the real application, in one process: simulator, web server, bridge.

Everything speaks over real sockets.  What is recognised and synthesised is scripted: the recogniser
answers at once when the caller's sound pauses, the synthesiser turns each character into 60 ms of a
tone.  The agent is a function of the test.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from bridge.app import Bridge, create_app
from bridge.call import Call, CallInfo, Reply
from bridge.decisions import Turn
from bridge.observer import CallObserver, CallSummary, TurnLatency
from bridge.settings import Settings
from bridge.simulator import Behaviour, SimulatedCall, Simulator
from bridge.simulator.listeners import BurstListener, Listening
from bridge.simulator.speakers import ToneSpeaker
from bridge.simulator.synthesis import SynthesisService
from bridge.simulator.transcription import TranscriptionService
from telnyx_media.pcm import read_wav, write_wav
from telnyx_media.sync.threads import ThreadGroup
from tests.loopback import PATIENCE

VOICES = Path(__file__).parents[1] / "data" / "voices"

# Seconds of silence that end a burst of the scripted recogniser: longer than any within SPEECH, and
# shorter than what ends a turn.
PAUSE = 0.35

# Real speech, and where in it three words are; what it "says" is the test's choice.
SPEECH = VOICES / "austen-0880.wav"
WORDS = slice(round(0.18 * 8000) * 2, round(1.07 * 8000) * 2)


class Watcher(CallObserver):
    """Keeps what happened on the calls, and lets a test wait for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.began: list[CallInfo] = []
        self.media: list[CallInfo] = []
        self.turns: list[tuple[Turn, TurnLatency]] = []
        self.replies: list[tuple[Reply, TurnLatency]] = []
        self.barge_ins: list[float] = []
        self.false_alarms = 0
        self.errors: list[BaseException] = []
        self.summaries: list[CallSummary] = []

    def on_begin(self, info: CallInfo) -> None:
        """Keep it."""
        self._note(lambda: self.began.append(info))

    def on_media(self, info: CallInfo) -> None:
        """Keep it."""
        self._note(lambda: self.media.append(info))

    def on_turn(self, info: CallInfo, turn: Turn, latency: TurnLatency) -> None:
        """Keep it."""
        self._note(lambda: self.turns.append((turn, latency)))

    def on_reply(self, info: CallInfo, reply: Reply, latency: TurnLatency) -> None:
        """Keep it."""
        self._note(lambda: self.replies.append((reply, latency)))

    def on_barge_in(self, info: CallInfo, delay: float) -> None:
        """Keep it."""
        self._note(lambda: self.barge_ins.append(delay))

    def on_false_alarm(self, info: CallInfo) -> None:
        """Count it."""
        with self._changed:
            self.false_alarms += 1
            self._changed.notify_all()

    def on_agent_error(self, info: CallInfo, error: BaseException) -> None:
        """Keep it."""
        self._note(lambda: self.errors.append(error))

    def on_end(self, info: CallInfo, summary: CallSummary) -> None:
        """Keep it."""
        self._note(lambda: self.summaries.append(summary))

    def _note(self, keep: Callable[[], None]) -> None:
        with self._changed:
            keep()
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], object], timeout: float = 4 * PATIENCE) -> None:
        """Wait until a condition holds, asked whenever something happened."""
        with self._changed:
            assert self._changed.wait_for(condition, timeout), "it did not happen"

    def summary(self) -> CallSummary:
        """Wait for the end of the only call and get its summary."""
        self.wait_for(lambda: self.summaries)
        assert len(self.summaries) == 1
        return self.summaries[0]


class _Handler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Keep quiet about requests, but not about what went wrong in one."""
        if type == "error":
            raise AssertionError(message % args)


class WebServer:
    """The application under a threaded server; joins every request at its end."""

    def __init__(self) -> None:
        # Set before it is entered; the port has to be known to make the application.
        self.app: Any = None
        self._server: BaseWSGIServer = make_server(
            "127.0.0.1",
            0,
            lambda environ, start: self.app(environ, start),
            threaded=True,
            request_handler=_Handler,
        )
        # Joined by server_close().
        self._server.daemon_threads = False  # type: ignore[attr-defined]
        self._server.block_on_close = True  # type: ignore[attr-defined]
        self._group = ThreadGroup("web")
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> WebServer:
        self._group.spawn("serve", self._server.serve_forever, 0.02)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._group.join()


class Phone:
    """What a test holds: the simulator, the application, and what was seen on the calls."""

    def __init__(
        self, simulator: Simulator, bridge: Bridge, url: str, watcher: Watcher, folder: Path
    ) -> None:
        self.simulator = simulator
        self.bridge = bridge
        self.url = url
        self.seen = watcher
        # A recording of 0.9 s of speech, for the caller to play.
        self.speech = str(folder / "speech.wav")
        pcm, rate = read_wav(SPEECH)
        write_wav(self.speech, pcm[WORDS], rate)

    def call(self, *steps: dict[str, object], **options: Any) -> SimulatedCall:
        """Place a call with a caller who does these steps."""
        return self.simulator.place_call(caller=steps, **options)

    def wait_for_agent_audio(self, call: SimulatedCall, seconds: float = 0.0) -> None:
        """Wait until so much of the agent's audio has arrived at Telnyx."""
        call.wait_for(lambda c: sum(length for _, length in c.media) > seconds, 4 * PATIENCE)


@contextmanager
def phone_line(
    agent: Callable[[Call], object],
    *,
    texts: Sequence[str] = (),
    behaviour: Behaviour | None = None,
    transcription: TranscriptionService | None = None,
    synthesis: SynthesisService | None = None,
    **variables: str,
) -> Iterator[Phone]:
    """Have a phone line whose calls ``agent`` answers.

    Args:
        agent: called once per call.
        texts: what the caller's bursts of sound are recognised as, one after another.
        behaviour: of the simulator.
        transcription: instead of the scripted one.
        synthesis: instead of the scripted one.
        **variables: further environment variables, ``BRIDGE_CODEC="PCMA"``.
    """
    with ExitStack() as stack:
        simulator = stack.enter_context(
            Simulator(
                behaviour=behaviour,
                transcription=transcription
                or TranscriptionService(listen=lambda listening: scripted(listening, texts)),
                synthesis=synthesis or SynthesisService(make_speaker=ToneSpeaker),
                speaker=ToneSpeaker,
            )
        )
        watcher = Watcher()
        server = WebServer()
        folder = stack.enter_context(TemporaryDirectory())
        environ = {
            **simulator.environ,
            "PUBLIC_URL": server.url,
            "BRIDGE_HOME": f"{folder}/home",
            "BRIDGE_FROM_NUMBER": simulator.number,
            "BRIDGE_CONNECTION_ID": simulator.connection_id,
            **variables,
        }
        server.app = create_app(Settings.from_environ(environ), agent=agent, observers=[watcher])
        server.app.testing = True
        bridge: Bridge = server.app.extensions["bridge"]
        stack.enter_context(server)
        stack.callback(bridge.close)
        simulator.webhook_url = f"{server.url}/telnyx/webhook"
        yield Phone(simulator, bridge, server.url, watcher, Path(folder))


def scripted(listening: Listening, texts: Sequence[str]) -> BurstListener:
    """Make a recogniser that answers with these texts, not before a real pause."""
    return BurstListener(replace(listening, endpoint=PAUSE), texts)
