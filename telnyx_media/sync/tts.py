"""Speak text in blocking Python.

    tts = TextToSpeech(voice="Telnyx.NaturalHD.astra")
    for pcm in tts.speak("Good morning.", sample_rate=16000):
        ...

    with tts.open(sample_rate=8000) as session:     # sentence by sentence, while they are made
        session.send("Good morning.")
        session.send("What can I do for you?")
        session.finish()
        for audio in session:
            ...

Threads: see :mod:`telnyx_media.sync.ttssession`.  ``speak`` adds one, ``tts-text``, where the text
comes from an iterator.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args

from telnyx_media.errors import ConfigurationError, SessionEnded
from telnyx_media.options import as_mapping, check_seconds, one_or_more
from telnyx_media.sentences import SentenceSplitter, speakable
from telnyx_media.sync.access import check_key
from telnyx_media.sync.connection import (
    CONNECT_TIMEOUT,
    DEAD_AFTER,
    PING_INTERVAL,
    Connection,
)
from telnyx_media.sync.keptsocket import KeptSocket, Link, Policy
from telnyx_media.sync.retry import RetryPolicy
from telnyx_media.sync.speechcache import SpeechCache
from telnyx_media.sync.threads import BoundedQueue, ThreadGroup
from telnyx_media.sync.ttsattempt import Attempt
from telnyx_media.sync.ttssession import SpeechAudio, TtsSession
from telnyx_media.synthesis import DEFAULT_VOICE, SPEECH_URL, TtsOptions, speech_url

__all__ = ["SpeechAudio", "TextToSpeech", "TtsSession"]

# Messages that may wait to be sent; a reply has far fewer sentences.
MESSAGES = 10_000


class TextToSpeech:
    """What to ask of the synthesis service; opens sessions.

    Attributes:
        plans: the options of the voice, then those of its fallbacks.
        retry: how often and how fast to connect again.
    """

    def __init__(
        self,
        *,
        voice: str | None = DEFAULT_VOICE,
        model: str | None = None,
        provider: str | None = None,
        voice_id: str | None = None,
        api_key: str | None = None,
        base_url: str = SPEECH_URL,
        audio_format: str | None = None,
        sample_rate: int | None = None,
        voice_settings: Mapping[str, object] | None = None,
        language: str | None = None,
        text_type: str | None = None,
        disable_cache: bool | None = None,
        pronunciation_dict_id: str | None = None,
        inactivity_timeout: int | None = None,
        extra: Mapping[str, str | Sequence[str]] | None = None,
        strict: bool = True,
        fallbacks: Sequence[str | TtsOptions] = (),
        retry: RetryPolicy | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        reply_timeout: float = 10.0,
        ping_interval: float = PING_INTERVAL,
        dead_after: float = DEAD_AFTER,
        cache: SpeechCache | None = None,
        policy: Policy = "close",
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Check everything; nothing is opened.

        Args:
            voice: ``Provider.Model.VoiceId``; see :class:`telnyx_media.synthesis.TtsOptions` for
                this and all the options down to ``strict``.
            model: instead of ``voice``, with ``provider`` and ``voice_id``.
            provider: the same.
            voice_id: the same.
            api_key: of Telnyx; the environment's ``TELNYX_API_KEY`` when ``None``.
            base_url: of the service; a query in it is kept.
            audio_format: to ask for; ``None`` for the voice's own. What comes is sniffed.
            sample_rate: to ask for, in Hz; what sessions deliver is their own choice.
            voice_settings: speed, pitch and the like.
            language: for voices that speak several; also used to find the ends of sentences.
            text_type: ``"text"`` or ``"ssml"``.
            disable_cache: whether Telnyx must synthesise afresh.
            pronunciation_dict_id: a dictionary of the account.
            inactivity_timeout: seconds after which Telnyx closes an idle socket.
            extra: further query parameters.
            strict: whether what this version does not know is an error.
            fallbacks: voices, or whole options, to go on with when the one before is given up.
            retry: how often and how fast to connect again.
            connect_timeout: seconds for one whole connect.
            reply_timeout: seconds without audio, while some is due, that end an attempt.
            policy: whether a socket is closed with its reply or kept for the next, see
                :mod:`telnyx_media.sync.keptsocket`; with ``"keep"``, :meth:`close` this object.
            cache: keeps what was synthesised, so that the same text is synthesised once.
            ping_interval: seconds between pings.
            dead_after: seconds without a byte, not even a pong, after which the peer is gone.
            ssl_context: of TLS; the system's when ``None``.

        Raises:
            ConfigurationError: an option is missing, unknown or out of range.
        """
        check_seconds(
            connect_timeout=connect_timeout,
            reply_timeout=reply_timeout,
            ping_interval=ping_interval,
            dead_after=dead_after,
        )
        if policy not in get_args(Policy):
            raise ConfigurationError(
                f"policy: {policy!r} is not one of {', '.join(get_args(Policy))}"
            )
        self._key = check_key(api_key)
        self._base_url = base_url
        options = TtsOptions(
            voice=None if voice is None or provider else voice,
            provider=provider,
            model_id=model,
            voice_id=voice_id,
            audio_format=audio_format,
            sample_rate=sample_rate,
            voice_settings=as_mapping("voice_settings", voice_settings),
            language=language,
            text_type=text_type,
            disable_cache=disable_cache,
            pronunciation_dict_id=pronunciation_dict_id,
            inactivity_timeout=inactivity_timeout,
            extra=as_mapping("extra", extra),
            strict=strict,
        )
        self.plans: tuple[TtsOptions, ...] = (
            options,
            *(
                # A voice's settings are its own, the formats it obeys too.
                replace(
                    options,
                    voice=fallback,
                    provider=None,
                    model_id=None,
                    voice_id=None,
                    voice_settings={},
                    audio_format=None,
                    sample_rate=None,
                )
                if isinstance(fallback, str)
                else fallback
                for fallback in one_or_more("fallbacks", fallbacks, str, TtsOptions)
            ),
        )
        self.retry = retry or RetryPolicy(attempts=3)
        self.connect_timeout = connect_timeout
        self.reply_timeout = reply_timeout
        self.ping_interval = ping_interval
        self.dead_after = dead_after
        self.ssl_context = ssl_context
        self.cache = cache
        self._kept = KeptSocket(policy)
        speech_url(base_url, options)

    def close(self) -> None:
        """Close the socket that is kept, if there is one; may be called twice."""
        self._kept.close()

    def __enter__(self) -> TextToSpeech:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<TextToSpeech {', '.join(plan.name for plan in self.plans)}>"

    def open(
        self,
        *,
        sample_rate: int,
        on_audio: Callable[[SpeechAudio], None] | None = None,
        on_end: Callable[[Exception | None], None] | None = None,
        on_connect: Callable[[Connection], None] | None = None,
        tag: str = "tts",
    ) -> TtsSession:
        """Open a session for one reply; returns at once, nothing is connected before it is needed.

        Args:
            sample_rate: of the PCM to get, in Hz.
            on_audio: gets the audio on the session's receive thread, instead of the iterator; it
                may block, which slows the service down.
            on_end: called once, on the same thread, when the session has ended: with its error, or
                ``None``.
            on_connect: called on the same thread with each connection, once it is made.
            tag: of the leg, for the names of threads.

        Raises:
            ConfigurationError: ``sample_rate`` cannot be used.
        """
        return TtsSession(
            self,
            sample_rate=sample_rate,
            on_audio=on_audio,
            on_end=on_end,
            on_connect=on_connect,
            tag=tag,
        )

    def speak(self, text: str | Iterable[str], *, sample_rate: int = 16000) -> Iterator[bytes]:
        """Speak ``text`` and iterate over 16-bit mono PCM as it arrives.

        The first sentence is on its way before the second is known. Closing the generator closes
        the socket.

        Args:
            text: all of it, or an iterator that yields it in pieces of any length, which is then
                consumed on a thread of its own.
            sample_rate: of the PCM, in Hz.

        Raises:
            SpeechCutShort: synthesis failed after some audio.
            TelnyxMediaError: it failed before any.
        """
        splitter = SentenceSplitter(self.plans[0].language or "en")
        # Short: an iterator that never yields again must not hold up whoever stops listening.
        with (
            ThreadGroup("tts", timeout=0.1) as group,
            self.open(sample_rate=sample_rate) as session,
        ):
            if isinstance(text, str):
                _say(session, splitter, [text])
            else:
                group.spawn("tts-text", _say, session, splitter, text)
            for audio in session:
                if audio.pcm:
                    yield audio.pcm

    # -- for sessions ----------------------------------------------------------------------------

    def cache_key(self, text: str, sample_rate: int) -> str:
        """Make the key under which the audio of ``text`` in the first voice is cached."""
        return SpeechCache.key(
            text.strip(),
            speech_url(SPEECH_URL, self.plans[0]),
            sample_rate,
            (sorted(self.plans[0].voice_settings.items(), key=str)),
        )

    def attempt(self, plan: int, sample_rate: int, tag: str) -> Attempt:
        """Make one attempt with the ``plan``-th voice, not connected yet."""
        options = self.plans[plan]
        # Only the first voice's socket is kept: the others are for emergencies.
        keep = plan == 0 and not self._kept.refused
        link = self._kept.take() if keep else None
        if link is not None:
            return self._attempt(link, plan, sample_rate, keep=keep, reused=True)
        connection = Connection(
            speech_url(self._base_url, options),
            api_key=self._key,
            role="tts",
            tag=tag,
            context=self.ssl_context,
            connect_timeout=self.connect_timeout,
            ping_interval=self.ping_interval,
            dead_after=self.dead_after,
        )
        outgoing: BoundedQueue[str] = BoundedQueue(MESSAGES)
        return self._attempt(Link(connection, outgoing), plan, sample_rate, keep=keep)

    def _attempt(
        self, link: Link, plan: int, sample_rate: int, *, keep: bool, reused: bool = False
    ) -> Attempt:
        return Attempt(
            link,
            self.plans[plan],
            sample_rate,
            reply_timeout=self.reply_timeout,
            reused=reused,
            keep=keep,
        )

    def release(self, attempt: Attempt, *, interrupted: bool) -> None:
        """Keep the socket of an attempt that is over, or close it."""
        forced = interrupted and attempt.link.forced
        if attempt.keep and (attempt.finished or forced):
            self._kept.park(attempt.link)
            return
        attempt.connection.close()
        if not interrupted and (attempt.reused or attempt.finished) and not self._kept.refused:
            # It had to be told the end, or failed on a socket that was kept.
            self._kept.refuse()


def _say(session: TtsSession, splitter: SentenceSplitter, pieces: Iterable[str]) -> None:
    try:
        for piece in pieces:
            if speakable(piece):
                session.prepare()
            for sentence in splitter.feed(piece):
                session.send(sentence)
        for sentence in splitter.flush():
            session.send(sentence)
    except SessionEnded:
        # Whoever listened has gone.
        return
    except BaseException:
        session.stop()
        raise
    session.finish()
