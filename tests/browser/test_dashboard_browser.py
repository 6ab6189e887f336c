"""The dashboard in a real Chromium: what a person sees and does, also without a mouse."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bridge.call import Call
from bridge.dashboard.access import FROM_ONE
from tests.app.dashboards import (
    CALLER,
    PASSWORD,
    Desk,
    add_call,
    add_recording,
    ago,
    desk,
)
from tests.app.pair import pair
from tests.app.phone import phone_line
from tests.conftest import binary_or_skip
from tests.loopback import PATIENCE
from tests.loopback.chromium import Chromium, find_chromium

# Chromium alone takes a second to start.
pytestmark = pytest.mark.slow

SAID = (
    ("agent", "Good morning, what can I do?"),
    ("caller", "I would like to book a table."),
    ("agent", "For how many?"),
)


@pytest.fixture
def browser() -> Iterator[Chromium]:
    """A browser; its console must have told of no error in the end."""
    with Chromium(binary_or_skip("Chromium", find_chromium())) as made:
        yield made
        assert made.problems == []


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Desk]:
    """A dashboard with one call in its records, which was recorded."""
    with desk(tmp_path) as made:
        add_call(made.store, "leg-one", *SAID)
        add_recording(made, "leg-one", seconds=20.0)
        yield made


def sign_in(browser: Chromium, url: str) -> None:
    """Type the password and press Enter, as a person would."""
    browser.open(f"{url}/dashboard")
    browser.wait_for("document.activeElement.id === 'password'")
    browser.type(PASSWORD)
    browser.leaving(lambda: browser.press("Enter"))


def test_a_live_call_appears_speaks_and_ends(browser: Chromium) -> None:
    """Without a reload: its first word, an answer, a reply that is cut off, and its end."""
    hang_up = threading.Event()

    def agent(call: Call) -> None:
        call.say("Good morning, this is the bakery.")
        turn = call.listen()
        assert turn is not None
        call.say(f"You said {turn.text} to me.", interruptible=False)
        hang_up.wait(8 * PATIENCE)

    with ExitStack() as stack:
        line = phone_line(agent, texts=["two loaves of bread"], BRIDGE_DASHBOARD_PASSWORD=PASSWORD)
        phone = stack.enter_context(line)
        # However the test ends, so does the agent.
        stack.callback(hang_up.set)
        sign_in(browser, phone.url)
        assert "No calls right now" in browser.text()
        began = browser.run("performance.timeOrigin")
        call = phone.call({"play": phone.speech, "when": "agent_stops"}, {"wait": 60})
        browser.wait_for("document.querySelector('.card')")
        browser.wait_for("document.querySelector('main').innerText.includes('the bakery')")
        browser.wait_for("document.querySelector('main').innerText.includes('You said two loaves')")
        assert browser.run("performance.timeOrigin") == began
        browser.leaving(lambda: browser.run("document.querySelector('.card a').click()"))
        log = "document.querySelector('[role=log][aria-live=polite]')"
        said = browser.run(f"[...{log}.querySelectorAll('.what')].map(p => p.innerText)")
        # A machine that is very busy may cut what the caller says in two.
        assert said[0] == "Good morning, this is the bakery."
        assert said[1].startswith("two loaves of bread")
        assert said[-1].startswith("You said two loaves of bread") or len(said) > 3
        assert "live" in browser.text()
        hang_up.set()
        browser.wait_for("document.querySelector('.chip').innerText === 'agent hung up'")
        # What can be done to a live call cannot be done any more.
        assert not browser.run("!!document.querySelector('form[action$=hangup]')")
        call.wait(4 * PATIENCE)


def test_a_reply_grows_where_it_stands(browser: Chromium, shop: Desk) -> None:
    """What was there before is not made anew: a screen reader reads the new words only."""
    add_call(shop.store, "leg-two", *SAID, live=True, began=30)
    sign_in(browser, shop.url)
    browser.open(f"{shop.url}/dashboard/calls/leg-two")
    browser.run("document.querySelectorAll('.turns li').forEach(li => li.mark = true)")
    one = {"id": "r", "speaker": "agent", "at": ago(1)}
    shop.store.save_remark("leg-two", text="We open at nine.", heard="", **one)
    browser.wait_for("document.querySelector('.turns .open')?.innerText.includes('at nine.')")
    browser.run("document.querySelector('.turns .open').mark = true")
    text = "We open at nine. And close at six."
    shop.store.save_remark("leg-two", text=text, heard="We open at nine.", **one)
    browser.wait_for("document.querySelector('.turns .open').innerText.includes('at six.')")
    shop.store.save_remark("leg-two", text=text, heard=text, until=ago(0), **one)
    browser.wait_for("!document.querySelector('.turns .open')")
    assert browser.run("[...document.querySelectorAll('.turns li')].map(li => !!li.mark)") == [
        True, True, True, True,
    ]  # fmt: skip


def test_the_callers_words_appear_while_they_are_said(browser: Chromium, shop: Desk) -> None:
    """They grow, and go again if they came to nothing."""
    add_call(shop.store, "leg-two", *SAID, live=True, began=30)
    sign_in(browser, shop.url)
    browser.open(f"{shop.url}/dashboard/calls/leg-two")
    one = {"id": "h", "speaker": "caller", "at": ago(1)}
    shop.store.save_remark("leg-two", text="For four", heard="For four", **one)
    said = "document.querySelector('.turns .open')?.innerText"
    browser.wait_for(f"{said}?.includes('For four')")
    shop.store.save_remark("leg-two", text="For four people", heard="For four people", **one)
    browser.wait_for(f"{said}?.includes('For four people')")
    assert "caller" in str(browser.run(said)).lower()
    shop.store.drop_remark("h")
    browser.wait_for("!document.querySelector('.turns .open')")
    assert browser.run("document.querySelectorAll('.turns li').length") == len(SAID)


def test_a_live_call_is_listened_to(browser: Chromium) -> None:
    """The player of the page plays it while it goes on, once somebody presses its button."""
    done = threading.Event()

    def agent(call: Call) -> None:
        call.say("There is much to be told about this. " * 20, interruptible=False)
        done.wait(8 * PATIENCE)

    with ExitStack() as stack:
        on = {"BRIDGE_DASHBOARD_PASSWORD": PASSWORD, "BRIDGE_LISTEN_IN": "on"}
        phone = stack.enter_context(phone_line(agent, **on))  # type: ignore[arg-type]
        stack.callback(done.set)
        sign_in(browser, phone.url)
        call = phone.call({"wait": 60})
        phone.wait_for_agent_audio(call)
        browser.open(f"{phone.url}/dashboard/calls/{call.id}")
        browser.wait_for("document.querySelector('audio')")
        assert "Listen in" in browser.text()
        browser.run("document.querySelector('audio').play()")
        browser.wait_for("document.querySelector('audio').currentTime > 0.5")
        assert browser.run("document.querySelector('audio').paused") is False
        call.hang_up()
        browser.wait_for("!document.querySelector('form[action$=hangup]')")


@pytest.mark.parametrize("button", ["hangup", "transfer"])
def test_the_buttons_reach_a_call_of_another_process(
    browser: Chromium, tmp_path: Path, button: str
) -> None:
    """The page comes from one, the call is held by the other; Redis is between them."""

    def agent(call: Call) -> None:
        call.say("Good morning.")
        call.stay()

    with pair(
        agent,
        BRIDGE_DASHBOARD_PASSWORD=PASSWORD,
        DATABASE_URL=f"sqlite:///{tmp_path}/calls.db",
    ) as line:
        line.to = lambda environ: int(environ["PATH_INFO"].startswith("/dashboard"))
        call = line.simulator.place_call()
        line.seen[0].wait_for(lambda: line.seen[0].replies)
        sign_in(browser, line.url)
        browser.wait_for("document.querySelector('.card a')")
        browser.leaving(lambda: browser.run("document.querySelector('.card a').click()"))
        form = f"document.querySelector('form[action$={button}]')"
        browser.run(f"{form}.closest('details').open = true")
        if button == "transfer":
            browser.run(f"{form}.querySelector('[name=to]').value = '+1 202 555 0177'")
        browser.leaving(lambda: browser.run(f"{form}.querySelector('button').click()"))
        notice = "The other phone is ringing" if button == "transfer" else "is being hung up"
        assert notice in browser.text()
        wanted = "transferred" if button == "transfer" else "operator"
        assert line.seen[0].summary().reason == wanted
        assert call.ended == (button == "hangup")
        call.hang_up()


def test_what_is_being_typed_stays(browser: Chromium, shop: Desk) -> None:
    """A page that is brought up to date every second takes neither focus nor words away."""
    add_call(shop.store, "leg-two", live=True, began=30)
    sign_in(browser, shop.url)
    browser.open(f"{shop.url}/dashboard/calls/leg-two")
    browser.tab_to("Transfer…")
    browser.press("Enter")
    browser.tab_to("To")
    browser.type("+1202")
    shop.store.save_remark(
        "leg-two", id="n", speaker="caller", text="Hello?", at=ago(1), until=ago(0)
    )
    browser.wait_for("document.querySelector('.turns').innerText.includes('Hello?')")
    browser.type("5550177")
    assert browser.run("document.activeElement.value") == "+12025550177"


def test_the_keyboard_alone_does_everything(browser: Chromium, shop: Desk) -> None:
    """Sign in, skip to the content, search, open a call, listen from a turn, sign out."""
    sign_in(browser, shop.url)
    browser.press("Tab")
    assert "Skip to the content" in browser.focus()
    assert browser.run("document.activeElement.getBoundingClientRect().top >= 0")
    browser.tab_to("Calls")
    browser.leaving(lambda: browser.press("Enter"))
    browser.tab_to("Said")
    browser.type("book a table")
    browser.leaving(lambda: browser.press("Enter"))
    browser.press("Tab")
    browser.press("Enter")
    assert browser.run("document.activeElement.id") == "main"
    browser.tab_to("2026" if "2026" in browser.text("tbody") else str(ago(600).year))
    browser.leaving(lambda: browser.press("Enter"))
    browser.wait_for("document.querySelector('svg.wave path').getAttribute('d')")
    browser.tab_to("Listen from 0:07")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert browser.run(outline) == "solid"
    browser.press("Enter")
    browser.wait_for("document.querySelector('audio').currentTime >= 7")
    browser.wait_for("document.querySelector('.turns li.now .who')?.innerText === 'caller'")
    browser.run("document.querySelector('audio').pause()")
    browser.tab_to("Latencies as a table")
    browser.press("Enter")
    assert "830 ms" in browser.text("details[open]")
    browser.run("document.activeElement.blur()")
    browser.press("Tab")
    browser.tab_to("Sign out")
    browser.leaving(lambda: browser.press("Enter"))
    assert browser.run("location.pathname") == "/dashboard/sign-in"


def test_a_caller_cannot_run_anything_in_the_page(browser: Chromium, shop: Desk) -> None:
    """Words with markup are words, also when they come with an update."""
    attack = '<img src=x onerror="window.hit=1"><script>window.hit=1</script><svg onload=hit=1>'
    add_call(shop.store, "leg-two", live=True, began=30)
    sign_in(browser, shop.url)
    shop.store.save_remark(
        "leg-two", id="x", speaker="caller", text=attack, at=ago(1), until=ago(0)
    )
    browser.wait_for("document.querySelector('.last')?.innerText.includes('onerror')")
    for path in ("/calls/leg-two", "/calls"):
        browser.open(f"{shop.url}/dashboard{path}")
    assert browser.run("window.hit") is None
    assert browser.run("document.querySelectorAll('main img').length") == 0
    # And if there were a hole: what is not ours is not run.
    browser.run(
        "document.body.insertAdjacentHTML('beforeend', '<p onclick=\"window.hit=1\" id=p>x</p>');"
        "document.getElementById('p').click()"
    )
    assert browser.run("window.hit") is None
    assert any("Content Security Policy" in problem for problem in browser.problems)
    browser.problems.clear()


def test_a_place_in_the_picture_is_listened_to(browser: Chromium, shop: Desk) -> None:
    """A click on the waveform plays from there."""
    sign_in(browser, shop.url)
    browser.open(f"{shop.url}/dashboard/calls/leg-one")
    browser.wait_for("document.querySelector('svg.wave path').getAttribute('d')")
    box = browser.run("(b => [b.x + b.width / 2, b.y + 40])(document.querySelector('svg.wave')"
                      ".getBoundingClientRect())")  # fmt: skip
    for kind in ("mousePressed", "mouseReleased"):
        browser.command("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left",
                        clickCount=1)  # fmt: skip
    browser.wait_for("document.querySelector('audio').currentTime >= 9.9")


def test_a_wrong_password_is_told(browser: Chromium, shop: Desk) -> None:
    """To those too who do not see it: the problem is the field's description."""
    browser.open(f"{shop.url}/dashboard")
    for _ in range(FROM_ONE):
        browser.type("wrong")
        browser.leaving(lambda: browser.press("Enter"))
    described = "document.getElementById(document.activeElement.getAttribute('aria-describedby'))"
    assert "not the password" in browser.run(f"{described}.innerText")
    browser.type("wrong")
    browser.leaving(lambda: browser.press("Enter"))
    assert "Too many" in browser.text()
    # The refusals themselves are on the console.
    assert all("403" in problem or "429" in problem for problem in browser.problems)
    browser.problems.clear()


