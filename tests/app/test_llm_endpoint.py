"""The client of a language model against a server on loopback that does what real ones do."""

from __future__ import annotations

import time
from collections.abc import Iterator

import openai
import pytest

from bridge.agents.llm.answerstream import Failed, Finished, Part
from bridge.agents.llm.endpoint import ChatClient, Endpoint
from bridge.errors import AgentError
from bridge.settings import Settings
from bridge.simulator import Simulator
from bridge.simulator.chat import MODEL, ChatFault, ChatReply, ChatService
from telnyx_media.sync.threads import ThreadGroup
from tests.loopback import PATIENCE

REQUEST = {"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}]}


class World:
    """A simulator and a client of its chat completions."""

    def __init__(self, simulator: Simulator, client: ChatClient) -> None:
        self.chat = simulator.chat
        self.simulator = simulator
        self.client = client

    def ask(self) -> tuple[str, Part]:
        """Ask, and get the words and the end of the answer."""
        answer = self.client.ask(REQUEST)
        words = ""
        while True:
            part = answer.next(PATIENCE)
            assert part is not None, "nothing came"
            if not isinstance(part, str):
                return words, part
            words += part


@pytest.fixture(name="world")
def _world() -> Iterator[World]:
    with Simulator() as simulator, ThreadGroup("test") as group:
        endpoint = Endpoint(f"{simulator.api_url}/ai/openai", simulator.api_key)
        client = ChatClient(endpoint, group, stall=PATIENCE)
        try:
            yield World(simulator, client)
        finally:
            client.close()


def test_an_answer_comes_in_pieces_and_thoughts_are_left_out(world: World) -> None:
    """Comment lines, events without choices and reasoning are part of every stream."""
    world.chat.say(ChatReply("Good morning to you.", reasoning="A greeting. How nice."))
    assert world.ask() == ("Good morning to you.", Finished((), "stop"))
    [record] = world.chat.requests
    assert record.finished
    assert record.body["stream"] is True


def test_tool_calls_are_put_together(world: World) -> None:
    """Names and arguments come in pieces, several calls side by side."""
    world.chat.say(ChatReply("Let me see.", tools=[("find", {"day": "friday"}), ("count", "{}")]))
    words, end = world.ask()
    assert words == "Let me see."
    assert isinstance(end, Finished)
    assert end.reason == "tool_calls"
    assert [(c.name, c.arguments) for c in end.tool_calls] == [
        ("find", '{"day": "friday"}'),
        ("count", "{}"),
    ]
    assert len({call.id for call in end.tool_calls}) == 2


@pytest.mark.parametrize(
    ("fault", "words", "status"),
    [
        (ChatFault(status=500), "", 500),
        (ChatFault(status=429, retry_after="1.5"), "", 429),
        (ChatFault("lost"), "", None),
        (ChatFault("cut", after=2), "One tw", None),
        (ChatFault("end", after=2), "One tw", None),
        (ChatFault("error", after=2), "One tw", None),
        (ChatFault("malformed", after=2), "One tw", None),
    ],
)
def test_what_goes_wrong_is_an_end_that_says_so(
    world: World, fault: ChatFault, words: str, status: int | None
) -> None:
    """Whatever a server does, there is an end; and the next answer is as good as any."""
    world.chat.say("One two three.", "Four.")
    world.chat.fail(fault)
    said, end = world.ask()
    assert isinstance(end, Failed)
    assert words.startswith(said.strip()) or said.startswith(words[:3])
    assert end.status == status
    assert not end.lasting
    assert end.retry_after == (1.5 if status == 429 else None)
    assert world.ask()[1] == Finished((), "stop")


@pytest.mark.parametrize(
    ("status", "lasting"), [(400, True), (404, True), (408, False), (503, False)]
)
def test_some_failures_would_come_again(world: World, status: int, lasting: bool) -> None:
    """A request that is wrong stays wrong; a server that is busy does not stay so."""
    world.chat.fail(ChatFault(status=status))
    _, end = world.ask()
    assert isinstance(end, Failed)
    assert end.lasting is lasting


def test_a_wrong_key_is_told_by_its_status() -> None:
    """And never by what the server writes about it."""
    with Simulator() as simulator, ThreadGroup("test") as group:
        client = ChatClient(Endpoint(f"{simulator.api_url}/ai", "wrong"), group, stall=PATIENCE)
        _, end = World(simulator, client).ask()
        client.close()
    assert end == Failed("HTTP 401", 401)


def test_an_address_where_nobody_is_fails_at_once() -> None:
    """A refused connection is no timeout."""
    with ThreadGroup("test") as group:
        client = ChatClient(Endpoint("http://127.0.0.1:9/v1"), group, stall=PATIENCE)
        answer = client.ask(REQUEST)
        end = answer.next(PATIENCE)
        client.close()
    assert isinstance(end, Failed)
    assert "connection failed" in end.what


@pytest.mark.parametrize(
    "service",
    [
        ChatService(first_delay=60),
        ChatService(tokens_per_second=0.01),
    ],
    ids=["before the first word", "between two words"],
)
def test_giving_an_answer_up_cuts_its_connection_at_once(service: ChatService) -> None:
    """The server stops to compute what nobody wants to hear, and the reading thread ends."""
    with Simulator(chat=service) as simulator, ThreadGroup("test") as group:
        endpoint = Endpoint(f"{simulator.api_url}/ai/openai", simulator.api_key)
        client = ChatClient(endpoint, group, stall=60)
        answer = client.ask(REQUEST)
        service.wait_for(lambda requests: requests, PATIENCE)
        if not service.first_delay:
            assert answer.next(PATIENCE)
        began = time.monotonic()
        answer.close()
        answer.close()
        service.wait_for(lambda requests: requests[0].given_up, PATIENCE)
        given_up = service.requests[0].given_up
        assert given_up is not None
        assert given_up - began < 1
        assert group.join(PATIENCE)
        # Another answer can be had from the same client.
        service.first_delay, service.tokens_per_second = 0, None
        assert isinstance(World(simulator, client).ask()[1], Finished)
        client.close()


def test_the_connection_is_kept_for_the_next_answer(world: World) -> None:
    """A caller does not wait for a handshake at every turn."""
    world.ask()
    sockets = list(world.client._sockets)
    world.ask()
    world.ask()
    assert world.client._sockets == sockets
    assert len(sockets) == 1


def test_the_only_model_need_not_be_named(world: World) -> None:
    """As with a server on one's own machine; of several one has to be chosen."""
    assert world.client.only_model() == MODEL
    world.chat.models = ("b", "a")
    with pytest.raises(AgentError, match=r"BRIDGE_LLM_MODEL is not set; http.* offers a, b$"):
        world.client.only_model()
    world.simulator.faults.fail("ai/openai/models", 503)
    with pytest.raises(AgentError, match=r"did not list its models: HTTP 503"):
        world.client.only_model()


def test_telnyx_gets_telnyx_key_and_nobody_else() -> None:
    """The key of another service is never made up from it."""
    environ = {"TELNYX_API_KEY": "KEY1", "BRIDGE_LLM_MODEL": "a/b, c"}
    ours = Endpoint.from_settings(Settings.from_environ(environ))
    assert ours == Endpoint("https://api.telnyx.com/v2/ai/openai", "KEY1", ("a/b", "c"))
    assert ours.is_telnyx
    other = Endpoint.from_settings(
        Settings.from_environ({**environ, "BRIDGE_LLM_URL": "https://api.example.com/v1"})
    )
    assert (other.api_key, other.is_telnyx) == ("", False)
    assert "KEY1" not in repr(ours)


def test_any_client_can_use_the_simulated_model(world: World) -> None:
    """The published client, with and without a stream, at the current base and the older one."""
    for base in ("ai/openai", "ai"):
        with openai.OpenAI(
            api_key=world.simulator.api_key, base_url=f"{world.simulator.api_url}/{base}"
        ) as client:
            whole = client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "Hello!"}]
            )
            assert whole.choices[0].message.content == "Hello! What can I do for you?"
            stream = client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "A table, please."}], stream=True
            )
            words = [c.choices[0].delta.content or "" for c in stream if c.choices]
            assert "".join(words) == "You said: A table, please. Is that right?"
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.create(
                    model="none", messages=[{"role": "user", "content": "Hello!"}]
                )


def test_a_conversation_that_no_server_takes_is_refused(world: World) -> None:
    """A result must follow the call that it answers: what the simulator takes, others take."""
    with openai.OpenAI(
        api_key=world.simulator.api_key,
        base_url=f"{world.simulator.api_url}/ai/openai",
        max_retries=0,
    ) as client:
        for messages in ([], [{"role": "tool", "tool_call_id": "x", "content": "1"}]):
            with pytest.raises(openai.BadRequestError):
                client.chat.completions.create(model=MODEL, messages=messages)  # type: ignore[arg-type]
