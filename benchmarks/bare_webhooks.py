"""The least that a webhook costs on this server: the signature is checked, 200 leaves."""

from __future__ import annotations

import base64
import os

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from flask import Flask, request

app = Flask(__name__)
key = Ed25519PublicKey.from_public_bytes(base64.b64decode(os.environ["TELNYX_PUBLIC_KEY"]))


@app.get("/readyz")
def ready() -> str:
    """Say that it runs."""
    return "ready"


@app.post("/telnyx/webhook")
def webhook() -> tuple[str, int]:
    """Check a signature."""
    signature = base64.b64decode(request.headers["telnyx-signature-ed25519"])
    signed = request.headers["telnyx-timestamp"].encode() + b"|" + request.get_data()
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return "", 401
    return "ok", 200
