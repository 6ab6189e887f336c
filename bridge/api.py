"""Calls for programs: ``/api/calls``.

| request | what |
| --- | --- |
| ``GET /api/calls`` | a page of calls, the newest first |
| ``POST /api/calls`` | dial |
| ``GET /api/calls/<id>`` | one call with all that was said |
| ``POST /api/calls/<id>/hangup`` | end it |
| ``GET /api/calls/<id>/recordings/<recording>`` | its audio, also in ranges |

Every request has ``Authorization: Bearer`` and the value of ``BRIDGE_API_TOKEN``; without that
variable there are no such routes.  Every error is ``{"error": {"code": …, "message": …}}``.

Threads: a request's own; blocks on the database and on where recordings are kept.

Rules of this module:

1. Without the token nothing is told, not even which routes and calls there are.
2. An error holds no number and nothing that was said.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, Protocol

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import HTTPException, NotFound, RequestedRangeNotSatisfiable
from werkzeug.wrappers import Response as AnyResponse

from bridge import ranges
from bridge.bearer import bears
from bridge.callcontrol import CallControl, is_call_ended
from bridge.errors import BridgeError, CommandError, RecordsError, SettingsError, StorageError
from bridge.records.document import document, outline
from bridge.records.schema import CallRecord
from bridge.records.store import Position, RecordStore, position
from bridge.storage import Storage

__all__ = ["make_blueprint"]

logger = logging.getLogger(__name__)

ROOT = "/api"

# Bytes of a request's body.
BODY_LIMIT = 64 * 1024

# Calls on a page.
PAGE = 50
LONGEST_PAGE = 200

# Begins a call to somebody: what the request's body says, and the new call's ids.
Dial = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Calls(Protocol):
    """The calls of this process."""

    def hang_up(self, key: str) -> bool:
        """End a leg by one of its ids; whether there was one."""


class ApiError(Exception):
    """What a request is refused with."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def make_blueprint(
    token: str,
    store: RecordStore,
    calls: Calls,
    control: CallControl,
    *,
    storage: Storage | None = None,
    dial: Dial | None = None,
) -> Blueprint:
    """Make the routes.

    Args:
        token: ``BRIDGE_API_TOKEN``.
        store: has the records.
        calls: the calls of this process.
        control: reaches the calls of other processes.
        storage: has the recordings, if any are made.
        dial: begins an outbound call; raises ``ValueError`` for what it cannot read.
    """
    api = Blueprint("api", __name__, url_prefix=ROOT)
    reader = _Reader(store, storage)

    @api.before_request
    def check() -> Response | None:
        request.max_content_length = BODY_LIMIT
        return None if bears(request.headers.get("Authorization"), token) else _unauthorised()

    @api.get("/calls")
    def list_calls() -> Response:
        return jsonify(reader.page(request.args))

    @api.post("/calls")
    def begin_call() -> tuple[Response, int]:
        body = request.get_json()
        if not isinstance(body, dict):
            raise ApiError(400, "bad_request", "the body must be a JSON object")
        if dial is None:
            raise ApiError(501, "not_implemented", "this version places no calls")
        try:
            return jsonify(dict(dial(body))), 201
        except (ValueError, SettingsError) as error:
            raise ApiError(400, "bad_request", str(error)) from None

    @api.get("/calls/<call_id>")
    def read_call(call_id: str) -> Response:
        return jsonify(document(reader.call(call_id)))

    @api.post("/calls/<call_id>/hangup")
    def hang_up(call_id: str) -> tuple[Response, int]:
        _hang_up(call_id, reader, calls, control)
        return jsonify({"id": call_id, "hanging_up": True}), 202

    @api.get("/calls/<call_id>/recordings/<recording_id>")
    def read_recording(call_id: str, recording_id: str) -> Response:
        return reader.recording(call_id, recording_id)

    _handle_errors(api, token)
    return api


