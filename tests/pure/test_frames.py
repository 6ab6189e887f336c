"""Frames of the media stream: what Telnyx may send is understood, and nothing private is shown."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telnyx_media.errors import FrameError
from telnyx_media.frames import (
    Clear,
    Connected,
    Dtmf,
    Frame,
    Mark,
    Media,
    MediaFormat,
    Start,
    Stop,
    StreamError,
    encode_clear,
    encode_frame,
    encode_mark,
    encode_media,
    parse_command,
    parse_frame,
)

START = {
    "event": "start",
    "sequence_number": "1",
    "stream_id": "stream-1",
    "start": {
        "user_id": "user-1",
        "call_control_id": "v3:leg",
        "call_session_id": "session-1",
        "from": "+15550001111",
        "to": "+15550002222",
        "tags": [],
        "client_state": "c3RhdGU=",
        "custom_parameters": {"name": "value"},
        "media_format": {"encoding": "pcmu", "sample_rate": "8000", "channels": 1},
    },
}


def media(**fields: object) -> str:
    """Write a media message with these fields in its body."""
    body = {"track": "inbound", "chunk": "2", "timestamp": "5", "payload": "AAEC"} | fields
    message = {"event": "media", "sequence_number": "4", "stream_id": "s", "media": body}
    return json.dumps(message)


def test_a_media_frame_is_parsed_with_its_numbers_given_as_strings() -> None:
    """Numbers inside frames arrive as strings."""
    expected = Media(b"\x00\x01\x02", "inbound", 2, 5, 4, "s")

    assert expected == parse_frame(media())
    assert expected == parse_frame(media().encode())


def test_a_media_frame_may_give_its_numbers_as_numbers() -> None:
    """Nothing promises strings either."""
    assert parse_frame(media(chunk=2, timestamp=5)) == parse_frame(media())


@pytest.mark.parametrize(
    ("track", "expected"),
    [
        ("inbound", "inbound"),
        ("inbound_track", "inbound"),
        ("outbound", "outbound"),
        ("outbound_track", "outbound"),
        ("INBOUND", "inbound"),
        (None, "inbound"),
    ],
)
def test_a_track_is_named_without_its_suffix(track: str | None, expected: str) -> None:
    """``inbound_track`` is the word of the commands and shows up in frames too."""
    frame = parse_frame(media(track=track))

    assert isinstance(frame, Media)
    assert expected == frame.track


def test_media_without_a_chunk_number_is_ordered_by_its_sequence_number() -> None:
    """The message's own number stands in for a chunk number that is missing."""
    with_chunk = parse_frame(media())
    without = parse_frame(media(chunk=None))
    bare = parse_frame('{"event":"media","media":{"payload":"AAEC"}}')

    assert isinstance(with_chunk, Media)
    assert isinstance(without, Media)
    assert isinstance(bare, Media)
    assert (with_chunk.order, without.order, bare.order) == (2, 4, None)


def test_a_start_frame_tells_the_leg_and_its_format() -> None:
    """The encoding comes in capitals and the rate as a number, however they were written."""
    expected = Start(
        stream_id="stream-1",
        call_control_id="v3:leg",
        call_session_id="session-1",
        from_number="+15550001111",
        to_number="+15550002222",
        client_state="c3RhdGU=",
        custom_parameters={"name": "value"},
        media_format=MediaFormat("PCMU", 8000, 1),
        sequence_number=1,
    )

    assert expected == parse_frame(json.dumps(START))


def test_a_start_frame_may_have_nothing_in_it() -> None:
    """Missing and null values become empty ones, and the format the carrier's default."""
    nothing = dict.fromkeys(START["start"])

    assert Start() == parse_frame('{"event":"start","start":{}}')
    assert Start() == parse_frame(json.dumps({"event": "start", "start": nothing}))


