"""What hosts read: compose file, app.json, Procfile, Dockerfile."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from bridge.settings import Settings

ROOT = Path(__file__).parents[2]

# What servers read, and none of our settings.
OTHERS = {"PATH", "PYTHONUNBUFFERED", "PIP_NO_CACHE_DIR", "PIP_DISABLE_PIP_VERSION_CHECK"}


def known() -> set[str]:
    """Name every variable that the application reads."""
    return {str(field.alias) for field in Settings.model_fields.values()}


def test_the_compose_file_sets_what_there_is() -> None:
    """Services, their health, and variables that exist; Redis keeps nothing on a disk."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = compose["services"]
    assert set(services) == {"app", "redis", "postgres"}
    assert set(services["app"]["environment"]) <= known()
    assert set(services["app"]["depends_on"]) == {"redis", "postgres"}
    assert "--save" in services["redis"]["command"]
    assert "volumes" not in services["redis"]
    mounted = {
        volume.partition(":")[0] for one in services.values() for volume in one.get("volumes", ())
    }
    assert mounted == set(compose["volumes"])


def test_the_host_waits_longer_than_the_calls_go_on() -> None:
    """A drain that the host cuts short loses calls."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    grace = float(compose["services"]["app"]["stop_grace_period"].removesuffix("s"))
    assert grace > float(Settings.model_fields["drain_seconds"].default) + 4
    app = json.loads((ROOT / "app.json").read_text())
    # Heroku kills after thirty.
    assert float(app["env"]["BRIDGE_DRAIN_SECONDS"]["value"]) + 4 < 30


def test_app_json_asks_for_what_there_is() -> None:
    """Variables that exist."""
    app = json.loads((ROOT / "app.json").read_text())
    assert set(app["env"]) <= known()


def test_the_procfile_serves_and_looks_after_the_database() -> None:
    """A release that cannot be written to is no release."""
    lines = (ROOT / "Procfile").read_text().split("\n")
    processes = dict(line.split(": ", 1) for line in lines if line)
    assert processes == {
        "web": "gunicorn wsgi:app",
        "release": "python -m bridge db upgrade",
    }


def test_the_image_has_what_it_copies_and_runs_without_root() -> None:
    """Each file that is copied exists; the last user is not root; the variables exist."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources)
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1] == "bridge"
    assert re.search(r'^CMD \["gunicorn", "wsgi:app"\]$', text, re.MULTILINE)
    names = {
        name
        for line in re.findall(r"^ENV (.*)$", text, re.MULTILINE)
        for name in re.findall(r"([A-Z_]+)=", line)
    }
    assert names - OTHERS <= known()
