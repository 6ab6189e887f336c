"""Speech without a network: what real people say is understood, and what is spoken is speech."""

from __future__ import annotations

import math
import os
import random
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.simulator.listeners import Listening, OfflineListener
from bridge.simulator.offline import packages
from bridge.simulator.offline.accuracy import total, word_errors
from bridge.simulator.offline.recognition import Recognizer
from bridge.simulator.offline.voices import CALLER_VOICES, CallerVoice, Speech, Synthesizer
from telnyx_media.codecs import make_codec
from telnyx_media.pcm import Resampler, rms
from telnyx_media.sync.threads import ThreadGroup
from tests.loopback import wait_until
from tests.loopback.voices import TRANSCRIPTS, recording

SENTENCE = "I would like to book a table for four on Friday."


def through_telephone(speech: Speech) -> bytes:
    """Bring speech to what G.711 makes of it: 8 kHz PCM."""
    resampler = Resampler(speech.sample_rate, 8000)
    codec = make_codec("PCMU")
    return codec.decode(codec.encode(resampler.feed(speech.pcm) + resampler.flush()))


def listen(pcm: bytes) -> str:
    """Hear 8 kHz PCM in packets, as a call brings it, and get the finals."""
    listener = OfflineListener(Listening(8000, interims=False, endpoint=0.1))
    said = [s for at in range(0, len(pcm), 320) for s in listener.feed(pcm[at : at + 320])]
    said += listener.finalize()
    return " ".join(s.text for s in said if s.text)


@pytest.mark.slow
def test_real_people_on_the_telephone_are_understood() -> None:
    """Six recordings through G.711, cut by voice activity: fewer than one word in ten is wrong."""
    errors = {name: word_errors(said, listen(recording(name, after=1.0)))
              for name, said in TRANSCRIPTS.items()}  # fmt: skip

    assert total(errors.values()).rate < 0.1, errors


def sounds(seconds: float, *hertz: float, level: float = 8000.0) -> bytes:
    """Make steady tones on top of each other at 8 kHz."""
    steps = [2 * math.pi * h / 8000 for h in hertz]
    count = round(8000 * seconds)
    samples = (
        round(level / len(hertz) * sum(math.sin(i * s) for s in steps)) for i in range(count)
    )
    return struct.pack(f"<{count}h", *samples)


def silence() -> bytes:
    """A line that carries nothing."""
    return bytes(16000 * 4)


def noise() -> bytes:
    """Loud hiss."""
    source = random.Random(1)
    return struct.pack("<32000h", *(round(source.gauss(0, 2500)) for _ in range(32000)))


def tones() -> bytes:
    """A ringback tone, and keys."""
    ringback = sounds(2.0, 440, 480) + bytes(16000)
    keys = b"".join(
        sounds(0.1, low, high) + bytes(1600) for low in (697, 941) for high in (1209, 1477)
    )
    return ringback + keys + bytes(16000)


def music() -> bytes:
    """Chords, as on hold."""
    chords = [(262, 330, 392), (294, 370, 440), (349, 440, 523), (392, 494, 587)]
    return b"".join(sounds(0.5, *chord) for chord in chords * 2) + bytes(16000)


@pytest.mark.parametrize("make", [silence, noise, tones, music])
def test_what_is_no_speech_has_no_words(make: Callable[[], bytes]) -> None:
    """The recogniser would invent words here; it is not asked."""
    assert listen(make()) == ""


def test_a_recogniser_serves_several_threads() -> None:
    """Sessions share one model and get what they would get alone."""
    speech = Synthesizer().speak(SENTENCE)
    resampler = Resampler(speech.sample_rate, 16000)
    pcm = resampler.feed(speech.pcm) + resampler.flush()
    texts: list[str] = []

    with ThreadGroup("test", timeout=30.0) as group:
        for _ in range(3):
            group.spawn("hear", lambda: texts.append(Recognizer().transcribe(pcm)))
        wait_until(lambda: len(texts) == 3 or group.error, "three transcripts")

    assert len(set(texts)) == 1
    assert word_errors(SENTENCE, texts[0]).rate == 0.0


