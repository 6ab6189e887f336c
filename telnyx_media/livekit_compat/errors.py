"""The sessions' errors as LiveKit's.

The framework tries again, switches providers and ends streams by the class of an error and its
``retryable``; any other class than ``APIError`` leaves an agent deaf or mute.

Pure.  Nothing is chained: LiveKit prints the causes of errors, and a cause may hold what must not
be printed.
"""

from __future__ import annotations

from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

from telnyx_media.errors import (
    AuthenticationError,
    ConnectionLost,
    DeadlineExceeded,
    ServiceError,
    SpeechCutShort,
    TelnyxMediaError,
)

# Reported with an error frame, or a close code, that stands for a refused key.
UNAUTHORIZED = 401


def to_api_error(error: Exception) -> APIError:
    """Get the error that LiveKit understands for ``error``; raise it ``from None``."""
    if isinstance(error, APIError):
        return error
    if isinstance(error, SpeechCutShort):
        return _cut_short(error)
    if isinstance(error, ServiceError):
        return _service_error(error, str(error))
    if isinstance(error, DeadlineExceeded):
        return APITimeoutError(str(error))
    if isinstance(error, ConnectionLost):
        return APIConnectionError(str(error))
    if isinstance(error, TelnyxMediaError):
        return APIError(str(error), retryable=error.retryable)
    # A bug of ours, or of the system: its text is unknown, and may hold anything.
    return APIError(f"internal error: {type(error).__name__}", retryable=False)


def _cut_short(error: SpeechCutShort) -> APIError:
    if isinstance(error.reason, ServiceError):
        return _service_error(error.reason, str(error))
    if isinstance(error.reason, DeadlineExceeded):
        return APITimeoutError(str(error))
    return APIConnectionError(str(error))


def _service_error(error: ServiceError, text: str) -> APIError:
    body = {"code": error.code, "title": error.title, "detail": error.detail}
    status = error.http_status
    if status is None and isinstance(error, AuthenticationError):
        status = UNAUTHORIZED
    if status is None:
        return APIError(text, body=body, retryable=error.retryable)
    return APIStatusError(
        text,
        status_code=status,
        request_id=error.request_id or None,
        body=body,
        retryable=error.retryable,
    )
