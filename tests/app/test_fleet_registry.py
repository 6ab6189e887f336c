"""What several processes agree on, over a real Redis."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator

import pytest

from bridge.call import CallInfo, Remark
from bridge.fleet.estates import KEYS, OPEN, PENDING, STATE, number
from bridge.fleet.redisregistry import RedisRegistry
from bridge.fleet.store import FleetStore, namespace
from bridge.inheritance import encode_remark
from bridge.registry import TOKEN_LIFETIME, Claim, RegistryAway
from tests.conftest import binary_or_skip
from tests.loopback import wait_until
from tests.loopback.redis import RedisServer

INFO = CallInfo("v3:leg", call_leg_id="leg", call_session_id="session", tag="abc123")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A Redis for the tests of this module."""
    with RedisServer(binary_or_skip("redis-server", shutil.which("redis-server"))) as found:
        yield found


class Processes:
    """Several processes' views of one registry, each with a connection of its own."""

    def __init__(self, url: str, application: str) -> None:
        self._url = url
        self._prefix = namespace(application)
        self._stores: list[FleetStore] = []
        self.asked: list[tuple[str, str, int, bool]] = []
        self.on_ask: Callable[[str, str, int, bool], object] = lambda *leg: None

    def make(self, name: str, *, token_lifetime: float = TOKEN_LIFETIME) -> RedisRegistry:
        """Make the view of one process."""
        store = FleetStore(self._url, self._prefix)
        self._stores.append(store)
        return RedisRegistry(
            store,
            name,
            token_lifetime=token_lifetime,
            ask_to_let_go=self._ask,
        )

    def _ask(self, owner: str, key: str, epoch: int, wait: bool) -> None:
        self.asked.append((owner, key, epoch, wait))
        self.on_ask(owner, key, epoch, wait)

    def close(self) -> None:
        """Close the connections."""
        for store in self._stores:
            store.close()


@pytest.fixture
def processes(server: RedisServer, request: pytest.FixtureRequest) -> Iterator[Processes]:
    """An application of its own for each test."""
    found = Processes(server.url, f"https://{request.node.name}.example.com")
    yield found
    found.close()


def test_an_event_is_seen_once_by_all(processes: Processes) -> None:
    """A webhook that is delivered to two processes is worked on by one."""
    a, b = processes.make("a"), processes.make("b")
    assert not a.seen_event("event")
    assert b.seen_event("event")
    assert a.seen_event("event")


def test_an_event_that_the_dead_have_not_acted_on_is_somebody_elses_once(
    processes: Processes,
) -> None:
    """Seen and not acted on counts as not acted on; what others have seen is theirs."""
    a, b, c = processes.make("a"), processes.make("b"), processes.make("c")
    beat = a.store.run("beat", "a", 5)[0]
    for event in ("unseen", "begun", "done", "of b"):
        a.accept(event, event)
    a.seen_event("begun")
    a.seen_event("done")
    a.handled("done")
    assert not b.seen_event("of b")
    assert b.salvage("a", int(beat) - 1) == []
    assert sorted(b.salvage("a", int(beat))) == ["begun", "unseen"]
    assert c.salvage("a", int(beat)) == []
    assert c.seen_event("unseen")
    # Nor are they lost if the one who has taken them dies over them.
    b.handled("begun")
    assert c.salvage("b", int(beat)) == ["unseen"]


def test_who_leaves_events_behind_is_looked_for(processes: Processes) -> None:
    """A process that says goodbye stays on the list until somebody has taken them."""
    a, b = processes.make("a"), processes.make("b")
    a.store.run("beat", "a", 5)
    a.accept("event", "body")
    a.store.run("farewell", "a")
    _, name, beat, *_ = b.store.run("beat", "b", 5)
    assert name == "a"
    assert b.salvage("a", int(float(beat))) == ["body"]
    assert b.adopt("a", int(float(beat))) is None
    assert "a" not in b.store.run("beat", "b", 5)


def test_a_leg_begins_in_one_process(processes: Processes) -> None:
    """Twenty processes want a leg; one gets it."""
    views = [processes.make(f"p{number}") for number in range(20)]
    began: list[str] = []
    start = threading.Barrier(len(views))

    def begin(view: RedisRegistry) -> None:
        start.wait()
        if view.begin(INFO):
            began.append(view.process)

    threads = [threading.Thread(target=begin, args=(view,)) for view in views]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(began) == 1


def test_a_token_is_good_once_in_all_processes(processes: Processes) -> None:
    """Two processes get a media socket with the same token at the same moment; one serves it."""
    views = [processes.make(f"p{number}") for number in range(8)]
    assert views[0].begin(INFO)
    token = views[0].mint(INFO.call_control_id)
    start = threading.Barrier(len(views))
    answers: list[object] = []

    def claim(view: RedisRegistry) -> None:
        start.wait()
        answers.append(view.claim(token))

    threads = [threading.Thread(target=claim, args=(view,)) for view in views]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(answer, Claim) for answer in answers) == 1
    assert [answer for answer in answers if not isinstance(answer, Claim)] == ["in use"] * 7


