"""Run the checks in the order in which a person would mend things.

Threads: one; blocks for some seconds in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bridge.account import Account
from bridge.doctor import accountchecks, checks
from bridge.doctor.findings import Finding, ok, problem
from bridge.errors import CommandError, SettingsError
from bridge.settings import TO_TAKE_CALLS, Settings


def examine(environ: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Check everything that can be wrong, a finding at a time.

    Args:
        environ: the variables; the process's own when ``None``.
    """
    try:
        settings = Settings.from_environ(environ)
    except SettingsError as error:
        for line in str(error).splitlines():
            yield problem(
                "settings", line, "correct it in the environment; see bridge doctor --explain"
            )
        return
    try:
        settings.require(*TO_TAKE_CALLS)
        yield ok("settings", "complete")
    except SettingsError as error:
        for line in str(error).splitlines():
            yield problem("settings", line, "set it in the environment")
    yield checks.agent(settings)
    yield checks.voice_detector()
    yield checks.database(settings)
    yield checks.redis(settings)
    yield checks.port(settings)
    yield from _account(settings)
    yield from checks.public_address(settings)


def _account(settings: Settings) -> Iterator[Finding]:
    if settings.telnyx_api_key is None:
        return
    key = settings.telnyx_api_key.get_secret_value()
    with Account(key, settings.telnyx_api_url) as account:
        try:
            findings = list(accountchecks.credentials(settings, account))
            yield from findings
            if findings[0].state == "problem":
                return
            yield from accountchecks.numbers(settings, account)
            yield accountchecks.deliveries(account)
            yield from accountchecks.speech(settings, account)
        except CommandError as error:
            yield problem("account", str(error), "try again; check the network")
