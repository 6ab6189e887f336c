"""One request to Telnyx's REST API at a time: retries, refusals, bodies that break off.

Blocks; every wait has an end.  One object may be used by several threads.

Rules of this module:

1. What may pass when tried again is tried again: connection errors, 408, 429 (after the time the
   service asks for) and 5xx; never a refusal.
2. No error holds the API key, or a cause that does: what ``requests`` raises carries the request.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import requests
import requests.adapters
import requests.auth
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import NewConnectionError
from urllib3.exceptions import TimeoutError as TimeoutError_
from urllib3.util import Retry

from telnyx_media.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLost,
    DeadlineExceeded,
    ServiceError,
)
from telnyx_media.sync.access import check_key
from telnyx_media.sync.connection import RETRYABLE_STATUS
from telnyx_media.sync.pools import close_session
from telnyx_media.transcripts import ServerError, read_error
from telnyx_media.urls import without_query

# The longest wait before a request is tried again, in seconds.
LONGEST_PAUSE = 10.0

CHUNK = 4096

_NO_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)


class _Retry(Retry):
    """Waits as long as the service asks for, within reason."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, LONGEST_PAUSE)


class _Bearer(requests.auth.AuthBase):
    """Sets the header itself, so that a ``.netrc`` cannot replace it."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class RestClient:
    """Sends requests with the key, and tries again what may pass."""

    def __init__(self, api_key: str | None, base_url: str, retries: int, backoff: float) -> None:
        """Prepare; nothing is opened.

        Args:
            api_key: of Telnyx; the environment's ``TELNYX_API_KEY`` when ``None``.
            base_url: of the REST API.
            retries: how often a request is tried again.
            backoff: seconds before the first of them, doubled each time.

        Raises:
            ConfigurationError: there is no key.
        """
        self._key = check_key(api_key)
        self.base_url = base_url.rstrip("/")
        retry = _Retry(
            total=retries,
            status_forcelist=[408, 425, 429, 500, 502, 503, 504],
            # All of these requests may be repeated: they change nothing.
            allowed_methods=None,
            backoff_factor=backoff,
            backoff_max=LONGEST_PAUSE,
            respect_retry_after_header=True,
            redirect=0,
            raise_on_status=False,
        )
        self._session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(max_retries=retry)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def close(self) -> None:
        """Close the connections; may be called twice."""
        close_session(self._session)

    def request(
        self, method: str, path: str, *, timeout: tuple[float, float], **arguments: Any
    ) -> requests.Response:
        """Send a request; the answer is open, and its body not read yet.

        Args:
            method: of HTTP.
            path: behind the base address.
            timeout: seconds to connect, and without a byte of the answer.
            **arguments: ``json``, ``data``, ``files`` …

        Raises:
            ServiceError: the service refused.
            ConnectionLost: it could not be reached, or took too long.
        """
        outcome = self._send(method, path, timeout, arguments)
        if isinstance(outcome, requests.Response):
            return outcome
        # Raised here, so that nothing of requests' is its context, and no answer in its traceback.
        try:
            raise outcome
        finally:
            del outcome

    def _send(
        self, method: str, path: str, timeout: tuple[float, float], arguments: dict[str, Any]
    ) -> requests.Response | Exception:
        try:
            response = self._session.request(
                method,
                self.base_url + path,
                auth=_Bearer(self._key),
                timeout=timeout,
                stream=True,
                allow_redirects=False,
                **arguments,
            )
        except requests.Timeout:
            return DeadlineExceeded(f"{without_query(self.base_url)}{path} took too long")
        except _NO_ADDRESS:
            return ConfigurationError("base_url: an absolute https:// address is needed")
        except requests.RequestException as error:
            return _unreachable(f"{without_query(self.base_url)}{path}", error)
        if response.status_code == requests.codes.ok:
            return response
        return self._refusal(response)

    def _refusal(self, response: requests.Response) -> ServiceError:
        code = response.status_code
        said = ServerError()
        with contextlib.suppress(requests.RequestException, msgspec.DecodeError, UnicodeError):
            value: object = msgspec.json.decode(response.content)
            if isinstance(value, dict):
                errors = value.get("errors") or value.get("error") or {}
                said = read_error(errors[0] if isinstance(errors, list) else errors)
        response.close()
        kind = AuthenticationError if code in (401, 403) else ServiceError

        def scrub(text: str) -> str:
            return text.replace(self._key, "…")

        return kind(
            scrub(said.title) or "the service refused the request",
            code=scrub(said.code),
            detail=scrub(said.detail),
            http_status=code,
            request_id=scrub(response.headers.get("x-request-id", "")),
            retryable=code in RETRYABLE_STATUS or code >= 500,
        )


def _unreachable(where: str, error: requests.RequestException) -> ConnectionLost:
    # What the last of several attempts met comes wrapped; a refused connection is a timeout to
    # urllib3.
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(cause, TimeoutError_) and not isinstance(cause, NewConnectionError):
        return DeadlineExceeded(f"{where} took too long")
    system = getattr(cause, "__cause__", None)
    words = system.strerror if isinstance(system, OSError) else None
    return ConnectionLost(f"{where} cannot be reached ({words or type(error).__name__})")


def content_of(response: requests.Response) -> bytes:
    """Read a whole body.

    Raises:
        ConnectionLost: it broke off.
    """
    problem = ""
    content = b""
    try:
        content = response.content
    except requests.RequestException as error:
        problem = type(error).__name__
    if problem:
        raise ConnectionLost(f"the answer broke off ({problem})")
    return content


def pieces_of(response: requests.Response) -> Iterator[bytes]:
    """Read a body as it arrives.

    Raises:
        ConnectionLost: it broke off.
    """
    count = 0
    problem = ""
    try:
        for chunk in response.iter_content(CHUNK):
            count += len(chunk)
            yield chunk
    except requests.RequestException as error:
        problem = type(error).__name__
    if problem:
        raise ConnectionLost(f"the answer broke off after {count} bytes ({problem})")
