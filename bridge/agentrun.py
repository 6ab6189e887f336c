"""Run the agent function of one call, and be the line that its :class:`~bridge.call.Call` talks on.

Threads: ``agent``, the function's own, runs :meth:`AgentRun.run` and everything the function calls.

Rules of this module:

1. However the function ends, the call ends: returned, raised, or unwound by ``CallEnded``.
2. What it raised is reported and apologised for, and never quoted: it may hold what was said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bridge.call import Agent, Call, CallInfo, Remark, Reply
from bridge.conversation import Conversation
from bridge.decisions import Turn
from bridge.errors import CallEnded
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
        conversation: Conversation,
        speaker: Speaker,
        report: LegReport,
        end: Callable[[str], object],
        *,
        resumption: Resumption | None = None,
    ) -> None:
        """Prepare.

        Args:
            agent: the function.
            conversation: where the caller is heard.
            speaker: speaks the replies.
            report: told when the function fails.
            end: ends the leg, for a reason.
            resumption: what becomes of a call that an earlier agent held, if this is one.
        """
        self._resumption = resumption
        # Said before the agent's first words unless it has seen that the call is a resumed one.
        self._excuse = "" if resumption is None else resumption.line
        self._agent = agent if resumption is None else resumption.choose(agent)
        self._conversation = conversation
        self._speaker = speaker
        self._report = report
        self._end = end

    def run(self) -> None:
        """Call the function; return when it did, and the call is on its way to its end."""
        call = Call(self, resumed=self._resumption is not None, on_notice=self._notice)
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

    # -- the line ---------------------------------------------------------------------------------

    @property
    def info(self) -> CallInfo:
        """The facts of the call."""
        return self._report.info

    @property
    def history(self) -> tuple[Remark, ...]:
        """What was said and heard so far."""
        self._notice()
        return self._conversation.history

    def _notice(self) -> None:
        """The agent knows that the call was held before: it finds its own words."""
        self._excuse = ""

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._conversation.ended

    def speak(self, text: str | Iterable[str], *, interruptible: bool) -> Reply:
        """Say it; see :meth:`bridge.call.Call.say`."""
        excuse, self._excuse = self._excuse, ""
        if excuse:
            self._speaker.speak(excuse, interruptible=False)
        return self._speaker.speak(text, interruptible=interruptible)

    def hear(self, timeout: float | None) -> Turn | None:
        """Wait for a turn; see :meth:`bridge.call.Call.listen`."""
        return self._conversation.hear(timeout, self._speaker.warm_up)

    def leave(self) -> None:
        """Hang up; see :meth:`bridge.call.Call.hangup`."""
        self._end("agent")
