"""Synthesis as LiveKit wants it; the numbers are those of docs/livekit.md."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import pytest
from livekit.agents import (
    APIConnectionError,
    APIConnectOptions,
    APIError,
    APIStatusError,
    APITimeoutError,
)

from telnyx_media.livekit_compat import TTS
from telnyx_media.pcm import seconds
from tests.compat.helpers import ONCE, SOON, closing, make_tts, noted, pcm_of, run, speak, until
from tests.loopback import PATIENCE
from tests.loopback.faults import stalled_upgrade
from tests.loopback.servers import KEY, Conversation, status
from tests.loopback.tts import TtsPeer, mp3_file, raw, spoken, synthesise, wav, words_in

pytestmark = pytest.mark.livekit

# The numbered voice speaks a word for each word.
TEXT = "w1 w2 w3 w4 w5 w6 w7 w8. w9 w10 w11 w12. w13 w14."
SAID = [f"w{i}" for i in range(1, 15)]


def texts(conversation: Conversation) -> list[str]:
    """Get the texts that were sent, with the first frame and the end."""
    return [str(frame.get("text")) for frame in conversation.texts]


Behaviour = Callable[[Conversation], None]


def failing(then: Behaviour, frames: int = 0) -> Behaviour:
    """Make a voice that does ``then`` after so many frames with audio."""
    return synthesise(frames=frames, then=then)


def erring(conversation: Conversation) -> None:
    """Say that something went wrong, and close."""
    conversation.send({"error": "error in audio response"})


# -- the whole -------------------------------------------------------------------------------------


def test_a_reply_is_spoken_completely_and_in_order() -> None:
    """Ids, frame lengths and the mark of the last frame are as LiveKit wants them."""

    async def main() -> None:
        with TtsPeer(synthesise()) as peer:
            tts = make_tts(peer)
            metrics = noted(tts, "metrics_collected")
            async with closing(tts):
                stream = tts.stream(conn_options=ONCE)
                for token in TEXT.split(" "):
                    stream.push_text(token + " ")
                stream.end_input()
                audio = await speak(stream)
            assert words_in(pcm_of(audio)) == SAID
            assert len({one.request_id for one in audio}) == 1
            assert len({one.segment_id for one in audio}) == 1
            assert audio[0].request_id
            assert audio[0].segment_id
            assert [one.is_final for one in audio] == [False] * (len(audio) - 1) + [True]
            assert all(one.frame.duration < 0.25 for one in audio)
            assert {one.frame.sample_rate for one in audio} == {16000}
            assert {one.frame.num_channels for one in audio} == {1}
            assert [m.streamed for m in metrics] == [True]
            assert metrics[0].ttfb > 0
            assert metrics[0].acquire_time > 0
            assert texts(peer.conversations[0])[0] == " "
            assert texts(peer.conversations[0])[-1] == ""

    run(main)


def test_r32_synthesize_gives_one_metrics_event() -> None:
    """A complete text is one request, with ids and one last frame."""

    async def main() -> None:
        with TtsPeer(synthesise()) as peer:
            tts = make_tts(peer)
            metrics = noted(tts, "metrics_collected")
            audio = await speak(tts.synthesize(TEXT, conn_options=ONCE))
            assert words_in(pcm_of(audio)) == SAID
            assert [m.streamed for m in metrics] == [False]
            assert metrics[0].characters_count == len(TEXT)
            assert metrics[0].audio_duration == pytest.approx(seconds(pcm_of(audio), 16000))
            assert [one.is_final for one in audio] == [False] * (len(audio) - 1) + [True]
            assert peer.handshakes == 1

    run(main)


def test_r32_each_failed_attempt_gives_one_error_event() -> None:
    """Three retries are four connections and four errors, the last one final."""

    async def main() -> None:
        with TtsPeer(synthesise(), answer=status(503)) as peer:
            tts = make_tts(peer)
            errors = noted(tts, "error")
            metrics = noted(tts, "metrics_collected")
            with pytest.raises(APIStatusError):
                await speak(tts.synthesize(TEXT, conn_options=SOON))
            assert [error.recoverable for error in errors] == [True, True, True, False]
            assert peer.handshakes == 4
            assert metrics == []

    run(main)


# -- R6 to R10 -------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [True, False])
def test_r06_status_and_timeout_keep_their_class(streamed: bool) -> None:
    """An HTTP status is an APIStatusError, a stalled service an APITimeoutError in time."""

    async def say(tts: TTS, options: APIConnectOptions) -> None:
        if streamed:
            stream = tts.stream(conn_options=options)
            stream.push_text("w1 w2.")
            stream.end_input()
            await speak(stream)
        else:
            await speak(tts.synthesize("w1 w2.", conn_options=options))

    async def main() -> None:
        with TtsPeer(synthesise(), answer=status(401, request_id="req-9")) as peer:
            with pytest.raises(APIStatusError) as refused:
                await say(make_tts(peer), SOON)
            assert (refused.value.status_code, refused.value.request_id) == (401, "req-9")
            assert peer.handshakes == 1
        with stalled_upgrade() as stalled:
            tts = TTS(api_key=KEY, base_url=stalled.url)
            began = time.monotonic()
            with pytest.raises(APITimeoutError):
                await say(tts, APIConnectOptions(max_retry=0, timeout=0.5))
            assert time.monotonic() - began < 3.0

    run(main)


@pytest.mark.parametrize("streamed", [True, False])
def test_r07_499_ends_quietly(streamed: bool) -> None:
    """A request that was given up is no error and is not tried again."""

    async def main() -> None:
        with TtsPeer(synthesise(), answer=status(499)) as peer:
            tts = make_tts(peer)
            errors = noted(tts, "error")
            if streamed:
                stream = tts.stream(conn_options=SOON)
                stream.push_text("w1 w2.")
                stream.end_input()
                assert await speak(stream) == []
            else:
                assert await speak(tts.synthesize("w1 w2.", conn_options=SOON)) == []
            assert errors == []
            assert peer.handshakes == 1

    run(main)


def test_r08_to_r10_a_retry_begins_with_nothing_of_the_attempt_before() -> None:
    """After failures of every kind the text is spoken once, as one segment."""
    behaviours = [
        failing(Conversation.vanish),
        failing(erring),
        failing(lambda conversation: conversation.connection.close(1011)),
        synthesise(),
    ]

    async def main() -> None:
        with TtsPeer(behaviours) as peer:
            tts = make_tts(peer)
            errors = noted(tts, "error")
            stream = tts.stream(conn_options=SOON)
            stream.push_text(TEXT)
            stream.flush()
            stream.end_input()
            audio = await speak(stream)
            assert words_in(pcm_of(audio)) == SAID
            assert len({one.segment_id for one in audio}) == 1
            assert [error.recoverable for error in errors] == [True] * 3

    run(main)


def test_r09_flushes_make_no_further_segments() -> None:
    """However often is flushed, a stream has one segment."""

    async def main() -> None:
        with TtsPeer(synthesise()) as peer:
            stream = make_tts(peer).stream(conn_options=ONCE)
            stream.push_text("w1 w2")
            stream.flush()
            stream.flush()
            stream.end_input()
            audio = await speak(stream)
            assert words_in(pcm_of(audio)) == ["w1", "w2"]
            assert len({one.segment_id for one in audio}) == 1

    run(main)


# -- R23 to R36 ------------------------------------------------------------------------------------


def test_r23_neither_text_nor_key_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Logs and errors name lengths and codes."""
    caplog.set_level(logging.DEBUG)

    async def main() -> list[str]:
        with TtsPeer([failing(erring), synthesise()]) as peer:
            tts = make_tts(peer)
            errors = noted(tts, "error")
            stream = tts.stream(conn_options=SOON)
            stream.push_text("w1 w2 secret.")
            stream.end_input()
            await speak(stream)
            return [repr(errors), str(errors[0].error), repr(vars(tts))]

    told = run(main)
    records = [record for record in caplog.records if not record.name.startswith("websockets")]
    assert records
    text = "".join(str(vars(record)) for record in records) + "".join(told)
    assert KEY not in text
    assert "secret." not in text


