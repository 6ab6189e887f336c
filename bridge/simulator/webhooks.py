"""Deliver webhooks as Telnyx does: signed, tried again, and now and then wrong.

The envelope, the two signature headers and what is signed are those of Telnyx's receiving-webhooks
pages.  Webhooks of one leg leave in the order of its events, each after the answer to the one
before; a webhook that has to be tried again is overtaken by those behind it.

Threads: ``sim-hook``, up to ``SENDERS`` of them, started when needed.  Any thread may emit.
"""

from __future__ import annotations

import base64
import heapq
import itertools
import json
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bridge.simulator.faults import Faults
from telnyx_media.sync.threads import ThreadGroup

# How many webhooks may be on their way at once; a client that answers late holds one up.
SENDERS = 16


def timestamp() -> str:
    """Get the time as Telnyx writes it: ISO 8601, UTC, microseconds."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Signer:
    """The account's Ed25519 key.

    Attributes:
        public_key: base64 of the raw 32 bytes, as the portal shows it.
    """

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_key = base64.b64encode(raw).decode()

    def headers(self, body: bytes, seconds: int) -> dict[str, str]:
        """Sign ``body`` as sent at ``seconds`` since the epoch."""
        signature = self._key.sign(str(seconds).encode() + b"|" + body)
        return {
            "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
            "telnyx-timestamp": str(seconds),
        }


@dataclass
class Route:
    """Where the webhooks of a leg go.

    Attributes:
        url: the primary URL; ``""`` delivers nothing.
        failover_url: tried once after the last attempt at the primary.
        timeout: seconds for an answer.
        retry_delays: seconds before each further attempt.
        urls: for one event type, instead of ``url``.
        retries: for one event type, instead of ``retry_delays``.
    """

    url: str = ""
    failover_url: str = ""
    timeout: float = 2.0
    retry_delays: tuple[float, ...] = ()
    urls: Mapping[str, str] = field(default_factory=dict)
    retries: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass
class Attempt:
    """One POST of a webhook.

    Attributes:
        url: where to.
        at: monotonic time at which it was answered or given up.
        status: the HTTP status, 0 if there was no answer.
        started_at: ISO 8601.
        finished_at: ISO 8601.
    """

    url: str
    at: float
    status: int
    started_at: str
    finished_at: str


@dataclass
class Webhook:
    """One event and what became of its delivery.

    Attributes:
        key: the leg; webhooks of one key keep their order.
        event: ``data`` of the envelope.
        route: where it goes.
        emitted_at: monotonic time.
        attempts: every POST so far.
        delivered: whether one was answered with 2xx.
        given_up: whether there will be no further attempt.
    """

    key: str
    event: dict[str, Any]
    route: Route
    emitted_at: float
    attempts: list[Attempt] = field(default_factory=list)
    delivered: bool = False
    given_up: bool = False

    @property
    def event_type(self) -> str:
        """The event's type."""
        return str(self.event["event_type"])


@dataclass(order=True)
class _Due:
    at: float
    order: int
    webhook: Webhook = field(compare=False)
    # Whether the next webhook of the leg waits for this one.
    leads: bool = field(compare=False)