def _handle_errors(api: Blueprint, token: str) -> None:
    @api.errorhandler(ApiError)
    def refused(error: ApiError) -> AnyResponse:
        return _error(error.status, error.code, str(error))

    @api.errorhandler(BridgeError)
    def failed(error: BridgeError) -> AnyResponse:
        logger.error("an API request failed: %s", error)
        if isinstance(error, RecordsError | StorageError):
            return _error(503, "unavailable", str(error))
        return _error(502, "telnyx_refused", str(error))

    # The router's own errors, 404 and 405, belong to no blueprint.
    @api.app_errorhandler(HTTPException)
    def plain(error: HTTPException) -> AnyResponse | HTTPException:
        if not request.path.startswith(f"{ROOT}/") or error.response is not None:
            return error
        if not bears(request.headers.get("Authorization"), token):
            return _unauthorised()
        code = (error.name or "error").lower().replace(" ", "_")
        answer = _error(error.code or 500, code, error.description or error.name or "")
        for name, value in error.get_headers():
            if name == "Allow":
                answer.headers[name] = value
        return answer


def _hang_up(call_id: str, reader: _Reader, calls: Calls, control: CallControl) -> None:
    """End a call, wherever it lives."""
    if calls.hang_up(call_id):
        return
    record = reader.call(call_id)
    if record.ended_at is not None or not record.call_control_id:
        raise ApiError(409, "ended", "the call is over")
    try:
        # Held by another process, which Telnyx will tell.
        control.hangup(record.call_control_id)
    except CommandError as error:
        if is_call_ended(error):
            raise ApiError(409, "ended", "the call is over") from None
        raise


class _Reader:
    """Reads records and recordings."""

    def __init__(self, store: RecordStore, storage: Storage | None) -> None:
        self._store = store
        self._storage = storage

    def call(self, call_id: str) -> CallRecord:
        record = self._store.call(call_id)
        if record is None:
            raise ApiError(404, "not_found", "there is no such call")
        return record

    def page(self, query: Mapping[str, str]) -> dict[str, Any]:
        known = {"limit", "cursor", "number", "text", "live"}
        for name in query:
            if name not in known:
                raise ApiError(400, "bad_request", f"there is no parameter {name[:40]!r}")
        limit = _limit(query.get("limit"))
        found = self._store.calls(
            # One more tells whether there is another page.
            limit=limit + 1,
            after=_position(query.get("cursor")),
            number=_number(query.get("number", "")),
            text=query.get("text") or None,
            live=_switch(query.get("live")),
            whole=False,
        )
        page = found[:limit]
        return {
            "calls": [outline(record) for record in page],
            "next": _cursor(position(page[-1])) if len(found) > limit else None,
        }

    def recording(self, call_id: str, recording_id: str) -> Response:
        record = self._store.recording(call_id, recording_id)
        if record is None or self._storage is None:
            raise ApiError(404, "not_found", "there is no such recording")
        try:
            return ranges.send(self._storage, record.location)
        except NotFound:
            raise ApiError(404, "not_found", "the recording is not there") from None
        except RequestedRangeNotSatisfiable as error:
            refusal = _error(416, "range_not_satisfiable", "the recording is shorter")
            refusal.headers["Content-Range"] = f"bytes */{error.length}"
            return refusal


def _limit(value: str | None) -> int:
    if value is None:
        return PAGE
    if not value.isascii() or not value.isdigit() or not 1 <= int(value[:6]) <= LONGEST_PAGE:
        raise ApiError(400, "bad_request", f"limit must be a number from 1 to {LONGEST_PAGE}")
    return int(value)


def _number(value: str) -> str | None:
    # A plus sign that was not encoded comes as a space.
    return "+" + value.strip() if value.startswith(" ") else value or None


def _switch(value: str | None) -> bool | None:
    if value is None:
        return None
    if value not in ("true", "false"):
        raise ApiError(400, "bad_request", "live must be true or false")
    return value == "true"


def _cursor(place: Position) -> str:
    text = f"{place[0].astimezone(timezone.utc).isoformat()} {place[1]}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position(cursor: str | None) -> Position | None:
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        moment, _, call_id = text.partition(" ")
        began_at = datetime.fromisoformat(moment)
    except (ValueError, binascii.Error):
        raise ApiError(400, "bad_request", "cursor must be the next of a page before") from None
    return began_at.astimezone(timezone.utc), call_id


def _unauthorised() -> Response:
    answer = _error(401, "unauthorized", "Authorization: Bearer and the API token are needed")
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _error(status: int, code: str, message: str) -> Response:
    answer = jsonify({"error": {"code": code, "message": message}})
    answer.status_code = status
    return answer