def test_r25_error_frames_are_errors_with_the_services_words() -> None:
    """The text comes at once, not as a complaint about missing audio later."""

    def refuse(conversation: Conversation) -> None:
        erring(conversation)
        conversation.hang()

    async def main() -> None:
        with TtsPeer(failing(refuse)) as peer:
            stream = make_tts(peer).stream(conn_options=ONCE)
            stream.push_text("w1 w2. w3 w4. ")
            # The input has not ended: nobody waits for that.
            with pytest.raises(APIError, match="error in audio response"):
                await speak(stream)

    run(main)


def test_r29_a_silent_service_is_not_waited_for_without_end() -> None:
    """No audio, no error and no close is an APITimeoutError."""

    async def main() -> None:
        with TtsPeer(failing(Conversation.hang)) as peer, pytest.raises(APITimeoutError):
            await speak(
                make_tts(peer).synthesize(
                    "w1 w2.", conn_options=APIConnectOptions(max_retry=0, timeout=0.4)
                )
            )

    run(main)


@pytest.mark.parametrize("final", ["end", "each", "never"])
@pytest.mark.parametrize("at_end", ["close", "stay"])
def test_the_end_is_found_in_whatever_way_it_is_told(final: str, at_end: str) -> None:
    """By a last mark, by one for each text, by the close alone, and if the socket stays open."""
    if (final, at_end) == ("never", "stay"):
        pytest.skip("such a service never tells")

    async def main() -> None:
        with TtsPeer(synthesise(final=final, at_end=at_end)) as peer:
            text = "w1 w2 w3 w4 w5 w6 w7. w8 w9."
            audio = await speak(make_tts(peer).synthesize(text, conn_options=ONCE))
            assert words_in(pcm_of(audio)) == SAID[:9]

    run(main)


