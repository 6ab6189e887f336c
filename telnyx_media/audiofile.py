"""Read the audio of any file: WAV, MP3, Ogg, FLAC, MP4, WebM, whatever FFmpeg's libraries know.

They come with PyAV; no ``ffmpeg`` command is needed.

Blocks while it reads; no thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

import av
import av.error

from telnyx_media.errors import ProtocolError


def read_audio(source: str | os.PathLike[str] | BinaryIO, sample_rate: int) -> Iterator[bytes]:
    """Decode the first audio track of ``source`` to 16-bit mono PCM, piece by piece.

    Args:
        source: a path, or a file open for reading bytes.
        sample_rate: of the PCM, in Hz.

    Raises:
        OSError: the file cannot be read.
        ProtocolError: there is no audio in it that can be decoded.
    """
    name = source if isinstance(source, (str, os.PathLike)) else "the input"
    problem = ""
    try:
        with av.open(
            os.fspath(source) if isinstance(source, (str, os.PathLike)) else source, "r"
        ) as container:
            if not container.streams.audio:
                raise ProtocolError(f"{name}: there is no audio in it")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=sample_rate)
            for frame in container.decode(audio=0):
                for piece in resampler.resample(frame):
                    yield bytes(piece.planes[0])[: piece.samples * 2]
            for piece in resampler.resample(None):
                yield bytes(piece.planes[0])[: piece.samples * 2]
    except OSError as error:
        if not isinstance(error, av.error.FFmpegError):
            raise
        # FFmpeg's own: some are OSErrors too, and a file that is not there should stay one.
        if isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError)):
            raise
        problem = error.strerror or type(error).__name__
    except av.error.FFmpegError as error:
        problem = error.strerror or type(error).__name__
    if problem:
        raise ProtocolError(f"{name}: cannot be decoded as audio ({problem})")