def test_a_leg_goes_to_the_process_that_holds_its_socket(processes: Processes) -> None:
    """The owner changes with the claim, its history comes along, and the epoch counts."""
    a, b = processes.make("a"), processes.make("b")
    assert a.begin(INFO)
    said = Remark("agent", "Hello.", "Hello.")
    cut = Remark("agent", "How are you?", "How", interrupted=True)
    half = Remark("caller", "I am", "I am", interrupted=True)
    parts = [("talking", ""), ("0", encode_remark(said)), (OPEN, encode_remark(cut))]
    a.write(INFO.call_control_id, [*parts[1:], (PENDING, encode_remark(half))])
    claim = b.claim(a.mint(INFO.call_control_id))
    assert isinstance(claim, Claim)
    assert claim.owner == "a"
    assert claim.inheritance is not None
    assert claim.inheritance.info == INFO
    assert claim.inheritance.history == (said, cut, half)
    assert processes.asked == [("a", INFO.call_control_id, 2, False)]
    assert (a.epoch(INFO.call_control_id), b.epoch(INFO.call_control_id)) == (1, 2)
    # What it has lost it cannot write to, confirm or end.
    a.write(INFO.call_control_id, [("1", encode_remark(half))])
    assert not a.confirm(INFO, [], talking=True, age=1.0)
    assert not a.end(INFO.call_control_id)
    assert b.end(INFO.call_control_id)


def test_a_cut_remark_is_whole_for_the_next_but_one(processes: Processes) -> None:
    """What was cut off stays in the history when the leg changes hands again."""
    a, b, c = (processes.make(name) for name in "abc")
    assert a.begin(INFO)
    cut = Remark("agent", "How are you?", "How", interrupted=True)
    a.write(INFO.call_control_id, [(OPEN, encode_remark(cut))])
    b.claim(a.mint(INFO.call_control_id))
    again = Remark("agent", "Again.", "", interrupted=True)
    b.write(INFO.call_control_id, [(OPEN, encode_remark(again))])
    claim = c.claim(b.mint(INFO.call_control_id))
    assert isinstance(claim, Claim)
    assert claim.inheritance is not None
    assert claim.inheritance.history == (cut, again)


def test_who_lets_a_leg_go_may_write_until_the_next_one_has_read(processes: Processes) -> None:
    """Words and keys between the new socket and the old agent's silence are part of the call."""
    a, b = processes.make("a"), processes.make("b")
    assert a.begin(INFO)
    token = a.mint(INFO.call_control_id)
    last = Remark("caller", "One more thing.", "One more thing.", interrupted=True)

    def say_the_last(owner: str, key: str, epoch: int, wait: bool) -> None:
        a.write(key, [(PENDING, encode_remark(last)), (KEYS, '[["5", 100.5]]')])

    processes.on_ask = say_the_last
    claim = b.claim(token)
    assert isinstance(claim, Claim)
    assert claim.inheritance is not None
    assert claim.inheritance.history == (last,)
    assert claim.inheritance.keys == (("5", 100.5),)
    # From now on it is b's alone.
    a.write(INFO.call_control_id, [("1", encode_remark(last))])
    left = processes.make("c").claim(b.mint(INFO.call_control_id))
    assert isinstance(left, Claim)
    assert left.inheritance is not None
    assert left.inheritance.history == (last,)


def test_a_leg_that_was_taken_meanwhile_is_not_begun(processes: Processes) -> None:
    """A process that waited for the old holder too long finds that a third one has the leg."""
    a, b, c = (processes.make(name) for name in "abc")
    assert a.begin(INFO)
    tokens = [a.mint(INFO.call_control_id) for _ in range(2)]
    claims: list[object] = []

    def be_slow(owner: str, key: str, epoch: int, wait: bool) -> None:
        processes.on_ask = lambda *leg: None
        claims.append(c.claim(tokens[1]))

    processes.on_ask = be_slow
    assert b.claim(tokens[0]) == "elsewhere"
    assert isinstance(claims[0], Claim)
    assert (b.epoch(INFO.call_control_id), c.epoch(INFO.call_control_id)) == (0, 3)
    assert b.count() == 0


def test_the_next_holder_gets_the_last_keys_by_webhook(processes: Processes) -> None:
    """Whomever they reached: that process may have died over them."""
    a, b = processes.make("a"), processes.make("b")
    assert a.begin(INFO)
    for number_ in range(40):
        # Known by either of its ids.
        a.store.run("note", "", INFO.call_leg_id, f"body {number_}")
    a.write(INFO.call_control_id, [(STATE, '{"table": 4}')])
    claim = b.claim(a.mint(INFO.call_control_id))
    assert isinstance(claim, Claim)
    assert claim.inheritance is not None
    assert claim.inheritance.events == tuple(f"body {n}" for n in range(8, 40))
    assert claim.inheritance.state == {"table": 4}
    b.end(INFO.call_control_id)
    assert not b.store.call("EXISTS", f"late:{INFO.call_control_id}")


