"""Where the language model is, and the streams that come from there.

Any API in the shape of OpenAI's chat completions: Telnyx's, OpenAI's, a server on one's own
machine.  A stream is read on a thread of its own, because the one who speaks has to stop the moment
the caller breaks in, and a read that waits for a slow model cannot be stopped by closing it: its
socket is shut down.

Threads: ``llm-recv`` reads one answer; everything else is the agent's.

Rules of this module:

1. One client per call, one answer at a time: giving an answer up shuts all sockets of the client.
2. Nothing that was said is in an error or a log line; a server's message may quote the request.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import openai

from bridge.agents.llm.answerstream import AnswerStream, Failed, Part
from bridge.errors import AgentError
from bridge.settings import Settings
from telnyx_media.sync.threads import BoundedQueue, QueueClosed, ThreadGroup

__all__ = ["Answer", "ChatClient", "Endpoint"]

# Parts of an answer that may wait to be said; then the stream is read no further.
WAITING_PARTS = 256

# Seconds to connect.
CONNECT = 3.0
# Seconds for which a connection is kept for the caller's next turn.
KEEP = 60.0

# openai's HTTP library (httpx, or httpx2 from openai 3 on).  It writes a line for every request.
_http = importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])
logging.getLogger(_http.__name__).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Endpoint:
    """An API and what is asked of it.

    Attributes:
        url: the base address, ``/chat/completions`` comes behind it.
        api_key: sent as bearer token; ``""`` for a server that wants none.
        models: the model, then its fallbacks; empty for the only one that the API offers.
    """

    url: str
    api_key: str = field(default="", repr=False)
    models: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings) -> Endpoint:
        """Take the ``BRIDGE_LLM_`` settings; Telnyx's key is sent to Telnyx only."""
        ours = settings.llm_url is None
        key = settings.llm_api_key or (settings.telnyx_api_key if ours else None)
        return cls(
            # Telnyx: inference guide; the older base, /v2/ai, still works.
            url=settings.llm_url or f"{settings.telnyx_api_url}/ai/openai",
            api_key="" if key is None else key.get_secret_value(),
            models=settings.llm_models or (),
        )

    @property
    def is_telnyx(self) -> bool:
        """Whether this is Telnyx's API, which takes parameters of its own."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        return host.endswith(".telnyx.com") or parts.path.rstrip("/").endswith("/v2/ai/openai")


class Answer:
    """One answer of the model, as it comes."""

    def __init__(self, client: ChatClient, request: Mapping[str, Any], group: ThreadGroup) -> None:
        """Ask for it; made by :meth:`ChatClient.ask`, returns at once."""
        self._client = client
        self._request = request
        # Full: the reader waits, and the server with it.
        self._parts: BoundedQueue[Part] = BoundedQueue(WAITING_PARTS)
        # Guards the two flags: close() must not cut a connection that is the next answer's, and
        # must see one that is just being made.
        self._lock = threading.Lock()
        self._closed = False
        self._complete = False
        group.spawn("llm-recv", self._read)

    # -- the agent's thread -----------------------------------------------------------------------

    def next(self, timeout: float) -> Part | None:
        """Get the next part; ``None`` when there is none within ``timeout`` seconds."""
        try:
            return self._parts.take(timeout)
        except TimeoutError:
            return None
        except QueueClosed:
            return Failed("given up")

    def close(self) -> None:
        """Give it up: the connection is cut at once, whatever it waits for.  May be called twice.

        An answer that was read to its end leaves its connection for the next one.
        """
        self._parts.close(drop=True)
        with self._lock:
            cut = not (self._closed or self._complete)
            self._closed = True
        if cut:
            self._client.cut()

    # -- llm-recv ---------------------------------------------------------------------------------

    def _read(self) -> None:
        self._client.reading(self)
        try:
            with contextlib.suppress(QueueClosed):
                self._parts.put(self._receive())
        finally:
            self._client.reading(None)

    def _receive(self) -> Part:
        """Receive the answer, handing on its words; get its end."""
        try:
            with self._client.open(self._request) as response:
                collected = AnswerStream()
                for line in response.iter_lines():
                    text = collected.feed(line)
                    if text:
                        self._parts.put(text)
                    if collected.failed is not None:
                        return collected.failed
                # Read to its very end, so that the connection can be used again.
                with self._lock:
                    self._complete = True
                return collected.end()
        except openai.APIStatusError as error:
            return Failed(f"HTTP {error.status_code}", error.status_code, _retry_after(error))
        except (openai.APITimeoutError, _http.TimeoutException):
            return Failed("nothing came in time")
        except openai.OpenAIError as error:
            return Failed(f"the connection failed ({type(error).__name__})")
        except (_http.HTTPError, _http.StreamError) as error:
            return Failed(f"the stream broke off ({type(error).__name__})")

    @property
    def closed(self) -> bool:
        """Whether it was given up."""
        with self._lock:
            return self._closed


class ChatClient:
    """Asks the API on behalf of one call."""

    def __init__(self, endpoint: Endpoint, group: ThreadGroup, *, stall: float) -> None:
        """Prepare; nothing is connected.

        Args:
            endpoint: the API.
            group: the threads of the call.
            stall: seconds without a sign after which a stream is given up.
        """
        self.endpoint = endpoint
        self._group = group
        self._answers = threading.local()
        # Guards the sockets, which the reading thread adds and the agent's shuts down.
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        http = openai.DefaultHttpxClient(
            event_hooks={"request": [self._watch]},
            timeout=openai.Timeout(stall, connect=CONNECT),
            limits=_http.Limits(max_connections=4, keepalive_expiry=KEEP),
        )
        self._client = openai.OpenAI(
            # The library insists on a key; a server that wants none does not look.
            api_key=endpoint.api_key or "none",
            base_url=endpoint.url,
            max_retries=0,
            http_client=http,
        )

    # -- the agent's thread -----------------------------------------------------------------------

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Ask for an answer; returns at once."""
        return Answer(self, request, self._group)

    def only_model(self) -> str:
        """Get the name of the only model there is.

        Raises:
            AgentError: there are several, so one has to be chosen, or the list can't be had.
        """
        try:
            names = sorted(model.id for model in self._client.models.list().data)
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            status = getattr(error, "status_code", None)
            how = f"HTTP {status}" if status else type(error).__name__
            raise AgentError(
                f"BRIDGE_LLM_MODEL is not set, and {self.endpoint.url} did not list its models: "
                f"{how}"
            ) from None
        if len(names) != 1:
            some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            raise AgentError(f"BRIDGE_LLM_MODEL is not set; {self.endpoint.url} offers {some}")
        return names[0]

    def cut(self) -> None:
        """Shut down every connection, waking who reads from it."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for sock in sockets:
            _shut(sock)

    def close(self) -> None:
        """Give up what is open; may be called twice."""
        self.cut()
        self._client.close()

    # -- llm-recv ---------------------------------------------------------------------------------

    def reading(self, answer: Answer | None) -> None:
        """Note which answer the calling thread reads."""
        self._answers.current = answer

    def open(self, request: Mapping[str, Any]) -> Any:
        """Get a ``with`` block that sends a request; entering it blocks until the answer begins."""
        return self._client.chat.completions.with_streaming_response.create(**request, stream=True)

    def _watch(self, request: Any) -> None:
        request.extensions["trace"] = self._trace

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Keep the socket of every connection that is made (httpx: the "trace" extension)."""
        if not event.endswith(("connect_tcp.complete", "start_tls.complete")):
            return
        sock = info["return_value"].get_extra_info("socket")
        if sock is None:
            return
        answer = getattr(self._answers, "current", None)
        with self._lock:
            self._sockets.append(sock)
        if answer is not None and answer.closed:
            _shut(sock)


def _shut(sock: socket.socket) -> None:
    """Shut a socket down, encrypted or not, so that whoever reads from it wakes."""
    with contextlib.suppress(OSError):
        # Not the TLS socket's own method, which changes what another thread is using.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _retry_after(error: openai.APIStatusError) -> float | None:
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return None
