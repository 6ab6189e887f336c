"""Who has the token: ``Authorization: Bearer …``.

Pure.
"""

from __future__ import annotations

import hmac

__all__ = ["bears"]


def bears(header: str | None, token: str) -> bool:
    """Whether an ``Authorization`` header has the token; compared in constant time."""
    scheme, _, given = (header or "").partition(" ")
    # Bytes: the comparison of texts refuses what is not ASCII.
    same = hmac.compare_digest(given.strip().encode(errors="replace"), token.encode())
    return same and scheme.lower() == "bearer"
