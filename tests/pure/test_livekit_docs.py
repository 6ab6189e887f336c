"""The page about the LiveKit plugin names tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "livekit.md").read_text()


def names_of_tests() -> set[str]:
    """Name them without importing them: LiveKit may not be installed."""
    names = set()
    for path in (ROOT / "tests" / "compat").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                names.add(node.name)
    return names


def test_every_test_that_is_named_is_there() -> None:
    """A row that is shown by nothing would be a claim."""
    named = set(re.findall(r"`(test_\w+)`", PAGE)) - {"test_stt", "test_tts"}
    assert named
    assert named - names_of_tests() == set()


def test_every_number_that_shows_a_row_is_that_of_a_test() -> None:
    """``r04`` stands for the tests of that name."""
    names = " ".join(names_of_tests())
    numbers = set(re.findall(r"`(r\d\d)`", PAGE))
    assert numbers
    assert {number for number in numbers if f"{number}_" not in names} == set()


def test_all_forty_requirements_are_listed_once() -> None:
    """In order, each with what holds it."""
    rows = re.findall(r"^\| R(\d+) \| .+ \| (.+) \|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 41))
    assert all("test" in tests or "the same" in tests for _, tests in rows)
