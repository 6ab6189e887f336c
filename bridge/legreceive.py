"""What comes over the media sockets of a leg.

Threads: ``leg-recv``, the web server's, which reads one socket.
"""

from __future__ import annotations

import dataclasses
import threading
import time

from bridge.arrivals import pressed_at
from bridge.failures import where
from bridge.legparts import LegParts
from bridge.stream import INTERNAL_ERROR, NORMAL, MediaStream, StreamSocket
from telnyx_media.errors import TelnyxMediaError
from telnyx_media.frames import Media, Start

__all__ = ["Receiving"]

# Seconds that Telnyx has to come back by itself to a socket that was lost; then a new stream is
# asked for.  Its Call Control pages do not say whether it does; the caller hears silence meanwhile.
RECONNECT_WAIT = 1.0


class Receiving(LegParts):
    """Takes in streams: their start, the caller's audio and keys, and their end."""

    def serve(self, socket: StreamSocket) -> bool:
        """Read a media socket of this leg on the calling thread until it is closed.

        Returns:
            Whether it was lost: closed without ``stop`` while the leg lives.
        """
        thread = threading.current_thread()
        name, thread.name = thread.name, f"leg-recv/{self.info.tag}"[:15]
        stream = MediaStream(socket, self, self.log)
        with self._life:
            if self._ending:
                socket.close(NORMAL)
            self._streams.open.add(stream)
        try:
            closed = stream.read()
            self.log.debug("media socket closed: %s", closed)
        except Exception as error:  # noqa: BLE001 - the top of the request's thread, as it were
            self.log.error("reading the media stream failed: %s", where(error))
            socket.close(INTERNAL_ERROR)
        finally:
            thread.name = name
            lost = self._stream_closed(stream)
        return lost

    def _stream_closed(self, stream: MediaStream) -> bool:
        self.conversation.disconnect(stream.socket, stream.clock.ended)
        if stream.current:
            self._hearing.flush()
        with self._life:
            now = time.monotonic()
            current = self._streams.close(stream, now)
            untold = self._keys.stream_lost(time.time()) if current else []
            lost = not stream.stopped and not self._ending
            if current and lost and not self._passing_on:
                self._streams.expect(now + min(RECONNECT_WAIT, self._settings.grace_seconds))
            self._life.notify_all()
        for digit in untold:
            self._hear_key(digit)
        if current and lost:
            self.log.warning("media socket lost; waiting for it to come back")
        return lost

    def stream_started(self, stream: MediaStream, start: Start) -> bool:
        """Take up a stream that names this leg; it supersedes an older one."""
        if start.call_control_id != self.info.call_control_id:
            self.log.warning("refused a media stream: its start frame names another leg")
            return False
        try:
            self._hearing.start(start.media_format)
        except TelnyxMediaError as error:
            self.log.error("refused a media stream: %s", error)
            self.end("codec")
            return False
        with self._life:
            if self._ending:
                return False
            before = self._streams.start(stream, time.monotonic())
            begin, self._talking = not self._talking, True
        self.conversation.connect(stream.socket)
        if before is not None:
            before.socket.close(NORMAL, "superseded")
        media_format = start.media_format
        self._report.stream_started(
            dataclasses.replace(
                self.info, codec=media_format.encoding, sample_rate=media_format.sample_rate
            )
        )
        if begin:
            self._group.spawn("agent", self._run_agent.run)
        return True

    def stream_media(self, media: Media) -> None:
        """Take in the caller's audio."""
        self._hearing.packet(media)

    def stream_mark(self, name: str) -> None:
        """Take note of a mark that came back."""
        self.conversation.mark_returned(name)

    def stream_digit(self, digit: str, occurred_at: str) -> None:
        """Take in a key that the caller pressed."""
        at = pressed_at(occurred_at, time.time())
        with self._life:
            news = self._keys.by_stream(digit, at)
        if news:
            self._hear_key(digit)

    def stream_stopped(self, stream: MediaStream) -> None:
        """Telnyx ended the stream: the caller has hung up, as the webhook will say too."""
        # Unless it goes on in another process, or with somebody else.
        if not self._handing_over and not self._passing_on:
            self.end("caller")

    def _hear_key(self, digit: str) -> None:
        known = self.conversation.hear_digit(digit)
        with self._life:
            if not known:
                self._keys.hide_last()
            heard = self._keys.heard
        self._report.pressed(heard)
