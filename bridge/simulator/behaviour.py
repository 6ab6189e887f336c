"""What Telnyx does where its documentation is silent or contradicts itself.

Each field is one open question, and its default the answer that a careful client must survive.  A
test that depends on the other answer sets it.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Behaviour:
    """Answers to what the documentation leaves open.

    Attributes:
        opposite_on_single_leg: who hears a stream with target legs ``opposite`` (the default of
            Telnyx) on a leg that is not bridged. Official demos omit the field and are heard; many
            users report silence.
        transcoding: what ``stream_codec`` can turn the leg's codec into: ``all``, or only PCMU and
            PCMA into one another as the TeXML page says.
        answer_takes_rate: whether ``answer`` honours ``stream_bidirectional_sampling_rate``, which
            its reference page does not list.
        answer_takes_token: the same of ``stream_auth_token``.
        l16_byte_order: of L16 on the media stream.
        stream_lost: what follows when the media socket goes without a close frame: the webhook
            ``streaming.failed``, the webhook ``streaming.stopped``, a second connection by Telnyx,
            or nothing at all.
        stream_closed: what follows when the client closes the media socket properly.
        error_ends_stream: whether the socket is closed behind an ``error`` frame.
        command_id_window: seconds for which a repeated ``command_id`` is ignored.
        webhook_timeout: seconds a webhook may take when the application does not say.
        webhook_retry_delays: seconds before each further attempt at the primary URL.
        ended_call_readable: seconds for which ``GET /calls/{id}`` finds an ended call.
        first_command_seconds: after how long an inbound call without a command is hung up when the
            application asks for that.
    """

    opposite_on_single_leg: Literal["silent", "heard"] = "silent"
    transcoding: Literal["all", "g711"] = "all"
    answer_takes_rate: bool = False
    answer_takes_token: bool = False
    l16_byte_order: Literal["little", "big"] = "little"
    stream_lost: Literal["failed", "stopped", "reconnect", "nothing"] = "failed"
    stream_closed: Literal["failed", "stopped", "nothing"] = "stopped"
    error_ends_stream: bool = False
    command_id_window: float = 60.0
    webhook_timeout: float = 2.0
    webhook_retry_delays: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    ended_call_readable: float = 600.0
    first_command_seconds: float = 30.0
