"""The simulator's media stream: frames, pacing, playout, codecs and what goes wrong."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path

import pytest
import requests

from bridge.simulator import Callee
from bridge.simulator.recordings import Recording
from bridge.simulator.speakers import ToneSpeaker
from telnyx_media._audioop import audioop
from telnyx_media.codecs import make_codec
from telnyx_media.pcm import level, rms, write_wav
from tests.app.simulation import (  # noqa: F401
    RTP,
    TONE,
    TONE_PCMU,
    World,
    _sim,
    error_of,
    payloads,
    with_behaviour,
    world,
)
from tests.loopback import PATIENCE

NUMERAL = re.compile(r"\d+")


def test_the_first_frames_are_connected_start_media(sim: World) -> None:
    """Their fields are those of the media-streaming pages, numbers written as strings."""
    call, socket = sim.stream({"client_state": "c3RhdGU="})
    frames = [*socket.wait("connected"), *socket.wait("start"), socket.wait("media", 2)[1]]
    assert [f["event"] for f in socket.frames[:3]] == ["connected", "start", "media"]
    connected, start, media = frames
    assert connected == {"event": "connected", "version": "1.0.0"}
    assert set(start) == {"event", "sequence_number", "stream_id", "start"}
    assert start["sequence_number"] == "1"
    body = start["start"]
    assert set(body) == {
        "user_id", "call_control_id", "call_session_id", "from", "to", "tags", "client_state",
        "custom_parameters", "media_format",
    }  # fmt: skip
    assert body["call_control_id"] == call.call_control_id
    assert body["call_session_id"] == call.call_session_id
    assert body["client_state"] == "c3RhdGU="
    assert body["custom_parameters"] == {}
    assert body["media_format"] == {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
    assert set(media) == {"event", "sequence_number", "stream_id", "media"}
    assert media["stream_id"] == start["stream_id"]
    assert NUMERAL.fullmatch(media["sequence_number"])
    assert set(media["media"]) == {"track", "chunk", "timestamp", "payload"}
    assert media["media"]["track"] == "inbound"
    assert media["media"]["chunk"] == "2"
    assert NUMERAL.fullmatch(media["media"]["timestamp"])
    assert payloads([media]) == [b"\xff" * 160]
    started = sim.application.wait_hook("streaming.started").payload
    assert started["stream_url"] == sim.application.stream_url
    assert set(started) == {
        "call_control_id", "connection_id", "call_leg_id", "call_session_id", "client_state",
        "stream_url",
    }  # fmt: skip


def test_a_packet_comes_every_20_ms_whether_the_caller_speaks_or_not(sim: World) -> None:
    """The frames of a second are counted, in order, without a hole."""
    _, socket = sim.stream()
    began = time.monotonic()
    frames = socket.wait("media", 50)
    took = time.monotonic() - began
    assert 0.5 < took < PATIENCE
    chunks = [int(f["media"]["chunk"]) for f in frames]
    assert chunks == list(range(1, len(chunks) + 1))
    sequence = [int(f["sequence_number"]) for f in frames]
    assert sequence == list(range(2, len(sequence) + 2))


def test_what_is_sent_is_heard_and_its_mark_comes_back_when_it_was_played(sim: World) -> None:
    """Half a second of audio takes half a second, and only then the mark returns."""
    call, socket = sim.stream()
    began = time.monotonic()
    for _ in range(25):
        socket.send_media(TONE_PCMU)
    socket.send_mark("end of reply")
    (mark,) = socket.wait("mark")
    assert time.monotonic() - began > 0.4
    assert set(mark) == {"event", "stream_id", "sequence_number", "mark"}
    assert mark["mark"] == {"name": "end of reply"}
    (seen,) = call.marks
    assert not seen.cleared
    assert seen.returned_at is not None
    assert seen.returned_at - seen.received_at > 0.4
    heard = call.heard
    loud = [at for at in range(0, len(heard), 320) if rms(heard[at : at + 320]) > 1000]
    assert len(loud) in (25, 26)
    assert audioop.rms(heard[loud[1] : loud[1] + 320], 2) == pytest.approx(5657, rel=0.1)
    assert call.frames["received"] == {"media": 25, "mark": 1}


def test_a_mark_without_audio_before_it_comes_back_at_once(sim: World) -> None:
    """Nothing waits, nothing plays: the mark is answered on arrival."""
    call, socket = sim.stream()
    socket.send_mark("nothing")
    socket.wait("mark")
    assert call.marks[0].cleared is False


def test_clear_drops_what_waits_and_returns_every_mark(sim: World) -> None:
    """Ten seconds are dropped and three marks come back at once and in order."""
    call, socket = sim.stream()
    for name in ("a", "b", "c"):
        socket.send_media(TONE_PCMU * 200)
        socket.send_mark(name)
    socket.send_clear()
    marks = socket.wait("mark", 3)
    assert [m["mark"]["name"] for m in marks] == ["a", "b", "c"]
    assert all(mark.cleared for mark in call.marks)
    socket.send_media(TONE_PCMU)
    socket.send_mark("after")
    socket.wait("mark", 4)
    assert call.marks[3].cleared is False
    assert len(call.clears) == 1


@pytest.mark.parametrize(
    ("message", "code", "title"),
    [
        ("{", 100003, "malformed_frame"),
        ("[]", 100003, "malformed_frame"),
        ('{"event":"media"}', 100003, "malformed_frame"),
        ('{"event":"media","media":{}}', 100003, "malformed_frame"),
        ('{"event":"mark","mark":{}}', 100003, "malformed_frame"),
        (b"\x00\x01", 100003, "malformed_frame"),
        ('{"event":"media","media":{"payload":"a"}}', 100004, "invalid_media"),
        ('{"event":"media","media":{"payload":"***="}}', 100004, "invalid_media"),
        ('{"event":"media","media":{"payload":"////"}}', 100005, "rate_limit_reached"),
    ],
)
def test_a_wrong_frame_is_answered_with_an_error_frame(
    sim: World, message: str | bytes, code: int, title: str
) -> None:
    """The code says what was wrong; the stream goes on."""
    call, socket = sim.stream()
    socket.send_raw(message)
    (frame,) = socket.wait("error")
    assert set(frame) == {"event", "stream_id", "payload"}
    assert set(frame["payload"]) == {"code", "title", "detail"}
    assert frame["payload"]["code"] == code
    assert frame["payload"]["title"] == title
    socket.send_mark("still here")
    socket.wait("mark")
    assert call.errors == [code]


def test_an_unknown_event_is_ignored(sim: World) -> None:
    """No error, no effect."""
    call, socket = sim.stream()
    socket.send_raw(json.dumps({"event": "sparkle"}))
    socket.send_mark("after")
    socket.wait("mark")
    assert call.errors == []


def test_an_error_may_end_the_stream() -> None:
    """With that answer to the open question, the socket is closed behind the error."""
    with with_behaviour(error_ends_stream=True) as sim:
        _, socket = sim.stream()
        socket.send_raw("{")
        socket.wait("error")
        socket.wait_closed()


def test_keys_come_as_frames_and_as_webhooks(sim: World) -> None:
    """A dtmf frame has the digit and its own time."""
    call, socket = sim.stream()
    call.press("5")
    (frame,) = socket.wait("dtmf")
    assert set(frame) == {"event", "stream_id", "occurred_at", "sequence_number", "dtmf"}
    assert frame["dtmf"] == {"digit": "5"}
    assert sim.application.wait_hook("call.dtmf.received").payload["digit"] == "5"


def test_the_callers_hangup_ends_the_stream_first(sim: World) -> None:
    """A stop frame, the close, streaming.stopped and call.hangup."""
    call, socket = sim.stream()
    call.hang_up()
    (stop,) = socket.wait("stop")
    assert set(stop) == {"event", "sequence_number", "stream_id", "stop"}
    assert set(stop["stop"]) == {"user_id", "call_control_id"}
    assert stop["stop"]["call_control_id"] == call.call_control_id
    socket.wait_closed()
    assert socket.close_code == 1000
    sim.application.wait_hook("streaming.stopped")
    sim.application.wait_hook("call.hangup")


def test_streaming_start_takes_a_token_and_parameters(sim: World) -> None:
    """The token is a header of the handshake and in connected; parameters become an object."""
    call = sim.answer()
    sim.rest.ok(
        call.call_control_id,
        "streaming_start",
        stream_url=sim.application.stream_url,
        stream_auth_token="secret",
        stream_bidirectional_mode="rtp",
        custom_parameters=[{"name": "shop", "value": "corner"}],
    )
    socket = sim.application.wait_socket()
    (start,) = socket.wait("start")
    assert socket.headers["x-telnyx-streaming-auth-token"] == "secret"
    assert socket.frames[0]["connected"] == {"x-telnyx-streaming-auth-token": "secret"}
    assert start["start"]["custom_parameters"] == {"shop": "corner"}
    sim.rest.ok(call.call_control_id, "streaming_stop")
    socket.wait("stop")
    sim.application.wait_hook("streaming.stopped")
    assert call.state == "answered"


def test_answer_does_not_know_the_token(sim: World) -> None:
    """What the reference page of answer does not list is dropped in silence."""
    _, socket = sim.stream({"stream_auth_token": "secret"})
    assert "x-telnyx-streaming-auth-token" not in socket.headers
    assert socket.frames[0] == {"event": "connected", "version": "1.0.0"}


def test_a_socket_that_cannot_be_opened_fails_the_stream_not_the_call(sim: World) -> None:
    """streaming.failed with its fields; the call goes on."""
    call = sim.ring()
    url = "ws://127.0.0.1:9/nobody"
    sim.rest.ok(call.call_control_id, "answer", stream_url=url)
    payload = sim.application.wait_hook("streaming.failed").payload
    assert payload["failure_reason"] == "connection_failed"
    assert payload["stream_params"] == {"stream_url": url, "track": "inbound_track"}
    assert payload["stream_type"] == "websocket"
    assert call.state == "answered"


def test_a_lost_socket_fails_the_stream_and_a_closed_one_stops_it(sim: World) -> None:
    """Both leave the call up; a new stream can be started."""
    call, socket = sim.stream()
    call.cut_media()
    socket.wait_closed()
    sim.application.wait_hook("streaming.failed")
    sim.rest.ok(call.call_control_id, "streaming_start", stream_url=sim.application.stream_url)
    again = sim.application.wait_socket(2)
    again.wait("media", 2)
    again.close()
    sim.application.wait_hook("streaming.stopped")
    assert call.state == "answered"
    sim.rest.ok(call.call_control_id, "hangup")


def test_telnyx_may_reconnect_by_itself() -> None:
    """A second socket for the same call, with connected and start anew."""
    with with_behaviour(stream_lost="reconnect") as sim:
        call, socket = sim.stream()
        socket.cut()
        again = sim.application.wait_socket(2)
        (start,) = again.wait("start")
        assert start["start"]["call_control_id"] == call.call_control_id
        assert again.path == socket.path


def test_media_frames_get_lost_and_swapped_on_demand(sim: World) -> None:
    """Chunk numbers show the hole and the exchange."""
    sim.simulator.faults.lose_media = 10
    _, socket = sim.stream()
    frames = socket.wait("media", 25)
    chunks = [int(f["media"]["chunk"]) for f in frames]
    assert 10 not in chunks
    assert 20 not in chunks
    sim.simulator.faults.lose_media = 0
    sim.simulator.faults.swap_media = 5
    frames = socket.wait("media", len(socket.of("media")) + 12)
    chunks = [int(f["media"]["chunk"]) for f in frames]
    assert chunks != sorted(chunks)
    assert len(set(chunks)) == len(chunks)


# Codecs


@pytest.mark.parametrize(
    ("codec", "rate", "size"), [("PCMU", 8000, 160), ("PCMA", 8000, 160), ("G722", 8000, 160),
                                ("L16", 16000, 640), ("OPUS", 16000, None)],
)  # fmt: skip
def test_the_audio_from_telnyx_is_in_the_codec_of_the_leg(
    sim: World, codec: str, rate: int, size: int | None
) -> None:
    """Whatever was asked for the other direction; 20 ms in each frame."""
    call, socket = sim.stream({"stream_bidirectional_codec": "PCMU"}, codec=codec)
    (start,) = socket.wait("start")
    assert start["start"]["media_format"] == {
        "encoding": codec, "sample_rate": rate, "channels": 1,
    }  # fmt: skip
    decoder = make_codec(codec, rate)
    call.play_pcm(TONE * 20 if call.sample_rate == 8000 else _doubled(TONE) * 20)
    frames = payloads(socket.wait("media", 30))
    if size is not None:
        assert {len(p) for p in frames} == {size}
    levels = [rms(decoder.decode(p)) for p in frames]
    assert max(levels) == pytest.approx(5657, rel=0.2)


def _doubled(pcm: bytes) -> bytes:
    """Make the same tone at twice the sample rate, roughly."""
    return audioop.ratecv(pcm, 2, 1, 8000, 16000, None)[0].ljust(2 * len(pcm), b"\0")


@pytest.mark.parametrize(
    ("codec", "rate"), [("PCMU", 8000), ("PCMA", 8000), ("G722", 8000), ("L16", 16000),
                        ("OPUS", 16000)],
)  # fmt: skip
def test_the_audio_to_telnyx_is_in_the_codec_that_was_asked_for(
    sim: World, codec: str, rate: int
) -> None:
    """On a PCMA leg, every codec is heard as what it was."""
    call = sim.answer(codec="PCMA")
    sim.rest.ok(
        call.call_control_id,
        "streaming_start",
        stream_url=sim.application.stream_url,
        stream_bidirectional_mode="rtp",
        stream_bidirectional_target_legs="self",
        stream_bidirectional_codec=codec,
        stream_bidirectional_sampling_rate=rate,
    )
    socket = sim.application.wait_socket()
    (start,) = socket.wait("start")
    assert start["start"]["media_format"]["encoding"] == "PCMA"
    encoder = make_codec(codec, rate)
    packet = TONE if encoder.sample_rate == 8000 else _doubled(TONE)
    for _ in range(10):
        socket.send_media(encoder.encode(packet))
    socket.send_mark("end")
    socket.wait("mark")
    heard = call.heard
    levels = [rms(heard[at : at + 320]) for at in range(0, len(heard), 320)]
    assert max(levels) == pytest.approx(5657, rel=0.25)
    assert 8 <= sum(level > 1000 for level in levels) <= 12
    assert call.errors == []


def test_stream_codec_transcodes_the_audio_from_telnyx(sim: World) -> None:
    """PCMA leg, PCMU asked for: PCMU comes."""
    _, socket = sim.stream({"stream_codec": "PCMU"}, codec="PCMA")
    (start,) = socket.wait("start")
    assert start["start"]["media_format"]["encoding"] == "PCMU"


def test_where_telnyx_cannot_transcode_it_keeps_the_legs_codec() -> None:
    """With the narrow answer to that question, L16 on a PCMU leg gives PCMU."""
    with with_behaviour(transcoding="g711") as sim:
        _, socket = sim.stream({"stream_codec": "L16"})
        (start,) = socket.wait("start")
        assert start["start"]["media_format"]["encoding"] == "PCMU"


def test_l16_may_be_big_endian() -> None:
    """Both directions are swapped by one switch."""
    with with_behaviour(l16_byte_order="big") as sim:
        call, socket = sim.stream({"stream_codec": "L16"}, codec="L16")
        call.play_pcm(_doubled(TONE) * 10)
        frames = payloads(socket.wait("media", 20))
        loudest = max(frames, key=lambda p: rms(audioop.byteswap(p, 2)))
        assert rms(audioop.byteswap(loudest, 2)) == pytest.approx(5657, rel=0.2)


def test_raw_audio_in_the_mode_mp3_is_ignored(sim: World) -> None:
    """The default mode plays clips; bytes of a codec are dropped without a word."""
    call = sim.ring()
    sim.rest.ok(call.call_control_id, "answer", stream_url=sim.application.stream_url)
    socket = sim.application.wait_socket()
    socket.wait("start")
    socket.send_media(bytes([0x20, 0xA0]) * 80)
    socket.send_mark("end")
    socket.wait("mark")
    assert call.errors == []
    assert rms(call.heard) == 0


def test_a_stream_for_the_opposite_leg_is_silent_on_a_single_leg(sim: World) -> None:
    """Telnyx's default target legs need a bridge; marks are returned all the same."""
    call, socket = sim.stream({"stream_bidirectional_target_legs": "opposite"})
    socket.send_media(TONE_PCMU * 5)
    socket.send_mark("end")
    socket.wait("mark")
    assert rms(call.heard) == 0


