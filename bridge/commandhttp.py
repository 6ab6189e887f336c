"""One request to Telnyx's REST API, sent again while that may help.

Requests get lost, and so do answers: the two look alike from here.  :class:`CommandSession` tells
apart what matters, whether the request can have arrived, and repeats it accordingly.

Threads: any thread may call any method; a request blocks until it is answered or given up.

Rules of this module:

1. Server errors, no answer and a broken connection are repeated; 429 after the time Telnyx names.
2. What must not happen twice is repeated only if it cannot have arrived, or was refused with 429,
   and travels on a new connection, where that can be told.
3. All attempts start within ``patience`` seconds of the first.
4. No address, key or body is in an error or a log line.
"""

from __future__ import annotations

import email.utils
import logging
import random
import threading
import time
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version

import msgspec
import requests
import tenacity
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NewConnectionError,
    ProxyError,
)

from bridge.errors import CommandError
from bridge.redaction import redact
from telnyx_media.sync.pools import close_session

logger = logging.getLogger(__name__)

# Seconds to connect: just above one retransmission of a lost SYN packet.
CONNECT_TIMEOUT = 3.05

# Pauses between attempts: a quarter of a second, doubled up to eight seconds, less a random part.
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 8.0

# Codes by which a server asks for another attempt (Telnyx: API errors page): internal error,
# timeout, service unavailable.
SERVER_CODES = frozenset({"10007", "10008", "10037"})

# Refused now, welcome later: recording before audio, command before the answer, rate limits.
LATER_CODES = frozenset({"90020", "90034", "90103"}) | SERVER_CODES

# What is kept of the words in Telnyx's error, in characters.
DETAIL_LIMIT = 300


class _Failure(Exception):
    """An attempt that did not succeed.

    Attributes:
        error: what the caller gets if it was the last one.
        again: whether to send the same request again.
        arrived: whether the request may have been acted upon.
        pause: seconds that the server asked for, or ``None``.
    """

    def __init__(
        self, error: CommandError, *, again: bool, arrived: bool, pause: float | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.again = again
        self.arrived = arrived
        self.pause = pause


class _Bearer(AuthBase):
    """The API key as a header; an authenticator, since a ``.netrc`` replaces plain headers."""

    def __init__(self, api_key: str) -> None:
        self._value = f"Bearer {api_key}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


class CommandSession:
    """Connections to the REST API of one account."""

    def __init__(
        self, api_key: str, base_url: str, *, patience: float, timeout: float, connections: int
    ) -> None:
        """Prepare; nothing is opened before the first request.

        Args:
            api_key: Telnyx API key.
            base_url: REST base address, without a slash at its end.
            patience: seconds within which a request may be sent again.
            timeout: seconds that one attempt waits for an answer.
            connections: connections that are kept open.
        """
        self._base_url = base_url.rstrip("/")
        self._patience = patience
        self._timeout = (CONNECT_TIMEOUT, timeout)
        self._connections = connections
        self._auth = _Bearer(api_key)
        self._closing = threading.Event()
        # Shared by all threads: its connection pool is made for that, and nothing else of it
        # changes after this line (cookies, which would, are refused).
        self._session = self._new_session()

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.auth = self._auth
        session.headers["User-Agent"] = f"telnyx-bridge/{_version()}"
        session.headers["Accept"] = "application/json"
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = HTTPAdapter(pool_maxsize=self._connections)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def close(self) -> None:
        """End all waiting between attempts, and the connections; may be called twice."""
        self._closing.set()
        close_session(self._session)

    def _sleep(self, seconds: float) -> None:
        self._closing.wait(seconds)

    def request(
        self,
        command: str,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        params: Mapping[str, str] | None = None,
        once: bool = False,
        patience: float | None = None,
    ) -> dict[str, object]:
        """Send a request and get the ``data`` object of the answer, empty if it has none.

        Args:
            command: name for errors and the log.
            method: ``"POST"``, ``"GET"``, …
            path: below the base address, percent-encoded.
            body: sent as JSON.
            params: query.
            once: whether it must not be carried out twice.
            patience: seconds within which it may be sent again, if not the session's.

        Raises:
            CommandError: refused, or given up.
        """
        patience = self._patience if patience is None else patience
        content = None if body is None else msgspec.json.encode(body)
        started = time.monotonic()
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: _may_repeat(error, once)),
            wait=_pause,
            stop=tenacity.stop_before_delay(patience),
            sleep=self._sleep,
            before_sleep=_note_repeat,
            reraise=True,
        )
        try:
            data = retrying(self._attempt, command, method, path, content, params, once)
        except _Failure as failure:
            error = failure.error
        else:
            logger.debug("Telnyx took %s after %.3f s", command, time.monotonic() - started)
            return data
        # Raised here, so that no request, which has the key, is in its traceback, and no answer.
        try:
            raise error
        finally:
            del error

    def _attempt(
        self,
        command: str,
        method: str,
        path: str,
        content: bytes | None,
        params: Mapping[str, str] | None,
        once: bool,
    ) -> dict[str, object]:
        if self._closing.is_set():
            closed = CommandError(command, "not sent", detail="the bridge is stopping")
            raise _Failure(closed, again=False, arrived=False)
        # On a kept connection a request can be lost because the server has just closed it, and
        # that looks as if it had arrived; a new one leaves no doubt.
        session = self._new_session() if once else self._session
        try:
            response = session.request(
                method,
                self._base_url + path,
                data=content,
                params=params,
                headers={"Content-Type": "application/json"} if content is not None else None,
                timeout=self._timeout,
                # A redirect would carry the key elsewhere.
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise _unanswered(command, error) from None
        finally:
            if once:
                close_session(session)
        if 200 <= response.status_code < 300:
            return _data(response.content)
        raise _refused(command, response)


def _may_repeat(error: BaseException, once: bool) -> bool:
    return isinstance(error, _Failure) and error.again and not (once and error.arrived)


def _pause(state: tenacity.RetryCallState) -> float:
    """Choose the seconds before the next attempt: Telnyx's, or a growing one of ours."""
    failure = state.outcome.exception() if state.outcome is not None else None
    if isinstance(failure, _Failure) and failure.pause is not None:
        return failure.pause
    longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (state.attempt_number - 1))
    return random.uniform(longest / 2, longest)


