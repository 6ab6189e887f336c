"""``telnyx-media``: transcribe a file, speak a text.

Exit status: 0 done, 1 it failed, 2 wrong usage.  An error is one line on standard error; what was
asked for goes to standard output, progress to standard error and only to a terminal.
"""

from __future__ import annotations

import array
import errno
import io
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar

import click

from telnyx_media.audiofile import read_audio
from telnyx_media.errors import TelnyxMediaError
from telnyx_media.pcm import wav_header, write_wav
from telnyx_media.rest import API_URL, DEFAULT_MODEL, FileTranscript, SpeechRest
from telnyx_media.sentences import speakable
from telnyx_media.sync.stt import SpeechToText
from telnyx_media.sync.tts import TextToSpeech
from telnyx_media.synthesis import DEFAULT_VOICE, SPEECH_URL
from telnyx_media.transcripts import TRANSCRIPTION_URL, Transcript

# What speech services hear at.
RATE = 16000

# A long file is sent in parts of about so many seconds, each cut at a pause.
PART_SECONDS = 300

# Where a pause is looked for, in seconds before the end of a part, and how finely.
SEARCH_SECONDS = 15
BLOCK_SECONDS = 0.1

# Endings of files that what the service sends would not be: it sends MP3.
OTHER_ENDINGS = (".aac", ".aif", ".aiff", ".au", ".flac", ".m4a", ".mp4", ".oga", ".ogg", ".opus",
                 ".webm", ".wma")  # fmt: skip

# How much faster than it was spoken a file is streamed; engines are built for live speech.
STREAM_SPEED = 4.0

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="telnyx-bridge", prog_name="telnyx-media")
def cli() -> None:
    """Transcribe and speak with Telnyx."""


def _service_options(command: Command) -> Command:
    command = click.option(
        "--url",
        help="Address of the service; by default of TELNYX_API_URL, TELNYX_STT_URL (with --stream) "
        "or TELNYX_TTS_URL (for a WAV file).",
    )(command)
    return click.option(
        "--api-key", envvar="TELNYX_API_KEY", help="Of Telnyx; TELNYX_API_KEY by default."
    )(command)


def _address(url: str | None, variable: str, default: str) -> str:
    """Get where a service is: as the command line, the environment, or Telnyx says."""
    return url or os.environ.get(variable) or default


@cli.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--stream", is_flag=True, help="Over a WebSocket, as on a call.")
@click.option("--engine", default="Deepgram", show_default=True, help="With --stream.")
@click.option("--model", help=f"Of the engine; {DEFAULT_MODEL} without --stream.")
@click.option("--language", help="Of the speaker, such as en-US.")
@click.option("--times", is_flag=True, help="Write when each stretch was said.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, one object per stretch.")
@_service_options
def transcribe(
    file: str,
    stream: bool,
    engine: str,
    model: str | None,
    language: str | None,
    times: bool,
    as_json: bool,
    api_key: str | None,
    url: str | None,
) -> None:
    """Transcribe FILE, of any audio format, or "-" for standard input."""
    source: str | BinaryIO = io.BytesIO(sys.stdin.buffer.read()) if file == "-" else file
    pcm = b"".join(read_audio(source, RATE))
    if stream:
        stt = SpeechToText(
            engine=engine,
            model=model,
            language=language or "en-US",
            api_key=api_key,
            base_url=_address(url, "TELNYX_STT_URL", TRANSCRIPTION_URL),
            interim_results=False,
        )
        found = _stream(stt, pcm)
    else:
        rest = SpeechRest(api_key=api_key, base_url=_address(url, "TELNYX_API_URL", API_URL))
        found = _upload(rest, pcm, model or DEFAULT_MODEL, language, times or as_json)
    for text, start, end in found:
        if as_json:
            click.echo(json.dumps({"text": text, "start": round(start, 2), "end": round(end, 2)}))
        elif times:
            click.echo(f"{_clock(start)} {_clock(end)}  {text}")
        else:
            click.echo(text)