def test_nothing_is_recognised_in_nothing() -> None:
    """A clip shorter than a sound has no words, and no confidence in them."""
    result = Recognizer().recognise(bytes(100))

    assert (result.text, result.confidence) == ("", 0.0)


@pytest.mark.parametrize("voice", ["agent", *CALLER_VOICES])
def test_every_voice_is_understood_on_the_telephone(voice: str) -> None:
    """What a voice says is recognised again, with at most one word wrong."""
    if voice == "agent":
        speech = Synthesizer().speak(SENTENCE)
    else:
        with CallerVoice(voice) as caller:
            speech = caller.speak(SENTENCE)

    assert 2.0 < speech.seconds < 6.0
    assert rms(speech.pcm) > 500
    heard = listen(bytes(8000) + through_telephone(speech) + bytes(16000))
    assert word_errors(SENTENCE, heard).errors <= 1, heard


def test_sentences_come_one_by_one_and_always_the_same() -> None:
    """The first sentence is there before the second is computed; a repetition is identical."""
    synthesizer = Synthesizer()

    pieces = list(synthesizer.stream("Good evening. How many people?"))
    assert len(pieces) == 2
    assert pieces == list(synthesizer.stream("Good evening. How many people?"))
    assert list(synthesizer.stream(" ")) == []


def test_speech_does_not_begin_or_end_in_long_silence() -> None:
    """An agent that waits a third of a second before each sentence would sound absent."""
    speech = Synthesizer().speak("Yes.")

    tenth = 2 * speech.sample_rate // 10
    assert rms(speech.pcm[:tenth]) > 100
    assert rms(speech.pcm[-3 * tenth :]) > 100


def test_a_faster_voice_needs_less_time() -> None:
    """Speed is obeyed."""
    synthesizer = Synthesizer()

    assert (
        synthesizer.speak(SENTENCE, speed=1.5).seconds < 0.8 * synthesizer.speak(SENTENCE).seconds
    )


def test_the_callers_process_is_kept_and_then_ended() -> None:
    """One process serves every sentence and is gone when the voice is closed."""
    with CallerVoice() as caller:
        caller.speak("One.")
        pid = caller.pid
        assert pid is not None
        caller.speak("Two.")
        assert pid == caller.pid
        assert caller.speak(" ").pcm == b""

    assert caller.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    caller.close()


def test_a_process_that_died_is_replaced() -> None:
    """The next sentence starts a new one."""
    with CallerVoice() as caller:
        first = caller.speak("One.")
        assert caller.pid is not None
        os.kill(caller.pid, signal.SIGKILL)
        assert caller._child is not None
        caller._child.wait()

        assert first == caller.speak("One.")


def test_an_unknown_voice_is_named_with_those_there_are() -> None:
    """A typing mistake is told at once."""
    with pytest.raises(ValueError, match="no caller voice 'bariton': there are en-US"):
        CallerVoice("bariton")


@pytest.mark.parametrize("module", ["hibari", "moonshine_voice", "py_nanotts"])
def test_a_missing_package_says_what_to_install(
    module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line, with the command, wherever the package is first needed."""
    monkeypatch.setattr(Synthesizer, "_engine", None)
    monkeypatch.setattr(Recognizer, "_model", None)
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    actions: dict[str, Callable[[], object]] = {
        "hibari": lambda: Synthesizer().speak("Hello."),
        "moonshine_voice": lambda: Recognizer().transcribe(bytes(32000)),
        "py_nanotts": lambda: CallerVoice().speak("Hello."),
    }

    with pytest.raises(packages.OfflineSpeechMissing) as caught:
        actions[module]()

    assert "run `pip install telnyx-bridge[offline]`" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wheel_without_its_model_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Later versions of the recogniser's package carry no model; the pinned one does."""
    (tmp_path / "__init__.py").touch()
    monkeypatch.setattr(Recognizer, "_model", None)
    monkeypatch.setattr(packages, "locate", lambda *_: tmp_path)

    with pytest.raises(packages.OfflineSpeechMissing, match=r"carries no model.*0\.1\.0 does"):
        Recognizer().warm_up()
