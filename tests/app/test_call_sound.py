"""Sound: files, music to wait by, a room around the voice, and what is recorded of it."""

from __future__ import annotations

import time
import warnings
import wave
from pathlib import Path

import pytest
from flask import Flask, Response

from bridge import sounds
from bridge.call import Call
from bridge.errors import AudioUnreadable, BridgeError, CallEnded
from bridge.simulator import SimulatedCall
from examples import ambience, hold, languages, play, record
from telnyx_media._audioop import audioop
from telnyx_media.pcm import level, silence, write_wav
from tests.app.phone import Phone, phone_line
from tests.loopback import PATIENCE
from tests.loopback.web import serving


def heard_level(call: SimulatedCall, start: float, end: float) -> float:
    """Get the loudness at the caller's ear between two times of the call."""
    heard = call.heard
    return level(heard[round(start * 8000) * 2 : round(end * 8000) * 2])


def test_a_file_is_played_in_full() -> None:
    """The example plays a file through the media stream; it is no remark of anybody."""
    with phone_line(play.answer) as phone:
        call = phone.call()
        call.wait(8 * PATIENCE)
        said = [reply.text for reply, _ in phone.seen.replies]
        assert phone.seen.summary().replies == 1
    assert said == ["Welcome to Corner Pizza."]
    assert sum(length for _, length in call.media) > 5
    assert level(call.heard) > -40


@pytest.mark.parametrize("codec", ["PCMA", "G722", "OPUS", "L16"])
def test_sound_and_background_are_in_the_codec_of_the_leg(codec: str) -> None:
    """Every codec can be played in, and mixed."""

    def agent(call: Call) -> None:
        call.background("room", volume=0.5)
        call.play("music", interruptible=False, loop=False, volume=0.5)

    sounds.load("music", 8000)
    with phone_line(agent, BRIDGE_CODEC=codec) as phone:
        call = phone.call(codec=codec)
        call.wait_for(lambda c: level(c.heard) > -45 and len(c.media) > 20, 4 * PATIENCE)
        call.hang_up()
        phone.seen.summary()
        assert phone.seen.errors == []


def test_a_caller_who_talks_ends_an_endless_sound() -> None:
    """A loop goes on until somebody breaks in, and that is a turn."""
    turns: list[str] = []
    interrupted: list[bool] = []

    def agent(call: Call) -> None:
        interrupted.append(call.play("music", loop=True).interrupted)
        turn = call.listen()
        turns.append("" if turn is None else turn.text)

    with phone_line(agent, texts=["stop the music"]) as phone:
        call = phone.call({"play": phone.speech, "when": {"agent_speaking": 1.0}})
        call.wait(6 * PATIENCE)
    assert interrupted == [True]
    assert turns == ["stop the music"]


def test_a_hang_up_ends_a_sound() -> None:
    """The agent is unwound while something plays."""
    unwound: list[bool] = []

    def agent(call: Call) -> None:
        try:
            call.play("music", loop=True)
        except CallEnded:
            unwound.append(call.ended)
            raise

    with phone_line(agent) as phone:
        call = phone.call()
        phone.wait_for_agent_audio(call)
        call.hang_up()
        assert phone.seen.summary().reason == "caller"
    assert unwound == [True]


def test_what_cannot_be_played_is_one_clear_error(tmp_path: Path) -> None:
    """A missing file, a file of text and a dead address raise the same, and the call goes on."""
    (tmp_path / "words.wav").write_text("these are words")
    messages: list[str] = []

    def agent(call: Call) -> None:
        for sound in (
            tmp_path / "no.wav",
            tmp_path / "words.wav",
            "http://127.0.0.1:9/a.wav?key=s",
        ):
            with pytest.raises(AudioUnreadable) as error:
                call.play(sound)
            messages.append(str(error.value))
        call.say("Still here.")

    with phone_line(agent) as phone:
        call = phone.call()
        call.wait(4 * PATIENCE)
        assert phone.seen.errors == []
    assert messages[0] == "no.wav: no such file"
    assert messages[1].startswith("words.wav: no audio")
    assert "key=s" not in messages[2]


