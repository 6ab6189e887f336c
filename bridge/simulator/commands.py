"""Call Control commands: find the leg, refuse what Telnyx refuses, do it once.

Telnyx: sending-commands, command-retries and call-commands reference pages.  A command is answered
with ``ok`` when it is accepted; what came of it is said by webhooks.

Threads: a command runs on its request's thread and holds the carrier's lock throughout; what takes
longer (speech, downloads) is begun here and finished elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bridge.simulator.api import ApiRoute, ok, route
from bridge.simulator.apierrors import ApiError
from bridge.simulator.carrier import Carrier
from bridge.simulator.dialling import Dialler
from bridge.simulator.fields import Fields
from bridge.simulator.leg import Leg
from bridge.simulator.mediacommands import MediaCommands
from bridge.simulator.server import HttpRequest, HttpResponse
from bridge.simulator.stream import StreamOptions

# What can be done to a leg that nobody has answered yet.
_BEFORE_ANSWER = frozenset({"answer", "reject", "hangup", "client_state_update", "transfer"})

# Accepted and without effect here.
_ACCEPTED = (
    "suppression_start",
    "suppression_stop",
    "transcription_start",
    "transcription_stop",
    "send_sip_info",
    "fork_start",
    "fork_stop",
    "siprec_start",
    "siprec_stop",
    "switch_supervisor_role",
)

_REJECTS = {
    "CALL_REJECTED": ("call_rejected", "603"),
    "USER_BUSY": ("user_busy", "486"),
    "NOT_FOUND": ("not_found", "404"),
    "TEMPORARILY_UNAVAILABLE": ("unspecified", "480"),
}

Action = Callable[[Leg, Fields], dict[str, Any] | None]


class Commands:
    """Everything below ``/v2/calls``."""

    def __init__(self, carrier: Carrier, dialler: Dialler, media: MediaCommands) -> None:
        """Collect the actions.

        Args:
            carrier: the network.
            dialler: makes outbound legs.
            media: the actions that make or take sound.
        """
        self._carrier = carrier
        self._dialler = dialler
        # By command_id, for dials; by leg and command_id, for actions: when, and what was answered.
        self._done: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}
        self._actions: dict[str, Action] = {
            "answer": self._answer,
            "reject": self._reject,
            "hangup": self._hangup,
            "client_state_update": self._client_state_update,
            "bridge": self._bridge,
            "transfer": self._transfer,
            "refer": self._refer,
            "enqueue": self._enqueue,
            "leave_queue": self._leave_queue,
            **media.actions(),
        }
        self._media = media

    def routes(self) -> list[ApiRoute]:
        """Get the routes."""
        return [
            route("POST", "/calls", self._dial),
            route("GET", "/calls/:id", self._status),
            route("POST", "/calls/:id/actions/:action", self._act),
            route("GET", "/connections/:id/active_calls", self._active_calls),
        ]

    # Requests.

    def _act(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        name = variables["action"]
        with self._carrier.lock:
            leg = self._carrier.legs.get(variables["id"])
            if leg is None:
                raise ApiError("90015", "The call_control_id provided was not valid.")
            if name not in self._actions and name not in _ACCEPTED:
                raise ApiError("10005", "The requested resource or URL could not be found.")
            body = request.json()
            fields = Fields(body)
            try:
                result = self._once(
                    leg.call_control_id, fields, lambda: self._run(leg, name, fields)
                )
            except ApiError as error:
                leg.log("command", name=name, status=error.status, code=error.error["code"])
                raise
            leg.log("command", name=name, status=200)
            self._carrier.notify()
            return ok(result)

    def _run(self, leg: Leg, name: str, fields: Fields) -> dict[str, Any]:
        if leg.ended:
            raise ApiError("90018", "This call is no longer active and can't receive commands.")
        if leg.state == "ringing" and name not in _BEFORE_ANSWER:
            code = "90020" if name == "record_start" else "90034"
            raise ApiError(
                code, "This call can't receive this command because it has not been answered yet."
            )
        client_state = fields.client_state()
        leg.commanded = True
        action = self._actions.get(name)
        result = None
        if action is not None:
            before = leg.client_state
            if client_state is not None:
                leg.client_state = client_state
            try:
                result = action(leg, fields)
            except ApiError:
                # A refused command changes nothing.
                leg.client_state = before
                raise
        return {"result": "ok", **(result or {})}

    def _once(
        self, key: str, fields: Fields, execute: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Carry a command out unless its ``command_id`` was seen; get the answer either way."""
        command_id = fields.text("command_id")
        now = time.monotonic()
        done = self._done.get((key, command_id)) if command_id else None
        if done is not None and now - done[0] < self._carrier.behaviour.command_id_window:
            return done[1]
        result = execute()
        if command_id:
            self._done[key, command_id] = now, result
        return result

    def _status(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        with self._carrier.lock:
            leg = self._carrier.legs.get(variables["id"])
            readable = self._carrier.behaviour.ended_call_readable
            if leg is None or (
                leg.ended_at is not None and time.monotonic() - leg.ended_at > readable
            ):
                raise ApiError("10005", "The requested resource or URL could not be found.")
            return ok(leg.summary())

    def _active_calls(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        with self._carrier.lock:
            if variables["id"] not in self._carrier.account.applications:
                raise ApiError("10005", "The requested resource or URL could not be found.")
            legs = [
                leg.summary()
                for leg in self._carrier.legs.values()
                if leg.connection_id == variables["id"] and not leg.ended
            ]
        keys = ("record_type", "call_control_id", "call_leg_id", "call_session_id",
                "client_state", "call_duration")  # fmt: skip
        data = [{key: leg[key] for key in keys} for leg in legs]
        meta = {
            "total_items": len(data),
            "cursors": {"before": None, "after": None},
            "next": None,
            "previous": None,
        }
        return ok(data, meta=meta)

    def _dial(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        fields = Fields(request.json())
        with self._carrier.lock:
            result = self._once("dial", fields, lambda: self._dialler.dial(fields))
            self._carrier.notify()
            return ok(result)

    # Actions; each returns what its answer adds to "ok".

    def _answer(self, leg: Leg, fields: Fields) -> dict[str, Any] | None:
        if leg.direction != "incoming":
            raise ApiError("90102", "Only an inbound call can be answered.")
        if leg.state == "answered":
            raise ApiError("10015", "The call has already been answered.")
        behaviour = self._carrier.behaviour
        stream: StreamOptions | None = None
        if "stream_url" in fields:
            stream = fields.stream(
                takes_rate=behaviour.answer_takes_rate, takes_token=behaviour.answer_takes_token
            )
        recording = self._media.recording_from_answer(leg, fields)
        self._dialler.redirect(leg, fields)
        self._carrier.answered(leg)
        if stream is not None:
            self._media.begin_stream(leg, stream)
        if recording is None:
            return None
        self._media.begin_recording(leg, recording)
        return {"recording_id": recording.recording_id}

    def _reject(self, leg: Leg, fields: Fields) -> None:
        fields.require("cause")
        cause, sip = _REJECTS[fields.choice("cause", _REJECTS, None)]
        if leg.direction != "incoming" or leg.state != "ringing":
            raise ApiError("10015", "Only an inbound call that is not answered can be rejected.")
        self._carrier.end(leg, cause, "callee", sip=sip)

    def _hangup(self, leg: Leg, fields: Fields) -> None:
        us = "callee" if leg.direction == "incoming" else "caller"
        ringing_out = leg.state == "ringing" and leg.direction == "outgoing"
        self._carrier.end(leg, "originator_cancel" if ringing_out else "normal_clearing", us)

    def _client_state_update(self, leg: Leg, fields: Fields) -> None:
        # The state itself was set by the field that every command has.
        fields.require("client_state")

    def _bridge(self, leg: Leg, fields: Fields) -> None:
        if "queue" in fields:
            other = self._first_in_queue(fields.text("queue"), leg)
        else:
            key = "call_control_id"
            found = self._carrier.legs.get(str(fields.require(key)))
            if found is None or found is leg:
                raise ApiError(
                    "90015", "The call_control_id to bridge with was not valid.", pointer=f"/{key}"
                )
            other = found
        if other.ended:
            raise ApiError("90018", "The call to bridge with has already ended.")
        if other.state != "answered":
            raise ApiError("90034", "The call to bridge with has not been answered yet.")
        leg.park_after_unbridge = fields.text("park_after_unbridge") == "self"
        if other.queue_name is not None:
            self._carrier.leave_queue(other, "bridged")
        self._carrier.join(leg, other)

    def _first_in_queue(self, name: str, leg: Leg) -> Leg:
        waiting = [x for x in self._carrier.legs.values() if x.queue_name == name and x is not leg]
        if not waiting:
            raise ApiError("10005", "No call is waiting in this queue.", pointer="/queue")
        return waiting[0]

    def _transfer(self, leg: Leg, fields: Fields) -> None:
        self._dialler.transfer(leg, fields)

    def _refer(self, leg: Leg, fields: Fields) -> None:
        fields.address("sip_address")
        self._dialler.refer(leg, fields)

    def _enqueue(self, leg: Leg, fields: Fields) -> None:
        name = str(fields.require("queue_name"))
        limit = fields.number("max_wait_time_secs", 0, 86400, 0)
        leg.queue_name = name
        leg.queued_at = time.monotonic()
        position = sum(x.queue_name == name for x in self._carrier.legs.values())
        self._carrier.emit(
            leg,
            "call.enqueued",
            {
                "queue": name,
                "current_position": position,
                "queue_avg_wait_time_secs": 0,
            },
        )
        if limit:
            self._carrier.clock.after(limit, lambda: self._queue_timeout(leg, name))

    def _queue_timeout(self, leg: Leg, name: str) -> None:
        with self._carrier.lock:
            if leg.queue_name == name:
                self._carrier.leave_queue(leg, "timeout")

    def _leave_queue(self, leg: Leg, fields: Fields) -> None:
        if leg.queue_name is None:
            raise ApiError("10015", "The call is in no queue.")
        self._carrier.leave_queue(leg, "leave")
