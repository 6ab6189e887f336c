"""Telnyx's error answers.

Telnyx: api-errors page. ``code`` is text, a list may hold several errors, and every error names a
page about itself.

Pure.
"""

from __future__ import annotations

from typing import Any

from bridge.simulator.server import HttpResponse

# Code: title, and the HTTP status that clients have observed or that the page gives.
CODES: dict[str, tuple[str, int]] = {
    "10004": ("Missing required parameter", 422),
    "10005": ("Resource not found", 404),
    "10007": ("Unexpected error", 500),
    "10008": ("Request timeout", 504),
    "10009": ("Authentication failed", 401),
    "10010": ("Authorization failed", 403),
    "10011": ("Too many requests", 429),
    "10015": ("Bad Request", 400),
    "10016": ("Phone number must be in +E164 format", 422),
    "10027": ("Parameter not allowed", 422),
    "10032": ("Invalid value", 422),
    "10033": ("Value out of range", 422),
    "10037": ("Service unavailable", 503),
    "90010": ("Invalid payload length", 422),
    "90015": ("Invalid Call Control ID", 422),
    "90017": ("Invalid client state", 422),
    "90018": ("Call has already ended", 422),
    "90020": ("Recording not possible yet", 422),
    "90034": ("Call not answered yet", 422),
    "90041": ("Outbound channel limit exceeded", 403),
    "90045": ("Media streaming is in use", 422),
    "90046": ("Media streaming could not start", 422),
    "90048": ("No media stream is running", 422),
    "90102": ("Command not allowed on an outbound call", 422),
    "90103": ("Dials per second limit exceeded", 429),
}


class ApiError(Exception):
    """A request that is answered with an error."""

    def __init__(
        self, code: str, detail: str, *, pointer: str | None = None, status: int | None = None
    ) -> None:
        """Make one.

        Args:
            code: Telnyx's.
            detail: the sentence about it.
            pointer: JSON pointer into the body, ``/client_state``.
            status: the HTTP status, if not the code's own.
        """
        super().__init__(f"{code} {detail}")
        title, usual = CODES.get(code, ("Error", 422))
        self.status = usual if status is None else status
        self.error: dict[str, Any] = {
            "code": code,
            "title": title,
            "detail": detail,
            "meta": {"url": f"https://developers.telnyx.com/docs/overview/errors/{code}"},
        }
        if pointer is not None:
            self.error["source"] = {"pointer": pointer}

    def response(self) -> HttpResponse:
        """Get the answer."""
        return HttpResponse.of_json({"errors": [self.error]}, self.status)