def test_a_sound_is_prepared_once(tmp_path: Path) -> None:
    """A file that has not changed is read once; one that has, again."""
    path = tmp_path / "tone.wav"
    write_wav(path, silence(0.2, 8000), 8000)
    first = sounds.load(path, 8000)
    assert sounds.load(path, 8000) is first
    assert len(first) == 3200
    write_wav(path, silence(0.4, 8000), 8000)
    assert len(sounds.load(path, 8000)) == 6400


def test_a_segment_of_pydub_and_an_address_are_sounds_too(tmp_path: Path) -> None:
    """Whatever holds audio can be played."""
    with warnings.catch_warnings():
        # It warns when there is no ffmpeg command, and its source has escapes of Python 2's days.
        warnings.simplefilter("ignore")
        from pydub import AudioSegment
    segment = AudioSegment.silent(300, 16000)
    assert abs(len(sounds.load(segment, 8000)) - 4800) < 80
    assert abs(len(sounds.load(segment.set_sample_width(4), 8000)) - 4800) < 80
    path = tmp_path / "tone.wav"
    write_wav(path, silence(0.3, 16000), 16000)
    served: list[bytes] = []
    app = Flask(__name__)

    @app.get("/tone.wav")
    def tone() -> Response:
        served.append(path.read_bytes())
        return Response(served[0], mimetype="audio/wav")

    with serving(app) as url:
        pcm = sounds.load(f"{url}/tone.wav", 8000)
        assert abs(len(pcm) - 4800) < 80
        assert sounds.load(f"{url}/tone.wav", 8000) is pcm
        with pytest.raises(AudioUnreadable, match="HTTP 404"):
            sounds.load(f"{url}/other.wav", 8000)
    assert len(served) == 1


def test_a_caller_on_hold_hears_music() -> None:
    """The example: music while waiting, then the answer, both replies heard in full."""
    with phone_line(hold.answer) as phone:
        call = phone.call()
        call.wait(6 * PATIENCE)
        phone.seen.summary()
        replies = [reply for reply, _ in phone.seen.replies]
    assert len(replies) == 2
    assert [reply.text for reply in replies] == [reply.heard for reply in replies]
    end_of_first = replies[0].ended_at - call.begun_at
    assert heard_level(call, end_of_first + 0.5, end_of_first + 1.8) > -35


def test_what_a_caller_says_on_hold_is_no_turn() -> None:
    """Nobody listens until the wait is over; then the caller is heard again."""
    turns: list[str] = []

    def agent(call: Call) -> None:
        call.say("Wait.")
        call.hold()
        while not phone.simulator.calls[0].speech or not phone.simulator.calls[0].script_done:
            call.stay(0.05)
        call.stay(0.5)
        call.unhold()
        phone.simulator.calls[0].say("I am back.")
        turn = call.listen(timeout=10)
        turns.append("" if turn is None else turn.text)

    with phone_line(agent, texts=["I am back"]) as phone:
        # The music begins within half a second, and counts as the agent.
        call = phone.call({"play": phone.speech, "when": {"agent_speaking": 2.5}})
        call.wait(6 * PATIENCE)
        phone.seen.summary()
        assert phone.seen.errors == []
        assert len(phone.seen.turns) == 1
    assert turns[0].startswith("I am back")


def test_a_hang_up_ends_the_wait() -> None:
    """A caller on hold who hangs up unwinds the agent."""
    unwound: list[bool] = []

    def agent(call: Call) -> None:
        call.hold()
        try:
            call.stay()
        finally:
            with pytest.raises(CallEnded):
                call.unhold()
            unwound.append(True)

    with phone_line(agent) as phone:
        call = phone.call()
        phone.wait_for_agent_audio(call, 0.5)
        call.hang_up()
        assert phone.seen.summary().reason == "caller"
    assert unwound == [True]


