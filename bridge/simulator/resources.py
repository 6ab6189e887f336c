"""What ``bridge setup`` and ``bridge doctor`` ask for: applications, numbers, voices, deliveries.

Telnyx: call-control-applications, phone-numbers, text-to-speech voices, speech-to-text providers
and webhook-deliveries reference pages.

Threads: runs on the request's thread and takes the carrier's lock for moments.
"""

from __future__ import annotations

from typing import Any

from bridge.simulator.account import Resource
from bridge.simulator.api import ApiRoute, ok, route
from bridge.simulator.apierrors import ApiError
from bridge.simulator.carrier import Carrier
from bridge.simulator.fields import Fields
from bridge.simulator.server import HttpRequest, HttpResponse
from bridge.simulator.webhooks import Webhook

# Provider, model, voice, language: a few of each kind the pages name.
VOICES = (
    ("telnyx", "NaturalHD", "astra", "en-US", "Female"),
    ("telnyx", "NaturalHD", "andersen_johan", "en-US", "Male"),
    ("telnyx", "Natural", "abbie", "en-US", "Female"),
    ("telnyx", "KokoroTTS", "af_heart", "en-US", "Female"),
    ("aws", "Polly", "Joanna-Neural", "en-US", "Female"),
    ("azure", "", "en-US-AvaMultilingualNeural", "en-US", "Female"),
)
_PREFIXES = {"telnyx": "Telnyx", "aws": "AWS", "azure": "Azure"}

# Engine, model, languages.
STT_MODELS = (
    ("Deepgram", "nova-3", ["en-US", "multi"]),
    ("Deepgram", "nova-2", ["en-US"]),
    ("Deepgram", "flux", ["en"]),
    ("Telnyx", "openai/whisper-large-v3-turbo", ["auto"]),
    ("Telnyx", "openai/whisper-tiny", ["auto"]),
    ("Google", "latest_long", ["en-US"]),
)
PAGE_SIZE = 20


