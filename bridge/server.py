"""Run under gunicorn: its log lines among ours, and a SIGTERM that cuts no call.

On SIGTERM gunicorn's threaded worker stops accepting at once, waits for the requests that are under
way, and is killed by its master when ``graceful_timeout`` is over; it calls no hook of ours before
the end of that wait.  A call needs more: its webhooks are new requests, ``/readyz`` has to say that
no new ones are wanted, and someone has to say goodbye in time.  So SIGTERM first drains, and only
then stops the worker.

Threads: ``drain/bridge``, one per worker process, made after the fork; it sleeps until SIGTERM.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, MutableMapping
from datetime import timedelta
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any

from gunicorn import glogging

from telnyx_media.sync.threads import ThreadGroup

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

    from bridge.app import Bridge

logger = logging.getLogger(__name__)

# Seconds between the end of draining and the master's SIGKILL: to hand over the calls that are left
# (two at most), or hang them up, join their threads and let kept-alive connections linger.  So 25 s
# of draining stay below the 30 s that hosts leave a process.
CLOSING_SECONDS = 4

# Seconds after which a thread that computes gives way to one that wants Python's lock.  With the
# usual 5 ms an agent that computes holds up every read and every send of all calls for so long.
GIVE_WAY_AFTER = 0.0005

# New objects after which the young ones are looked through for garbage, in a millisecond or two.
GARBAGE_AFTER = 20_000

# Asked every few seconds by hosts; their access lines are worth nothing unless something is wrong.
QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


class Logger(glogging.Logger):
    """Gunicorn's log lines, sent through the process's one handler."""

    def setup(self, cfg: Any) -> None:
        """Take gunicorn's own handlers away again."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True

    def access(
        self, resp: Any, req: Any, environ: MutableMapping[str, Any], request_time: timedelta
    ) -> None:
        """Log a request, unless it is a health check that went well."""
        if environ.get("PATH_INFO") in QUIET_PATHS and str(resp.status).startswith("2"):
            return
        super().access(resp, req, environ, request_time)


class _Drain:
    """Drains one worker process when SIGTERM comes."""

    def __init__(self, bridge: Bridge, worker: Worker) -> None:
        self._bridge = bridge
        self._worker = worker
        # What to do next: the signal, or None to end without it.  The one queue that a signal
        # handler may put into.
        self._orders: SimpleQueue[int | None] = SimpleQueue()
        self._stop_worker = signal.getsignal(signal.SIGTERM)
        self._threads = ThreadGroup(
            "bridge", timeout=bridge.settings.drain_seconds + CLOSING_SECONDS
        )
        self._draining = False
        self._threads.spawn("drain", self._run)
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._orders.put(number)

    def _run(self) -> None:
        number = self._orders.get()
        if number is None:
            return
        self._draining = True
        logger.info("stopping: taking no new calls, waiting for %d", self._live())
        try:
            # Calls are handed over by a new media socket, which must not come to this process.
            self._bridge.drain(stop_accepting=lambda: self._stop(number))
        finally:
            # Stopping waits for the requests that are under way, and closing ends them.
            self._stop(number)
            self._bridge.close()

    def _stop(self, number: int) -> None:
        """Have the worker accept nothing more and end when its requests have; may be repeated."""
        if callable(self._stop_worker):
            self._stop_worker(number, None)

    def _live(self) -> int:
        return len(self._bridge.switchboard.legs())

    def end(self) -> None:
        """End every call that is left, and the threads."""
        self._orders.put(None)
        if self._draining:
            # The worker has run out of requests while calls are being handed over.
            self._threads.join()
        self._bridge.close()
        self._threads.join()


_drains: dict[int, _Drain] = {}

# Variable that names the directory in which several processes add up their metrics.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


# -- gunicorn's hooks -----------------------------------------------------------------------------


def on_starting(server: Arbiter) -> None:
    """Have the processes of this server add up their numbers, when there are several.

    The library that counts looks at the variable once, when a worker imports it.
    """
    if server.cfg.workers > 1 and METRICS_FOLDER not in os.environ:
        folder = os.environ[METRICS_FOLDER] = tempfile.mkdtemp(prefix="bridge-metrics-")
        atexit.register(_remove, folder, os.getpid())


def _remove(folder: str, pid: int) -> None:
    # Workers are forks of the process that has made it.
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


def child_exit(server: Arbiter, worker: Worker) -> None:
    """Take the states of a process that is gone out of the metrics; what it counted stays."""
    if METRICS_FOLDER in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def post_fork(server: Arbiter, worker: Worker) -> None:
    """Tell the application how many threads it really has: the command line may have changed it."""
    os.environ["BRIDGE_THREADS"] = str(worker.cfg.threads)


def post_worker_init(worker: Worker) -> None:
    """Drain on SIGTERM from now on, and end only once on SIGINT and SIGQUIT."""
    bridge = getattr(worker.wsgi, "extensions", {}).get("bridge")
    if bridge is not None:
        _drains[os.getpid()] = _Drain(bridge, worker)
        bridge.start()
        bridge.books.start()
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, _end_once(signal.getsignal(number)))
    # What is loaded by now stays.  Looking through all of it for garbage takes a tenth of a second,
    # during which nobody would hear anything; from here on only what came later is looked at, and
    # not whenever 700 objects more are in use: a hundred calls make as many in some milliseconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER, 10, 10)
    sys.setswitchinterval(GIVE_WAY_AFTER)


def worker_exit(server: Arbiter, worker: Worker) -> None:
    """End what is left: a process lives as long as its request threads, and a call holds one."""
    _hear_no_more()
    drain = _drains.pop(os.getpid(), None)
    if drain is not None:
        drain.end()


# -- signals --------------------------------------------------------------------------------------


def _end_once(handler: object) -> Callable[[int, FrameType | None], None]:
    """Wrap a signal's handler so that no other signal interrupts it.

    Ctrl-C reaches a worker as SIGINT and, from its master, as SIGQUIT.  gunicorn's handler shuts
    its thread pool down under a lock, and a second one inside it waits for that lock for ever.
    """

    def end(number: int, frame: FrameType | None) -> None:
        _hear_no_more()
        if callable(handler):
            handler(number, frame)

    return end


def _hear_no_more() -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        # Not SIG_IGN: Python complains, with a traceback, of a signal that is on its way by then.
        signal.signal(number, _hear_nothing)


def _hear_nothing(number: int, frame: FrameType | None) -> None:
    """Let a signal pass."""