def test_numbers_are_shown_to_who_asks(browser: Chromium, shop: Desk) -> None:
    """By a button, on the page that one is at."""
    sign_in(browser, shop.url)
    browser.open(f"{shop.url}/dashboard/calls/leg-one")
    assert CALLER not in browser.text()
    browser.tab_to("Show numbers")
    browser.leaving(lambda: browser.press("Enter"))
    assert browser.run("location.pathname") == "/dashboard/calls/leg-one"
    assert CALLER in browser.text()


def test_a_server_that_is_away_is_told(browser: Chromium, shop: Desk) -> None:
    """And the page goes on when it is back."""
    sign_in(browser, shop.url)
    browser.command("Network.emulateNetworkConditions", offline=True, latency=0,
                    downloadThroughput=-1, uploadThroughput=-1)  # fmt: skip
    browser.wait_for(
        "document.querySelector('[role=status]').innerText.includes('does not answer')"
    )
    add_call(shop.store, "leg-two", ("caller", "Still there?"), live=True, began=5)
    browser.command("Network.emulateNetworkConditions", offline=False, latency=0,
                    downloadThroughput=-1, uploadThroughput=-1)  # fmt: skip
    browser.wait_for(
        "document.querySelector('main').innerText.includes('Still there?')", 8 * PATIENCE
    )
    assert browser.run("document.querySelector('[role=status]').innerText") == ""
    browser.problems.clear()


