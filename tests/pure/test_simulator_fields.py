"""A command's body, whatever a client puts into it."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.simulator.apierrors import CODES, ApiError
from bridge.simulator.fields import Fields

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(value=JSON)
def test_whatever_a_field_holds_it_is_read_or_refused(value: Any) -> None:
    """No value of a field leads to anything but an answer in Telnyx's shape."""
    fields = Fields({"x": value, "client_state": value})
    readers = [
        lambda: fields.require("x"),
        lambda: fields.text("x"),
        lambda: fields.choice("x", ("a", "b"), None),
        lambda: fields.choice("x", {"a": 1}, None),
        lambda: fields.number("x", 0, 10, 5),
        lambda: fields.address("x"),
        lambda: fields.pairs("x"),
        fields.client_state,
    ]
    for read in readers:
        with contextlib.suppress(ApiError):
            read()


@given(
    body=st.dictionaries(
        st.sampled_from(
            [
                "stream_track", "stream_codec", "stream_bidirectional_mode",
                "stream_bidirectional_codec", "stream_bidirectional_sampling_rate",
                "stream_bidirectional_target_legs", "stream_auth_token", "custom_parameters",
            ]
        ),
        JSON,
    )
)  # fmt: skip
def test_whatever_the_stream_parameters_hold_they_are_read_or_refused(body: dict[str, Any]) -> None:
    """The same for the parameters of a stream."""
    with contextlib.suppress(ApiError):
        Fields({**body, "stream_url": "ws://x"}).stream()


@given(state=st.binary())
def test_every_base64_text_is_a_client_state(state: bytes) -> None:
    """And comes back as it was."""
    text = base64.b64encode(state).decode()
    assert Fields({"client_state": text}).client_state() == (text or "")


@pytest.mark.parametrize(
    "number", ["12025550100", "+0123456", "+1202555010a", "0044", "nobody", ""]
)
def test_numbers_are_e164_or_sip(number: str) -> None:
    """Anything else is refused with the code for it."""
    with pytest.raises(ApiError) as refused:
        Fields({"to": number}).address("to")
    assert refused.value.error["code"] in ("10016", "10004")
    assert Fields({"to": "+12025550100"}).address("to") == "+12025550100"
    assert Fields({"to": "sip:desk@example.com"}).address("to") == "sip:desk@example.com"


@pytest.mark.parametrize("code", CODES)
def test_errors_have_the_documented_shape(code: str) -> None:
    """Code as text, title, detail, a page about it, and the pointer where one is known."""
    error = ApiError(code, "What happened.", pointer="/to")
    assert set(error.error) == {"code", "title", "detail", "meta", "source"}
    assert error.error["source"] == {"pointer": "/to"}
    assert error.error["meta"]["url"].endswith(code)
    assert 400 <= error.status < 600
