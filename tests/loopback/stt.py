"""A scripted transcription server, and a recording whose words are numbered.

A word is a square wave whose height is its number, so that a recogniser of a page can read every
word back, exactly, however the audio was cut; the pauses are silence, as on a line.
"""

from __future__ import annotations

import array
import time
from collections.abc import Callable

from telnyx_media._audioop import audioop
from tests.loopback.servers import Behaviour, Conversation, WebSocketPeer

RATE = 8000

WORD_SECONDS = 0.24
GAP_SECONDS = 0.06
PAUSE_SECONDS = 0.6

_BASE, _STEP = 8000, 16
_BLOCK = RATE // 100 * 2


def word(number: int) -> bytes:
    """Make one numbered word."""
    height = _BASE + _STEP * number
    half = array.array("h", [height] * 8 + [-height] * 8)
    return (half.tobytes() * (int(RATE * WORD_SECONDS) // 16)) + silence(GAP_SECONDS)


def silence(seconds: float) -> bytes:
    """Make silence at the recording's rate."""
    return bytes(2 * int(RATE * seconds))


def utterance(first: int, count: int) -> bytes:
    """Make ``count`` numbered words and the pause behind them."""
    return b"".join(word(first + i) for i in range(count)) + silence(PAUSE_SECONDS)


def recording(seconds: float, *, words: int = 5) -> tuple[bytes, list[str]]:
    """Make a recording of utterances; get it and its words."""
    audio = silence(0.3)
    number = 0
    while len(audio) < seconds * RATE * 2:
        count = 2 + (number * 7) % words
        audio += utterance(number, count)
        number += count
    return audio + silence(0.5), [f"w{i}" for i in range(number)]


class NumberRecogniser:
    """Read numbered words back from linear16 audio that arrives in pieces."""

    def __init__(
        self, *, endpoint: float = 0.3, latency: float = 0.0, interims: bool = True
    ) -> None:
        """Begin with nothing heard.

        Args:
            endpoint: seconds of silence that end an utterance.
            latency: seconds of audio that come before the final does.
            interims: whether each word is reported at once.
        """
        self._needed = int((endpoint + latency) * 100)
        self._interims = interims
        self._rest = b""
        self._quiet = 0
        self._blocks: list[int] = []
        self._words: list[str] = []

    def feed(self, audio: bytes) -> list[dict[str, object]]:
        """Hear some audio; get the messages it leads to."""
        messages: list[dict[str, object]] = []
        data = self._rest + audio
        edge = len(data) - len(data) % _BLOCK
        self._rest = data[edge:]
        for at in range(0, edge, _BLOCK):
            level = audioop.max(data[at : at + _BLOCK], 2)
            if level >= _BASE - _STEP:
                self._quiet = 0
                self._blocks.append(round((level - _BASE) / _STEP))
                continue
            self._quiet += 1
            if self._end_word() and self._interims:
                text = " ".join(self._words)
                messages.append({"transcript": text, "is_final": False, "confidence": 0.0})
            if self._quiet >= self._needed and self._words:
                messages.append(self.flush())
        return messages

    def flush(self) -> dict[str, object]:
        """Give the final of what was heard so far."""
        self._end_word()
        text = " ".join(self._words)
        self._words = []
        return {"transcript": text, "is_final": True, "speech_final": True, "confidence": 0.9}

    def _end_word(self) -> bool:
        # Half a word is not understood.
        understood = len(self._blocks) >= 50 * WORD_SECONDS
        if understood:
            self._words.append(f"w{max(set(self._blocks), key=self._blocks.count)}")
        self._blocks = []
        return understood


def recognise(
    *,
    at_end: str = "close",
    latency: float = 0.0,
    until: float | None = None,
    then: Callable[[Conversation], None] | None = None,
    interims: bool = True,
) -> Behaviour:
    """Make the behaviour of an engine.

    Args:
        at_end: after ``CloseStream``: ``"close"`` gives the final and closes, ``"stay"`` gives it
            and stays open, ``"mute"`` gives nothing.
        latency: of finals, in seconds of audio.
        until: seconds of audio of this connection after which ``then`` is done.
        then: done at ``until``, after which the behaviour ends.
        interims: whether each word is reported at once.
    """

    def behave(conversation: Conversation) -> None:
        engine = NumberRecogniser(latency=latency, interims=interims)
        while True:
            message = conversation.receive()
            if isinstance(message, bytes):
                for reply in engine.feed(message):
                    conversation.send(reply)
                if until is not None and len(conversation.audio) >= until * RATE * 2:
                    if then is not None:
                        then(conversation)
                    return None
                continue
            kind = conversation.texts[-1].get("type")
            if kind == "Finalize":
                conversation.send(engine.flush())
            elif kind == "CloseStream":
                if at_end == "mute":
                    return conversation.hang()
                conversation.send(engine.flush())
                if at_end == "stay":
                    return conversation.hang()
                return None

    return behave


class SttPeer(WebSocketPeer):
    """The transcription service on loopback."""

    path = "/v2/speech-to-text/transcription"

    def __enter__(self) -> SttPeer:
        super().__enter__()
        return self


def paced(audio: bytes, *, speed: float, send: Callable[[bytes], None]) -> None:
    """Send ``audio`` in 20 ms packets, ``speed`` times as fast as it was spoken."""
    step = RATE // 50 * 2
    began = time.monotonic()
    for number, at in enumerate(range(0, len(audio), step)):
        due = began + number * 0.02 / speed
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        send(audio[at : at + step])
