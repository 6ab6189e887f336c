"""``/api/calls`` under a real server: who gets in, what is told, what can be done."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from bridge.app import Bridge, create_app
from bridge.records.schema import RecordingRecord, RemarkRecord
from tests.app.databases import NOON
from tests.app.test_app import settings, silent
from tests.loopback import PATIENCE, wait_until
from tests.loopback.http import ScriptedHttp, refusal
from tests.loopback.web import event, post, serving

TOKEN = "token-of-the-api-for-tests"
AUDIO = bytes(range(256)) * 4000


class Api:
    """A client of the API, and what is behind it."""

    def __init__(self, url: str, bridge: Bridge, telnyx: ScriptedHttp) -> None:
        self.url = url
        self.bridge = bridge
        self.telnyx = telnyx

    def ask(
        self, path: str, method: str = "GET", *, token: str | None = TOKEN, **options: Any
    ) -> requests.Response:
        """Send a request."""
        headers = options.pop("headers", {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return requests.request(
            method, f"{self.url}/api{path}", headers=headers, timeout=PATIENCE, **options
        )


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """The application with three calls in its records, one of them live somewhere else."""
    with ScriptedHttp() as telnyx:
        environ = {
            "BRIDGE_API_TOKEN": TOKEN,
            "BRIDGE_HOME": str(tmp_path / "home"),
            "BRIDGE_RECORDINGS": str(tmp_path / "recordings"),
        }
        app = create_app(settings(telnyx, **environ), agent=silent)
        bridge: Bridge = app.extensions["bridge"]
        store = bridge.books.store
        store.upgrade()
        for n in range(3):
            store.save_call(
                f"leg-{n}", call_control_id=f"v3:{n}", began_at=NOON + timedelta(hours=n),
                from_number="+12025550123", to_number=f"+1202555019{n}",
                **({} if n == 2 else {"ended_at": NOON + timedelta(hours=n, seconds=30)}),
            )  # fmt: skip
        store.add(RemarkRecord, "leg-0", id="a", speaker="caller", text="Zwei Pizzen", at=NOON)
        store.add(RecordingRecord, "leg-0", id="r", location="x.wav", seconds=2.0, began_at=NOON)
        (tmp_path / "recordings").mkdir()
        (tmp_path / "recordings" / "x.wav").write_bytes(AUDIO)
        with serving(app) as url:
            try:
                yield Api(url, bridge, telnyx)
            finally:
                bridge.close()


def error_of(response: requests.Response) -> tuple[int, str]:
    """Get status and code of an error, whose shape is checked on the way."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message"}
    assert body["error"]["message"]
    return response.status_code, body["error"]["code"]


# -- who gets in ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}",
     TOKEN, "Bearer \xe9\xe9"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/calls", "/calls/leg-0", "/calls/leg-0/recordings/r", "/no"])
def test_nobody_gets_in_without_the_token(api: Api, header: str | None, path: str) -> None:
    """Not to a call, and not to whether there is one."""
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = api.ask(path, token=None, headers=headers)
    assert error_of(answer) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_nothing_is_done_without_the_token(api: Api) -> None:
    """Neither hanging up nor dialling."""
    for path in ("/calls/leg-2/hangup", "/calls", "/calls/leg-2"):
        assert error_of(api.ask(path, "POST", token=None))[0] == 401
    assert error_of(api.ask("/calls", "DELETE", token=None))[0] == 401
    assert api.telnyx.requests == []


def test_without_a_token_there_are_no_such_routes() -> None:
    """The API is off unless it is switched on."""
    app = create_app(settings(), agent=silent)
    try:
        with serving(app) as url:
            for token in ("", "None", TOKEN):
                answer = requests.get(
                    f"{url}/api/calls", headers={"Authorization": f"Bearer {token}"},
                    timeout=PATIENCE,
                )  # fmt: skip
                assert answer.status_code == 404
    finally:
        app.extensions["bridge"].close()