class Webhooks:
    """The sender of every webhook of one simulator.

    Attributes:
        signer: the key they are signed with.
        sent: every webhook so far, oldest first.
    """

    def __init__(
        self, group: ThreadGroup, faults: Faults, on_change: Callable[[], None] = lambda: None
    ) -> None:
        """Make an idle sender.

        Args:
            group: the owner of its threads.
            faults: consulted for each delivery.
            on_change: called, on any thread, after an attempt.
        """
        self.signer = Signer()
        self.sent: list[Webhook] = []
        self._group = group
        self._faults = faults
        self._on_change = on_change
        self._random = random.Random(20)
        self._order = itertools.count()
        # Guards everything below; woken when something is due earlier, and to stop.
        self._changed = threading.Condition()
        self._due: list[_Due] = []
        self._behind: dict[str, deque[Webhook]] = {}
        self._senders = 0
        self._idle = 0
        self._stopped = False

    def emit(self, key: str, event_type: str, payload: dict[str, Any], route: Route) -> Webhook:
        """Make an event and send its webhook; never waits."""
        event = {
            "record_type": "event",
            "event_type": event_type,
            "id": str(uuid.uuid4()),
            "occurred_at": timestamp(),
            "payload": payload,
        }
        webhook = Webhook(key, event, route, time.monotonic())
        with self._changed:
            self.sent.append(webhook)
            dropped = self._stopped or event_type in self._faults.drop_webhooks
            if dropped or not self._url(webhook):
                webhook.given_up = True
            else:
                self._enqueue(webhook)
        return webhook

    def of(self, key: str) -> list[Webhook]:
        """Get the webhooks of one leg, oldest first."""
        with self._changed:
            return [webhook for webhook in self.sent if webhook.key == key]

    def stop(self) -> None:
        """Send nothing more; what is on its way is let go."""
        with self._changed:
            self._stopped = True
            self._due.clear()
            self._changed.notify_all()

    def _enqueue(self, webhook: Webhook) -> None:
        delay = self._faults.delay_webhooks
        if self._faults.shuffle_webhooks:
            delay += self._random.uniform(0, self._faults.shuffle_webhooks)
            self._push(webhook, delay, leads=False)
        elif webhook.key in self._behind:
            self._behind[webhook.key].append(webhook)
        else:
            self._behind[webhook.key] = deque()
            self._push(webhook, delay, leads=True)
        if self._faults.duplicate_webhooks:
            self._push(webhook, delay + self._random.uniform(0, 0.2), leads=False)

    def _push(self, webhook: Webhook, delay: float, *, leads: bool) -> None:
        due = _Due(time.monotonic() + delay, next(self._order), webhook, leads)
        heapq.heappush(self._due, due)
        if not self._idle and self._senders < SENDERS:
            self._senders += 1
            self._group.spawn("sim-hook", self._run)
        self._changed.notify()

    def _run(self) -> None:
        with requests.Session() as http:
            # A proxy of the environment is none of Telnyx's business.
            http.trust_env = False
            while (due := self._take()) is not None:
                self._deliver(http, due)

    def _take(self) -> _Due | None:
        with self._changed:
            self._idle += 1
            try:
                while not self._stopped:
                    now = time.monotonic()
                    if self._due and self._due[0].at <= now:
                        return heapq.heappop(self._due)
                    self._changed.wait(self._due[0].at - now if self._due else None)
                return None
            finally:
                self._idle -= 1

    def _deliver(self, http: requests.Session, due: _Due) -> None:
        webhook = due.webhook
        url = self._url(webhook)
        attempt = self._post(http, webhook, url)
        with self._changed:
            webhook.attempts.append(attempt)
            if 200 <= attempt.status < 300:
                webhook.delivered = True
            elif not webhook.delivered:
                self._retry(webhook)
            if due.leads:
                self._lead_on(webhook.key)
        self._on_change()

    def _retry(self, webhook: Webhook) -> None:
        """Schedule the next attempt; call it with the lock held."""
        route = webhook.route
        delays = route.retries.get(webhook.event_type, route.retry_delays)
        tried = len(webhook.attempts)
        if self._stopped or tried > len(delays) + bool(route.failover_url):
            webhook.given_up = True
        elif tried <= len(delays):
            self._push(webhook, delays[tried - 1], leads=False)
        elif route.failover_url:
            self._push(webhook, 0.0, leads=False)
        else:
            webhook.given_up = True

    def _lead_on(self, key: str) -> None:
        """Send the leg's next webhook; call it with the lock held."""
        behind = self._behind.get(key)
        if behind:
            self._push(behind.popleft(), self._faults.delay_webhooks, leads=True)
        else:
            self._behind.pop(key, None)

    @staticmethod
    def _url(webhook: Webhook) -> str:
        route = webhook.route
        delays = route.retries.get(webhook.event_type, route.retry_delays)
        if route.failover_url and len(webhook.attempts) > len(delays):
            return route.failover_url
        return route.urls.get(webhook.event_type, route.url)

    def _post(self, http: requests.Session, webhook: Webhook, url: str) -> Attempt:
        number = len(webhook.attempts) + 1
        envelope = {"data": webhook.event, "meta": {"attempt": number, "delivered_to": url}}
        body = json.dumps(envelope).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "telnyx-webhooks",
            # A connection kept for the next webhook may be closed just as it is used.
            "Connection": "close",
        }
        if not self._faults.unsigned_webhooks:
            headers |= self.signer.headers(body, int(time.time()))
        started = timestamp()
        try:
            response = http.post(
                url,
                data=body,
                headers=headers,
                timeout=webhook.route.timeout,
                allow_redirects=False,
            )
            status = response.status_code
        except (requests.RequestException, ValueError):
            status = 0
        return Attempt(url, time.monotonic(), status, started, timestamp())
