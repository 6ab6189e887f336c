"""Who may open a media socket, and what may come over it."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from bridge.call import Call
from bridge.registry import Claim, Refusal
from bridge.simulator import SimulatedCall
from bridge.simulator.behaviour import Behaviour
from telnyx_media.frames import Media, MediaFormat, Start, Stop, encode_frame
from tests.app.phone import Phone, phone_line
from tests.loopback import PATIENCE


def agent(call: Call) -> None:
    """Listen until the call ends."""
    for _ in call.turns():
        pass


@contextmanager
def live_call() -> Iterator[tuple[Phone, SimulatedCall]]:
    """Have a call whose media stream has started."""
    with phone_line(agent) as phone:
        call = phone.call()
        phone.seen.wait_for(lambda: phone.seen.media)
        yield phone, call
        call.hang_up()
        assert phone.seen.summary().abandoned == ()


def address(phone: Phone, token: str) -> str:
    """Make the media socket's address for a token."""
    return f"{phone.url.replace('http', 'ws')}/telnyx/media/{token}"


def open_stream(phone: Phone, token: str) -> ClientConnection:
    """Open a media socket as Telnyx does."""
    return connect(address(phone, token), compression=None, max_size=None)


def status(phone: Phone, token: str) -> int:
    """Get the HTTP status that refuses a media socket."""
    with pytest.raises(InvalidStatus) as refused:
        open_stream(phone, token)
    return refused.value.response.status_code


def used_token(call: SimulatedCall) -> str:
    """Get the token that Telnyx was given."""
    return call.streams[0].options.url.rsplit("/", 1)[1]


def start(call: SimulatedCall, **changes: str) -> str:
    """Write the start frame of a leg."""
    fields: dict[str, str] = {"call_control_id": call.call_control_id, **changes}
    return encode_frame(
        Start(stream_id="mine", media_format=MediaFormat(), sequence_number=1, **fields)  # type: ignore[arg-type]
    )


def close_code(socket: ClientConnection) -> int:
    """Wait for the end of a socket and get its close code."""
    try:
        while True:
            socket.recv(timeout=4 * PATIENCE)
    except ConnectionClosed as closed:
        return 1006 if closed.rcvd is None else closed.rcvd.code


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    """Get the warnings and errors of a logger."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == name and record.levelno >= logging.WARNING
    ]


# -- who gets in ----------------------------------------------------------------------------------


def test_an_unknown_token_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """A stranger gets a 404 and one log line, which does not hold the token."""
    with live_call() as (phone, _):
        assert status(phone, "stranger-with-a-token") == 404
    [line] = lines(caplog, "bridge.media")
    assert "stranger" not in line


def test_a_token_in_use_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """A second socket with a live stream's token gets a 403, and the call does not notice."""
    with live_call() as (phone, call):
        token = used_token(call)
        assert status(phone, token) == 403
        assert phone.seen.media[0].call_control_id == call.call_control_id
        assert not call.ended
    [line] = lines(caplog, "bridge.media")
    assert token not in line


