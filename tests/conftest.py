"""Guards and fixtures for every test."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.loopback import PATIENCE

# How long one example takes is no part of any property; the machine has other things to do.
settings.register_profile("project", deadline=None, max_examples=50)
settings.load_profile("project")


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """A test leaves as many threads as it found."""
    before = set(threading.enumerate())
    yield
    limit = time.monotonic() + 1.0
    while True:
        left = [t for t in threading.enumerate() if t not in before]
        if not left or time.monotonic() > limit:
            break
        left[0].join(0.02)
    assert not left, f"threads that stayed: {[t.name for t in left]}"


def binary_or_skip(name: str, path: str | None) -> str:
    """Get the path of a server's binary; fail in CI and skip on a laptop when it is missing."""
    if path is None:
        message = f"{name} is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


__all__ = ["PATIENCE", "binary_or_skip", "no_thread_stays"]
