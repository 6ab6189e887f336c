"""The REST API: who may ask, what is asked, and the shape of the answer.

Telnyx: call-commands reference, command-retries and api-errors pages.  A request comes in with its
path already cut into decoded segments, is matched against the routes of :mod:`~.actions` and
:mod:`~.resources`, and every answer carries the rate-limit headers.

Threads: a request runs on its connection's thread; whatever touches a leg holds the carrier's lock.
"""

from __future__ import annotations

import contextlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.simulator.apierrors import ApiError
from bridge.simulator.carrier import Carrier
from bridge.simulator.faults import CommandFailure
from bridge.simulator.server import BadBody, HttpRequest, HttpResponse

# Requests a second that the headers speak of; nothing is refused for going beyond.
RATE_LIMIT = 200

Handler = Callable[[HttpRequest, dict[str, str]], HttpResponse]


@dataclass(frozen=True)
class ApiRoute:
    """One route.

    Attributes:
        method: the HTTP method.
        path: segments below ``/v2``; one that begins with ``:`` names a variable.
        handler: takes the request and the variables.
    """

    method: str
    path: tuple[str, ...]
    handler: Handler

    def match(self, path: tuple[str, ...]) -> dict[str, str] | None:
        """Get the variables if the path is of this route."""
        if len(path) != len(self.path):
            return None
        variables = {}
        for have, want in zip(path, self.path, strict=True):
            if want.startswith(":"):
                variables[want[1:]] = have
            elif have != want:
                return None
        return variables


def route(method: str, path: str, handler: Handler) -> ApiRoute:
    """Make a route from a path such as ``/calls/:id``."""
    return ApiRoute(method, tuple(path.strip("/").split("/")), handler)


class Api:
    """Everything below ``/v2``."""

    def __init__(self, carrier: Carrier, api_key: str, routes: list[ApiRoute]) -> None:
        """Put the routes behind the key.

        Args:
            carrier: the network.
            api_key: the only key that is let in.
            routes: what there is.
        """
        self._carrier = carrier
        self._api_key = api_key
        self._routes = routes
        self._second = 0
        self._used = 0

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; the path begins with ``v2``."""
        faults = self._carrier.faults
        if faults.slow_rest:
            # The waiting is the fault itself; stopping the simulator ends it.
            self._carrier.group.stopping.wait(faults.slow_rest)
        try:
            self._authenticate(request)
            failure = faults.take(_command_name(request))
            if failure is not None:
                return self._fail(failure, request)
            response = self._dispatch(request)
        except ApiError as error:
            response = error.response()
        except BadBody as error:
            response = ApiError("10015", f"The request could not be read: {error}.").response()
        response.headers |= self._rate_headers()
        return response

    def _authenticate(self, request: HttpRequest) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(key.strip().encode(), self._api_key.encode())
        if scheme.lower() != "bearer" or not right:
            raise ApiError(
                "10009", "The required authentication headers were either invalid or not included."
            )

    def _fail(self, failure: CommandFailure, request: HttpRequest) -> HttpResponse:
        if failure.executed:
            # What it would have answered is lost with the answer.
            with contextlib.suppress(ApiError, BadBody):
                self._dispatch(request)
        if not failure.status:
            return HttpResponse(lost=True)
        error = ApiError(failure.code, "A fault that was asked for.", status=failure.status)
        response = error.response()
        response.headers |= self._rate_headers()
        if failure.status == 429:
            response.headers["retry-after"] = "1"
        return response

    def _dispatch(self, request: HttpRequest) -> HttpResponse:
        path = request.path[1:]
        for candidate in self._routes:
            if candidate.method == request.method:
                variables = candidate.match(path)
                if variables is not None:
                    return candidate.handler(request, variables)
        raise ApiError("10005", "The requested resource or URL could not be found.")

    def _rate_headers(self) -> dict[str, str]:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._used = second, 0
        self._used += 1
        return {
            "x-ratelimit-limit": str(RATE_LIMIT),
            "x-ratelimit-remaining": str(max(0, RATE_LIMIT - self._used)),
            "x-ratelimit-reset": "1",
        }


def _command_name(request: HttpRequest) -> str:
    """Get the name by which a fault is ordered: the action's, or ``dial``."""
    path = request.path[1:]
    if path == ("calls",) and request.method == "POST":
        return "dial"
    if len(path) == 4 and path[0] == "calls" and path[2] == "actions":
        return path[3]
    return "/".join(path)


def ok(data: Any, **more: Any) -> HttpResponse:
    """Answer with ``data``."""
    return HttpResponse.of_json({"data": data, **more})