@cli.command()
@click.argument("text")
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, allow_dash=True),
    help="WAV, or the service's own MP3 for any other ending; - for standard output (WAV).",
)  # fmt: skip
@click.option("--voice", default=DEFAULT_VOICE, show_default=True)
@click.option("--language", help="For voices that speak several.")
@click.option("--rate", default=24000, show_default=True, help="Of a WAV file, in Hz.")
@_service_options
def speak(
    text: str,
    output: str,
    voice: str,
    language: str | None,
    rate: int,
    api_key: str | None,
    url: str | None,
) -> None:
    """Speak TEXT into a file; "-" reads the text from standard input."""
    if text == "-":
        text = sys.stdin.read()
    # Before anything is synthesised, which costs money.
    if not speakable(text):
        raise click.UsageError("there is nothing to speak in TEXT")
    if output != "-":
        _check_output(output)
    if output != "-" and not output.lower().endswith(".wav"):
        address = _address(url, "TELNYX_API_URL", API_URL)
        with SpeechRest(api_key=api_key, base_url=address) as rest:
            audio = b"".join(_counted(rest.speak(text, voice=voice, language=language)))
        with open(output, "wb") as file:
            file.write(audio)
        return
    address = _address(url, "TELNYX_TTS_URL", SPEECH_URL)
    tts = TextToSpeech(voice=voice, language=language, api_key=api_key, base_url=address)
    pcm = b"".join(_counted(tts.speak(text, sample_rate=rate)))
    if output == "-":
        sys.stdout.buffer.write(wav_header(rate, data_bytes=len(pcm)) + pcm)
    else:
        write_wav(output, pcm, rate)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    # What goes wrong is told once, below.
    logging.getLogger("telnyx_media").addHandler(logging.NullHandler())
    try:
        cli.main(args=arguments, prog_name="telnyx-media", standalone_mode=False)
        status = 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        status = 2
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "telnyx-media"
        _complain(f"{' '.join(error.format_message().split())} (see {where} --help)")
        status = 2
    except click.ClickException as error:
        _complain(error.format_message())
        status = 1
    except (click.Abort, KeyboardInterrupt):
        # click has ended the line with the ^C in it.
        _complain("stopped")
        status = 130
    except (TelnyxMediaError, OSError) as error:
        _complain(_one_line(error))
        status = 1
    sys.exit(status)


# -- helpers --------------------------------------------------------------------------------------


def _check_output(path: str) -> None:
    ending = os.path.splitext(path)[1].lower()
    if ending in OTHER_ENDINGS:
        raise click.BadParameter(
            f"{path}: WAV and MP3 files are written, no {ending}", param_hint="'-o' / '--output'"
        )
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


Stretch = tuple[str, float, float]


def _stream(stt: SpeechToText, pcm: bytes) -> Iterator[Stretch]:
    finals: list[Transcript] = []

    def take(transcript: Transcript) -> None:
        if transcript.is_final and transcript.text:
            finals.append(transcript)

    pause = threading.Event()
    step = RATE // 10 * 2
    with stt.open(sample_rate=RATE, on_transcript=take) as session:
        for at in _progress(range(0, len(pcm), step), "Transcribing"):
            session.send(pcm[at : at + step])
            pause.wait(0.1 / STREAM_SPEED)
            while finals:
                yield _stretch(finals.pop(0))
        session.finish(30.0)
        for transcript in finals:
            yield _stretch(transcript)


def _stretch(transcript: Transcript) -> Stretch:
    return transcript.text, transcript.start, transcript.end


def _upload(
    rest: SpeechRest, pcm: bytes, model: str, language: str | None, times: bool
) -> Iterator[Stretch]:
    with rest:
        for start, part in _progress(list(parts(pcm)), "Transcribing"):
            wav = wav_header(RATE, data_bytes=len(part)) + part
            found = rest.transcribe(wav, model=model, language=language, segments=times)
            yield from _stretches(found, start, len(part) / (2 * RATE))


def _stretches(found: FileTranscript, start: float, length: float) -> Iterator[Stretch]:
    if found.segments:
        for segment in found.segments:
            yield segment.text.strip(), start + segment.start, start + segment.end
    elif found.text.strip():
        yield found.text.strip(), start, start + length


def parts(pcm: bytes) -> Iterator[tuple[float, bytes]]:
    """Cut audio into parts of about five minutes, at the quietest place near each end.

    Yields:
        Where the part begins in seconds, and its PCM.
    """
    most, at = PART_SECONDS * RATE * 2, 0
    while len(pcm) - at > most:
        block = int(BLOCK_SECONDS * RATE) * 2
        first = at + most - SEARCH_SECONDS * RATE * 2
        edges = range(first, at + most - block + 1, block)
        quietest = min(edges, key=lambda edge: _loudness(pcm[edge : edge + block]))
        end = quietest + block // 4 * 2
        yield at / (2 * RATE), pcm[at:end]
        at = end
    if len(pcm) > at:
        yield at / (2 * RATE), pcm[at:]


def _loudness(pcm: bytes) -> int:
    samples = array.array("h", pcm)
    return sum(abs(sample) for sample in samples)


Item = TypeVar("Item")


def _progress(items: Any, label: str) -> Iterator[Any]:
    # Nothing but errors goes to standard error unless somebody is looking.
    if not sys.stderr.isatty() or len(items) < 2:
        yield from items
        return
    with click.progressbar(items, label=label, file=sys.stderr) as bar:
        yield from bar


def _counted(pieces: Iterator[bytes]) -> Iterator[bytes]:
    count = 0
    seen = sys.stderr.isatty()
    for piece in pieces:
        count += len(piece)
        if seen:
            click.echo(f"\r{count // 1000} kB", nl=False, err=True)
        yield piece
    if seen:
        click.echo("", err=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{seconds % 60:05.2f}"


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _complain(text: str) -> None:
    click.echo(f"telnyx-media: {text}", err=True)


if __name__ == "__main__":
    main()
