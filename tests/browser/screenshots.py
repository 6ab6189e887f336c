"""Make the pictures of the dashboard for the README: ``python -m tests.browser.screenshots``.

A call is really held, with synthetic voices, and looked at while it goes and afterwards; around it
stand calls that were only written down.  All numbers are of the range that belongs to nobody.
"""

from __future__ import annotations

import json
import random
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge.agents import receptionist
from bridge.app import Bridge, create_app
from bridge.demo.scripts import booking_script
from bridge.records.store import RecordStore
from bridge.settings import Settings
from bridge.simulator import Simulator
from tests.app.dashboards import PASSWORD, add_call, ago
from tests.app.phone import WebServer
from tests.loopback.chromium import Chromium, find_chromium

FOLDER = Path(__file__).parents[2] / "docs" / "images"

ORDERS = (
    ("caller", "Hi, is the kitchen still open on Sundays?"),
    ("agent", "It is, until half past nine in the evening. Shall I keep a table for you?"),
    ("caller", "Let me ask my wife and I'll call again."),
    ("agent", "Please do. Goodbye!"),
)
PARCEL = (
    ("caller", "I have a table for six tonight, can we make it seven?"),
    ("agent", "One moment, I will have a look."),
    ("agent", "That works. A table for seven, tonight at eight. Is that right?"),
    ("caller", "Perfect."),
)


def main() -> None:
    """Make them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    binary = find_chromium()
    if binary is None:
        sys.exit("chromium is not installed")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        simulator = stack.enter_context(Simulator(caller_voice="low"))
        server = WebServer()
        environ = {
            **simulator.environ,
            "PUBLIC_URL": server.url,
            "BRIDGE_HOME": str(folder / "home"),
            "BRIDGE_RECORDINGS": str(folder / "recordings"),
            "BRIDGE_DASHBOARD_PASSWORD": PASSWORD,
            "BRIDGE_CODEC": "L16",
        }
        app = create_app(Settings.from_environ(environ), agent=receptionist.answer)
        bridge: Bridge = app.extensions["bridge"]
        server.app = app
        stack.enter_context(server)
        stack.callback(bridge.close)
        simulator.webhook_url = f"{server.url}/telnyx/webhook"
        fill(bridge.books.store)
        browser = stack.enter_context(Chromium(binary))
        take(browser, simulator, server.url)


def fill(store: RecordStore) -> None:
    """Write down what has happened before."""
    store.upgrade()
    chance = random.Random(5)
    endings = ["caller"] * 7 + ["agent"] * 5 + ["transferred"] * 2 + ["media lost"]
    for n in range(34):
        began = 2400 * n + chance.randint(900, 3000)
        length = chance.randint(40, 280)
        said = tuple(random.Random(n).choice((ORDERS, PARCEL)) * chance.randint(1, 3))
        add_call(
            store, f"past-{n}", *said, began=began, from_number=number(chance),
            ended_at=ago(began - length), reason=chance.choice(endings),
            counts={"packets": 50 * length, "lost_packets": chance.randint(0, 9), "streams": 1},
        )  # fmt: skip
    add_call(store, "live-1", *ORDERS[:2], began=41, live=True, from_number=number(chance))
    add_call(store, "live-2", *PARCEL[:3], began=128, live=True, from_number=number(chance))
    store.save_remark(
        "live-1", id="now", speaker="agent", at=ago(2), heard="Of course.",
        text="Of course. We have a table by the window at seven, or one outside at eight.",
    )  # fmt: skip


def number(chance: random.Random) -> str:
    """Make up a number that belongs to nobody."""
    return f"+1202555{chance.randint(100, 199):04d}"


def take(browser: Chromium, simulator: Simulator, url: str) -> None:
    """Hold the call, and take the pictures."""
    browser.command("Emulation.setLocaleOverride", locale="en-GB")
    browser.open(f"{url}/dashboard")
    browser.run(f"document.getElementById('password').value = {json.dumps(PASSWORD)}")
    browser.leaving(lambda: browser.press("Enter"))
    call = simulator.place_call(
        codec="L16", caller=booking_script().caller, from_="+12025550123", to="+12025550142"
    )
    # The caller's order is understood, and the agent is saying it back.
    browser.wait_for("document.querySelectorAll('.card').length === 3")
    browser.wait_for("document.querySelector('.card:first-child .caller ~ .agent.open')", 120)
    picture(browser, "live", 1190, 425)
    browser.leaving(lambda: browser.run("document.querySelector('.card h2 a').click()"))
    address = browser.run("location.pathname")
    browser.wait_until(lambda: call.ended, "the end", 180)
    browser.wait_for("document.querySelector('svg.wave path')?.getAttribute('d')")
    browser.open(f"{url}{address}")
    browser.wait_for("document.querySelector('svg.wave path')?.getAttribute('d')")
    picture(browser, "call", 1100, 960)
    picture(browser, "phone", 390, 780, dark=True)
    browser.open(f"{url}/dashboard/calls")
    picture(browser, "calls", 1100, 720)
    browser.open(f"{url}/dashboard/health")
    picture(browser, "health", 1100, 720)


def picture(browser: Chromium, name: str, width: int, height: int, *, dark: bool = False) -> None:
    """Take one of what a screen of this size shows."""
    path = FOLDER / f"dashboard-{name}.png"
    browser.resize(width, height, scale=1.25, dark=dark)
    browser.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    browser.screenshot(path)
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
