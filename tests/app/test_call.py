"""Whole calls through the real application: what an agent function sees."""

from __future__ import annotations

import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.agents import load_agent
from bridge.call import Call, Remark, Reply
from bridge.decisions import Turn
from bridge.errors import AgentError, AudioUnreadable, BridgeError, CallEnded, DialFailed
from telnyx_media._audioop import audioop
from telnyx_media.errors import ConfigurationError
from telnyx_media.pcm import level
from tests.app.phone import phone_line
from tests.loopback import PATIENCE

# Each character is 60 ms of tone: this takes nine seconds.
LONG = " ".join(f"Sentence number {number} of many." for number in range(5))


def test_a_conversation_from_greeting_to_goodbye() -> None:
    """The agent speaks, hears a turn, answers it, returns; and the caller is hung up on."""
    said: list[Reply] = []
    turns: list[str] = []
    remarks: list[Remark] = []

    def agent(call: Call) -> None:
        assert (call.info.direction, call.info.codec) == ("inbound", "PCMU")
        assert call.info.from_number.startswith("+1202")
        assert not call.resumed
        said.append(call.say("Hello there."))
        turn = call.listen()
        assert turn is not None
        turns.append(turn.text)
        said.append(call.say("Goodbye."))
        remarks.extend(call.history)

    with phone_line(agent, texts=["a table for two"]) as phone:
        call = phone.call({"play": phone.speech})
        call.wait(4 * PATIENCE)
        summary = phone.seen.summary()
        latencies = [latency for _, latency in phone.seen.replies]
    assert turns == ["a table for two"]
    assert said == [Reply("Hello there.", "Hello there."), Reply("Goodbye.", "Goodbye.")]
    assert [(r.speaker, r.text, r.heard) for r in remarks] == [
        ("agent", "Hello there.", "Hello there."),
        ("caller", "a table for two", "a table for two"),
        ("agent", "Goodbye.", "Goodbye."),
    ]
    assert sorted(r.at for r in remarks) == [r.at for r in remarks]
    assert summary.reason == "agent"
    assert (summary.turns, summary.replies, summary.streams) == (1, 2, 1)
    assert [command["name"] for command in call.commands] == ["answer", "hangup"]
    # The greeting answers nothing; the reply does, and its parts make up the whole.
    assert latencies[0].total is None
    parts = [
        latencies[1].endpoint,
        latencies[1].agent,
        latencies[1].first_text,
        latencies[1].first_audio,
        latencies[1].first_frame,
    ]
    assert None not in parts
    assert latencies[1].total == pytest.approx(sum(part for part in parts if part is not None))


def test_a_barge_in_stops_the_reply_and_is_answered() -> None:
    """The agent's audio stops, the reply says what was heard, and the interruption is a turn."""
    replies: list[Reply] = []
    turns: list[str] = []

    def agent(call: Call) -> None:
        replies.append(call.say(LONG))
        turn = call.listen()
        assert turn is not None
        turns.append(turn.text)

    with phone_line(agent, texts=["stop that please"]) as phone:
        call = phone.call({"play": phone.speech, "when": {"agent_speaking": 1.5}})
        call.wait(6 * PATIENCE)
        [delay] = phone.seen.barge_ins
    [reply] = replies
    assert turns == ["stop that please"]
    assert reply.interrupted
    assert reply.text == LONG
    assert LONG.startswith(reply.heard)
    assert 10 < len(reply.heard) < 60
    assert call.clears
    assert 0 < delay < 1
    # What the caller heard after the clear is nothing.
    silence = call.heard[round((call.clears[0] + 0.1) * 8000) * 2 :]
    assert level(silence) < -60


def test_an_uninterruptible_reply_is_heard_to_its_end() -> None:
    """A caller who speaks over it does not stop it."""
    replies: list[Reply] = []

    def agent(call: Call) -> None:
        replies.append(call.say("These words are for you to hear.", interruptible=False))

    with phone_line(agent, texts=["stop"]) as phone:
        call = phone.call({"play": phone.speech, "when": {"agent_speaking": 0.3}})
        call.wait(4 * PATIENCE)
    assert [reply.interrupted for reply in replies] == [False]
    assert [reply.heard for reply in replies] == ["These words are for you to hear."]
    assert call.clears == []