@pytest.mark.parametrize(
    "loss",
    [
        Conversation.vanish,
        lambda conversation: conversation.connection.close(1011),
        erring,
    ],
)
def test_r30_truncated_speech_is_an_error(loss: Callable[[Conversation], None]) -> None:
    """What was heard stays heard; it is not tried again, and never a success."""

    async def main() -> None:
        with TtsPeer(failing(loss, frames=2)) as peer:
            tts = make_tts(peer)
            errors = noted(tts, "error")
            stream = tts.stream(conn_options=SOON)
            stream.push_text(TEXT)
            stream.end_input()
            with pytest.raises(APIError) as caught:
                await speak(stream)
            assert "w1" not in str(caught.value)
            assert [error.recoverable for error in errors] == [False]
            assert peer.handshakes == 1

    run(main)


def test_r31_a_sentence_is_spoken_while_the_next_is_written() -> None:
    """Audio comes before the input has ended, and the connection with the first word."""

    async def main() -> None:
        with TtsPeer(synthesise()) as peer:
            stream = make_tts(peer).stream(conn_options=ONCE)
            stream.push_text("w1 ")
            await until(lambda: peer.handshakes, "the connection")
            stream.push_text("w2 w3 w4. And ")
            stream.push_text("then ")
            first = await asyncio.wait_for(stream.__anext__(), PATIENCE)
            assert first.frame.duration > 0
            stream.push_text("w5 w6.")
            stream.end_input()
            rest = await speak(stream)
            assert words_in(pcm_of([first, *rest]))[-2:] == ["w5", "w6"]

    run(main)


