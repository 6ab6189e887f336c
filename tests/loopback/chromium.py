"""A real Chromium without a window, driven over its own protocol (Chrome DevTools Protocol).

One thread, the test's: a command is sent and everything is read until its answer has come.  Events
that come meanwhile are kept.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
import websocket

from tests.loopback import PATIENCE

# Nothing of its own on the network, no sandbox (tests run as root in containers), nothing kept.
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-domain-reliability",
    "--disable-features=Translate,OptimizationHints,MediaRouter,AutofillServerCommunication",
    "--no-proxy-server",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--force-prefers-reduced-motion",
    "--hide-scrollbars",
    "--font-render-hinting=none",
    "--lang=en-GB",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)

# What a key is to the browser: its code, its number, and the text it types.
KEYS = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Space": ("Space", 32, " "),
    "Escape": ("Escape", 27, ""),
}


def find_chromium() -> str | None:
    """Find the binary."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


class Chromium:
    """A browser with one page; use it as a ``with`` block.

    Attributes:
        problems: errors that the page has told on its console, refused content included.
    """

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self._folder = TemporaryDirectory(prefix="bridge-chromium-", ignore_cleanup_errors=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: websocket.WebSocket | None = None
        self._number = 0
        self._events: list[dict[str, Any]] = []
        self.problems: list[str] = []

    def __enter__(self) -> Chromium:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        profile = Path(self._folder.name, "profile")
        environ = {**os.environ, "HOME": self._folder.name, "TZ": "UTC"}
        with Path(self._folder.name, "log").open("wb") as log:
            self._process = subprocess.Popen(
                [self._binary, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                # A group of its own, so that its helpers end with it.
                start_new_session=True,
            )
        port_file = profile / "DevToolsActivePort"
        self.wait_until(port_file.exists, "Chromium's port", 6 * PATIENCE)
        self.wait_until(lambda: port_file.read_text().strip(), "Chromium's port")
        port = port_file.read_text().split()[0]
        targets = requests.get(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE).json()
        page = next(target for target in targets if target["type"] == "page")
        self._socket = websocket.create_connection(
            page["webSocketDebuggerUrl"], timeout=6 * PATIENCE, http_no_proxy=["127.0.0.1"]
        )
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")
        # Its window is nowhere, so nothing in it would have the focus.
        self.command("Emulation.setFocusEmulationEnabled", enabled=True)
        self.resize(1280, 860)

    def close(self) -> None:
        """End it with all its helpers; may be called twice."""
        if self._socket is not None:
            with contextlib.suppress(websocket.WebSocketException, OSError):
                self._socket.close(timeout=0)
            self._socket = None
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
        self._folder.cleanup()

    # -- the protocol -----------------------------------------------------------------------------

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and get its result; raises AssertionError if it failed."""
        assert self._socket is not None
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        self._events.append(message)
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif message.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            entry = params["entry"]
            self.problems.append(f"{entry['text']} {entry.get('url', '')}")

    def run(self, script: str) -> Any:
        """Run an expression in the page and get its value; a promise is waited for."""
        result = self.command(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        details = result.get("exceptionDetails")
        assert details is None, details
        return result["result"].get("value")

    def wait_until(
        self, condition: Callable[[], object], what: str, timeout: float = 4 * PATIENCE
    ) -> None:
        """Wait until a condition holds."""
        limit = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < limit, f"{what} did not come"
            time.sleep(0.03)

    def wait_for(self, script: str, timeout: float = 4 * PATIENCE) -> Any:
        """Wait until an expression in the page has a value that is true, and get it."""
        found: list[Any] = []

        def holds() -> bool:
            # While a page is being replaced by the next one there is nothing to ask.
            with contextlib.suppress(AssertionError):
                # An element has no value of its own outside of the page.
                found.append(self.run(f"(v => v instanceof Node || v)({script})"))
            return bool(found and found[-1])

        self.wait_until(holds, script, timeout)
        return found[-1]

    # -- a person ---------------------------------------------------------------------------------

    def open(self, url: str) -> None:
        """Go to an address and wait until the page is there."""
        before = self.run("performance.timeOrigin")
        result = self.command("Page.navigate", url=url)
        assert not result.get("errorText"), result
        self.loaded(before)

    def loaded(self, before: float) -> None:
        """Wait for a page that is another than the one that began at ``before``."""
        self.wait_for(f"performance.timeOrigin !== {before} && document.readyState === 'complete'")

    def leaving(self, do: Callable[[], object]) -> None:
        """Do something that leads to another page, and wait for that page."""
        before = self.run("performance.timeOrigin")
        do()
        self.loaded(before)

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press keys, by their names."""
        for key in keys:
            code, number, text = KEYS[key]
            name = " " if key == "Space" else key
            common = {"key": name, "code": code, "windowsVirtualKeyCode": number}
            common["modifiers"] = 8 if shift else 0
            self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
            self.command("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Type a text into what has the focus."""
        self.command("Input.insertText", text=text)

    def focus(self) -> str:
        """Say what has the focus: its element and its name, as a screen reader would begin."""
        return str(
            self.run(
                "(e => e === document.body ? 'nothing' : e.localName + ': ' + "
                "(e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent)"
                ".replace(/\\s+/g, ' ').trim())"
                "(document.activeElement)"
            )
        )

    def tab_to(self, name: str, most: int = 60) -> None:
        """Press Tab until something whose name has ``name`` in it has the focus, and shows it."""
        seen = []
        for _ in range(most):
            self.press("Tab")
            seen.append(self.focus())
            if name in seen[-1]:
                return
        raise AssertionError(f"{name!r} cannot be reached by Tab: {seen}")

    def text(self, selector: str = "main") -> str:
        """Get the text that is seen in an element."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def resize(self, width: int, height: int, *, scale: float = 1, dark: bool = False) -> None:
        """Be a screen of this size."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """Keep a picture of what is seen."""
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def browsing(binary: str, cookies: Sequence[dict[str, Any]] = ()) -> Iterator[Chromium]:
    """Have a browser with these cookies."""
    with Chromium(binary) as browser:
        for cookie in cookies:
            browser.command("Network.setCookie", **cookie)
        yield browser
