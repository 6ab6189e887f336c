"""Say where an exception came from without saying what it says.

An exception that leaves an agent, an observer or a frame of a call may quote what was said: a
``KeyError`` has the caller's word in it.  So a log line of ours names its type and the lines it
came through, and never its message, its values or its source lines.

Errors of our own, raised by our own code, are quoted: they say what to change, and no message of
theirs holds what was said.

Pure.
"""

from __future__ import annotations

from os import sep
from pathlib import Path

from bridge.errors import BridgeError
from telnyx_media import errors

__all__ = ["where"]

# Frames named, the innermost first: enough to find the line, short enough to read.
FRAMES = 4


# Where our own code is, and the modules that our errors are from.
OURS = tuple(f"{Path(path).parent}{sep}" for path in (__file__, str(errors.__file__)))
MODULES = (BridgeError.__module__, errors.__name__)


def where(error: BaseException) -> str:
    """Name an exception and the lines it came through, the innermost first."""
    lines = []
    trace, file = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        file = code.co_filename
        lines.append(f"{file}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    name = type(error).__name__
    if type(error).__module__ in MODULES and file.startswith(OURS):
        name = f"{name} ({error})"
    return f"{name} at {' < '.join(reversed(lines[-FRAMES:]))}" if lines else name