def test_both_tracks_can_be_streamed(sim: World) -> None:
    """Each frame names its track, and each track counts its own chunks."""
    _, socket = sim.stream({"stream_track": "both_tracks"})
    socket.send_media(TONE_PCMU * 5)
    frames = socket.wait("media", 40)
    tracks = {track: [f for f in frames if f["media"]["track"] == track]
              for track in ("inbound", "outbound")}  # fmt: skip
    assert [int(f["media"]["chunk"]) for f in tracks["outbound"]][:3] == [1, 2, 3]
    assert any(p != b"\xff" * 160 for p in payloads(tracks["outbound"]))
    assert all(p == b"\xff" * 160 for p in payloads(tracks["inbound"]))


# Two legs


def test_bridged_legs_hear_each_other(sim: World) -> None:
    """After a transfer both legs get call.bridged, and what one says the other hears."""
    sim.simulator.add_callee("+12025550177", Callee(after=0.02))
    call = sim.answer()
    sim.rest.ok(call.call_control_id, "transfer", to="+12025550177", target_leg_client_state="YQ==")
    other = sim.simulator.wait_for_call(lambda c: c.direction == "outgoing", PATIENCE)
    sim.application.wait_hook("call.bridged", call.call_control_id)
    bridged = sim.application.wait_hook("call.bridged", other.call_control_id)
    assert bridged.payload["client_state"] == "YQ=="
    assert other.call_session_id == call.call_session_id
    call.play_pcm(TONE * 10)
    other.wait_for(lambda c: rms(c.heard[-320:]) > 1000, PATIENCE)
    other.play_pcm(TONE * 10)
    call.wait_for(lambda c: rms(c.heard[-320:]) > 1000, PATIENCE)
    other.hang_up()
    call.wait(PATIENCE)