def test_l16_without_a_rate_has_the_only_rate_it_is_offered_at() -> None:
    """L16 is documented at 16 kHz alone."""
    frame = parse_frame('{"event":"start","start":{"media_format":{"encoding":"l16"}}}')

    assert isinstance(frame, Start)
    assert MediaFormat("L16", 16000, 1) == frame.media_format


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"a": "1", "b": 2, "c": None}, {"a": "1", "b": "2", "c": "null"}),
        ([{"name": "a", "value": "1"}, {"name": "b", "value": 2}, "odd"], {"a": "1", "b": "2"}),
        ("odd", {}),
    ],
)
def test_custom_parameters_come_as_an_object_or_as_a_list(
    given: object, expected: dict[str, str]
) -> None:
    """The command takes a list of pairs, the frame shows an object; both are read."""
    frame = parse_frame(json.dumps({"event": "start", "start": {"custom_parameters": given}}))

    assert isinstance(frame, Start)
    assert expected == frame.custom_parameters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"event":"connected","version":"1.0.0"}', Connected("1.0.0")),
        ('{"event":"connected"}', Connected()),
        (
            '{"event":"connected","version":"1.0.0",'
            '"connected":{"x-telnyx-streaming-auth-token":"secret"}}',
            Connected("1.0.0", "secret"),
        ),
        (
            '{"event":"dtmf","stream_id":"s","sequence_number":"9",'
            '"occurred_at":"2026-01-01T00:00:00Z","dtmf":{"digit":"5"}}',
            Dtmf("5", "2026-01-01T00:00:00Z", 9, "s"),
        ),
        ('{"event":"dtmf","dtmf":{"digit":5}}', Dtmf("5")),
        (
            '{"event":"mark","stream_id":"s","sequence_number":"12","mark":{"name":"turn-7"}}',
            Mark("turn-7", 12, "s"),
        ),
        (
            '{"event":"stop","sequence_number":"20","stream_id":"s",'
            '"stop":{"user_id":"u","call_control_id":"v3:leg"}}',
            Stop("v3:leg", 20, "s"),
        ),
        ('{"event":"stop"}', Stop()),
        (
            '{"event":"error","stream_id":"s",'
            '"payload":{"code":100003,"title":"malformed_frame","detail":"d"}}',
            StreamError(100003, "malformed_frame", "d", "s"),
        ),
        ('{"event":"error","payload":{"code":"100005"}}', StreamError(100005)),
        ('{"event":"error","payload":{"code":"odd","title":"t"}}', StreamError(0, "t")),
        ('{"event":"error"}', StreamError()),
    ],
)
def test_every_other_frame_is_parsed(text: str, expected: Frame) -> None:
    """As documented, and with what may be missing left out."""
    assert expected == parse_frame(text)


@pytest.mark.parametrize("text", ['{"event":"novel","x":[1,{"y":2}]}', b'{"event":"\xc3\xa9"}'])
def test_an_unknown_event_is_nothing(text: str | bytes) -> None:
    """Telnyx may add events; they are ignored, both ways."""
    assert parse_frame(text) is None
    assert parse_command(text) is None


