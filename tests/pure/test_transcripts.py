"""The wire of streaming transcription: what is asked, what is understood."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telnyx_media.errors import AuthenticationError, ConfigurationError, ServiceError
from telnyx_media.transcripts import (
    TRANSCRIPTION_URL,
    ServerError,
    SttOptions,
    Transcript,
    parse_message,
    transcription_url,
)
from telnyx_media.urls import with_query, without_query


def query(options: SttOptions, base: str = TRANSCRIPTION_URL) -> list[tuple[str, str]]:
    """Get what is asked."""
    return parse_qsl(urlsplit(transcription_url(base, options)).query, keep_blank_values=True)


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("deepgram", "Deepgram"),
        ("TELNYX", "Telnyx"),
        ("xai", "xAI"),
        ("assemblyai", "AssemblyAI"),
        ("Reson8", "Reson8"),
    ],
)
def test_engine_goes_out_in_the_case_that_telnyx_matches(typed: str, sent: str) -> None:
    """An engine is found whatever case it was typed in."""
    assert ("transcription_engine", sent) in query(SttOptions(engine=typed))


def test_every_option_reaches_the_wire() -> None:
    """Each option is one parameter, key terms are repeated, lists are joined."""
    flux = SttOptions(
        model="deepgram/flux",
        language="en",
        input_format="mulaw",
        endpointing=300,
        keyterms=["Telnyx & Co", "pão"],
        redact=("pci", "ssn"),
        eot_threshold=0.8,
        eot_timeout_ms=4000,
        eager_eot_threshold=0.4,
        extra={"diarize": "true", "tag": ["a", "b c"]},
    )

    assert query(flux) == [
        ("transcription_engine", "Deepgram"),
        ("model", "flux"),
        ("language", "en"),
        ("input_format", "mulaw"),
        ("sample_rate", "8000"),
        ("interim_results", "true"),
        ("endpointing", "300"),
        ("keyterm", "Telnyx & Co"),
        ("keyterm", "pão"),
        ("redact", "pci,ssn"),
        ("eot_threshold", "0.8"),
        ("eot_timeout_ms", "4000"),
        ("eager_eot_threshold", "0.4"),
        ("diarize", "true"),
        ("tag", "a"),
        ("tag", "b c"),
    ]


def test_keywords_and_region_and_disabled_endpointing() -> None:
    """The options of other engines and models are spelt as their pages say."""
    nova = query(SttOptions(model="nova-2", keywords=["pizza:3", "olive"], endpointing=False))
    azure = query(SttOptions(engine="azure", region="westeurope"))

    assert ("keywords", "pizza:3,olive") in nova
    assert ("endpointing", "false") in nova
    assert ("region", "westeurope") in azure


@pytest.mark.parametrize("engine", ["Telnyx", "Google", "Azure", "xAI", "Cohere"])
def test_interims_are_asked_only_of_engines_that_have_them(engine: str) -> None:
    """``interim_results`` silenced an engine that has none; it is not sent there."""
    assert "interim_results" not in dict(query(SttOptions(engine=engine, interim_results=True)))


def test_interims_are_asked_of_those_that_have_them_and_only_when_wanted() -> None:
    """Deepgram, Speechmatics and Soniox get the parameter, unless interims are not wanted."""
    for engine in ("Deepgram", "Speechmatics", "Soniox"):
        assert ("interim_results", "true") in query(SttOptions(engine=engine))
        assert "interim_results" not in dict(
            query(SttOptions(engine=engine, interim_results=False))
        )


def test_containers_need_no_rate() -> None:
    """A WAV header says the rate itself."""
    assert "sample_rate" not in dict(query(SttOptions(input_format="wav")))


def test_query_of_the_base_address_is_kept_and_ours_wins() -> None:
    """A proxy's parameters stay; a parameter that we decide is not sent twice."""
    sent = query(SttOptions(), "wss://proxy.test:99/a/b?token=a%26b&empty=&sample_rate=1")

    assert sent[:2] == [("token", "a&b"), ("empty", "")]
    assert [value for name, value in sent if name == "sample_rate"] == ["8000"]


