"""Log lines: one per thing that happened, from us, Flask and the web server alike.

Set up once per process, on standard error: for people on a terminal, as JSON elsewhere.  Every line
of a leg carries the leg's tag, through an adapter made once per leg, since a new thread does not
inherit context variables.

Threads: any thread may log; :func:`set_up` is called before there are any.

Rules of this module:

1. A line begins with what happened, in the past tense.
2. No line has transcripts, digits, numbers, keys or tokens.  Whoever writes one sees to that;
   :func:`bridge.redaction.redact` runs over all of them as a last net, tracebacks included.
3. Libraries log at info and above whatever ``LOG_LEVEL`` says: some write what was said, or whole
   requests, when debugging.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterable, MutableMapping
from typing import IO, TYPE_CHECKING, Any, NoReturn

from bridge.redaction import redact

if TYPE_CHECKING:
    from bridge.settings import Settings

    _Adapter = logging.LoggerAdapter[logging.Logger]
    _StreamHandler = logging.StreamHandler[IO[str]]
else:
    # These take no type argument at run time before Python 3.11.
    _Adapter = logging.LoggerAdapter
    _StreamHandler = logging.StreamHandler

# gunicorn takes this exit status of a worker as "the application cannot be loaded" and ends,
# instead of starting the worker again and again.
LOAD_ERROR = 4

# Libraries that tell of themselves at info what nobody on call wants to know.
QUIET = ("alembic", "boto3", "botocore", "s3transfer")

# The loggers that follow LOG_LEVEL down to debug.
OURS = ("bridge", "telnyx_media")


class LegLogger(_Adapter):
    """A logger whose lines carry a leg's tag."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the tag to a line's extras."""
        kwargs["extra"] = {**(self.extra or {}), **kwargs.get("extra", {})}
        return msg, kwargs


def leg_logger(logger: logging.Logger, tag: str) -> LegLogger:
    """Make the logger of one leg.

    Args:
        logger: of the module.
        tag: the leg's tag, ``"9f3c2a"``.
    """
    return LegLogger(logger, {"leg": tag})


class _Formatter(logging.Formatter):
    """What both formats share: the parts of a line, with nothing in them that is masked."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def message(self, record: logging.LogRecord) -> str:
        return redact(record.getMessage(), self._secrets)

    def error(self, record: logging.LogRecord) -> str:
        """Get the traceback, or ``""``."""
        if not record.exc_info or record.exc_info[0] is None:
            return ""
        # Not cached in the record: another handler would get the masked text, or we the plain one.
        return redact(self.formatException(record.exc_info), self._secrets)


class HumanFormatter(_Formatter):
    """``12:30:01.123 info  bridge.worker [9f3c2a] leg began``."""

    def format(self, record: logging.LogRecord) -> str:
        """Make the line; a traceback follows on lines of its own."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        leg = getattr(record, "leg", "")
        # A line break in a message would let its writer make up lines of ours.
        text = self.message(record).replace("\r", "\\r").replace("\n", "\\n")
        line = (
            f"{clock}.{int(record.msecs):03d} {record.levelname.lower():<7} {record.name} "
            f"{f'[{leg}] ' if leg else ''}{text}"
        )
        error = self.error(record)
        return f"{line}\n{error}" if error else line


class JsonFormatter(_Formatter):
    """One JSON object per line: ``time``, ``level``, ``logger``, ``leg``, ``thread``, ``message``.

    ``error`` has the traceback of one that was logged with it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Make the line."""
        clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{clock}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "leg": getattr(record, "leg", ""),
            "thread": record.threadName or "",
            "message": self.message(record),
            "error": self.error(record),
        }
        return json.dumps({name: value for name, value in line.items() if value})


class LogHandler(_StreamHandler):
    """The one handler of the process."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say in one line that a line could not be written; the default prints its arguments."""
        kind = sys.exc_info()[0]
        try:
            sys.stderr.write(
                f"log line lost: {record.name}, line {record.lineno}"
                f" ({kind.__name__ if kind else 'unknown'})\n"
            )
        except OSError:
            return  # standard error is gone; there is nobody to tell


def set_up(settings: Settings, *, stream: IO[str] | None = None) -> None:
    """Send every log line of the process through one handler; may be called again.

    Args:
        settings: ``log_level``, ``log_format``, and the secrets that are masked.
        stream: where to write; standard error if ``None``.
    """
    stream = sys.stderr if stream is None else stream
    human = settings.log_format == "human" or (settings.log_format == "auto" and stream.isatty())
    handler = LogHandler(stream)
    handler.setFormatter((HumanFormatter if human else JsonFormatter)(settings.secrets()))
    level = logging.getLevelName(settings.log_level.upper())
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, LogHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(level, logging.INFO))
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # The agent's own package is the developer's, and follows LOG_LEVEL as well.
    for name in (*OURS, settings.agent.partition(":")[0].partition(".")[0]):
        logging.getLogger(name).setLevel(level)


def give_up(error: Exception) -> NoReturn:
    """End the process over what its user has to put right: one line per problem, no traceback."""
    for line in str(error).splitlines():
        print(f"bridge: {line}", file=sys.stderr)
    sys.exit(LOAD_ERROR)
