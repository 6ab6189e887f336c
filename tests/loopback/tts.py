"""A scripted synthesis server, whose speech is numbered.

Each word is a square wave whose height is the number of its letters' sum, so that a test can read
back which words were spoken, in which order and how often, from raw audio; MP3 is checked by
comparison with decoding it at once.
"""

from __future__ import annotations

import array
import base64
import io
from collections.abc import Callable, Iterator
from fractions import Fraction

import av

from telnyx_media._audioop import audioop
from telnyx_media.pcm import wav_header
from tests.loopback.servers import Behaviour, Conversation, WebSocketPeer

RATE = 16000

WORD_SECONDS = 0.08
GAP_SECONDS = 0.02

_BASE, _STEP = 6000, 40


def spoken(text: str, rate: int = RATE) -> bytes:
    """Speak ``text``: one square wave for each word, which must be ``w<number>``."""
    out = bytearray()
    for name in text.split():
        number = int("".join(c for c in name if c.isdigit()) or 0)
        height = _BASE + _STEP * number
        half = array.array("h", [height] * 8 + [-height] * 8).tobytes()
        out += half * (int(rate * WORD_SECONDS) // 16)
        out += bytes(2 * int(rate * GAP_SECONDS))
    return bytes(out)


def words_in(pcm: bytes, rate: int = RATE) -> list[str]:
    """Read the words back from raw audio at the rate it was spoken at."""
    block = rate // 100 * 2
    words: list[str] = []
    run: list[int] = []
    for at in range(0, len(pcm), block):
        level = audioop.max(pcm[at : at + block], 2)
        if level >= _BASE - _STEP:
            run.append(round((level - _BASE) / _STEP))
            continue
        if len(run) >= 50 * WORD_SECONDS:
            words.append(f"w{max(set(run), key=run.count)}")
        run = []
    if len(run) >= 50 * WORD_SECONDS:
        words.append(f"w{max(set(run), key=run.count)}")
    return words


def mp3(pcm: bytes, rate: int = 24000, *, tag: bool = True) -> bytes:
    """Encode ``pcm`` as one MP3 file, with an ID3 tag at its head as Telnyx's have."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3", options={"id3v2_version": "4" if tag else "0"}) as out:
        stream = out.add_stream("libmp3lame", rate=rate)
        stream.bit_rate = 64000
        stream.codec_context.layout = "mono"
        stream.codec_context.format = "s16p"
        frame = av.AudioFrame(format="s16p", layout="mono", samples=len(pcm) // 2)
        frame.sample_rate = rate
        frame.time_base = Fraction(1, rate)
        frame.planes[0].update(pcm)
        for packet in stream.encode(frame):
            out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return file.getvalue()


Encode = Callable[[str], bytes]


def raw(text: str) -> bytes:
    """Encode as linear16 at :data:`RATE`."""
    return spoken(text)


def wav(text: str) -> bytes:
    """Encode as a WAV file."""
    pcm = spoken(text)
    return wav_header(RATE, data_bytes=len(pcm)) + pcm


def mulaw(text: str) -> bytes:
    """Encode as µ-law at 8 kHz."""
    return audioop.lin2ulaw(spoken(text, 8000), 2)


def mp3_file(text: str) -> bytes:
    """Encode as an MP3 file."""
    return mp3(spoken(text, 24000))


def _frames(text: str, style: str, encode: Encode, size: int) -> Iterator[dict[str, object]]:
    audio = encode(text)
    pieces = [audio[at : at + size] for at in range(0, len(audio), size)]
    coded = [base64.b64encode(piece).decode() for piece in pieces]
    if style == "bearing":
        whole = base64.b64encode(audio).decode()
        yield {"audio": whole, "text": text, "isFinal": False, "cached": False}
        return
    for number, piece in enumerate(coded):
        frame: dict[str, object] = {"audio": piece, "text": None, "isFinal": False}
        if number == 0:
            frame["timeToFirstAudioFrameMs"] = 300
        yield frame
    if style == "silent":
        return
    copy = base64.b64encode(audio).decode() if style == "twice" else None
    yield {"audio": copy, "text": text, "isFinal": False, "cached": False}


def synthesise(
    *,
    style: str = "streaming",
    final: str = "end",
    at_end: str = "close",
    encode: Encode = raw,
    size: int = 3200,
    frames: int | None = None,
    then: Callable[[Conversation], None] | None = None,
) -> Behaviour:
    """Make the behaviour of a voice.

    Args:
        style: ``"streaming"`` sends audio, then the text; ``"bearing"`` both in one frame;
            ``"twice"`` audio, then the text with a copy; ``"silent"`` never names a text.
        final: when ``isFinal`` comes: ``"end"``, after each text (``"each"``) or ``"never"``.
        at_end: after the end frame: ``"close"``, ``"stay"``, or ``"mute"`` which stays without an
            ``isFinal``.
        encode: makes the audio.
        size: of the pieces of audio, in bytes.
        frames: how many frames with audio are sent before ``then`` is done.
        then: done at ``frames``; the behaviour ends behind it.
    """

    def behave(conversation: Conversation) -> None:
        sent = 0
        first = True
        while True:
            conversation.receive()
            frame = conversation.texts[-1]
            text = str(frame.get("text", ""))
            if first:
                assert text == " ", "the first frame is a single space"
                first = False
                continue
            if text == "":
                break
            for reply in _frames(text, style, encode, size):
                if frames is not None and sent >= frames and reply["audio"]:
                    if then is not None:
                        then(conversation)
                    return None
                conversation.send(reply)
                sent += bool(reply["audio"])
            if final == "each":
                conversation.send({"audio": None, "text": "", "isFinal": True})
        if frames is not None and then is not None:
            return then(conversation)
        if at_end == "mute":
            return conversation.hang()
        if final == "end":
            conversation.send({"audio": None, "text": "", "isFinal": True})
        if at_end == "stay":
            return conversation.hang()
        return None

    return behave


class TtsPeer(WebSocketPeer):
    """The synthesis service on loopback."""

    path = "/v2/text-to-speech/speech"

    def __enter__(self) -> TtsPeer:
        super().__enter__()
        return self