def test_a_session_that_is_over_leads_to_the_password(browser: Chromium, shop: Desk) -> None:
    """A page that follows calls notices by itself."""
    sign_in(browser, shop.url)
    browser.leaving(lambda: browser.command("Network.clearBrowserCookies"))
    assert browser.run("location.pathname") == "/dashboard/sign-in"
    browser.problems.clear()


@pytest.mark.parametrize("path", ["", "/calls", "/calls/leg-one", "/calls/leg-two", "/health"])
@pytest.mark.parametrize("dark", [False, True])
def test_pages_fit_a_phone_and_can_be_read(
    browser: Chromium, shop: Desk, path: str, dark: bool
) -> None:
    """No page is wider than a small screen; texts stand out, controls have names and room."""
    add_call(shop.store, "leg-two", *SAID, live=True, began=30)
    sign_in(browser, shop.url)
    browser.resize(360, 740, dark=dark)
    browser.open(f"{shop.url}/dashboard{path}")
    assert browser.run("document.documentElement.scrollWidth <= 360")
    assert browser.run("document.querySelectorAll('h1').length") == 1
    assert browser.run(NAMELESS) == []
    assert browser.run(FAINT) == []
    assert browser.run(TABLES) == []


# Controls and regions without a name.
NAMELESS = """[...document.querySelectorAll(
    'a,button,input:not([type=hidden]),audio,summary,[role=region]')]
  .filter(e => !(e.ariaLabel || e.labels?.[0]?.textContent || e.textContent).trim())
  .map(e => e.outerHTML)"""

