"""The routes of the dashboard: ``/dashboard``.

| request | what |
| --- | --- |
| ``GET /dashboard`` | live calls |
| ``GET, POST /dashboard/calls`` | past calls; what is searched for is in the body |
| ``GET /dashboard/calls/<id>`` | one call |
| ``POST …/hangup``, ``…/transfer`` | what can be done to a live one |
| ``GET …/recordings/<recording>``, ``…/waveform`` | its sound, and the picture of it |
| ``GET /dashboard/health`` | how the parts have done |
| ``GET, POST /dashboard/sign-in``, ``POST …/sign-out``, ``…/numbers`` | the session |

Pages of what is live are looked at again every second by the script, which puts what has changed
into its place.  A stream of events instead would hold one of the server's threads for each viewer,
and every call needs one of those.

Live calls come from the records, which are written as the calls go: so it does not matter which
process a call lives in, and which one is asked.

Threads: a request's own; blocks on the database, on recordings, and on Telnyx for a hang-up.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wrappers import Response as AnyResponse

from bridge import ranges
from bridge.callcontrol import CallControl
from bridge.dashboard import health, search
from bridge.dashboard.access import Gate, Together
from bridge.dashboard.actions import NOTICES, Actions, Calls, Outcome
from bridge.dashboard.guard import ROOT, Guard, is_ours
from bridge.dashboard.troubles import troubles
from bridge.dashboard.views import PARTS, CallView, clock, look, milliseconds
from bridge.dashboard.waveform import Waveforms
from bridge.errors import BridgeError, RecordsError, StorageError
from bridge.handshake import SocketTaken
from bridge.metrics import Metrics
from bridge.records.schema import CallRecord
from bridge.records.store import RecordStore
from bridge.redaction import mask_number
from bridge.settings import Settings
from bridge.storage import Storage

__all__ = ["Dashboard", "make_blueprint"]

logger = logging.getLogger(__name__)

# Live calls on a page; more than one process of ours holds.
MOST_LIVE = 200

# Calls that the figures of the health page are made of, at most.
MOST_SUMMED = 200

FILES = Path(__file__).parent / "static"


@dataclass(frozen=True)
class Dashboard:
    """What the dashboard shows and does.

    Attributes:
        settings: the environment.
        store: has the records.
        calls: the live ones.
        control: reaches calls that nobody holds any more.
        metrics: the numbers of now.
        storage: has the recordings, if any are made.
        together: counts wrong passwords for all processes, if they can.
    """

    settings: Settings
    store: RecordStore
    calls: Calls
    control: CallControl
    metrics: Metrics
    storage: Storage | None = None
    together: Together | None = None


def make_blueprint(parts: Dashboard) -> Blueprint | None:
    """Make the routes; ``None`` without ``BRIDGE_DASHBOARD_PASSWORD``: then there are none."""
    settings = parts.settings
    if settings.dashboard_password is None or settings.telnyx_api_key is None:
        return None
    gate = Gate(
        settings.dashboard_password.get_secret_value(), settings.telnyx_api_key.get_secret_value()
    )
    troubles.watch()
    guard = Guard(gate, settings.public_url, together=parts.together)
    pages = Blueprint(
        "dashboard",
        __name__,
        url_prefix=ROOT,
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )
    pages.before_request(guard.enter)
    pages.after_request(guard.leave)
    _helpers(pages, guard)
    _session_routes(pages, guard)
    reader = _Reader(parts.store, parts.storage, listen_in=settings.listen_in)
    _call_routes(pages, reader)
    _action_routes(pages, reader, Actions(parts.calls, parts.control, parts.store))
    if settings.listen_in:
        _listening_route(pages, reader, parts.calls)
    _health_routes(pages, parts)
    _errors(pages)
    return pages


def _helpers(pages: Blueprint, guard: Guard) -> None:
    versions = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in FILES.iterdir()
    }

    def number(text: str) -> str:
        if not text:
            return "unknown"
        return text if guard.numbers_shown else mask_number(text)

    @pages.app_template_global("dashboard_file")
    def file(name: str) -> str:
        return url_for("dashboard.static", filename=name, v=versions[name])

    @pages.context_processor
    def common() -> dict[str, Any]:
        return {
            "token": guard.form_token(),
            "number": number,
            "numbers_shown": guard.numbers_shown,
            "clock": clock,
            "ms": milliseconds,
            "part_names": PARTS,
            "here": request.endpoint,
        }

    @pages.after_request
    def keep_files(response: Response) -> Response:
        # Their address changes with what is in them.
        if request.endpoint == "dashboard.static" and response.status_code == 200:
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def _session_routes(pages: Blueprint, guard: Guard) -> None:
    @pages.route("/sign-in", methods=["GET", "POST"])
    def sign_in() -> AnyResponse | tuple[str, int] | tuple[str, int, dict[str, str]]:
        wanted = request.values.get("next", ROOT)
        wanted = wanted if is_ours(wanted) else ROOT
        if request.method == "GET":
            return render_template("dashboard/signin.html", wanted=wanted, problem=""), 200
        guard.require_own_origin()
        outcome = guard.try_password(request.form.get("password", ""))
        if isinstance(outcome, str):
            response = redirect(quote(wanted), 303)
            guard.keep_session(response, outcome)
            return response
        if outcome > 0:
            seconds = int(outcome) + 1
            problem = f"Too many wrong passwords. Try again in {seconds} seconds."
            page = render_template("dashboard/signin.html", wanted=wanted, problem=problem)
            return page, 429, {"Retry-After": str(seconds)}
        problem = "That is not the password."
        return render_template("dashboard/signin.html", wanted=wanted, problem=problem), 403

    @pages.post("/sign-out")
    def sign_out() -> AnyResponse:
        response = redirect(url_for("dashboard.sign_in"), 303)
        guard.end_session(response)
        return response

    @pages.post("/numbers")
    def numbers() -> AnyResponse:
        wanted = request.form.get("next", ROOT)
        response = redirect(quote(wanted) if is_ours(wanted) else ROOT, 303)
        guard.show_numbers(response, request.form.get("show") == "yes")
        return response


def _call_routes(pages: Blueprint, reader: _Reader) -> None:
    @pages.get("/")
    @pages.get("")
    def live() -> str:
        return render_template("dashboard/live.html", calls=reader.live())

    @pages.route("/calls", methods=["GET", "POST"])
    def past() -> str:
        query = search.read(request.form)
        page = search.find(reader.store, query)
        calls = [look(record, _now()) for record in page.calls]
        return render_template("dashboard/past.html", calls=calls, query=query, next=page.next)

    @pages.get("/calls/<call_id>")
    def call(call_id: str) -> str:
        key = request.args.get("notice")
        view = look(reader.call(call_id), _now())
        return render_template(
            "dashboard/call.html",
            call=view,
            notice_key=key if key in NOTICES else None,
            notice=NOTICES.get(key or ""),
            listen_in=reader.listen_in,
        )

    @pages.get("/calls/<call_id>/recordings/<recording_id>")
    def recording(call_id: str, recording_id: str) -> Response:
        storage, location = reader.recording(call_id, recording_id)
        return ranges.send(storage, location)

    @pages.get("/calls/<call_id>/recordings/<recording_id>/waveform")
    def waveform(call_id: str, recording_id: str) -> Response:
        _, location = reader.recording(call_id, recording_id)
        drawn = reader.waveforms.get(location) if reader.waveforms else None
        if drawn is None:
            raise NotFound
        return jsonify(columns=drawn.columns, caller=drawn.caller, agent=drawn.agent)


def _listening_route(pages: Blueprint, reader: _Reader, calls: Calls) -> None:
    @pages.get("/calls/<call_id>/live.wav")
    def listen_in(call_id: str) -> AnyResponse:
        key = reader.call(call_id).id
        ear = calls.listeners.open(key)
        if ear == "nobody":
            if calls.listeners.pass_on(key, request.environ):
                return SocketTaken()
            raise NotFound
        if ear == "busy":
            return Response("busy\n", 503, mimetype="text/plain")
        answer = Response(ear.hear(), mimetype="audio/wav", direct_passthrough=True)
        answer.call_on_close(ear.leave)
        return answer


def _action_routes(pages: Blueprint, reader: _Reader, actions: Actions) -> None:
    def act(call_id: str, do: Callable[[CallRecord], Outcome]) -> AnyResponse:
        outcome = do(reader.call(call_id))
        return redirect(url_for("dashboard.call", call_id=call_id, notice=outcome), 303)

    @pages.post("/calls/<call_id>/hangup")
    def hang_up(call_id: str) -> AnyResponse:
        return act(call_id, actions.hang_up)

    @pages.post("/calls/<call_id>/transfer")
    def transfer(call_id: str) -> AnyResponse:
        return act(call_id, lambda record: actions.transfer(record, request.form.get("to", "")))


def _health_routes(pages: Blueprint, parts: Dashboard) -> None:
    @pages.get("/health")
    def how_it_goes() -> str:
        since = _now() - timedelta(days=1)
        found = parts.store.calls(limit=MOST_SUMMED, live=False)
        recent = [r for r in found if r.began_at >= since and r.call_control_id]
        return render_template(
            "dashboard/health.html",
            health=health.sum_up(recent),
            states=health.states(parts.metrics.expose().decode()),
            troubles=troubles.last(),
            most=MOST_SUMMED,
        )


def _errors(pages: Blueprint) -> None:
    def page(status: int, title: str, text: str) -> tuple[str, int]:
        return render_template("dashboard/error.html", title=title, text=text), status

    @pages.errorhandler(HTTPException)
    def refused(error: HTTPException) -> HTTPException | tuple[str, int]:
        if error.response is not None:
            return error
        titles = {
            403: ("This was refused", "The page was too old, or not one of ours. Load it again."),
            404: ("There is no such page", "The call may have been deleted."),
            413: ("That was too long", ""),
        }
        status = error.code or 500
        return page(status, *titles.get(status, (error.name, "")))

    @pages.errorhandler(BridgeError)
    def failed(error: BridgeError) -> tuple[str, int]:
        logger.error("a page of the dashboard failed: %s", error)
        status = 503 if isinstance(error, RecordsError | StorageError) else 502
        return page(status, "This cannot be shown now", str(error))

    @pages.route("/<path:path>", methods=["GET", "POST"])
    def nothing(path: str) -> str:
        raise NotFound


class _Reader:
    """Reads what the pages show."""

    def __init__(
        self, store: RecordStore, storage: Storage | None, *, listen_in: bool = False
    ) -> None:
        self.store = store
        self.listen_in = listen_in
        self._storage = storage
        self.waveforms = None if storage is None else Waveforms(storage)

    def live(self) -> list[CallView]:
        """Get the calls that go on, the newest first."""
        found = self.store.calls(limit=MOST_LIVE, live=True)
        now = _now()
        # A leg that somebody else was called on has events, and is no call of ours.
        return [look(record, now) for record in found if record.call_control_id]

    def call(self, call_id: str) -> CallRecord:
        record = self.store.call(call_id)
        if record is None:
            raise NotFound
        return record

    def recording(self, call_id: str, recording_id: str) -> tuple[Storage, str]:
        record = self.store.recording(call_id, recording_id)
        if record is None or self._storage is None:
            raise NotFound
        return self._storage, record.location


def _now() -> datetime:
    return datetime.now(timezone.utc)
