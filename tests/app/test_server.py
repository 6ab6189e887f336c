"""What the hooks of the web server do to a worker process."""

from __future__ import annotations

import gc
import signal
from types import SimpleNamespace
from typing import Any

from bridge import server


def test_a_worker_does_not_look_for_garbage_in_what_stays() -> None:
    """Collecting garbage stops every call; what was loaded before the first is left out of it."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGQUIT)}
    worker: Any = SimpleNamespace(wsgi=object())
    gc.unfreeze()
    try:
        server.post_worker_init(worker)
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
        for number, handler in handlers.items():
            signal.signal(number, handler)