# Texts whose contrast with what is behind them is less than WCAG's 4.5 to 1.
FAINT = """(() => {
  const rgb = c => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .03928 ? v / 12.92
    : ((v + .055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e)
    .backgroundColor); if (c.length < 4 || c[3] > .99) return c; } return [255, 255, 255]; };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !e.checkVisibility() || e.closest('svg')) continue;
    const a = light(rgb(getComputedStyle(e).color)), b = light(behind(e));
    if ((Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5) found.push(e.outerHTML);
  }
  return found;
})()"""

# Tables without headers, and scrolling regions that a keyboard does not reach.
TABLES = """[...document.querySelectorAll('table')]
  .filter(t => !t.querySelector('thead th[scope=col]'))
  .concat([...document.querySelectorAll('.scroll')].filter(s => s.tabIndex !== 0))
  .map(e => e.outerHTML.slice(0, 200))"""


def test_the_pages_work_without_the_script(browser: Chromium, shop: Desk) -> None:
    """Reading, searching and hanging up need none of it."""
    add_call(shop.store, "leg-two", *SAID, live=True, began=30)
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    sign_in(browser, shop.url)
    assert "For how many?" in browser.text()
    browser.open(f"{shop.url}/dashboard/calls/leg-two")
    browser.tab_to("Hang up…")
    browser.press("Enter")
    browser.tab_to("Hang up now")
    browser.open(f"{shop.url}/dashboard/calls")
    browser.tab_to("Said")
    browser.type("no such words")
    browser.leaving(lambda: browser.press("Enter"))
    assert "No call is like that." in browser.text()
