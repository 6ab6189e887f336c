"""Legs to other people: dial, transfer, refer, and the persons who pick up.

Telnyx: dial, transfer and refer reference pages, and the answering-machine callbacks.

Threads: everything here is called with the carrier's lock held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.simulator.apierrors import ApiError
from bridge.simulator.audio import tone
from bridge.simulator.callees import Callee
from bridge.simulator.carrier import TIME_LIMIT, Carrier
from bridge.simulator.fields import Fields
from bridge.simulator.leg import Leg, leg_codec
from bridge.simulator.line import is_sound
from bridge.simulator.mediacommands import MediaCommands
from bridge.simulator.script import Person, Step, parse_script
from bridge.simulator.stream import StreamOptions
from bridge.simulator.trunk import join_trunk

AMD_MODES = (
    "premium",
    "premium_ios_call_screening_detection",
    "detect",
    "detect_beep",
    "detect_words",
    "greeting_end",
    "disabled",
)
SCREENING_MODE = "premium_ios_call_screening_detection"
# Seconds of silence by which a robot that screens calls knows that the caller has said who it is.
SCREENING_PAUSE = 0.5
# Seconds for which a call to one of the account's own numbers rings.
RING_SECONDS = 60.0
# What a voicemail box plays before it records.
BEEP_HERTZ, BEEP_SECONDS = 1000.0, 0.4

# Makes the clips of a script: steps and hertz to PCM by step number.
Prepare = Callable[[list[Step], int], dict[int, bytes]]

_REFUSALS = {
    "busy": ("user_busy", "486"),
    "reject": ("call_rejected", "603"),
    "unknown": ("not_found", "404"),
}


class Dialler:
    """Makes outbound legs.

    Attributes:
        callees: who answers at which number.
        default: who answers at any other.
    """

    def __init__(
        self,
        carrier: Carrier,
        prepare: Prepare,
        media: MediaCommands,
        on_leg: Callable[[Leg], None],
    ) -> None:
        """Make a dialler.

        Args:
            carrier: the network.
            prepare: makes the audio of a callee's script.
            media: begins the stream and the recording that a dial asked for.
            on_leg: told of every leg.
        """
        self.callees: dict[str, Callee] = {}
        self.default = Callee()
        self._carrier = carrier
        self._prepare = prepare
        self._media = media
        self._on_leg = on_leg
        self._clips: dict[str, dict[int, bytes]] = {}

    def add_callee(self, number: str, callee: Callee) -> None:
        """Say who answers at a number; blocks while its words are synthesised.

        Raises:
            ScriptError: its script is wrong.
        """
        steps = parse_script(callee.script, speaks_first=True)
        clips = self._prepare(steps, leg_codec(callee.codec).sample_rate)
        self._clips[number] = clips
        self.callees[number] = callee

    # Commands.

    def dial(self, fields: Fields) -> dict[str, Any]:
        """Dial, and get the answer's data."""
        connection_id = str(fields.require("connection_id"))
        if connection_id not in self._carrier.account.applications:
            raise ApiError(
                "10015", "The connection_id is not a Call Control application.",
                pointer="/connection_id",
            )  # fmt: skip
        target = fields.body.get("to")
        numbers = target if isinstance(target, list) and target else [target]
        addresses = [Fields({"to": number}).address("to") for number in numbers]
        caller = fields.address("from")
        client_state = fields.client_state()
        fields.choice("answering_machine_detection", AMD_MODES, "disabled")
        stream = fields.stream() if "stream_url" in fields else None
        linked = self._carrier.legs.get(fields.text("link_to"))
        on_answer = None
        if fields.body.get("bridge_on_answer"):
            if linked is None or linked.ended:
                raise ApiError(
                    "10004", "bridge_on_answer needs a live link_to.", pointer="/link_to"
                )
            on_answer = self._bridge_to(linked)
        legs = [
            self._ring(
                caller,
                address,
                fields,
                connection_id=connection_id,
                session=linked.call_session_id if linked is not None else None,
                client_state=client_state,
                stream=stream,
                on_answer=on_answer,
            )
            for address in addresses
        ]
        summary = legs[0].summary()
        keys = ("record_type", "call_control_id", "call_leg_id", "call_session_id", "client_state",
                "is_alive", "start_time")  # fmt: skip
        recording = legs[0].recording_from_answer
        recording_id = recording.recording_id if recording is not None else None
        return {**{key: summary[key] for key in keys}, "recording_id": recording_id}

    def transfer(self, leg: Leg, fields: Fields) -> None:
        """Dial a number and bridge it to the leg when it answers."""
        target = fields.address("to")
        caller = fields.address("from") if "from" in fields else leg.to_number
        fields.choice("answering_machine_detection", AMD_MODES, "disabled")
        leg.park_after_unbridge = fields.text("park_after_unbridge") == "self"
        state = Fields({"client_state": fields.body.get("target_leg_client_state")}).client_state()
        if leg.state == "ringing":
            self._carrier.answered(leg)

        self._ring(
            caller,
            target,
            fields,
            connection_id=leg.connection_id,
            session=leg.call_session_id,
            client_state=state,
            on_answer=self._bridge_to(leg),
        )

    def _bridge_to(self, leg: Leg) -> Callable[[Leg], None]:
        def bridge(other: Leg) -> None:
            if leg.ended:
                self._carrier.end(other, "normal_clearing", "caller")
            else:
                self._carrier.join(leg, other)

        return bridge

    def refer(self, leg: Leg, fields: Fields) -> None:
        """Ask the person's provider to call somewhere else, after which the leg is over."""
        callee = self.callees.get(fields.text("sip_address"), self.default)
        refused = _REFUSALS.get(callee.outcome)
        self._carrier.emit(leg, "call.refer.started", {"sip_notify_response": 100})

        def done() -> None:
            with self._carrier.lock:
                if leg.ended:
                    return
                if refused is not None:
                    fields_ = {"sip_notify_response": int(refused[1])}
                    self._carrier.emit(leg, "call.refer.failed", fields_)
                    return
                self._carrier.emit(leg, "call.refer.completed", {"sip_notify_response": 200})
                self._carrier.end(leg, "normal_clearing", "caller")

        self._carrier.clock.after(callee.after, done)

    def redirect(self, leg: Leg, fields: Fields) -> None:
        """Obey the webhook fields of a command for later events of the leg."""
        if "webhook_url" in fields:
            leg.route.url = fields.text("webhook_url")
        urls = fields.body.get("webhook_urls")
        if isinstance(urls, dict):
            leg.route.urls = {
                str(event): str(where[0])
                for event, where in urls.items()
                if isinstance(where, list) and where
            }
        policies = fields.body.get("webhook_retries_policies")
        if isinstance(policies, dict):
            leg.route.retries = {
                str(event): tuple(float(ms) / 1000 for ms in policy["retries_ms"][:5])
                for event, policy in policies.items()
                if isinstance(policy, dict) and _is_numbers(policy.get("retries_ms"))
            }

    # Ringing.

    def _ring(
        self,
        caller: str,
        address: str,
        fields: Fields,
        *,
        connection_id: str,
        session: str | None,
        client_state: str | None,
        stream: StreamOptions | None = None,
        on_answer: Callable[[Leg], None] | None = None,
    ) -> Leg:
        carrier = self._carrier
        callee = self.callees.get(address, self.default)
        leg = Leg(
            direction="outgoing",
            connection_id=connection_id,
            from_number=caller,
            to_number=address,
            codec=callee.codec,
            call_session_id=session,
        )
        leg.client_state = client_state
        leg.recording_from_answer = self._media.recording_from_answer(leg, fields)
        leg.custom_headers = fields.pairs("custom_headers")
        leg.caller_name = fields.text("from_display_name")
        carrier.add(leg)
        self.redirect(leg, fields)
        self._on_leg(leg)
        carrier.initiated(leg)
        timeout = fields.number("timeout_secs", 5, 600, 30)
        recording = leg.recording_from_answer

        limit = fields.number("time_limit_secs", 30, TIME_LIMIT, TIME_LIMIT)

        def answer() -> None:
            with carrier.lock:
                if leg.state != "ringing":
                    return
                if leg.person is None:
                    leg.person = self._person(leg, callee)
                carrier.answered(leg)
                carrier.limit(leg, limit)
                leg.keys_heard += fields.text("send_digits_on_answer")
                if stream is not None:
                    self._media.begin_stream(leg, stream)
                if recording is not None:
                    self._media.begin_recording(leg, recording)
                self._detect(leg, callee, fields.text("answering_machine_detection"))
                if on_answer is not None:
                    on_answer(leg)

        def refuse() -> None:
            with carrier.lock:
                cause, sip = _REFUSALS[callee.outcome]
                carrier.end(leg, cause, "callee", sip=sip)

        def give_up() -> None:
            with carrier.lock:
                if leg.state == "ringing":
                    retry = fields.body.get("retry_on_timeout", True)
                    carrier.end(leg, "timeout" if retry else "no_answer", "unknown", sip="408")

        if carrier.account.is_own(address):
            self._ring_home(leg, answer)
        elif callee.outcome == "answer":
            carrier.clock.after(callee.after, answer)
        elif callee.outcome in _REFUSALS:
            carrier.clock.after(callee.after, refuse)
        carrier.clock.after(timeout, give_up)
        return leg

    def _ring_home(self, leg: Leg, answer: Callable[[], None]) -> None:
        """Let a leg to one of the account's own numbers come in again as an inbound call."""
        application = self._carrier.account.owner_of(leg.to_number)
        assert application is not None  # is_own() said so
        inbound = Leg(
            direction="incoming",
            connection_id=application.id,
            from_number=leg.from_number,
            to_number=leg.to_number,
            codec=leg.codec,
        )
        inbound.custom_headers = leg.custom_headers
        inbound.caller_name = leg.caller_name
        leg.person, inbound.person = join_trunk(leg, inbound, answer)
        leg.far, inbound.far = inbound, leg
        self._on_leg(inbound)
        self._carrier.arrive(inbound, RING_SECONDS)

    def _person(self, leg: Leg, callee: Callee) -> Person:
        steps = parse_script(callee.script, speaks_first=True)
        clips = dict(self._clips.get(leg.to_number, {}))
        if callee.beep:
            clips[len(steps)] = tone(BEEP_HERTZ, BEEP_SECONDS, leg.rate)
            steps = [*steps, Step("play", text="beep", when="now")]
        return Person(
            steps,
            clips,
            leg.packet_bytes,
            press=lambda key: self._carrier.pressed(leg, key),
            hang_up=lambda: self._carrier.hung_up(leg),
        )

    # Answering-machine detection.

    def _detect(self, leg: Leg, callee: Callee, mode: str) -> None:
        if not mode or mode == "disabled":
            return
        premium = mode.startswith("premium")
        kind = "call.machine.premium" if premium else "call.machine"
        if premium:
            self._carrier.emit(leg, f"{kind}.detection.started")
        human = "human_residence" if premium else "human"
        result = "machine" if callee.machine else human

        screened = callee.screening and mode == SCREENING_MODE

        def decided() -> None:
            nonlocal screened
            with self._carrier.lock:
                if leg.ended:
                    return
                if screened:
                    # Detection begins anew once the robot has put the call through.
                    screened = False
                    fields = {"result": "screening"}
                    self._carrier.emit(leg, f"{kind}.call_screening.detected", fields)
                    self._when_spoken_to(leg, decided)
                    return
                self._carrier.emit(leg, f"{kind}.detection.ended", {"result": result})
                if callee.machine and mode != "detect":
                    self._await_greeting(leg, callee, mode, kind)

        self._carrier.clock.after(callee.detection, decided)

    def _when_spoken_to(self, leg: Leg, then: Callable[[], None]) -> None:
        """Do something a moment after somebody has spoken to the leg's person and stopped."""
        with self._carrier.lock:
            if leg.ended:
                return
            quiet = round(SCREENING_PAUSE * leg.rate) * 2
            spoken = any(is_sound(bytes(leg.heard[i : i + leg.packet_bytes])) for i in
                         range(0, len(leg.heard) - quiet, leg.packet_bytes))  # fmt: skip
            silent = not is_sound(bytes(leg.heard[-quiet:]))
        if spoken and silent:
            then()
        else:
            self._carrier.clock.after(0.1, lambda: self._when_spoken_to(leg, then))

    def _await_greeting(self, leg: Leg, callee: Callee, mode: str, kind: str) -> None:
        """Announce the end of the greeting once the machine has played it."""
        with self._carrier.lock:
            if leg.ended or leg.person is None:
                return
            if not leg.person.script_done:
                self._carrier.clock.after(
                    0.1, lambda: self._await_greeting(leg, callee, mode, kind)
                )
                return
            if kind.endswith("premium"):
                result = "beep_detected" if callee.beep else "no_beep_detected"
            elif callee.beep and mode == "detect_beep":
                result = "beep_detected"
            else:
                result = "ended"
            self._carrier.emit(leg, f"{kind}.greeting.ended", {"result": result})


def _is_numbers(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, (int, float)) for v in value)
