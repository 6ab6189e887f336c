"""Who gets into the dashboard, what they see, and what they can do."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from bridge.call import Call
from bridge.dashboard import access, views
from bridge.dashboard.access import Attempts, Gate
from bridge.dashboard.actions import number_of
from bridge.dashboard.troubles import Troubles
from bridge.dashboard.waveform import draw
from bridge.errors import StorageError
from bridge.simulator import Callee
from tests.app.dashboards import (
    CALLED,
    CALLER,
    PASSWORD,
    Desk,
    Visitor,
    add_call,
    add_recording,
    ago,
    desk,
    words_of,
)
from tests.app.phone import phone_line
from tests.loopback import PATIENCE, wait_until

SAID = (
    ("agent", "Good morning, what can I do?"),
    ("caller", "I would like to book a table."),
    ("agent", "For how many?"),
)

# What a page shows of a call to who may not see it.
PRIVATE = ("book a table", CALLER, CALLED, "…23", "Live")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Desk]:
    """A dashboard with one call in its records."""
    with desk(tmp_path) as made:
        add_call(made.store, "leg-one", *SAID)
        yield made


@pytest.fixture
def person(shop: Desk) -> Iterator[Visitor]:
    """Somebody who is signed in."""
    with shop.person() as made:
        yield made


# -- who gets in ----------------------------------------------------------------------------------


def test_without_a_password_there_is_no_dashboard(tmp_path: Path) -> None:
    """No value, no route: not even a page to sign in at."""
    with desk(tmp_path, BRIDGE_DASHBOARD_PASSWORD="") as shop, shop.visitor() as visitor:
        for path in ("", "/", "/sign-in", "/calls", "/static/dashboard.css"):
            assert visitor.get(path).status_code == 404
        assert visitor.post("/sign-in", {"password": ""}).status_code == 404


@pytest.mark.parametrize(
    "path", ["", "/", "/calls", "/calls/leg-one", "/health", "/calls/leg-one/recordings/r", "/what"]
)
def test_a_stranger_sees_the_sign_in_page_only(shop: Desk, path: str) -> None:
    """Every page sends strangers there and tells them nothing, not even which pages there are."""
    with shop.visitor() as visitor:
        answer = visitor.get(path)
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/dashboard/sign-in")
        assert not any(word in answer.text for word in PRIVATE)


@pytest.mark.parametrize("path", ["/calls", "/calls/leg-one/hangup", "/calls/leg-one/transfer"])
def test_a_stranger_changes_nothing(shop: Desk, path: str) -> None:
    """Neither do forms without a session."""
    with shop.visitor() as visitor:
        assert visitor.post(path, {"to": CALLER}).status_code == 303


def test_the_script_is_told_that_the_session_is_over(shop: Desk) -> None:
    """A page that follows a call is not sent to another one, which it would take for the call."""
    with shop.visitor() as visitor:
        answer = visitor.get("", **{"X-Requested-With": "dashboard.js"})
        assert answer.status_code == 401
        assert "leg-one" not in answer.text


def test_the_password_lets_in_and_signing_out_shuts(shop: Desk) -> None:
    """A session lives in a cookie that no script sees and no other site sends."""
    with shop.visitor() as visitor:
        answer = visitor.sign_in()
        assert answer.headers["Location"] == "/dashboard"
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Path=/dashboard" in cookie
        assert "Secure" not in cookie
        assert visitor.get().status_code == 200
        assert visitor.send("/sign-out").status_code == 303
        assert visitor.get().status_code == 303


@pytest.mark.parametrize(
    "headers", [{"X-Forwarded-Proto": "https"}, {"Host": "calls.example.com"}], ids=str
)
def test_over_https_the_cookie_never_leaves_without_it(shop: Desk, headers: dict[str, str]) -> None:
    """Also behind a proxy that ends TLS."""
    with shop.visitor() as visitor:
        answer = visitor.sign_in(**headers)
        assert "; Secure" in answer.headers["Set-Cookie"]
        assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_another_process_knows_the_session(tmp_path: Path) -> None:
    """Whichever process is asked: a session is its cookie, and no process remembers it."""
    with desk(tmp_path) as one, desk(tmp_path) as other, one.person() as person:
        person.url = other.url
        assert person.get().status_code == 200


def test_another_password_ends_all_sessions(tmp_path: Path) -> None:
    """Changing it shuts everybody out."""
    changed = {"BRIDGE_DASHBOARD_PASSWORD": f"{PASSWORD} 2"}
    with desk(tmp_path) as one, desk(tmp_path, **changed) as two, one.person() as person:
        person.url = two.url
        assert person.get().status_code == 303


@pytest.mark.parametrize("cookie", ["", "x", "1.2.3", f"9999999999.{'0' * 32}.{'0' * 64}"])
def test_a_made_up_cookie_opens_nothing(shop: Desk, cookie: str) -> None:
    """It has to be signed."""
    with shop.visitor() as visitor:
        visitor.session.cookies.set("bridge_session", cookie)
        assert visitor.get().status_code == 303


def test_wrong_passwords_are_refused_and_then_not_looked_at(
    shop: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """After a few from one address not even the right one is, for a while; others go on."""
    with shop.visitor() as visitor, shop.visitor() as other, caplog.at_level(logging.INFO):
        for _ in range(access.FROM_ONE):
            answer = visitor.sign_in("correct horse bakery")
            assert answer.status_code == 403
            assert "not the password" in answer.text
        answer = visitor.sign_in()
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= access.WINDOW + 1
        # Somebody else, told apart by the proxy's word.
        assert other.sign_in(**{"X-Forwarded-For": "192.0.2.7"}).status_code == 303
    assert "bakery" not in caplog.text


def test_wrong_passwords_count_only_for_a_while() -> None:
    """From everywhere together too, so that a made-up address helps little."""
    attempts = Attempts()
    for n in range(access.FROM_ALL):
        assert attempts.take(f"a{n}", now=100.0 + n / 10) == 0
    assert attempts.take("new", now=110.0) == pytest.approx(50.0)
    assert attempts.take("new", now=100.0 + access.WINDOW) == 0


def test_the_right_password_is_no_wrong_one() -> None:
    """Who signs in again and again is not kept out."""
    attempts = Attempts()
    for _ in range(2 * access.FROM_ALL):
        assert attempts.take("a", now=100.0) == 0
        attempts.give_back("a")


def test_a_session_ends() -> None:
    """After a working day the password is asked for again."""
    gate = Gate("a password", "a key")
    cookie = gate.begin(now=1000.0)
    assert gate.session(cookie, now=1000.0 + access.LASTS - 1)
    assert gate.session(cookie, now=1000.0 + access.LASTS) is None
    assert Gate("a password", "another key").session(cookie, now=1000.0) is None
    longer = cookie.replace(cookie.split(".")[0], "9999999999")
    assert gate.session(longer, now=1000.0) is None


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/dashboardx",
     "/dashboard/\r\nX: y", "/api/calls"],
)  # fmt: skip
def test_signing_in_leads_nowhere_else(shop: Desk, wanted: str) -> None:
    """The page that comes next is one of ours, whatever the link said."""
    with shop.visitor() as visitor:
        answer = visitor.post("/sign-in", {"password": PASSWORD, "next": wanted})
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/dashboard"


def test_signing_in_leads_to_the_page_that_was_asked_for(shop: Desk) -> None:
    """A link to a call works after signing in."""
    with shop.visitor() as visitor:
        page = visitor.get("/calls/leg-one").headers["Location"]
        wanted = re.search(r'name="next" value="([^"]+)"', visitor.session.get(
            f"{shop.url}{page}", timeout=PATIENCE
        ).text)  # fmt: skip
        assert wanted is not None
        answer = visitor.post("/sign-in", {"password": PASSWORD, "next": wanted[1]})
        assert answer.headers["Location"] == "/dashboard/calls/leg-one"


# -- what pages may do ----------------------------------------------------------------------------


def test_a_form_needs_the_token_of_its_session(shop: Desk, person: Visitor) -> None:
    """A token of nobody, of somebody else, or none at all: refused."""
    with shop.person() as other:
        for token in ("", "0" * 64, "é", other.token()):
            answer = person.post("/numbers", {"token": token, "show": "yes"})
            assert answer.status_code == 403
    assert CALLER not in person.reads("/calls")


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
     {"Sec-Fetch-Site": "same-site"}],
    ids=str,
)  # fmt: skip
def test_a_form_of_another_site_is_refused(
    shop: Desk, person: Visitor, headers: dict[str, str]
) -> None:
    """Even with the right token, and when signing in."""
    fields = {"token": person.token(), "show": "yes"}
    assert person.post("/numbers", fields, **headers).status_code == 403
    with shop.visitor() as visitor:
        assert visitor.sign_in(**headers).status_code == 403


@pytest.mark.parametrize("path", ["", "/calls", "/calls/leg-one", "/health", "/sign-in", "/gone"])
def test_every_page_is_fenced_in(person: Visitor, path: str) -> None:
    """Nothing is loaded or run but what is ours, nothing is framed, nothing is kept."""
    answer = person.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, no-store"
    # What the policy would refuse is not there.
    assert not re.search(r"<script(?![^>]*\ssrc=)|\sstyle=|<style|\son[a-z]+=", answer.text)


def test_files_are_kept_until_they_change(person: Visitor) -> None:
    """Script and stylesheet have an address that changes with them."""
    for name in re.findall(r'(?:src|href)="(/dashboard/static/[^"]+)"', person.get().text):
        answer = person.session.get(f"{person.url}{name}", timeout=PATIENCE)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
    assert person.get("/static/../routes.py").status_code == 404


@pytest.mark.parametrize("live", [True, False])
def test_what_a_caller_says_is_text(shop: Desk, person: Visitor, live: bool) -> None:
    """Markup in words, numbers and ids is shown, not obeyed."""
    attack = "<script>alert(1)</script><img src=x onerror=alert(2)>\"' onclick=alert(3)"
    add_call(shop.store, "leg-x", ("caller", attack), ("agent", attack), live=live,
             from_number=attack, codec="<b>x</b>"[:16])  # fmt: skip
    add_recording(shop, "leg-x")
    person.send("/numbers", show="yes")
    for path in ("", "/calls", "/calls/leg-x", "/health"):
        page = person.get(path).text
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "<b>x" not in page
    page = person.send("/calls", text=attack, number=attack, since=attack).text
    assert "<script>alert" not in page
    assert "<script>alert(1)</script>" in words_of(person.get("/calls/leg-x").text)


def test_numbers_are_masked_until_somebody_wants_to_see_them(person: Visitor) -> None:
    """Then in this browser only."""
    for path in ("/calls", "/calls/leg-one"):
        page = person.get(path).text
        assert CALLER not in page
        assert "…23" in page
    assert person.send("/numbers", show="yes", next="/dashboard/calls").status_code == 303
    assert CALLER in person.reads("/calls/leg-one")
    person.send("/numbers", show="no")
    assert CALLER not in person.reads("/calls/leg-one")


def test_nothing_private_is_logged(person: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    """Searching and looking leaves neither numbers nor words behind."""
    with caplog.at_level(logging.DEBUG):
        person.send("/calls", number=CALLER, text="book a table")
        person.get("/calls/leg-one")
    assert CALLER not in caplog.text
    assert "book" not in caplog.text


# -- what is seen ---------------------------------------------------------------------------------


def test_a_live_call_is_on_the_first_page_with_its_last_words(shop: Desk, person: Visitor) -> None:
    """Those that are over are not."""
    assert "No calls right now" in person.reads()
    add_call(shop.store, "leg-two", ("agent", "Is anybody there?"), live=True, began=30)
    page = person.reads()
    assert "1 live call" in page
    assert "Is anybody there?" in page
    assert "book a table" not in page


def test_a_reply_is_seen_while_it_is_said(shop: Desk, person: Visitor) -> None:
    """With what was heard of it by then; complete, it is one remark and no second one."""
    add_call(shop.store, "leg-two", live=True, began=30)
    store, one = shop.store, {"id": "r", "speaker": "agent", "at": ago(10)}
    store.save_remark("leg-two", text="First.", heard="", **one)
    store.save_remark("leg-two", text="First. Second.", heard="First.", **one)
    assert "First. Second." in person.reads("/calls/leg-two")
    assert "not heard" not in person.reads("/calls/leg-two")
    store.save_remark("leg-two", text="First. Second.", heard="First.", interrupted=True,
                      until=ago(5), **one)  # fmt: skip
    # Told late by another thread: it changes nothing any more.
    store.save_remark("leg-two", text="First.", heard="First.", **one)
    page = person.reads("/calls/leg-two")
    assert "First. not heard: Second." in page
    assert "interrupted" in page
    assert page.count("First.") == 1


def test_a_leg_that_is_not_ours_is_no_call(shop: Desk, person: Visitor) -> None:
    """Events of a leg that a transfer has made have a row, and nothing to be seen."""
    shop.store.save_call("somebody-else")
    assert "No calls right now" in person.reads()
    assert "somebody-else" not in person.get("/calls").text


def test_calls_are_found_by_number_words_and_days(shop: Desk, person: Visitor) -> None:
    """What is searched for is sent in the body, and stays in the form."""
    add_call(shop.store, "leg-old", ("caller", "Where is my parcel?"), began=3 * 86400,
             from_number="+12025550177")  # fmt: skip
    day = ago(3 * 86400).date().isoformat()

    def found(**fields: str) -> set[str]:
        page = person.send("/calls", **fields).text
        return set(re.findall(r"/dashboard/calls/(leg-[a-z]+)", page))

    assert found() == {"leg-one", "leg-old"}
    assert found(text="PARCEL") == {"leg-old"}
    assert found(text="no such words") == set()
    assert found(number="+1 (202) 555-0177") == {"leg-old"}
    assert found(number=CALLER) == {"leg-one"}
    assert found(since=day, until=day) == {"leg-old"}
    assert found(since=ago(86400).date().isoformat()) == {"leg-one"}
    assert 'value="PARCEL"' in person.send("/calls", text="PARCEL").text
    assert "Write days like" in person.send("/calls", since="yesterday").text


def test_a_day_is_the_searchers_own(shop: Desk, person: Visitor) -> None:
    """A call at 23:30 UTC is tomorrow's for somebody in Berlin."""
    from datetime import datetime, timezone

    add_call(shop.store, "leg-late", ("caller", "Hello"),
             began_at=datetime(2026, 1, 5, 23, 30, tzinfo=timezone.utc),
             ended_at=datetime(2026, 1, 5, 23, 40, tzinfo=timezone.utc))  # fmt: skip
    berlin = {"since": "2026-01-06", "until": "2026-01-06", "offset": "-60"}
    assert "leg-late" in person.send("/calls", **berlin).text
    assert "leg-late" not in person.send("/calls", **{**berlin, "offset": "0"}).text


