"""What a log line looks like, and what is never in one."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import logs
from bridge.redaction import mask_number, redact
from bridge.settings import Settings

KEY = "KEY0123456789ABCDEF_not_a_real_one"
TOKEN = "dG9rZW4tb2YtYS1zdHJlYW0_"

Lines = Callable[[], list[str]]


class Terminal(io.StringIO):
    """A stream that people look at."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


@pytest.fixture
def restored() -> Iterator[None]:
    """The process's logging is put back after the test."""
    root = logging.getLogger()
    names = ("", "bridge", "telnyx_media", "tests", "shop")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    for handler in [h for h in root.handlers if isinstance(h, logs.LogHandler)]:
        root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def listen(stream: io.StringIO | None = None, **environ: str) -> tuple[io.StringIO, Lines]:
    """Set logging up, and get what was written."""
    stream = io.StringIO() if stream is None else stream
    logs.set_up(Settings.from_environ({"TELNYX_API_KEY": KEY, **environ}), stream=stream)
    written = stream
    return written, lambda: written.getvalue().splitlines()


@contextlib.contextmanager
def logged(log: logging.Logger | logs.LegLogger, message: str) -> Iterator[None]:
    """Log what the block raises, as the top of a thread does."""
    try:
        yield
    except Exception:
        log.exception(message)


def test_people_get_lines_for_people(restored: None) -> None:
    """On a terminal: time, level, logger, leg, message."""
    _, lines = listen(Terminal())
    logs.leg_logger(logging.getLogger("bridge.worker"), "9f3c2a").info("leg began")
    (line,) = lines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} info    bridge\.worker \[9f3c2a\] leg began", line)


def test_machines_get_json(restored: None) -> None:
    """Elsewhere: one object per line, also of a traceback."""
    _, lines = listen()
    log = logs.leg_logger(logging.getLogger("bridge.worker"), "9f3c2a")
    log.info("leg began")
    with logged(log, "agent failed"):
        raise ValueError("two\nlines")
    first, second = (json.loads(line) for line in lines())
    assert first["level"] == "info"
    assert first["logger"] == "bridge.worker"
    assert first["leg"] == "9f3c2a"
    assert first["message"] == "leg began"
    assert first["thread"] == "MainThread"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert "error" not in first
    assert second["level"] == "error"
    assert second["error"].endswith("ValueError: two\nlines")


@pytest.mark.parametrize(("format_", "human"), [("human", True), ("json", False)])
def test_the_format_can_be_chosen(restored: None, format_: str, human: bool) -> None:
    """Whatever the stream is."""
    _, lines = listen(io.StringIO() if human else Terminal(), LOG_FORMAT=format_)
    logging.getLogger("bridge").info("began")
    assert lines()[0].startswith("{") is not human


def test_set_up_again_replaces(restored: None) -> None:
    """One handler, so one line per line."""
    listen()
    _, lines = listen()
    logging.getLogger("bridge").info("began")
    assert len(lines()) == 1


def test_levels(restored: None) -> None:
    """Ours and the agent's follow LOG_LEVEL; libraries debug nothing, they might quote a call."""
    _, lines = listen(LOG_LEVEL="debug", LOG_FORMAT="human", BRIDGE_AGENT="shop.agent:answer")
    for name in ("bridge.worker", "telnyx_media.sync.stt", "shop.agent", "openai", "urllib3"):
        logging.getLogger(name).debug("from %s", name)
        logging.getLogger(name).info("and %s", name)
    said = " ".join(lines())
    for name in ("bridge.worker", "telnyx_media.sync.stt", "shop.agent"):
        assert f"from {name}" in said
    for name in ("openai", "urllib3"):
        assert f"from {name}" not in said
        assert f"and {name}" in said


def test_nobody_makes_up_lines_of_ours(restored: None) -> None:
    """A line break in what somebody sent stays inside the line."""
    _, lines = listen(Terminal())
    logging.getLogger("bridge").info("refused %s", "x\n12:00:00.000 info    bridge all is well\r")
    (line,) = lines()
    assert "\\n12:00:00.000" in line


