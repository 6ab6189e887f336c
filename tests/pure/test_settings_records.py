"""Settings of what is kept of calls, and where it is told."""

from __future__ import annotations

import base64

import pytest

from bridge.errors import SettingsError
from bridge.settings import Settings

SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()


def test_nothing_is_told_and_nothing_deleted_by_default() -> None:
    """Whoever wants it says so."""
    settings = Settings.from_environ({})
    assert settings.retention_days is None
    assert settings.postcall_url is None
    assert settings.metrics_token is None
    assert settings.otel_endpoint is None


def test_values_are_taken_and_secrets_are_known() -> None:
    """What may not be logged is found among the secrets."""
    settings = Settings.from_environ(
        {
            "BRIDGE_RETENTION_DAYS": "30",
            "BRIDGE_POSTCALL_URL": "https://crm.example.com/hook?key=1",
            "BRIDGE_POSTCALL_SECRET": SECRET,
            "BRIDGE_METRICS_TOKEN": "a-token-for-metrics",
        }
    )
    assert settings.retention_days == 30
    assert {SECRET, "a-token-for-metrics"} <= set(settings.secrets())
    assert "crm.example.com" not in repr(settings)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"BRIDGE_RETENTION_DAYS": "0.5"}, "BRIDGE_RETENTION_DAYS must be at least 1"),
        ({"BRIDGE_POSTCALL_URL": "https://a.example"}, "BRIDGE_POSTCALL_SECRET must be set"),
        (
            {"BRIDGE_POSTCALL_URL": "http://a.example", "BRIDGE_POSTCALL_SECRET": SECRET},
            "BRIDGE_POSTCALL_URL must be https://",
        ),
        ({"BRIDGE_POSTCALL_SECRET": "whsec_short"}, "BRIDGE_POSTCALL_SECRET must be whsec_"),
        ({"BRIDGE_POSTCALL_SECRET": "not base64 at all, is it"}, "must be whsec_ and the base64"),
        ({"BRIDGE_METRICS_TOKEN": "short"}, "BRIDGE_METRICS_TOKEN must have at least 16"),
    ],
)
def test_a_wrong_value_says_what_would_be_right(environ: dict[str, str], message: str) -> None:
    """In one line, and no secret is quoted."""
    with pytest.raises(SettingsError, match=message) as caught:
        Settings.from_environ(environ)
    assert "not base64" not in str(caught.value)
    assert "\n" not in str(caught.value)