def test_a_transfer_that_fails_leaves_the_call_up(sim: World) -> None:
    """The new leg ends, the old one is as before."""
    sim.simulator.add_callee("+12025550177", Callee("busy", after=0.02))
    call = sim.answer()
    sim.rest.ok(call.call_control_id, "transfer", to="+12025550177")
    other = sim.simulator.wait_for_call(lambda c: c.direction == "outgoing", PATIENCE)
    sim.application.wait_hook("call.hangup", other.call_control_id)
    assert call.state == "answered"
    assert call.bridged_to is None


def test_two_calls_are_bridged_by_command(sim: World) -> None:
    """And a stream for the opposite leg is heard by the other one."""
    first, socket = sim.stream({"stream_bidirectional_target_legs": "opposite"})
    second = sim.answer(from_="+12025550199")
    sim.rest.ok(first.call_control_id, "bridge", call_control_id=second.call_control_id)
    sim.application.wait_hook("call.bridged", count=2)
    socket.send_media(TONE_PCMU * 10)
    second.wait_for(lambda c: rms(c.heard[-320:]) > 1000, PATIENCE)
    assert rms(first.heard) == 0
    assert error_of(sim.rest.act(first.call_control_id, "bridge", call_control_id="v3:nobody")) == (
        422,
        "90015",
    )


