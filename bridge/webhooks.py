"""The route that Telnyx posts its webhooks to.

Telnyx sends a webhook again when it is not answered within a second or so, in any order, and more
than once (Telnyx: receiving-webhooks page).  So the signature is checked, the event is put into the
pool, and 200 leaves; what it sets off happens on the pool's threads.

Threads: a request's own; it waits for the request's body, and for Redis if there is one, for an
answer of a millisecond, or for a second when it is going away.

Rules of this module:

1. Nothing is read of a body before its signature holds, and nothing of it is logged.
2. 200 means that the event is in our hands.  503 means: bring it again; the pool is full, or the
   process is on its way out and the call is for another one.
3. Every refusal is one log line.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout

from bridge.bodies import read_body
from bridge.errors import EventError, SignatureError
from bridge.events import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    CallInitiated,
    Event,
    parse_event,
    verify_signature,
)
from bridge.workpool import WorkPool

logger = logging.getLogger(__name__)

ROUTE = "/telnyx/webhook"

# Bytes; the longest events, with a call's quality and all its headers, have a few thousand.
BODY_LIMIT = 256 * 1024

# Seconds for a body to come; Telnyx sends its in one piece.
BODY_SECONDS = 5.0

# Seconds after which Telnyx may bring an event again that is not taken now.
RETRY_AFTER = 2


class WebhookReceiver:
    """Checks webhooks and passes them on."""

    def __init__(
        self,
        public_key: str,
        handle: Callable[[Event], object],
        pool: WorkPool,
        *,
        takes_calls: Callable[[], bool] = lambda: True,
        accept: Callable[[Event], object] = lambda event: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make a receiver.

        Args:
            public_key: base64 text of the account's Ed25519 key.
            handle: called with each event, on the pool's threads; the events of one leg one after
                another.  It sees to duplicates.
            pool: does the work.
            takes_calls: whether a new inbound call may begin in this process.
            accept: called with each event before it is answered with 200, on the request's thread;
                keeps it where another process finds it if this one dies.
            clock: the time in Unix seconds.
        """
        self._public_key = public_key
        self._handle = handle
        self._pool = pool
        self._takes_calls = takes_calls
        self._accept = accept
        self._clock = clock

    def receive(self, signature: str | None, timestamp: str | None, body: bytes) -> int:
        """Check a webhook and have it worked on; waits for no more than ``accept``.

        Args:
            signature: the ``telnyx-signature-ed25519`` header, or ``None``.
            timestamp: the ``telnyx-timestamp`` header, or ``None``.
            body: of the request, byte for byte.

        Returns:
            The HTTP status to answer with.
        """
        try:
            verify_signature(self._public_key, signature, timestamp, body, now=self._clock())
        except SignatureError as error:
            logger.warning("refused a webhook: %s", error)
            return 401
        try:
            event = parse_event(body)
        except EventError as error:
            logger.warning("refused a webhook: %s", error)
            return 400
        if not event.known:
            # New types appear without notice; they are Telnyx's to add and ours to ignore.
            logger.debug("ignored a webhook event of an unknown type")
            return 200
        return self._pass_on(event)

    def _pass_on(self, event: Event) -> int:
        if _begins_call(event) and not self._takes_calls():
            # Not a refusal of the call: it rings on until a process that stays takes the event.
            logger.info("left a new call to another process: this one is stopping")
            return 503
        # Whoever is told 200 brings it no second time.
        self._accept(event)
        key = event.payload.call_leg_id or event.call_control_id or event.id
        if not self._pool.submit(key, lambda: self._handle(event)):
            logger.error("refused a webhook: too much is waiting to be done, or we are stopping")
            return 503
        return 200


def _begins_call(event: Event) -> bool:
    payload = event.payload
    return isinstance(payload, CallInitiated) and payload.direction != "outgoing"


def make_blueprint(receiver: WebhookReceiver) -> Blueprint:
    """Make the ``POST /telnyx/webhook`` route."""
    blueprint = Blueprint("webhooks", __name__)

    @blueprint.post(ROUTE)
    def webhook() -> Response:
        headers = request.headers
        # The raw bytes, before anything parses them: they are what is signed.
        body = read_body(request, BODY_LIMIT, BODY_SECONDS)
        return _answer(
            receiver.receive(headers.get(SIGNATURE_HEADER), headers.get(TIMESTAMP_HEADER), body)
        )

    @blueprint.errorhandler(RequestTimeout)
    def too_slow(error: RequestTimeout) -> Response:
        logger.warning("refused a webhook: its body did not come within %g s", BODY_SECONDS)
        return _answer(408)

    @blueprint.errorhandler(RequestEntityTooLarge)
    def too_large(error: RequestEntityTooLarge) -> Response:
        logger.warning("refused a webhook: it is longer than %d bytes", BODY_LIMIT)
        return _answer(413)

    return blueprint


def _answer(status: int) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER)} if status == 503 else None
    return Response("ok\n" if status == 200 else "no\n", status, headers, mimetype="text/plain")
