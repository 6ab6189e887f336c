"""Transcription as LiveKit wants it; the numbers are those of docs/livekit.md."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

import livekit.rtc as rtc
import pytest
from livekit.agents import (
    APIConnectionError,
    APIConnectOptions,
    APIError,
    APIStatusError,
    APITimeoutError,
)
from livekit.agents.stt import SpeechEventType

from telnyx_media.livekit_compat import STT
from telnyx_media.pcm import stereo
from tests.compat.helpers import (
    ONCE,
    SOON,
    closing,
    collect,
    finals,
    frame,
    frames,
    kinds,
    make_stt,
    noted,
    push,
    run,
    since,
    until,
    words,
)
from tests.loopback import PATIENCE
from tests.loopback.faults import closed_port, stalled_upgrade
from tests.loopback.servers import KEY, Conversation, status
from tests.loopback.stt import (
    RATE,
    NumberRecogniser,
    SttPeer,
    recognise,
    recording,
    silence,
    utterance,
    word,
)

pytestmark = pytest.mark.livekit

SHORT = silence(0.3) + utterance(0, 3)


def answer_with(*messages: object, close: int = 1000) -> Callable[[Conversation], None]:
    """Make an engine that answers the end of the audio with these messages."""

    def behave(conversation: Conversation) -> None:
        while not (conversation.texts and conversation.texts[-1].get("type") == "CloseStream"):
            conversation.receive()
        for message in messages:
            conversation.send(message)
        conversation.connection.close(close)

    return behave


def dropping(seconds: float) -> Callable[[Conversation], None]:
    """Make an engine that takes some audio and vanishes."""
    return recognise(until=seconds, then=Conversation.vanish)


# -- the whole -------------------------------------------------------------------------------------


def test_a_stream_gives_every_word_in_order() -> None:
    """Interims, finals and the marks of speech come in LiveKit's order, usage among them."""
    audio, said = recording(4.0)

    async def main() -> None:
        with SttPeer(recognise()) as peer:
            stt = make_stt(peer)
            metrics = noted(stt, "metrics_collected")
            async with closing(stt):
                stream = stt.stream(conn_options=ONCE)
                push(stream, audio)
                events = await collect(stream)
            assert words(events) == said
            assert kinds(events)[:2] == ["START", "INTERIM"]
            assert kinds(events)[-2:] == ["FINAL", "END"]
            assert {data.language for event in events for data in event.alternatives} == {"en"}
            assert all(event.request_id for event in events)
            assert sum(m.audio_duration for m in metrics) == pytest.approx(len(audio) / 2 / RATE)
            assert bytes(peer.conversations[0].audio) == audio
            assert peer.handshakes == 1

    run(main)


