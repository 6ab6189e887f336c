"""Tell another program of every call that is over, by a signed webhook.

The form is that of Standard Webhooks (https://www.standardwebhooks.com): ``webhook-id``,
``webhook-timestamp`` and ``webhook-signature``, which any of its libraries verifies.  The body is
``{"type": "call.ended", "timestamp": …, "data": the call's record}``.

A receiver may be away for a while, and this process may end before it is back, so what is to be
sent is in the database (:mod:`bridge.records.deliveries`).  A receiver may get a webhook twice,
with the same id.

Threads: ``postcall``, one per process, started by :meth:`PostCall.start`; it alone sends.
"""

from __future__ import annotations

import json
import logging
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import requests
from standardwebhooks.webhooks import Webhook

from bridge.errors import RecordsError
from bridge.failures import where
from bridge.records.deliveries import Deliveries, Delivery
from bridge.records.document import document, moment
from bridge.records.store import RecordStore
from telnyx_media.sync.threads import ThreadGroup

__all__ = ["PostCall"]

logger = logging.getLogger(__name__)

# Seconds from one attempt to the next: about a day and a half in all.
PAUSES = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 28800.0, 43200.0)

# Seconds to connect, and to wait for an answer.
CONNECT, ANSWER = 5.0, 15.0

# Seconds after which it is looked for webhooks that another process has left.
LOOK_EVERY = 60.0


class PostCall:
    """Sends the webhooks of a process's calls, and those that others left."""

    def __init__(
        self,
        store: RecordStore,
        url: str,
        secret: str,
        *,
        pauses: tuple[float, ...] = PAUSES,
        look_every: float = LOOK_EVERY,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            store: has the calls.
            url: where the webhooks go.
            secret: signs them; base64, with or without ``whsec_``.
            pauses: seconds between attempts; after the last one it is given up.
            look_every: seconds.
        """
        self._store = store
        self._deliveries = Deliveries(store)
        self._url = url
        self._webhook = Webhook(secret)
        self._pauses = pauses
        self._look_every = look_every
        self._group = ThreadGroup("bridge", timeout=2.0)
        # Guards what follows; told of every change of it.
        self._changed = threading.Condition()
        self._woken = False
        self._closed = False
        self._started = False

    def start(self) -> None:
        """Begin to send; may be called again."""
        with self._changed:
            if not self._started and not self._closed:
                self._started = True
                self._group.spawn("postcall", self._run)

    def wake(self) -> None:
        """Look for what is due now; never waits."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()
        self.start()

    def close(self) -> None:
        """End; what was not sent is in the database. May be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._group.stop()
        self._group.join()

    # -- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while not self._closed:
                with self._changed:
                    self._woken = False
                pause = self._look_every
                try:
                    self._store.require_tables()
                    while not self._closed and self._send_next(session):
                        continue
                    pause = self._until_due()
                except RecordsError as error:
                    logger.debug("post-call webhooks wait: %s", error)
                with self._changed:
                    self._changed.wait_for(lambda: self._woken or self._closed, pause)

    def _until_due(self) -> float:
        due = self._deliveries.next_due()
        if due is None:
            return self._look_every
        return min(max((due - _now()).total_seconds(), 0.0), self._look_every)

    def _send_next(self, session: requests.Session) -> bool:
        """Send what is due; whether there may be more."""
        now = _now()
        # Nobody else has it while we try, whatever that takes.
        again = now + timedelta(seconds=2 * (CONNECT + ANSWER))
        delivery = self._deliveries.take(now, again)
        if delivery is None:
            return False
        record = self._store.call(delivery.call_id)
        if record is None:
            return True  # deleted meanwhile, and the delivery with it
        problem = self._send(session, delivery, document(record))
        if not problem:
            self._deliveries.settle(delivery, sent_at=_now())
        elif delivery.attempt > len(self._pauses):
            logger.error("gave up a post-call webhook: %s", problem)
            self._deliveries.settle(delivery, given_up=True)
        else:
            logger.warning("a post-call webhook was not taken: %s", problem)
            pause = self._pauses[delivery.attempt - 1]
            self._deliveries.settle(delivery, due_at=_now() + timedelta(seconds=pause))
        return True

    def _send(self, session: requests.Session, delivery: Delivery, record: dict[str, Any]) -> str:
        """Send one; ``""``, or why it was not taken, without the address."""
        now = _now()
        content = {"type": "call.ended", "timestamp": moment(now), "data": record}
        body = json.dumps(content, separators=(",", ":"))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "telnyx-bridge",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(delivery.id, now, body),
        }
        try:
            # A redirect would take the record to where nobody has configured it.
            answer = session.post(
                self._url,
                data=body.encode(),
                headers=headers,
                timeout=(CONNECT, ANSWER),
                allow_redirects=False,
                stream=True,
            )
            answer.close()
        except requests.RequestException as error:
            # Its text holds the address, which may hold a secret.
            return type(error).__name__
        except Exception as error:  # noqa: BLE001 - one bad webhook must not end the others
            return where(error)
        return "" if 200 <= answer.status_code < 300 else f"HTTP {answer.status_code}"


def _now() -> datetime:
    return datetime.now(timezone.utc)