def test_a_caller_is_bridged_from_a_queue(sim: World) -> None:
    """The first who waits is taken out of the queue and bridged."""
    waiting = sim.answer(from_="+12025550199")
    sim.rest.ok(waiting.call_control_id, "enqueue", queue_name="support")
    agent = sim.answer()
    sim.rest.ok(agent.call_control_id, "bridge", queue="support", park_after_unbridge="self")
    assert sim.application.wait_hook("call.dequeued").payload["reason"] == "bridged"
    assert agent.bridged_to == waiting.call_control_id
    waiting.press("42")
    assert agent.keys_heard == "42"
    waiting.hang_up()
    sim.application.wait_hook("call.hangup", waiting.call_control_id)
    assert agent.state == "answered"
    sim.rest.ok(agent.call_control_id, "send_dtmf", digits="1w2")
    assert agent.keys_heard == "4212"


def test_a_dialled_leg_is_bridged_when_it_answers(sim: World) -> None:
    """link_to and bridge_on_answer: one session, call.bridged for both."""
    call = sim.answer()
    sim.simulator.add_callee("+12025550177", Callee(after=0.02))
    body = {
        "connection_id": sim.simulator.connection_id,
        "to": "+12025550177",
        "from": "+12025550100",
        "link_to": call.call_control_id,
        "bridge_on_answer": True,
        "send_digits_on_answer": "9",
    }
    data = sim.rest.request("POST", "/calls", body).json()["data"]
    assert data["call_session_id"] == call.call_session_id
    sim.application.wait_hook("call.bridged", count=2)
    assert call.bridged_to == data["call_control_id"]


