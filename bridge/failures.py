"""Say where an exception came from without saying what it says.

An exception that leaves an agent, an observer or a frame of a call may quote what was said: a
``KeyError`` has the caller's word in it.  So a log line of ours names its type and the lines it
came through, and never its message, its values or its source lines.

Pure.
"""

from __future__ import annotations

__all__ = ["where"]

# Frames named, the innermost first: enough to find the line, short enough to read.
FRAMES = 4


def where(error: BaseException) -> str:
    """Name an exception and the lines it came through, the innermost first."""
    lines = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        lines.append(f"{code.co_filename}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    if not lines:
        return type(error).__name__
    return f"{type(error).__name__} at {' < '.join(reversed(lines[-FRAMES:]))}"