def _note_repeat(state: tenacity.RetryCallState) -> None:
    failure = state.outcome.exception() if state.outcome is not None else None
    logger.warning("sending a command again after attempt %d: %s", state.attempt_number, failure)


def _unanswered(command: str, error: requests.RequestException) -> _Failure:
    """Judge an exception of requests, whose own text holds the address."""
    inner = error.args[0] if error.args else None
    reason = inner.reason if isinstance(inner, MaxRetryError) else inner
    unsent = isinstance(error, requests.exceptions.SSLError | requests.exceptions.ProxyError)
    unsent = unsent or isinstance(reason, NewConnectionError | ConnectTimeoutError | ProxyError)
    again = True
    if isinstance(error, requests.exceptions.SSLError):
        detail = "the encrypted connection could not be made"
        # A certificate does not get better within a minute; a broken handshake may.
        again = "CERTIFICATE" not in str(error).upper()
    elif isinstance(error, requests.exceptions.ConnectTimeout) or unsent:
        detail = "no connection could be made"
    elif isinstance(error, requests.exceptions.Timeout):
        detail = "it did not answer in time"
    elif isinstance(error, requests.exceptions.ConnectionError):
        detail = "the connection broke"
    elif isinstance(error, requests.exceptions.ChunkedEncodingError):
        detail = "the answer broke off"
    else:
        # The request itself cannot be made: a bad address, a header that is none.
        detail, again, unsent = f"the request cannot be made ({type(error).__name__})", False, True
    refusal = CommandError(command, "no answer from Telnyx", detail=detail, retryable=again)
    return _Failure(refusal, again=again, arrived=not unsent)


def _refused(command: str, response: requests.Response) -> _Failure:
    """Judge an answer that is no success (Telnyx: API errors page)."""
    status = response.status_code
    first = _first_error(response.content)
    code = str(first.get("code") or "")
    limited = status == 429
    server = status in (408, 500, 502, 503, 504) or (status >= 500 and code in SERVER_CODES)
    error = CommandError(
        command,
        _words(first.get("title")) or response.reason or "refused",
        code=code,
        detail=_words(first.get("detail")),
        http_status=status,
        retryable=limited or server or code in LATER_CODES,
    )
    pause = _asked_pause(response, time.time()) if limited or server else None
    # An answer of 429 says that nothing was done; a server's error says nothing of the kind.
    return _Failure(error, again=limited or server, arrived=not limited, pause=pause)


def _asked_pause(response: requests.Response, now: float) -> float | None:
    """Read how long Telnyx wants to be left alone (``x-ratelimit-reset``, ``retry-after``)."""
    for name in ("x-ratelimit-reset", "retry-after"):
        text = response.headers.get(name, "").strip()
        if not text:
            continue
        try:
            seconds = float(text)
        except ValueError:
            moment = email.utils.parsedate_tz(text)
            if moment is None:
                continue
            seconds = email.utils.mktime_tz(moment) - now
        # Documented in seconds to wait; a point in Unix time is told by its size.
        if seconds > 1e9:
            seconds -= now
        if seconds == seconds:  # not NaN
            return max(0.0, seconds)
    return None


def _data(content: bytes) -> dict[str, object]:
    data = _json(content).get("data")
    return data if isinstance(data, dict) else {}


def _first_error(content: bytes) -> dict[str, object]:
    errors = _json(content).get("errors")
    if isinstance(errors, list):
        for error in errors:
            if isinstance(error, dict):
                return error
    return {}


def _json(content: bytes) -> dict[str, object]:
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _words(value: object) -> str:
    """Make Telnyx's words fit for a log: one line, short, nothing in it that is masked."""
    return redact(" ".join(value.split()))[:DETAIL_LIMIT] if isinstance(value, str) else ""


def _version() -> str:
    try:
        return version("telnyx-bridge")
    except PackageNotFoundError:
        return "0"
