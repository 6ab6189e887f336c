"""What a process keeps of its calls: records, webhooks after calls, metrics and traces.

Threads: making the books starts none; each part starts its own with the first call, or all do with
:meth:`Books.start`.  :meth:`Books.close` joins them, after the calls have ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint

from bridge import api, metrics
from bridge.callcontrol import CallControl
from bridge.metrics import Metrics
from bridge.observer import CallObserver
from bridge.pacer import Pacer
from bridge.postcall import PostCall
from bridge.records.deliveries import Deliveries
from bridge.records.erasure import Eraser, Retention
from bridge.records.spool import Spool
from bridge.records.store import RecordStore
from bridge.records.writer import RecordWriter
from bridge.settings import Settings
from bridge.storage import Storage, make_storage
from bridge.switchboard import Switchboard
from bridge.tracing import Tracer, make_tracer
from bridge.workpool import WorkPool

__all__ = ["Books"]


class Books:
    """The observers of a process's calls, wired.

    Attributes:
        store: the call records, to read.
        storage: where recordings are kept, if any are made.
        writer: writes the records.
        metrics: the numbers.
    """

    def __init__(self, settings: Settings) -> None:
        """Make them; nothing is opened or started.

        Raises:
            RecordsError: ``DATABASE_URL`` cannot be used.
            SettingsError: ``BRIDGE_RECORDINGS`` cannot be used.
        """
        self._settings = settings
        self.store = RecordStore.of(settings.database_url, settings.home)
        self.storage: Storage | None = (
            None
            if settings.recordings is None
            else make_storage(settings.recordings, settings.home)
        )
        self._postcall = _postcall(settings, self.store)
        eraser = Eraser(self.store, self.storage)
        self.writer = RecordWriter(
            self.store,
            Spool(settings.home),
            deliveries=None if self._postcall is None else Deliveries(self.store),
            on_delivery=lambda: None if self._postcall is None else self._postcall.wake(),
            tidy=Retention(self.store, eraser, settings.retention_days),
        )
        # What is looked at; set when those parts are there.
        self._look: Callable[[], Mapping[str, float]] = dict
        self._lateness: Callable[[], float] = float
        self._webhook_wait: Callable[[], float] = float
        self.metrics = Metrics(
            lambda: self._look(),
            lateness=lambda: self._lateness(),
            webhook_wait=lambda: self._webhook_wait(),
        )
        self._tracer: Tracer | None = make_tracer(settings.otel_endpoint)

    @property
    def observers(self) -> tuple[CallObserver, ...]:
        """Who is to be told what happens on the calls."""
        found: tuple[CallObserver, ...] = (self.writer, self.metrics)
        return found if self._tracer is None else (*found, self._tracer)

    def watch(
        self,
        switchboard: Switchboard,
        pacer: Pacer,
        pool: WorkPool,
        histories: Callable[[], int] = int,
    ) -> None:
        """Have the states of these told in the metrics.

        Args:
            switchboard: has the calls.
            pacer: sends audio.
            pool: works on webhooks.
            histories: counts what waits to be written for other processes.
        """

        def look() -> dict[str, float]:
            recordings = switchboard.recordings
            return {
                "calls_active": len(switchboard.legs()),
                "calls_capacity": self._settings.max_calls,
                "draining": float(switchboard.draining),
                "threads": threading.active_count(),
                "webhooks_waiting": len(pool) - pool.working,
                "webhooks_working": pool.working,
                "histories_waiting": histories(),
                "speaking": pacer.speaking(),
                "records_waiting": self.writer.waiting,
                "recording_blocks_waiting": 0 if recordings is None else recordings.waiting,
                "uploads_waiting": 0 if recordings is None else recordings.uploads,
            }

        self._look = look
        self._lateness = pacer.take_lateness
        self._webhook_wait = pool.take_wait

    def blueprints(
        self,
        switchboard: Switchboard,
        control: CallControl,
        dial: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    ) -> list[Blueprint]:
        """Make the routes: ``/metrics``, and ``/api`` if there is a token for it."""
        settings = self._settings
        token = settings.metrics_token
        made = [metrics.make_blueprint(self.metrics, token.get_secret_value() if token else None)]
        if settings.api_token is not None:
            made.append(
                api.make_blueprint(
                    settings.api_token.get_secret_value(),
                    self.store,
                    switchboard,
                    control,
                    storage=self.storage,
                    dial=dial,
                )
            )
        return made

    def start(self) -> None:
        """Begin with what earlier processes have left, not only with the first call."""
        self.writer.start()
        self.metrics.start()
        if self._postcall is not None:
            self._postcall.start()

    def close(self) -> None:
        """Write what waits and join every thread; may be called twice."""
        self.metrics.close()
        # Before the writer, which closes the database's connections.
        if self._postcall is not None:
            self._postcall.close()
        self.writer.close()
        if self._tracer is not None:
            self._tracer.close()


def _postcall(settings: Settings, store: RecordStore) -> PostCall | None:
    if settings.postcall_url is None or settings.postcall_secret is None:
        return None
    return PostCall(store, settings.postcall_url, settings.postcall_secret.get_secret_value())