def test_speaking_begins_while_the_text_is_still_made() -> None:
    """The first sentence of an iterator is heard before the second one exists."""
    heard_first = threading.Event()

    def words() -> Iterator[str]:
        yield "The first sentence is "
        yield "complete. And the "
        assert heard_first.wait(4 * PATIENCE)
        yield "second one follows."

    replies: list[Reply] = []

    def agent(call: Call) -> None:
        replies.append(call.say(words()))

    with phone_line(agent) as phone:
        call = phone.call()
        phone.wait_for_agent_audio(call, 0.5)
        heard_first.set()
        call.wait(4 * PATIENCE)
    text = "The first sentence is complete. And the second one follows."
    assert replies == [Reply(text, text)]


def test_an_interrupted_iterator_is_closed() -> None:
    """A generator whose words are no longer wanted runs its finally block."""
    closed = threading.Event()

    def words() -> Iterator[str]:
        try:
            for number in range(200):
                yield f"This is sentence number {number}. "
                time.sleep(0.01)
        finally:
            closed.set()

    replies: list[Reply] = []

    def agent(call: Call) -> None:
        replies.append(call.say(words()))

    with phone_line(agent, texts=["enough"]) as phone:
        call = phone.call({"play": phone.speech, "when": {"agent_speaking": 0.6}})
        call.wait(6 * PATIENCE)
        assert closed.is_set()
    assert replies[0].interrupted
    assert len(replies[0].heard) < len(replies[0].text)


def test_an_iterator_that_raises_ends_the_reply_and_not_more() -> None:
    """The agent gets its own exception, the reply is stopped, and the next one is heard."""

    def words() -> Iterator[str]:
        yield "A sentence that is spoken. "
        raise ValueError("no more words")

    replies: list[Reply] = []

    def agent(call: Call) -> None:
        with pytest.raises(ValueError, match="no more words"):
            call.say(words())
        replies.append(call.say("Another one."))

    with phone_line(agent) as phone:
        call = phone.call()
        call.wait(4 * PATIENCE)
        assert phone.seen.summary().reason == "agent"
    assert replies == [Reply("Another one.", "Another one.")]


def test_one_reply_at_a_time() -> None:
    """An iterator that speaks itself is told that it may not; the call goes on."""
    replies: list[Reply] = []

    def agent(call: Call) -> None:
        def words() -> Iterator[str]:
            yield "The outer words. "
            with pytest.raises(RuntimeError, match="a reply is being spoken"):
                call.say("The inner words.")

        replies.append(call.say(words()))

    with phone_line(agent) as phone:
        call = phone.call()
        call.wait(4 * PATIENCE)
        assert phone.seen.errors == []
    assert [reply.heard for reply in replies] == ["The outer words."]


def test_nothing_to_say_is_said_at_once() -> None:
    """Empty texts cost no time and no error."""
    replies: list[Reply] = []

    def agent(call: Call) -> None:
        replies.extend(call.say(text) for text in ("", "  ", "…", iter(())))

    with phone_line(agent) as phone:
        call = phone.call()
        call.wait(4 * PATIENCE)
        assert phone.seen.summary().reason == "agent"
    assert [reply.interrupted for reply in replies] == [False] * 4
    assert call.media == []


def test_listening_has_an_end() -> None:
    """A caller who says nothing costs the timeout; one who speaks is heard out."""
    turns: list[Turn | None] = []
    waits: list[float] = []

    def agent(call: Call) -> None:
        began = time.monotonic()
        turns.append(call.listen(timeout=0.3))
        waits.append(time.monotonic() - began)
        call.say("Go on.")
        turns.append(call.listen(timeout=0.6))

    with phone_line(agent, texts=["here I am"]) as phone:
        # Speech of 0.9 s that begins within the timeout and ends after it.
        call = phone.call({"play": phone.speech})
        call.wait(4 * PATIENCE)
    assert turns[0] is None
    assert waits[0] >= 0.3
    assert turns[1] is not None
    assert turns[1].text == "here I am"


def test_asking_asks_again() -> None:
    """A prompt without an answer is said again, then the answer is empty."""
    answers: list[Turn] = []

    def agent(call: Call) -> None:
        answers.append(call.ask("Well?", timeout=0.2, reprompt="Still there?"))
        answers.append(call.ask(iter(["So", "?"]), timeout=0.2))

    with phone_line(agent) as phone:
        call = phone.call()
        call.wait(4 * PATIENCE)
        said = [reply.text for reply, _ in phone.seen.replies]
    assert said == ["Well?", "Still there?", "So?", "So?"]
    assert answers == [Turn(), Turn()]


