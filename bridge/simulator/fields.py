"""Read the body of a command, and refuse what Telnyx refuses.

Pure.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from typing import Any

from bridge.simulator.apierrors import ApiError
from bridge.simulator.stream import StreamOptions

# E.164 as the API checks it; SIP addresses are let through beside it.
_E164 = re.compile(r"\+[1-9]\d{4,14}")

STREAM_CODECS = ("default", "PCMU", "PCMA", "G722", "OPUS", "AMR-WB", "L16")
STREAM_RATES = (8000, 16000, 22050, 24000, 48000)
TOKEN_LIMIT = 4000


class Fields:
    """The body of one command."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = body

    def __contains__(self, name: str) -> bool:
        return self.body.get(name) is not None

    def require(self, name: str) -> Any:
        """Get a field that has to be there."""
        value = self.body.get(name)
        if value is None or value == "":
            raise ApiError(
                "10004",
                f"The '{name}' parameter is required and cannot be blank.",
                pointer=f"/{name}",
            )
        return value

    def text(self, name: str, default: str = "") -> str:
        """Get a text."""
        value = self.body.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise ApiError("10015", f"The '{name}' parameter must be a string.", pointer=f"/{name}")
        return value

    def choice(self, name: str, allowed: Collection[Any], default: Any) -> Any:
        """Get one of a few values; their case matters."""
        value = self.body.get(name)
        if value is None:
            return default
        if not isinstance(value, (str, int)) or value not in allowed:
            raise ApiError(
                "10032",
                f"The '{name}' parameter must be one of: {', '.join(map(str, allowed))}.",
                pointer=f"/{name}",
            )
        return value

    def number(self, name: str, low: float, high: float, default: float) -> float:
        """Get a number within limits."""
        value = self.body.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ApiError("10015", f"The '{name}' parameter must be a number.", pointer=f"/{name}")
        if not low <= value <= high:
            raise ApiError(
                "10033",
                f"The '{name}' parameter must be from {low:g} to {high:g}.",
                pointer=f"/{name}",
            )
        return float(value)

    def address(self, name: str) -> str:
        """Get a phone number or a SIP address that has to be there."""
        value = self.require(name)
        if isinstance(value, str) and (
            value.startswith(("sip:", "sips:")) or _E164.fullmatch(value)
        ):
            return value
        raise ApiError(
            "10016",
            f"The '{name}' parameter must be in +E164 format or a SIP URI.",
            pointer=f"/{name}",
        )

    def pairs(self, name: str) -> list[dict[str, str]]:
        """Get a list of names and values."""
        value = self.body.get(name) or []
        if not isinstance(value, list) or not all(
            isinstance(item, dict) and "name" in item and "value" in item for item in value
        ):
            raise ApiError(
                "10015",
                f"The '{name}' parameter must be a list of names and values.",
                pointer=f"/{name}",
            )
        return [{"name": str(item["name"]), "value": str(item["value"])} for item in value]

    def client_state(self) -> str | None:
        """Get the client's tag, if one is given."""
        value = self.body.get("client_state")
        if value is None:
            return None
        try:
            base64.b64decode(value if isinstance(value, str) else "?", validate=True)
        except (binascii.Error, ValueError):
            raise ApiError(
                "90017", "The client_state must be a valid base64 string.", pointer="/client_state"
            ) from None
        return str(value)

    def stream(self, *, takes_rate: bool = True, takes_token: bool = True) -> StreamOptions:
        """Get the stream parameters.

        Args:
            takes_rate: whether the command knows ``stream_bidirectional_sampling_rate``.
            takes_token: whether it knows ``stream_auth_token``.
        """
        url = self.require("stream_url")
        if not isinstance(url, str) or not url.startswith(("ws://", "wss://")):
            raise ApiError(
                "10015", "The stream_url must begin with wss:// or ws://.", pointer="/stream_url"
            )
        token = self.text("stream_auth_token")
        if len(token) > TOKEN_LIMIT:
            raise ApiError(
                "10033", "The stream_auth_token is too long.", pointer="/stream_auth_token"
            )
        tracks = ("inbound_track", "outbound_track", "both_tracks")
        rate = self.choice("stream_bidirectional_sampling_rate", STREAM_RATES, 8000)
        options = StreamOptions(
            url=url,
            track=self.choice("stream_track", tracks, "inbound_track"),
            codec=self.choice("stream_codec", STREAM_CODECS, "default"),
            mode=self.choice("stream_bidirectional_mode", ("mp3", "rtp"), "mp3"),
            bidirectional_codec=self.choice(
                "stream_bidirectional_codec", STREAM_CODECS[1:], "PCMU"
            ),
            rate=rate if takes_rate else 8000,
            target_legs=self.choice(
                "stream_bidirectional_target_legs", ("self", "opposite", "both"), "opposite"
            ),
            auth_token=token if token and takes_token else None,
            custom_parameters={p["name"]: p["value"] for p in self.pairs("custom_parameters")},
        )
        if "AMR-WB" in (options.codec, options.bidirectional_codec):
            raise ApiError("90046", "AMR-WB is not available on this simulator.")
        return options
