"""Commands to call legs, over Telnyx's REST API.

A command whose answer is lost may have been carried out.  Telnyx therefore ignores a command that
comes again with the ``command_id`` of one it has seen (Telnyx: sending-commands page; within
60 seconds by one account of it), so one id is made per intended command, kept over its retries,
and all of them are sent within that time.  Dialling is the exception: a second phone that rings is
worse than an error, so a dial is repeated only when the request cannot have arrived, or was refused
with 429.

Threads: any thread may call any method.  A command blocks until Telnyx answers, for at most
``patience`` seconds plus one attempt, and :meth:`CallControl.close` ends all waiting between
attempts.

Rules of this module:

1. What is an error is decided by Telnyx's ``code``, not by its words.
2. A command whose purpose is reached by the call being over succeeds when the call is over.
3. No log line has a number, a digit, a text or an address; errors have Telnyx's title and detail
   with numbers masked.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from bridge.commandhttp import CommandSession
from bridge.errors import CommandError
from bridge.settings import Settings

# The call is over, or never was: code 90018 "call has already ended", 90015 "invalid call control
# id", 10005 "resource not found" (Telnyx: API errors page).
ENDED_CODES = frozenset({"90018", "90015", "10005"})
NO_STREAM_CODE = "90048"

# The longest text of `speak` that every account of its limit allows (Telnyx: speak reference).
SPEAK_LIMIT = 3000

RejectCause = Literal["CALL_REJECTED", "USER_BUSY", "NOT_FOUND", "TEMPORARILY_UNAVAILABLE"]
Track = Literal["inbound", "outbound", "both"]


def is_call_ended(error: CommandError) -> bool:
    """Tell whether a command was refused because the leg is over or unknown."""
    return error.code in ENDED_CODES or error.http_status == 404


@dataclass(frozen=True)
class CommandResult:
    """What Telnyx answers to an action: accepted, not done; the webhook says done.

    Attributes:
        result: ``"ok"``.
        recording_id: the recording that was begun, or ``""``.
    """

    result: str = "ok"
    recording_id: str = ""


@dataclass(frozen=True)
class LegStatus:
    """A leg as Telnyx has it, also the answer to a dial.

    Attributes:
        call_control_id: the address for commands to it.
        call_leg_id: the leg.
        call_session_id: what related legs have in common.
        is_alive: whether it is answered and not over; ``False`` for a leg that still rings.
        client_state: our own tag, base64, or ``""``.
        duration: seconds, as far as Telnyx says.
    """

    call_control_id: str
    call_leg_id: str = ""
    call_session_id: str = ""
    is_alive: bool = False
    client_state: str = ""
    duration: int = 0


class CallControl:
    """The commands, one method each.

    Every method takes, as further keywords, any field that Telnyx documents for the command and
    that has no argument of its own here (``None`` leaves a field out), ``command_id`` to choose it
    oneself, and ``patience``: the seconds within which this command may be sent again, if not those
    of the constructor; 0 sends it once.

    Every method raises :class:`~bridge.errors.CommandError` when Telnyx refuses the command or
    cannot be reached.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = "https://api.telnyx.com/v2",
        patience: float = 50.0,
        timeout: float = 4.0,
        connections: int = 32,
    ) -> None:
        """Prepare; nothing is opened before the first command.

        Args:
            api_key: Telnyx API key.
            base_url: REST base address.
            patience: seconds within which a command may be sent again; under 60, the time that
                Telnyx surely remembers a ``command_id``.
            timeout: seconds that one attempt waits for an answer.
            connections: connections kept open; more commands at once are possible, not faster.
        """
        self._allow: Callable[[str, str], object] = lambda key, verb: None
        self._session = CommandSession(
            api_key, base_url, patience=patience, timeout=timeout, connections=connections
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> CallControl:
        """Make one for the account of ``settings``.

        Raises:
            SettingsError: ``TELNYX_API_KEY`` is not set.
        """
        settings.require("telnyx_api_key")
        key = settings.telnyx_api_key
        return cls(
            key.get_secret_value() if key is not None else "", base_url=settings.telnyx_api_url
        )

    def close(self) -> None:
        """End all waiting and close the connections; may be called twice."""
        self._session.close()

    def __enter__(self) -> CallControl:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- beginning and ending a leg ---------------------------------------------------------------

    def answer(self, call_control_id: str, **fields: object) -> CommandResult:
        """Answer an inbound leg; with :mod:`bridge.streamparameters` its media stream is opened."""
        return self._act("answer", call_control_id, fields)

    def reject(
        self, call_control_id: str, cause: RejectCause = "USER_BUSY", **fields: object
    ) -> CommandResult:
        """Refuse an inbound leg that is not answered; a leg that is over counts as refused."""
        return self._end("reject", call_control_id, {"cause": cause, **fields})

    def hangup(self, call_control_id: str, **fields: object) -> CommandResult:
        """End a leg; one that is over already, or unknown, counts as ended."""
        return self._end("hangup", call_control_id, fields)

    def dial(
        self, to: str | Sequence[str], from_: str, connection_id: str, **fields: object
    ) -> LegStatus:
        """Call somebody; the answer comes before the phone rings.

        Never sent again once it may have arrived: on a lost answer the error is raised although
        the phone may ring, and its webhooks then come with an unknown ``call_control_id``.

        Args:
            to: E.164 number or SIP URI, or several that ring at once.
            from_: the number shown to them.
            connection_id: the Call Control application.
            **fields: further fields, ``timeout_secs`` for one.
        """
        patience = _seconds(fields.pop("patience", None))
        fields.setdefault("command_id", str(uuid.uuid4()))
        target = to if isinstance(to, str) else list(to)
        body = {"to": target, "from": from_, "connection_id": connection_id, **fields}
        data = self._session.request(
            "dial", "POST", "/calls", body=_present(body), once=True, patience=patience
        )
        return _leg_status(data, "dial")

    def status(self, call_control_id: str, **fields: object) -> LegStatus | None:
        """Get a leg's state as Telnyx has it; ``None`` when it is unknown, or long over."""
        try:
            data = self._session.request(
                "status",
                "GET",
                f"/calls/{quote(call_control_id, safe='')}",
                patience=_seconds(fields.get("patience")),
            )
        except CommandError as error:
            if is_call_ended(error):
                return None
            raise
        return _leg_status({"call_control_id": call_control_id, **data}, "status")

    # -- media ------------------------------------------------------------------------------------

    def streaming_start(self, call_control_id: str, **fields: object) -> CommandResult:
        """Open a media stream on an answered leg; ``fields`` are :mod:`bridge.streamparameters`."""
        return self._act("streaming_start", call_control_id, fields)

    def streaming_stop(self, call_control_id: str, **fields: object) -> CommandResult:
        """Close the leg's media streams; none being open counts as closed."""
        try:
            return self._act("streaming_stop", call_control_id, fields)
        except CommandError as error:
            if error.code == NO_STREAM_CODE:
                return CommandResult()
            raise

    def speak(
        self, call_control_id: str, payload: str, voice: str, **fields: object
    ) -> CommandResult:
        """Have Telnyx speak a text, without our media stream.

        Args:
            call_control_id: the leg.
            payload: what to say, at most ``SPEAK_LIMIT`` characters.
            voice: a voice's full name.
            **fields: ``language``, ``payload_type``, …
        """
        if len(payload) > SPEAK_LIMIT:
            raise CommandError("speak", "text too long", detail=f"the limit is {SPEAK_LIMIT}")
        return self._act("speak", call_control_id, {"payload": payload, "voice": voice, **fields})

    def playback_start(self, call_control_id: str, **fields: object) -> CommandResult:
        """Have Telnyx play ``audio_url``, ``media_name`` or ``playback_content``."""
        return self._act("playback_start", call_control_id, fields)

    def playback_stop(self, call_control_id: str, **fields: object) -> CommandResult:
        """Stop what Telnyx plays; ``stop="all"`` also what is queued."""
        return self._act("playback_stop", call_control_id, fields)

    def suppression_start(
        self, call_control_id: str, direction: Track = "inbound", **fields: object
    ) -> CommandResult:
        """Have Telnyx suppress noise; charged per direction."""
        return self._act("suppression_start", call_control_id, {"direction": direction, **fields})

    def suppression_stop(self, call_control_id: str, **fields: object) -> CommandResult:
        """Stop suppressing noise."""
        return self._act("suppression_stop", call_control_id, fields)

    # -- recording --------------------------------------------------------------------------------

    def record_start(
        self,
        call_control_id: str,
        *,
        format: Literal["wav", "mp3"] = "wav",  # noqa: A002 - Telnyx's name of the field
        channels: Literal["single", "dual"] = "dual",
        **fields: object,
    ) -> CommandResult:
        """Have Telnyx record the leg; a leg without audio yet refuses with code 90020."""
        body = {"format": format, "channels": channels, **fields}
        return self._act("record_start", call_control_id, body)

    def record_stop(self, call_control_id: str, **fields: object) -> CommandResult:
        """Stop recording; ``call.recording.saved`` follows."""
        return self._act("record_stop", call_control_id, fields)

    def record_pause(self, call_control_id: str, **fields: object) -> CommandResult:
        """Leave out of the recording what follows."""
        return self._act("record_pause", call_control_id, fields)

    def record_resume(self, call_control_id: str, **fields: object) -> CommandResult:
        """Go on recording after a pause."""
        return self._act("record_resume", call_control_id, fields)

    # -- keys -------------------------------------------------------------------------------------

    def send_dtmf(self, call_control_id: str, digits: str, **fields: object) -> CommandResult:
        """Press keys: ``0-9 A-D * #``; ``w`` waits half a second, ``W`` a whole one."""
        return self._act("send_dtmf", call_control_id, {"digits": digits, **fields})

    def gather(self, call_control_id: str, **fields: object) -> CommandResult:
        """Have Telnyx collect keys; ``call.gather.ended`` brings them."""
        return self._act("gather", call_control_id, fields)

    def gather_stop(self, call_control_id: str, **fields: object) -> CommandResult:
        """Stop collecting keys."""
        return self._act("gather_stop", call_control_id, fields)

    # -- other people -----------------------------------------------------------------------------

    def transfer(self, call_control_id: str, to: str, **fields: object) -> CommandResult:
        """Connect the leg with somebody else; a new leg is dialled and bridged on its answer.

        Args:
            call_control_id: the leg.
            to: E.164 number or SIP URI.
            **fields: ``from_`` (sent as ``from``), ``timeout_secs``, …
        """
        if "from_" in fields:
            fields["from"] = fields.pop("from_")
        return self._act("transfer", call_control_id, {"to": to, **fields})

    def refer(self, call_control_id: str, sip_address: str, **fields: object) -> CommandResult:
        """Hand the leg over to a SIP address by REFER."""
        return self._act("refer", call_control_id, {"sip_address": sip_address, **fields})

    def bridge(self, call_control_id: str, other: str, **fields: object) -> CommandResult:
        """Connect two legs that exist; ``other`` is the second one's ``call_control_id``."""
        return self._act("bridge", call_control_id, {"call_control_id": other, **fields})

    def enqueue(self, call_control_id: str, queue_name: str, **fields: object) -> CommandResult:
        """Put the leg into a queue."""
        return self._act("enqueue", call_control_id, {"queue_name": queue_name, **fields})

    def leave_queue(self, call_control_id: str, **fields: object) -> CommandResult:
        """Take the leg out of its queue."""
        return self._act("leave_queue", call_control_id, fields)

    def client_state_update(
        self, call_control_id: str, client_state: str, **fields: object
    ) -> CommandResult:
        """Set the base64 text that Telnyx sends back with every later event of the leg."""
        # The one action without a command_id (Telnyx: SDK); setting it twice changes nothing.
        body = {"client_state": client_state, "command_id": None, **fields}
        return self._act("client_state_update", call_control_id, body)

    # -- any other --------------------------------------------------------------------------------

    def command(self, verb: str, call_control_id: str, **fields: object) -> CommandResult:
        """Send a command by its name at Telnyx, which may be one that has no method here.

        Args:
            verb: the last word of its address, ``"suppression_start"``.
            call_control_id: the leg.
            **fields: as Telnyx documents them.

        Raises:
            CommandError: Telnyx refused, or the name is none.
        """
        if not verb.replace("_", "").isalnum() or not verb.isascii():
            raise CommandError("command", "not a command's name")
        if verb in _DEFAULTS:
            fields = {**_DEFAULTS[verb], **fields}
        return self._act(verb, call_control_id, fields)

    def ask_first(self, allow: Callable[[str, str], object]) -> None:
        """Have ``allow`` asked before each command to a leg: who holds it may have changed.

        Args:
            allow: gets the ``call_control_id`` and the command's name; what it raises, the command
                raises.
        """
        self._allow = allow

    # -- how --------------------------------------------------------------------------------------

    def _act(self, verb: str, call_control_id: str, fields: Mapping[str, object]) -> CommandResult:
        self._allow(call_control_id, verb)
        body = dict(fields)
        patience = _seconds(body.pop("patience", None))
        # Made here, outside of every retry: one id per intended command.
        body.setdefault("command_id", str(uuid.uuid4()))
        data = self._session.request(
            verb,
            "POST",
            f"/calls/{quote(call_control_id, safe='')}/actions/{verb}",
            body=_present(body),
            patience=patience,
        )
        return CommandResult(
            result=str(data.get("result") or "ok"), recording_id=_text(data.get("recording_id"))
        )

    def _end(self, verb: str, call_control_id: str, fields: Mapping[str, object]) -> CommandResult:
        try:
            return self._act(verb, call_control_id, fields)
        except CommandError as error:
            if is_call_ended(error):
                return CommandResult()
            raise


# What the methods fill in where Telnyx wants a field.
_DEFAULTS: dict[str, dict[str, object]] = {
    "record_start": {"format": "wav", "channels": "dual"},
    "client_state_update": {"command_id": None},
}


def _present(body: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in body.items() if value is not None}


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _leg_status(data: Mapping[str, object], command: str) -> LegStatus:
    call_control_id = _text(data.get("call_control_id"))
    if not call_control_id:
        raise CommandError(command, "Telnyx's answer names no call")
    duration = data.get("call_duration")
    return LegStatus(
        call_control_id=call_control_id,
        call_leg_id=_text(data.get("call_leg_id")),
        call_session_id=_text(data.get("call_session_id")),
        is_alive=data.get("is_alive") is True,
        client_state=_text(data.get("client_state")),
        duration=duration if isinstance(duration, int) else 0,
    )
