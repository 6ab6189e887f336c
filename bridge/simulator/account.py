"""What the account owns: Call Control applications and phone numbers.

Telnyx: call-control-applications and phone-numbers reference pages; the fields are those a voice
application uses.

Threads: everything here is called with the carrier's lock held.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from bridge.simulator.behaviour import Behaviour
from bridge.simulator.webhooks import Route, timestamp

# Fields of an application that a client may set, and what they are when it does not.
APPLICATION_FIELDS: dict[str, Any] = {
    "active": True,
    "anchorsite_override": "Latency",
    "application_name": "",
    "call_cost_in_webhooks": False,
    "dtmf_type": "RFC 2833",
    "first_command_timeout": False,
    "first_command_timeout_secs": 30,
    "inbound": {},
    "outbound": {},
    "tags": [],
    "webhook_api_version": "2",
    "webhook_event_failover_url": "",
    "webhook_event_url": "",
    "webhook_timeout_secs": None,
}
NUMBER_FIELDS: dict[str, Any] = {
    "connection_id": None,
    "customer_reference": "",
    "tags": [],
}


def new_id() -> str:
    """Make a resource id as Telnyx writes them: nineteen digits."""
    return str(10**18 + secrets.randbelow(9 * 10**18))


@dataclass
class Resource:
    """An application or a number.

    Attributes:
        kind: its ``record_type``.
        fields: what a client may set.
        id: Telnyx's id of it.
        phone_number: of a number.
    """

    kind: str
    fields: dict[str, Any]
    id: str = field(default_factory=new_id)
    phone_number: str = ""
    created_at: str = field(default_factory=timestamp)
    updated_at: str = field(default_factory=timestamp)

    def data(self) -> dict[str, Any]:
        """Get it as the API shows it."""
        shown = {"id": self.id, "record_type": self.kind, **self.fields}
        if self.phone_number:
            shown |= {"phone_number": self.phone_number, "status": "active"}
        return {**shown, "created_at": self.created_at, "updated_at": self.updated_at}

    def update(self, changes: dict[str, Any]) -> None:
        """Set the fields that are known, and leave the others alone."""
        self.fields |= {name: value for name, value in changes.items() if name in self.fields}
        self.updated_at = timestamp()


class Account:
    """Applications and numbers by id.

    Attributes:
        default: the application that answers for every number nobody registered.
    """

    def __init__(self, behaviour: Behaviour, webhook_url: str, number: str) -> None:
        """Make an account with one application and one number.

        Args:
            behaviour: gives the webhook timeouts and retries.
            webhook_url: of that application.
            number: which is attached to it.
        """
        self._behaviour = behaviour
        self.applications: dict[str, Resource] = {}
        self.numbers: dict[str, Resource] = {}
        self.default = self.add_application(
            {"application_name": "simulator", "webhook_event_url": webhook_url}
        )
        self.add_number(number, self.default.id)

    def add_application(self, fields: dict[str, Any]) -> Resource:
        """Make an application."""
        application = Resource("call_control_application", dict(APPLICATION_FIELDS))
        application.update(fields)
        self.applications[application.id] = application
        return application

    def add_number(self, number: str, connection_id: str | None = None) -> Resource:
        """Make a number, or get the one that is there."""
        for known in self.numbers.values():
            if known.phone_number == number:
                return known
        resource = Resource("phone_number", dict(NUMBER_FIELDS), phone_number=number)
        resource.fields["connection_id"] = connection_id
        self.numbers[resource.id] = resource
        return resource

    def owner_of(self, number: str) -> Resource | None:
        """Get the application that a number is attached to.

        Returns:
            The default one for a number that nobody registered, ``None`` for a number that is
            registered and attached to nothing.
        """
        for known in self.numbers.values():
            if known.phone_number == number:
                return self.applications.get(known.fields["connection_id"] or "")
        return self.default

    def is_own(self, number: str) -> bool:
        """Whether a number is registered and attached, so that dialling it comes back here."""
        return any(
            known.phone_number == number and known.fields["connection_id"] in self.applications
            for known in self.numbers.values()
        )

    def route(self, connection_id: str) -> Route:
        """Get where the webhooks of a connection go."""
        application = self.applications.get(connection_id)
        if application is None:
            return Route()
        fields = application.fields
        return Route(
            url=fields["webhook_event_url"] or "",
            failover_url=fields["webhook_event_failover_url"] or "",
            timeout=fields["webhook_timeout_secs"] or self._behaviour.webhook_timeout,
            retry_delays=self._behaviour.webhook_retry_delays,
        )
