"""Run tools while the caller waits.

A tool talks to a data base, or to somebody's server, and may hang.  Each runs on a thread of its
own; the agent waits for all of them together, says something to the caller when it takes long, and
leaves behind what takes too long.

Threads: ``tool`` threads run the functions; everything else is the agent's.

Rules of this module:

1. Whatever a tool does, the model gets one result for every call of it.
2. Arguments and results are in no log line: they hold what was said.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from bridge.agents.llm.tools import Tool, ToolArgumentError, ToolCall, written
from bridge.call import Call
from bridge.errors import CallEnded
from bridge.failures import where
from bridge.logs import LegLogger
from telnyx_media.sync.threads import ThreadGroup

__all__ = ["ToolRunner"]

logger = logging.getLogger(__name__)

# How often it is looked whether the call is over, in seconds.
LOOK = 0.05


class _Run:
    """One tool at work."""

    def __init__(self, called: ToolCall, tool: Tool, work: Callable[[], object]) -> None:
        self.called = called
        self.tool = tool
        self.work = work
        self.done = threading.Event()
        # Written by the thread before ``done`` is set.
        self.result = ""
        self.error: Exception | None = None


class ToolRunner:
    """Runs the tools of one call."""

    def __init__(self, call: Call, tools: Mapping[str, Tool], log: LegLogger) -> None:
        """Prepare.

        Args:
            call: the phone call.
            tools: by name.
            log: the leg's.
        """
        self._call = call
        self._tools = tools
        self._log = log
        self._group = ThreadGroup(call.info.tag)

    def run(self, called: Sequence[ToolCall], fill: Callable[[str], object]) -> list[str]:
        """Run tools side by side; block until all are done or too late.

        Args:
            called: what the model asks for.
            fill: says a filler to the caller, at most once.

        Returns:
            A result for each, in order.

        Raises:
            CallEnded: the call is over.
        """
        results: dict[int, str] = {}
        runs: dict[int, _Run] = {}
        mine: dict[int, _Run] = {}
        for index, one in enumerate(called):
            tool = self._tools.get(one.name)
            if tool is None:
                results[index] = f"error: there is no tool {one.name!r}"
                continue
            try:
                run = _Run(one, tool, tool.bind(one.arguments, self._call))
            except ToolArgumentError as error:
                self._log.info("refused arguments of the tool %s", tool.name)
                results[index] = f"error: {error}"
                continue
            (mine if tool.on_agent_thread else runs)[index] = run
        began = time.monotonic()
        for run in runs.values():
            self._group.spawn("tool", self._work, run)
        self._wait(list(runs.values()), began, fill)
        for index, run in runs.items():
            results[index] = self._result(run, began)
        # After the others: what hangs up or transfers ends the conversation.
        for index, run in mine.items():
            self._work(run)
            results[index] = self._result(run, time.monotonic())
        return [results[index] for index in range(len(called))]

    def close(self) -> None:
        """Wait a moment for what is still at work; what does not end is named in a warning."""
        if self._group.alive():
            self._group.join(LOOK)

    def _work(self, run: _Run) -> None:
        try:
            run.result = written(run.work())
        except CallEnded:
            if run.tool.on_agent_thread:
                raise
            run.result = "error: the call is over"
        except Exception as error:  # noqa: BLE001 - the top of the user's function
            run.error = error
        finally:
            run.done.set()

    def _wait(self, runs: list[_Run], began: float, fill: Callable[[str], object]) -> None:
        filled = False
        while True:
            now = time.monotonic()
            waiting = [run for run in runs if not run.done.is_set()]
            waiting = [run for run in waiting if now < began + run.tool.timeout]
            if not waiting:
                return
            if self._call.ended:
                raise CallEnded("the call is over")
            slow = [r for r in waiting if r.tool.filler and now >= began + r.tool.filler_after]
            if slow and not filled:
                filled = True
                fill(slow[0].tool.filler)
                continue
            waiting[0].done.wait(LOOK)

    def _result(self, run: _Run, began: float) -> str:
        name = run.tool.name
        if not run.done.is_set():
            self._log.warning("left the tool %s behind after %g s", name, run.tool.timeout)
            return f"error: {name} took too long and gave no result"
        if run.error is not None:
            self._log.warning("the tool %s failed: %s", name, where(run.error))
            return f"error: {name} failed: {type(run.error).__name__}: {run.error}"
        self._log.debug("the tool %s took %.0f ms", name, (time.monotonic() - began) * 1000)
        return run.result
