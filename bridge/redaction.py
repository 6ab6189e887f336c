"""Take out of a text what nobody may read in a log.

Log lines of the bridge are written without numbers, tokens and keys in the first place.  This is
the net under them, for lines and error texts that others write: the web server's access log names
the media route with its token, and an error of a peer may quote a telephone number.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Shorter values are words that may occur anywhere; replacing them would only garble the log.
SHORTEST_SECRET = 6

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # The stream token: what follows the media route, also percent-encoded inside another URL.
    (re.compile(r"(/telnyx/media/|%2Ftelnyx%2Fmedia%2F)[^\s\"'?#&<>\\]+", re.IGNORECASE), r"\1…"),
    (re.compile(r"\b(Bearer|Basic)\s+[^\s\"',;]+", re.IGNORECASE), r"\1 …"),
    # Telnyx API v2 keys.
    (re.compile(r"\bKEY[0-9A-Z_]*[0-9][0-9A-Za-z_\-]{6,}"), "KEY…"),
    # User and password of a URL.
    (re.compile(r"(\b[a-z][a-z0-9+.\-]*://)[^\s/@\"']+@", re.IGNORECASE), r"\1…@"),
    # Telephone numbers in E.164, plain or percent-encoded: the last two digits are left to tell
    # two of them apart.
    (re.compile(r"(?:\+|%2B)[0-9]{4,13}([0-9]{2})(?![0-9])", re.IGNORECASE), r"+…\1"),
    (re.compile(r"\b(sips?|tel):[0-9]{4,13}([0-9]{2})(?![0-9])", re.IGNORECASE), r"\1:…\2"),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Mask stream tokens, credentials, API keys and telephone numbers in ``text``.

    Args:
        text: anything.
        secrets: values that are masked wherever they appear.
    """
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "…")
    for pattern, mask in _RULES:
        text = pattern.sub(mask, text)
    return text


def mask_number(number: str) -> str:
    """Keep of a telephone number or SIP address what tells two of them apart: ``"…67"``."""
    return f"…{number[-2:]}" if len(number) > 4 else "…"
