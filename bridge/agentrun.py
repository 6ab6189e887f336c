"""Run the agent function of one call.

Threads: ``agent``, the function's own, runs :meth:`AgentRun.run` and everything the function calls.

Rules of this module:

1. However the function ends, the call ends: returned, raised, or unwound by ``CallEnded``.
2. What it raised is reported and apologised for, and never quoted: it may hold what was said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.agentstate import StateKeeper
from bridge.call import Agent, Call
from bridge.errors import CallEnded
from bridge.legline import LegLine
from bridge.legreport import LegReport
from bridge.resumption import Resumption
from bridge.speaking import Speaker
from telnyx_media.errors import TelnyxMediaError

__all__ = ["AgentRun"]

APOLOGY = "I'm sorry, something went wrong on our side. Goodbye."


class AgentRun:
    """One call of the agent function."""

    def __init__(
        self,
        agent: Agent,
        line: LegLine,
        speaker: Speaker,
        report: LegReport,
        end: Callable[[str], object],
        *,
        resumption: Resumption | None = None,
        state: Mapping[str, object] | None = None,
    ) -> None:
        """Prepare.

        Args:
            agent: the function.
            line: what its call talks on.
            speaker: speaks the replies.
            report: told when the function fails.
            end: ends the leg, for a reason.
            resumption: what becomes of a call that an earlier agent held, if this is one.
            state: what that agent kept in ``call.state``.
        """
        self._resumption = resumption
        self._agent = agent
        if resumption is not None:
            self._agent, line.excuse = resumption.choose(agent)
        self._line = line
        self._state = dict(state or {})
        self._speaker = speaker
        self._report = report
        self._end = end

    def run(self) -> None:
        """Call the function; return when it did, and the call is on its way to its end."""
        resumed = self._resumption is not None
        call = Call(self._line, resumed=resumed, on_notice=self._line.notice)
        call.state.update(self._state)
        keeper = StateKeeper(self._report.kept, self._report.log.warning)
        self._line.keep_state = lambda: keeper.look(call.state)
        try:
            self._speaker.warm_up()
            self._agent(call)
        except CallEnded:
            self._end("agent")
        except BaseException as error:  # noqa: BLE001 - the top of the user's thread
            self._report.agent_failed(error)
            self._apologise()
        else:
            self._end("agent")

    def _apologise(self) -> None:
        try:
            self._speaker.speak(APOLOGY, interruptible=False)
        except CallEnded:
            pass
        except TelnyxMediaError as failure:
            self._report.log.error("could not apologise to the caller: %s", failure)
        finally:
            self._end("agent failed")