def test_a_callee_speaks_first(sim: World, tmp_path: Path) -> None:
    """The script of who is called begins at the answer, on a leg of the callee's codec."""
    path = tmp_path / "hello.wav"
    write_wav(path, TONE * 10, 8000)
    callee = Callee(after=0.02, script=[{"play": str(path)}], codec="PCMA")
    sim.simulator.add_callee("+12025550177", callee)
    body = {
        "connection_id": sim.simulator.connection_id,
        "to": "+12025550177",
        "from": "+12025550100",
        "stream_url": sim.application.stream_url,
        "stream_auth_token": "secret",
        **RTP,
    }
    sim.rest.request("POST", "/calls", body)
    socket = sim.application.wait_socket()
    assert socket.headers["x-telnyx-streaming-auth-token"] == "secret"
    frames = payloads(socket.wait("media", 15))
    decoder = make_codec("PCMA")
    assert max(rms(decoder.decode(p)) for p in frames) > 1000


# Prompts and recordings


def test_a_playback_is_announced_and_heard(sim: World, tmp_path: Path) -> None:
    """Started and ended with the same fields, and the audio in between."""
    path = tmp_path / "clip.wav"
    write_wav(path, TONE * 10, 8000)
    call = sim.answer()
    content = base64.b64encode(path.read_bytes()).decode()
    sim.rest.ok(call.call_control_id, "playback_start", playback_content=content)
    started = sim.application.wait_hook("call.playback.started").payload
    assert started["overlay"] is False
    ended = sim.application.wait_hook("call.playback.ended").payload
    assert ended["status"] == "completed"
    heard = call.heard
    assert any(rms(heard[at : at + 320]) > 1000 for at in range(0, len(heard), 320))


