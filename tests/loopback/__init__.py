"""Real peers on 127.0.0.1."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

# How long a test waits for a condition, in seconds; a slow machine scales it.
PATIENCE = 5.0 * float(os.environ.get("TEST_PATIENCE", "1"))


def wait_until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait until ``condition()`` is true, at most ``PATIENCE`` seconds.

    Raises:
        AssertionError: it never was.
    """
    limit = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(f"{what} did not come within {PATIENCE} s")
        time.sleep(0.005)
