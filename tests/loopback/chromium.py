"""A real Chromium without a window, driven over its own protocol (Chrome DevTools Protocol).

It is talked to through two pipes.  When they are closed it ends by itself, so none is left behind
even by tests that are killed.

One thread, the test's: a command is sent and everything is read until its answer has come.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

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
    "--remote-debugging-pipe",
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
        # Our ends of the two pipes, what was read beyond a message, and the page's session.
        self._pipes: tuple[int, int] | None = None
        self._read = b""
        self._session: dict[str, str] = {}
        self._number = 0
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
        to_read, to_write = os.pipe(), os.pipe()
        self._pipes = to_read[0], to_write[1]
        # Commands come in on 3, answers leave on 4; above both, so that neither is overwritten.
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (to_write[0], to_read[1])]
        os.close(to_write[0])
        os.close(to_read[1])
        script = f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}'
        with Path(self._folder.name, "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", script, "bash", self._binary, *FLAGS, f"--user-data-dir={profile}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                pass_fds=theirs,
                # A group of its own, so that its helpers end with it.
                start_new_session=True,
            )
        for pipe in theirs:
            os.close(pipe)
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        attached = self.command("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")
        # Its window is nowhere, so nothing in it would have the focus.
        self.command("Emulation.setFocusEmulationEnabled", enabled=True)
        self.resize(1280, 860)

    def close(self) -> None:
        """End it with all its helpers; may be called twice."""
        pipes, self._pipes = self._pipes, None
        for pipe in pipes or ():
            os.close(pipe)
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
        self._folder.cleanup()

    # -- the protocol -----------------------------------------------------------------------------

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and get its result; raises AssertionError if it failed."""
        assert self._pipes is not None
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, **self._session}
        os.write(self._pipes[1], json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        """Read one message; they end with a zero byte."""
        assert self._pipes is not None
        while b"\0" not in self._read:
            readable = select.select([self._pipes[0]], [], [], 6 * PATIENCE)[0]
            part = os.read(self._pipes[0], 1 << 20) if readable else b""
            if not part:
                log = Path(self._folder.name, "log").read_text(errors="replace")
                raise AssertionError(f"Chromium says nothing: {log[-2000:]}")
            self._read += part
        text, _, self._read = self._read.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def _note(self, message: dict[str, Any]) -> None:
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