def test_a_line_that_cannot_be_written_says_so_without_its_arguments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The default prints a traceback and the arguments."""
    handler = logs.LogHandler(io.StringIO())
    handler.setFormatter(logs.HumanFormatter())
    record = logging.LogRecord("bridge", 20, __file__, 7, "%d calls", ("+15550100001",), None)
    handler.handle(record)
    printed = capsys.readouterr().err
    assert printed.startswith("log line lost: bridge, line 7 ")
    assert len(printed.splitlines()) == 1
    assert "5550100001" not in printed


SECRETS: list[tuple[str, str]] = [
    ("token", f"GET /telnyx/media/{TOKEN} answered 101"),
    ("token", f'"GET /telnyx/media/{TOKEN}?x=1 HTTP/1.1" 101 -'),
    ("token", f"stream_url=wss://calls.example.com/telnyx/media/{TOKEN}"),
    ("token", f"to=wss%3A%2F%2Fx%2Ftelnyx%2Fmedia%2F{TOKEN}&x=1"),
    ("key", f"Authorization: Bearer {KEY}"),
    ("key", f"headers {{'Authorization': 'bearer {KEY}'}}"),
    ("key", f"key={KEY}"),
    ("key", "with KEY018F6B1C2D3E4F5061728394A5B6C7D8_aBcDeFgHiJkLmNoPqRsTuV"),
    ("password", "postgresql+psycopg://user:pa55word@db.example/x"),
    ("password", "rediss://:pa55word@redis:6379"),
    ("number", "call from +15550100001 to +4930901820"),
    ("number", "to=%2B15550100001"),
    ("number", "sip:15550100001@sip.telnyx.com"),
]


@pytest.mark.parametrize(("kind", "text"), SECRETS)
def test_no_line_has_a_secret(restored: None, kind: str, text: str) -> None:
    """In a message, in an argument, in a traceback; for people and for machines."""
    for format_ in ("human", "json"):
        stream, _ = listen(LOG_FORMAT=format_)
        log = logging.getLogger("bridge")
        log.info(text)
        log.info("said %s", text)
        with logged(log, "failed"):
            raise RuntimeError(text)
        written = stream.getvalue()
        secrets = (TOKEN, KEY, "018F6B1C2D3E4F50", "pa55word", "5550100001", "30901820")
        for secret in secrets:
            assert secret not in written


def test_a_secret_of_the_settings_is_found_anywhere(restored: None) -> None:
    """Also where its form gives no hint."""
    stream, _ = listen(BRIDGE_API_TOKEN="correct horse battery")
    logging.getLogger("bridge").info("x=correct horse battery;")
    assert "horse" not in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "reply took 1234567 us, chunk 15550100001 of 20",
        "listening at http://0.0.0.0:8000 (12345)",
        "leg 9f3c2a ended after 93.2 s, 12 turns",
        "at 2026-10-01T09:30:00+00:00",
        "/telnyx/webhook answered 200",
        "KeyError: 'KEYWORD'",
        "bearing 270",
    ],
)
def test_ordinary_lines_stay_as_they_are(text: str) -> None:
    """The net has holes of the right size."""
    assert redact(text) == text


def test_two_numbers_can_still_be_told_apart() -> None:
    """By their last two digits."""
    assert redact("+15550100001 to +15550100002") == "+…01 to +…02"
    assert mask_number("+15550100001") == "…01"
    assert mask_number("411") == "…"


@given(st.text(), st.from_regex(r"\+[1-9][0-9]{7,13}", fullmatch=True), st.text())
def test_no_number_gets_through(before: str, number: str, after: str) -> None:
    """Whatever stands around it, unless more digits make it no number."""
    if after[:1].isdigit():
        after = " " + after
    assert number not in redact(before + number + after)


def test_flask_and_werkzeug_log_through_us(restored: None) -> None:
    """A view that fails is one line with its traceback, and its address is masked."""
    from flask import Flask

    stream, lines = listen()
    app = Flask("bridge.test")

    @app.get("/telnyx/media/<token>")
    def media(token: str) -> Any:
        raise RuntimeError("a bug")

    assert app.test_client().get(f"/telnyx/media/{TOKEN}").status_code == 500
    (line,) = (json.loads(line) for line in lines())
    assert line["level"] == "error"
    assert "a bug" in line["error"]
    assert TOKEN not in stream.getvalue()
