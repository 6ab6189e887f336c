"""What the hooks of the web server do to a worker process."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from bridge import server


@pytest.fixture
def worker() -> Iterator[Any]:
    """A worker of the server's; what its start changes in this process is put back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGQUIT)}
    garbage, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.unfreeze()
    yield SimpleNamespace(wsgi=object())
    gc.unfreeze()
    gc.set_threshold(*garbage)
    sys.setswitchinterval(interval)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_worker_does_not_look_for_garbage_in_what_stays(worker: Any) -> None:
    """Collecting garbage stops every call; what was loaded before the first is left out of it."""
    often = gc.get_threshold()[0]
    server.post_worker_init(worker)
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold()[0] > often


def test_an_agent_that_computes_gives_way(worker: Any) -> None:
    """In a tenth of the usual time: whatever reads and sends the calls' audio asks for the lock."""
    usual = sys.getswitchinterval()
    server.post_worker_init(worker)
    assert sys.getswitchinterval() <= usual / 10