@pytest.mark.parametrize("base", ["", "api.telnyx.com", "ftp://x/y", "wss://", "ws://x:abc/"])
def test_base_address_must_be_absolute(base: str) -> None:
    """What is no address is refused before anything connects."""
    with pytest.raises(ConfigurationError, match="base_url"):
        transcription_url(base, SttOptions())


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=5))
def test_any_text_survives_the_query(pairs: list[tuple[str, str]]) -> None:
    """Whatever stands in a name or a value arrives as it was."""
    try:
        url = with_query("wss://h/p", pairs)
    except UnicodeEncodeError:
        return  # lone surrogates are no text

    assert parse_qsl(urlsplit(url).query, keep_blank_values=True) == pairs


def test_address_for_messages_has_no_query() -> None:
    """Tokens in a query or before the host are not shown."""
    assert without_query("wss://u:p@h:1/a?token=x#f") == "wss://h:1/a"
    assert "x" not in without_query("wss://[x")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"engine": "Whisper"}, "transcription_engine.*Deepgram, Telnyx"),
        ({"engine": ""}, "transcription_engine"),
        ({"input_format": "pcm"}, "input_format.*linear16"),
        ({"engine": "Telnyx", "input_format": "mulaw"}, "input_format.*Telnyx takes"),
        ({"engine": "Google", "input_format": "alaw"}, "input_format"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"sample_rate": True}, "sample_rate"),
        ({"sample_rate": 8000.0}, "sample_rate"),
        ({"language": " "}, "language"),
        ({"endpointing": -1}, "endpointing"),
        ({"endpointing": True}, "endpointing.*False"),
        ({"engine": "Telnyx", "endpointing": 100}, "endpointing.*Deepgram"),
        ({"engine": "Soniox", "endpointing": 100}, "endpointing.*500 to 3000"),
        ({"engine": "Azure", "keyterms": ["x"]}, "keyterms"),
        ({"keywords": ["x"]}, "keywords.*nova-2"),
        ({"model": "nova-2", "keyterms": ["x"]}, "keyterms.*nova-3"),
        ({"redact": ["names"]}, "redact.*numbers, pci, ssn"),
        ({"engine": "Telnyx", "redact": ["pci"]}, "redact.*Deepgram"),
        ({"region": "eastus"}, "region.*Azure"),
        ({"eot_threshold": 0.7}, "eot_threshold.*flux"),
        ({"model": "flux", "eot_threshold": 0.95}, "eot_threshold: 0.5 to 0.9"),
        ({"model": "flux", "eot_timeout_ms": 100}, "eot_timeout_ms: 500 to 10000"),
        ({"model": "flux", "eager_eot_threshold": 0.1}, "eager_eot_threshold: 0.3 to 0.9"),
    ],
)
def test_error_names_the_parameter_and_what_is_allowed(
    options: dict[str, object], named: str
) -> None:
    """A wrong option is one clear sentence, before anything connects."""
    with pytest.raises(ConfigurationError, match=named):
        SttOptions(**options)  # type: ignore[arg-type]


def test_unknown_things_pass_on_request() -> None:
    """With ``strict`` off, tomorrow's engine and combination go out as they are."""
    options = SttOptions(
        engine="Whisper9", input_format="opus2", keyterms=["x"], eot_threshold=2.0, strict=False
    )

    sent = dict(query(options))

    assert sent["transcription_engine"] == "Whisper9"
    assert sent["input_format"] == "opus2"
    assert sent["eot_threshold"] == "2.0"
    assert "interim_results" not in sent


def test_another_engine_gets_the_wishes_it_can_fulfil() -> None:
    """A fallback keeps language and rate and loses what its engine would refuse."""
    first = SttOptions(
        language="de", input_format="mulaw", endpointing=200, keyterms=["x"], redact=["pci"]
    )

    telnyx = first.for_engine("telnyx")
    google = first.for_engine("Google")
    deepgram = telnyx.for_engine("deepgram")

    assert (telnyx.engine, telnyx.language, telnyx.input_format) == ("Telnyx", "de", "linear16")
    assert telnyx.endpointing is None
    assert (google.input_format, google.endpointing, google.keyterms) == ("mulaw", 200, ())
    assert deepgram.input_format == "linear16"


# -- messages -------------------------------------------------------------------------------------


