"""A Flask application under a real threaded server, and webhooks signed for it."""

from __future__ import annotations

import base64
import contextlib
import json
import time
import uuid
from collections.abc import Iterator

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask
from werkzeug.serving import make_server

from telnyx_media.sync.threads import ThreadGroup
from tests.loopback import PATIENCE

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()


@contextlib.contextmanager
def serving(app: Flask, port: int = 0) -> Iterator[str]:
    """Serve ``app`` on loopback; yields its address."""
    server = make_server("127.0.0.1", port, app, threaded=True)
    with ThreadGroup("web") as group:
        group.spawn("serve", server.serve_forever, 0.02)
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()


def event(event_type: str, event_id: str | None = None, **payload: object) -> bytes:
    """Make a webhook's body; the leg is ``v3:leg`` unless said otherwise."""
    fields = {
        "call_control_id": "v3:leg",
        "call_leg_id": "leg",
        "call_session_id": "session",
        "connection_id": "connection",
        "from": "+15550100001",
        "to": "+15550100002",
        **payload,
    }
    data = {
        "record_type": "event",
        "event_type": event_type,
        "id": event_id or str(uuid.uuid4()),
        "occurred_at": "2026-10-01T09:30:00.123456Z",
        "payload": fields,
    }
    return json.dumps({"data": data, "meta": {"attempt": 1}}).encode()


def signed(body: bytes, at: float | None = None) -> dict[str, str]:
    """Make a webhook's headers, signed now or ``at``."""
    timestamp = str(int(time.time() if at is None else at))
    signature = KEY.sign(timestamp.encode() + b"|" + body)
    return {
        "Content-Type": "application/json",
        "User-Agent": "telnyx-webhooks",
        "Telnyx-Signature-Ed25519": base64.b64encode(signature).decode(),
        "Telnyx-Timestamp": timestamp,
    }


def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> requests.Response:
    """Post a webhook, signed unless ``headers`` are given."""
    headers = signed(body) if headers is None else headers
    return requests.post(f"{url}/telnyx/webhook", data=body, headers=headers, timeout=PATIENCE)
