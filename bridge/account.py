"""What the account owns at Telnyx: Call Control applications, phone numbers, voices.

For ``bridge setup`` and ``bridge doctor``, which look and change a few things while a person waits;
commands to calls are in :mod:`bridge.callcontrol`.

Threads: one; every method blocks for a request or a few.

Telnyx: call-control-applications, phone-numbers, webhook-deliveries, public-key, text-to-speech
voices and speech-to-text providers reference pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from bridge.errors import CommandError
from bridge.redaction import redact

# Seconds to connect and to wait for an answer; a person is watching.
TIMEOUT = (3.05, 10.0)

# Pages that are read of a list, of 100 entries each.
PAGES = 50


class Account:
    """The resources of one Telnyx account; use it as a ``with`` block."""

    def __init__(self, api_key: str, base_url: str) -> None:
        """Prepare; nothing is opened before the first request.

        Args:
            api_key: Telnyx API key.
            base_url: REST base address.
        """
        self._base_url = base_url.rstrip("/")
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {api_key}"
        # An authenticator, even one that does nothing, keeps a .netrc from replacing the header.
        self._session.auth = lambda request: request
        retry = Retry(2, backoff_factor=0.3, status_forcelist=(429, 502, 503, 504))
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))
        self.server_time: float | None = None
        """The server's clock at its last answer, Unix seconds."""

    def __enter__(self) -> Account:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._session.close()

    def public_key(self) -> str:
        """Get the base64 Ed25519 key that webhooks are signed with."""
        return str(self._data("GET", "/public_key").get("public") or "")

    def applications(self) -> list[dict[str, Any]]:
        """List the Call Control applications."""
        return list(self._pages("/call_control_applications"))

    def create_application(self, fields: Mapping[str, object]) -> dict[str, Any]:
        """Make a Call Control application."""
        return self._data("POST", "/call_control_applications", dict(fields))

    def update_application(self, id: str, fields: Mapping[str, object]) -> dict[str, Any]:  # noqa: A002
        """Change a Call Control application."""
        return self._data("PATCH", f"/call_control_applications/{quote(id, safe='')}", dict(fields))

    def numbers(self) -> list[dict[str, Any]]:
        """List the phone numbers."""
        return list(self._pages("/phone_numbers"))

    def attach_number(self, id: str, application_id: str) -> dict[str, Any]:  # noqa: A002
        """Send a number's calls to an application."""
        path = f"/phone_numbers/{quote(id, safe='')}"
        return self._data("PATCH", path, {"connection_id": application_id})

    def deliveries(self) -> list[dict[str, Any]]:
        """Get the last webhook deliveries, the newest first."""
        return self._list("/webhook_deliveries", {"page[size]": "20"})

    def voices(self) -> set[str]:
        """Get the names of the voices that streaming synthesis offers."""
        document = self._request("GET", "/text-to-speech/voices")
        return {str(v.get("voice_id") or v.get("id") or "") for v in document.get("voices", [])}

    def stt_engines(self) -> set[str]:
        """Get the names of the transcription engines."""
        return {str(row.get("provider") or "") for row in self._list("/speech-to-text/providers")}

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        for page in range(1, PAGES + 1):
            rows = self._list(path, {"page[size]": "100", "page[number]": str(page)})
            yield from rows
            if len(rows) < 100:
                return

    def _list(self, path: str, params: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        data = self._request("GET", path, params=params).get("data")
        return [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []

    def _data(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        data = self._request(method, path, body).get("data")
        return data if isinstance(data, dict) else {}

    def _request(
        self,
        method: str,
        path: str,
        body: object = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        command = f"{method} {path}"
        try:
            response = self._session.request(
                method,
                self._base_url + path,
                json=body,
                params=params,
                timeout=TIMEOUT,
                # A redirect would carry the key elsewhere.
                allow_redirects=False,
            )
        except requests.RequestException as error:
            reason = type(error).__name__
            raise CommandError(command, "no answer", detail=reason, retryable=True) from None
        if "date" in response.headers:
            self.server_time = parsedate_to_datetime(response.headers["date"]).timestamp()
        try:
            document = response.json()
        except requests.JSONDecodeError:
            document = {}
        if not isinstance(document, dict):
            document = {}
        if not response.ok:
            raise _refused(command, response, document)
        return document


def _refused(command: str, response: requests.Response, document: dict[str, Any]) -> CommandError:
    errors = document.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    if not isinstance(first, dict):
        first = {}
    return CommandError(
        command,
        redact(str(first.get("title") or response.reason or "refused")),
        code=str(first.get("code") or ""),
        detail=redact(str(first.get("detail") or "")),
        http_status=response.status_code,
    )