def test_asking_gets_the_answer() -> None:
    """The answer to a prompt is the caller's next turn."""
    answers: list[str] = []

    def agent(call: Call) -> None:
        answers.append(call.ask("How many?").text)

    with phone_line(agent, texts=["two of them"]) as phone:
        call = phone.call({"play": phone.speech})
        call.wait(4 * PATIENCE)
    assert answers == ["two of them"]


def test_keys_are_a_turn(caplog: pytest.LogCaptureFixture) -> None:
    """Keys that the caller presses come once, as one turn, and nowhere in the log."""
    turns: list[Turn] = []

    def agent(call: Call) -> None:
        turns.append(call.ask("Your number please."))

    with phone_line(agent) as phone:
        call = phone.call({"dtmf": "4711#"})
        call.wait(4 * PATIENCE)
    assert [(turn.text, turn.digits.rstrip("#")) for turn in turns] == [("", "4711")]
    assert "4711" not in caplog.text


def test_a_turn_waits_for_an_agent_that_is_busy() -> None:
    """What the caller said while the agent did something else is not lost."""
    turns: list[str] = []

    def agent(call: Call) -> None:
        phone.seen.wait_for(lambda: phone.seen.turns)
        turn = call.listen(timeout=0)
        assert turn is not None
        turns.append(turn.text)

    with phone_line(agent, texts=["are you there"]) as phone:
        call = phone.call({"play": phone.speech, "when": "now"})
        call.wait(4 * PATIENCE)
    assert turns == ["are you there"]


def test_state_belongs_to_one_call() -> None:
    """Two calls at once have their own agents, states and histories."""
    states: list[int] = []
    both = threading.Barrier(2)

    def agent(call: Call) -> None:
        call.state["calls"] = call.state.get("calls", 0) + 1
        both.wait(4 * PATIENCE)
        states.append(call.state["calls"])
        call.say("Hello.")
        assert len(call.history) == 1

    with phone_line(agent) as phone:
        calls = [phone.call(), phone.call()]
        for call in calls:
            call.wait(4 * PATIENCE)
        phone.seen.wait_for(lambda: len(phone.seen.summaries) == 2)
    assert states == [1, 1]
    assert phone.seen.errors == []


def test_a_call_that_ended_stays_ended() -> None:
    """An agent that ignores CallEnded gets it again, at once, from every method."""
    raised: list[str] = []

    def agent(call: Call) -> None:
        for name in ("listen", "say", "ask", "listen"):
            try:
                getattr(call, name)(*(["words"] if name != "listen" else []))
            except CallEnded:
                raised.append(name)
        assert call.ended
        assert list(call.turns()) == []

    with phone_line(agent) as phone:
        call = phone.call()
        phone.seen.wait_for(lambda: phone.seen.media)
        call.hang_up()
        assert phone.seen.summary().reason == "caller"
    assert raised == ["listen", "say", "ask", "listen"]


@pytest.mark.parametrize(
    ("mistake", "kind", "says"),
    [
        (lambda call: call.say(None), TypeError, "a string, or an iterable of strings, not a None"),
        (lambda call: call.say(b"hi"), TypeError, "not a bytes"),
        (lambda call: call.say({"text": "hi"}), TypeError, "not a dict"),
        (lambda call: call.say(["Hi. ", 5]), TypeError, "not one that brings a int"),
        (lambda call: call.say(call.say(word) for word in ["Hi."]), RuntimeError, "from within"),
        (lambda call: call.play(5), AudioUnreadable, "a sound is a path.*not a int"),
        (lambda call: call.play(""), AudioUnreadable, "''"),
        (lambda call: call.play("a\0b"), AudioUnreadable, "no name of a file"),
        (lambda call: call.play("http://[::1"), AudioUnreadable, "no address"),
        (lambda call: call.play("ftp://host/a.wav"), AudioUnreadable, "only http:// and https://"),
        (lambda call: call.play("music", volume=2), ValueError, "a factor from 0 to 1"),
        (lambda call: call.hold(volume="loud"), ValueError, "a factor from 0 to 1"),
        (lambda call: call.gather(digits="4"), ValueError, "how many, as 4, or from and to"),
        (lambda call: call.gather(digits=(1, 2, 3)), ValueError, "how many, as 4, or from and to"),
        (lambda call: call.send_digits(12), ValueError, "keys are"),
        (lambda call: call.dial(12025550101), DialFailed, "a number like"),
        (lambda call: call.refer("sip:a@b.example", timeout=0), BridgeError, "more than 0"),
        (lambda call: call.connect(None), ValueError, "only a call that this call has dialled"),
        (lambda call: setattr(call, "language", None), ConfigurationError, "a tag like"),
        (lambda call: setattr(call, "language", "in German"), ConfigurationError, "a tag like"),
        (lambda call: setattr(call, "voice", ""), ConfigurationError, "a name like"),
    ],
)
def test_a_mistake_is_told_by_what_to_change_and_the_call_goes_on(
    mistake: Callable[[Call], object], kind: type[Exception], says: str
) -> None:
    """Wrong arguments raise at once, naming what is wanted; the agent can still talk and hear."""

    def agent(call: Call) -> None:
        before = (call.language, call.voice)
        with pytest.raises(kind, match=says):
            mistake(call)
        assert (call.language, call.voice) == before
        assert call.say("On.") == Reply("On.", "On.")
        assert call.listen(timeout=0.05) is None

    with phone_line(agent) as phone:
        phone.call().wait(4 * PATIENCE)
        assert phone.seen.summary().reason == "agent"
        assert phone.seen.errors == []


