"""Do the work of webhooks off the request's thread.

Telnyx wants its 200 within a second or sends the webhook again (Telnyx: receiving-webhooks page),
and what a webhook sets off may wait for Telnyx's REST API or for Redis much longer.

Threads: ``submit`` may be called from any thread and never waits.  The pool's own threads,
``pool/<tag>``, are made when there is work for one more, up to ``size``, and stay until
:meth:`WorkPool.close`.

Rules of this module:

1. Jobs of one key are done one after another, in the order in which they were submitted; jobs of
   different keys don't wait for each other while a thread is free.
2. Not more than ``limit`` jobs are in the pool.  One more is refused: the webhook is answered with
   503, and Telnyx sends it again.
3. A job that raises is logged, and the next one is done.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from telnyx_media.sync.threads import BoundedQueue, QueueClosed, ThreadGroup

logger = logging.getLogger(__name__)

Job = Callable[[], object]


class WorkPool:
    """A few threads for many keys.

    Use it as a ``with`` block, or call :meth:`close`.
    """

    def __init__(self, size: int = 16, limit: int = 1000, *, tag: str = "webhook") -> None:
        """Make a pool; no thread starts before the first job.

        Args:
            size: threads at most; that many slow REST commands hold nothing up.
            limit: jobs waiting or being done at most.
            tag: ends up in the threads' names.
        """
        self.size = size
        self.limit = limit
        self._group = ThreadGroup(tag)
        # The keys that have work and that no thread is at.  Each key is in it once at most, and
        # there are never more keys than jobs: `submit` refuses before it can be full.
        self._ready: BoundedQueue[str] = BoundedQueue(limit)
        # Guards what follows.
        self._lock = threading.Lock()
        self._jobs: dict[str, deque[tuple[float, Job]]] = {}
        self._working = 0
        self._longest = 0.0
        self._count = 0
        self._threads = 0

    def __len__(self) -> int:
        """Count the jobs that wait or are being done."""
        return self._count

    @property
    def working(self) -> int:
        """How many threads have something to do."""
        return self._working

    def take_wait(self) -> float:
        """Get the longest that a job waited for a thread since this was asked last, in seconds."""
        with self._lock:
            longest, self._longest = self._longest, 0.0
        return longest

    def submit(self, key: str, job: Job) -> bool:
        """Have ``job`` done after all earlier jobs of ``key``; never waits.

        Returns:
            Whether it was taken: not when the pool is full or closed.
        """
        with self._lock:
            if self._count >= self.limit or self._ready.closed:
                return False
            waiting = self._jobs.get(key)
            if waiting is not None:
                # Whoever is at this key, or will be, goes on with this job.
                waiting.append((time.monotonic(), job))
            else:
                try:
                    self._ready.offer(key)
                except QueueClosed:
                    return False
                self._jobs[key] = deque([(time.monotonic(), job)])
            self._count += 1
            # A thread for every key that has work, whether it waits or is being served.
            more = len(self._jobs) > self._threads and self._threads < self.size
            if more:
                self._threads += 1
        if more:
            self._group.spawn("pool", self._work)
        return True

    def _work(self) -> None:
        while True:
            try:
                key = self._ready.take()
            except QueueClosed:
                return
            self._do_next(key)

    def _do_next(self, key: str) -> None:
        """Do one job of ``key``, then let the other keys have their turn."""
        with self._lock:
            since, job = self._jobs[key].popleft()
            self._longest = max(self._longest, time.monotonic() - since)
            self._working += 1
        try:
            job()
        except Exception:  # the top of a thread
            logger.exception("the work of a webhook failed")
        with self._lock:
            self._count -= 1
            self._working -= 1
            if not self._jobs[key]:
                del self._jobs[key]
            else:
                with contextlib.suppress(QueueClosed):
                    self._ready.offer(key)

    def close(self, timeout: float = 5.0) -> bool:
        """Take no more jobs, drop those that wait, join; may be called twice.

        Args:
            timeout: seconds to wait for the jobs that are being done.

        Returns:
            Whether all threads have ended.
        """
        self._ready.close(drop=True)
        self._group.stop()
        return self._group.join(timeout)

    def __enter__(self) -> WorkPool:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