def test_a_file_is_fetched_and_played_over_another(sim: World, tmp_path: Path) -> None:
    """audio_url with overlay plays beside the prompt that is playing."""
    path = tmp_path / "clip.wav"
    write_wav(path, TONE * 5, 8000)
    content = base64.b64encode(path.read_bytes()).decode()
    call = sim.answer()
    leg = call.call_control_id
    call.play_pcm(TONE * 10)
    call.wait_for(lambda c: len(c.speech) == 1, PATIENCE)
    url = f"{sim.simulator.url}/simulator/calls/{call.id}/said.wav"
    sim.rest.ok(leg, "playback_start", playback_content=content, loop="infinity")
    sim.application.wait_hook("call.playback.started")
    sim.rest.ok(leg, "playback_start", audio_url=url, overlay=True)
    started = sim.application.wait_hook("call.playback.started", count=2).payload
    assert (started["media_url"], started["overlay"]) == (url, True)
    ended = sim.application.wait_hook("call.playback.ended").payload
    assert ended["media_url"] == url
    sim.rest.ok(leg, "playback_start", audio_url=url + ".gone", stop="all")
    ended = sim.application.wait_hook("call.playback.ended", count=3).payload
    assert ended["status"] == "file_not_found"


def test_a_playback_can_be_stopped_and_can_fail(sim: World, tmp_path: Path) -> None:
    """Cancelled by command, by the call's end, or for want of a file."""
    path = tmp_path / "clip.wav"
    write_wav(path, TONE * 10, 8000)
    content = base64.b64encode(path.read_bytes()).decode()
    call = sim.answer()
    leg = call.call_control_id
    sim.rest.ok(leg, "playback_start", playback_content=content, loop="infinity")
    sim.application.wait_hook("call.playback.started")
    sim.rest.ok(leg, "playback_stop")
    assert sim.application.wait_hook("call.playback.ended").payload["status"] == "cancelled"
    sim.rest.ok(leg, "playback_start", media_name="nothing")
    ended = sim.application.wait_hook("call.playback.ended", count=2).payload
    assert ended["status"] == "file_not_found"
    assert ended["media_name"] == "nothing"
    sim.rest.ok(leg, "playback_start", playback_content=content, loop="infinity")
    sim.application.wait_hook("call.playback.started", count=2)
    call.hang_up()
    ended = sim.application.wait_hook("call.playback.ended", count=3).payload
    assert ended["status"] == "call_hangup"


