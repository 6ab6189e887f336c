"""Who speaks when no voice can: Telnyx itself, by its ``speak`` command.

The command takes another road than our synthesis sockets, past the media stream, and what it says
reaches the caller without us.  Telnyx tells when it has finished (``call.speak.ended``) and nothing
of how far it is; so each sentence is a command of its own, and counts as heard when it has ended.

Threads: :meth:`Understudy.say` on the agent's, and one more, ``speak-end``, for as long as a
sentence lasts.
"""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from bridge.call import Reply
from bridge.callcontrol import SPEAK_LIMIT, CommandResult, is_call_ended
from bridge.conversation import Conversation
from bridge.decisions import Interruptible
from bridge.errors import CallEnded, CommandError
from bridge.events import Event
from bridge.legevents import LegEvents
from bridge.logs import LegLogger
from bridge.segments import SPEAKING_RATE
from bridge.speech import Speech

__all__ = ["Understudy"]

# A sentence that takes this many times as long as it should, and so many seconds, has ended; the
# webhook that says so was lost.
SLOWEST = 2.0
MARGIN = 10.0


class Commands(Protocol):
    """The commands that are needed; ``CallControl`` has them."""

    def speak(
        self, call_control_id: str, payload: str, voice: str, **fields: object
    ) -> CommandResult:
        """Have Telnyx speak a text."""

    def playback_stop(self, call_control_id: str, **fields: object) -> CommandResult:
        """Stop what Telnyx plays."""


class Understudy:
    """Says by command what could not be synthesised, on one leg."""

    def __init__(
        self,
        call_control_id: str,
        *,
        conversation: Conversation,
        control: Commands,
        events: LegEvents,
        spawn: Callable[[str, Callable[[], object]], threading.Thread],
        voice: Callable[[], str],
        log: LegLogger,
    ) -> None:
        """Stand ready.

        Args:
            call_control_id: the leg.
            conversation: where what is said is noted, and the caller may break in.
            control: sends the commands.
            events: what webhooks tell of the leg.
            spawn: starts a thread of the leg.
            voice: gets the full name of the voice to speak with.
            log: the leg's.
        """
        self._key = call_control_id
        self._conversation = conversation
        self._control = control
        self._events = events
        self._spawn = spawn
        self._voice = voice
        self._log = log

    def say(
        self,
        sentences: Iterable[str],
        *,
        interruptible: Interruptible,
        parting: bool,
        error: Exception,
    ) -> Reply:
        """Say each sentence, and wait until all were heard or the caller broke in.

        Args:
            sentences: perhaps still being made.
            interruptible: whether the caller may break in.
            parting: whether these are the last words.
            error: why they could not be synthesised.

        Raises:
            CallEnded: the call is over.
            Exception: ``error``, if Telnyx cannot say them either.
        """
        self._log.warning("no voice can speak, Telnyx does: %s", error)
        made: list[str] = []
        heard: list[str] = []
        interrupted = False
        for sentence in _commandable(sentences):
            made.append(sentence)
            reply = self._say_one(sentence, interruptible, parting=parting, error=error)
            interrupted = reply.interrupted
            heard.append(reply.heard)
            if interrupted:
                break
        return Reply(_join(made), _join(heard), interrupted)

    def _say_one(
        self, sentence: str, interruptible: Interruptible, *, parting: bool, error: Exception
    ) -> Reply:
        speech = Speech(parting=parting)
        speech.text = sentence
        known = len(self._events.all)
        self._conversation.begin(speech, interruptible=interruptible)
        try:
            if speech.early:
                # It answers a turn that is not sure; a command could not be taken back unheard.
                raise error
            if speech.over:
                return speech.reply
            self._command(sentence, error)
            watcher = self._spawn("speak-end", lambda: self._watch(speech, known))
            try:
                reply = self._conversation.wait(speech)
            finally:
                self._events.poke()
                watcher.join()
        finally:
            self._conversation.abandon(speech)
        if reply.interrupted:
            self._hush()
        return reply

    def _command(self, sentence: str, error: Exception) -> None:
        try:
            self._control.speak(self._key, sentence, self._voice())
        except CommandError as refusal:
            if is_call_ended(refusal):
                raise CallEnded("the call is over") from None
            self._log.error("Telnyx cannot speak either: %s", refusal)
            raise error from None

    def _hush(self) -> None:
        try:
            self._control.playback_stop(self._key, stop="all")
        except CommandError as refusal:
            if not is_call_ended(refusal):
                self._log.warning("what Telnyx says could not be stopped: %s", refusal)

    # -- speak-end --------------------------------------------------------------------------------

    def _watch(self, speech: Speech, known: int) -> None:
        """Have the sentence end when Telnyx says so."""

        def look() -> Event | bool | None:
            news = self._events.all[known:]
            return speech.over or next(
                (event for event in news if event.event_type == "call.speak.ended"), None
            )

        try:
            self._events.wait(look, MARGIN + SLOWEST * len(speech.text) / SPEAKING_RATE)
        except CallEnded:
            return
        self._conversation.end_audio(speech)


def _commandable(sentences: Iterable[str]) -> Iterator[str]:
    # A sentence that is longer than a command may be is said in several.
    for sentence in sentences:
        yield from textwrap.wrap(sentence, SPEAK_LIMIT)


def _join(texts: Iterable[str]) -> str:
    return " ".join(text.strip() for text in texts if text.strip())
