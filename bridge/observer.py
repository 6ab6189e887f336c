"""Where records, metrics and the dashboard listen in on a call.

A :class:`CallObserver` is told what happened on a leg, after it happened, by the thread on which it
happened; a subclass overrides what it wants to know.  One that raises is logged once per leg and
changes nothing.  One that is slow slows its call down: hand the work to a thread.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.failures import where

if TYPE_CHECKING:
    import logging

    Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

    from bridge.arrivals import Press
    from bridge.call import CallInfo, Remark, Reply
    from bridge.decisions import Turn
    from bridge.events import Event

__all__ = ["Audience", "CallObserver", "CallSummary", "Recording", "TurnLatency"]


@dataclass(frozen=True)
class TurnLatency:
    """Where the time went between the caller's last word and the agent's first; in seconds.

    ``None`` where it did not happen: a greeting has no turn before it.

    Attributes:
        endpoint: last speech of the caller to the decision that the turn is over.
        agent: that decision to the agent's ``say``.
        first_text: ``say`` to the first sentence or clause handed to synthesis.
        first_audio: that to the first synthesised audio.
        first_frame: that to the first media frame on the socket.
        total: last speech of the caller to the first media frame of the reply.
        chosen: the part of ``endpoint`` that was chosen, by the settings and by what the caller
            said: no sooner could the turn end. ``None`` where silence did not end it.
    """

    endpoint: float | None = None
    agent: float | None = None
    first_text: float | None = None
    first_audio: float | None = None
    first_frame: float | None = None
    total: float | None = None
    chosen: float | None = None


@dataclass(frozen=True)
class Recording:
    """A recording that is complete.

    Attributes:
        location: its name in the recordings directory, or its storage URL.
        began_at: when the first of its audio was heard, in Unix seconds.
        seconds: how long it is.
        channels: 2, the caller left and the agent right.
    """

    location: str
    began_at: float
    seconds: float
    channels: int = 2


@dataclass(frozen=True)
class CallSummary:
    """A call that is over.

    Attributes:
        reason: who or what ended it: ``"caller"``, ``"agent"``, ``"agent failed"``,
            ``"media lost"``, ``"command refused"``, ``"codec"``, ``"operator"``, ``"drain"``,
            ``"failed"``.
        hangup_cause: Telnyx's word for it (``"normal_clearing"``), or ``""``.
        duration: seconds from the first webhook event to the end.
        turns: turns of the caller, those in processes that held the leg before included.
        replies: replies that were begun, likewise.
        barge_ins: replies that the caller interrupted, likewise; all that follows is of the
            process that ended the leg alone.
        false_alarms: replies that were paused and went on.
        streams: media streams that were attached.
        packets: inbound packets.
        lost_packets: inbound packets that never came.
        late_packets: inbound packets that came too late.
        bad_frames: media-stream frames that could not be parsed.
        stt_reconnects: connections to the recogniser that replaced a lost one.
        tts_reconnects: connections to the synthesiser that replaced a lost one.
        stt_dropped: seconds of the caller's audio that never reached the recogniser.
        abandoned: names of threads that did not end in time.
        recording: the file of the call's recording, if there is one; it may still be written.
    """

    reason: str
    hangup_cause: str = ""
    duration: float = 0.0
    turns: int = 0
    replies: int = 0
    barge_ins: int = 0
    false_alarms: int = 0
    streams: int = 0
    packets: int = 0
    lost_packets: int = 0
    late_packets: int = 0
    bad_frames: int = 0
    stt_reconnects: int = 0
    tts_reconnects: int = 0
    stt_dropped: float = 0.0
    abandoned: tuple[str, ...] = ()
    recording: Path | None = None


class CallObserver:
    """Told what happens on calls; every method does nothing until it is overridden."""

    def on_event(self, event: Event) -> None:
        """A verified webhook event came, of whichever leg, once."""

    def on_refuse(self, info: CallInfo, why: str) -> None:
        """A call was not taken: ``"stopping"``, ``"all lines are busy"``."""

    def on_begin(self, info: CallInfo) -> None:
        """A leg began: ``call.initiated`` was taken up."""

    def on_media(self, info: CallInfo) -> None:
        """A media stream started; ``info`` has its codec."""

    def on_arrive(self, info: CallInfo) -> None:
        """A leg came over from another process, instead of ``on_begin``; it may have talked."""

    def on_depart(self, info: CallInfo) -> None:
        """A leg went over to another process, instead of ``on_end``."""

    def on_remark(self, info: CallInfo, number: int, remark: Remark) -> None:
        """The history has an entry of that number, counted from 0; before turn or reply is told."""

    def on_hearing(self, info: CallInfo, remark: Remark) -> None:
        """The caller's turn has grown, or is over and ``remark`` empty."""

    def on_saying(self, info: CallInfo, remark: Remark) -> None:
        """A reply has grown, or more of it was heard; ``remark`` is what it would be, cut here."""

    def on_key(self, info: CallInfo, keys: Sequence[Press]) -> None:
        """A key was heard; the last of ``keys``, each with the time of its press."""

    def on_state(self, info: CallInfo, state: str) -> None:
        """What the agent keeps in ``call.state`` has changed; as JSON."""

    def on_turn(self, info: CallInfo, turn: Turn, latency: TurnLatency) -> None:
        """The caller's turn is over; ``latency.endpoint`` is known."""

    def on_reply(self, info: CallInfo, reply: Reply, latency: TurnLatency) -> None:
        """A reply is over: heard, interrupted or cut off by the end of the call."""

    def on_barge_in(self, info: CallInfo, delay: float) -> None:
        """The caller broke in; ``delay``: seconds from speech start to ``clear``."""

    def on_false_alarm(self, info: CallInfo) -> None:
        """What paused a reply was no interruption; it went on."""

    def on_agent_error(self, info: CallInfo, error: BaseException) -> None:
        """The agent function raised."""

    def on_end(self, info: CallInfo, summary: CallSummary) -> None:
        """The leg is over, its threads are joined."""

    def on_recording(self, info: CallInfo, recording: Recording) -> None:
        """A recording of the leg is complete; mostly after ``on_end``, on the recorder's thread."""


class Audience:
    """The observers of one leg; one that raises is logged and told no more of it."""

    def __init__(
        self,
        observers: Iterable[CallObserver],
        log: logging.Logger | logging.LoggerAdapter[logging.Logger],
    ) -> None:
        """Gather them.

        Args:
            observers: who is told.
            log: the leg's logger.
        """
        self._observers = tuple(observers)
        self._log = log

    def tell(self, what: Callable[[CallObserver], object]) -> None:
        """Call ``what`` with each observer; never raises."""
        for observer in self._observers:
            try:
                what(observer)
            except Exception as error:  # noqa: BLE001 - an observer changes nothing
                self._observers = tuple(o for o in self._observers if o is not observer)
                name = type(observer).__name__
                self._log.error("%s failed and is told no more: %s", name, where(error))