def test_speak_is_announced_and_heard() -> None:
    """What the voice says is heard between started and ended."""
    with world(speaker=ToneSpeaker) as sim:
        call = sim.answer()
        leg = call.call_control_id
        sim.rest.ok(leg, "speak", payload="<speak>Yes</speak>", payload_type="ssml", voice="female")
        started = sim.application.wait_hook("call.speak.started").payload
        ended = sim.application.wait_hook("call.speak.ended").payload
        assert ended["status"] == "completed"
        for payload in (started, ended):
            assert "from" not in payload
        assert rms(call.heard) > 100
        assert error_of(sim.rest.act(leg, "speak", payload="x" * 3001, voice="female")) == (
            422, "90010",
        )  # fmt: skip


@pytest.mark.parametrize("kind", ["wav", "mp3"])
def test_a_recording_is_saved_and_can_be_fetched(sim: World, kind: str) -> None:
    """The event has no call_control_id, and its link leads to the file."""
    call = sim.answer()
    sim.rest.ok(call.call_control_id, "record_start", format=kind, channels="dual")
    call.play_pcm(TONE * 10)
    call.wait_for(lambda c: rms(c.said[-320:]) > 1000, PATIENCE)
    sim.rest.ok(call.call_control_id, "record_stop")
    payload = sim.application.wait_hook("call.recording.saved").payload
    assert "call_control_id" not in payload
    assert payload["call_leg_id"] == call.id
    assert payload["channels"] == "dual"
    url = payload["recording_urls"][kind]
    response = requests.get(url, timeout=PATIENCE)
    assert response.status_code == 200
    assert response.content[:4] == b"RIFF" if kind == "wav" else len(response.content) > 200


def test_a_dial_can_begin_a_recording(sim: World) -> None:
    """Its answer names the recording, which begins when the callee answers."""
    sim.simulator.add_callee("+12025550177", Callee(after=0.02))
    body = {
        "connection_id": sim.simulator.connection_id,
        "to": "+12025550177",
        "from": "+12025550100",
        "record": "record-from-answer",
        "record_format": "wav",
    }
    data = sim.rest.request("POST", "/calls", body).json()["data"]
    sim.application.wait_hook("call.answered")
    sim.rest.ok(data["call_control_id"], "hangup")
    payload = sim.application.wait_hook("call.recording.saved").payload
    assert data["recording_id"] in payload["recording_urls"]["wav"]


def test_a_clip_is_played_in_the_mode_mp3(sim: World, tmp_path: Path) -> None:
    """One complete MP3 file in a frame is heard; a second one within a second is refused."""
    recording = Recording("single", "mp3", "both", 8000)
    for _ in range(25):
        recording.add(TONE, bytes(320))
    call = sim.ring()
    sim.rest.ok(
        call.call_control_id,
        "answer",
        stream_url=sim.application.stream_url,
        stream_bidirectional_target_legs="self",
    )
    socket = sim.application.wait_socket()
    socket.wait("start")
    socket.send_media(recording.mp3())
    socket.send_mark("played")
    socket.send_media(recording.mp3())
    (error,) = socket.wait("error")
    assert error["payload"]["code"] == 100005
    socket.wait("mark")
    heard = call.heard
    levels = [rms(heard[at : at + 320]) for at in range(0, len(heard), 320)]
    assert 20 <= sum(level > 1000 for level in levels) <= 32


def test_the_line_has_noise_and_the_phone_picks_up_the_agent(sim: World) -> None:
    """Noise is at its level; echo is what was heard, so much quieter."""
    call, socket = sim.stream(noise=-35.0)
    call.wait_for(lambda c: len(c.said) > 16000, PATIENCE)
    assert level(call.said[8000:16000]) == pytest.approx(-35, abs=1)
    call, socket = sim.stream(echo=-20.0)
    socket.send_media(TONE_PCMU * 20)
    socket.send_mark("end")
    socket.wait("mark")
    said = call.said
    loudest = max(rms(said[at : at + 320]) for at in range(0, len(said), 320))
    assert loudest == pytest.approx(565, rel=0.15)


def test_an_answer_can_begin_a_recording(sim: World) -> None:
    """The answer names it, and the hang-up saves it."""
    call = sim.ring()
    data = sim.rest.ok(
        call.call_control_id, "answer", record="record-from-answer", record_format="wav"
    )
    assert set(data) == {"result", "recording_id"}
    call.hang_up()
    payload = sim.application.wait_hook("call.recording.saved").payload
    assert data["recording_id"] in payload["recording_urls"]["wav"]
