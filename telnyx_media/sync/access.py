"""What a connection needs to be let in: the key, and whom to trust.

Both come from the environment where nothing is given.
"""

from __future__ import annotations

import contextlib
import functools
import os
import ssl

from telnyx_media.errors import ConfigurationError


@functools.lru_cache(maxsize=4)
def _make_context(bundle: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if bundle:
        if os.path.isdir(bundle):
            context.load_verify_locations(capath=bundle)
        else:
            context.load_verify_locations(cafile=bundle)
    elif not context.cert_store_stats()["x509_ca"]:
        # A container without CA files: the bundle that `requests` brings along.
        with contextlib.suppress(ImportError, OSError):
            import certifi

            context.load_verify_locations(cafile=certifi.where())
    return context


def default_context() -> ssl.SSLContext:
    """Get the TLS context of this process: the system's CAs, or ``WEBSOCKET_CLIENT_CA_BUNDLE``.

    Raises:
        ConfigurationError: the bundle cannot be read.
    """
    # SSL_CERT_FILE and SSL_CERT_DIR are honoured by OpenSSL when the context is made.
    try:
        return _make_context(os.environ.get("WEBSOCKET_CLIENT_CA_BUNDLE"))
    except (OSError, ssl.SSLError):
        raise ConfigurationError("WEBSOCKET_CLIENT_CA_BUNDLE: no readable CA bundle") from None


def check_key(api_key: str | None) -> str:
    """Get the key to use: the one given, else ``TELNYX_API_KEY``.

    Raises:
        ConfigurationError: there is none, or it cannot go into a header.
    """
    key = (api_key if api_key is not None else os.environ.get("TELNYX_API_KEY", "")).strip()
    if not key:
        raise ConfigurationError("api_key: pass it or set TELNYX_API_KEY")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("api_key: holds characters that no key has")
    return key
