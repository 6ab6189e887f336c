"""``bridge new NAME``: a small project that runs at once."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from string import Template

import click

from bridge.errors import BridgeError

TEMPLATES = Path(__file__).parent / "templates"

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")

LLM_ENV = """\
# A language model; unset, Telnyx's API is asked. Fallbacks come after commas.
BRIDGE_LLM_MODEL="""

DEPLOYABLE = """\
Push it to any host that runs a `Procfile`, with the variables of `.env.example` set there."""

LOCAL = """\
Push it to any host that runs a `Procfile`, with the variables of `.env.example` set there. Before
that, change the line in `requirements.txt`: it names a checkout on this machine, and the host needs
an address that it can reach, `telnyx-bridge @ git+https://…@<commit>`."""


@click.command()
@click.argument("name")
@click.option("--llm", is_flag=True, help="An agent that is a language model, with a tool.")
def command(name: str, llm: bool) -> None:
    """Write a small project into the new directory NAME.

    An agent, a test that calls it on this machine, and what a deployment needs.
    """
    if not _NAME.fullmatch(name):
        raise click.UsageError(
            f"{name!r} can't be the name: small letters, digits, - and _, at most 40, "
            "beginning with a letter"
        )
    folder = Path(name)
    try:
        folder.mkdir()
    except FileExistsError:
        raise BridgeError(f"{name} exists already; nothing was written") from None
    for path, text in files(name, llm=llm).items():
        target = folder / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
    click.echo(f"wrote {name}; next:")
    click.echo(f"  cd {name} && pip install -r requirements-dev.txt && pytest")


def files(name: str, *, llm: bool = False) -> dict[str, str]:
    """Get the files of a new project: path and content.

    Args:
        name: of the project.
        llm: whether its agent is a language model.
    """
    line, anywhere = requirement("llm" if llm else "")
    values = {
        "name": name,
        "requirement": line,
        "dev_requirement": requirement("llm,offline" if llm else "offline")[0],
        "deploy": DEPLOYABLE if anywhere else LOCAL,
        "env": LLM_ENV if llm else "",
    }
    made = {}
    for kind in ("common", "llm" if llm else "plain"):
        for template in sorted((TEMPLATES / kind).glob("*.tmpl")):
            path = template.name.removesuffix(".tmpl")
            path = f".{path.removeprefix('dot-')}" if path.startswith("dot-") else path
            path = f"tests/{path}" if path.startswith("test_") else path
            text = Template(template.read_text(encoding="utf-8")).safe_substitute(values)
            made[path] = text.rstrip() + "\n"
    # So that the tests find the agent, wherever pytest is called from.
    made["pytest.ini"] = "[pytest]\npythonpath = .\ntestpaths = tests\n"
    return made


def requirement(extras: str) -> tuple[str, bool]:
    """Get the line by which pip installs this very package, and whether it holds anywhere.

    The package is on no index.  Installed from a repository, it is named by address and commit;
    run from a checkout, by the checkout's directory.

    Args:
        extras: comma list, may be empty.
    """
    name = f"telnyx-bridge[{extras}]" if extras else "telnyx-bridge"
    origin = _origin()
    vcs = origin.get("vcs_info")
    if isinstance(vcs, dict):
        return f"{name} @ {vcs['vcs']}+{origin['url']}@{vcs['commit_id']}", True
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").exists():
        return f"-e {checkout}" + (f"[{extras}]" if extras else ""), False
    if origin.get("url"):
        return f"{name} @ {origin['url']}", not str(origin["url"]).startswith("file:")
    return name, True


def _origin() -> dict[str, object]:
    """Read where pip installed this package from (PEP 610)."""
    try:
        text = distribution("telnyx-bridge").read_text("direct_url.json")
    except PackageNotFoundError:
        return {}
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}