def test_fields_nobody_has_heard_of_are_ignored() -> None:
    """Telnyx may add fields anywhere."""
    expected = parse_frame(media())
    message = json.loads(media(novel={"a": 1}))
    message["novel"] = [None]

    assert expected == parse_frame(json.dumps(message))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "message: not JSON"),
        ("hello secret", "message: not JSON"),
        ("[]", "message: expected `object`, got `array`"),
        ('{"x":"secret"}', "message: object missing required field `event`"),
        ('{"event":5}', "event: expected `str`"),
        ('{"event":"media"}', "message: object missing required field `media`"),
        ('{"event":"media","media":{}}', "media: object missing required field `payload`"),
        (
            '{"event":"media","media":{"payload":"secret!"}}',
            "media.payload: invalid base64 encoded string",
        ),
        ('{"event":"dtmf","dtmf":{"digit":["secret"]}}', "dtmf.digit: expected `int | str`"),
        (media(chunk="secret"), "media.chunk: expected `int | null`, got `str`"),
        (b'{"event":"mark\xff"}', "message: not UTF-8"),
        ('{"event":"mark","mark":{"name":"\ud800"}}', "message: not UTF-8"),
        ('{"event":"mark","x":' + "[" * 100_000, "message: nested too deeply"),
    ],
)
def test_a_frame_that_means_nothing_is_one_error_that_names_the_part(
    text: str | bytes, message: str
) -> None:
    """The error says which part is wrong, and quotes nothing."""
    with pytest.raises(FrameError) as caught:
        parse_frame(text)

    assert str(caught.value).startswith(f"media-stream frame: {message}")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_nothing_but_a_frame_error_comes_of_nonsense(text: bytes | str) -> None:
    """Whatever arrives, the reader has one error to catch."""
    for parse in (parse_frame, parse_command):
        with contextlib.suppress(FrameError):
            parse(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KINDS = ["media", "connected", "start", "dtmf", "mark", "stop", "error", "clear", "payload"]


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from([*KINDS, "sequence_number"]), JSON))
def test_nothing_but_a_frame_error_comes_of_a_known_event_with_odd_parts(
    event: str, parts: dict[str, object]
) -> None:
    """Any JSON in any place is a frame or a frame error."""
    with contextlib.suppress(FrameError):
        parse_frame(json.dumps({"event": event, **parts}))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBER = st.none() | st.integers(0, 2**53)
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Connected, TEXT, st.none() | TEXT),
    st.builds(
        Start,
        *[TEXT] * 6,
        st.dictionaries(TEXT, TEXT, max_size=3),
        st.builds(
            MediaFormat,
            st.sampled_from(["PCMU", "G722", "AMR-WB"]),
            st.integers(1, 48000),
            st.integers(1, 2),
        ),
        NUMBER,
    ),
    st.builds(
        Media,
        st.binary(max_size=200),
        st.sampled_from(["inbound", "outbound"]),
        NUMBER,
        NUMBER,
        NUMBER,
        TEXT,
    ),
    st.builds(Dtmf, st.sampled_from("0123456789*#ABCD"), TEXT, NUMBER, TEXT),
    st.builds(Mark, TEXT, NUMBER, TEXT),
    st.builds(Stop, TEXT, NUMBER, TEXT),
    st.builds(StreamError, st.integers(0, 2**53), TEXT, TEXT, TEXT),
)


@given(FRAMES)
def test_a_frame_written_as_telnyx_writes_it_is_parsed_to_the_same_frame(frame: Frame) -> None:
    """Writing and parsing are each other's reverse, and numbers are written as strings."""
    text = encode_frame(frame)

    assert frame == parse_frame(text)
    number = getattr(frame, "sequence_number", None)
    assert (None if number is None else str(number)) == json.loads(text).get("sequence_number")


@given(st.binary(max_size=2000))
def test_a_media_command_carries_its_payload(payload: bytes) -> None:
    """What is sent to Telnyx is the documented shape, and is parsed back."""
    text = encode_media(payload)

    expected = {"event": "media", "media": {"payload": base64.b64encode(payload).decode()}}
    assert expected == json.loads(text)
    assert Media(payload) == parse_command(text)


@given(TEXT)
def test_a_mark_command_carries_its_name(name: str) -> None:
    """Any name is escaped as JSON wants it."""
    text = encode_mark(name)

    assert {"event": "mark", "mark": {"name": name}} == json.loads(text)
    assert Mark(name) == parse_command(text)


def test_a_clear_command_is_its_event_alone() -> None:
    """Both writers say the same."""
    assert json.loads(encode_clear()) == {"event": "clear"}
    assert Clear() == parse_command(encode_clear())
    assert encode_clear() == encode_frame(Clear())


def test_a_command_may_carry_a_stream_id() -> None:
    """Some clients add one; it is tolerated."""
    text = '{"event":"media","stream_id":"s","media":{"payload":"AAEC"}}'

    assert Media(b"\x00\x01\x02", stream_id="s") == parse_command(text)


def test_a_command_that_means_nothing_is_a_frame_error() -> None:
    """A carrier answers it with error 100003 or 100004; it has to be told which part."""
    with pytest.raises(FrameError, match=r"media\.payload: invalid base64"):
        parse_command('{"event":"media","media":{"payload":"!"}}')


@pytest.mark.parametrize(
    "frame",
    [
        Media(b"private"),
        Dtmf("7"),
        Connected("1.0.0", "private"),
        Start(
            from_number="+15557777777",
            to_number="+15557777777",
            client_state="private",
            custom_parameters={"private": "7"},
        ),
    ],
)
def test_the_repr_of_a_frame_shows_nothing_private(frame: Frame) -> None:
    """Audio, digits, tokens and numbers show their length, in logs as in a rich traceback."""
    shown = repr(frame) + repr(frame.__rich_repr__())

    assert "private" not in shown
    assert "7" not in shown.replace("<7>", "")
