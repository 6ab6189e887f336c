"""The checks of ``bridge doctor`` that look at the Telnyx account.

Threads: one; each blocks for a request or a few.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from bridge.account import Account
from bridge.doctor.findings import Finding, ok, problem, skipped, warning
from bridge.errors import CommandError, SignatureError
from bridge.redaction import mask_number
from bridge.settings import Settings
from bridge.signatures import load_public_key

# A webhook older or younger than 300 s is refused; a clock this far off is on its way there.
SKEW_WARNING = 30.0
SKEW_PROBLEM = 240.0

WEBHOOK_ROUTE = "/telnyx/webhook"


def credentials(settings: Settings, account: Account) -> Iterator[Finding]:
    """Check the API key, the public key and this machine's clock.

    The first finding is a problem if nothing else can be asked of the account.
    """
    try:
        theirs = account.public_key()
    except CommandError as error:
        if error.http_status in (401, 403):
            yield problem(
                "API key",
                f"Telnyx refuses it ({error.http_status})",
                "copy the v2 key from the portal, Keys & Credentials, into TELNYX_API_KEY",
            )
        else:
            yield problem("API key", str(error), "check TELNYX_API_URL and the network")
        return
    yield ok("API key", "accepted")
    yield _public_key(settings, theirs)
    if account.server_time is not None:
        yield _clock(time.time() - account.server_time)


def _public_key(settings: Settings, theirs: str) -> Finding:
    remedy = "copy the public key from the portal, Keys & Credentials, into TELNYX_PUBLIC_KEY"
    if settings.telnyx_public_key is None:
        return problem("public key", "TELNYX_PUBLIC_KEY is not set", remedy)
    try:
        load_public_key(settings.telnyx_public_key)
    except SignatureError as error:
        return problem("public key", str(error), remedy)
    if theirs and theirs.strip() != settings.telnyx_public_key.strip():
        return problem("public key", "it is another account's: every webhook is refused", remedy)
    return ok("public key", "it is this account's" if theirs else "well-formed")


def _clock(ahead: float) -> Finding:
    text = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} Telnyx's"
    if abs(ahead) > SKEW_PROBLEM:
        return problem("clock", text, "set this machine's clock: webhooks seem stale")
    if abs(ahead) > SKEW_WARNING:
        return warning("clock", text, "set this machine's clock; beyond 300 s webhooks are refused")
    return ok("clock", "agrees with Telnyx's")


def numbers(settings: Settings, account: Account) -> Iterator[Finding]:
    """Check that an application sends its webhooks here, and that a number leads to it."""
    setup = "run: bridge setup"
    if settings.public_url is None:
        yield skipped("application", "PUBLIC_URL is not set")
        return
    wanted = settings.public_url + WEBHOOK_ROUTE
    applications = [a for a in account.applications() if a.get("webhook_event_url") == wanted]
    if not applications:
        yield problem("application", f"none sends its webhooks to {wanted}", setup)
        return
    for application in applications:
        yield _application(application)
    owned = {str(a["id"]) for a in applications}
    attached = [n for n in account.numbers() if str(n.get("connection_id")) in owned]
    if not attached:
        yield problem("number", "no phone number leads to the application", setup)
    for number in attached:
        yield ok("number", f"{mask_number(str(number.get('phone_number')))} leads here")


def _application(application: dict[str, Any]) -> Finding:
    name = application.get("application_name")
    version = str(application.get("webhook_api_version"))
    if version != "2":
        return problem(
            "application",
            f"{name} sends webhooks of API version {version}",
            "run: bridge setup (sets webhook_api_version to 2)",
        )
    if application.get("active") is False:
        return problem("application", f"{name} is not active", "activate it in the portal")
    return ok("application", f"{name} sends its webhooks here")


def deliveries(account: Account) -> Finding:
    """Check how Telnyx fared with its last webhooks: the view from outside."""
    try:
        recent = account.deliveries()
    except CommandError as error:
        return skipped("deliveries", str(error))
    if not recent:
        return skipped("deliveries", "Telnyx has sent no webhook lately; place a call")
    failed = [d for d in recent if d.get("status") != "delivered"]
    if recent[0] in failed:
        return problem(
            "deliveries",
            f"{len(failed)} of the last {len(recent)} webhooks failed, the newest too",
            "see that PUBLIC_URL answers from outside within 2 s",
        )
    if failed:
        return warning(
            "deliveries",
            f"{len(failed)} of the last {len(recent)} webhooks failed",
            "look at the app's log around those times",
        )
    return ok("deliveries", f"the last {len(recent)} webhooks arrived")


def speech(settings: Settings, account: Account) -> Iterator[Finding]:
    """Check that the configured engines and voices exist."""
    try:
        engines, voices = account.stt_engines(), account.voices()
    except CommandError as error:
        yield skipped("speech", str(error))
        return
    for engine in settings.stt_engines:
        if engines and engine not in engines:
            yield warning(
                "engine", f"Telnyx does not list {engine}", "set BRIDGE_STT_ENGINE to a listed one"
            )
        else:
            yield ok("engine", engine)
    for voice in settings.tts_voices:
        if voices and voice not in voices:
            yield warning(
                "voice", f"Telnyx does not list {voice}", "set BRIDGE_TTS_VOICE to a listed one"
            )
        else:
            yield ok("voice", voice)