def test_a_background_is_under_the_voice_and_between_replies() -> None:
    """The example: something is heard in the pause, and nothing once it was ended."""
    with phone_line(ambience.answer) as phone:
        call = phone.call()
        call.wait(6 * PATIENCE)
        phone.seen.summary()
        replies = [reply for reply, _ in phone.seen.replies]
    assert [reply.heard for reply in replies] == [reply.text for reply in replies]
    pause = replies[0].ended_at - call.begun_at
    assert -60 < heard_level(call, pause + 0.3, pause + 0.9) < -20
    # What was heard agrees with what the caller's ear got, though something lay under it.
    assert phone.seen.summary().replies == 2


def test_a_background_costs_a_reply_no_word() -> None:
    """An interrupted reply over a background says what was heard, and the background goes on."""
    heard: list[str] = []

    def agent(call: Call) -> None:
        call.background("room", volume=0.3)
        reply = call.say("A sentence that is long enough to be cut off in the middle of it. " * 3)
        heard.append(reply.heard)
        call.listen(timeout=5)

    with phone_line(agent, texts=["stop that"]) as phone:
        call = phone.call({"play": phone.speech, "when": {"agent_speaking": 1.5}})
        call.wait(6 * PATIENCE)
    assert 10 < len(heard[0]) < 70


def test_only_what_may_be_recorded_is(tmp_path: Path) -> None:
    """The example: on, paused, on, off; with recording off from the start."""

    def agent(call: Call) -> None:
        record.answer(call)
        call.say("Nobody keeps this.")

    with phone_line(agent, BRIDGE_RECORDINGS=str(tmp_path), BRIDGE_RECORD="off") as phone:
        call = phone.call()
        call.wait(8 * PATIENCE)
        phone.seen.summary()
        replies = [reply for reply, _ in phone.seen.replies]
    [path] = tmp_path.glob("*.wav")
    with wave.open(str(path)) as file:
        frames = file.readframes(file.getnframes())
    agent_side = audioop.tomono(frames, 2, 0, 1)
    lasted = replies[2].ended_at - replies[0].started_at
    assert len(agent_side) / 16000 == pytest.approx(lasted, abs=1.0)
    start = replies[1].started_at - replies[0].started_at + 0.5
    end = replies[1].ended_at - replies[0].started_at - 0.2
    assert level(agent_side[: round(0.5 * 8000) * 2]) > -40
    assert level(agent_side[round(start * 8000) * 2 : round(end * 8000) * 2]) < -60


def test_recording_needs_a_place() -> None:
    """Without BRIDGE_RECORDINGS the agent is told in one line."""
    messages: list[str] = []

    def agent(call: Call) -> None:
        with pytest.raises(BridgeError) as error:
            call.record("on")
        messages.append(str(error.value))
        call.record("off")

    with phone_line(agent) as phone:
        call = phone.call()
        call.wait(4 * PATIENCE)
        assert phone.seen.errors == []
    assert "BRIDGE_RECORDINGS" in messages[0]


def test_the_language_of_a_call_changes() -> None:
    """The example: the recogniser is asked anew in the other language, and the call goes on."""
    with phone_line(languages.answer, texts=["german please"]) as phone:
        call = phone.call({"play": phone.speech})
        call.wait_for(lambda c: len(phone.seen.replies) == 2, 6 * PATIENCE)
        wait_for_language(phone, "de-DE")
        call.hang_up()
        phone.seen.summary()
        assert phone.seen.errors == []
        assert [reply.text for reply, _ in phone.seen.replies][1].startswith("Guten Tag")


def wait_for_language(phone: Phone, language: str) -> None:
    """Wait until the recogniser was asked for a language."""
    limit = time.monotonic() + 4 * PATIENCE
    while time.monotonic() < limit:
        sessions = phone.simulator.transcription.sessions
        if any(session.request.language == language for session in sessions):
            return
        time.sleep(0.02)
    raise AssertionError(f"nobody asked for {language}")