# -- reading --------------------------------------------------------------------------------------


def test_calls_are_listed_in_pages(api: Api) -> None:
    """The newest first; the last page has no next one."""
    first = api.ask("/calls", params={"limit": "2"}).json()
    assert [call["id"] for call in first["calls"]] == ["leg-2", "leg-1"]
    assert (first["calls"][0]["live"], first["calls"][0]["seconds"]) == (True, None)
    assert (first["calls"][1]["live"], first["calls"][1]["seconds"]) == (False, 30.0)
    assert "remarks" not in first["calls"][0]
    second = api.ask("/calls", params={"limit": "2", "cursor": first["next"]}).json()
    assert ([call["id"] for call in second["calls"]], second["next"]) == (["leg-0"], None)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("live=true", ["leg-2"]),
        ("live=false", ["leg-1", "leg-0"]),
        ("number=%2B12025550191", ["leg-1"]),
        ("number=+12025550191", ["leg-1"]),
        ("number=12025550191", []),
        ("text=pizz", ["leg-0"]),
        ("text=pizz&live=true", []),
    ],
)
def test_calls_are_filtered(api: Api, query: str, found: list[str]) -> None:
    """By state, number and words."""
    assert [call["id"] for call in api.ask(f"/calls?{query}").json()["calls"]] == found


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "limit=%C2%B2", "live=maybe", "cursor=%%%", "cursor=AAAA",
     "colour=red"],
)  # fmt: skip
def test_a_wrong_query_is_refused(api: Api, query: str) -> None:
    """With what would be right."""
    assert error_of(api.ask(f"/calls?{query}")) == (400, "bad_request")


def test_one_call_is_told_whole(api: Api) -> None:
    """What was said, and which recordings there are."""
    call = api.ask("/calls/leg-0").json()
    assert [remark["text"] for remark in call["remarks"]] == ["Zwei Pizzen"]
    assert [recording["id"] for recording in call["recordings"]] == ["r"]
    assert error_of(api.ask("/calls/nobody")) == (404, "not_found")


@pytest.mark.parametrize(
    ("header", "status", "part"),
    [
        (None, 200, AUDIO),
        ("bytes=0-", 206, AUDIO),
        ("bytes=10-19", 206, AUDIO[10:20]),
        (f"bytes={len(AUDIO) - 5}-{len(AUDIO) + 99}", 206, AUDIO[-5:]),
        ("bytes=-7", 206, AUDIO[-7:]),
        ("bytes=-", 200, AUDIO),
        ("lines=1-2", 200, AUDIO),
    ],
)
def test_a_recording_is_read_in_whole_or_in_part(
    api: Api, header: str | None, status: int, part: bytes
) -> None:
    """As an audio player asks for it."""
    headers = {} if header is None else {"Range": header}
    answer = api.ask("/calls/leg-0/recordings/r", headers=headers)
    assert (answer.status_code, answer.content) == (status, part)
    assert answer.headers["Content-Type"].startswith("audio/wav")
    assert int(answer.headers["Content-Length"]) == len(part)
    if status == 206:
        start = AUDIO.index(part) if len(part) > 10 else len(AUDIO) - len(part)
        end = start + len(part) - 1
        if header == "bytes=10-19":
            start, end = 10, 19
        assert answer.headers["Content-Range"] == f"bytes {start}-{end}/{len(AUDIO)}"


def test_a_recording_that_is_not_there(api: Api, tmp_path: Path) -> None:
    """Beyond its end, of another call, deleted, or kept elsewhere."""
    beyond = api.ask("/calls/leg-0/recordings/r", headers={"Range": f"bytes={len(AUDIO)}-"})
    assert error_of(beyond) == (416, "range_not_satisfiable")
    assert error_of(api.ask("/calls/leg-1/recordings/r")) == (404, "not_found")
    (tmp_path / "recordings" / "x.wav").unlink()
    assert error_of(api.ask("/calls/leg-0/recordings/r")) == (404, "not_found")
    store = api.bridge.books.store
    store.add(RecordingRecord, "leg-0", id="s", location="../home/calls.db", began_at=NOON)
    store.add(RecordingRecord, "leg-0", id="t", location="s3://bucket/x.wav", began_at=NOON)
    for recording in ("s", "t"):
        answer = api.ask(f"/calls/leg-0/recordings/{recording}")
        assert error_of(answer) == (503, "unavailable")


