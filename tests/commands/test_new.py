"""``bridge new``: what it writes runs at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bridge import cli
from bridge.commands import new
from bridge.settings import Settings

FILES = {
    ".env.example",
    ".gitignore",
    "Procfile",
    "README.md",
    "agent.py",
    "pytest.ini",
    "requirements-dev.txt",
    "requirements.txt",
    "tests/test_agent.py",
}


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plain_environ() -> dict[str, str]:
    """Get the environment without what this project's own tests have set."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BRIDGE_", "TELNYX_", "PYTEST_", "COV_"))
    }


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--llm"]], ids=["plain", "llm"])
def test_the_tests_of_a_new_project_pass(folder: Path, options: list[str]) -> None:
    """A caller speaks, is understood, and hears an answer: in a process of its own."""
    assert cli.run(["new", "pizza-line", *options]) == 0
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder / "pizza-line",
        env=plain_environ(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"\b1 passed", result.stdout)


@pytest.mark.parametrize("options", [[], ["--llm"]], ids=["plain", "llm"])
def test_a_new_project_is_complete(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """Every file is there, and nothing in one is left to fill in by the program."""
    assert cli.run(["new", "pizza-line", *options]) == 0
    assert "cd pizza-line" in capsys.readouterr().out
    root = folder / "pizza-line"
    written = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    assert written == FILES
    for path in written:
        text = (root / path).read_text()
        assert text.endswith("\n")
        assert not re.search(r"\$[a-z{]", text), path
    environ = (root / ".env.example").read_text()
    variables = re.findall(r"^([A-Z_]+)=", environ, re.M)
    assert set(variables) <= set(Settings.variables().values())
    assert ("BRIDGE_LLM_MODEL" in variables) is bool(options)


def test_serve_finds_the_agent_of_a_new_project(folder: Path) -> None:
    """As far as the settings go, which are not made up."""
    assert cli.run(["new", "line"]) == 0
    procfile = (folder / "line" / "Procfile").read_text()
    command = procfile.removeprefix("web: ").strip().replace("bridge", "-m bridge")
    words = command.split()
    assert words[:2] == ["env", "BRIDGE_AGENT=agent:answer"]
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    environ = {
        **plain_environ(),
        "BRIDGE_AGENT": "agent:answer",
        "TELNYX_API_KEY": "KEY1",
        "TELNYX_PUBLIC_KEY": key,
        "PUBLIC_URL": "https://calls.example.com",
        "PORT": "0",
    }
    process = subprocess.Popen(
        [sys.executable, *words[2:], "--host", "127.0.0.1"],
        cwd=folder / "line",
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().split() == ["agent", "agent:answer"]
        # gunicorn says so when it listens.
        lines: list[str] = []
        while not any("Listening at" in line for line in lines):
            line = process.stderr.readline()
            assert line, lines
            lines.append(line)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("name", ["Pizza", "1st", "a b", "../up", "", "a" * 41, "-x", "päckchen"])
def test_a_bad_name_is_wrong_usage(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """One line, and nothing is written."""
    assert cli.run(["new", "--", name]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(folder.iterdir()) == []


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a folder nor a file of that name."""
    (folder / "line").mkdir()
    (folder / "other").write_text("mine")
    for name in ("line", "other"):
        assert cli.run(["new", name]) == 1
        assert capsys.readouterr().err == (f"bridge: {name} exists already; nothing was written\n")
    assert list((folder / "line").iterdir()) == []
    assert (folder / "other").read_text() == "mine"


def test_the_requirement_is_this_checkout(folder: Path) -> None:
    """The package is on no index: the line says where it is, the README what to change."""
    line, anywhere = new.requirement("llm")
    root = Path(new.__file__).parents[2]
    assert (line, anywhere) == (f"-e {root}[llm]", False)
    files = new.files("line", llm=True)
    assert files["requirements.txt"] == f"-e {root}[llm]\n"
    assert f"-e {root}[llm,offline]" in files["requirements-dev.txt"]
    assert "git+https" in files["README.md"]


def test_the_requirement_is_where_it_was_installed_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a repository: its address and the commit, which holds on any machine."""
    origin = {
        "url": "https://example.com/bridge.git",
        "vcs_info": {"vcs": "git", "commit_id": "0123abc"},
    }
    monkeypatch.setattr(new, "_origin", lambda: origin)
    assert new.requirement("") == (
        "telnyx-bridge @ git+https://example.com/bridge.git@0123abc",
        True,
    )
    assert "git+https" not in new.files("line")["README.md"]
