"""``bridge setup``: make the Call Control application and attach a number."""

from __future__ import annotations

from typing import Any

import click

from bridge.account import Account
from bridge.doctor.accountchecks import WEBHOOK_ROUTE
from bridge.errors import BridgeError
from bridge.redaction import mask_number
from bridge.settings import Settings


@click.command()
@click.option("--name", default="telnyx-bridge", show_default=True, help="Of the application.")
@click.option("--number", help="Phone number to attach, as +15551234567.  [default: asked]")
@click.option("--yes", "-y", is_flag=True, help="Change without asking.")
def command(name: str, number: str | None, yes: bool) -> None:
    """Make the Call Control application, attach a number, and print what was changed.

    Asks before each change. Running it again changes nothing that is right already.
    """
    settings = Settings.from_environ(require=("telnyx_api_key", "public_url"))
    assert settings.telnyx_api_key is not None
    with Account(settings.telnyx_api_key.get_secret_value(), settings.telnyx_api_url) as account:
        application = _application(account, name, f"{settings.public_url}{WEBHOOK_ROUTE}", yes)
        _number(account, number, application, yes)
        click.echo("to check the rest: bridge doctor")


def _application(account: Account, name: str, webhook_url: str, yes: bool) -> dict[str, Any]:
    fields = {"webhook_event_url": webhook_url, "webhook_api_version": "2"}
    known = [
        a
        for a in account.applications()
        if a.get("webhook_event_url") == webhook_url or a.get("application_name") == name
    ]
    if not known:
        _ask(f"make the application {name}, with webhooks to {webhook_url}?", yes)
        made = account.create_application({"application_name": name, **fields})
        click.echo(f"made the application {name} ({made.get('id')})")
        return made
    application = known[0]
    title = application.get("application_name")
    changes = {
        field: value for field, value in fields.items() if str(application.get(field)) != value
    }
    if not changes:
        click.echo(f"the application {title} is right already")
        return application
    _ask(f"change the application {title}: {_listed(changes, application)}?", yes)
    changed = account.update_application(str(application["id"]), changes)
    click.echo(f"changed the application {title}: {_listed(changes, application)}")
    return changed


def _listed(changes: dict[str, str], before: dict[str, Any]) -> str:
    return ", ".join(f"{name} from {before.get(name)} to {new}" for name, new in changes.items())


def _number(account: Account, wanted: str | None, application: dict[str, Any], yes: bool) -> None:
    numbers = account.numbers()
    here = str(application["id"])
    attached = [n for n in numbers if str(n.get("connection_id")) == here]
    if wanted is None and attached:
        shown = ", ".join(mask_number(str(n["phone_number"])) for n in attached)
        click.echo(f"attached already: {shown}")
        return
    number = _chosen(numbers, wanted, yes)
    shown = mask_number(str(number["phone_number"]))
    if number in attached:
        click.echo(f"{shown} is attached already")
        return
    before = number.get("connection_name") or number.get("connection_id") or "nothing"
    _ask(f"send calls to {shown} here? They go to {before} now.", yes)
    account.attach_number(str(number["id"]), here)
    click.echo(f"attached {shown}, which led to {before} before")


def _chosen(numbers: list[dict[str, Any]], wanted: str | None, yes: bool) -> dict[str, Any]:
    if not numbers:
        raise BridgeError("the account has no phone number; buy one in the portal, then run again")
    if wanted is not None:
        for number in numbers:
            if number.get("phone_number") == wanted:
                return number
        raise BridgeError(f"the account has no number {mask_number(wanted)}; see the portal")
    if len(numbers) == 1:
        return numbers[0]
    if yes:
        raise BridgeError("the account has several numbers: say which with --number")
    for place, number in enumerate(numbers, 1):
        click.echo(f"{place:3}  {number.get('phone_number')}")
    place = click.prompt("which number", type=click.IntRange(1, len(numbers)))
    return numbers[int(place) - 1]


def _ask(question: str, yes: bool) -> None:
    if not yes and not click.confirm(question):
        raise BridgeError("stopped as you said; nothing more was changed")
