"""Telnyx on loopback, in one ``with`` block.

Threads: the server's (one that accepts, one per connection), the clock, the webhook senders, one
per media stream, one per prompt that is being made.  All are joined when the block ends, and what
went wrong in one is raised there.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from bridge.simulator import synthesis, transcription
from bridge.simulator.account import Account
from bridge.simulator.api import Api
from bridge.simulator.audio import read_audio, resample
from bridge.simulator.behaviour import Behaviour
from bridge.simulator.callees import Callee
from bridge.simulator.calls import SimulatedCall
from bridge.simulator.carrier import Carrier
from bridge.simulator.chat import ChatService
from bridge.simulator.commands import Commands
from bridge.simulator.control import Control
from bridge.simulator.dialling import Dialler
from bridge.simulator.faults import Faults
from bridge.simulator.filespeech import FileSpeech
from bridge.simulator.filetranscription import LONGEST_BODY, PATHS, FileTranscription
from bridge.simulator.leg import Leg
from bridge.simulator.mediacommands import MediaCommands
from bridge.simulator.offline.voices import CallerVoice
from bridge.simulator.resources import Resources
from bridge.simulator.script import Person, Step, parse_script
from bridge.simulator.server import HttpRequest, HttpResponse, Server, SocketRoute
from bridge.simulator.speakers import MakeSpeaker, OfflineSpeaker
from bridge.simulator.surroundings import Surroundings
from bridge.simulator.synthesis import SynthesisService
from bridge.simulator.transcription import TranscriptionService
from telnyx_media.sync.threads import ThreadGroup

logger = logging.getLogger(__name__)

# Numbers that are kept free for fiction.
OUR_NUMBER = "+12025550100"
CALLER_NUMBER = "+12025550123"
# Calls that can still be looked at; a minute of one takes about two megabytes.
CALLS_KEPT = 500


class Simulator:
    """Telnyx on loopback, on one port: REST, webhooks, carrier, speech and chat.

    Attributes:
        host: the address it listens on.
        port: the port.
        api_key: the only key that is let in.
        number: the phone number that is attached to the application.
        faults: what goes wrong; set its fields at any time.
        behaviour: answers to what Telnyx's documentation leaves open.
        transcription: the speech-to-text server, with its own faults and records.
        synthesis: the text-to-speech server, likewise.
        chat: the chat-completion server, likewise.
        carrier: the network behind it all.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        webhook_url: str = "",
        api_key: str | None = None,
        number: str = OUR_NUMBER,
        behaviour: Behaviour | None = None,
        transcription: TranscriptionService | None = None,
        synthesis: SynthesisService | None = None,
        chat: ChatService | None = None,
        speaker: MakeSpeaker = OfflineSpeaker,
        caller_voice: str = "en-US",
    ) -> None:
        """Make a simulator; the port is bound by the ``with`` block, or by :meth:`start`.

        Args:
            host: the address to listen on.
            port: the port, or 0 for any free one.
            webhook_url: where webhooks go; may be set later, see :attr:`webhook_url`.
            api_key: the key that clients must send; made up if ``None``.
            number: a phone number attached to the application.
            behaviour: answers to what Telnyx's documentation leaves open.
            transcription: another speech-to-text server than the embedded recogniser.
            synthesis: another text-to-speech server than the embedded voice.
            chat: another chat-completion server than the one with small-talk rules.
            speaker: makes the voice of the command ``speak``, and of the text-to-speech server
                unless ``synthesis`` is given.
            caller_voice: the voice of ``say`` steps.
        """
        self.host = host
        self.port = port
        self.api_key = api_key or "KEY" + secrets.token_hex(16).upper()
        self.number = number
        self.behaviour = behaviour or Behaviour()
        self.faults = Faults()
        self.transcription = transcription or TranscriptionService(api_key=self.api_key)
        self.synthesis = synthesis or SynthesisService(api_key=self.api_key, make_speaker=speaker)
        self.chat = chat or ChatService()
        self._group = ThreadGroup("sim")
        account = Account(self.behaviour, webhook_url, number)
        self.carrier = Carrier(self.behaviour, self.faults, account, self._group)
        self._voice = CallerVoice(caller_voice)
        self._media = MediaCommands(self.carrier, speaker)
        self._dialler = Dialler(self.carrier, self._prepare, self._media, self._register)
        self._calls: dict[str, SimulatedCall] = {}
        self._server: Server | None = None

    # Beginning and ending.

    def start(self) -> None:
        """Bind the port and begin to serve; returns when it can be reached.

        Raises:
            OSError: the port is taken.
        """
        commands = Commands(self.carrier, self._dialler, self._media)
        api = Api(
            self.carrier,
            self.api_key,
            [
                *commands.routes(),
                *Resources(self.carrier).routes(),
                *self.chat.routes(),
                *FileTranscription(self.transcription, self._group.stopping).routes(),
                *FileSpeech(self.synthesis, lambda: self.api_url).routes(),
            ],
        )
        control = Control(self)

        def http(request: HttpRequest) -> HttpResponse:
            if request.path[0] == "v2":
                return api.handle(request)
            if request.path[0] == "simulator":
                return control.handle(request)
            return HttpResponse(404, b"there is nothing here\n", "text/plain")

        sockets = {
            transcription.PATH: SocketRoute(self.transcription.check, self.transcription.serve),
            synthesis.PATH: SocketRoute(self.synthesis.check, self.synthesis.serve),
        }
        limits = {f"/v2{path}": LONGEST_BODY for path in PATHS}
        self._server = Server(self.host, self.port, http, sockets, limits)
        self.port = self._server.port
        self.carrier.public_url = self.url
        self.carrier.start()
        self._server.start()

    def stop(self) -> None:
        """Cut every call and connection and join the threads; may be called twice."""
        server, self._server = self._server, None
        if server is None:
            return
        with ExitStack() as last:
            last.callback(self._voice.close)
            last.callback(self._group.join)
            last.callback(server.stop)
            self._group.stop()
            self.carrier.stop()
        self._raise(server)

    def _raise(self, server: Server) -> None:
        """Raise what went wrong in a thread."""
        for error in (self._group.error, *server.errors, *self.carrier.clock.errors):
            if error is not None:
                raise error

    def __enter__(self) -> Simulator:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop; what went wrong in a thread is raised unless the block itself raised."""
        try:
            self.stop()
        except Exception:
            if exc is None:
                raise
            logger.exception("the simulator failed too")

    # Pointing a program at it.

    @property
    def url(self) -> str:
        """``http://host:port``."""
        return f"http://{self.host}:{self.port}"

    @property
    def api_url(self) -> str:
        """The base of the REST API."""
        return f"{self.url}/v2"

    @property
    def public_key(self) -> str:
        """Base64 of the raw Ed25519 key that webhooks are signed with."""
        return self.carrier.webhooks.signer.public_key

    @property
    def connection_id(self) -> str:
        """The id of the application that :attr:`number` is attached to."""
        return self.carrier.account.default.id

    @property
    def webhook_url(self) -> str:
        """Where the application's webhooks go; setting it counts for calls placed afterwards."""
        return str(self.carrier.account.default.fields["webhook_event_url"])

    @webhook_url.setter
    def webhook_url(self, url: str) -> None:
        with self.carrier.lock:
            self.carrier.account.default.update({"webhook_event_url": url})

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables that point a program at this simulator."""
        socket = f"ws://{self.host}:{self.port}"
        return {
            "TELNYX_API_KEY": self.api_key,
            "TELNYX_PUBLIC_KEY": self.public_key,
            "TELNYX_API_URL": self.api_url,
            "TELNYX_STT_URL": f"{socket}{transcription.PATH}",
            "TELNYX_TTS_URL": f"{socket}{synthesis.PATH}",
        }

    # Calls.

    def place_call(
        self,
        *,
        to: str | None = None,
        from_: str = CALLER_NUMBER,
        codec: str = "PCMU",
        caller: Sequence[Mapping[str, Any]] = (),
        pause: float = 0.3,
        patience: float = 20.0,
        ring_seconds: float = 60.0,
        caller_name: str = "",
        custom_headers: Sequence[Mapping[str, str]] = (),
        noise: float | None = None,
        echo: float | None = None,
    ) -> SimulatedCall:
        """Place an inbound call.

        Blocks while the caller's words are synthesised and files are read, so that nothing of it
        delays the call; the call itself goes on by itself.

        Args:
            to: the number called; the simulator's own if ``None``.
            from_: the number that calls.
            codec: of the leg: ``PCMU``, ``PCMA``, ``G722``, ``OPUS``, or ``L16`` at 16 kHz.
            caller: the caller's script, see :mod:`bridge.simulator.script`.
            pause: seconds of silence after which the caller takes the agent to have finished.
            patience: seconds after which the caller stops waiting for the agent to speak.
            ring_seconds: after which the caller gives up on a call that nobody answers.
            caller_name: caller id name.
            custom_headers: names and values of SIP headers.
            noise: level of constant noise on the caller's line, dBFS.
            echo: how much of the agent's voice the caller's phone picks up, dB; -20 for one.

        Raises:
            ScriptError: a step of the script is wrong.
            AudioError: a file cannot be read.
            UnsupportedCodec: there is no such codec.
            ValueError: the number is attached to no application, or that has no webhook URL.
        """
        number = to or self.number
        application = self.carrier.account.owner_of(number)
        if application is None:
            raise ValueError("the number is attached to no application")
        if not application.fields["webhook_event_url"]:
            raise ValueError("the number's application has no webhook URL; set webhook_url first")
        leg = Leg(
            direction="incoming",
            connection_id=application.id,
            from_number=from_,
            to_number=number,
            codec=codec,
        )
        leg.caller_name = caller_name
        leg.custom_headers = [dict(header) for header in custom_headers]
        steps = parse_script(caller)
        leg.person = Person(
            steps,
            self._prepare(steps, leg.rate),
            leg.packet_bytes,
            press=lambda key: self.carrier.pressed(leg, key),
            hang_up=lambda: self.carrier.hung_up(leg),
            pause=pause,
            patience=patience,
        )
        if noise is not None or echo is not None:
            leg.surroundings = Surroundings(leg.packet_bytes, leg.rate, noise=noise, echo=echo)
        with self.carrier.lock:
            self._register(leg)
            self.carrier.arrive(leg, ring_seconds)
        return self._calls[leg.call_leg_id]

    def _prepare(self, steps: Sequence[Step], rate: int) -> dict[int, bytes]:
        clips = {}
        for number, step in enumerate(steps):
            if step.action == "say":
                clips[number] = self._say(step.text, rate)
            elif step.action == "play":
                clips[number] = read_audio(step.text, rate)
        return clips

    def _say(self, text: str, rate: int) -> bytes:
        speech = self._voice.speak(text)
        return resample(speech.pcm, speech.sample_rate, rate)

    def _register(self, leg: Leg) -> None:
        if len(self._calls) >= CALLS_KEPT:
            self._forget()
        self._calls[leg.call_leg_id] = SimulatedCall(self.carrier, leg, self._say)

    def _forget(self) -> None:
        """Let the oldest ended call go, audio and all."""
        for call in self._calls.values():
            if call.ended:
                del self._calls[call.id]
                del self.carrier.legs[call.call_control_id]
                return

    @property
    def calls(self) -> list[SimulatedCall]:
        """Every leg so far, oldest first: those placed here and those the application dialled."""
        with self.carrier.lock:
            return list(self._calls.values())

    def find_call(self, call_id: str) -> SimulatedCall | None:
        """Get a call by its id or its ``call_control_id``."""
        with self.carrier.lock:
            leg = self.carrier.legs.get(call_id)
            return self._calls.get(leg.call_leg_id if leg is not None else call_id)

    def wait_for_call(
        self, condition: Callable[[SimulatedCall], object], timeout: float = 30.0
    ) -> SimulatedCall:
        """Wait until a leg exists of which the condition holds: one that was dialled, for one.

        Raises:
            TimeoutError: there is none within ``timeout`` seconds.
        """
        found: list[SimulatedCall] = []

        def look() -> bool:
            found[:] = [call for call in self._calls.values() if condition(call)]
            return bool(found)

        if not self.carrier.wait_for(look, timeout):
            raise TimeoutError(f"no such call within {timeout:g} s")
        return found[0]

    def add_callee(self, number: str, callee: Callee) -> None:
        """Say who answers when the application dials a number.

        Blocks while the callee's words are synthesised.

        Raises:
            ScriptError: a step of the callee's script is wrong.
        """
        self._dialler.add_callee(number, callee)
