"""The simulator's own routes: place a call, look at it, listen to it, break something.

Not part of Telnyx and open to whoever reaches the port, which is loopback.

    POST   /simulator/calls                    place an inbound call
    GET    /simulator/calls                    every call
    GET    /simulator/calls/<id>               one call: state, frames, marks, commands, audio links
    DELETE /simulator/calls/<id>               its person hangs up
    POST   /simulator/calls/<id>/cut_media     lose its media socket
    GET    /simulator/calls/<id>/both.wav      the audio; also said.wav and heard.wav
    POST   /simulator/callees                  say who answers at a number that is dialled
    POST   /simulator/faults                   set faults by name
    GET    /simulator/recordings/<id>.wav      a recording that the application made

Threads: runs on the request's thread.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from bridge.errors import BridgeError
from bridge.simulator.audio import AudioError
from bridge.simulator.callees import Callee
from bridge.simulator.calls import Side
from bridge.simulator.script import ScriptError
from bridge.simulator.server import BadBody, HttpRequest, HttpResponse
from telnyx_media.errors import UnsupportedCodec

if TYPE_CHECKING:
    from bridge.simulator.simulator import Simulator

SIDES: tuple[Side, ...] = ("said", "heard", "both")

_CALL_OPTIONS: dict[str, Any] = {
    "to": str,
    "from": str,
    "codec": str,
    "caller": list,
    "pause": (int, float),
    "patience": (int, float),
    "ring_seconds": (int, float),
    "caller_name": str,
    "noise": (int, float),
    "echo": (int, float),
    "custom_headers": list,
}


class Control:
    """Everything below ``/simulator``."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; errors are one sentence under ``error``."""
        try:
            return self._route(request)
        except (
            ScriptError,
            AudioError,
            UnsupportedCodec,
            BadBody,
            ValueError,
            BridgeError,
        ) as error:
            return _error(400, str(error))

    def _route(self, request: HttpRequest) -> HttpResponse:
        method, path = request.method, request.path[1:]
        if path == ("calls",) and method == "POST":
            return self._place(request.json())
        if path == ("calls",) and method == "GET":
            calls = [
                {"id": c.id, "state": c.state, "direction": c.direction}
                for c in self._simulator.calls
            ]
            return HttpResponse.of_json({"calls": calls})
        if path == ("callees",) and method == "POST":
            return self._callee(request.json())
        if path == ("faults",) and method == "POST":
            return self._faults(request.json())
        if len(path) >= 2 and path[0] == "calls":
            return self._call(method, path[1], path[2:])
        if len(path) == 2 and path[0] == "recordings" and method == "GET":
            return self._recording(path[1])
        return _error(404, "there is no such route; see bridge.simulator.control")

    def _place(self, body: dict[str, Any]) -> HttpResponse:
        for name, value in body.items():
            if name not in _CALL_OPTIONS:
                raise ValueError(f"unknown field {name!r}; known are {', '.join(_CALL_OPTIONS)}")
            if not isinstance(value, _CALL_OPTIONS[name]):
                raise ValueError(f"field {name!r} is of the wrong type")  # noqa: TRY004 - a user's error
        options = dict(body)
        if "from" in options:
            options["from_"] = options.pop("from")
        call = self._simulator.place_call(**options)
        return HttpResponse.of_json({"id": call.id, "call_control_id": call.call_control_id}, 201)

    def _call(self, method: str, call_id: str, rest: tuple[str, ...]) -> HttpResponse:
        call = self._simulator.find_call(call_id)
        if call is None:
            return _error(404, "there is no such call")
        if not rest and method == "GET":
            return HttpResponse.of_json(call.report())
        if not rest and method == "DELETE":
            call.hang_up()
            return HttpResponse.of_json({"state": call.state})
        if rest == ("cut_media",) and method == "POST":
            call.cut_media()
            return HttpResponse.of_json({"state": call.state})
        if method == "GET":
            for side in SIDES:
                if rest == (f"{side}.wav",):
                    return HttpResponse(200, call.wav(side), "audio/wav")
        return _error(404, "there is no such route; see bridge.simulator.control")

    def _callee(self, body: dict[str, Any]) -> HttpResponse:
        number = body.pop("number", None)
        known = {f.name for f in dataclasses.fields(Callee)}
        if not isinstance(number, str) or not set(body) <= known:
            raise ValueError(f"a callee has a number and {', '.join(sorted(known))}")
        self._simulator.add_callee(number, Callee(**body))
        return HttpResponse.of_json({"number": number}, 201)

    def _faults(self, body: dict[str, Any]) -> HttpResponse:
        faults = self._simulator.faults
        known = {f.name for f in dataclasses.fields(faults) if not f.name.startswith("_")}
        failures = body.pop("fail", [])
        unknown = set(body) - known
        if unknown:
            raise ValueError(f"unknown faults {sorted(unknown)}; known are {sorted(known)}")
        for name, value in body.items():
            setattr(faults, name, frozenset(value) if name == "drop_webhooks" else value)
        for failure in failures:
            faults.fail(**failure)
        return HttpResponse.of_json({"set": sorted(body)})

    def _recording(self, name: str) -> HttpResponse:
        recording_id, _, kind = name.partition(".")
        recording = self._simulator.carrier.recordings.get(recording_id)
        if recording is None or kind not in ("wav", "mp3"):
            return _error(404, "there is no such recording")
        if kind == "mp3":
            return HttpResponse(200, recording.mp3(), "audio/mpeg")
        return HttpResponse(200, recording.wav(), "audio/wav")


def _error(status: int, message: str) -> HttpResponse:
    return HttpResponse.of_json({"error": message}, status)