def test_calls_come_in_pages(shop: Desk, person: Visitor) -> None:
    """Every call is on exactly one of them."""
    for n in range(60):
        add_call(shop.store, f"leg-n{n:02d}", began=1000 + n)
    seen: list[str] = []
    after = ""
    while True:
        page = person.send("/calls", after=after).text
        seen += re.findall(r"/dashboard/calls/(leg-[a-z0-9]+)", page)
        more = re.search(r'name="after" value="([^"]+)"', page)
        if more is None:
            break
        after = more[1]
    assert len(seen) == len(set(seen)) == 61


def test_one_call_has_its_turns_latencies_and_events(shop: Desk, person: Visitor) -> None:
    """And what it cost, if Telnyx has said."""
    shop.store.save_call("leg-one", total_cost="0.0142", currency="USD")
    page = person.reads("/calls/leg-one")
    for words in ("book a table", "830 ms", "caller hung up", "call.initiated", "0.0142 USD"):
        assert words in page
    assert person.get("/calls/nobody").status_code == 404


def test_a_recording_is_heard_whole_and_in_parts(shop: Desk, person: Visitor) -> None:
    """A player asks for the part that it is at."""
    audio = add_recording(shop, "leg-one")
    path = "/calls/leg-one/recordings/leg-one-r"
    whole = person.get(path)
    assert (whole.status_code, whole.content) == (200, audio)
    part = person.get(path, Range="bytes=100-199")
    assert (part.status_code, part.content) == (206, audio[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(audio)}"
    assert person.get(path, Range="bytes=500-").content == audio[500:]
    assert person.get(path, Range=f"bytes={len(audio)}-").status_code == 416
    assert person.get("/calls/leg-two/recordings/leg-one-r").status_code == 404
    drawn = person.get(f"{path}/waveform").json()
    assert drawn["columns"] > 1000
    assert drawn["caller"].count("M") == drawn["agent"].count("M") == drawn["columns"]


def test_a_waveform_shows_where_somebody_spoke() -> None:
    """However the bytes come; silence is a thin line, and what is no recording is told."""
    from telnyx_media.pcm import stereo, wav_header

    loud, silent = (b"\x00\x40\x00\xc0" * 12000), bytes(48000)
    pcm = stereo(loud + silent, silent + loud)
    audio = wav_header(8000, 2, len(pcm)) + pcm
    whole = draw(iter([audio]), len(audio))
    assert draw((audio[n : n + 997] for n in range(0, len(audio), 997)), len(audio)) == whole
    first, *_, last = whole.caller.split("M")[1:]
    assert first == "0.5 2.0V98.0"
    assert last == f"{whole.columns - 1}.5 50.0V50.8"
    assert draw(iter([audio[:44]]), 44).caller == ""
    with pytest.raises(StorageError):
        draw(iter([b"ID3" + bytes(100)]), 103)


def test_health_tells_what_went_wrong(shop: Desk, person: Visitor) -> None:
    """Parts with their figures, endings, and the warnings of this process."""
    counts = {"stt_reconnects": 2, "stt_dropped": 1.5, "packets": 100, "lost_packets": 9}
    add_call(shop.store, "leg-bad", reason="agent failed", began=50, counts=counts)
    assert (
        requests.post(f"{shop.url}/telnyx/webhook", data=b"{}", timeout=PATIENCE).status_code == 401
    )
    page = person.reads("/health")
    for words in ("2 reconnected", "1.5 s of speech", "1 failed", "agent failed", "webhooks"):
        assert words in page
    assert "refused a webhook" in page


def test_the_same_warning_is_kept_once() -> None:
    """Counted, the last one on top; masked like any log line."""
    kept, log = Troubles(), logging.Logger("telnyx_media.sync.sttsession")
    log.addHandler(kept)
    log.warning("lost the connection of %s", "+12025550123")
    log.error("gave up")
    log.warning("lost the connection of %s", "+12025550123")
    log.info("fine")
    first, second = kept.last()
    assert (first.line, first.times, first.part) == ("lost the connection of +…23", 2, "recogniser")
    assert (second.line, second.level) == ("gave up", "error")


def test_a_database_that_fails_is_one_line(shop: Desk, person: Visitor) -> None:
    """On a page, not a traceback."""
    with shop.store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE calls RENAME TO gone")
    answer = person.get()
    assert answer.status_code == 503
    assert "cannot be shown now" in answer.text
    assert "Traceback" not in answer.text


# -- what can be done -----------------------------------------------------------------------------


def test_a_live_call_appears_and_can_be_hung_up(tmp_path: Path) -> None:
    """A real one: its words, and its end by a button."""

    def agent(call: Call) -> None:
        call.say("Good morning.")
        call.listen()

    with phone_line(agent, BRIDGE_DASHBOARD_PASSWORD=PASSWORD) as phone:
        call = phone.call({"wait": 60})
        with Visitor(phone.url) as person:
            person.sign_in()
            wait_until(lambda: "Good morning." in words_of(person.get().text), "what is said")
            path = re.search(r'href="/dashboard(/calls/[^"]+)"', person.get().text)
            assert path is not None
            answer = person.send(f"{path[1]}/hangup")
            assert answer.status_code == 303
            assert phone.seen.summary().reason == "operator"
            call.wait(4 * PATIENCE)
            wait_until(lambda: "hung up here" in person.reads(path[1]), "the end")
            answer = person.send(f"{path[1]}/hangup")
            assert answer.headers["Location"].endswith("notice=over")


def test_a_call_that_nobody_holds_is_hung_up_at_telnyx(tmp_path: Path) -> None:
    """One that a dead process has left, and whose record says that it is live, is over then."""
    with phone_line(lambda call: call.stay(), BRIDGE_DASHBOARD_PASSWORD=PASSWORD) as phone:
        phone.bridge.books.store.upgrade()
        add_call(phone.bridge.books.store, "leg-lost", live=True)
        with Visitor(phone.url) as person:
            person.sign_in()
            answer = person.send("/calls/leg-lost/transfer", to=CALLER)
            assert answer.headers["Location"].endswith("notice=nobody")
            person.send("/calls/leg-lost/hangup")
            assert "hung up here" in person.reads("/calls/leg-lost")


def test_a_live_call_can_be_transferred(tmp_path: Path) -> None:
    """The caller talks to somebody else then, and the agent is out of it."""
    with phone_line(lambda call: call.stay(), BRIDGE_DASHBOARD_PASSWORD=PASSWORD) as phone:
        call = phone.call({"wait": 60})
        phone.seen.wait_for(lambda: phone.seen.media)
        leg = phone.seen.media[0].call_leg_id
        with Visitor(phone.url) as person:
            person.sign_in()
            wait_until(lambda: leg in person.get().text, "the call")
            answer = person.send(f"/calls/{leg}/transfer", to="the boss")
            assert answer.headers["Location"].endswith("notice=no-number")
            answer = person.send(f"/calls/{leg}/transfer", to="+1 202 555-0177")
            assert answer.headers["Location"].endswith("notice=ringing")
            assert "other phone is ringing" in person.reads(f"/calls/{leg}?notice=ringing")
            assert phone.seen.summary().reason == "transferred"
            wait_until(lambda: "transferred" in person.reads(f"/calls/{leg}"), "the end")
        assert not call.ended


def test_a_transfer_that_nobody_takes_changes_nothing(tmp_path: Path) -> None:
    """The call goes on with its agent, and the health page tells of it."""

    def agent(call: Call) -> None:
        for turn in call.turns():
            call.say(f"You pressed {len(turn.digits)}.")

    with phone_line(agent, BRIDGE_DASHBOARD_PASSWORD=PASSWORD) as phone:
        phone.simulator.add_callee("+12025550177", Callee("busy", after=0.1))
        call = phone.call({"dtmf": "5", "when": 3}, {"wait": 60})
        phone.seen.wait_for(lambda: phone.seen.media)
        leg = phone.seen.media[0].call_leg_id
        with Visitor(phone.url) as person:
            person.sign_in()
            wait_until(lambda: leg in person.get().text, "the call")
            person.send(f"/calls/{leg}/transfer", to="+12025550177")
            wait_until(lambda: "could not transfer" in person.reads("/health"), "the warning")
            phone.seen.wait_for(lambda: phone.seen.replies)
            assert not call.ended


@pytest.mark.parametrize(
    ("typed", "number"),
    [("+1 (202) 555-0123", "+12025550123"), ("sip:desk@example.com", "sip:desk@example.com"),
     ("12025550123", None), ("+0123456789", None), ("+1202555012x", None), ("", None),
     ("sip:a b@c", None)],
)  # fmt: skip
def test_numbers_are_read_as_people_write_them(typed: str, number: str | None) -> None:
    """In E.164 with whatever between the digits; anything else is told."""
    assert number_of(typed) == number


def test_lengths_are_read_at_a_glance() -> None:
    """Minutes and seconds, hours where there are any."""
    assert [views.clock(s) for s in (-1, 0, 59.6, 61, 3725)] == ["0:00", "0:00", "1:00", "1:01",
                                                                  "1:02:05"]  # fmt: skip
