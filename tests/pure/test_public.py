"""The library's front door: every name is there, and opening it costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import telnyx_media


@pytest.mark.parametrize("name", telnyx_media.__all__)
def test_every_public_name_is_found(name: str) -> None:
    """At its first use, and listed before."""
    assert name in dir(telnyx_media)
    assert getattr(telnyx_media, name) is not None


def test_type_checkers_see_the_same_names() -> None:
    """The names for them stand in a block that never runs."""
    source = Path(telnyx_media.__file__).read_text(encoding="utf-8")
    block = next(node for node in ast.parse(source).body if isinstance(node, ast.If))
    seen = {
        (alias.asname, node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    homes = {(name, telnyx_media._HOME[name]) for name in telnyx_media.__all__}
    assert homes == seen


def test_a_name_that_is_not_there_is_an_ordinary_error() -> None:
    """As for any module."""
    with pytest.raises(AttributeError, match="no attribute 'Telephone'"):
        _ = telnyx_media.Telephone  # type: ignore[attr-defined]


def test_importing_the_library_needs_no_other_package() -> None:
    """Not one of them is loaded, so none has to be installed."""
    code = (
        "import sys, telnyx_media\n"
        "top = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(n for n in {'av', 'msgspec', 'numpy', 'websocket', 'sentencex'} & top))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert ran.stdout.strip() == "[]"