def test_a_frame_may_be_filled_anew_once_it_was_pushed() -> None:
    """As LiveKit's examples do, which make one frame and fill it every 10 or 20 ms."""
    audio, expected = recording(4.0)

    async def main() -> None:
        with SttPeer(recognise()) as peer:
            stream = make_stt(peer).stream(conn_options=ONCE)
            pieces = [one for one in frames(audio) if one.samples_per_channel == RATE // 50]
            shared = rtc.AudioFrame.create(RATE, 1, RATE // 50)
            for piece in pieces:
                shared.data[:] = piece.data
                stream.push_frame(shared)
            stream.end_input()
            assert words(await collect(stream)) == expected

    run(main)


def test_recognize_gives_one_final() -> None:
    """A buffer is one final transcript: texts joined, confidence averaged."""
    audio, said = recording(4.0)

    async def main() -> None:
        with SttPeer(recognise()) as peer:
            stt = make_stt(peer)
            metrics = noted(stt, "metrics_collected")
            async with closing(stt):
                event = await stt.recognize(frames(audio), conn_options=ONCE)
            assert event.type == SpeechEventType.FINAL_TRANSCRIPT
            assert event.alternatives[0].text.split() == said
            assert event.alternatives[0].confidence == pytest.approx(0.9)
            assert event.request_id
            assert [m.streamed for m in metrics] == [False]

    run(main)


def test_recognize_takes_a_buffer_of_another_rate_and_longer_than_the_ring() -> None:
    """All of a long buffer is sent, resampled, at once."""

    async def main() -> None:
        with SttPeer(answer_with({"transcript": "yes", "is_final": True})) as peer:
            stt = make_stt(peer)
            async with closing(stt):
                event = await stt.recognize(frame(bytes(2 * 16000 * 40), 16000), conn_options=ONCE)
            assert event.alternatives[0].text == "yes"
            assert len(peer.conversations[0].audio) / 2 / RATE == pytest.approx(40, abs=0.1)

    run(main)


# -- R1 to R13 -------------------------------------------------------------------------------------


def test_r01_and_r23_no_log_no_error_and_no_event_tells_a_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither what was said nor the key is in a log line, an error, or its representation."""
    caplog.set_level(logging.DEBUG)

    async def main() -> list[str]:
        told: list[str] = []
        answers = [recognise(until=1.5, then=Conversation.vanish), recognise()]
        with SttPeer(answers) as peer:
            stt = make_stt(peer)
            errors = noted(stt, "error")
            async with closing(stt):
                stream = stt.stream(conn_options=SOON)
                push(stream, recording(3.0)[0])
                assert words(await collect(stream))
                await stt.recognize(frame(SHORT), conn_options=ONCE)
            assert errors
            told += [repr(errors), str(errors[0].error), repr(stt), repr(vars(stt))]
        with SttPeer(recognise(), answer=status(401, {"error": f"bad {KEY}"})) as peer:
            stt = make_stt(peer)
            with pytest.raises(APIStatusError) as caught:
                await stt.recognize(frame(SHORT), conn_options=ONCE)
            told += [repr(caught.value), str(caught.value), repr(caught.value.__context__)]
        return told

    told = run(main)
    # The peer is in this process too, and logs what it receives.
    records = [record for record in caplog.records if not record.name.startswith("websockets")]
    assert records
    text = "".join(str(vars(record)) for record in records) + "".join(told)
    assert KEY not in text
    assert "w0" not in text
    assert "w1 w2" not in text


def test_r02_the_close_that_answers_ours_is_no_error() -> None:
    """A service that closes after the last transcript ends the stream in peace."""

    async def main() -> None:
        with SttPeer(recognise()) as peer:
            stt = make_stt(peer)
            errors = noted(stt, "error")
            async with closing(stt):
                stream = stt.stream(conn_options=SOON)
                push(stream, SHORT)
                assert words(await collect(stream)) == ["w0", "w1", "w2"]
            assert errors == []

    run(main)


@pytest.mark.parametrize("code", [1001, 1011, 1006])
def test_r03_and_r18_a_close_before_the_last_transcript_is_an_error(code: int) -> None:
    """Losing the end is never an empty success; trying again brings it."""

    def lose(conversation: Conversation) -> None:
        while not conversation.texts:
            conversation.receive()
        if code == 1006:
            conversation.vanish()
        else:
            conversation.connection.close(code)

    async def main() -> None:
        with SttPeer(lose) as peer:
            stt = make_stt(peer)
            with pytest.raises(APIConnectionError):
                await stt.recognize(frame(SHORT), conn_options=ONCE)
            stream = stt.stream(conn_options=ONCE)
            push(stream, SHORT)
            with pytest.raises(APIConnectionError):
                await collect(stream)
        with SttPeer([lose, recognise()]) as peer:
            stt = make_stt(peer)
            event = await stt.recognize(frame(SHORT), conn_options=SOON)
            assert event.alternatives[0].text == "w0 w1 w2"
        with SttPeer([lose, recognise()]) as peer:
            stt = make_stt(peer)
            stream = stt.stream(conn_options=SOON)
            push(stream, SHORT)
            assert words(await collect(stream)) == ["w0", "w1", "w2"]

    run(main)


def test_r04_and_r05_the_last_transcript_is_waited_for_and_nothing_else() -> None:
    """The socket stays open until the service has answered, however late, and no longer."""
    answered = 0.0

    def late(conversation: Conversation) -> None:
        nonlocal answered
        while not (conversation.texts and conversation.texts[-1].get("type") == "CloseStream"):
            conversation.receive()
        assert not conversation.released.wait(1.2)
        conversation.send({"transcript": "late", "is_final": True, "speech_final": True})
        answered = time.monotonic()

    async def main() -> None:
        with SttPeer(late) as peer:
            stt = make_stt(peer)
            stream = stt.stream(conn_options=ONCE)
            push(stream, SHORT)
            assert finals(await collect(stream)) == ["late"]
            # The service's close ended it; no pause of ours came after that.
            assert time.monotonic() - answered < 0.4 * PATIENCE / 5 + 0.3

    run(main)


def test_r06_status_and_timeout_keep_their_class() -> None:
    """An HTTP status is an APIStatusError, a limit an APITimeoutError, a refusal neither."""
    # Before 1.8.4 the framework tries everything again in `recognize`, and tells of the attempts.
    patience = SOON if since("1.8.4") else ONCE

    async def main() -> None:
        with SttPeer(recognise(), answer=status(400, {"errors": [{"code": "40007"}]})) as peer:
            with pytest.raises(APIStatusError) as refused:
                await make_stt(peer).recognize(frame(SHORT), conn_options=patience)
            assert refused.value.status_code == 400
            assert not refused.value.retryable
            assert peer.handshakes == 1
        with stalled_upgrade() as stalled:
            stt = STT(api_key=KEY, base_url=stalled.url)
            with pytest.raises(APITimeoutError):
                await stt.recognize(
                    frame(SHORT), conn_options=APIConnectOptions(max_retry=0, timeout=0.3)
                )
        with closed_port() as url:
            stream = STT(api_key=KEY, base_url=url).stream(conn_options=ONCE)
            with pytest.raises(APIConnectionError) as lost:
                await collect(stream)
            assert not isinstance(lost.value, APITimeoutError)

    run(main)


def test_r07_status_code_and_request_id_survive() -> None:
    """What the service said of the request can be told to its support."""

    async def main() -> None:
        with SttPeer(recognise(), answer=status(499, request_id="req-7")) as peer:
            stream = make_stt(peer).stream(conn_options=ONCE)
            with pytest.raises(APIStatusError) as caught:
                await collect(stream)
            assert (caught.value.status_code, caught.value.request_id) == (499, "req-7")

    run(main)


@pytest.mark.parametrize(
    ("engine", "wanted", "asked"),
    [
        ("deepgram", True, True),
        ("Deepgram", False, False),
        ("telnyx", True, False),
        ("soniox", True, True),
        ("Unheard", True, False),
    ],
)
def test_r11_interims_are_asked_for_where_they_are_claimed(
    engine: str, wanted: bool, asked: bool
) -> None:
    """The capability says what the address asks, engine by engine."""

    async def main() -> None:
        with SttPeer(recognise()) as peer:
            stt = make_stt(peer, transcription_engine=engine, interim_results=wanted)
            assert stt.capabilities.interim_results is asked
            await stt.recognize(frame(SHORT), conn_options=ONCE)
            query = peer.conversations[0].parameters
            assert (query.get("interim_results") == "true") is asked

    run(main)


@pytest.mark.parametrize(
    ("given", "sent"),
    [("telnyx", "Telnyx"), ("google", "Google"), ("azure", "Azure"), ("Newest", "Newest")],
)
def test_engines_are_spelt_as_telnyx_spells_them(given: str, sent: str) -> None:
    """The parameter is case-sensitive; what is not known is passed on."""

    async def main() -> None:
        with SttPeer(recognise()) as peer:
            stt = make_stt(peer, transcription_engine=given)
            assert stt.model == given
            await stt.recognize(frame(SHORT), conn_options=ONCE)
            assert peer.conversations[0].parameters["transcription_engine"] == sent

    run(main)


def test_r12_recognize_closes_its_socket_when_it_is_given_up() -> None:
    """A cancelled recognition leaves neither socket nor thread, and returns at once."""

    async def main() -> None:
        with SttPeer(recognise(at_end="mute")) as peer:
            stt = make_stt(peer)
            task = asyncio.create_task(stt.recognize(frame(SHORT), conn_options=ONCE))
            await until(lambda: peer.conversations and peer.conversations[0].texts, "the end")
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < 1.0

    run(main)


# -- R21 to R29 ------------------------------------------------------------------------------------


def test_r21_usage_is_reported_about_once_a_second() -> None:
    """A session that detaches before the stream ends has booked nearly all of the audio."""

    async def main() -> None:
        with SttPeer(recognise()) as peer:
            stt = make_stt(peer)
            metrics = noted(stt, "metrics_collected")
            async with closing(stt):
                stream = stt.stream(conn_options=ONCE)
                for count in range(1, 4):
                    push(stream, silence(1.2), end=False)
                    await until(
                        lambda: (
                            peer.conversations
                            and len(peer.conversations[0].audio) >= 2 * RATE * count  # noqa: B023
                        ),
                        "the audio",
                    )
                push(stream, silence(0.2), end=False)
                await until(lambda: sum(m.audio_duration for m in metrics) >= 2.4, "usage")
                assert all(m.streamed for m in metrics)
                await stream.aclose()
            connected = [m for m in metrics if m.acquire_time]
            assert len(connected) == 1
            assert not connected[0].connection_reused

    run(main)


@pytest.mark.parametrize("code", [408, 429, 503])
def test_r22_an_agent_hears_again_after_one_refused_handshake(code: int) -> None:
    """What may pass is tried again; nothing of what was said meanwhile is lost."""

    async def main() -> None:
        with SttPeer(recognise(), answer=status(code, only=frozenset({0}))) as peer:
            stt = make_stt(peer)
            errors = noted(stt, "error")
            stream = stt.stream(conn_options=SOON)
            push(stream, SHORT)
            assert words(await collect(stream)) == ["w0", "w1", "w2"]
            assert [error.recoverable for error in errors] == [True]
            assert peer.handshakes == 2

    run(main)


@pytest.mark.parametrize("code", [400, 401, 403, 404])
def test_r22_what_is_wrong_with_the_request_is_not_tried_again(code: int) -> None:
    """A bad key costs one handshake and one error that cannot be recovered from."""

    async def main() -> None:
        with SttPeer(recognise(), answer=status(code)) as peer:
            stt = make_stt(peer)
            errors = noted(stt, "error")
            stream = stt.stream(conn_options=SOON)
            with pytest.raises(APIStatusError):
                await collect(stream)
            assert [error.recoverable for error in errors] == [False]
            assert peer.handshakes == 1

    run(main)


def test_r24_a_drop_amid_sending_is_a_connection_error_and_one_attempt() -> None:
    """With no retries the error is raised as it is, and the service was asked once."""

    async def main() -> None:
        with SttPeer(dropping(0.5)) as peer:
            stt = make_stt(peer)
            errors = noted(stt, "error")
            stream = stt.stream(conn_options=ONCE)
            push(stream, recording(3.0)[0])
            with pytest.raises(APIConnectionError):
                await collect(stream)
            assert [error.recoverable for error in errors] == [False]
            assert peer.handshakes == 1

    run(main)


@pytest.mark.parametrize(
    ("message", "retryable"),
    [
        (
            {
                "errors": [
                    {"code": "40003", "title": "Missing", "source": {"parameter": "sample_rate"}}
                ]
            },
            False,
        ),
        ({"type": "error", "error": "engine went away"}, True),
    ],
)
def test_r25_error_frames_are_errors_with_the_services_words(
    message: dict[str, object], retryable: bool
) -> None:
    """A fault of the request is not tried again, one of the service is."""

    def refuse(conversation: Conversation) -> None:
        conversation.receive()
        conversation.send(message)

    async def main() -> None:
        with SttPeer(refuse) as peer:
            stream = make_stt(peer).stream(conn_options=ONCE)
            push(stream, SHORT)
            with pytest.raises(APIError, match=r"Missing|went away") as caught:
                await collect(stream)
            assert caught.value.retryable is retryable
        with SttPeer(refuse) as peer:
            stream = make_stt(peer).stream(
                conn_options=APIConnectOptions(max_retry=2, retry_interval=0.05, timeout=PATIENCE)
            )
            push(stream, SHORT)
            with pytest.raises(APIError):
                await collect(stream)
            assert peer.handshakes == (3 if retryable else 1)

    run(main)


def test_r26_the_connect_ends_before_the_frameworks_limit() -> None:
    """Attempts that stall are counted as failures, so that a fallback gets its turn."""

    async def main() -> None:
        with stalled_upgrade() as peer:
            stt = STT(api_key=KEY, base_url=peer.url)
            stream = stt.stream(
                conn_options=APIConnectOptions(
                    max_retry=1, retry_interval=0.05, timeout=0.4 * PATIENCE
                )
            )
            with pytest.raises(APIConnectionError):
                await collect(stream)
            assert peer.accepted == 2

    run(main)


def test_r27_recognize_makes_one_connection_for_each_attempt() -> None:
    """Three retries are four connections, with one error event each."""

    async def main() -> None:
        with SttPeer(recognise(), answer=status(503)) as peer:
            stt = make_stt(peer)
            errors = noted(stt, "error")
            with pytest.raises(APIConnectionError):
                await stt.recognize(frame(SHORT), conn_options=SOON)
            assert peer.handshakes == 4
            assert [error.recoverable for error in errors] == [True, True, True, False]

    run(main)


def test_r28_a_null_confidence_is_a_number() -> None:
    """The engine that gives none makes nobody deaf."""
    message = {"transcript": "well", "is_final": True, "confidence": None}

    async def main() -> None:
        with SttPeer(answer_with(message, message)) as peer:
            stt = make_stt(peer, transcription_engine="telnyx")
            stream = stt.stream(conn_options=ONCE)
            push(stream, SHORT)
            events = await collect(stream)
            found = [e.alternatives[0].confidence for e in events if e.alternatives]
            assert found == [0.0, 0.0]

    run(main)


@pytest.mark.parametrize("streamed", [True, False])
def test_r29_a_silent_service_is_not_waited_for_without_end(streamed: bool) -> None:
    """Speech that nobody answers is an APITimeoutError."""

    async def main() -> None:
        with SttPeer(recognise(at_end="mute")) as peer:
            # An engine that cannot be asked for a final.
            stt = make_stt(peer, transcription_engine="telnyx")
            options = APIConnectOptions(max_retry=0, timeout=0.5)
            buffer = frame(silence(0.3) + word(0) + word(1))
            stream = stt.stream(conn_options=options)
            stream.push_frame(buffer)
            stream.end_input()
            asking = collect(stream) if streamed else stt.recognize(buffer, conn_options=options)
            with pytest.raises(APITimeoutError):
                await asking
            await stream.aclose()

    run(main)


def test_r29_a_service_that_stays_open_after_its_final_ends_the_stream() -> None:
    """Whether or not the service closes, the stream ends soon after the last final."""

    async def main() -> None:
        with SttPeer(recognise(at_end="stay")) as peer:
            stt = make_stt(peer)
            stream = stt.stream(conn_options=ONCE)
            push(stream, SHORT)
            assert words(await collect(stream)) == ["w0", "w1", "w2"]
            event = await stt.recognize(frame(SHORT), conn_options=ONCE)
            assert event.alternatives[0].text == "w0 w1 w2"

    run(main)


# -- R34 to R40 ------------------------------------------------------------------------------------


def test_r34_garbage_is_skipped() -> None:
    """What is no transcript is neither passed on nor fatal."""
    noise: list[object] = [
        "no json",
        b"binary",
        [1, 2],
        "null",
        {"transcript": 7},
        {"transcript": None},
        {"other": {}},
        {"transcript": "", "is_final": True, "utterance_end": True},
    ]

    async def main() -> None:
        real = {"transcript": "real", "is_final": True, "speech_final": True, "confidence": 0.5}
        with SttPeer(answer_with(*noise, real, *noise)) as peer:
            stream = make_stt(peer).stream(conn_options=ONCE)
            push(stream, SHORT)
            events = await collect(stream)
            assert kinds(events) == ["START", "FINAL", "END"]
            assert finals(events) == ["real"]

    run(main)


def test_r35_an_empty_buffer_costs_no_connection() -> None:
    """Nothing to transcribe is an empty final."""

    async def main() -> None:
        with SttPeer(recognise()) as peer:
            stt = make_stt(peer)
            nothing: list[rtc.AudioFrame] = []
            event = await stt.recognize(nothing, conn_options=ONCE)
            assert event.alternatives[0].text == ""
            event = await stt.recognize(frame(b""), conn_options=ONCE)
            assert event.alternatives[0].text == ""
            assert peer.handshakes == 0

    run(main)


def test_r36_parameters_are_encoded_and_keep_the_query_that_is_there() -> None:
    """A term with an ampersand does not change the request."""

    async def main() -> None:
        with SttPeer(recognise()) as peer:
            stt = make_stt(
                peer,
                base_url=peer.url + "?tenant=a%26b",
                keyterms=["A B&c=d#x", "Ünï"],
                model="nova-3",
            )
            await stt.recognize(frame(SHORT), conn_options=ONCE)
            query = peer.conversations[0].query
            assert ("tenant", "a&b") in query
            assert ("keyterm", "A B&c=d#x") in query
            assert ("keyterm", "Ünï") in query

    run(main)


@pytest.mark.parametrize("rate", [RATE, 2 * RATE])
def test_r37_stereo_is_mixed_to_mono(rate: int) -> None:
    """Two channels are not twice the speech, whatever the rate."""

    async def main() -> None:
        with SttPeer(recognise()) as peer:
            stream = make_stt(peer).stream(conn_options=ONCE)
            samples = [SHORT[at : at + 2] for at in range(0, len(SHORT), 2)]
            one = b"".join(sample * (rate // RATE) for sample in samples)
            both = stereo(one, one)
            step = rate // 50 * 4
            for at in range(0, len(both), step):
                stream.push_frame(frame(both[at : at + step], rate, 2))
            stream.end_input()
            events = await collect(stream)
            seconds = len(peer.conversations[0].audio) / 2 / RATE
            assert seconds == pytest.approx(len(SHORT) / 2 / RATE, abs=0.1)
            if rate == RATE:
                assert words(events) == ["w0", "w1", "w2"]

    run(main)


def test_r38_starts_and_ends_are_paired_across_reconnects() -> None:
    """A connection lost amid an utterance makes one utterance of it, not two, and loses no word."""
    audio = silence(0.3) + utterance(0, 6)

    async def main() -> None:
        with SttPeer([dropping(1.2), recognise()]) as peer:
            stream = make_stt(peer).stream(conn_options=SOON)
            push(stream, audio)
            events = await collect(stream)
            assert words(events) == [f"w{i}" for i in range(6)]
            marks = [kind for kind in kinds(events) if kind in ("START", "END")]
            assert marks == ["START", "END"]

    run(main)


def test_r38_the_end_follows_the_endpoint_and_not_each_final() -> None:
    """Two finals of one utterance commit one turn."""
    messages = [
        {"transcript": "one", "is_final": True, "speech_final": False, "confidence": 0.9},
        {"transcript": "two", "is_final": True, "speech_final": True, "confidence": 0.9},
        {"transcript": "three", "is_final": True, "speech_final": False, "confidence": 0.9},
        {"transcript": "", "is_final": True, "utterance_end": True},
    ]

    async def main() -> None:
        with SttPeer(answer_with(*messages)) as peer:
            stream = make_stt(peer).stream(conn_options=ONCE)
            push(stream, SHORT)
            events = await collect(stream)
            assert kinds(events) == "START FINAL FINAL END START FINAL END".split()

    run(main)


def test_r38_an_engine_without_marks_ends_with_each_final() -> None:
    """Where nothing marks the end of an utterance, a final does."""
    messages = [{"transcript": t, "is_final": True, "confidence": 0.9} for t in ("one", "two")]

    async def main() -> None:
        with SttPeer(answer_with(*messages)) as peer:
            stream = make_stt(peer, transcription_engine="telnyx").stream(conn_options=ONCE)
            push(stream, SHORT)
            assert kinds(await collect(stream)) == "START FINAL END START FINAL END".split()

    run(main)


def test_r38_a_stream_that_is_given_up_has_no_open_utterance() -> None:
    """Whoever was told that somebody speaks is told that it is over."""

    async def main() -> None:
        with SttPeer(dropping(1.2)) as peer:
            stream = make_stt(peer).stream(conn_options=ONCE)
            push(stream, silence(0.3) + utterance(0, 6))
            seen: list[str] = []

            async def listen() -> None:
                async for event in stream:
                    seen.extend(kinds([event]))

            with pytest.raises(APIConnectionError):
                await listen()
            await stream.aclose()
            assert seen[0] == "START"
            assert seen[-1] == "END"

    run(main)


def test_r39_one_stt_serves_several_event_loops() -> None:
    """Nothing of a loop is kept in the STT: one after the other, and two at once."""
    with SttPeer(recognise()) as peer:
        stt = make_stt(peer)
        found: list[list[str]] = []

        async def main() -> None:
            stream = stt.stream(conn_options=ONCE)
            push(stream, SHORT)
            found.append(words(await collect(stream)))

        run(main)
        threads = [threading.Thread(target=run, args=(main,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(4 * PATIENCE)
        assert found == [["w0", "w1", "w2"]] * 3


def test_r40_audio_around_a_reconnect_is_kept() -> None:
    """What the dead connection swallowed is sent again, and heard once."""
    audio, said = recording(6.0)

    async def main() -> None:
        with SttPeer([dropping(1.7), dropping(1.1), recognise()]) as peer:
            stt = make_stt(peer)
            stream = stt.stream(conn_options=SOON)
            push(stream, audio)
            assert words(await collect(stream)) == said
            assert peer.handshakes == 3

    run(main)


# -- options, ownership ----------------------------------------------------------------------------


def test_options_of_a_live_stream_can_be_changed() -> None:
    """The stream connects anew with the new options and loses nothing."""
    first, second = silence(0.3) + utterance(0, 3), utterance(3, 3)

    async def main() -> None:
        with SttPeer(recognise()) as peer:
            stt = make_stt(peer)
            errors = noted(stt, "error")
            stream = stt.stream(conn_options=ONCE)
            events: list[str] = []

            async def listen() -> None:
                async for event in stream:
                    events.extend(words([event]))

            listening = asyncio.create_task(listen())
            push(stream, first, end=False)
            await until(lambda: len(events) == 3, "the first utterance")
            stt.update_options(language="german", model="nova-3", endpointing=300)
            push(stream, second)
            await listening
            await stream.aclose()
            assert events == [f"w{i}" for i in range(6)]
            assert errors == []
            last = peer.conversations[-1].parameters
            assert (last["language"], last["model"], last["endpointing"]) == ("de", "nova-3", "300")

    run(main)


def test_session_keyterms_are_a_list_of_their_own_and_wait_for_a_pause() -> None:
    """The framework's terms and the user's are sent together, not amid an utterance."""

    async def main() -> None:
        with SttPeer(recognise()) as peer:
            stt = make_stt(peer, keyterms=["mine"])
            assert stt.capabilities.keyterms
            stream = stt.stream(conn_options=ONCE)
            seen: list[str] = []

            async def listen() -> None:
                async for event in stream:
                    seen.extend(kinds([event]))

            listening = asyncio.create_task(listen())
            push(stream, silence(0.3) + word(0) + word(1), end=False)
            await until(lambda: "INTERIM" in seen, "an interim")
            stt._update_session_keyterms(["theirs", "mine"])
            push(stream, silence(0.1), end=False)
            await asyncio.sleep(0.05)
            assert peer.handshakes == 1
            push(stream, silence(0.6), end=False)
            await until(lambda: "END" in seen, "the pause")
            await until(lambda: peer.handshakes == 2, "the new connection")
            stream.end_input()
            await listening
            await stream.aclose()
            terms = [value for name, value in peer.conversations[-1].query if name == "keyterm"]
            assert terms == ["mine", "theirs"]

    run(main)


def test_a_flush_asks_for_a_final() -> None:
    """An engine that can be asked is asked, and claims that it can."""

    async def main() -> None:
        with SttPeer(recognise()) as peer:
            stt = make_stt(peer)
            # Older frameworks do not ask; a stream can be flushed all the same.
            assert getattr(stt.capabilities, "manual_flush", not since("1.8.9"))
            stream = stt.stream(conn_options=ONCE)
            push(stream, silence(0.3) + word(0), end=False)
            stream.flush()
            async for event in stream:
                if finals([event]):
                    assert finals([event]) == ["w0"]
                    break
            await stream.aclose()
        other = STT(api_key=KEY, transcription_engine="telnyx").capabilities
        assert not getattr(other, "manual_flush", False)

    run(main)


def test_a_fallback_engine_takes_over_without_a_word_lost() -> None:
    """When an engine has failed as often as is allowed, the next one gets the same audio."""
    engines: list[str] = []

    def behave(conversation: Conversation) -> None:
        engine = conversation.parameters["transcription_engine"]
        engines.append(engine)
        if engine == "Deepgram":
            dropping(0.5)(conversation)
        else:
            recognise()(conversation)

    async def main() -> None:
        with SttPeer(behave) as peer:
            stt = make_stt(peer, fallbacks=("soniox",))
            stream = stt.stream(
                conn_options=APIConnectOptions(max_retry=1, retry_interval=0.05, timeout=PATIENCE)
            )
            push(stream, SHORT)
            assert words(await collect(stream)) == ["w0", "w1", "w2"]
            assert engines == ["Deepgram", "Deepgram", "Soniox"]

    run(main)


@pytest.mark.parametrize("moment", ["connecting", "speaking", "waiting to try again"])
def test_a_stream_closes_at_once_whatever_it_is_doing(moment: str) -> None:
    """Closing returns within milliseconds, and closing the STT closes its streams."""

    async def close(stt: STT) -> None:
        began = time.monotonic()
        await stt.aclose()
        assert time.monotonic() - began < 1.0

    async def main() -> None:
        if moment == "connecting":
            with stalled_upgrade() as stalled:
                stt = STT(api_key=KEY, base_url=stalled.url)
                stt.stream(conn_options=ONCE)
                await until(lambda: stalled.accepted, "the connection")
                await close(stt)
            return
        answer = status(503) if moment == "waiting to try again" else None
        with SttPeer(recognise(at_end="mute"), answer=answer) as peer:
            stt = make_stt(peer)
            stream = stt.stream(
                conn_options=APIConnectOptions(max_retry=9, retry_interval=60, timeout=PATIENCE)
            )
            push(stream, SHORT, end=False)
            await until(lambda: peer.handshakes, "the handshake")
            if moment == "speaking":
                await until(lambda: peer.conversations and peer.conversations[0].audio, "audio")
            await close(stt)

    run(main)


def test_a_missing_key_is_a_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is an option that is out of range; both when the STT is made."""
    monkeypatch.delenv("TELNYX_API_KEY", raising=False)
    with pytest.raises(ValueError, match="TELNYX_API_KEY"):
        STT()
    with pytest.raises(ValueError, match="redact"):
        STT(api_key=KEY, redact=["pci"])
    monkeypatch.setenv("TELNYX_API_KEY", KEY)
    assert STT().provider == "telnyx"


def test_the_numbered_recogniser_is_fair() -> None:
    """The loopback engine understands the tests' words."""
    engine = NumberRecogniser()
    assert [m["transcript"] for m in engine.feed(SHORT) if m["is_final"]] == ["w0 w1 w2"]
