"""Say where an exception came from without saying what it says.

An exception that leaves an agent, an observer or a frame of a call may quote what was said: a
``KeyError`` has the caller's word in it.  So a log line of ours names its type and the lines it
came through, and never its message, its values or its source lines.

Errors about the agent's own code or settings, raised by our code, are quoted: they say what to
change, in our words.  Those that repeat Telnyx's are not, since it may repeat what it was sent.

Pure.
"""

from __future__ import annotations

from os import sep
from pathlib import Path

from bridge.errors import AgentError, AudioUnreadable, SettingsError
from telnyx_media import errors

__all__ = ["where"]

# Frames named, the innermost first: enough to find the line, short enough to read.
FRAMES = 4


# Where our own code is, and the errors of ours that are quoted.
OURS = tuple(f"{Path(path).parent}{sep}" for path in (__file__, str(errors.__file__)))
QUOTED = (AgentError, AudioUnreadable, SettingsError, errors.ConfigurationError)


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
    if isinstance(error, QUOTED) and file.startswith(OURS):
        name = f"{name} ({error})"
    return f"{name} at {' < '.join(reversed(lines[-FRAMES:]))}" if lines else name
