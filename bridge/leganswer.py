"""How a leg is answered, and how its media stream is opened, here or in another process.

Threads: ``leg-main``.
"""

from __future__ import annotations

import time

from bridge.callcontrol import RejectCause, is_call_ended
from bridge.errors import CommandError
from bridge.failures import where
from bridge.legparts import MOVED, LegParts
from bridge.streamparameters import stream_parameters, streams_on_answer
from telnyx_media.sync.threads import Deadline

__all__ = ["Answering"]

# Seconds from an answered call to its media stream; then one is asked for again.
STREAM_WAIT = 10.0

# Seconds from having asked for a stream again to its start.
RESTART_WAIT = 5.0

# Seconds for another process to take a leg that is handed over.
HANDOVER_WAIT = 2.0

# Causes that a screening may name.
REJECTIONS: dict[str, RejectCause] = {
    "CALL_REJECTED": "CALL_REJECTED",
    "USER_BUSY": "USER_BUSY",
    "NOT_FOUND": "NOT_FOUND",
    "TEMPORARILY_UNAVAILABLE": "TEMPORARILY_UNAVAILABLE",
}

# Telnyx's code for a command to a call that is not answered yet (Telnyx: error-codes page).
NOT_ANSWERED = "90034"

# Seconds that a command may take with all its retries; a stream may start meanwhile.
COMMAND_WAIT = 60.0

# Seconds that a `call.answered` may be late, where it has to be waited for.
ANSWERED_WAIT = 10.0


class Answering(LegParts):
    """Answers, screens, and asks for streams."""

    def _answer(self) -> None:
        """Answer an inbound leg, and have its media stream opened."""
        key, settings = self.info.call_control_id, self._settings
        if self.info.direction == "outbound":
            self._await_answer()
        elif self._screened():
            return
        elif streams_on_answer(settings):
            # The stream may start, or fail, before the command has been answered.
            self._expect_stream(COMMAND_WAIT)
            url = self._stream_url()
            self._control.answer(key, **stream_parameters(settings, url, command="answer"))
            self._expect_stream(STREAM_WAIT)
        else:
            self._control.answer(key)
            with self._life:
                self._life.wait_for(lambda: self._answered or self._ending, ANSWERED_WAIT)
            if not self._ending:
                self._start_stream()
                self._expect_stream(STREAM_WAIT)

    def _await_answer(self) -> None:
        """Wait until somebody picks up, then have the media stream opened.

        Not with the dial itself: the stream's token names its leg, which has no name before.
        """
        with self._life:
            patience = self._ring_timeout + ANSWERED_WAIT
            self._life.wait_for(lambda: self._answered or self._ending, patience)
        if self._ending:
            return
        if self._answered:
            self._start_stream()
            self._expect_stream(STREAM_WAIT)
        else:
            self.end("not answered")

    def _screened(self) -> bool:
        """Ask whether to answer at all; True when the call was refused."""
        verdict: object = True
        try:
            verdict = True if self._screen is None else self._screen(self.info)
        except Exception as error:  # noqa: BLE001 - a user's function; its failure costs no call
            self.log.error("screening failed, so the call is answered: %s", where(error))
        if verdict is None or verdict is True:
            return False
        cause = REJECTIONS.get(str(verdict).upper(), "CALL_REJECTED")
        self._control.reject(self.info.call_control_id, cause)
        self.end("rejected")
        return True

    def _take_up(self) -> None:
        """Go on where another process left the leg."""
        if self._streaming:
            self._expect_stream(STREAM_WAIT)
            return
        if self._gave_way():
            return
        try:
            self._start_stream()
        except CommandError as error:
            if error.code != NOT_ANSWERED:
                raise
            self._answer()
            return
        self._expect_stream(RESTART_WAIT)

    def _gave_way(self) -> bool:
        """End the leg here if another process has it by now, told of it or not; whether it has.

        Another stream would take the leg from that process.
        """
        if self._holds() is not False:
            return False
        self.end(MOVED)
        return True

    def _await_successor(self) -> None:
        """Have the stream opened to another process until one has taken the leg; or part."""
        deadline = Deadline(HANDOVER_WAIT)
        while not (self._ending or deadline.expired):
            with self._life:
                failures = self._stream_failures
            if self._gave_way():
                return
            try:
                self._start_stream()
            except CommandError as error:
                if is_call_ended(error):
                    raise
                self.log.warning("could not hand the call over: %s", error)
                break
            with self._life:
                self._life.wait_for(
                    lambda: self._ending or self._stream_failures != failures,  # noqa: B023
                    deadline.remaining(),
                )
        self.end("drain")

    def _expect_stream(self, wait: float) -> None:
        with self._life:
            self._streams.expect(time.monotonic() + wait)

    def _stream_url(self) -> str:
        self._asked_url = self._make_stream_url()
        return self._asked_url

    def _start_stream(self) -> None:
        self._expect_stream(COMMAND_WAIT)
        url = self._stream_url()
        parameters = stream_parameters(self._settings, url, command="streaming_start")
        self._control.streaming_start(self.info.call_control_id, **parameters)