def test_telnyx_may_come_back_before_its_lost_socket_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second socket waits a moment for the first to be over, and the call goes on with it."""
    with phone_line(agent, behaviour=Behaviour(stream_lost="nothing")) as phone:
        call = phone.call()
        phone.seen.wait_for(lambda: phone.seen.media)
        registry = phone.bridge.registry
        claim, answers = registry.claim, []

        def claim_and_cut(token: str) -> Claim | Refusal:
            answers.append(claim(token))
            if len(answers) == 1:
                call.cut_media()
            return answers[-1]

        monkeypatch.setattr(registry, "claim", claim_and_cut)
        with open_stream(phone, used_token(call)) as socket:
            socket.send(start(call))
            phone.seen.wait_for(lambda: len(phone.seen.media) == 2)
            call.hang_up()
            assert phone.seen.summary().streams == 2
    assert answers[0] == "in use"
    assert isinstance(answers[-1], Claim)


def test_a_token_of_an_ended_leg_is_refused() -> None:
    """After the call neither its used token nor a fresh one opens a socket."""
    with live_call() as (phone, call):
        used, fresh = used_token(call), phone.bridge.registry.mint(call.call_control_id)
        call.hang_up()
        phone.seen.summary()
        assert status(phone, used) in (403, 404)
        assert status(phone, fresh) in (403, 404)


def test_a_request_that_is_no_websocket_uses_no_token() -> None:
    """A plain GET is told to upgrade, and the token is still good afterwards."""
    with live_call() as (phone, call):
        token = phone.bridge.registry.mint(call.call_control_id)
        answer = requests.get(f"{phone.url}/telnyx/media/{token}", timeout=PATIENCE)
        assert answer.status_code == 426
        with open_stream(phone, token) as socket:
            socket.send(start(call))
            phone.seen.wait_for(lambda: len(phone.seen.media) == 2)


def test_a_start_frame_of_another_leg_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """A token opens the stream of its own leg only."""
    with live_call() as (phone, call):
        token = phone.bridge.registry.mint(call.call_control_id)
        with open_stream(phone, token) as socket:
            socket.send(start(call, call_control_id="v3:somebody-else"))
            assert close_code(socket) == 1008
        assert len(phone.seen.media) == 1
    [line] = lines(caplog, "bridge.worker")
    assert "names another leg" in line


def test_the_newest_stream_counts() -> None:
    """A second stream with a fresh token takes the leg over; the older one is closed."""
    with live_call() as (phone, call):
        token = phone.bridge.registry.mint(call.call_control_id)
        with open_stream(phone, token) as socket:
            socket.send(start(call))
            phone.seen.wait_for(lambda: len(phone.seen.media) == 2)
            call.wait_for(lambda c: c.streams[0].state != "open", 4 * PATIENCE)
            # What the older one still had to say ended nothing.
            assert not phone.seen.summaries
            socket.send(encode_frame(Stop(call_control_id=call.call_control_id)))
            assert close_code(socket) == 1000
        assert phone.seen.summary().reason == "caller"


# -- what comes in --------------------------------------------------------------------------------


def test_frames_that_mean_nothing_cost_a_line_each(caplog: pytest.LogCaptureFixture) -> None:
    """Malformed frames are logged and passed over, unknown events just passed over."""
    with live_call() as (phone, call):
        token = phone.bridge.registry.mint(call.call_control_id)
        with open_stream(phone, token) as socket:
            socket.send(start(call))
            for text in ("{", "[]", '{"event":"media","media":{"payload":"secret!"}}', "\xff"):
                socket.send(text)
            socket.send('{"event":"hologram","hologram":{"depth":3}}')
            error = {"code": "100003", "title": "malformed_frame", "detail": "secret"}
            socket.send(json.dumps({"event": "error", "payload": error}))
            socket.send(encode_frame(Stop(call_control_id=call.call_control_id)))
            assert close_code(socket) == 1000
        assert phone.seen.summary().bad_frames == 4
    found = [line for line in lines(caplog, "bridge.worker") if "frame" in line or "100003" in line]
    assert len(found) == 5
    assert "secret" not in "".join(found)


def test_too_many_malformed_frames_close_the_stream() -> None:
    """A peer that talks nonsense is not listened to for ever; the call goes on without it."""
    with live_call() as (phone, call):
        token = phone.bridge.registry.mint(call.call_control_id)
        with open_stream(phone, token) as socket:
            for _ in range(60):
                try:
                    socket.send("nonsense")
                except ConnectionClosed:
                    break
            assert close_code(socket) == 1008
        assert not phone.seen.summaries


def test_a_frame_of_ten_megabytes_closes_the_stream_and_not_the_call() -> None:
    """A message over the limit is refused by its header, and the call gets a new stream."""
    with live_call() as (phone, call):
        token = phone.bridge.registry.mint(call.call_control_id)
        with open_stream(phone, token) as socket:
            socket.send(start(call))
            phone.seen.wait_for(lambda: len(phone.seen.media) == 2)
            # It is closed while it is still sending, so the send may fail as well.
            with contextlib.suppress(ConnectionClosed):
                socket.send("x" * (10 << 20))
            assert close_code(socket) == 1009
        # The stream that was lost is asked for again.
        phone.seen.wait_for(lambda: len(phone.seen.media) == 3)
        assert not call.ended


def test_a_stranger_disturbs_no_other_call(caplog: pytest.LogCaptureFixture) -> None:
    """While one socket misbehaves in every way, another call's audio arrives untouched."""
    with live_call() as (phone, call):
        other = phone.call({"play": phone.speech, "when": "now"})
        phone.seen.wait_for(lambda: len(phone.seen.media) == 2)
        assert status(phone, "stranger") == 404
        token = phone.bridge.registry.mint(call.call_control_id)
        with open_stream(phone, token) as socket:
            socket.send("nonsense")
            socket.send(encode_frame(Media(b"\xff" * 160, "inbound", 1)))
        phone.seen.wait_for(lambda: phone.seen.turns)
        other.hang_up()
        phone.seen.wait_for(lambda: phone.seen.summaries)
        assert phone.seen.summaries[0].lost_packets == 0
        phone.seen.summaries.clear()


def test_many_streams_of_one_token_are_one(caplog: pytest.LogCaptureFixture) -> None:
    """Of many sockets that come with one token at once, one is let in."""
    with live_call() as (phone, call):
        token = phone.bridge.registry.mint(call.call_control_id)
        barrier = threading.Barrier(6)
        opened: list[int] = []
        refused: list[int] = []
        all_refused = threading.Event()

        def knock() -> None:
            barrier.wait()
            try:
                with open_stream(phone, token):
                    opened.append(101)
                    all_refused.wait(PATIENCE)
            except InvalidStatus as error:
                refused.append(error.response.status_code)
                if len(refused) == 5:
                    all_refused.set()

        threads = [threading.Thread(target=knock) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert opened == [101]
    assert refused == [403] * 5
