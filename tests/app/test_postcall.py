"""Webhooks after calls, to a receiver that verifies them with the Standard Webhooks library."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from bridge.call import Call
from bridge.postcall import PostCall
from bridge.records.deliveries import Deliveries, delivery_id
from bridge.records.store import RecordStore
from telnyx_media.sync.threads import ThreadGroup
from tests.app.phone import phone_line
from tests.loopback import PATIENCE, wait_until

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
FAST = (0.02, 0.02, 0.02)


class Receiver:
    """Another program: verifies each webhook, and answers what the test wants."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.problems: list[str] = []
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._group = ThreadGroup("receiver")
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?key=in-the-url"

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._changed:
            try:
                content = Webhook(SECRET).verify(body, headers)
                self.got.append((headers["webhook-id"], content))
            except Exception as error:  # noqa: BLE001 - told by the test
                self.problems.append(repr(error))
            status = self.statuses.pop(0) if self.statuses else 204
            self._changed.notify_all()
        handler.send_response(status)
        handler.send_header("Location", self.url)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def wait(self, count: int) -> None:
        """Wait for so many webhooks."""
        with self._changed:
            found = self._changed.wait_for(lambda: len(self.got) >= count, PATIENCE * 4)
        assert not self.problems
        assert found, f"{len(self.got)} came"

    def __enter__(self) -> Receiver:
        self._group.spawn("http", self._server.serve_forever, 0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._group.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that takes everything."""
    with Receiver() as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RecordStore]:
    """A store with one call that is over, and put down for its webhook."""
    made = RecordStore.of(None, tmp_path)
    made.upgrade()
    now = datetime.now(timezone.utc)
    made.save_call("leg-1", began_at=now - timedelta(minutes=1), ended_at=now, reason="caller")
    Deliveries(made).want("leg-1", now)
    yield made
    made.close()


def sender(store: RecordStore, url: str, pauses: tuple[float, ...] = FAST) -> PostCall:
    """A sender that has started."""
    made = PostCall(store, url, SECRET, pauses=pauses, look_every=0.05)
    made.start()
    return made


def test_a_call_that_is_over_is_told(receiver: Receiver) -> None:
    """With its whole record, from the call's own process, soon after its end."""

    def agent(call: Call) -> None:
        call.say("Goodbye.")

    with phone_line(
        agent, BRIDGE_POSTCALL_URL=receiver.url, BRIDGE_POSTCALL_SECRET=SECRET
    ) as phone:
        phone.call()
        phone.seen.summary()
        receiver.wait(1)
    identity, content = receiver.got[0]
    assert content["type"] == "call.ended"
    call = content["data"]
    assert identity == delivery_id(call["id"])
    assert call["reason"] == "agent"
    assert [remark["heard"] for remark in call["remarks"]] == ["Goodbye."]
    assert call["live"] is False
    assert len(receiver.got) == 1


def test_a_receiver_that_fails_is_tried_again_with_the_same_id(
    store: RecordStore, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A redirect counts as a failure too: a record goes nowhere else."""
    receiver.statuses = [500, 302]
    post_call = sender(store, receiver.url)
    receiver.wait(3)
    wait_until(lambda: Deliveries(store).next_due() is None)
    post_call.close()
    assert {identity for identity, _ in receiver.got} == {delivery_id("leg-1")}
    assert len(receiver.got) == 3
    assert "in-the-url" not in caplog.text


def test_it_is_given_up_in_the_end(
    store: RecordStore, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """After the last pause, with one line."""
    receiver.statuses = [503] * 10
    post_call = sender(store, receiver.url)
    wait_until(lambda: "gave up a post-call webhook: HTTP 503" in caplog.text)
    post_call.close()
    assert len(receiver.got) == len(FAST) + 1
    assert Deliveries(store).next_due() is None


def test_a_receiver_that_is_away_gets_it_after_a_restart(store: RecordStore) -> None:
    """Nobody listens, the process ends, another one starts when the receiver is back."""
    with Receiver() as gone:
        url = gone.url
    first = sender(store, url, (0.5,) * 5)
    wait_until(lambda: (due := Deliveries(store).next_due()) is None or due > _now())
    first.close()
    first.close()
    with Receiver() as receiver:
        second = sender(store, receiver.url)
        receiver.wait(1)
        second.close()
    assert receiver.got[0][0] == delivery_id("leg-1")


def test_several_processes_send_it_once(store: RecordStore, receiver: Receiver) -> None:
    """Each looks for what is due; only one has it."""
    for n in range(2, 12):
        store.save_call(f"leg-{n}")
        Deliveries(store).want(f"leg-{n}", _now())
    senders = [sender(store, receiver.url) for _ in range(3)]
    receiver.wait(11)
    wait_until(lambda: Deliveries(store).next_due() is None)
    for each in senders:
        each.close()
    identities = [identity for identity, _ in receiver.got]
    assert len(identities) == len(set(identities)) == 11


def test_a_call_that_was_deleted_is_not_told(store: RecordStore, receiver: Receiver) -> None:
    """Its webhook goes with it."""
    store.erase(["leg-1"])
    post_call = sender(store, receiver.url)
    store.save_call("leg-2")
    Deliveries(store).want("leg-2", _now())
    post_call.wake()
    receiver.wait(1)
    post_call.close()
    assert [content["data"]["id"] for _, content in receiver.got] == ["leg-2"]


def test_the_body_is_what_was_signed(store: RecordStore, receiver: Receiver) -> None:
    """Whatever language was spoken."""
    from bridge.records.schema import RemarkRecord

    store.add(RemarkRecord, "leg-1", id="a", speaker="caller", text="Grüße 👋", at=_now())
    post_call = sender(store, receiver.url)
    receiver.wait(1)
    post_call.close()
    assert receiver.got[0][1]["data"]["remarks"][0]["text"] == "Grüße 👋"
    assert json.dumps(receiver.got[0][1])


def _now() -> datetime:
    return datetime.now(timezone.utc)
