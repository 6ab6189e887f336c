"""One WebSocket to a speech service: a thread that sends, a thread that receives.

The framing is ``websocket-client``'s, the socket under it is a :class:`Transport`, so that every
wait can be ended from outside and the connect is bounded as a whole.  The handshake carries no
``Origin``: Telnyx's edge refuses it.

Threads:

    the caller of ``connect`` and ``receive``    one thread, the session's
    ``<role>-send``                              made here; takes messages from a source and sends
    any other                                    ``cancel``

Rules of this module:

1. Whoever takes from the source sends; nobody else writes, except pongs and the close frame.
2. A failure of the sender is kept and raised by ``receive``, which is woken for it.
3. No error holds the API key or has a cause that does: nothing of ``websocket-client``'s is
   chained.
"""

from __future__ import annotations

import ssl
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
import websocket
from websocket._url import get_proxy_info, parse_url

from telnyx_media.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLost,
    DeadlineExceeded,
    ServiceError,
    SessionEnded,
)
from telnyx_media.sync.access import default_context
from telnyx_media.sync.dialer import Address, Dialer
from telnyx_media.sync.framing import FramedSocket, encode
from telnyx_media.sync.threads import Deadline, QueueClosed, ThreadGroup
from telnyx_media.sync.transport import Transport
from telnyx_media.transcripts import ServerError, read_error
from telnyx_media.urls import without_query

CONNECT_TIMEOUT = 10.0
"""Seconds for name resolution, TCP, TLS and upgrade together."""

# A ping this often; Telnyx documents no idle limit.
PING_INTERVAL = 10.0

# Without a byte, not even a pong, for this long the peer is gone.
DEAD_AFTER = 20.0

# A peer that takes nothing for this long is gone too.
SEND_TIMEOUT = 10.0

# Close codes with which the service refuses (Telnyx's own tests treat them so); the others may
# pass when tried again.
REFUSALS = {1008: ServiceError, 4001: AuthenticationError, 4003: AuthenticationError}

# HTTP answers to a handshake that may be different next time.
RETRYABLE_STATUS = frozenset({408, 425, 429, 499})

_REQUEST_ID_HEADERS = ("x-request-id", "telnyx-request-id", "x-telnyx-request-id", "request-id")


class Source(Protocol):
    """Where the sender gets its messages; a ``BoundedQueue`` of texts is one."""

    def take_all(self, timeout: float | None = None) -> Sequence[str | bytes]:
        """Wait for messages; raise ``TimeoutError``, or ``QueueClosed`` when there are no more."""

    def close(self, *, drop: bool = False) -> None:
        """End it; wakes the sender."""


