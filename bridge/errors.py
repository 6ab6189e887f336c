"""What the bridge raises, on one screen.

Errors of the speech sessions and of the media stream are in :mod:`telnyx_media.errors`.  An error
that a user can cause is a :class:`BridgeError`, and the command line shows it as one line.

Pure.
"""

from __future__ import annotations


class BridgeError(Exception):
    """Anything the bridge raises on purpose."""


class SettingsError(BridgeError):
    """Environment variables that are missing or wrong, all of them listed, one per line."""


class AgentError(BridgeError):
    """The agent function cannot be loaded; the message names ``BRIDGE_AGENT`` and why."""


class SignatureError(BridgeError):
    """A webhook whose signature or timestamp does not hold."""


class EventError(BridgeError):
    """A webhook body that is no event."""


class CommandError(BridgeError):
    """Telnyx refused a Call Control command.

    Attributes:
        command: the command's name, ``"answer"``.
        code: Telnyx's error code as text (``"90018"``), or ``""``.
        title: Telnyx's short name of the error.
        detail: Telnyx's sentence about it.
        http_status: status of the HTTP answer, or ``None`` when none came.
        retryable: whether the same command may succeed later.
    """

    def __init__(
        self,
        command: str,
        title: str,
        *,
        code: str = "",
        detail: str = "",
        http_status: int | None = None,
        retryable: bool = False,
    ) -> None:
        self.command = command
        self.code = code
        self.title = title
        self.detail = detail
        self.http_status = http_status
        self.retryable = retryable
        text = f"{command}: {title}" + (f": {detail}" if detail else "")
        where = ", ".join(
            part
            for part in (
                f"HTTP {http_status}" if http_status else "",
                f"code {code}" if code else "",
            )
            if part
        )
        super().__init__(f"{text} ({where})" if where else text)


class RecordsError(BridgeError):
    """The database of call records cannot be used; the message holds no value of a record.

    Attributes:
        lasting: whether the same write would fail again, however often it is tried.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        self.lasting = lasting
        super().__init__(message)


class StorageError(BridgeError):
    """A recording cannot be kept, read or deleted; the message names no key and no address."""


class CallEnded(BridgeError):
    """The call is over; raised by every blocking method of a call but ``turns()``."""


class AudioUnreadable(BridgeError):
    """A file or address that holds no audio, or is not there; the message has no address."""


class ConnectFailed(BridgeError):
    """Somebody else could not be brought to the call; the call itself goes on.

    Attributes:
        cause: Telnyx's word for it where it gave one (``"user_busy"``, ``"no_answer"``,
            ``"call_rejected"``, ``"not_found"``, ``"timeout"``), else ``"refused"`` for a command
            that was refused, ``"media"`` for a leg that could not be heard.
    """

    def __init__(self, what: str, cause: str) -> None:
        self.cause = cause
        super().__init__(f"{what}: {cause.replace('_', ' ')}")


class DialFailed(ConnectFailed):
    """Nobody could be reached at a number that was dialled."""


class TransferFailed(ConnectFailed):
    """A call could not be handed over."""
