"""Tell the world what happened on a leg: its observers, and one line in the log at its end.

Threads: whichever the thing happened on.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence

from bridge.arrivals import Press
from bridge.call import CallInfo, Remark, Reply
from bridge.conversation import Listener
from bridge.decisions import Turn
from bridge.failures import where
from bridge.logs import LegLogger
from bridge.observer import Audience, CallObserver, CallSummary, Recording, TurnLatency

__all__ = ["LegReport"]


class LegReport(Listener):
    """What a leg reports to.

    Attributes:
        info: the leg's facts, as they are known by now.
        log: the leg's log.
    """

    def __init__(
        self,
        info: CallInfo,
        log: LegLogger,
        observers: Sequence[CallObserver],
        hurry: Callable[[], None],
    ) -> None:
        """Begin.

        Args:
            info: the leg's facts.
            log: the leg's log.
            observers: told what happens.
            hurry: called when the caller falls silent, so that the recogniser may be asked.
        """
        # Guards the making of new facts from old ones: they come on several threads.
        self._lock = threading.Lock()
        self.info = info
        self.log = log
        self._audience = Audience(observers, log)
        self._hurry = hurry

    # -- the leg ----------------------------------------------------------------------------------

    def note(self, **facts: str | int) -> CallInfo:
        """Replace facts of the leg that are known better by now; get them all."""
        with self._lock:
            self.info = dataclasses.replace(self.info, **facts)  # type: ignore[arg-type]
            return self.info

    def began(self) -> None:
        """The leg was taken up."""
        self._audience.tell(lambda observer: observer.on_begin(self.info))

    def arrived(self) -> None:
        """The leg came over from another process."""
        self._audience.tell(lambda observer: observer.on_arrive(self.info))

    def departed(self) -> None:
        """The leg went over to another process."""
        self.log.info("leg went over to another process")
        self._audience.tell(lambda observer: observer.on_depart(self.info))

    def pressed(self, keys: Sequence[Press]) -> None:
        """A key was heard; these are the last ones."""
        self._audience.tell(lambda observer: observer.on_key(self.info, keys))

    def kept(self, state: str) -> None:
        """The agent's own state has changed; this is what of it can be kept."""
        self._audience.tell(lambda observer: observer.on_state(self.info, state))

    def stream_started(self, info: CallInfo) -> None:
        """A media stream started; ``info`` has its codec."""
        info = self.note(codec=info.codec, sample_rate=info.sample_rate)
        self.log.info("media stream started: %s at %d Hz", info.codec, info.sample_rate)
        self._audience.tell(lambda observer: observer.on_media(info))

    def agent_failed(self, error: BaseException) -> None:
        """The agent raised."""
        # Not the message, and no traceback: either may hold what was said.
        self.log.error("agent failed: %s", where(error))
        self._audience.tell(lambda observer: observer.on_agent_error(self.info, error))

    def ended(self, summary: CallSummary) -> None:
        """The leg is over."""
        self.log.info(
            "leg ended: %s, %.1f s, %d turns, %d replies, %d barge-ins, %d packets, %d lost",
            summary.reason,
            summary.duration,
            summary.turns,
            summary.replies,
            summary.barge_ins,
            summary.packets,
            summary.lost_packets,
        )
        self._audience.tell(lambda observer: observer.on_end(self.info, summary))

    def recorded(self, recording: Recording) -> None:
        """A recording of the leg is complete."""
        self._audience.tell(lambda observer: observer.on_recording(self.info, recording))

    # -- the conversation -------------------------------------------------------------------------

    def speech_paused(self) -> None:
        """The caller fell silent: the recogniser may hurry."""
        self._hurry()

    def turn_ended(self, turn: Turn, latency: TurnLatency) -> None:
        """The caller's turn is complete."""
        self._audience.tell(lambda observer: observer.on_turn(self.info, turn, latency))

    def reply_ended(self, reply: Reply, latency: TurnLatency) -> None:
        """A reply is over."""
        self._audience.tell(lambda observer: observer.on_reply(self.info, reply, latency))

    def remarked(self, number: int, remark: Remark) -> None:
        """The history has one more entry."""
        self._audience.tell(lambda observer: observer.on_remark(self.info, number, remark))

    def hearing(self, remark: Remark) -> None:
        """The caller's turn has grown, or is over."""
        self._audience.tell(lambda observer: observer.on_hearing(self.info, remark))

    def saying(self, remark: Remark) -> None:
        """A reply has grown, or more of it was heard."""
        self._audience.tell(lambda observer: observer.on_saying(self.info, remark))

    def barged_in(self, delay: float) -> None:
        """The caller broke in."""
        self._audience.tell(lambda observer: observer.on_barge_in(self.info, delay))

    def false_alarm(self) -> None:
        """A paused reply goes on."""
        self._audience.tell(lambda observer: observer.on_false_alarm(self.info))

    def pump_failed(self, error: Exception) -> None:
        """Sending raised what it should not."""
        self.log.error("sending audio failed: %s", where(error))
