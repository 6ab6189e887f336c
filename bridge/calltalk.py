"""What an agent says on a call, and what it hears.

Threads: the agent's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager

from bridge.callfacts import Reply
from bridge.callline import OnLine
from bridge.decisions import Guard, Interruptible, Turn
from bridge.errors import CallEnded

__all__ = ["Talking"]


class Talking(OnLine):
    """Words, of both sides."""

    def say(
        self,
        text: str | Iterable[str],
        *,
        interruptible: bool = True,
        min_speech: float | None = None,
        min_words: int | None = None,
        filler: str | None = None,
        filler_after: float = 1.0,
    ) -> Reply:
        """Say something and get what the caller heard of it.

        Speaking begins with the first complete sentence or clause, while an iterator still yields.
        An iterator that has a ``close`` method is closed when the caller breaks in or hangs up.

        Blocks until the last of it was played to the caller, or until the caller broke in.

        Args:
            text: a string, or an iterable of strings as they are generated.
            interruptible: whether the caller may break in.
            min_speech: seconds of their speech that stop it, if not as the settings say.
            min_words: words that make that an interruption, likewise; with fewer it goes on.
            filler: said first when an iterator has not brought a sentence after a while.
            filler_after: that while, in seconds.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: nothing could be synthesised.
            TypeError: ``text`` is neither.
        """
        guard: Interruptible = interruptible
        if interruptible and (min_speech is not None or min_words is not None):
            guard = Guard(min_speech, min_words)
        return self._line.speak(text, interruptible=guard, filler=filler, filler_after=filler_after)

    def listen(self, timeout: float | None = None) -> Turn | None:
        """Wait for the caller's next turn.

        A turn that was completed while the agent did something else is returned at once.

        Args:
            timeout: seconds to wait; ``None`` waits as long as the call lasts.

        Returns:
            The turn, or ``None`` when ``timeout`` seconds went by without one having *begun*.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: the caller's speech can no longer be transcribed.
        """
        return self._line.hear(timeout)

    def ask(
        self,
        prompt: str | Iterable[str],
        *,
        timeout: float | None = None,
        attempts: int = 2,
        reprompt: str | None = None,
        interruptible: bool = True,
    ) -> Turn:
        """Say something and get the caller's answer.

        Args:
            prompt: what to say.
            timeout: seconds of silence after which it is said again; ``None`` waits for ever.
            attempts: how often it is said in all, when there is no answer.
            reprompt: what to say instead of ``prompt`` from the second attempt on.
            interruptible: whether the caller may answer before the end of the prompt.

        Returns:
            The answer; a turn with neither text nor digits when there was none.

        Raises:
            CallEnded: the call is over.
            TelnyxMediaError: nothing could be synthesised or transcribed.
        """
        words: str | Iterable[str] = prompt
        for _ in range(max(1, attempts)):
            reply = self.say(words, interruptible=interruptible)
            turn = self.listen(timeout)
            if turn is not None:
                return turn
            # An iterator has been used up by now.
            words = reply.text if reprompt is None else reprompt
        return Turn()

    def turns(
        self,
        *,
        silence: float | None = None,
        prompts: Sequence[str] = (),
        give_up: str | None = None,
    ) -> Iterator[Turn]:
        """Iterate over the caller's turns; the iterator ends when the call ends.

        Args:
            silence: seconds of quiet after which the next of ``prompts`` is said; ``None`` waits as
                long as the call lasts.  Noise on the line does not count as the caller, words do.
            prompts: what is said, one after another, to a caller who says nothing.
            give_up: what is said behind the last of them, before the call is hung up; with ``None``
                the iterator ends and the call goes on.

        Raises:
            TelnyxMediaError: the caller's speech can no longer be transcribed.
        """
        # A string is a sequence too, of letters.
        prompts = [prompts] if isinstance(prompts, str) else prompts
        left = list(prompts)
        try:
            while True:
                turn = self._line.hear(silence)
                if turn is not None:
                    left = list(prompts)
                    yield turn
                elif left:
                    self.say(left.pop(0))
                elif give_up is None:
                    return
                else:
                    reply = self.say(give_up)
                    # Who is still there says so now, or in the second after it.
                    late = self._line.hear(0.0 if not reply.interrupted else silence)
                    if late is None:
                        self._line.leave()
                        return
                    left = list(prompts)
                    yield late
        except CallEnded:
            return

    def filler(self, text: str, *, after: float = 1.0) -> AbstractContextManager[None]:
        """Say something when what is done within the block takes long.

        ::

            with call.filler("One moment, I'm looking that up."):
                order = database.find(number)

        The block is not stopped; leaving it waits until the words were heard.

        Args:
            text: what to say.
            after: seconds from the beginning of the block; nothing is said when it is over by then.

        Raises:
            CallEnded: the call is over.
        """
        return self._line.filling(text, after)

    @property
    def language(self) -> str:
        """The language of the call, ``"en-US"``; set it, and the caller is understood in it.

        Takes effect at once for what the caller says, and from the next reply on for the agent,
        whose :attr:`voice` has to fit.

        Raises:
            ConfigurationError: it is set to what is no language's tag.
        """
        return self._line.language

    @language.setter
    def language(self, language: str) -> None:
        self._line.language = language

    @property
    def voice(self) -> str:
        """The agent's voice, ``"Telnyx.NaturalHD.astra"``; set it, and the next reply is in it.

        One that does not exist is replaced by those of ``BRIDGE_TTS_VOICE``.

        Raises:
            ConfigurationError: it is set to what is no name.
        """
        return self._line.voice

    @voice.setter
    def voice(self, voice: str) -> None:
        self._line.voice = voice