class Resources:
    """The routes that are no call commands."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    def routes(self) -> list[ApiRoute]:
        """Get the routes."""
        applications, numbers = "/call_control_applications", "/phone_numbers"
        return [
            route("GET", applications, self._list_applications),
            route("POST", applications, self._create_application),
            route("GET", f"{applications}/:id", self._get_application),
            route("PATCH", f"{applications}/:id", self._update_application),
            route("DELETE", f"{applications}/:id", self._delete_application),
            route("GET", numbers, self._list_numbers),
            route("GET", f"{numbers}/:id", self._get_number),
            route("PATCH", f"{numbers}/:id", self._update_number),
            route("GET", f"{numbers}/:id/voice", self._get_number),
            route("PATCH", f"{numbers}/:id/voice", self._update_number),
            route("GET", "/whoami", self._whoami),
            route("GET", "/balance", self._balance),
            route("GET", "/text-to-speech/voices", self._voices),
            # Where older pages have it.
            route("GET", "/ai/tts/voices", self._voices),
            route("GET", "/speech-to-text/providers", self._providers),
            route("GET", "/webhook_deliveries", self._deliveries),
            route("GET", "/webhook_deliveries/:id", self._delivery),
            route("GET", "/public_key", self._public_key),
        ]

    # Applications.

    def _list_applications(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        wanted = request.get("filter[application_name][contains]") or request.get(
            "filter[application_name]"
        )
        with self._carrier.lock:
            found = [
                a.data()
                for a in self._carrier.account.applications.values()
                if wanted.lower() in str(a.fields["application_name"]).lower()
            ]
        return _page(request, found)

    def _create_application(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        body = request.json()
        fields = Fields(body)
        fields.require("application_name")
        _check_url(str(fields.require("webhook_event_url")), "webhook_event_url")
        _check_application(fields)
        with self._carrier.lock:
            return ok(self._carrier.account.add_application(body).data())

    def _application(self, variables: dict[str, str]) -> Resource:
        application = self._carrier.account.applications.get(variables["id"])
        if application is None:
            raise ApiError("10005", "The requested resource or URL could not be found.")
        return application

    def _get_application(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        with self._carrier.lock:
            return ok(self._application(variables).data())

    def _update_application(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        body = request.json()
        _check_application(Fields(body))
        with self._carrier.lock:
            application = self._application(variables)
            application.update(body)
            return ok(application.data())

    def _delete_application(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        with self._carrier.lock:
            application = self._application(variables)
            del self._carrier.account.applications[application.id]
            return ok(application.data())

    # Numbers.

    def _list_numbers(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        wanted = request.get("filter[phone_number]").strip(" +")
        with self._carrier.lock:
            found = [
                self._shown(n)
                for n in self._carrier.account.numbers.values()
                if wanted in n.phone_number
            ]
        return _page(request, found)

    def _shown(self, number: Resource) -> dict[str, Any]:
        data = number.data()
        application = self._carrier.account.applications.get(data["connection_id"] or "")
        name = application.fields["application_name"] if application is not None else ""
        return {**data, "connection_name": name}

    def _number(self, variables: dict[str, str]) -> Resource:
        # Telnyx takes the id or the number itself.
        for number in self._carrier.account.numbers.values():
            if variables["id"] in (number.id, number.phone_number):
                return number
        raise ApiError("10005", "The requested resource or URL could not be found.")

    def _get_number(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        with self._carrier.lock:
            return ok(self._shown(self._number(variables)))

    def _update_number(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        body = request.json()
        with self._carrier.lock:
            number = self._number(variables)
            connection_id = body.get("connection_id")
            if connection_id and connection_id not in self._carrier.account.applications:
                raise ApiError(
                    "10015", "The connection_id does not exist.", pointer="/connection_id"
                )
            number.update(body)
            return ok(self._shown(number))

    # The account.

    def _whoami(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        carrier = self._carrier
        return ok(
            {
                "record_type": "whoami",
                "user_id": carrier.user_id,
                "organization_id": carrier.organization_id,
            }
        )

    def _balance(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        return ok(
            {
                "record_type": "balance",
                "balance": "100.00",
                "available_credit": "100.00",
                "credit_limit": "0.00",
                "pending": "0.00",
                "currency": "USD",
            }
        )

    def _public_key(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        return ok({"public": self._carrier.webhooks.signer.public_key})

    # Speech.

    def _voices(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        wanted = request.get("provider")
        voices = [
            {
                "name": name,
                "voice_id": ".".join(p for p in (_PREFIXES[provider], model, name) if p),
                "provider": provider,
                "language": language,
                "gender": gender,
                "hosted": provider == "telnyx",
            }
            for provider, model, name, language, gender in VOICES
            if wanted in ("", provider)
        ]
        return HttpResponse.of_json({"voices": voices})

    def _providers(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        data = [
            {
                "provider": engine,
                "model": model,
                "hosted": engine == "Telnyx",
                "service_types": [{"type": "streaming", "languages": languages}],
            }
            for engine, model, languages in STT_MODELS
        ]
        return ok(data, meta={"total": len(data)})

    # Deliveries.

    def _deliveries(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        status = request.get("filter[status][eq]")
        event_type = request.get("filter[event_type]")
        sent = reversed(self._carrier.webhooks.sent)
        found = [
            data
            for data in (self._shown_delivery(w) for w in sent if w.attempts)
            if status in ("", data["status"]) and event_type in ("", data["webhook"]["event_type"])
        ]
        return _page(request, found)

    def _delivery(self, request: HttpRequest, variables: dict[str, str]) -> HttpResponse:
        for webhook in self._carrier.webhooks.sent:
            if webhook.event["id"] == variables["id"]:
                return ok(self._shown_delivery(webhook))
        raise ApiError("10005", "The requested resource or URL could not be found.")

    def _shown_delivery(self, webhook: Webhook) -> dict[str, Any]:
        attempts = [
            {
                "status": "delivered" if 200 <= a.status < 300 else "failed",
                "started_at": a.started_at,
                "finished_at": a.finished_at,
                "http": {
                    "request": {"url": a.url},
                    "response": {"status": a.status} if a.status else None,
                },
                "errors": [] if a.status else [{"code": 0, "title": "no answer"}],
            }
            for a in webhook.attempts
        ]
        return {
            "record_type": "webhook_delivery",
            "id": webhook.event["id"],
            "user_id": self._carrier.user_id,
            "status": "delivered" if webhook.delivered else "failed",
            "started_at": attempts[0]["started_at"] if attempts else None,
            "finished_at": attempts[-1]["finished_at"] if attempts else None,
            "webhook": webhook.event,
            "attempts": attempts,
        }


def _check_url(url: str, name: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise ApiError("10015", f"The '{name}' parameter must be a URL.", pointer=f"/{name}")


def _check_application(fields: Fields) -> None:
    fields.choice("webhook_api_version", ("1", "2"), None)
    fields.number("webhook_timeout_secs", 0, 30, 0)
    for name in ("webhook_event_url", "webhook_event_failover_url"):
        if fields.text(name):
            _check_url(fields.text(name), name)


def _page(request: HttpRequest, items: list[dict[str, Any]]) -> HttpResponse:
    def positive(name: str, default: int) -> int:
        text = request.get(name)
        return max(1, int(text)) if text.isdecimal() else default

    size, number = positive("page[size]", PAGE_SIZE), positive("page[number]", 1)
    meta = {
        "page_number": number,
        "page_size": size,
        "total_pages": (len(items) + size - 1) // size,
        "total_results": len(items),
    }
    return ok(items[(number - 1) * size : number * size], meta=meta)
