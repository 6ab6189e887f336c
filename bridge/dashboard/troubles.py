"""The last warnings of this process, to be looked at.

Log lines of the bridge hold no number, no key and nothing that was said, and are masked once more
here, so they may be shown.

Threads: any thread may log; a request's own reads.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from bridge.redaction import redact

__all__ = ["Trouble", "Troubles", "troubles"]

# Different lines that are kept.
LIMIT = 50

# What a logger's lines are about, by the beginning of its name; the first one that fits.
PARTS = (
    ("telnyx_media.sync.stt", "recogniser"),
    ("telnyx_media.sync.tts", "voice"),
    ("bridge.hearing", "recogniser"),
    ("bridge.speaking", "voice"),
    ("bridge.webhooks", "webhooks"),
    ("bridge.events", "webhooks"),
    ("bridge.callcontrol", "commands"),
    ("bridge.commandhttp", "commands"),
    ("bridge.media", "media"),
    ("bridge.stream", "media"),
    ("bridge.fleet", "processes"),
    ("bridge.records", "records"),
    ("bridge.recorder", "recordings"),
    ("bridge.uploads", "recordings"),
    ("bridge.postcall", "post-call webhooks"),
)


@dataclass(frozen=True)
class Trouble:
    """A warning or an error that was logged.

    Attributes:
        at: when it was logged last.
        level: ``"warning"`` or ``"error"``.
        part: what it is about.
        line: what it says.
        leg: the tag of the leg that it was about, or ``""``.
        times: how often it was logged.
    """

    at: datetime
    level: str
    part: str
    line: str
    leg: str = ""
    times: int = 1


class Troubles(logging.Handler):
    """Keeps the last warnings and errors of our loggers, each line once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        # Not the handler's own lock, which is held while formatting.
        self._guard = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], Trouble] = OrderedDict()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        try:
            line = redact(record.getMessage())
        except Exception:  # noqa: BLE001 - logging never fails the one who logs
            self.handleError(record)
            return
        trouble = Trouble(
            datetime.fromtimestamp(record.created, timezone.utc),
            "error" if record.levelno >= logging.ERROR else "warning",
            next((part for name, part in PARTS if record.name.startswith(name)), "bridge"),
            line[:300],
            str(getattr(record, "leg", "")),
        )
        with self._guard:
            before = self._kept.pop((trouble.part, trouble.line), None)
            times = 1 if before is None else before.times + 1
            self._kept[trouble.part, trouble.line] = replace(trouble, times=times)
            while len(self._kept) > LIMIT:
                self._kept.popitem(last=False)

    def last(self) -> list[Trouble]:
        """Get them, the newest first."""
        with self._guard:
            return list(reversed(self._kept.values()))

    def watch(self) -> None:
        """Listen to our loggers from now on; may be called again."""
        for name in ("bridge", "telnyx_media"):
            logger = logging.getLogger(name)
            if self not in logger.handlers:
                logger.addHandler(self)


# A process has one log.
troubles = Troubles()
