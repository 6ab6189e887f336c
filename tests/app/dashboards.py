"""Dashboards for tests: an application with one, records to look at, and somebody who signs in."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from html import unescape
from pathlib import Path

import requests

from bridge.app import Bridge, create_app
from bridge.records.schema import EventRecord, RecordingRecord
from bridge.records.store import RecordStore
from bridge.settings import Settings
from telnyx_media.pcm import stereo, wav_header
from tests.loopback import PATIENCE
from tests.loopback.agents import listener
from tests.loopback.web import PUBLIC_KEY, serving

PASSWORD = "correct horse battery"
API_KEY = "KEY0123456789ABCDEF_secretsecret"

# Numbers that belong to nobody (North American Numbering Plan: 555-01XX).
CALLER, CALLED = "+12025550123", "+12025550199"


@dataclass
class Desk:
    """A dashboard under a real server.

    Attributes:
        url: of the application.
        bridge: what is behind it.
        store: its records.
        recordings: the directory of its recordings.
    """

    url: str
    bridge: Bridge
    store: RecordStore
    recordings: Path

    def visitor(self) -> Visitor:
        """Get somebody who is not signed in."""
        return Visitor(self.url)

    def person(self) -> Visitor:
        """Get somebody who is."""
        visitor = self.visitor()
        assert visitor.sign_in().status_code == 303
        return visitor


class Visitor:
    """A browser without a screen: keeps cookies, reads forms' tokens, follows nothing."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def get(self, path: str = "", **headers: str) -> requests.Response:
        """Ask for a page of the dashboard."""
        return self.session.get(
            f"{self.url}/dashboard{path}", headers=headers, timeout=PATIENCE, allow_redirects=False
        )

    def post(
        self, path: str, fields: dict[str, str] | None = None, **headers: str
    ) -> requests.Response:
        """Send a form as it is."""
        return self.session.post(
            f"{self.url}/dashboard{path}",
            data=fields or {},
            headers=headers,
            timeout=PATIENCE,
            allow_redirects=False,
        )

    def send(self, path: str, **fields: str) -> requests.Response:
        """Send a form as a page of ours would."""
        return self.post(path, {"token": self.token(), **fields}, Origin=self.url)

    def token(self) -> str:
        """Read a form's token off a page."""
        found = re.search(r'name="token" value="([0-9a-f]+)"', self.get().text)
        assert found is not None
        return found[1]

    def sign_in(self, password: str = PASSWORD, **headers: str) -> requests.Response:
        """Send the password."""
        return self.post("/sign-in", {"password": password, "next": "/dashboard"}, **headers)

    def reads(self, path: str = "") -> str:
        """Get what a page says, without its tags."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.status_code
        return words_of(answer.text)


def words_of(html: str) -> str:
    """Get the text of a page."""
    bare = re.sub(r"<(script|style|title)\b.*?</\1>|<[^>]+>", " ", html, flags=re.DOTALL)
    return " ".join(unescape(bare).split())


@contextmanager
def desk(folder: Path, **variables: str) -> Iterator[Desk]:
    """Have an application with a dashboard and nothing in its records."""
    environ = {
        "TELNYX_API_KEY": API_KEY,
        "TELNYX_PUBLIC_KEY": PUBLIC_KEY,
        "PUBLIC_URL": "https://calls.example.com",
        "BRIDGE_HOME": str(folder / "home"),
        "BRIDGE_RECORDINGS": str(folder / "recordings"),
        "BRIDGE_DASHBOARD_PASSWORD": PASSWORD,
        **variables,
    }
    settings = Settings.from_environ({k: v for k, v in environ.items() if v})
    app = create_app(settings, agent=listener)
    app.testing = True
    bridge: Bridge = app.extensions["bridge"]
    (folder / "recordings").mkdir(exist_ok=True)
    try:
        bridge.books.store.upgrade()
        with serving(app) as url:
            yield Desk(url, bridge, bridge.books.store, folder / "recordings")
    finally:
        bridge.close()


def ago(seconds: float) -> datetime:
    """Get the moment so long ago."""
    return datetime.now(timezone.utc) - timedelta(seconds=seconds)


def add_call(
    store: RecordStore,
    call_id: str,
    *said: tuple[str, str],
    began: float = 600.0,
    live: bool = False,
    **fields: object,
) -> None:
    """Write a call down that began ``began`` seconds ago, with what caller and agent said."""
    start = ago(began)
    length = 6.0 * len(said) + 3
    ended = {} if live else {"ended_at": start + timedelta(seconds=length), "reason": "caller"}
    call: dict[str, object] = {
        "call_control_id": f"v3:{call_id}", "direction": "inbound", "from_number": CALLER,
        "to_number": CALLED, "began_at": start, "codec": "PCMU", "sample_rate": 8000,
        "counts": {"turns": len(said) // 2, "packets": 50 * int(length), "streams": 1},
        **ended, **fields,
    }  # fmt: skip
    store.save_call(call_id, **call)
    store.add(
        EventRecord, call_id, id=f"{call_id}-i", event_type="call.initiated", occurred_at=start
    )
    for place, (speaker, text) in enumerate(said):
        at = start + timedelta(seconds=1 + 6 * place)
        latencies = {"endpoint": 0.5}
        if speaker == "agent" and place:
            latencies = {
                "endpoint": 0.5, "agent": 0.02 * place, "first_text": 0.01,
                "first_audio": 0.18 + 0.03 * place, "first_frame": 0.02,
                "total": 0.73 + 0.05 * place,
            }  # fmt: skip
        store.save_remark(
            call_id, id=f"{call_id}-{place}", speaker=speaker, text=text, heard=text, at=at,
            until=at + timedelta(seconds=4), latencies=latencies,
        )  # fmt: skip


def add_recording(desk: Desk, call_id: str, seconds: float = 12.0, began: float = 600.0) -> bytes:
    """Keep a recording of a call: a tone on each side in turn; get its bytes."""
    rate = 8000
    tone = [
        round(9000 * math.sin(n / 3) * ((n // rate) % 4 != 3)) for n in range(int(seconds * rate))
    ]
    side = struct.pack(f"<{len(tone)}h", *tone)
    other = struct.pack(f"<{len(tone)}h", *(value // 2 for value in reversed(tone)))
    pcm = stereo(side, other)
    audio = wav_header(rate, 2, len(pcm)) + pcm
    name = f"{call_id}.wav"
    (desk.recordings / name).write_bytes(audio)
    desk.store.add(
        RecordingRecord, call_id, id=f"{call_id}-r", location=name, seconds=seconds,
        began_at=ago(began),
    )  # fmt: skip
    return audio