def one(message: object) -> Transcript:
    """Read a message that is one transcript."""
    (found,) = parse_message(json.dumps(message))
    assert isinstance(found, Transcript)
    return found


def test_transcripts_as_the_service_sends_them() -> None:
    """The four messages of the responses page."""
    interim = one({"transcript": "hello there", "is_final": False, "confidence": 0.0})
    final = one(
        {"transcript": "hello there", "is_final": True, "speech_final": True, "confidence": 0.98}
    )
    empty = one({"transcript": "", "is_final": True, "speech_final": True})
    marker = one({"transcript": "", "is_final": True, "utterance_end": True})

    assert interim == Transcript("hello there", is_final=False)
    assert final == Transcript("hello there", confidence=0.98, speech_final=True)
    assert (empty.text, empty.ends_utterance) == ("", True)
    assert (marker.text, marker.utterance_end, marker.is_final) == ("", True, True)


@pytest.mark.parametrize(
    ("sent", "understood"),
    [
        (None, 0.0),
        ("0.75", 0.75),
        ("high", 0.0),
        (True, 0.0),
        ([], 0.0),
        (7, 1.0),
        (-1, 0.0),
        ("nan", 0.0),
        (0.5, 0.5),
    ],
)
def test_confidence_is_always_a_number_between_0_and_1(sent: object, understood: float) -> None:
    """Some engines send null, text or a boolean."""
    assert one({"transcript": "x", "is_final": True, "confidence": sent}).confidence == understood


def test_marker_without_a_transcript() -> None:
    """An utterance end that carries no text at all is one all the same."""
    assert one({"utterance_end": True}).ends_utterance
    assert one({"transcript": None, "speech_final": True}).ends_utterance


def test_arrays_hold_several_messages() -> None:
    """Telnyx's own client reads arrays; so does this one."""
    found = parse_message(
        '[{"transcript":"a","is_final":true},7,{"errors":[{"code":"40001","title":"t"}]}]'
    )

    assert found == [Transcript("a"), ServerError("40001", "t")]


@pytest.mark.parametrize(
    "data",
    [
        "", "hello", "{", "null", "7", '"text"', "[]", "{}", '{"transcript":7}', '{"errors":[]}',
        '{"transcript":null}', '{"is_final":true}', "\ud800", "[" * 100_000, b"\x00\x01", b"{}",
    ],
)  # fmt: skip
def test_noise_means_nothing(data: str | bytes) -> None:
    """What cannot be understood gives no message and no exception."""
    assert parse_message(data) == []


@given(st.text() | st.binary())
def test_nothing_breaks_the_parser(data: str | bytes) -> None:
    """Any text and any bytes are survived."""
    parse_message(data)


def test_error_in_both_shapes() -> None:
    """The list of errors of the live service, and the single text of its SDK."""
    (live,) = parse_message(
        json.dumps(
            {
                "errors": [
                    {
                        "code": "40003",
                        "title": "Missing",
                        "detail": "is required",
                        "source": {"parameter": "sample_rate"},
                    }
                ]
            }
        )
    )
    (sdk,) = parse_message('{"type":"error","error":"engine overloaded"}')

    assert live == ServerError("40003", "Missing", "is required", "sample_rate")
    assert sdk == ServerError(title="engine overloaded")
    assert isinstance(live, ServerError)
    assert isinstance(sdk, ServerError)
    refused, failed = live.to_exception(), sdk.to_exception()
    assert (refused.code, refused.retryable, failed.retryable) == ("40003", False, True)
    assert "sample_rate" in str(refused)


def test_error_of_authentication() -> None:
    """A refused key is told apart."""
    assert isinstance(ServerError("401", "no").to_exception(), AuthenticationError)
    assert type(ServerError("40007", "no").to_exception()) is ServiceError


@pytest.mark.parametrize("error", [[], {}, [None], [7], {"code": None}, [{"source": []}]])
def test_errors_of_odd_shapes_are_survived(error: object) -> None:
    """However an error is spelt, it is none of ours."""
    for message in ({"errors": error}, {"error": error}, {"type": "error", "error": error}):
        for found in parse_message(json.dumps(message)):
            assert isinstance(found, ServerError)
            assert str(found.to_exception())