def test_a_call_is_recorded_in_stereo(tmp_path: Path) -> None:
    """With a directory for recordings, each call leaves one file with both sides in it."""

    def agent(call: Call) -> None:
        call.say("Hello there.")
        call.listen()

    with phone_line(agent, texts=["yes"], BRIDGE_RECORDINGS=str(tmp_path)) as phone:
        call = phone.call({"play": phone.speech})
        call.wait(4 * PATIENCE)
        summary = phone.seen.summary()
    assert summary.recording is not None
    [path] = tmp_path.iterdir()
    assert path == summary.recording
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 8000)
        frames = file.readframes(file.getnframes())
    assert level(audioop.tomono(frames, 2, 1, 0)) > -40
    assert level(audioop.tomono(frames, 2, 0, 1)) > -40


# -- loading --------------------------------------------------------------------------------------

ODD_AGENTS = """
import functools

async def waits(call): ...

class Waiter:
    async def __call__(self, call): ...

class Talker:
    def __init__(self, call=None): ...
    def __call__(self, call): ...

def yields(call):
    yield call

def nobody(): ...

def two(call, other): ...

waiter, talker, part, written_in_c = Waiter(), Talker(), functools.partial(two, other=1), print
"""


def test_the_default_agents_are_found() -> None:
    """An agent is found by module and name."""
    assert callable(load_agent("bridge.agents.echo:answer"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing", "expected module:callable"),
        ("no.such.module:answer", "no module named 'no'"),
        ("bridge.agents.nobody:answer", "no module named 'bridge.agents.nobody'"),
        ("bridge.agents.echo:nobody", "has no 'nobody'"),
        ("bridge.agents.echo:__name__", "not callable"),
        ("broken_agent:answer", "importing broken_agent raised ZeroDivisionError"),
        ("needy_agent:answer", "needs 'not_installed_at_all', which is not installed"),
        ("odd_agents:waits", "waits is async; make it a plain function"),
        ("odd_agents:waiter", "waiter is async; make it a plain function"),
        ("odd_agents:yields", "yields has a yield in it, so that calling it does nothing"),
        ("odd_agents:nobody", "nobody cannot be called with (call)"),
        ("odd_agents:two", "two cannot be called with (call)"),
    ],
)
def test_an_agent_that_cannot_be_loaded_is_one_clear_line(
    name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with BRIDGE_AGENT is said in one line that names it."""
    (tmp_path / "broken_agent.py").write_text("1 / 0\n")
    (tmp_path / "needy_agent.py").write_text("import not_installed_at_all\n")
    (tmp_path / "odd_agents.py").write_text(ODD_AGENTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(AgentError) as error:
        load_agent(name)
    assert says in str(error.value)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_whatever_can_be_called_with_a_call_is_an_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object, a class, a partial function, something made in C; a detector takes two."""
    (tmp_path / "odd_agents.py").write_text(ODD_AGENTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("talker", "Talker", "part", "written_in_c"):
        assert callable(load_agent(f"odd_agents:{name}"))
    assert callable(load_agent("odd_agents:two", takes=("audio", "text")))


def test_an_agent_in_the_working_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module beside the Procfile needs no installing."""
    (tmp_path / "shop_of_mine.py").write_text("def answer(call):\n    pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("/nowhere")
    assert load_agent("shop_of_mine:answer").__name__ == "answer"