class PeerClosed(ConnectionLost):
    """The service closed the connection.

    Attributes:
        code: of its close frame; 1005 when it gave none, 1006 when no frame came at all.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        self.code = code
        self.reason = reason
        self.retryable = code not in REFUSALS
        text = f"the service closed the connection (close code {code})"
        super().__init__(f"{text}: {reason}" if reason else text)

    def to_error(self) -> Exception:
        """Get the error for a user: a refusal, or the loss itself."""
        kind = REFUSALS.get(self.code)
        if kind is None:
            return self
        return kind("the service refused the connection", code=str(self.code), detail=self.reason)


class Connection:
    """One WebSocket, from connect to close.  Used once.

    Attributes:
        seconds_to_connect: how long the connect took, once connected.
        request_id: the service's id of the handshake, or ``""``.
        messages: how many text or binary messages came.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        role: str,
        tag: str,
        context: ssl.SSLContext | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        ping_interval: float = PING_INTERVAL,
        dead_after: float = DEAD_AFTER,
        send_timeout: float = SEND_TIMEOUT,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            url: of the service, with its query.
            api_key: goes into the ``Authorization`` header and nowhere else.
            role: ``"stt"`` or ``"tts"``, for the names of threads.
            tag: of the leg or session, for the same.
            context: of TLS; the process's own when ``None``.
            connect_timeout: seconds for the whole connect.
            ping_interval: seconds between pings.
            dead_after: seconds without a byte after which the peer counts as gone.
            send_timeout: seconds in which the peer has to take something.
        """
        self.seconds_to_connect = 0.0
        self.request_id = ""
        self.messages = 0
        self._url = url
        self._key = api_key
        self._role = role
        self._context = context
        self._connect_timeout = connect_timeout
        self._ping_interval = ping_interval
        self._dead_after = dead_after
        self._send_timeout = send_timeout
        self._group = ThreadGroup(tag, timeout=2.0, on_error=self._crashed)
        # Apart from the sender, since nothing can wake the system's resolver: it is not waited for.
        self._resolvers = ThreadGroup(tag, timeout=0.0)
        self._dialer = Dialer(self._resolvers, f"{role}-dns")
        self._cancelled = False
        self._failure: Exception | None = None
        self._source: Source | None = None
        self._transport: Transport | None = None
        self._socket: FramedSocket | None = None

    # -- the session's thread --------------------------------------------------------------------

    def connect(self) -> None:
        """Connect and upgrade; blocks for at most ``connect_timeout`` seconds.

        Raises:
            AuthenticationError: HTTP 401 or 403.
            ServiceError: another HTTP status.
            DeadlineExceeded: it took too long.
            ConnectionLost: it could not be reached, or broke off.
            SessionEnded: :meth:`cancel` was called.
        """
        started = time.monotonic()
        deadline = Deadline(self._connect_timeout)
        address, context = self._address()
        self._transport = self._dialer.dial(address, context, deadline)
        self._socket = FramedSocket()
        failure: Exception | None = None
        try:
            self._socket.connect(  # type: ignore[no-untyped-call]
                self._url,
                socket=self._transport,
                header=[f"Authorization: Bearer {self._key}"],
                suppress_origin=True,
                redirect_limit=0,
            )
        except websocket.WebSocketBadStatusException as error:
            failure = self._refusal(error)
        except (websocket.WebSocketException, OSError, ValueError) as error:
            failure = self._broken(error, deadline)
        if failure is not None:
            self._transport.close()
            # Raised here and not above, so that it has no context either: the answer may echo what
            # was asked.
            try:
                raise failure
            finally:
                # Nor is this frame, with the connection, held by its own traceback.
                del failure
        self.request_id = self._scrub(_request_id(self._socket.getheaders()))
        self._transport.end_deadline()
        self._transport.write_timeout = self._send_timeout
        self._transport.last_read = time.monotonic()
        self.seconds_to_connect = self._transport.last_read - started
        if self._cancelled:
            raise SessionEnded("the session was closed while it connected")

    def start(self, source: Source) -> None:
        """Begin to send what ``source`` gives, on a thread of its own."""
        self._source = source
        self._group.spawn(f"{self._role}-send", self._send_loop, source)

    def receive(self, timeout: float | None = None) -> str | bytes:
        """Wait for a message.

        Args:
            timeout: seconds to wait for one.

        Raises:
            TimeoutError: none came; the connection lives.
            DeadlineExceeded: the peer is gone: not a byte for ``dead_after`` seconds.
            PeerClosed: the service closed.
            ConnectionLost: the connection broke, here or at the sender.
            SessionEnded: :meth:`cancel` was called.
        """
        assert self._socket is not None
        assert self._transport is not None
        deadline = Deadline(timeout)
        lost: Exception
        while True:
            quiet = time.monotonic() - self._transport.last_read
            limit = deadline.remaining()
            # Never nothing: whoever was away for long has to find what came meanwhile.
            left = max(0.001, self._dead_after - quiet)
            self._transport.read_timeout = left if limit is None else min(left, limit)
            try:
                opcode, frame = self._socket.recv_data_frame(control_frame=True)
            except websocket.WebSocketTimeoutException:
                quiet = time.monotonic() - self._transport.last_read
                if quiet >= self._dead_after:
                    lost = DeadlineExceeded(f"the service sent nothing for {quiet:.0f} s")
                    break
                if deadline.expired:
                    raise TimeoutError from None
                continue
            except (websocket.WebSocketException, OSError, ValueError, struct.error) as error:
                lost = self._lost(error)
                break
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                raise self._closed(frame.data)
            if opcode == websocket.ABNF.OPCODE_TEXT:
                self.messages += 1
                return bytes(frame.data).decode("utf-8", "replace")
            if opcode == websocket.ABNF.OPCODE_BINARY:
                self.messages += 1
                return bytes(frame.data)
        raise lost

    def reported(self, said: ServerError) -> ServiceError:
        """Make the exception for an error that the service sent on the open socket.

        The service may repeat what it was sent: the key is taken out.
        """
        parts = (said.code, said.title, said.detail, said.parameter)
        return ServerError(*(self._scrub(part) for part in parts)).to_exception()

    def close(self) -> None:
        """Give everything up: say goodbye if that needs no waiting, join the sender, close.

        Takes milliseconds. Called by the session's thread, or by another once that has ended.
        """
        self.cancel()
        self._group.stop()
        self._group.join()
        self._resolvers.join()
        if self._transport is not None:
            self._transport.close()

    # -- any thread ------------------------------------------------------------------------------

    def send_now(self, message: str | bytes) -> bool | None:
        """Send a message without waiting, while the sender has nothing to do.

        Waking the sender costs more than sending does.  Who calls this has to see to it that the
        sender takes nothing meanwhile.

        Returns:
            Whether it was sent; ``None`` if a part of it was: the sender has to be woken, and sends
            the rest first.
        """
        ws, transport = self._socket, self._transport
        if ws is None or transport is None or not ws.lock.acquire(blocking=False):
            return False
        try:
            return transport.send_now(encode(message))
        finally:
            ws.lock.release()

    def cancel(self) -> None:
        """Wake every thread of this connection for the last time; never blocks, may be repeated."""
        if not self._cancelled:
            self._cancelled = True
            self._say_goodbye()
        self._dialer.cancel()
        if self._source is not None:
            self._source.close(drop=True)
        if self._transport is not None:
            self._transport.wake()

    # -- the sender's thread ---------------------------------------------------------------------

    def _send_loop(self, source: Source) -> None:
        assert self._socket is not None
        assert self._transport is not None
        next_ping = time.monotonic() + self._ping_interval
        try:
            while not self._cancelled:
                try:
                    messages = source.take_all(max(0.0, next_ping - time.monotonic()))
                except TimeoutError:
                    messages = ()
                except QueueClosed:
                    return
                with self._socket.lock:
                    self._transport.flush()
                for message in messages:
                    with self._socket.lock:
                        self._transport.send_all(encode(message))
                if time.monotonic() >= next_ping:
                    self._socket.ping()
                    next_ping = time.monotonic() + self._ping_interval
        except (TimeoutError, websocket.WebSocketTimeoutException):
            self._fail(DeadlineExceeded(f"the service took nothing for {self._send_timeout:g} s"))
        except (websocket.WebSocketException, OSError, ValueError) as error:
            self._fail(ConnectionLost(f"sending failed: {_name(error)}"))

    def _fail(self, error: Exception) -> None:
        self._failure = error
        # What has arrived already is worth reading: often the service says why before it closes.
        # The receiver finds the end by itself unless the peer is half-open, so it is woken.
        if isinstance(error, DeadlineExceeded) and self._transport is not None:
            self._transport.wake()

    def _crashed(self, error: BaseException) -> None:
        self._failure = error if isinstance(error, Exception) else ConnectionLost("sending failed")
        if self._transport is not None:
            self._transport.wake()

    # -- helpers ---------------------------------------------------------------------------------

    def _say_goodbye(self) -> None:
        ws, transport = self._socket, self._transport
        if ws is None or transport is None or not ws.connected:
            return
        # Only if no frame is on its way: a close frame in the middle of one is garbage.
        if ws.lock.acquire(blocking=False):
            try:
                frame = websocket.ABNF.create_frame(
                    struct.pack("!H", 1000), websocket.ABNF.OPCODE_CLOSE
                )
                transport.offer(frame.format())
            finally:
                ws.lock.release()

    def _address(self) -> tuple[Address, ssl.SSLContext | None]:
        try:
            host, port, _, secure = parse_url(self._url)
            proxy_host, proxy_port, login = get_proxy_info(host, secure)
        except (ValueError, websocket.WebSocketException):
            raise ConfigurationError("base_url: a ws:// or wss:// address is needed") from None
        proxy = (str(proxy_host), int(proxy_port or 80)) if proxy_host else None
        context = (self._context or default_context()) if secure else None
        return Address(host, port, secure, proxy, login), context

    def _refusal(self, error: websocket.WebSocketBadStatusException) -> ServiceError:
        status = int(error.status_code)
        request_id = _request_id(error.resp_headers)
        said = _read_body(error.resp_body)
        kind = AuthenticationError if status in (401, 403) else ServiceError
        return kind(
            self._scrub(said.title) or f"{without_query(self._url)} refused the connection",
            code=self._scrub(said.code),
            detail=self._scrub(said.detail),
            http_status=status,
            request_id=self._scrub(request_id),
            retryable=status in RETRYABLE_STATUS or status >= 500,
        )

    def _broken(self, error: Exception, deadline: Deadline) -> Exception:
        where = without_query(self._url)
        if self._cancelled:
            return SessionEnded("the session was closed while it connected")
        if deadline.expired or isinstance(error, websocket.WebSocketTimeoutException):
            return DeadlineExceeded(f"connecting to {where} took too long")
        answer = self._socket.handshake_response if self._socket is not None else None
        if answer is not None and 300 <= answer.status < 400:
            return ServiceError("the address redirects", http_status=int(answer.status))
        return ConnectionLost(f"{where} broke off the WebSocket handshake ({_name(error)})")

    def _lost(self, error: Exception) -> Exception:
        if self._cancelled:
            return SessionEnded("the session was closed")
        if isinstance(error, websocket.WebSocketConnectionClosedException):
            return self._failure or PeerClosed(1006)
        return self._failure or ConnectionLost(f"the connection broke ({_name(error)})")

    def _closed(self, data: bytes | str) -> Exception:
        if self._cancelled:
            return SessionEnded("the session was closed")
        raw = data.encode("latin-1") if isinstance(data, str) else bytes(data)
        if len(raw) < 2:
            return PeerClosed(1005)
        reason = raw[2:].decode("utf-8", "replace")
        return PeerClosed(struct.unpack("!H", raw[:2])[0], self._scrub(reason))

    def _scrub(self, text: str) -> str:
        return text.replace(self._key, "…")


def _request_id(headers: Mapping[str, object] | None) -> str:
    found = {str(name).lower(): str(value) for name, value in (headers or {}).items()}
    return next((found[name] for name in _REQUEST_ID_HEADERS if name in found), "")


def _read_body(body: bytes | str | None) -> ServerError:
    if not body:
        return ServerError()
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        return ServerError()
    if isinstance(value, dict):
        errors = value.get("errors") or value.get("error")
        if isinstance(errors, list) and errors:
            return read_error(errors[0])
        if errors:
            return read_error(errors)
    return ServerError()


def _name(error: Exception) -> str:
    # The class and the system's words; a library's own message may hold headers.
    text = error.strerror if isinstance(error, OSError) else None
    return text or type(error).__name__
