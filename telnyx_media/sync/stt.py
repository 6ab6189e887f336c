"""Transcribe a stream of audio in blocking Python.

    with SpeechToText(engine="Deepgram").open(sample_rate=8000, encoding="mulaw") as session:
        session.send(packet)            # from any thread, never waits
        for transcript in session:      # blocks until there is one
            ...

Threads: none here; see :mod:`telnyx_media.sync.sttsession`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from telnyx_media.errors import ConfigurationError, TelnyxMediaError
from telnyx_media.options import as_mapping, check_rate, check_seconds, one_or_more
from telnyx_media.sync.access import check_key
from telnyx_media.sync.connection import (
    CONNECT_TIMEOUT,
    DEAD_AFTER,
    PING_INTERVAL,
    Connection,
)
from telnyx_media.sync.retry import RetryPolicy
from telnyx_media.sync.sttsession import SttSession
from telnyx_media.transcripts import TRANSCRIPTION_URL, SttOptions, Transcript, transcription_url

__all__ = ["SpeechToText", "SttSession"]

# Between these, in Hz, linear audio is sent as it is.
LOWEST_RATE, HIGHEST_RATE = 8000, 48000

G711_RATE = 8000


class SpeechToText:
    """What to ask of the transcription service; opens sessions."""

    def __init__(
        self,
        *,
        engine: str = "Deepgram",
        model: str | None = None,
        language: str | None = "en-US",
        api_key: str | None = None,
        base_url: str = TRANSCRIPTION_URL,
        input_format: str | None = None,
        wire_rate: int | None = None,
        interim_results: bool = True,
        endpointing: int | bool | None = None,
        keyterms: Sequence[str] = (),
        keywords: Sequence[str] = (),
        redact: Sequence[str] = (),
        region: str | None = None,
        eot_threshold: float | None = None,
        eot_timeout_ms: int | None = None,
        eager_eot_threshold: float | None = None,
        extra: Mapping[str, str | Sequence[str]] | None = None,
        strict: bool = True,
        fallbacks: Sequence[str | SttOptions] = (),
        retry: RetryPolicy | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        buffer_seconds: float = 30.0,
        reply_timeout: float = 8.0,
        ping_interval: float = PING_INTERVAL,
        dead_after: float = DEAD_AFTER,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Check everything; nothing is opened.

        Args:
            engine: of the transcription; see :class:`telnyx_media.transcripts.SttOptions` for this
                and all the options down to ``strict``.
            model: of the engine.
            language: spoken by the caller.
            api_key: of Telnyx; the environment's ``TELNYX_API_KEY`` when ``None``.
            base_url: of the service; a query in it is kept.
            input_format: what to send; ``None`` for the audio as it is where the engine takes it,
                else ``"linear16"``; ``"wav"`` for linear16 behind a streaming header.
            wire_rate: the sample rate to send, in Hz; when ``None`` the audio's own, or the nearest
                that engines take.
            interim_results: whether transcripts that may still change are wanted.
            endpointing: milliseconds of silence that end an utterance.
            keyterms: words to listen for.
            keywords: the same for nova-2.
            redact: what to blank.
            region: of Azure.
            eot_threshold: of flux.
            eot_timeout_ms: of flux.
            eager_eot_threshold: of flux.
            extra: further query parameters.
            strict: whether what this version does not know is an error.
            fallbacks: engines, or whole options, to go on with when the one before is given up.
            retry: how often and how fast to connect again.
            connect_timeout: seconds for one whole connect.
            buffer_seconds: of audio kept to be sent again, at most.
            reply_timeout: seconds of speech without any reply after which a new connection counts
                as dead on arrival.
            ping_interval: seconds between pings.
            dead_after: seconds without a byte, not even a pong, after which the peer is gone.
            ssl_context: of TLS; the system's when ``None``.

        Raises:
            ConfigurationError: an option is missing, unknown or out of range.
        """
        check_seconds(
            connect_timeout=connect_timeout,
            buffer_seconds=buffer_seconds,
            reply_timeout=reply_timeout,
            ping_interval=ping_interval,
            dead_after=dead_after,
        )
        if wire_rate is not None:
            check_rate("wire_rate", wire_rate)
        self._key = check_key(api_key)
        self._base_url = base_url
        self._input_format = input_format
        self._wire_rate = wire_rate
        self.retry = retry or RetryPolicy()
        self.connect_timeout = connect_timeout
        self.buffer_seconds = buffer_seconds
        self.reply_timeout = reply_timeout
        self.ping_interval = ping_interval
        self.dead_after = dead_after
        self.ssl_context = ssl_context
        options = SttOptions(
            engine=engine,
            model=model,
            language=language,
            input_format=input_format or "linear16",
            sample_rate=8000 if wire_rate is None else wire_rate,
            interim_results=interim_results,
            endpointing=endpointing,
            keyterms=keyterms,
            keywords=keywords,
            redact=redact,
            region=region,
            eot_threshold=eot_threshold,
            eot_timeout_ms=eot_timeout_ms,
            eager_eot_threshold=eager_eot_threshold,
            extra=as_mapping("extra", extra),
            strict=strict,
        )
        self.plans: tuple[SttOptions, ...] = (
            options,
            *(
                options.for_engine(fallback) if isinstance(fallback, str) else fallback
                for fallback in one_or_more("fallbacks", fallbacks, str, SttOptions)
            ),
        )
        transcription_url(base_url, options)

    def __repr__(self) -> str:
        engines = ", ".join(plan.engine for plan in self.plans)
        return f"<SpeechToText {engines}>"

    def open(
        self,
        *,
        sample_rate: int,
        encoding: str = "linear16",
        on_transcript: Callable[[Transcript], None] | None = None,
        on_error: Callable[[Exception], None] | None = None,
        on_end: Callable[[Exception | None], None] | None = None,
        on_connect: Callable[[Connection], None] | None = None,
        on_loss: Callable[[TelnyxMediaError], bool] | None = None,
        direct: bool = False,
        tag: str = "stt",
    ) -> SttSession:
        """Open a session; returns at once, the session connects on a thread of its own.

        Args:
            sample_rate: of the audio that will be sent, in Hz.
            encoding: ``"linear16"``, ``"mulaw"`` or ``"alaw"``, or the codec's name.
            on_transcript: gets each transcript on the session's receive thread, instead of the
                iterator; what it raises ends the session.
            on_error: gets the error of a session that is given up, on the same thread.
            on_end: called once, on the same thread, when the session has ended: with its error, or
                ``None``.
            on_connect: called on the same thread with each connection, once it is made.
            on_loss: decides about each lost connection, on the same thread, in place of the retry
                policy: it waits as long as it likes and returns whether the engine is given up; the
                next connection is made when it returns. What it raises ends the session.
            direct: whether ``send`` writes to the socket itself while that needs no waiting; it
                saves waking the sender, and costs the thread that sends some microseconds.
            tag: of the leg, for the names of threads.

        Raises:
            ConfigurationError: ``sample_rate`` or ``encoding`` cannot be used.
        """
        return SttSession(
            self,
            sample_rate=sample_rate,
            encoding=encoding,
            on_transcript=on_transcript,
            on_error=on_error,
            on_end=on_end,
            on_connect=on_connect,
            on_loss=on_loss,
            direct=direct,
            tag=tag,
        )

    # -- for sessions ----------------------------------------------------------------------------

    def plan(self, index: int, *, sample_rate: int, encoding: str) -> SttOptions:
        """Get the options of the ``index``-th engine for audio of this kind."""
        options = self.plans[index]
        wire_format = self._input_format
        rate = self._wire_rate or min(max(sample_rate, LOWEST_RATE), HIGHEST_RATE)
        if wire_format is None:
            # G.711 exists at 8 kHz; engines refuse it at any other rate (Telnyx: error 40005).
            rate_fits = rate == sample_rate and (encoding == "linear16" or rate == G711_RATE)
            passes = rate_fits and encoding in options.engine_info.formats
            wire_format = encoding if passes else "linear16"
        if wire_format not in ("linear16", "wav", encoding):
            raise ConfigurationError(
                f"input_format: {wire_format!r} is not made of {encoding} audio; "
                f"linear16, wav and {encoding} are"
            )
        return replace(options, input_format=wire_format, sample_rate=rate)

    def connection(self, options: SttOptions, tag: str) -> Connection:
        """Make the connection for ``options``, not connected yet."""
        return Connection(
            transcription_url(self._base_url, options),
            api_key=self._key,
            role="stt",
            tag=tag,
            context=self.ssl_context,
            connect_timeout=self.connect_timeout,
            ping_interval=self.ping_interval,
            dead_after=self.dead_after,
        )