def test_r33_several_mp3_files_in_a_row_are_all_heard() -> None:
    """Each sentence comes as a file of its own; none is dropped."""

    async def main() -> None:
        with TtsPeer(synthesise(encode=mp3_file)) as peer:
            tts = make_tts(peer, audio_format=None)
            audio = await speak(tts.synthesize(TEXT, conn_options=ONCE))
            expected = len(spoken(TEXT)) / 2 / 16000
            assert seconds(pcm_of(audio), 16000) == pytest.approx(expected, abs=0.3)

    run(main)


@pytest.mark.parametrize("style", ["streaming", "bearing", "twice", "silent"])
def test_r33_audio_is_heard_once_however_it_is_delivered(style: str) -> None:
    """Copies are not played twice; audio that comes with the text alone is played."""

    async def main() -> None:
        with TtsPeer(synthesise(style=style)) as peer:
            audio = await speak(make_tts(peer).synthesize(TEXT, conn_options=ONCE))
            assert words_in(pcm_of(audio)) == SAID

    run(main)


@pytest.mark.parametrize(("encode", "asked"), [(wav, "wav"), (wav, None), (raw, "linear16")])
def test_r33_voices_that_do_not_speak_mp3_are_heard(
    encode: Callable[[str], bytes], asked: str | None
) -> None:
    """What comes is looked at, whatever was asked."""

    async def main() -> None:
        with TtsPeer(synthesise(encode=encode)) as peer:
            tts = make_tts(peer, audio_format=asked)
            audio = await speak(tts.synthesize(TEXT, conn_options=ONCE))
            assert words_in(pcm_of(audio)) == SAID

    run(main)


def test_r34_garbage_is_skipped() -> None:
    """Frames that mean nothing do not end the speech."""
    voice = synthesise()

    def noisy(conversation: Conversation) -> None:
        for noise in ("no json", b"binary", [1], "null", {"audio": "%%%"}, {"audio": 7}, {}):
            conversation.send(noise)
        voice(conversation)

    async def main() -> None:
        with TtsPeer(noisy) as peer:
            audio = await speak(make_tts(peer).synthesize(TEXT, conn_options=ONCE))
            assert words_in(pcm_of(audio)) == SAID

    run(main)


@pytest.mark.parametrize("text", ["", " ", "\n \t", "…!", "🙂", "--- ?"])
@pytest.mark.parametrize("streamed", [True, False])
def test_r35_nothing_to_say_costs_no_connection(text: str, streamed: bool) -> None:
    """Blank and unspeakable text is no error either."""

    async def main() -> None:
        with TtsPeer(synthesise()) as peer:
            tts = make_tts(peer)
            errors = noted(tts, "error")
            if streamed:
                stream = tts.stream(conn_options=ONCE)
                stream.push_text(text)
                stream.end_input()
                audio = await speak(stream)
            else:
                audio = await speak(tts.synthesize(text, conn_options=ONCE))
            assert seconds(pcm_of(audio), 16000) < 0.1
            assert errors == []
            assert peer.handshakes == 0

    run(main)


def test_r36_parameters_are_encoded_and_keep_the_query_that_is_there() -> None:
    """A voice with awkward letters arrives whole."""

    async def main() -> None:
        with TtsPeer(synthesise()) as peer:
            tts = make_tts(peer, voice="A B&c=d#x:Ü", base_url=peer.url + "?tenant=t")
            assert tts.model == "A B&c=d#x:Ü"
            await speak(tts.synthesize("w1.", conn_options=ONCE))
            assert peer.conversations[0].parameters["voice"] == "A B&c=d#x:Ü"
            assert peer.conversations[0].parameters["tenant"] == "t"

    run(main)


# -- options, ownership ----------------------------------------------------------------------------


def test_options_reach_the_service() -> None:
    """Format, rate, settings and the rest of Telnyx's options are sent."""

    async def main() -> None:
        with TtsPeer(synthesise(encode=lambda text: spoken(text, 24000))) as peer:
            tts = make_tts(
                peer, sample_rate=24000, voice_settings={"voice_speed": 1.2}, language="en-US"
            )
            assert tts.sample_rate == 24000
            audio = await speak(tts.synthesize(TEXT, conn_options=ONCE))
            assert words_in(pcm_of(audio), 24000) == SAID
            query = peer.conversations[0].parameters
            assert (query["audio_format"], query["sample_rate"]) == ("linear16", "24000")
            assert query["language"] == "en-US"
            assert peer.conversations[0].texts[0]["voice_settings"] == {"voice_speed": 1.2}

    run(main)