@pytest.mark.parametrize("text", ["", "[]", "{", "7"])
def test_what_is_no_state_is_none(processes: Processes, text: str) -> None:
    """Another version of the application may have written it."""
    a, b = processes.make("a"), processes.make("b")
    assert a.begin(INFO)
    a.write(INFO.call_control_id, [(STATE, text), (KEYS, text)])
    claim = b.claim(a.mint(INFO.call_control_id))
    assert isinstance(claim, Claim)
    assert claim.inheritance is not None
    assert (claim.inheritance.state, claim.inheritance.keys) == ({}, ())


def test_tokens_end_with_their_leg_and_their_time(processes: Processes) -> None:
    """Expired, ended, lost and come back once: as in the registry of one process."""
    a = processes.make("a", token_lifetime=-1.0)
    b = processes.make("b")
    assert a.begin(INFO)
    assert b.claim(a.mint(INFO.call_control_id)) == "expired"
    token = processes.make("a").mint(INFO.call_control_id)
    assert isinstance(a.claim(token), Claim)
    a.release(token, lost=True)
    again = b.claim(token)
    assert isinstance(again, Claim)
    assert again.again
    b.release(token, lost=True)
    assert b.claim(token) == "unknown"
    left = b.mint(INFO.call_control_id)
    assert b.end(INFO.call_control_id)
    assert b.claim(left) in ("unknown", "ended")
    assert not a.begin(INFO)
    assert a.has_ended(INFO.call_control_id)


def test_the_legs_of_the_dead_are_taken_once_each(processes: Processes) -> None:
    """Two survivors share what a dead process has left, and nothing is taken twice."""
    dead, a, b = (processes.make(name) for name in ("dead", "a", "b"))
    legs = [CallInfo(f"v3:{number}", call_leg_id=f"l{number}") for number in range(30)]
    for leg in legs:
        assert dead.begin(leg)
    taken: list[str] = []

    def adopt(view: RedisRegistry) -> None:
        while (left := view.adopt("dead", 0)) is not None:
            taken.append(left.info.call_control_id)

    threads = [threading.Thread(target=adopt, args=(view,)) for view in (a, b)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(leg.call_control_id for leg in legs)


def test_a_process_that_beats_is_not_dead(processes: Processes) -> None:
    """A sign of life since the last look keeps its legs."""
    alive, other = processes.make("alive"), processes.make("other")
    assert alive.begin(INFO)
    alive.store.run("beat", "alive", 4)
    assert other.adopt("alive", 0) is None


def test_without_redis_calls_go_on_and_none_begins(server: RedisServer) -> None:
    """What is remembered here judges events and sockets of our own legs until Redis is back."""
    with RedisServer(binary_or_skip("redis-server", shutil.which("redis-server"))) as redis:
        processes = Processes(redis.url, "https://away.example.com")
        a = processes.make("a")
        try:
            assert a.begin(INFO)
            before = a.mint(INFO.call_control_id)
            redis.stop()
            with pytest.raises(RegistryAway):
                a.begin(CallInfo("v3:new"))
            assert isinstance(a.claim(before), Claim)
            assert a.claim(before) == "in use"
            assert isinstance(a.claim(a.mint(INFO.call_control_id)), Claim)
            assert not a.seen_event("event")
            assert a.seen_event("event")
            redis.start()
            said = [Remark("caller", "Hello.", "Hello.")]
            wait_until(lambda: confirmed(a, said))
            found = processes.make("b").claim(a.mint(INFO.call_control_id))
            assert isinstance(found, Claim)
            assert found.inheritance is not None
            assert found.inheritance.resumed
            assert found.inheritance.history == tuple(said)
        finally:
            processes.close()


def test_epochs_count_on_when_redis_has_forgotten_them() -> None:
    """Who took a leg over before still knows that it loses it to the next one."""
    with RedisServer(binary_or_skip("redis-server", shutil.which("redis-server"))) as redis:
        processes = Processes(redis.url, "https://emptied.example.com")
        a, b, c = (processes.make(name) for name in "abc")
        try:
            assert a.begin(INFO)
            assert isinstance(b.claim(a.mint(INFO.call_control_id)), Claim)
            with redis.away():
                pass
            wait_until(lambda: confirmed(b, []))
            assert isinstance(c.claim(b.mint(INFO.call_control_id)), Claim)
            owner, _, epoch, _ = processes.asked[-1]
            assert (owner, epoch) == ("b", 3)
            assert b.epoch(INFO.call_control_id) < epoch
        finally:
            processes.close()


def confirmed(registry: RedisRegistry, said: list[Remark]) -> bool:
    """Tell Redis about a leg that it has forgotten, if it is back."""
    try:
        return registry.confirm(INFO, number(said), talking=True, age=2.0)
    except RegistryAway:
        return False
