"""What can go wrong, on one screen.

Every error that leaves this package is a :class:`TelnyxMediaError`.  Each says by ``retryable``
whether trying the same thing again can help.  No message, ``repr`` or traceback holds the API key,
a stream token, or a word of what was said.

Pure.
"""

from __future__ import annotations


class TelnyxMediaError(Exception):
    """Anything this package raises on purpose."""

    retryable = False
    """Whether the same attempt, made again, may succeed."""


class ConfigurationError(TelnyxMediaError, ValueError):
    """An option is missing, unknown or out of range; the message names it and what is allowed."""


class UnsupportedCodec(ConfigurationError):
    """A codec, or a rate of it, that cannot be decoded or encoded here."""


class ServiceError(TelnyxMediaError):
    """Telnyx answered, and the answer is no.

    Attributes:
        code: Telnyx's error code as text (``"40007"``), or ``""``.
        title: Telnyx's short name of the error.
        detail: Telnyx's sentence about it.
        http_status: status of the HTTP answer (of the handshake, for a WebSocket), or ``None``.
        request_id: Telnyx's id of the request, or ``""``.
    """

    def __init__(
        self,
        title: str,
        *,
        code: str = "",
        detail: str = "",
        http_status: int | None = None,
        request_id: str = "",
        retryable: bool = False,
    ) -> None:
        self.code = code
        self.title = title
        self.detail = detail
        self.http_status = http_status
        self.request_id = request_id
        self.retryable = retryable
        where = " ".join(
            part
            for part in (
                f"HTTP {http_status}" if http_status else "",
                f"code {code}" if code else "",
            )
            if part
        )
        text = f"{title}: {detail}" if detail else title
        super().__init__(f"{text} ({where})" if where else text)

    def about(self, what: str) -> ServiceError:
        """Make the same error, telling also what was asked for."""
        return type(self)(
            self.title,
            code=self.code,
            detail=f"{self.detail} ({what})".strip(),
            http_status=self.http_status,
            request_id=self.request_id,
            retryable=self.retryable,
        )


class AuthenticationError(ServiceError):
    """The API key was refused (HTTP 401 or 403)."""


class ConnectionLost(TelnyxMediaError, ConnectionError):
    """A connection could not be made, or ended before its proper end."""

    retryable = True


class DeadlineExceeded(ConnectionLost, TimeoutError):
    """The peer was silent for longer than it may be."""


class SpeechCutShort(ConnectionLost):
    """Synthesis failed after some of its audio had been delivered.

    Attributes:
        delivered: seconds of audio that were.
        reason: what went wrong.
    """

    def __init__(self, reason: Exception, *, delivered: float) -> None:
        self.delivered = delivered
        self.reason = reason
        super().__init__(f"speech was cut short after {delivered:.2f} s of audio: {reason}")


class ProtocolError(TelnyxMediaError):
    """The peer sent something that means nothing."""


class FrameError(ProtocolError, ValueError):
    """A media-stream frame that cannot be parsed; the message says which part."""


class SessionEnded(TelnyxMediaError):
    """The session was closed by its owner; nothing can be sent on it any more."""
