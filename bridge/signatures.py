"""Who sent a webhook.

Telnyx signs each webhook with Ed25519 over the timestamp header, a ``|`` and the raw body (Telnyx:
receiving-webhooks page), so that what was re-serialised on the way does not hold.

Pure: the time comes in as ``now``, in Unix seconds.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bridge.errors import SignatureError

# Seconds that a webhook may be old or early; the tolerance of Telnyx's own SDK.
TOLERANCE = 300

SIGNATURE_HEADER = "telnyx-signature-ed25519"
TIMESTAMP_HEADER = "telnyx-timestamp"

_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


@lru_cache(maxsize=8)
def load_public_key(text: str) -> Ed25519PublicKey:
    """Read the account's public key, as Mission Control shows it.

    Raises:
        ValueError: it is not the base64 text of 32 bytes; the message says what it looks like.
    """
    compact = "".join(text.split())
    if compact.startswith("-----"):
        raise ValueError("is a PEM file; set the base64 key that Mission Control shows")
    try:
        raw = base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64; copy the whole key from Mission Control") from None
    if len(raw) != _KEY_BYTES:
        raise ValueError(f"must be the base64 of 32 bytes, and holds {len(raw)}")
    return Ed25519PublicKey.from_public_bytes(raw)


def verify_signature(
    public_key: str,
    signature: str | None,
    timestamp: str | None,
    body: bytes,
    *,
    now: float,
    tolerance: float = TOLERANCE,
) -> None:
    """Check that Telnyx sent ``body``, and did so recently.

    Args:
        public_key: base64 text of the account's Ed25519 key.
        signature: the ``telnyx-signature-ed25519`` header, or ``None`` when there is none.
        timestamp: the ``telnyx-timestamp`` header as received, or ``None``.
        body: the request's body, byte for byte.
        now: the time in Unix seconds.
        tolerance: seconds that the timestamp may differ from ``now``.

    Raises:
        SignatureError: a header is missing or malformed, the time is off, or the signature does
            not hold; the message says which and quotes nothing.
        ValueError: ``public_key`` is not a key.
    """
    key = load_public_key(public_key)
    if not signature or not timestamp:
        raise SignatureError("the webhook is not signed")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise SignatureError("the timestamp is not a number")
    # Before the signature: a replayed webhook costs no curve arithmetic.
    age = now - int(timestamp)
    if abs(age) > tolerance:
        direction = "old" if age > 0 else "in the future"
        raise SignatureError(f"the webhook is {abs(age):.0f} s {direction}; is the clock right?")
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        raise SignatureError("the signature is not base64") from None
    if len(raw) != _SIGNATURE_BYTES:
        raise SignatureError("the signature has the wrong length")
    try:
        key.verify(raw, timestamp.encode("ascii") + b"|" + body)
    except InvalidSignature:
        raise SignatureError("the signature does not hold") from None
