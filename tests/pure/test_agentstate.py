"""What JSON can hold of ``call.state`` is kept, and what cannot be kept harms nothing."""

from __future__ import annotations

import json

from bridge.agentstate import LIMIT, StateKeeper


def make() -> tuple[StateKeeper, list[str], list[str]]:
    """A keeper, what it keeps, and what it warns of."""
    kept: list[str] = []
    warned: list[str] = []
    return StateKeeper(kept.append, warned.append), kept, warned


def test_what_has_changed_is_kept_once() -> None:
    """Nothing is written while nothing changes."""
    keeper, kept, warned = make()
    state: dict[str, object] = {}
    keeper.look(state)
    state["order"] = {"pizzas": 2, "kinds": ["funghi"], "to go": True, "note": None}
    keeper.look(state)
    keeper.look(state)
    assert [json.loads(text) for text in kept] == [state]
    del state["order"]
    keeper.look(state)
    assert json.loads(kept[-1]) == {}
    assert warned == []


def test_what_json_cannot_hold_is_left_out_and_said_once() -> None:
    """The rest is kept; the warning has neither names nor values."""
    keeper, kept, warned = make()
    keeper.look({"secret": object(), "nan": float("nan"), "table": 4})
    keeper.look({"secret": object(), "table": 5})
    assert [json.loads(text) for text in kept] == [{"table": 4}, {"table": 5}]
    assert warned == ["call.state has what JSON cannot hold: that is not kept"]


def test_a_loop_and_a_name_that_is_no_text_are_left_out() -> None:
    """Nothing that an agent does to its own dictionary ends its call."""
    keeper, kept, warned = make()
    loop: list[object] = []
    loop.append(loop)
    keeper.look({"loop": loop, 3: "three", "table": 4})
    assert [json.loads(text) for text in kept] == [{"table": 4}]
    assert len(warned) == 1


def test_what_is_too_large_leaves_what_was_kept_before() -> None:
    """Redis is no place for it."""
    keeper, kept, warned = make()
    keeper.look({"table": 4})
    keeper.look({"table": 5, "essay": "x" * LIMIT})
    assert [json.loads(text) for text in kept] == [{"table": 4}]
    assert warned == ["call.state is too large to be kept"]


def test_a_state_that_is_no_dictionary_is_not_kept() -> None:
    """An agent may put anything there."""
    keeper, kept, warned = make()
    keeper.look(["list"])
    assert (kept, len(warned)) == ([], 1)