def test_options_can_be_changed_for_streams_that_have_not_begun() -> None:
    """A live stream without a word yet speaks with the new voice."""

    async def main() -> None:
        with TtsPeer(synthesise()) as peer:
            tts = make_tts(peer)
            stream = tts.stream(conn_options=ONCE)
            tts.update_options(voice="AWS.Polly.Joanna-Neural")
            assert tts.model == "AWS.Polly.Joanna-Neural"
            stream.push_text("w1.")
            stream.end_input()
            await speak(stream)
            assert peer.conversations[0].parameters["voice"] == "AWS.Polly.Joanna-Neural"
            with pytest.raises(ValueError, match="audio_format"):
                tts.update_options(audio_format="shellac")
            assert tts.model == "AWS.Polly.Joanna-Neural"

    run(main)


def test_a_fallback_voice_takes_over() -> None:
    """When a voice has failed as often as is allowed, the next one speaks the same text."""
    voices: list[str] = []

    def behave(conversation: Conversation) -> None:
        voices.append(conversation.parameters["voice"])
        if voices[-1] == "One.A":
            conversation.connection.close(1011)
        else:
            synthesise()(conversation)

    async def main() -> None:
        with TtsPeer(behave) as peer:
            tts = make_tts(peer, voice="One.A", fallbacks=["Two.B"], audio_format="linear16")
            stream = tts.stream(
                conn_options=APIConnectOptions(max_retry=1, retry_interval=0.05, timeout=PATIENCE)
            )
            stream.push_text("w1 w2.")
            stream.end_input()
            await speak(stream)
            assert voices == ["One.A", "One.A", "Two.B"]

    run(main)


@pytest.mark.parametrize("moment", ["connecting", "speaking", "before a word"])
def test_a_reply_is_cut_off_at_once(moment: str) -> None:
    """An interruption returns within milliseconds, whatever the service does."""

    async def main() -> None:
        if moment == "connecting":
            with stalled_upgrade() as stalled:
                tts = TTS(api_key=KEY, base_url=stalled.url)
                stream = tts.stream(conn_options=ONCE)
                stream.push_text("w1 w2.")
                await until(lambda: stalled.accepted, "the connection")
                began = time.monotonic()
                await stream.aclose()
                assert time.monotonic() - began < 1.0
            return
        with TtsPeer(failing(Conversation.hang, frames=2)) as peer:
            tts = make_tts(peer)
            stream = tts.stream(conn_options=ONCE)
            if moment == "speaking":
                stream.push_text(TEXT)
                await stream.__anext__()
            began = time.monotonic()
            await tts.aclose()
            assert time.monotonic() - began < 1.0

    run(main)


def test_a_missing_key_is_a_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is an option that is out of range; both when the TTS is made."""
    monkeypatch.delenv("TELNYX_API_KEY", raising=False)
    with pytest.raises(ValueError, match="TELNYX_API_KEY"):
        TTS()
    with pytest.raises(ValueError, match="audio_format"):
        TTS(api_key=KEY, audio_format="shellac")
    assert TTS(api_key=KEY).provider == "telnyx"
    assert APIConnectionError().retryable


def test_r39_one_tts_serves_several_event_loops() -> None:
    """Nothing of a loop is kept in the TTS."""
    with TtsPeer(synthesise()) as peer:
        tts = make_tts(peer)

        async def main() -> list[str]:
            return words_in(pcm_of(await speak(tts.synthesize("w1 w2.", conn_options=ONCE))))

        assert [run(main) for _ in range(2)] == [["w1", "w2"]] * 2
