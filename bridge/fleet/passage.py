"""Hand an accepted connection to another process of this machine.

Several processes listen on one port, and a call's media socket is accepted by whichever the system
picks, mostly not by the one whose agent holds the call.  On one machine the connection itself can
go to that process (a Unix socket carries open files), so the agent does not notice.  Between
machines there is no such way, and the leg goes to the socket instead.

Linux only: the names live in its abstract namespace, so that a process that is killed leaves no
file behind.  Elsewhere every hand-over is declined.

Threads: ``passage``, one per process, takes connections in; each gets a thread of its own.

Rules of this module:

1. Only processes of the same user are listened to.
2. A connection is served by one process: who has given it away serves it again only when the other
   one has died over it.  A process that takes too long to answer loses the connection for both.
3. Who gave it away holds a dead one in its place, so that its web server may shut down and close
   what it likes.
"""

from __future__ import annotations

import array
import contextlib
import json
import logging
import os
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any

from bridge.failures import where
from telnyx_media.sync.threads import ThreadGroup

__all__ = ["HANDED", "Passage", "Serve", "pass_on"]

logger = logging.getLogger(__name__)

# Seconds that the other process may take to accept a connection, and to say that it has it.
PATIENCE = 0.5
TAKING = 5.0

# Bytes of a request's headers; web servers allow as much at most.
REQUEST_LIMIT = 64 * 1024

_TAKEN = b"\x01"

# What a token begins with that is a listener's, in front of the leg: no stream token
# has such a sign.
HANDED = "ear/"

# Under which names web servers hand out a request's socket.
_SOCKETS = ("gunicorn.socket", "werkzeug.socket")

Serve = Callable[[str, Mapping[str, Any]], object]


def _address(process: str) -> str:
    return f"\0bridge/{process}"


class Passage:
    """Where other processes of this machine hand in connections; the owner calls :meth:`close`."""

    def __init__(self, process: str, serve: Serve) -> None:
        """Prepare; nothing is opened.

        Args:
            process: our name in the fleet.
            serve: called with a stream token and a request's environment, on a thread of its own;
                returns when the connection is done with.
        """
        self._process = process
        self._serve = serve
        self._group = ThreadGroup("bridge")
        self._listener: socket.socket | None = None

    def open(self) -> None:
        """Begin to take connections; nothing happens where that cannot be done."""
        if self._listener is not None or self._group.stopping.is_set() or sys.platform != "linux":
            return
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            listener.bind(_address(self._process))
            listener.listen(64)
        except OSError as error:
            listener.close()
            logger.warning("processes cannot hand connections over: %s", error.strerror)
            return
        self._listener = listener
        self._group.spawn("passage", self._run, listener)

    def shut(self) -> None:
        """Take no more connections; those that came in go on. May be called twice."""
        listener, self._listener = self._listener, None
        self._group.stop()
        if listener is not None:
            # Wakes the thread; closing alone does not.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no more, and wait for the connections that came in; may be called twice."""
        self.shut()
        self._group.join()

    def _run(self, listener: socket.socket) -> None:
        with listener:
            while not self._group.stopping.is_set():
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    self._take(peer)

    def _take(self, peer: socket.socket) -> None:
        """Take one connection in, and have it served."""
        try:
            peer.settimeout(PATIENCE)
            if _user_of(peer) != os.getuid():
                logger.warning("refused a connection that another user handed in")
                return
            text, files, _, _ = socket.recv_fds(peer, REQUEST_LIMIT, 1)
            if len(files) != 1:
                return
            sock = socket.socket(fileno=files[0])
            try:
                request = json.loads(text)
                token = str(request.pop("token"))
                # First the answer: if nobody waits for it any more, the connection is given up.
                peer.send(_TAKEN)
                self._group.spawn("media", self._serve_one, token, request, sock)
            except (OSError, ValueError, KeyError, RuntimeError):
                sock.close()
                raise
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            logger.warning("could not take a connection in: %s", type(error).__name__)

    def _serve_one(self, token: str, request: dict[str, Any], sock: socket.socket) -> None:
        with sock:
            try:
                self._serve(token, {**request, "gunicorn.socket": sock})
            except Exception as error:  # noqa: BLE001 - the top of the request's thread
                logger.error("serving a connection failed: %s", where(error))


def pass_on(process: str, token: str, environ: Mapping[str, Any]) -> bool:
    """Hand a request's connection to another process of this machine; whether it has it now.

    Args:
        process: whom.
        token: the stream token of the request.
        environ: the request; its socket is found in it.
    """
    key = next((k for k in _SOCKETS if isinstance(environ.get(k), socket.socket)), None)
    if key is None or sys.platform != "linux" or type(environ[key]) is not socket.socket:
        return False
    sock: socket.socket = environ[key]
    kept = ("REQUEST_METHOD", "SERVER_PROTOCOL")
    request = {k: v for k, v in environ.items() if k in kept or k.startswith("HTTP_")}
    message = json.dumps({**request, "token": token}).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        try:
            peer.settimeout(PATIENCE)
            peer.connect(_address(process))
            socket.send_fds(peer, [message], [sock.fileno()])
        except OSError:
            return False
        peer.settimeout(TAKING)
        try:
            taken = peer.recv(1) == _TAKEN
        except TimeoutError:
            # It may take it yet: nobody else must.
            taken = True
        except OSError:
            taken = False
    if taken:
        _replace(sock)
    return taken


def _replace(sock: socket.socket) -> None:
    """Put a dead connection in the place of one that is another process's now."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        os.dup2(ours.fileno(), sock.fileno(), inheritable=False)


def _user_of(peer: socket.socket) -> int:
    """Get the user who runs the process at the other end."""
    size = struct.calcsize("3i")
    found = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return int(array.array("i", found)[1])
