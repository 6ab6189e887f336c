"""A simulator with an application in front of it, for the simulator's own tests."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from bridge.simulator import Behaviour, SimulatedCall, Simulator
from telnyx_media._audioop import audioop
from tests.loopback.application import Application, MediaSocket, RestClient

# 20 ms of a loud tone of 500 Hz in PCM16 at 8 kHz; whole periods, so that packets join.
TONE = b"".join(
    int(value).to_bytes(2, "little", signed=True)
    for value in (0, 5657, 8000, 5657, 0, -5657, -8000, -5657) * 20
    for _ in (0,)
)
TONE_PCMU = audioop.lin2ulaw(TONE, 2)

RTP = {"stream_bidirectional_mode": "rtp", "stream_bidirectional_target_legs": "self"}


class World:
    """What a test has: the simulator, the application, and a client for its commands."""

    def __init__(self, simulator: Simulator, application: Application, rest: RestClient) -> None:
        self.simulator = simulator
        self.application = application
        self.rest = rest

    def ring(self, **options: Any) -> SimulatedCall:
        """Place a call and wait until the application knows of it."""
        call = self.simulator.place_call(**options)
        self.application.wait_hook("call.initiated", call.call_control_id)
        return call

    def answer(self, **options: Any) -> SimulatedCall:
        """Place a call and answer it without a stream."""
        call = self.ring(**options)
        self.rest.ok(call.call_control_id, "answer")
        return call

    def stream(
        self, command: dict[str, Any] | None = None, **options: Any
    ) -> tuple[SimulatedCall, MediaSocket]:
        """Place a call and answer it with a stream; get both once the stream has started."""
        call = self.ring(**options)
        before = len(self.application.sockets)
        fields = {"stream_url": self.application.stream_url, **RTP, **(command or {})}
        self.rest.ok(call.call_control_id, "answer", **fields)
        socket = self.application.wait_socket(before + 1)
        socket.wait("start")
        return call, socket


@contextmanager
def world(**options: Any) -> Iterator[World]:
    """Run a simulator and an application."""
    with Application() as application, Simulator(**options) as simulator:
        simulator.webhook_url = application.webhook_url
        rest = RestClient(simulator.api_url, simulator.api_key)
        try:
            yield World(simulator, application, rest)
        finally:
            rest.close()


@pytest.fixture(name="sim")
def _sim() -> Iterator[World]:
    with world() as made:
        yield made


def with_behaviour(**fields: Any) -> Any:
    """Run a world whose Telnyx answers an open question in another way."""
    return world(behaviour=Behaviour(**fields))


def error_of(response: requests.Response) -> tuple[int, str]:
    """Get the status and the code of an error answer, whose shape is checked on the way."""
    body = response.json()
    assert set(body) == {"errors"}
    error = body["errors"][0]
    assert isinstance(error["code"], str)
    assert error["title"]
    assert error["detail"]
    return response.status_code, error["code"]


def payloads(frames: list[dict[str, Any]]) -> list[bytes]:
    """Decode the audio of media frames."""
    return [base64.b64decode(frame["media"]["payload"], validate=True) for frame in frames]