# -- doing ----------------------------------------------------------------------------------------


def test_a_call_of_this_process_is_hung_up(api: Api) -> None:
    """It ends as if the agent had hung up, and its record says who did."""
    post(api.url, event("call.initiated", direction="incoming"))
    wait_until(lambda: api.bridge.switchboard.legs())
    assert api.ask("/calls/leg/hangup", "POST").status_code == 202
    wait_until(lambda: api.ask("/calls/leg").json().get("reason") == "operator")
    assert any(request.path.endswith("/actions/hangup") for request in api.telnyx.requests)


def test_a_call_of_another_process_is_hung_up_through_telnyx(api: Api) -> None:
    """By the address that its record has."""
    answer = api.ask("/calls/leg-2/hangup", "POST")
    assert (answer.status_code, answer.json()) == (202, {"id": "leg-2", "hanging_up": True})
    assert api.telnyx.requests[-1].path == "/v2/calls/v3%3A2/actions/hangup"


def test_what_cannot_be_hung_up(api: Api) -> None:
    """Nobody's call, one that is over, and one of which Telnyx says so."""
    assert error_of(api.ask("/calls/nobody/hangup", "POST")) == (404, "not_found")
    assert error_of(api.ask("/calls/leg-0/hangup", "POST")) == (409, "ended")
    api.telnyx.answers.append(refusal(403, "10010", "Forbidden"))
    assert error_of(api.ask("/calls/leg-2/hangup", "POST")) == (502, "telnyx_refused")


@pytest.mark.parametrize(
    "body", [{}, {"to": "nobody"}, {"to": 5}, {"to": "+12025550123", "colour": "red"},
             {"to": "+12025550123", "timeout": -1}],
)  # fmt: skip
def test_a_dial_that_makes_no_sense_is_refused(api: Api, body: dict[str, Any]) -> None:
    """And Telnyx is not asked."""
    assert error_of(api.ask("/calls", "POST", json=body)) == (400, "bad_request")
    assert api.telnyx.requests == []


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nothing", (404, "not_found")),
        ("GET", "/", (404, "not_found")),
        ("DELETE", "/calls", (405, "method_not_allowed")),
        ("GET", "/calls/leg-0/hangup", (405, "method_not_allowed")),
    ],
)
def test_every_error_has_one_shape(
    api: Api, method: str, path: str, expected: tuple[int, str]
) -> None:
    """Also those that the router makes."""
    assert error_of(api.ask(path, method)) == expected


def test_a_body_has_a_limit(api: Api) -> None:
    """Nobody fills the memory."""
    answer = api.ask("/calls", "POST", json={"to": "x" * 100_000})
    assert error_of(answer) == (413, "request_entity_too_large")
    assert error_of(api.ask("/calls", "POST", json=["x"])) == (400, "bad_request")
    assert error_of(api.ask("/calls", "POST", data="x"))[0] == 415


def test_a_database_that_is_away_is_said_so() -> None:
    """503, and nothing of its address."""
    environ = {
        "BRIDGE_API_TOKEN": TOKEN, "DATABASE_URL": "postgres://me:pass-word@127.0.0.1:1/calls",
    }  # fmt: skip
    app = create_app(settings(None, **environ), agent=silent)
    try:
        with serving(app) as url:
            answer = Api(url, app.extensions["bridge"], ScriptedHttp.__new__(ScriptedHttp)).ask(
                "/calls"
            )
            assert error_of(answer) == (503, "unavailable")
            assert "pass-word" not in answer.text
    finally:
        app.extensions["bridge"].close()
