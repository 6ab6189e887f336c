"""Addresses as people write them, checked and brought into the form we use.

Every function takes the text of a variable and returns the address, or raises :class:`ValueError`
with a sentence that continues the variable's name ("must be https://…").  None quotes the address:
it may hold a password.

Pure.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` is this machine, by name or address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split_url(value: str, schemes: tuple[str, ...]) -> SplitResult:
    """Split ``value``, refusing other schemes, a missing host and a bad port; never echo it."""
    try:
        parts = urlsplit(value.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in schemes or not host:
        raise ValueError(f"must begin with {' or '.join(f'{s}://' for s in schemes)} and a host")
    return parts


def _service_url(value: str, secure: str, plain: str) -> str:
    """Check the address of a service that is sent the API key.

    Unencrypted only to this machine, or to a bare name such as a container's neighbour: the key is
    in every request.
    """
    parts = _split_url(value, (secure, plain))
    host = parts.hostname or ""
    if parts.scheme == plain and not is_loopback(host) and "." in host:
        raise ValueError(f"must be {secure}:// for a host other than this machine")
    return value.strip().rstrip("/")


def rest_url(value: str) -> str:
    """Check the address of a REST API."""
    return _service_url(value, "https", "http")


def socket_url(value: str) -> str:
    """Check the address of a WebSocket service."""
    return _service_url(value, "wss", "ws")


def public_url(value: str) -> str:
    """Check the address under which Telnyx reaches this app."""
    parts = _split_url(value, ("https", "http"))
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("must be https:// (Telnyx opens the media socket as wss://)")
    if parts.query or parts.fragment or parts.username:
        raise ValueError("must be the plain address of this app, like https://calls.example.com")
    return value.strip().rstrip("/")


def database_url(value: str) -> str:
    """Turn the hosts' spellings into SQLAlchemy's."""
    url = value.strip()
    for scheme in ("postgres://", "postgresql://"):
        if url.startswith(scheme):
            url = "postgresql+psycopg://" + url[len(scheme) :]
    if not re.match(r"[a-z][a-z0-9+]*://", url):
        raise ValueError("must be a database URL, like postgres://user:password@host/name")
    return url


def redis_url(value: str) -> str:
    """Check the address of a Redis server."""
    url = value.strip()
    if not url.startswith("unix://"):
        _split_url(url, ("redis", "rediss"))
    return url
