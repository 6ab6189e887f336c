"""Put query parameters on a base address without damaging what is there.

A base address may be a proxy's and carry a query of its own; values may hold ``&``, ``:`` or
spaces.  Every address of this package is built here.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from telnyx_media.errors import ConfigurationError

Parameters = Iterable[tuple[str, str]]


def with_query(
    base_url: str, parameters: Parameters, *, schemes: Sequence[str] = ("ws", "wss")
) -> str:
    """Merge ``parameters`` into the query of ``base_url``.

    What the base address holds already is kept, except names that are given anew: those are ours
    to decide.

    Args:
        base_url: an absolute address.
        parameters: names and values, unescaped; a name may come several times.
        schemes: that the address may have.

    Raises:
        ConfigurationError: ``base_url`` is not such an address.
    """
    try:
        parts = urlsplit(base_url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
        parts = urlsplit("")
    if parts.scheme not in schemes or not host:
        raise ConfigurationError(f"base_url: an absolute {schemes[-1]}:// address is needed")
    ours = list(parameters)
    names = {name for name, _ in ours}
    kept = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name not in names
    ]
    query = urlencode(kept + ours, quote_via=quote, safe="")
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def without_query(url: str) -> str:
    """Reduce an address to scheme, host and path: what may be shown in a message or a log."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(address)"
    return f"{parts.scheme}://{host}{port}{parts.path}"
