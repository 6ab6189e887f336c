"""How a leg's media stream is asked for.

The commands ``answer``, ``dial`` and ``streaming_start`` take the same parameters, but not all of
them, and their defaults are not what a bridge needs.

Pure.
"""

from __future__ import annotations

from typing import Literal

from bridge.settings import Settings

__all__ = ["stream_parameters", "streams_on_answer"]


def streams_on_answer(settings: Settings) -> bool:
    """Tell whether the media stream can be asked for with ``answer`` itself.

    That saves a round trip, but ``answer`` documents no sampling rate (Telnyx: answer-call
    reference), so a codec that needs another than the default 8000 Hz (L16, OPUS) gets its stream
    by ``streaming_start`` after ``call.answered``.
    """
    return settings.sample_rate == 8000


def stream_parameters(
    settings: Settings, stream_url: str, *, command: Literal["answer", "dial", "streaming_start"]
) -> dict[str, object]:
    """Make the stream parameters of a command; the only place where they are made.

    Both directions are asked for in the same codec, explicitly, since the defaults are MP3 chunks
    for the other leg (Telnyx: streaming-start reference).  The sampling rate goes only into the
    commands that document it.

    Args:
        settings: codec and rate.
        stream_url: ``wss://`` address with its token.
        command: which command they are for.

    Raises:
        ValueError: the codec cannot be asked for with ``answer``; see :func:`streams_on_answer`.
    """
    if command == "answer" and not streams_on_answer(settings):
        raise ValueError(f"{settings.codec} cannot be asked for with answer: it takes no rate")
    parameters: dict[str, object] = {
        "stream_url": stream_url,
        "stream_track": "inbound_track",
        "stream_codec": settings.codec,
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": settings.codec,
        "stream_bidirectional_target_legs": "self",
    }
    if command != "answer":
        parameters["stream_bidirectional_sampling_rate"] = settings.sample_rate
    return parameters
