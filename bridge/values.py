"""Values as people write them, checked and brought into the form we use.

Every function takes what a variable holds and returns what is meant, or raises :class:`ValueError`
with a sentence that continues the variable's name ("must be https://…").  Those for secrets and for
addresses, which may hold a password, don't quote them.

Pure, but for the user's home directory.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from bridge.signatures import load_public_key

# -- words ----------------------------------------------------------------------------------------


def words(value: object) -> object:
    """Split a comma list; drop empty entries."""
    if isinstance(value, str):
        return tuple(word for word in (part.strip() for part in value.split(",")) if word)
    return value


def choice(value: object, allowed: Iterable[str]) -> object:
    """Find a name in ``allowed`` whatever its case."""
    if not isinstance(value, str):
        return value
    names = list(allowed)
    for name in names:
        if name.lower() == value.strip().lower():
            return name
    raise ValueError(f"{value!r} is not one of {', '.join(names)}")


def not_empty(value: tuple[str, ...]) -> tuple[str, ...]:
    """Insist on at least one word."""
    if not value:
        raise ValueError("name at least one")
    return value


def on_off(value: object) -> object:
    """Read a switch: on/off, true/false, yes/no, 1/0."""
    if not isinstance(value, str):
        return value
    word = value.strip().lower()
    if word in ("on", "true", "yes", "1"):
        return True
    if word in ("off", "false", "no", "0"):
        return False
    raise ValueError(f"{value!r} is neither on nor off")


def agent_name(value: str) -> str:
    """Check the name of a function, ``module:callable``; it is not looked up."""
    module, colon, name = value.strip().partition(":")
    names = [*module.split("."), *name.split(".")]
    if not colon or not all(part.isidentifier() for part in names):
        raise ValueError(f"{value!r} is not module:callable, like mypackage.agent:answer")
    return value.strip()


def public_key(value: str) -> str:
    """Check the key that webhooks are signed with."""
    load_public_key(value)
    return value.strip()


def directory(value: object) -> object:
    """Make a path, ``~`` being the user's own directory."""
    if not isinstance(value, str):
        return value
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("begins with ~, and the user has no home directory") from None


def default_home() -> Path:
    """Choose where things are kept on this machine."""
    try:
        return Path("~/.telnyx-bridge").expanduser()
    except RuntimeError:
        # A container's user without an entry in its passwd file.
        return Path(".telnyx-bridge").absolute()


def header_value(value: SecretStr) -> SecretStr:
    """Refuse what cannot be sent as a header; it was cut or pasted wrongly."""
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("holds characters that no key has; copy it again")
    return value


def named_numbers(value: object) -> object:
    """Read ``sales=+12025550101, support=sip:help@example.com``."""
    if not isinstance(value, str):
        return value
    found: dict[str, str] = {}
    for entry in value.split(","):
        name, equals, number = (part.strip() for part in entry.partition("="))
        if not entry.strip():
            continue
        if not (equals and name and re.fullmatch(r"\+[1-9]\d{4,14}|sips?:\S+@\S+", number)):
            raise ValueError("must be name=number, the number as +12025550101 or sip:…@…")
        found[name.lower()] = number
    return found


def webhook_secret(value: SecretStr) -> SecretStr:
    """Check the secret of webhooks in the Standard Webhooks form."""
    text = value.get_secret_value().removeprefix("whsec_")
    try:
        size = len(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except ValueError:
        size = 0
    if not 24 <= size <= 64:
        raise ValueError("must be whsec_ and the base64 of 24 to 64 bytes")
    return value


# -- addresses ------------------------------------------------------------------------------------


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
